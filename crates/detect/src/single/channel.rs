//! One channel of errors: how large they usually are, and how improbable the present one is.
//!
//! The scale is robust (clipped) and quick; under it lies a floor from a slow, nearly raw root mean
//! square, which keeps sparse and bursty series quiet. Beyond three scales the tail is learned as peaks
//! over a threshold: how often clusters of such rows come, and how steeply they thin out (Hill's
//! estimator). How steeply is an estimate of few clusters at first, so what follows from it is drawn as
//! what is to be expected of the next one (a Lomax tail), which is heavy while little is known and comes to
//! the estimate with each cluster. The result counts powers of ten of improbability per row.

use crate::math::{LN_10, LOG10_E, exp, ln};

/// Memory of the scale and of the rate of clusters, rows.
pub(crate) const SCALE_ROWS: f32 = 10_000.0;
/// Memory of the root mean square, rows.
pub(crate) const SQUARE_ROWS: f32 = 30_000.0;
/// Errors teach the scale at most this many scales.
pub(crate) const CLIP: f32 = 4.0;
/// Errors teach the root mean square at most this many of it.
pub(crate) const SQUARE_CLIP: f32 = 20.0;
/// The working scale is at least the root mean square divided by this.
pub(crate) const SQUARE_DIVISOR: f32 = 5.0;
/// The tail begins at this many working scales.
pub(crate) const TAIL: f32 = 3.0;
/// Rows without a tail row before the next one starts a new cluster.
pub(crate) const CLUSTER_GAP: u8 = 10;
/// Least rate of clusters per row, as -log10.
pub(crate) const RAREST: f32 = 2.301_03;
/// Rate of clusters of a young series: 1 in 50 rows, as -log10.
pub(crate) const RARITY_START: f32 = 1.698_97;
/// Hill slope of a young series.
pub(crate) const SLOPE_START: f32 = 0.3;
/// Least Hill slope.
pub(crate) const SLOPE_FLOOR: f32 = 0.2;
/// Clusters that the slope of a young series is worth.
pub(crate) const SLOPE_TRUST: f32 = 10.0;
/// Clusters that the slope is worth before there are any, for each power of ten that makes 1.0. The further out
/// the edge is, the more it takes to reach it by what few clusters say: so a young series is held back by the
/// same part at each cadence.
pub(crate) const TAIL_TRUST: f32 = 3.5;
/// Least gain of the Hill slope from one cluster.
const SLOPE_RATE: f32 = 0.01;
/// Most that one cluster teaches the Hill slope.
pub(crate) const SLOPE_CLIP: f32 = 1.0;
/// Rows over the clip, net, after which a new regime is adopted.
pub(crate) const ADOPT_ROWS: i16 = 400;
/// Rate at which a new regime is adopted.
pub(crate) const ADOPT_RATE: f32 = 1.0 / 30.0;
/// Clip while a new regime is adopted.
pub(crate) const ADOPT_CLIP: f32 = 80.0;
/// An error under the scale divided by this is small.
const SMALL: f32 = 6.0;
/// Small rows, net, after which the scale falls faster: what made it as large, a day of noise, is over.
const RETURN_ROWS: i16 = 800;
/// Rate of the scale then.
const RETURN_RATE: f32 = 1.0 / 500.0;
/// In the first rows nothing is clipped and no score goes beyond the tail's start.
pub(crate) const FIRST_ROWS: u32 = 10;
/// Largest ratio of an error to its scale.
const MAX_RATIO: f32 = 1e9;
/// Least scale that is divided by.
const MIN_SCALE: f32 = 1e-30;

/// What is learned of one channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Channel {
    /// Clipped mean of absolute errors.
    pub(crate) scale: f32,
    /// Slow mean of squared errors.
    pub(crate) square: f32,
    /// -log10 of the rate of clusters per row; stored so, because it is read each row and a quiet row
    /// moves it by a number that needs no logarithm.
    pub(crate) rarity: f32,
    /// Hill slope.
    pub(crate) slope: f32,
    /// Rows over the clip minus rows under it, up to twice [`ADOPT_ROWS`]; where there are none, small rows minus
    /// others, below zero, down to twice [`RETURN_ROWS`].
    pub(crate) regime: i16,
    /// Rows since the last tail row.
    pub(crate) since: u8,
    /// Clusters learned.
    pub(crate) clusters: u8,
}

