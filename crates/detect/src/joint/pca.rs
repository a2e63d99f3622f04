//! Robust principal components: is the row rebuilt by what the channels usually share?
//!
//! Components are fitted to the half of the sample that is nearest to the usual values, then to the rows that they
//! rebuild best, and again: outliers of the past do not bend them, not even many of a kind (least trimmed squares, as in
//! ROBPCA of Hubert, Rousseeuw and Vanden Branden 2005, with squashed numbers in place of projection pursuit). The strangeness is what is left of each channel after rebuilding,
//! squared, in units of what is usually left.

use super::matrix::eigenpairs;
use super::named::Model;
use super::state::{JointStateError, Reader, Writer};

/// Share of the variance that the components hold.
pub(crate) const HELD: f64 = 0.9;
/// Components at most.
const MOST: usize = 16;
/// Share of rows that the components are fitted to.
pub(crate) const KEPT: f32 = 0.8;
/// Share of rows, those nearest to the usual values of all channels, that they are fitted to first.
const FIRST: f32 = 0.5;
/// Fits, each to the rows that the one before rebuilt best.
const ROUNDS: usize = 3;
/// Rounds in which missing channels are filled in.
const FILLS: usize = 8;
/// Least rest that counts as usual, scales.
const FLOOR: f32 = 0.1;

/// Means, components one a row, and the usual rest of each channel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Components {
    mean: Vec<f32>,
    components: Vec<f32>,
    rest: Vec<f32>,
}

impl Components {
    /// What is left of the row `z` after rebuilding; 0 where it is not known.
    fn rest(&self, z: &[f32]) -> Vec<f32> {
        let off = |(x, mean): (&f32, &f32)| if x.is_nan() { 0.0 } else { x - mean };
        let mut off: Vec<f32> = z.iter().zip(&self.mean).map(off).collect();
        let mut rest = self.left(&off);
        if z.iter().any(|x| x.is_nan()) {
            // What is not known is put where the others rebuild it, until that changes little.
            for _ in 0..FILLS {
                let unknown = off.iter_mut().zip(&rest).zip(z).filter(|(_, z)| z.is_nan());
                unknown.for_each(|((off, rest), _)| *off -= rest);
                rest = self.left(&off);
            }
            rest.iter_mut().zip(z).filter(|(_, z)| z.is_nan()).for_each(|(x, _)| *x = 0.0);
        }
        rest
    }

    /// What the components do not hold of `off`.
    fn left(&self, off: &[f32]) -> Vec<f32> {
        let mut rest = off.to_vec();
        for component in self.components.chunks_exact(off.len().max(1)) {
            // They are at right angles: what one takes away changes nothing for the next.
            let along: f32 = component.iter().zip(&rest).map(|(v, x)| v * x).sum();
            rest.iter_mut().zip(component).for_each(|(x, v)| *x -= along * v);
        }
        rest
    }

    fn fit_to(rows: &[&[f32]], d: usize) -> Self {
        // Of each pair of channels the rows in which both are known.
        let mut counts = vec![0.0; d * d];
        let mut covariance = vec![0.0; d * d];
        let known = |c: usize| rows.iter().map(move |row| row[c]).filter(|x| !x.is_nan());
        let mean = |c: usize| known(c).map(f64::from).sum::<f64>() / known(c).count().max(1) as f64;
        let mean: Vec<f64> = (0..d).map(mean).collect();
        let (mut off, mut is_known) = (vec![0.0; d], vec![0.0; d]);
        for row in rows {
            for c in 0..d {
                is_known[c] = if row[c].is_nan() { 0.0 } else { 1.0 };
                off[c] = if row[c].is_nan() { 0.0 } else { f64::from(row[c]) - mean[c] };
            }
            for i in (0..d).filter(|i| is_known[*i] > 0.0) {
                let row = i * d..(i + 1) * d;
                covariance[row.clone()].iter_mut().zip(&off).for_each(|(x, y)| *x += off[i] * y);
                counts[row].iter_mut().zip(&is_known).for_each(|(n, y)| *n += y);
            }
        }
        covariance.iter_mut().zip(&counts).for_each(|(x, n)| *x /= f64::max(*n, 1.0));
        let (values, vectors) = eigenpairs(covariance, d);
        let total: f64 = values.iter().map(|x| x.max(0.0)).sum();
        let mut sum = 0.0;
        let within = values.iter().take_while(|value| {
            let more = sum < HELD * total;
            sum += value.max(0.0);
            more
        });
        let count = within.count().min(MOST).min(d.saturating_sub(1));
        let components = vectors[..count * d].iter().map(|x| *x as f32).collect();
        let mut fitted = Self { mean: mean.iter().map(|x| *x as f32).collect(), components, rest: vec![1.0; d] };
        let rests: Vec<Vec<f32>> = rows.iter().map(|row| fitted.rest(row)).collect();
        for c in 0..d {
            // What was not known rests 0 and does not count.
            let square: f32 = rests.iter().map(|rest| rest[c] * rest[c]).sum();
            let count = rows.iter().filter(|row| !row[c].is_nan()).count().max(1);
            fitted.rest[c] = (square / count as f32).sqrt().max(FLOOR);
        }
        fitted
    }
}

