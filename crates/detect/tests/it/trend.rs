//! Slow climbs and falls, sampled each 15 seconds.

use crate::support::{noise, spec};
use watchbell_detect::{CivilTime, Judge, JudgeConfig};
use watchbell_series::{Direction, Lead, Pattern, Sample, SeriesSpec, Verdict};

const CADENCE_S: i64 = 15;
const HOUR: i64 = 3600 / CADENCE_S;
const DAY: i64 = 24 * HOUR;

/// Verdicts on nine days of a memory of 1000 with 3 % of noise and `extra`, an addition by row.
fn verdicts(spec: &SeriesSpec, extra: impl Fn(i64) -> f64) -> Vec<Verdict> {
    let mut judge = Judge::new(JudgeConfig::default(), CivilTime::utc());
    judge.admit(0, spec, 0);
    let mut out = Vec::new();
    for row in 0..9 * DAY {
        let value = 1000.0 + 30.0 * noise(row as u64) + extra(row);
        let (cadence_s, ts_ms) = (CADENCE_S as f32, 1_700_000_000_000 + row * CADENCE_S * 1000);
        judge.judge(&[Sample { slot: 0, cadence_s, ts_ms, value }], &mut out);
    }
    out
}

fn row(verdict: &Verdict) -> i64 {
    (verdict.ts_ms - 1_700_000_000_000) / 1000 / CADENCE_S
}

/// One percent of 1000 an hour, on the last day.
fn leak(row: i64) -> f64 {
    10.0 * (row - 8 * DAY).max(0) as f64 / HOUR as f64
}

#[test]
fn a_leak_of_a_percent_an_hour_is_told_once() {
    let told = verdicts(&SeriesSpec::default(), leak);
    let onsets: Vec<&Verdict> = told.iter().filter(|v| v.onset).collect();
    assert!((1..=2).contains(&onsets.len()), "{onsets:?}");
    let first = onsets[0];
    assert_eq!((first.pattern, first.why.lead), (Pattern::Drift, Lead::Smoothed));
    assert!((8 * DAY..8 * DAY + 9 * HOUR).contains(&row(first)), "{first:?}");
    assert!(first.score >= first.edge && first.score < 1.2, "{first:?}");
}

#[test]
fn so_is_a_fall_where_falling_is_bad() {
    let falls = |direction| verdicts(&spec(|s| s.direction = direction), |row| -leak(row));
    assert!(falls(Direction::Down).iter().any(|v| v.onset && v.pattern == Pattern::Drift));
    assert!(falls(Direction::Up).iter().all(|v| !v.onset));
}

#[test]
fn what_comes_and_goes_is_no_climb() {
    // Two degrees of a day and a half; a jump.
    let slow = |row: i64| 20.0 * (row as f64 / (1.5 * DAY as f64) * std::f64::consts::TAU).sin();
    assert!(verdicts(&SeriesSpec::default(), slow).iter().all(|v| !v.onset));
    let jump = |row: i64| if row < 8 * DAY { 0.0 } else { 400.0 };
    let told = verdicts(&SeriesSpec::default(), jump);
    assert!(told.iter().any(|v| v.onset), "{told:?}");
    let drift: Vec<_> = told
        .iter()
        .filter(|v| v.pattern == Pattern::Drift)
        .map(|v| (row(v) - 8 * DAY, v.onset, v.score, v.edge))
        .collect();
    assert!(drift.is_empty(), "{drift:?}");
}
