//! Seasons of any length, found by themselves: one situation a test.

use crate::support::noise;
use watchbell_detect::{CivilTime, Judge, JudgeConfig};
use watchbell_series::{Pattern, Reading, Sample, SeriesSpec, Verdict};

const HOUR_S: i64 = 3600;
const START_S: i64 = 1_700_000_000;

/// One series with a sample each `cadence_s` seconds.
struct Feed {
    judge: Judge,
    cadence_s: i64,
    rows: i64,
}

impl Feed {
    fn new(cadence_s: i64) -> Self {
        Self::at(cadence_s, CivilTime::utc())
    }

    fn at(cadence_s: i64, time: CivilTime) -> Self {
        let mut judge = Judge::new(JudgeConfig::default(), time);
        judge.admit(0, &SeriesSpec::default(), 0);
        Self { judge, cadence_s, rows: 0 }
    }

    fn now_s(&self) -> i64 {
        START_S + self.rows * self.cadence_s
    }

    /// Feeds `value`, a function of the second, for so many seconds.
    fn put(&mut self, seconds: i64, value: impl Fn(i64) -> f64) -> Vec<Verdict> {
        let mut out = Vec::new();
        for _ in 0..seconds / self.cadence_s {
            let secs = self.now_s();
            let value = value(secs) + noise(self.rows as u64);
            self.judge
                .judge(&[Sample { slot: 0, cadence_s: self.cadence_s as f32, ts_ms: secs * 1000, value }], &mut out);
            self.rows += 1;
        }
        out
    }

    fn reading(&self) -> Reading {
        self.judge.reading(0, (self.now_s() - self.cadence_s) * 1000)
    }

    fn season_s(&self) -> Option<f32> {
        self.judge.insight(0, self.now_s() * 1000).and_then(|insight| insight.season_s)
    }
}

/// A wave between 80 and 120, lowest where a period begins.
fn wave(secs: i64, period_s: i64) -> f64 {
    let turn = std::f64::consts::TAU * secs.rem_euclid(period_s) as f64 / period_s as f64;
    100.0 - 20.0 * turn.cos()
}

fn onsets(verdicts: &[Verdict]) -> usize {
    verdicts.iter().filter(|v| v.onset).count()
}

/// What is to hold of a season of `period_s`, of a series with a sample each `cadence_s`: its length is known after
/// `found` periods; after `learned` it is what is expected, does not ring, and rings when it does not come.
fn is_learned(cadence_s: i64, period_s: i64, found: i64, learned: i64) {
    let what = format!("{period_s} s each {cadence_s} s");
    let mut feed = Feed::new(cadence_s);
    feed.put(found * period_s, |secs| wave(secs, period_s));
    let known = feed.season_s().unwrap_or_else(|| panic!("{what}: nothing found"));
    assert!((known / period_s as f32 - 1.0).abs() < 0.05, "{what}: {known}");
    feed.put((learned - found) * period_s, |secs| wave(secs, period_s));
    let known = feed.season_s().unwrap_or_else(|| panic!("{what}: lost"));
    assert!((known / period_s as f32 - 1.0).abs() < 0.015, "{what}: {known}");
    // To where a period begins, and two more.
    let rest = 3 * period_s - feed.now_s().rem_euclid(period_s);
    for _ in 0..rest * 8 / period_s {
        let clean = feed.put(period_s / 8, |secs| wave(secs, period_s));
        assert_eq!(onsets(&clean), 0, "{what}");
        let (expected, truth) = (feed.reading().expected, wave(feed.now_s() - cadence_s, period_s));
        assert!((expected - truth).abs() < 6.0, "{what}: {expected} for {truth}");
    }
    let missed = feed.put(period_s, |_| 80.0);
    assert!(onsets(&missed) > 0, "{what}: not missed, {:?}", feed.reading());
    assert!(missed.iter().any(|v| v.pattern == Pattern::SeasonMissed), "{what}: not named");
}

#[test]
fn parts_of_a_day_are_learned_in_periods_and_not_in_days() {
    for (cadence_s, minutes, found, learned) in [(60, 90, 6, 24), (60, 120, 6, 16), (60, 240, 5, 10), (300, 480, 5, 10)]
    {
        is_learned(cadence_s, minutes * 60, found, learned);
    }
}

#[test]
fn lengths_that_do_not_divide_a_day_are_learned() {
    for (cadence_s, hours, found, learned) in [(60, 5, 5, 12), (60, 7, 5, 12), (300, 10, 5, 12), (300, 36, 7, 12)] {
        is_learned(cadence_s, hours * HOUR_S, found, learned);
    }
}

