//! How rare a value of a derived series is by its own past, in powers of ten per tick.
//!
//! The same idea as in the detector of single series: a robust (clipped) scale, and beyond three scales
//! peaks over a threshold, learned once a cluster: how often they come and how steeply they thin out
//! (Hill's estimator).

use super::state::{JointStateError, Reader, Writer};
use crate::math::{LN_10, LOG10_E, exp, ln};

/// Memory of scale and rate, ticks.
pub(crate) const MEMORY: f32 = 10_000.0;
/// The tail begins at this many scales.
pub(crate) const TAIL: f32 = 3.0;
/// Ticks without a tail value before the next one starts a new cluster.
const CLUSTER_GAP: u8 = 10;
/// A value teaches the scale at most this many scales.
const CLIP: f32 = 4.0;
/// Least rate of clusters, as -log10.
const RAREST: f32 = 2.301_03;
/// Rate of clusters of a young series, as -log10.
const RARITY_START: f32 = 1.698_97;
/// Hill slope of a young series, the least one, and the most that one cluster teaches.
const SLOPE: (f32, f32, f32) = (0.3, 0.2, 1.0);

/// Nothing is said of values before so many were learned.
const YOUNG: u32 = 50;

/// The learned tail of one derived series of values that are not negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tail {
    scale: f32,
    rarity: f32,
    slope: f32,
    ticks: u32,
    clusters: u8,
    since: u8,
}

impl Tail {
    /// A tail that saw nothing.
    pub(crate) const NEW: Self =
        Self { scale: 0.0, rarity: RARITY_START, slope: SLOPE.0, ticks: 0, clusters: 0, since: u8::MAX };

    /// Powers of ten of improbability of `value`, by what was seen before; scales under `floor` count as it.
    /// NaN while too little was seen.
    pub(crate) fn decades(&self, value: f32, floor: f32) -> f32 {
        if self.ticks < YOUNG {
            return f32::NAN;
        }
        let ratio = self.ratio(value, floor);
        if ratio > TAIL { self.rarity + ln(ratio / TAIL) / (LN_10 * self.slope) } else { self.rarity * ratio / TAIL }
    }

    fn ratio(&self, value: f32, floor: f32) -> f32 {
        value / self.scale.max(floor).max(f32::MIN_POSITIVE)
    }

    /// Learns `value`, which was judged before.
    pub(crate) fn learn(&mut self, value: f32, floor: f32) {
        let ratio = self.ratio(value, floor);
        let rate = (1.0 / (self.ticks as f32 + 51.0)).max(1.0 / MEMORY);
        let tail = ratio > TAIL;
        if tail && self.since >= CLUSTER_GAP && self.ticks > 0 {
            let lambda = exp(-LN_10 * self.rarity);
            self.rarity = -LOG10_E * ln(lambda + rate * (1.0 - lambda));
            let gain = (1.0 / (f32::from(self.clusters) + 10.0)).max(0.01);
            self.slope = (self.slope + gain * (ln(ratio / TAIL).min(SLOPE.2) - self.slope)).max(SLOPE.1);
            self.clusters = self.clusters.saturating_add(1);
        } else {
            self.rarity -= LOG10_E * ln(1.0 - rate);
        }
        self.rarity = self.rarity.clamp(0.0, RAREST);
        self.since = if tail { 0 } else { self.since.saturating_add(1) };
        let rate = (1.0 / (self.ticks as f32 + 1.0)).max(1.0 / MEMORY);
        let clip = if self.ticks < 10 { f32::MAX } else { CLIP * self.scale.max(floor) };
        self.scale += rate * (value.min(clip) - self.scale);
        self.ticks = self.ticks.saturating_add(1);
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.slice(&[self.scale, self.rarity, self.slope]);
        w.u32(self.ticks);
        w.bytes(&[self.clusters, self.since]);
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, JointStateError> {
        let scale = r.within("scale", 0.0, f32::MAX)?;
        let rarity = r.within("rarity", 0.0, RAREST)?;
        let slope = r.within("slope", SLOPE.1, SLOPE.2)?;
        let ticks = r.u32()?;
        let [clusters, since] = r.take()?;
        Ok(Self { scale, rarity, slope, ticks, clusters, since })
    }
}
