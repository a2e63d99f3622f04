//! What a judge says of series as they come: one situation a test.

use crate::support::{Feed, MINUTE_MS, noise, spec};
use watchbell_detect::{Cap, EntityCount, JudgeConfig};
use watchbell_series::{Direction, NotReady, Pattern, SeriesSpec};

/// A quiet gauge around 100 with a spread of 1.
fn quiet(i: u64) -> f64 {
    100.0 + noise(i)
}

#[test]
fn a_judge_can_move_to_its_shard() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&Feed::new(SeriesSpec::default()).judge);
}

#[test]
fn no_score_while_warming() {
    let mut feed = Feed::new(SeriesSpec::default());
    for i in 0..20 {
        let verdicts = feed.put(if i == 15 { 1e6 } else { quiet(i) });
        assert!(verdicts.is_empty());
        let reading = feed.reading();
        assert_eq!(reading.not_ready, Some(NotReady::Warming));
        assert!(reading.score.is_nan() && reading.expected.is_nan());
    }
    feed.put_all(0..20, quiet);
    let reading = feed.reading();
    assert_eq!(reading.not_ready, None);
    assert!(reading.score >= 0.0 && (90.0..110.0).contains(&reading.value), "{reading:?}");
}

#[test]
fn a_spike_and_a_dip_ring_once_each() {
    for (value, pattern) in [(160.0, Pattern::Spike), (40.0, Pattern::Dip)] {
        let mut feed = Feed::new(SeriesSpec::default());
        assert!(feed.put_all(0..2000, quiet).iter().all(|v| !v.onset), "{:?}", feed.reading());
        let verdicts = feed.put(value);
        let [verdict] = verdicts.as_slice() else { panic!("{verdicts:?}") };
        assert!(verdict.onset && verdict.alarm && verdict.score > 1.0, "{verdict:?}");
        assert_eq!((verdict.pattern, verdict.value), (pattern, value));
        assert!((97.0..103.0).contains(&verdict.expected), "{verdict:?}");
        assert!(verdict.lower < verdict.expected && verdict.expected < verdict.upper, "{verdict:?}");
        assert!(value < verdict.lower || value > verdict.upper, "{verdict:?}");
        let after = feed.put_all(2001..2100, quiet);
        assert!(after.iter().all(|v| !v.onset) && after.iter().any(|v| !v.alarm), "{after:?}");
        assert!(!feed.reading().alarm && feed.reading().score < 1.0);
    }
}

#[test]
fn the_band_is_where_the_score_stays_under_the_edge() {
    for (inside, outside) in [(0.98, 1.02), (0.9, 1.1)] {
        for (part, over) in [(inside, false), (outside, true)] {
            let mut feed = Feed::new(SeriesSpec::default());
            feed.put_all(0..3000, quiet);
            feed.judge.track(0, true);
            let band = feed.clone_by_state().put(100.0)[0];
            let value = band.expected + part * (band.upper - band.expected);
            let verdict = feed.put(value)[0];
            assert_eq!(verdict.score > 1.0, over, "{part} {verdict:?}");
        }
    }
}

#[test]
fn a_new_level_is_a_level_shift() {
    let mut feed = Feed::new(SeriesSpec::default());
    feed.put_all(0..3000, quiet);
    let verdicts = feed.put_all(3000..3040, |i| quiet(i) + 40.0);
    assert!(verdicts[0].onset && verdicts[0].pattern == Pattern::Spike, "{:?}", verdicts[0]);
    let last = verdicts.last().expect("an alarm is open");
    assert!(last.alarm && last.pattern == Pattern::LevelShift, "{last:?}");
    assert!((95.0..105.0).contains(&last.expected), "{last:?}");
}

#[test]
fn a_slow_climb_is_a_drift() {
    let mut feed = Feed::new(SeriesSpec::default());
    feed.put_all(0..6000, quiet);
    let verdicts = feed.put_all(6000..6120, |i| quiet(i) + (i - 6000) as f64 * 0.12);
    let onset = verdicts.iter().find(|v| v.onset).expect("it is seen");
    assert_eq!(onset.pattern, Pattern::Drift, "{onset:?}");
}

#[test]
fn a_missed_season_is_named() {
    let mut feed = Feed::new(SeriesSpec::default());
    let daily = |i: u64| ((i % 1440) as f64).min(480.0 - (i % 1440) as f64).clamp(0.0, 60.0) + quiet(i);
    feed.put_all(0..1440 * 21, daily);
    let verdicts = feed.put_all(1440 * 21..1440 * 21 + 90, quiet);
    assert!(verdicts.iter().any(|v| v.onset && v.pattern == Pattern::SeasonMissed), "{:?}", verdicts.first());
    assert_eq!(verdicts.last().map(|v| v.pattern), Some(Pattern::SeasonMissed));
    let mut feed = Feed::new(SeriesSpec::default());
    feed.put_all(0..1440 * 21, daily);
    assert!(feed.put_all(1440 * 21..1440 * 22, daily).iter().all(|v| !v.onset));
}