#[test]
fn a_fortnight_is_learned() {
    // Two days in fourteen are busy.
    let (day_s, mut feed) = (24 * HOUR_S, Feed::new(HOUR_S));
    let pay = |secs: i64| if secs / day_s % 14 < 2 { 130.0 } else { 100.0 };
    feed.put(5 * 14 * day_s, pay);
    assert_eq!(feed.season_s(), Some(14.0 * 86_400.0));
    feed.put(4 * 14 * day_s, pay);
    let rest = 14 * day_s - feed.now_s() % (14 * day_s);
    feed.put(rest, pay);
    let missed = feed.put(2 * day_s, |_| 100.0);
    assert!(missed.iter().any(|v| v.onset && v.pattern == Pattern::SeasonMissed), "{:?}", feed.reading());
}

#[test]
fn a_season_beside_the_day_is_learned() {
    let day = |secs: i64| 15.0 * (std::f64::consts::TAU * secs as f64 / 86_400.0).sin();
    let mut feed = Feed::new(300);
    feed.put(7 * 86_400, |secs| wave(secs, 7 * HOUR_S) + day(secs));
    // Or some of them: in the first days, three fit the day nearly as well.
    let times = feed.season_s().expect("found") / (7.0 * 3600.0);
    assert!((times / times.round() - 1.0).abs() < 0.02, "{times}");
    assert_eq!(onsets(&feed.put(3 * 86_400, |secs| wave(secs, 7 * HOUR_S) + day(secs))), 0);
}

#[test]
fn a_day_alone_a_walk_and_noise_have_no_other_season() {
    let day = |secs: i64| 15.0 * (std::f64::consts::TAU * secs as f64 / 86_400.0).sin();
    let walk = |secs: i64| (0..(secs - START_S) / 300 % 20_000).map(|i| noise(i as u64 + 7)).sum::<f64>();
    let mut values: Vec<Box<dyn Fn(i64) -> f64>> = vec![Box::new(day), Box::new(|_| 0.0)];
    values.push(Box::new(walk));
    for value in values {
        let mut feed = Feed::new(300);
        for _ in 0..12 {
            feed.put(86_400, &value);
            assert_eq!(feed.season_s(), None);
        }
    }
}

#[test]
fn a_season_that_is_over_is_given_up() {
    let period_s = 4 * HOUR_S;
    let mut feed = Feed::new(300);
    feed.put(8 * period_s, |secs| wave(secs, period_s));
    assert!(feed.season_s().is_some());
    feed.put(20 * period_s, |_| 100.0);
    assert_eq!(feed.season_s(), None);
}

#[test]
fn shifts_go_by_the_clock_on_the_wall() {
    let period_s = 8 * HOUR_S;
    // After eight days clocks go an hour ahead.
    let change_s = START_S + 8 * 86_400;
    let time = CivilTime::new(vec![(0, 0), (change_s * 1000, 3600)]);
    let local = |secs: i64| if secs < change_s { secs } else { secs + 3600 };
    let mut feed = Feed::at(300, time);
    feed.put(8 * 86_400, |secs| wave(secs, period_s));
    feed.put(period_s, |secs| wave(local(secs), period_s));
    let clean = feed.put(2 * 86_400, |secs| wave(local(secs), period_s));
    assert_eq!(onsets(&clean), 0);
    let (expected, truth) = (feed.reading().expected, wave(local(feed.now_s() - 300), period_s));
    assert!((expected - truth).abs() < 6.0, "{expected} for {truth}");
}

#[test]
fn a_checkpoint_in_a_search_and_in_a_season_changes_nothing() {
    let period_s = 4 * HOUR_S;
    let mut feed = Feed::new(300);
    for _ in 0..10 {
        feed.put(period_s, |secs| wave(secs, period_s));
        let mut bytes = Vec::new();
        feed.judge.save(0, &mut bytes);
        let mut other = Feed { cadence_s: feed.cadence_s, rows: feed.rows, ..Feed::new(300) };
        assert_eq!(other.judge.load(0, &bytes), Ok(bytes.len()));
        for feed in [&mut feed, &mut other] {
            feed.put(period_s / 2, |secs| wave(secs, period_s));
        }
        assert_eq!(format!("{:?}", feed.reading()), format!("{:?}", other.reading()));
        assert_eq!(feed.season_s(), other.season_s());
    }
    assert!(feed.season_s().is_some());
}
