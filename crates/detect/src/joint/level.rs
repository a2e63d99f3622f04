//! The level head: is the host somewhere it never is?
//!
//! Shrunken Mahalanobis distance of smoothed levels to a long memory of them, for two spans of smoothing.
//! It makes long incidents rank high. Odd ticks are kept out of the memory for half a day, so that an
//! incident does not become normal at once, yet a new regime does in time. Channels that are not there are
//! marginalised: the distance is that of the others, as if there were no more.

use super::inputs::Inputs;
use super::matrix::inverse;
use super::moments::Moments;
use super::spread::Spread;
use super::state::{JointStateError, Reader, Writer};
use super::{MAX_Z, rescaling, squash};
use crate::math::exp;

/// Ticks over which levels are smoothed.
pub(crate) const SPANS: [f32; 2] = [15.0, 60.0];
/// Memory of the level head, seconds.
pub(crate) const MEMORY_S: f32 = 30.0 * 86_400.0;
/// A tick this many times as far out as usual is not learned,
pub(crate) const ODD: f32 = 2.0;
/// until there were as many odd ticks, less the others, as make up this many seconds.
pub(crate) const QUARANTINE_S: f32 = 43_200.0;
/// Ridge, as a part of the mean variance.
const RIDGE: f64 = 0.01;
/// Floor of a channel's scale, as a part of the range it was seen in.
const FLOOR: f32 = 0.01;
/// Ticks before the first model.
const LEAST_TICKS: f32 = 100.0;

/// Levels of one host.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Level {
    spans: [Span; 2],
    /// Ticks seen, those learned, and odd ones less the others.
    ticks: f32,
    learned: f32,
    odd: f32,
}

/// Levels at one span of smoothing.
#[derive(Debug, Clone, PartialEq)]
struct Span {
    smooth: Vec<f32>,
    count: Vec<f32>,
    mean: Vec<f32>,
    variance: Vec<f32>,
    /// Centre and scale in use; scale 0 = not known.
    centre: Vec<f32>,
    scale: Vec<f32>,
    /// Mean of the squashed levels and their products around it.
    shift: Vec<f32>,
    moments: Moments,
    /// Squashed levels of the last tick around their mean.
    z: Vec<f32>,
    /// Inverse covariance of the channels in use, zero elsewhere; empty before the first model.
    precision: Vec<f32>,
    used: Vec<bool>,
    distance: Spread,
}

impl Level {
    pub(crate) fn new() -> Self {
        let span = Span {
            smooth: Vec::new(),
            count: Vec::new(),
            mean: Vec::new(),
            variance: Vec::new(),
            centre: Vec::new(),
            scale: Vec::new(),
            shift: Vec::new(),
            moments: Moments::new(1),
            z: Vec::new(),
            precision: Vec::new(),
            used: Vec::new(),
            distance: Spread::of_energy(),
        };
        Self { spans: [span.clone(), span], ticks: 0.0, learned: 0.0, odd: 0.0 }
    }

    /// Makes room for `count` channels.
    pub(crate) fn grow(&mut self, count: usize) {
        for span in &mut self.spans {
            span.grow(count);
        }
    }

    /// Judges a tick, then learns it unless it is odd; how many times as far out as usual it is.
    pub(crate) fn tick(&mut self, inputs: &Inputs, cadence_s: f32) -> Option<f32> {
        self.ticks += 1.0;
        let mut squares = 0.0;
        let mut known = true;
        for (span, length) in self.spans.iter_mut().zip(SPANS) {
            span.follow(inputs, (2.0 / (length + 1.0)).max(1.0 / self.ticks));
            match span.ratio() {
                Some(ratio) => squares += ratio * ratio / SPANS.len() as f32,
                None => known = false,
            }
        }
        let ratio = known.then(|| squares.sqrt());
        let patience = QUARANTINE_S / cadence_s;
        let odd = ratio.is_some_and(|ratio| ratio > ODD);
        self.odd = if odd { (self.odd + 1.0).min(2.0 * patience) } else { (self.odd - 1.0).max(0.0) };
        if !odd || self.odd >= patience {
            self.learned += 1.0;
            let least = cadence_s / MEMORY_S;
            for span in &mut self.spans {
                span.learn(inputs, (1.0 / self.learned).max(least), least);
            }
        }
        ratio
    }