/// How fast a channel learns from one row; the same for the three channels of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rates {
    /// The first rows of a series: nothing is clipped.
    pub(crate) first: bool,
    /// Rate of the scale.
    pub(crate) scale: f32,
    /// Rate of the root mean square.
    pub(crate) square: f32,
    /// Rate of the rate of clusters.
    pub(crate) rarity: f32,
    /// Least scale.
    pub(crate) floor: f32,
}

impl Rates {
    /// The rates after `rows` rows.
    pub(crate) fn new(rows: u32, floor: f32) -> Self {
        let mean = 1.0 / (rows as f32 + 1.0);
        Self {
            first: rows < FIRST_ROWS,
            scale: mean.max(1.0 / SCALE_ROWS),
            square: mean.max(1.0 / SQUARE_ROWS),
            rarity: (1.0 / (rows as f32 + 51.0)).max(1.0 / SCALE_ROWS),
            floor,
        }
    }
}

impl Channel {
    /// A channel that saw nothing.
    pub(crate) const NEW: Self = Self {
        scale: 0.0,
        square: 0.0,
        rarity: RARITY_START,
        slope: SLOPE_START,
        regime: 0,
        since: u8::MAX,
        clusters: 0,
    };

    /// Root mean square of the errors.
    pub(crate) fn root(&self) -> f32 {
        self.square.sqrt()
    }

    /// The working scale, where the robust one is multiplied by `factor`; `root` is [`Channel::root`].
    pub(crate) fn working_scale(&self, factor: f32, root: f32) -> f32 {
        (self.scale * factor).max(root * (1.0 / SQUARE_DIVISOR))
    }

    /// How many scales `error` (not negative) is.
    pub(crate) fn ratio(error: f32, scale: f32) -> f32 {
        (error / scale.max(MIN_SCALE)).min(MAX_RATIO)
    }

    /// Improbability of a row at `ratio` scales, in powers of ten, where `decades` of them make 1.0.
    ///
    /// With a slope that k clusters vouch for, the logarithm of the next one's excess is Lomax distributed: the
    /// predictive distribution of an exponential whose rate is known by a gamma one.
    pub(crate) fn improbability(&self, ratio: f32, decades: f32) -> f32 {
        if ratio > TAIL {
            let trust = self.trust(decades);
            self.rarity + LOG10_E * trust * ln(1.0 + ln(ratio / TAIL) / (self.slope * trust))
        } else {
            self.rarity * ratio / TAIL
        }
    }

    /// The ratio at which the improbability reaches `decades`: the inverse of [`Channel::improbability`].
    pub(crate) fn ratio_at(&self, decades: f32) -> f32 {
        if decades > self.rarity {
            let trust = self.trust(decades);
            let excess = self.slope * trust * (exp((decades - self.rarity) * LN_10 / trust) - 1.0);
            (TAIL * exp(excess)).min(MAX_RATIO)
        } else {
            TAIL * decades / self.rarity
        }
    }

    /// Clusters that vouch for the slope.
    fn trust(&self, decades: f32) -> f32 {
        TAIL_TRUST * decades + f32::from(self.clusters)
    }

    /// Whether the channel is taking over a new regime.
    pub(crate) fn adopts(&self) -> bool {
        self.regime > ADOPT_ROWS
    }

    /// Learns from `error` (not negative), which was `ratio` working scales; `root` is [`Channel::root`].
    pub(crate) fn learn(&mut self, error: f32, ratio: f32, root: f32, rates: &Rates) {
        self.learn_tail(ratio, rates.rarity);
        let over = error > CLIP * self.scale && !rates.first;
        self.regime = if over {
            self.regime.clamp(0, 2 * ADOPT_ROWS - 1) + 1
        } else if self.regime > 0 || (error * SMALL < self.scale && !rates.first) {
            self.regime.max(1 - 2 * RETURN_ROWS) - 1
        } else {
            self.regime.saturating_add(1).min(0)
        };
        let clip = SQUARE_CLIP * root.max(self.scale);
        let taught = if rates.first { error } else { error.min(clip) };
        self.square += rates.square * (taught * taught - self.square);
        let (rate, clip) = if self.adopts() {
            self.slope = self.slope.max(SLOPE_START);
            (rates.scale.max(ADOPT_RATE), ADOPT_CLIP)
        } else if self.regime < -RETURN_ROWS {
            (rates.scale.max(RETURN_RATE), CLIP)
        } else {
            (rates.scale, CLIP)
        };
        let taught = if rates.first { error } else { error.min(clip * self.scale) };
        self.scale = (self.scale + rate * (taught - self.scale)).max(rates.floor);
    }

