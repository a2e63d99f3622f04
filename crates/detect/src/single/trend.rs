//! The slow climb: a leak, a disk that fills up, a drift of some percent an hour.
//!
//! Row by row it is lost in the noise, and the faster a series is sampled the sooner a creeping level counts as a
//! new regime. So once an hour the smoothed level without its season is compared with that of an hour before.
//! Steps are clipped, so that a single jump does not count as a climb, and added up with a memory of a day; how
//! improbable such a sum is, a [`Channel`] of its own learns. It counts only while the value is, or lately was,
//! clearly beyond where it has been for weeks: a climb within the usual range is what a season does that came
//! at another hour.

use super::channel::{CLIP, Channel, FIRST_ROWS, Rates, TAIL};
use super::hot::Hot;
use super::{MAX_ERROR, SLOW};
use crate::paged::NONE;

/// Seconds of a step, unless the cadence is longer.
pub(crate) const STEP_S: f32 = 3600.0;
/// Steps that the sum remembers.
pub(crate) const MEMORY: f32 = 24.0;
/// Usual steps that one step counts at most.
pub(crate) const STEP_CLIP: f32 = 2.5;
/// Steps before a climb is told.
const FIRST_STEPS: u16 = 48;
/// Memory of the scales, steps.
const SCALE_STEPS: f32 = 500.0;
/// Rows that the rate of clusters is old at the start.
const RARITY_PRIOR: f32 = 50.0;
/// Memory of the range, steps.
const RANGE_STEPS: f32 = 500.0;
/// A value is beyond the range by at least this part of its width.
pub(crate) const BEYOND: f32 = 0.15;
/// Steps for which that counts.
const BEYOND_STEPS: u8 = 12;
/// Scales are at least this many usual steps.
const FLOOR: f32 = 0.3;
/// Missing steps after which the climb begins anew.
const GAP_STEPS: f32 = 3.0;
/// The score is no higher: an open alarm about a climb does not ring again because it goes on.
pub(crate) const MOST: f32 = 1.19;

/// What is learned of the steps of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trend {
    /// Level at the end of the last step.
    pub(crate) before: f64,
    /// Sum of clipped steps.
    pub(crate) sum: f32,
    /// Usual size of a step.
    pub(crate) usual: f32,
    /// Scales that the sum is.
    pub(crate) ratio: f32,
    /// Highest and lowest value of weeks, relative to `before`.
    pub(crate) high: f32,
    pub(crate) low: f32,
    /// How large sums are.
    pub(crate) channel: Channel,
    /// Steps seen.
    pub(crate) steps: u16,
    /// Steps since the value was beyond its range.
    pub(crate) within: u8,
    /// Where the [`Cycle`](super::cycle::Cycle) of the series stands, or [`NONE`]; here because there are four bytes left.
    pub(crate) cycle: u32,
}

impl Trend {
    /// No step yet.
    pub(crate) const NEW: Self = Self {
        before: 0.0,
        sum: 0.0,
        usual: 0.0,
        ratio: 0.0,
        high: 0.0,
        low: 0.0,
        channel: Channel::NEW,
        steps: 0,
        within: u8::MAX,
        cycle: NONE,
    };

    /// The score of the climb, where `decades` powers of ten of improbability a step make 1.0; 0 for none.
    pub(crate) fn score(&self, decades: f32) -> f32 {
        if self.ratio <= TAIL || self.within > BEYOND_STEPS || self.steps < FIRST_STEPS {
            return 0.0;
        }
        (self.channel.improbability(self.ratio, decades) / decades).min(MOST)
    }

    /// Takes in the step that ends with the last sample of `hot`; `now` is the second of the next one. What the
    /// sum of the step before was is learned only now, so that it was judged by what was known before it.
    pub(crate) fn step(&mut self, hot: &Hot, now: u32, cadence_s: f32) {
        let level = hot.level + f64::from(hot.smooth);
        let step = (level - self.before).clamp(-MAX_ERROR, MAX_ERROR) as f32;
        // The season at the last sample is what the slow level did not explain of it.
        let season = (hot.value - f64::from(hot.errors[SLOW]) - hot.level).clamp(-MAX_ERROR, MAX_ERROR) as f32;
        let gap_s = f64::from(now) - hot.ts_ms as f64 / 1000.0;
        let gap = gap_s > f64::from(GAP_STEPS * STEP_S.max(cadence_s));
        (self.high, self.low) = (self.high - step, self.low - step);
        self.before = level;
        if self.steps == 0 {
            (self.high, self.low, self.steps) = (season, season, 1);
            return;
        }
        if gap {
            self.ratio = 0.0;
            return;
        }
        self.learn();
        let rate = (1.0 / f32::from(self.steps)).max(1.0 / SCALE_STEPS);
        let first = u32::from(self.steps) < FIRST_ROWS;
        let clip = if self.steps < 3 { f32::INFINITY } else { STEP_CLIP * self.usual };
        let sum = (1.0 - 1.0 / MEMORY) * self.sum + step.max(-clip).min(clip);
        // Its square must stay a number, as with all errors.
        self.sum = sum.clamp(-MAX_ERROR as f32, MAX_ERROR as f32);
        let taught = if first { step.abs() } else { step.abs().min(CLIP * self.usual) };
        self.usual += rate * (taught - self.usual);
        let scale = self.channel.working_scale(1.0, self.channel.root());
        self.ratio = Channel::ratio(self.sum.abs(), scale);
        let width = self.high - self.low;
        let beyond = if self.sum > 0.0 { season - self.high } else { self.low - season };
        self.within = if beyond > BEYOND * width { 0 } else { self.within.saturating_add(1) };
        self.high = (self.high + (season - self.high) / RANGE_STEPS).max(season);
        self.low = (self.low + (season - self.low) / RANGE_STEPS).min(season);
        self.steps = self.steps.saturating_add(1);
    }

    /// Learns the present sum.
    fn learn(&mut self) {
        let steps = f32::from(self.steps);
        let rate = |prior: f32, memory: f32| (1.0 / (steps + prior)).max(1.0 / memory);
        let rates = Rates {
            first: u32::from(self.steps) < FIRST_ROWS,
            scale: rate(0.0, SCALE_STEPS),
            square: rate(0.0, 3.0 * SCALE_STEPS),
            rarity: rate(RARITY_PRIOR, SCALE_STEPS),
            floor: FLOOR * self.usual,
        };
        self.channel.learn(self.sum.abs(), self.ratio, self.channel.root(), &rates);
    }
}
