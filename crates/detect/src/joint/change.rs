//! The change head: do the channels move together in an unusual way right now?
//!
//! Whitened energy of the last few changes of all channels in their leading, shared directions. Changes
//! are scaled by channel and squashed; their covariance over lags forgets slowly; the directions that hold
//! most of the variance are fitted now and then. What is shared matters: the small directions are noise.

use super::inputs::Inputs;
use super::matrix::eigenpairs;
use super::moments::Moments;
use super::spread::Spread;
use super::state::{JointStateError, Reader, Writer};
use super::{MAX_Z, rescaling, squash};
use crate::math::exp;

/// Changes in a row that are looked at together.
pub(crate) const LAGS: usize = 6;
/// Ticks over which a change is taken.
pub(crate) const WIDTH: usize = 3;
/// Memory of the change head, seconds.
pub(crate) const MEMORY_S: f32 = 14.0 * 86_400.0;
/// Directions that are kept at most.
pub(crate) const DIRECTIONS: usize = 24;
/// Shares of the variance at which the subspace is cut; each direction counts by the cuts it is within.
const CUTS: [f64; 4] = [0.5, 0.65, 0.8, 0.9];
/// Ridge, as a part of the mean variance.
const RIDGE: f64 = 0.01;
/// Floors of a channel's scale, as parts of the range it was seen in.
const FLOORS: (f32, f32) = (0.003, 0.01);
/// Ticks before the first model.
const LEAST_TICKS: f32 = 100.0;

/// Changes of one host and the directions they share.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    /// The last [`WIDTH`] vectors of values, latest first.
    earlier: Vec<Vec<f32>>,
    /// Squashed changes, latest first, [`LAGS`] of them one after another.
    z: Vec<f32>,
    /// Typical sizes of changes, and their mean square.
    sizes: Vec<Spread>,
    square: Vec<f32>,
    /// Scale of each channel; 0 = not known yet.
    scale: Vec<f32>,
    moments: Moments,
    ticks: f32,
    /// Directions, one a row, and their weights.
    directions: Vec<f32>,
    weights: Vec<f32>,
    energy: Spread,
}

impl Change {
    pub(crate) fn new() -> Self {
        Self {
            earlier: Vec::new(),
            z: Vec::new(),
            sizes: Vec::new(),
            square: Vec::new(),
            scale: Vec::new(),
            moments: Moments::new(LAGS),
            ticks: 0.0,
            directions: Vec::new(),
            weights: Vec::new(),
            energy: Spread::of_energy(),
        }
    }

    /// Makes room for `count` channels.
    pub(crate) fn grow(&mut self, count: usize) {
        let old = self.scale.len();
        for values in &mut self.earlier {
            values.resize(count, f32::NAN);
        }
        self.z = widen(&self.z, old, count);
        self.directions = widen(&self.directions, old, count);
        self.z.resize(LAGS * count, 0.0);
        self.sizes.resize_with(count, Spread::of_sizes);
        self.square.resize(count, 0.0);
        self.scale.resize(count, 0.0);
        self.moments.grow(count);
    }

    /// Forgets the changes of the last ticks, after a time without any.
    pub(crate) fn interrupt(&mut self) {
        self.earlier.clear();
        self.z.fill(0.0);
    }

    /// Judges a tick, then learns it; what it is in units of the usual energy, where that is known.
    pub(crate) fn tick(&mut self, inputs: &Inputs, cadence_s: f32) -> Option<f32> {
        let d = self.scale.len();
        let least = cadence_s / MEMORY_S;
        let moved: Vec<f32> = match self.earlier.get(WIDTH - 1) {
            Some(then) => inputs.now.iter().zip(then).map(|(x, y)| (x - y) / WIDTH as f32).collect(),
            None => vec![f32::NAN; d],
        };
        if self.earlier.len() == WIDTH {
            self.earlier.pop();
        }
        self.earlier.insert(0, inputs.now.clone());
        self.z.copy_within(0..(LAGS - 1) * d, d);
        self.ticks += 1.0;
        let rate = (1.0 / self.ticks).max(least);
        let mut rates = vec![0.0; d];
        for c in 0..d {
            let known = moved[c].is_finite();
            let scaled = known && self.scale[c] > 0.0;
            self.z[c] = if scaled { squash(moved[c] / self.scale[c]) } else { 0.0 };
            rates[c] = if scaled { rate } else { 0.0 };
            if known {
                self.sizes[c].add(moved[c].abs(), least);
                let rate = (1.0 / self.sizes[c].seen()).max(least);
                self.square[c] += rate * (moved[c] * moved[c] - self.square[c]);
            }
        }
        let ratio = (!self.weights.is_empty()).then(|| {
            let energy = self.energy_now().sqrt();
            let usual = self.usual();
            self.energy.add(energy, least);
            usual.map(|usual| energy / usual)
        });
        self.moments.learn(&self.z, &rates);
        ratio.flatten()
    }

    /// Median of the energy, once half a hundred were seen.
    fn usual(&self) -> Option<f32> {
        (self.energy.seen() >= 50.0).then(|| exp(self.energy.ln_quantile(0.5)))
    }

    fn projections(&self) -> impl Iterator<Item = (&[f32], f32, f32)> {
        self.directions.chunks_exact(self.z.len().max(1)).zip(&self.weights).map(|(v, g)| (v, *g, dot(v, &self.z)))
    }

    /// Square of the energy of the present changes.
    pub(crate) fn energy_now(&self) -> f32 {
        self.projections().map(|(_, g, p)| g * p * p).sum()
    }

