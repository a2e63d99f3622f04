//! The flat line: a series that always moved stops changing.
//!
//! Measured in rows of equal values against the longest such run learned. Certain only with much
//! history: the limit is several times the longest run, and the series must be several limits old. A
//! value that stays for long after all is taken for its new habit.

use watchbell_series::Direction;

use super::hot::{Hot, flag};
use crate::rules::Rules;

/// A run is too long at this many times the longest one learned.
const TIMES: u32 = 5;
/// But not under this many rows,
const LEAST_ROWS: u32 = 30;
/// nor under this time, seconds.
const LEAST_S: f32 = 600.0;
/// History needed, in limits.
const HISTORY: u32 = 4;
/// The score grows with the run up to this.
const MAX_SCORE: f32 = 2.0;
/// A run of so many limits, and of a day, is a new habit.
const HABIT: u32 = 8;

/// The length of a run in rows from which on it is too long.
fn limit(hot: &Hot, cadence_s: f32) -> u32 {
    let least = LEAST_ROWS.max((LEAST_S / cadence_s) as u32);
    hot.longest.saturating_mul(TIMES).max(least)
}

/// Length of the present run over its limit, if `value` prolongs a run that is too long; else 0.
pub(crate) fn score(hot: &Hot, value: f64, rules: &Rules, cadence_s: f32) -> f32 {
    let run = hot.same.saturating_add(1);
    if value != hot.value || run < LEAST_ROWS || !rules.flatline || !hot.is(flag::VARIED) {
        return 0.0;
    }
    let limit = limit(hot, cadence_s);
    let before = hot.rows.saturating_sub(hot.same);
    let habit = limit.saturating_mul(HABIT).max((86_400.0 / cadence_s) as u32);
    if run < limit || before < limit.saturating_mul(HISTORY) || run > habit || at_rest(hot, value, rules) {
        return 0.0;
    }
    (run as f32 / limit as f32).min(MAX_SCORE)
}

/// Whether the series rests on its good side: no errors for long is no fault.
fn at_rest(hot: &Hot, value: f64, rules: &Rules) -> bool {
    let mean = hot.level + f64::from(hot.mean);
    match rules.direction {
        Direction::Up => value <= mean,
        Direction::Down => value >= mean,
        Direction::Both => false,
    }
}

/// Learns from the next value.
pub(crate) fn learn(hot: &mut Hot, value: f64) {
    if value == hot.value {
        hot.same = hot.same.saturating_add(1);
    } else {
        hot.longest = hot.longest.max(hot.same);
        hot.same = 1;
    }
}