#[test]
fn an_odd_event_that_comes_back_is_learned() {
    // A job of two minutes each night, too short for the profile of the day.
    let mut feed = Feed::new(SeriesSpec::default());
    let mut onsets = [0; 16];
    for i in 0..1440 * 16 {
        let (day, minute) = (i / 1440, i % 1440);
        let job = (120 + day % 3..122 + day % 3).contains(&minute);
        let verdicts = feed.put(quiet(i) + if job { 20.0 } else { 0.0 });
        onsets[day as usize] += verdicts.iter().filter(|v| v.onset).count();
    }
    assert!(onsets[..6].iter().sum::<usize>() >= 3, "{onsets:?}");
    assert!(onsets[8..].iter().all(|n| *n == 0), "{onsets:?}");
    // Who asks is told why the night is quiet. By day it is news.
    feed.put_all(0..120, quiet);
    assert!(feed.put(120.0).iter().all(|v| !v.onset));
    let night = feed.judge.insight(0, feed.now_ms()).expect("admitted");
    assert!(night.cap == Some(Cap::Habit) && night.score < 1.0, "{night:?}");
    feed.put_all(0..600, quiet);
    assert!(feed.put(120.0)[0].onset);
}

#[test]
fn the_good_direction_never_rings_but_is_learned() {
    let mut feed = Feed::new(spec(|s| s.direction = Direction::Up));
    feed.put_all(0..2000, quiet);
    assert!(feed.put_all(2000..2100, |i| quiet(i) - 60.0).iter().all(|v| v.score < 1.0));
    let mut feed = Feed::new(spec(|s| s.direction = Direction::Down));
    feed.put_all(0..2000, quiet);
    assert!(feed.put(40.0)[0].score > 1.0);
}

#[test]
fn small_deviations_can_be_ruled_out() {
    for rule in [spec(|s| s.min_deviation = 70.0), spec(|s| s.min_relative_deviation = 0.7)] {
        let mut feed = Feed::new(rule);
        feed.put_all(0..2000, quiet);
        assert!(feed.put(160.0).iter().all(|v| v.score < 1.0 && !v.alarm));
        feed.put_all(2001..2100, quiet);
        assert!(feed.put(190.0)[0].score > 1.0);
    }
}

#[test]
fn sensitivity_moves_the_edge_by_its_decades() {
    let score = |value: f64, sensitivity: f64| {
        let mut feed = Feed::new(spec(|s| s.sensitivity = sensitivity));
        feed.put_all(0..2000, quiet);
        feed.judge.track(0, true);
        feed.put(value)[0].score
    };
    // Within the tail's begin the score is a part of the decades that make 1.0: 4.6, and one more or less.
    assert!((score(102.0, 10.0) / score(102.0, 1.0) - 4.6 / 3.6).abs() < 1e-3);
    // A tenth of the false alarms is not deaf.
    assert!(score(140.0, 0.1) > 1.0, "{}", score(140.0, 0.1));
}

#[test]
fn illegal_values_are_certain_even_while_warming() {
    let mut feed = Feed::new(spec(|s| (s.legal_min, s.legal_max) = (0.0, 100.0)));
    let verdict = feed.put(101.0)[0];
    assert!(verdict.onset && verdict.score >= 1.5, "{verdict:?}");
    assert_eq!(verdict.pattern, Pattern::Illegal);
    assert!(feed.reading().score >= 1.5 && feed.reading().alarm);
    let verdicts = feed.put_all(0..20, |_| 50.0);
    assert!(verdicts.iter().any(|v| !v.alarm) && !feed.reading().alarm);
}

#[test]
fn a_constant_series_is_judged_when_it_changes() {
    for (before, after) in [(1.0, 0.0), (0.0, 3.0), (1e12, 2e12)] {
        let mut feed = Feed::new(SeriesSpec::default());
        assert!(feed.put_all(0..200, |_| before).is_empty());
        assert_eq!(feed.reading().not_ready, Some(NotReady::Constant));
        let verdict = feed.put(after)[0];
        assert!(verdict.onset && verdict.score > 1.0 && verdict.score < 5.0, "{verdict:?}");
        assert!((verdict.expected - before).abs() <= 1e-6 * (after - before).abs(), "{verdict:?}");
        assert_eq!(feed.reading().not_ready, None);
    }
    // A change of a hundredth is within the scale that is taken for granted.
    let mut feed = Feed::new(SeriesSpec::default());
    feed.put_all(0..200, |_| 1e12);
    assert!(feed.put(1.01e12).is_empty());
}