    /// What each channel adds to the square of the ratio; they add up to it.
    pub(crate) fn contributions(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.spans[0].z.len()];
        for span in &self.spans {
            let usual = exp(span.distance.ln_quantile(0.5));
            let unit = span.used_count() * usual * usual * SPANS.len() as f32;
            for (i, x) in out.iter_mut().enumerate().filter(|_| unit > 0.0) {
                *x += span.z[i] * span.pull(i) / unit;
            }
        }
        out
    }

    /// Centres, scales and the inverse anew from what was seen.
    pub(crate) fn fit(&mut self, inputs: &Inputs) {
        for span in &mut self.spans {
            span.fit(inputs, self.learned >= LEAST_TICKS);
        }
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.slice(&[self.ticks, self.learned, self.odd]);
        self.spans.iter().for_each(|span| span.write(w));
    }

    pub(crate) fn read(r: &mut Reader<'_>, count: usize) -> Result<Self, JointStateError> {
        let mut number = || r.within("ticks", 0.0, f32::MAX);
        let (ticks, learned, odd) = (number()?, number()?, number()?);
        Ok(Self { spans: [Span::read(r, count)?, Span::read(r, count)?], ticks, learned, odd })
    }
}

impl Span {
    fn grow(&mut self, count: usize) {
        let old = self.z.len();
        for numbers in [
            &mut self.smooth,
            &mut self.count,
            &mut self.mean,
            &mut self.variance,
            &mut self.centre,
            &mut self.scale,
            &mut self.shift,
            &mut self.z,
        ] {
            numbers.resize(count, 0.0);
        }
        if !self.precision.is_empty() {
            let mut wide = vec![0.0; count * count];
            for i in 0..old {
                wide[i * count..i * count + old].copy_from_slice(&self.precision[i * old..(i + 1) * old]);
            }
            self.precision = wide;
        }
        self.used.resize(count, false);
        self.moments.grow(count);
    }

    fn follow(&mut self, inputs: &Inputs, gain: f32) {
        for (c, value) in inputs.now.iter().enumerate().filter(|(_, value)| value.is_finite()) {
            let gain = if self.count[c] == 0.0 { 1.0 } else { gain };
            self.smooth[c] += gain * (value - self.smooth[c]);
        }
        let mut turned = false;
        for c in 0..self.z.len() {
            let there = inputs.now[c].is_finite() && self.scale[c] > 0.0;
            let z = || squash((self.smooth[c] - self.centre[c]) / self.scale[c]) - self.shift[c];
            self.z[c] = if there { z() } else { 0.0 };
            turned |= (there && self.moments.known(c)) != self.used[c];
        }
        if turned && !self.precision.is_empty() {
            self.invert(|c| inputs.now[c].is_finite());
        }
    }

    /// Inverts the covariance of the channels that are there and known.
    fn invert(&mut self, there: impl Fn(usize) -> bool) {
        let d = self.z.len();
        for c in 0..d {
            self.used[c] = there(c) && self.scale[c] > 0.0 && self.moments.known(c);
        }
        let used: Vec<usize> = (0..d).filter(|c| self.used[*c]).collect();
        let n = used.len();
        let covariance = |i: usize, j: usize| (self.moments.get(0, i, j) + self.moments.get(0, j, i)) / 2.0;
        let mut a: Vec<f64> = used.iter().flat_map(|i| used.iter().map(move |j| covariance(*i, *j))).collect();
        let ridge = RIDGE * (0..n).map(|i| a[i * n + i]).sum::<f64>() / n.max(1) as f64 + 1e-9;
        (0..n).for_each(|i| a[i * n + i] += ridge);
        let inverse = inverse(a, n);
        self.precision.clear();
        self.precision.resize(d * d, 0.0);
        for (p, i) in used.iter().enumerate() {
            for (q, j) in used.iter().enumerate() {
                self.precision[i * d + j] = inverse[p * n + q] as f32;
            }
        }
    }

