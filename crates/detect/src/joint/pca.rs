//! Robust principal components: is the row rebuilt by what the channels usually share?
//!
//! Components are fitted to the sample, rows that they rebuild worst are set aside, and again: outliers of the past
//! do not bend them (least trimmed squares, as in ROBPCA of Hubert, Rousseeuw and Vanden Branden 2005, with
//! squashed numbers in place of projection pursuit). The strangeness is what is left of each channel after rebuilding,
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
        let n = rows.len() as f64;
        let known = |x: f32| if x.is_nan() { 0.0 } else { f64::from(x) };
        let mean: Vec<f64> = (0..d).map(|c| rows.iter().map(|row| known(row[c])).sum::<f64>() / n).collect();
        let mut covariance = vec![0.0; d * d];
        let mut off = vec![0.0; d];
        for row in rows {
            off.iter_mut().zip(*row).zip(&mean).for_each(|((off, x), mean)| *off = known(*x) - mean);
            for (i, out) in covariance.chunks_exact_mut(d).enumerate() {
                out.iter_mut().zip(&off).for_each(|(x, y)| *x += off[i] * y / n);
            }
        }
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
            let square: f32 = rests.iter().map(|rest| rest[c] * rest[c]).sum::<f32>() / rests.len() as f32;
            fitted.rest[c] = square.sqrt().max(FLOOR);
        }
        fitted
    }
}

impl Model for Components {
    const SQUARE: bool = true;

    fn fit(rows: &[f32], d: usize, _seed: u64) -> Option<Self> {
        let mut kept: Vec<&[f32]> = rows.chunks_exact(d).collect();
        let all = kept.clone();
        let mut fitted = Self::fit_to(&kept, d);
        for _ in 1..ROUNDS {
            let mut ranked: Vec<(f32, usize)> = all
                .iter()
                .enumerate()
                .map(|(i, row)| {
                    let mut out = vec![0.0; d];
                    fitted.additions(row, &mut out);
                    (out.iter().sum(), i)
                })
                .collect();
            ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            ranked.truncate((all.len() as f32 * KEPT) as usize);
            kept = ranked.iter().map(|(_, i)| all[*i]).collect();
            fitted = Self::fit_to(&kept, d);
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