#[test]
fn a_series_that_stops_moving_is_a_flat_line() {
    let mut feed = Feed::new(SeriesSpec::default());
    feed.put_all(0..1000, quiet);
    let verdicts = feed.put_all(0..120, |_| 100.0);
    let onset = verdicts.iter().find(|v| v.onset).expect("it is seen");
    assert_eq!((onset.pattern, onset.ts_ms), (Pattern::Flatline, 1029 * MINUTE_MS));
    let mut feed = Feed::new(spec(|s| s.flatline = false));
    feed.put_all(0..1000, quiet);
    assert!(feed.put_all(0..120, |_| 100.0).iter().all(|v| !v.onset));
}

#[test]
fn rare_changes_are_no_flat_line() {
    let mut feed = Feed::new(SeriesSpec::default());
    let rare = |i: u64| (i / 200 % 7) as f64;
    assert!(feed.put_all(0..20_000, rare).iter().all(|v| v.pattern != Pattern::Flatline));
}

#[test]
fn a_missing_series_is_told_once_and_comes_back() {
    let mut feed = Feed::new(SeriesSpec::default());
    feed.put_all(0..100, quiet);
    let last = feed.now_ms();
    assert!(feed.sweep(last + 4 * MINUTE_MS).is_empty());
    let verdict = feed.sweep(last + 6 * MINUTE_MS)[0];
    assert!(verdict.onset && verdict.alarm && verdict.pattern == Pattern::Missing, "{verdict:?}");
    assert!(feed.sweep(last + 60 * MINUTE_MS).is_empty());
    let reading = feed.judge.reading(0, last + 60 * MINUTE_MS);
    assert!(reading.alarm && reading.pattern == Pattern::Missing && reading.score > 1.0, "{reading:?}");
    let back = feed.put(100.0)[0];
    assert!(!back.alarm && !feed.reading().alarm, "{back:?}");
}

#[test]
fn a_series_without_a_value_is_not_missing_and_keeps_its_alarm_for_a_while() {
    let mut feed = Feed::new(SeriesSpec::default());
    feed.put_all(0..100, quiet);
    assert!(feed.put_all(0..3, |_| 1_000.0).iter().any(|verdict| verdict.alarm));
    let last = feed.now_ms();
    assert!(!feed.judge.no_value(0, last), "no later than the last sample");
    assert!(!feed.judge.no_value(0, last + MINUTE_MS));
    assert!(feed.reading().alarm, "one gap ends nothing");
    assert!(feed.sweep(last + 60 * MINUTE_MS).is_empty(), "its target is there");
    assert!(feed.judge.no_value(0, last + 6 * MINUTE_MS), "it has had no value for long");
    assert!(!feed.judge.no_value(0, last + 7 * MINUTE_MS), "which is so once");
    let reading = feed.judge.reading(0, last + 7 * MINUTE_MS);
    assert!(!reading.alarm && reading.not_ready == Some(NotReady::Stale), "{reading:?}");

    // One that was missing is so no longer, and one that has values again is missed as before.
    let mut feed = Feed::new(SeriesSpec::default());
    feed.put_all(0..100, quiet);
    let last = feed.now_ms();
    assert_eq!(feed.sweep(last + 6 * MINUTE_MS).len(), 1);
    assert!(feed.judge.no_value(0, last + 7 * MINUTE_MS));
    feed.put_all(0..10, quiet);
    assert_eq!(feed.sweep(feed.now_ms() + 6 * MINUTE_MS).len(), 1);
}

#[test]
fn after_an_outage_of_the_judge_series_get_time_to_return() {
    let mut feed = Feed::new(SeriesSpec::default());
    feed.put_all(0..100, quiet);
    let back = feed.now_ms() + 120 * MINUTE_MS;
    feed.judge.resume(back);
    assert!(feed.sweep(back + 4 * MINUTE_MS).is_empty());
    assert_eq!(feed.sweep(back + 6 * MINUTE_MS).len(), 1);
}

#[test]
fn history_that_nothing_follows_is_not_missing() {
    let mut feed = Feed::new(SeriesSpec::default());
    feed.learn(0..100, quiet);
    assert!(feed.sweep(feed.now_ms() + 60 * MINUTE_MS).is_empty());
    assert_eq!(feed.reading().not_ready, Some(NotReady::Stale));
}

