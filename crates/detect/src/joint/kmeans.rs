//! k-means: how far is the row from the nearest of the places where the host usually is?
//!
//! Lloyd's iterations from a seeded k-means++ start (Arthur and Vassilvitskii 2007).

use super::named::Model;
use super::state::{JointStateError, Reader, Writer};
use crate::math::dither;

/// Centres.
pub(crate) const CENTRES: usize = 8;
/// Share of rows that make a place: a few odd rows of the past do not.
const LEAST: f32 = 0.03;
/// Most iterations.
const ROUNDS: usize = 20;

/// Centres, one a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Centres {
    centres: Vec<f32>,
}

/// Mean square of the known differences.
fn distance(z: &[f32], centre: &[f32]) -> f32 {
    let known = z.iter().zip(centre).filter(|(x, _)| !x.is_nan());
    let (sum, count) = known.fold((0.0, 0.0), |(sum, n), (x, y)| (sum + (x - y) * (x - y), n + 1.0));
    sum / f32::max(count, 1.0)
}

impl Centres {
    fn nearest(&self, z: &[f32]) -> (usize, f32) {
        let all = self.centres.chunks_exact(z.len().max(1)).map(|centre| distance(z, centre)).enumerate();
        all.fold((0, f32::MAX), |best, it| if it.1 < best.1 { it } else { best })
    }
}

impl Model for Centres {
    const SQUARE: bool = true;

    fn fit(rows: &[f32], d: usize, seed: u64) -> Option<Self> {
        let rows: Vec<&[f32]> = rows.chunks_exact(d).collect();
        let whole = |row: &[f32]| row.iter().map(|x| if x.is_nan() { 0.0 } else { *x }).collect::<Vec<f32>>();
        let first = (dither(seed) * rows.len() as f32) as usize;
        let mut fitted = Self { centres: whole(rows[first.min(rows.len() - 1)]) };
        for k in 1..CENTRES as u64 {
            // The further a row is from all centres, the more probable it is as the next.
            let far: Vec<f32> = rows.iter().map(|row| fitted.nearest(row).1).collect();
            let mut left = dither(seed + k) * far.iter().sum::<f32>();
            let chosen = far.iter().position(|x| {
                left -= x;
                left < 0.0
            });
            fitted.centres.extend(whole(rows[chosen.unwrap_or(rows.len() - 1)]));
        }
        let mut before = vec![usize::MAX; rows.len()];
        for _ in 0..ROUNDS {
            let mine: Vec<usize> = rows.iter().map(|row| fitted.nearest(row).0).collect();
            if mine == before {
                break;
            }
            for (k, centre) in fitted.centres.chunks_exact_mut(d).enumerate() {
                for (c, mean) in centre.iter_mut().enumerate() {
                    let of_centre = rows.iter().zip(&mine).filter(|(row, m)| **m == k && !row[c].is_nan());
                    let (sum, n) = of_centre.fold((0.0, 0.0), |(sum, n), (row, _)| (sum + row[c], n + 1.0));
                    if n > 0.0 {
                        *mean = sum / n;
                    }
                }
            }
            before = mine;
        }
        let least = (rows.len() as f32 * LEAST) as usize;
        let is_place = |k: &usize| before.iter().filter(|mine| *mine == k).count() >= least;
        let places = (0..CENTRES).filter(is_place).flat_map(|k| fitted.centres[k * d..(k + 1) * d].to_vec());
        Some(Self { centres: places.collect() })
    }

    fn additions(&self, z: &[f32], out: &mut [f32]) {
        let known = z.iter().filter(|x| !x.is_nan()).count().max(1) as f32;
        let nearest = self.nearest(z).0 * z.len();
        for ((out, x), y) in out.iter_mut().zip(z).zip(&self.centres[nearest..]).filter(|((_, x), _)| !x.is_nan()) {
            *out += (x - y) * (x - y) / known;
        }
    }

    fn write(&self, w: &mut Writer<'_>) {
        w.u32(self.centres.len() as u32);
        w.slice(&self.centres);
    }

    fn read(r: &mut Reader<'_>, d: usize) -> Result<Self, JointStateError> {
        let count = r.count("centres", CENTRES * d)?;
        if count < d || !count.is_multiple_of(d.max(1)) {
            return Err(JointStateError::Damaged("centres"));
        }
        Ok(Self { centres: r.slice("centres", count)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_from_both_places_is_strange_and_names_the_channel() {
        let place = |i: u64| if i.is_multiple_of(2) { 0.0 } else { 10.0 };
        let rows: Vec<f32> = (0..200).flat_map(|i| (0..4).map(move |c| place(i) + dither(4 * i + c))).collect();
        let fitted = Centres::fit(&rows, 4, 3).expect("fitted");
        let strange = |z: [f32; 4]| {
            let mut out = vec![0.0; 4];
            fitted.additions(&z, &mut out);
            out
        };
        let sum = |z| strange(z).iter().sum::<f32>();
        assert!(sum([10.5; 4]) < 1.0 && sum([0.5; 4]) < 1.0);
        assert!(sum([5.0; 4]) > 4.0 && sum([0.5, 0.5, 9.0, 0.5]) > 4.0);
        let odd = strange([0.5, 0.5, 9.0, 0.5]);
        assert!(odd[2] > 0.9 * odd.iter().sum::<f32>(), "{odd:?}");
        assert!(sum([f32::NAN; 4]) == 0.0);
    }
}