    /// What each channel adds to the square of the energy; they add up to it.
    pub(crate) fn contributions(&self) -> Vec<f32> {
        let d = self.scale.len();
        let mut out = vec![0.0; d];
        for (v, g, p) in self.projections() {
            for (k, (v, z)) in v.iter().zip(&self.z).enumerate() {
                out[k % d] += g * p * v * z;
            }
        }
        out
    }

    /// Scales and directions anew from what was seen.
    pub(crate) fn fit(&mut self, inputs: &Inputs) {
        let d = self.scale.len();
        for c in 0..d {
            let (old, new) = (self.scale[c], self.new_scale(c, inputs.range(c)));
            self.scale[c] = new;
            if old > 0.0 && new > 0.0 {
                let factor = rescaling(old, new);
                self.moments.rescale(c, factor);
                self.z.iter_mut().skip(c).step_by(d).for_each(|z| *z = (*z * factor).clamp(-MAX_Z, MAX_Z));
            }
        }
        if self.ticks < LEAST_TICKS || !(0..d).any(|c| self.moments.known(c)) {
            // Only scales so far: what is learned from now on is in their units.
            return;
        }
        self.fit_directions(d);
    }

    /// The geometric mean of a robust scale and the root mean square: robust alone overrates channels that
    /// are usually still, the other hides bursty ones.
    fn new_scale(&self, c: usize, range: f32) -> f32 {
        if range <= 0.0 || self.sizes[c].seen() < 10.0 {
            return 0.0;
        }
        // Of a normal distribution, these shares of sizes are within so many deviations.
        let at = [(0.5, 0.6745), (0.9, 1.645), (0.99, 3.85)];
        let robust = at.map(|(share, deviations)| exp(self.sizes[c].ln_quantile(share)) / deviations);
        let robust = robust[0].max(robust[1]).max(robust[2]) + FLOORS.0 * range;
        let scale = (robust * (self.square[c].sqrt() + FLOORS.1 * range)).sqrt();
        if scale.is_normal() { scale } else { 0.0 }
    }

    fn fit_directions(&mut self, d: usize) {
        let n = LAGS * d;
        let mut a = vec![0.0; n * n];
        for (i, j) in (0..LAGS).flat_map(|i| (i..LAGS).map(move |j| (i, j))) {
            for (p, q) in (0..d).flat_map(|p| (0..d).map(move |q| (p, q))) {
                let x = self.moments.get(j - i, p, q);
                a[(i * d + p) * n + j * d + q] = x;
                a[(j * d + q) * n + i * d + p] = x;
            }
        }
        let (values, vectors) = eigenpairs(a, n);
        let total: f64 = values.iter().map(|w| w.max(0.0)).sum();
        if total <= 0.0 {
            return;
        }
        let mut shares = vec![0.0; n];
        for cut in CUTS {
            let mut sum = 0.0;
            let within = values.iter().take_while(|w| {
                let more = sum < cut * total;
                sum += w.max(0.0);
                more
            });
            let count = (within.count() + 1).min(n);
            shares[..count].iter_mut().for_each(|g| *g += 1.0 / (CUTS.len() * count) as f64);
        }
        let kept = shares.iter().take_while(|g| **g > 0.0).count().min(DIRECTIONS);
        let ridge = RIDGE * total / n as f64;
        self.weights = (0..kept).map(|k| (shares[k] / (values[k].max(0.0) + ridge)) as f32).collect();
        self.directions = vectors[..kept * n].iter().map(|x| *x as f32).collect();
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.u32(self.earlier.len() as u32);
        self.earlier.iter().for_each(|values| w.slice(values));
        w.slice(&self.z);
        self.sizes.iter().for_each(|sizes| sizes.write(w));
        w.slice(&self.square);
        w.slice(&self.scale);
        self.moments.write(w);
        w.f32(self.ticks);
        w.u32(self.weights.len() as u32);
        w.slice(&self.weights);
        w.slice(&self.directions);
        self.energy.write(w);
    }

    pub(crate) fn read(r: &mut Reader<'_>, count: usize) -> Result<Self, JointStateError> {
        let earlier = r.count("earlier values", WIDTH)?;
        let earlier = (0..earlier).map(|_| r.slice_or_nan("earlier values", count)).collect::<Result<_, _>>()?;
        let z = r.slice("changes", LAGS * count)?;
        let sizes = (0..count).map(|_| Spread::of_sizes().read(r)).collect::<Result<_, _>>()?;
        let square = r.slice("mean squares", count)?;
        let scale = r.slice("scales", count)?;
        let moments = Moments::read(r, LAGS, count)?;
        let ticks = r.within("ticks", 0.0, f32::MAX)?;
        let kept = r.count("directions", DIRECTIONS)?;
        let weights = r.slice("weights", kept)?;
        let directions = r.slice("directions", kept * LAGS * count)?;
        let energy = Spread::of_energy().read(r)?;
        Ok(Self { earlier, z, sizes, square, scale, moments, ticks, directions, weights, energy })
    }
}

/// Rows of `old` numbers each, made `new` long with zeros.
fn widen(rows: &[f32], old: usize, new: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(rows.len() / old.max(1) * new);
    for row in rows.chunks_exact(old.max(1)) {
        out.extend_from_slice(row);
        out.resize(out.len() + new - old, 0.0);
    }
    out
}

/// Sum of products, in eight strands that the compiler can take at once.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8.remainder().iter().zip(b8.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a8.zip(b8) {
        for k in 0..8 {
            sums[k] += x[k] * y[k];
        }
    }
    sums.iter().sum::<f32>() + rest
}