    fn pull(&self, i: usize) -> f32 {
        let row = self.precision.iter().skip(i * self.z.len()).zip(&self.z);
        row.map(|(p, z)| p * z).sum()
    }

    fn used_count(&self) -> f32 {
        self.used.iter().filter(|used| **used).count() as f32
    }

    /// Distance of the present levels, per channel.
    fn distance_now(&self) -> Option<f32> {
        let used = self.used_count();
        if self.precision.is_empty() || used == 0.0 {
            return None;
        }
        let square: f32 = (0..self.z.len()).filter(|i| self.used[*i]).map(|i| self.z[i] * self.pull(i)).sum();
        Some((square / used).max(0.0).sqrt())
    }

    /// Distance of the present levels in units of the usual one.
    fn ratio(&self) -> Option<f32> {
        let distance = self.distance_now()?;
        (self.distance.seen() >= 10.0).then(|| distance / exp(self.distance.ln_quantile(0.5)))
    }

    fn learn(&mut self, inputs: &Inputs, rate: f32, least: f32) {
        if let Some(distance) = self.distance_now() {
            self.distance.add(distance, least);
        }
        let mut rates = vec![0.0; self.z.len()];
        for c in (0..self.z.len()).filter(|c| inputs.now[*c].is_finite()) {
            self.count[c] += 1.0;
            let own = (1.0 / self.count[c]).max(least);
            let off = self.smooth[c] - self.mean[c];
            self.mean[c] += own * off;
            self.variance[c] = (1.0 - own) * (self.variance[c] + own * off * off);
            if self.scale[c] > 0.0 {
                rates[c] = rate;
                self.shift[c] += rate * self.z[c];
            }
        }
        self.moments.learn(&self.z, &rates);
    }

    fn fit(&mut self, inputs: &Inputs, enough: bool) {
        for c in 0..self.z.len() {
            let range = inputs.range(c);
            let new = self.variance[c].sqrt() + FLOOR * range;
            let new = if range > 0.0 && new.is_normal() && self.count[c] >= 10.0 { new } else { 0.0 };
            let old = self.scale[c];
            if old > 0.0 && new > 0.0 {
                let factor = rescaling(old, new);
                self.moments.rescale(c, factor);
                let moved = squash((self.centre[c] - self.mean[c]) / new);
                self.shift[c] = (self.shift[c] * factor + moved).clamp(-MAX_Z, MAX_Z);
            }
            (self.centre[c], self.scale[c]) = (self.mean[c], new);
        }
        if enough && (0..self.z.len()).any(|c| self.moments.known(c)) {
            self.invert(|c| inputs.now[c].is_finite());
        }
    }

    fn write(&self, w: &mut Writer<'_>) {
        for numbers in [&self.smooth, &self.count, &self.mean, &self.variance, &self.centre, &self.scale] {
            w.slice(numbers);
        }
        w.slice(&self.shift);
        self.moments.write(w);
        w.slice(&self.z);
        w.u32(u32::from(!self.precision.is_empty()));
        w.slice(&self.precision);
        self.used.iter().for_each(|used| w.bytes(&[u8::from(*used)]));
        self.distance.write(w);
    }

    fn read(r: &mut Reader<'_>, count: usize) -> Result<Self, JointStateError> {
        let mut numbers = || r.slice("levels", count);
        let (smooth, seen, mean) = (numbers()?, numbers()?, numbers()?);
        let (variance, centre, scale, shift) = (numbers()?, numbers()?, numbers()?, numbers()?);
        if variance.iter().chain(&scale).chain(&seen).any(|x| *x < 0.0) {
            return Err(JointStateError::Damaged("levels"));
        }
        let moments = Moments::read(r, 1, count)?;
        let z = r.slice("levels", count)?;
        let fitted = r.count("precision", 1)?;
        let precision = r.slice("precision", fitted * count * count)?;
        let used = r.byte_slice(count)?.iter().map(|used| *used != 0).collect();
        let distance = Spread::of_energy().read(r)?;
        Ok(Self { smooth, count: seen, mean, variance, centre, scale, shift, moments, z, precision, used, distance })
    }
}
