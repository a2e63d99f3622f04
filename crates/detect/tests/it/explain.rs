//! Why a verdict says what it says, and why there is none.

use crate::support::{Feed, MINUTE_MS, noise, spec};
use watchbell_detect::Cap;
use watchbell_series::{Direction, Lead, NotReady, Pattern, SeriesSpec};

fn quiet(i: u64) -> f64 {
    100.0 + noise(i)
}

fn fed(change: impl FnOnce(&mut SeriesSpec)) -> Feed {
    let mut feed = Feed::new(spec(change));
    feed.put_all(0..2000, quiet);
    feed
}

#[test]
fn a_verdict_tells_since_when_how_rare_and_when_it_was_last_like_this() {
    let mut feed = fed(|_| {});
    let first = feed.put(160.0);
    let why = first[0].why;
    let day = 86_400.0;
    assert!(why.return_s > 27.0 * day, "over the edge is rarer than once in four weeks: {why:?}");
    assert_eq!((why.since_ms, why.last_seen_ms), (Some(2000 * MINUTE_MS), None));
    assert!(matches!(why.lead, Lead::Fast | Lead::Slow) && why.raised == 0.0, "{why:?}");
    feed.put_all(2001..2100, quiet);
    let dip = feed.put(40.0);
    assert_eq!((dip[0].pattern, dip[0].why.last_seen_ms), (Pattern::Dip, None), "a spike is no dip");
    assert!(dip[0].why.raised > 0.04, "{:?}", dip[0].why);
    feed.put_all(2101..2200, quiet);
    let again = feed.put(170.0);
    let why = again[0].why;
    assert_eq!((why.since_ms, why.last_seen_ms), (Some(2200 * MINUTE_MS), Some(2000 * MINUTE_MS)));
    // It lasts: the begin stays.
    let later = feed.put(175.0);
    assert_eq!(later[0].why.since_ms, Some(2200 * MINUTE_MS));
}

#[test]
fn a_missing_series_tells_of_its_last_sample_and_of_its_last_silence() {
    let mut feed = fed(|_| {});
    let gone = feed.sweep(feed.now_ms() + 10 * MINUTE_MS);
    assert_eq!((gone[0].why.since_ms, gone[0].why.last_seen_ms), (Some(1999 * MINUTE_MS), None));
    assert!(gone[0].why.return_s.is_nan() && gone[0].why.lead == Lead::Stillness);
    feed.put_all(2000..2010, quiet);
    let gone = feed.sweep(feed.now_ms() + 10 * MINUTE_MS);
    assert_eq!((gone[0].why.since_ms, gone[0].why.last_seen_ms), (Some(2009 * MINUTE_MS), Some(1999 * MINUTE_MS)));
    let insight = feed.judge.insight(0, feed.now_ms() + 11 * MINUTE_MS).expect("admitted");
    assert_eq!(insight.why.last_seen_ms, Some(1999 * MINUTE_MS));
}

#[test]
fn the_value_that_would_alert_does() {
    for (direction, from, to) in
        [(Direction::Both, true, true), (Direction::Up, true, false), (Direction::Down, false, true)]
    {
        let feed = fed(|s| s.direction = direction);
        let insight = feed.judge.insight(0, feed.now_ms()).expect("admitted");
        assert_eq!((insight.alarms_from.is_finite(), insight.alarms_to.is_finite()), (from, to), "{insight:?}");
        for (edge, sign) in [(insight.alarms_from, 1.0), (insight.alarms_to, -1.0)] {
            if edge.is_finite() {
                for (beyond, alarm) in [(0.01, true), (-0.01, false)] {
                    let mut next = fed(|s| s.direction = direction);
                    let alarmed = next.put(edge + sign * beyond).iter().any(|v| v.onset);
                    assert_eq!(alarmed, alarm, "{direction:?} {edge} {beyond}");
                }
            }
        }
    }
}

#[test]
fn the_rule_that_held_a_sample_down_is_named() {
    type Change = fn(&mut SeriesSpec);
    let cases: [(Change, Option<Cap>); 4] = [
        (|s| s.direction = Direction::Down, Some(Cap::Direction)),
        (|s| s.min_deviation = 80.0, Some(Cap::LeastDeviation)),
        (|s| s.min_relative_deviation = 0.9, Some(Cap::LeastRelativeDeviation)),
        (|_| {}, None),
    ];
    for (change, want) in cases {
        let mut feed = fed(change);
        feed.put(160.0);
        let insight = feed.judge.insight(0, feed.now_ms()).expect("admitted");
        assert_eq!(insight.cap, want, "{insight:?}");
        assert_eq!(insight.score < 1.0, want.is_some(), "{insight:?}");
    }
}

#[test]
fn a_series_without_a_score_says_what_is_missing() {
    let mut feed = Feed::new(SeriesSpec::default());
    feed.put_all(0..5, quiet);
    let insight = feed.judge.insight(0, feed.now_ms()).expect("admitted");
    let warming = insight.warming.expect("young");
    assert_eq!((insight.reading.not_ready, warming.samples_left), (Some(NotReady::Warming), 15));
    assert_eq!(warming.seconds_left, 900 - 4 * 60);
    assert!(insight.score.is_nan() && insight.alarms_from.is_infinite());
    feed.put_all(5..2000, |_| 7.0);
    let mut still = Feed::new(SeriesSpec::default());
    still.put_all(0..200, |_| 7.0);
    let insight = still.judge.insight(0, still.now_ms()).expect("admitted");
    assert_eq!((insight.reading.not_ready, insight.same), (Some(NotReady::Constant), 200));
    assert!(feed.judge.insight(7, 0).is_none());
}

#[test]
fn what_it_remembers_survives_a_checkpoint() {
    let mut feed = fed(|_| {});
    feed.put(160.0);
    feed.put_all(2001..2100, quiet);
    let mut other = feed.clone_by_state();
    let now_ms = feed.now_ms();
    assert_eq!(format!("{:?}", feed.judge.insight(0, now_ms)), format!("{:?}", other.judge.insight(0, now_ms)));
    for value in [170.0, 175.0] {
        let (a, b) = (feed.put(value)[0], other.put(value)[0]);
        assert_eq!((a.why, a.pattern), (b.why, b.pattern));
    }
    let before = feed.judge.insight(0, feed.now_ms()).expect("admitted").why.last_seen_ms;
    assert_eq!(before, Some(2000 * MINUTE_MS));
    feed.judge.release(0);
    feed.judge.admit(0, &SeriesSpec::default(), 3);
    assert_eq!(feed.judge.insight(0, 0).expect("admitted").why.last_seen_ms, None, "its memory went with it");
}