    fn learn_tail(&mut self, ratio: f32, rate: f32) {
        let tail = ratio > TAIL;
        if tail && self.since >= CLUSTER_GAP {
            let lambda = exp(-LN_10 * self.rarity);
            self.rarity = -LOG10_E * ln(lambda + rate * (1.0 - lambda));
            let gain = (1.0 / (f32::from(self.clusters) + SLOPE_TRUST)).max(SLOPE_RATE);
            self.slope += gain * (ln(ratio / TAIL).min(SLOPE_CLIP) - self.slope);
            self.slope = self.slope.max(SLOPE_FLOOR);
            self.clusters = self.clusters.saturating_add(1);
        } else {
            // lambda *= 1 - rate, by the series of ln(1 - rate).
            self.rarity += LOG10_E * rate * (1.0 + rate * (0.5 + rate * (1.0 / 3.0)));
        }
        self.rarity = self.rarity.clamp(0.0, RAREST);
        self.since = if tail { 0 } else { self.since.saturating_add(1) };
    }

    /// What a series that never varied has instead of a learned scale: `scale`, and a tail as rare as the
    /// `rows` without a change say.
    pub(crate) fn after_constant(rows: u32, scale: f32) -> Self {
        let rarity = (LOG10_E * ln(rows as f32 + 50.0)).min(RAREST);
        Self { scale, square: scale * scale, rarity, ..Self::NEW }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of errors with an exponential tail, by inversion of evenly spread numbers.
    fn noise(i: u64) -> f32 {
        -ln(1.0 - crate::math::dither(i))
    }

    fn taught(rows: u32) -> Channel {
        let mut channel = Channel::NEW;
        for row in 0..rows {
            let error = noise(u64::from(row));
            let ratio = Channel::ratio(error, channel.working_scale(1.0, channel.root()));
            let ratio = if row < FIRST_ROWS { ratio.min(TAIL) } else { ratio };
            channel.learn(error, ratio, channel.root(), &Rates::new(row, 0.0));
        }
        channel
    }

    #[test]
    fn learns_scale_and_tail() {
        let channel = taught(20_000);
        assert!((0.85..1.1).contains(&channel.scale), "{channel:?}");
        assert!((channel.square - 2.0).abs() < 0.2, "{channel:?}");
        // Of an exponential, 5 % of rows are over 3 means; in clusters a little fewer.
        assert!((1.2..1.7).contains(&channel.rarity), "{channel:?}");
    }

    #[test]
    fn the_inverse_is_one() {
        let channel = taught(3000);
        for channel in [Channel::NEW, channel] {
            for decades in [0.5, 2.0, 4.6, 9.0] {
                let ratio = channel.ratio_at(decades);
                let back = channel.improbability(ratio, decades);
                assert!((back / decades - 1.0).abs() < 1e-3, "{ratio} {back} {decades}");
            }
        }
    }

    #[test]
    fn few_clusters_make_a_heavy_tail() {
        let at = |clusters| Channel { clusters, ..Channel::NEW }.improbability(40.0, 4.6);
        let estimate = RARITY_START + LOG10_E * ln(40.0 / TAIL) / SLOPE_START;
        assert!(at(0) < 0.9 * estimate && at(0) < at(20) && at(20) < at(200), "{} {}", at(0), at(20));
        assert!((at(255) / estimate - 1.0).abs() < 0.02, "{} {estimate}", at(255));
    }

    #[test]
    fn a_new_regime_is_adopted() {
        let mut channel = taught(5000);
        for row in 0..ADOPT_ROWS as u32 + 200 {
            let error = 40.0 * noise(u64::from(row) + 90_000) + 10.0;
            let ratio = Channel::ratio(error, channel.working_scale(1.0, channel.root()));
            channel.learn(error, ratio, channel.root(), &Rates::new(5000 + row, 0.0));
        }
        assert!(channel.scale > 20.0, "{channel:?}");
        // And given up once it is over, in a day or two at one row a minute.
        for row in 0..2880 {
            let error = noise(u64::from(row) + 95_000);
            let ratio = Channel::ratio(error, channel.working_scale(1.0, channel.root()));
            channel.learn(error, ratio, channel.root(), &Rates::new(6000 + row, 0.0));
        }
        assert!(channel.scale < 2.0, "{channel:?}");
    }
}
