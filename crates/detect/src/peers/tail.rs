//! How rare large deviations are in a group: peaks over a threshold, learned of all members together.

use crate::math::{LN_10, LOG10_E, exp, ln};

/// The tail begins at this many usual deviations.
pub(super) const TAIL: f32 = 3.0;
/// Memory of the rate of the tail, member-ticks.
const MEMORY: f32 = 20_000.0;
/// Of a young group one in 50 is in the tail, as -log10;
const RARITY_START: f32 = 1.698_97;
/// and it is never rarer than this.
const RAREST: f32 = 2.301_03;
/// Slope of the tail of a young group, and its least.
const SLOPE: (f32, f32) = (0.3, 0.2);

/// The tail of one group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tail {
    /// -log10 of the rate of peaks.
    pub(super) rarity: f32,
    /// Hill's estimate.
    pub(super) slope: f32,
    /// Peaks learned.
    pub(super) peaks: u16,
}

impl Tail {
    /// Nothing learned.
    pub(super) const NEW: Self = Self { rarity: RARITY_START, slope: SLOPE.0, peaks: 0 };

    /// Whether the numbers can have been learned.
    pub(super) fn is_sane(&self) -> bool {
        (0.0..=RAREST).contains(&self.rarity) && (SLOPE.1..=1.0).contains(&self.slope)
    }

    /// Improbability of a deviation of `ratio` usual ones, in powers of ten.
    pub(super) fn decades(&self, ratio: f32) -> f32 {
        if ratio > TAIL { self.rarity + ln(ratio / TAIL) / (LN_10 * self.slope) } else { self.rarity * ratio / TAIL }
    }

    /// The inverse of [`Tail::decades`] beyond the tail's begin.
    pub(super) fn ratio_at(&self, decades: f32) -> f32 {
        TAIL * exp(((decades - self.rarity) * LN_10 * self.slope).min(40.0))
    }

    /// Learns from one member at one tick; `peak` if it came into the tail at it.
    pub(super) fn learn(&mut self, ratio: f32, peak: bool) {
        let rate = 1.0 / MEMORY;
        if peak {
            let lambda = exp(-LN_10 * self.rarity);
            self.rarity = -LOG10_E * ln(lambda + rate * (1.0 - lambda));
            let gain = (1.0 / (f32::from(self.peaks) + 10.0)).max(0.01);
            self.slope = (self.slope + gain * (ln(ratio / TAIL).min(1.0) - self.slope)).max(SLOPE.1);
            self.peaks = self.peaks.saturating_add(1);
        } else {
            self.rarity += LOG10_E * rate;
        }
        self.rarity = self.rarity.clamp(0.0, RAREST);
    }
}