#[test]
fn an_ended_series_is_stale_and_not_missing() {
    let mut feed = Feed::new(SeriesSpec::default());
    feed.put_all(0..100, quiet);
    feed.judge.end(0, feed.now_ms() - 1);
    assert_eq!(feed.reading().not_ready, None);
    feed.judge.end(0, feed.now_ms());
    assert_eq!(feed.reading().not_ready, Some(NotReady::Stale));
    assert_eq!(feed.judge.entities().count(), 0);
    assert!(feed.sweep(i64::MAX).is_empty());
    feed.put(100.0);
    assert_eq!(feed.reading().not_ready, None);
    let mut unwatched = Feed::new(spec(|s| s.missing = false));
    unwatched.put_all(0..100, quiet);
    assert!(unwatched.sweep(i64::MAX).is_empty());
    assert_eq!(unwatched.reading().not_ready, Some(NotReady::Stale));
}

#[test]
fn learning_gives_no_alarm_and_the_same_scale() {
    let mut live = Feed::new(SeriesSpec::default());
    let mut history = Feed::new(SeriesSpec::default());
    live.put_all(0..500, quiet);
    history.learn(0..500, quiet);
    assert_eq!(live.reading(), history.reading());
    history.learn(500..501, |_| 200.0);
    assert!(!history.reading().alarm);
}

#[test]
fn a_reset_forgets_and_a_release_frees() {
    let mut feed = Feed::new(SeriesSpec::default());
    feed.put_all(0..2000, quiet);
    feed.judge.reset(0);
    assert_eq!(feed.judge.entities().count(), 0);
    assert_eq!(feed.reading().not_ready, Some(NotReady::Warming));
    feed.put_all(0..30, quiet);
    assert_eq!(feed.judge.entities().next(), Some((3, EntityCount { judged: 1, ready: 1, anomalous: 0, settled: 0 })));
    feed.judge.release(0);
    assert!(feed.put(1.0).is_empty());
    assert_eq!(feed.judge.entities().count(), 0);
}

#[test]
fn a_series_settles_once_it_was_watched_for_long() {
    let config = JudgeConfig { settle_s: 6_000.0, ..JudgeConfig::default() };
    let mut feed = Feed::with(config, SeriesSpec::default());
    let settled = |feed: &Feed| feed.judge.entities().next().map(|(_, count)| count.settled);
    feed.put_all(0..100, quiet);
    assert_eq!(settled(&feed), Some(0));
    feed.put_all(100..102, quiet);
    assert_eq!(settled(&feed), Some(1));
    feed.judge.reset(0);
    feed.put_all(102..140, quiet);
    assert_eq!(settled(&feed), Some(0), "what it learns anew is young again");
}

#[test]
fn a_series_goes_over_to_another_entity_with_all_it_learned() {
    let mut feed = Feed::new(SeriesSpec::default());
    feed.put_all(0..2000, quiet);
    let before = feed.reading();
    feed.judge.set_entity(0, 8);
    assert_eq!(feed.reading(), before);
    let count = EntityCount { judged: 1, ready: 1, anomalous: 0, settled: 1 };
    assert_eq!(feed.judge.entities().collect::<Vec<_>>(), [(8, count)]);
    feed.judge.set_entity(7, 8);
    feed.judge.release(0);
    assert_eq!(feed.judge.entities().count(), 0);
}

#[test]
fn a_tracked_series_reports_each_sample() {
    let mut feed = Feed::new(SeriesSpec::default());
    feed.judge.track(0, true);
    assert_eq!(feed.put_all(0..50, quiet).len(), 50);
    feed.judge.track(0, false);
    assert!(feed.put_all(50..60, quiet).is_empty());
}

#[test]
fn small_deviations_of_huge_values_are_seen() {
    let mut feed = Feed::new(SeriesSpec::default());
    feed.put_all(0..2000, |i| 1e15 + 500.0 * noise(i));
    assert!(feed.reading().score < 1.0);
    assert!(feed.put(1e15 + 20_000.0)[0].score > 1.0);
}

#[test]
fn often_ringing_raises_the_edge_of_its_series() {
    let mut feed = Feed::with(JudgeConfig { report_edge: 0.5, ..JudgeConfig::default() }, SeriesSpec::default());
    feed.put_all(0..2000, quiet);
    let first = feed.put(160.0)[0];
    feed.put_all(2001..2060, quiet);
    let second = feed.put(160.0)[0];
    assert!(first.edge < 1.01 && second.edge > 1.05, "{first:?} {second:?}");
}