/// Mean square of what is known of a row, in whose units the usual value of each channel is 0.
fn mean_square(row: &[f32]) -> f32 {
    let known = row.iter().filter(|x| !x.is_nan());
    let (sum, count) = known.fold((0.0, 0.0), |(sum, n), x| (sum + x * x, n + 1.0));
    sum / f32::max(count, 1.0)
}

impl Model for Components {
    const SQUARE: bool = true;

    fn fit(rows: &[f32], d: usize, _seed: u64) -> Option<Self> {
        let all: Vec<&[f32]> = rows.chunks_exact(d).collect();
        let least_by = |strange: &dyn Fn(&[f32]) -> f32, share: f32| -> Vec<&[f32]> {
            let mut ranked: Vec<(f32, usize)> = all.iter().zip(0..).map(|(row, i)| (strange(row), i)).collect();
            ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            ranked.truncate((all.len() as f32 * share).ceil() as usize);
            ranked.iter().map(|(_, i)| all[*i]).collect()
        };
        // The first fit must not be bent either, or what bends it is rebuilt well and stays.
        let mut fitted = Self::fit_to(&least_by(&mean_square, FIRST), d);
        for _ in 1..ROUNDS {
            let strange = |row: &[f32]| {
                let mut out = vec![0.0; d];
                fitted.additions(row, &mut out);
                out.iter().sum()
            };
            fitted = Self::fit_to(&least_by(&strange, KEPT), d);
        }
        Some(fitted)
    }

    fn additions(&self, z: &[f32], out: &mut [f32]) {
        let known = z.iter().filter(|x| !x.is_nan()).count().max(1) as f32;
        for ((out, rest), usual) in out.iter_mut().zip(self.rest(z)).zip(&self.rest) {
            *out += rest * rest / (usual * usual * known);
        }
    }

    fn write(&self, w: &mut Writer<'_>) {
        w.slice(&self.mean);
        w.u32((self.components.len() / self.mean.len().max(1)) as u32);
        w.slice(&self.components);
        w.slice(&self.rest);
    }

    fn read(r: &mut Reader<'_>, d: usize) -> Result<Self, JointStateError> {
        let mean = r.slice("components", d)?;
        let count = r.count("components", MOST)?;
        let (components, rest) = (r.slice("components", count * d)?, r.slice("components", d)?);
        if rest.iter().any(|x| *x < FLOOR) {
            return Err(JointStateError::Damaged("components"));
        }
        Ok(Self { mean, components, rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::dither;

    #[test]
    fn a_channel_that_leaves_the_others_is_named_and_outliers_of_the_past_do_not_bend() {
        let mut rows = Vec::new();
        for i in 0..200u64 {
            let load = 4.0 * dither(i) - 2.0;
            rows.extend((0..6).map(|c| load + 0.1 * dither(1000 * (i + 1) + c)));
        }
        // A tenth of the past is out of line, and all in one direction.
        for row in rows.chunks_exact_mut(6).step_by(10) {
            row[5] += 30.0;
        }
        let fitted = Components::fit(&rows, 6, 0).expect("fitted");
        let strange = |z: [f32; 6]| {
            let mut out = vec![0.0; 6];
            fitted.additions(&z, &mut out);
            out
        };
        let usual: f32 = strange([1.0; 6]).iter().sum();
        let odd = strange([1.0, 1.0, 1.0, 4.0, 1.0, 1.0]);
        assert!(odd.iter().sum::<f32>() > 20.0 * usual, "{odd:?} {usual}");
        assert!(odd.iter().all(|x| *x <= odd[3]), "{odd:?}");
        let out_of_line: f32 = strange([1.0, 1.0, 1.0, 1.0, 1.0, 31.0]).iter().sum();
        assert!(out_of_line > 20.0 * usual, "{out_of_line} {usual}");
    }
}
