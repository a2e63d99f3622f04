//! The expected value and the band in which the score stays under 1.0.
//!
//! The fast and the slow level each have such a range; the band is what both allow. Where they do not
//! meet (the level just shifted) it is the range of the level that judges the value. Directions and least
//! deviations of the rules are not in the band; the legal range is.

use super::channel::Channel;
use super::hot::{Hot, flag};
use super::{FAST, Row, SLOW};
use crate::judge::JudgeConfig;
use crate::rules::Rules;

/// What was expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Band {
    pub(crate) expected: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

/// The band in which the score of `row` would have been under 1.0.
pub(crate) fn of_row(hot: &Hot, row: &Row, rules: &Rules) -> Band {
    let errors = [row.errors[FAST], row.errors[SLOW]];
    let scales = [row.scales[FAST], row.scales[SLOW]];
    band(&hot.channels, row.value, errors, scales, row.decades, row.led != FAST && row.score >= 1.0, rules)
}

/// The band at the last sample. It is made of what is known after it: the levels are those that judged
/// it, the scales moved on by one sample.
pub(crate) fn last(hot: &Hot, config: &JudgeConfig, rules: &Rules) -> Band {
    let [fast, slow, _] = &hot.channels;
    let scales = [fast.working_scale(hot.hour_factor, fast.root()), slow.working_scale(1.0, slow.root())];
    let decades = super::decades(super::cadence(hot.cadence_s), config, rules);
    band(&hot.channels, hot.value, hot.errors, scales, decades, hot.is(flag::SLOW_LED), rules)
}

/// The band around `value`, which had these errors against the two levels; `decades` make 1.0.
fn band(
    channels: &[Channel; 3],
    value: f64,
    errors: [f32; 2],
    scales: [f32; 2],
    decades: f32,
    slow_led: bool,
    rules: &Rules,
) -> Band {
    let range = |i: usize| {
        let half = f64::from((channels[i].ratio_at(decades) * scales[i]).min(f32::MAX));
        let middle = value - f64::from(errors[i]);
        (middle, middle - half, middle + half)
    };
    let (fast, slow) = (range(FAST), range(SLOW));
    let led = if slow_led { slow } else { fast };
    let (mut lower, mut upper) = (fast.1.max(slow.1), fast.2.min(slow.2));
    if lower >= upper {
        (lower, upper) = (led.1, led.2);
    }
    if rules.legal_min <= rules.legal_max {
        lower = lower.clamp(rules.legal_min, rules.legal_max);
        upper = upper.clamp(rules.legal_min, rules.legal_max);
    }
    Band { expected: led.0.clamp(lower, upper), lower, upper }
}
