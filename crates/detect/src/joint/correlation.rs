//! Broken correlations: channels that go together, and now do not.
//!
//! Of the pairs of channels the strongest correlated ones are kept, a few for each channel. Of each, what one says of the
//! other is compared with what the other says: the rest of the regression in its usual units. The strangeness is
//! the mean square of the rests; both channels of a pair are half to blame.
//!
//! That no pair is broken tells something only where channels of pairs moved: then they moved as they always do.
//! Where they stood still there was nothing to break.

use super::named::Model;
use super::state::{JointStateError, Reader, Writer};

/// Least correlation of a pair.
pub(crate) const LEAST: f32 = 0.7;
/// Most pairs of a channel.
pub(crate) const PAIRS: usize = 4;
/// Least rest that counts as usual, of a channel's deviation.
const FLOOR: f32 = 0.1;
/// A rest counts at most so many times the usual one.
const CLIP: f32 = 30.0;
/// Rows in which one of a pair is further out, scales, tell nothing of it: a few far outliers would hide what goes
/// together.
const MOST: f32 = 3.0;
/// Moves of so many usual rests, in the mean over all pairs, are as much of a test as none.
pub(crate) const TESTED: f32 = 4.0;
/// Rows in which both of a pair must be known.
const LEAST_ROWS: f32 = 50.0;

/// What one channel says of another: `b` is `mean.1 + slope * (a - mean.0)`, give or take `rest`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pair {
    channels: (u16, u16),
    mean: (f32, f32),
    slope: f32,
    rest: f32,
}

/// The strongest pairs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Correlations {
    pairs: Vec<Pair>,
}

/// The pair of the channels `a` and `b`, and its correlation; `None` where it is under [`LEAST`].
fn pair(rows: &[f32], d: usize, a: usize, b: usize) -> Option<(f32, Pair)> {
    let both = || {
        let both = rows.chunks_exact(d).map(|row| (row[a], row[b])).filter(|(x, y)| !x.is_nan() && !y.is_nan());
        both.filter(|(x, y)| x.abs() <= MOST && y.abs() <= MOST)
    };
    let n = both().count() as f32;
    if n < LEAST_ROWS {
        return None;
    }
    let (x, y) = both().fold((0.0, 0.0), |(p, q), (x, y)| (p + x / n, q + y / n));
    let moments = both().map(|(p, q)| ((p - x) * (p - x), (p - x) * (q - y), (q - y) * (q - y)));
    let (xx, xy, yy) = moments.fold((0.0, 0.0, 0.0), |sum, it| (sum.0 + it.0 / n, sum.1 + it.1 / n, sum.2 + it.2 / n));
    let correlation = xy / (xx * yy).sqrt();
    if correlation.is_nan() || correlation.abs() < LEAST {
        return None;
    }
    let rest = yy.sqrt() * (1.0 - correlation * correlation).max(0.0).sqrt().max(FLOOR);
    let channels = (a as u16, b as u16);
    (rest.is_normal()).then_some((correlation.abs(), Pair { channels, mean: (x, y), slope: xy / xx, rest }))
}

impl Correlations {
    /// How much it tells that no pair is broken where channels moved by `moves`, 0..=1: nothing where they stood still,
    /// the more the further they would have come apart had one of each pair moved alone.
    pub(crate) fn tested(&self, moves: &[f32]) -> f32 {
        let square = |pair: &Pair| {
            let (a, b) = (moves[usize::from(pair.channels.0)], moves[usize::from(pair.channels.1)]);
            let (a, b) = (pair.slope * a / pair.rest, b / pair.rest);
            Some((a * a + b * b) / 2.0).filter(|square| square.is_finite()).unwrap_or(0.0)
        };
        let mean = self.pairs.iter().map(square).sum::<f32>() / self.pairs.len().max(1) as f32;
        mean / (mean + TESTED * TESTED)
    }
}

impl Model for Correlations {
    const SQUARE: bool = true;

    fn fit(rows: &[f32], d: usize, _seed: u64) -> Option<Self> {
        let all = (0..d).flat_map(|a| (a + 1..d).map(move |b| (a, b)));
        let mut all: Vec<(f32, Pair)> = all.filter_map(|(a, b)| pair(rows, d, a, b)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.channels.cmp(&b.1.channels)));
        let mut taken = vec![0; d];
        let mut pairs = Vec::new();
        for (_, pair) in all {
            let (a, b) = (usize::from(pair.channels.0), usize::from(pair.channels.1));
            if taken[a] < PAIRS && taken[b] < PAIRS {
                taken[a] += 1;
                taken[b] += 1;
                pairs.push(pair);
            }
        }
        (!pairs.is_empty()).then_some(Self { pairs })
    }

    fn seen(&self, z: &[f32], _usable: usize) -> f32 {
        let is_seen =
            |pair: &&Pair| !z[usize::from(pair.channels.0)].is_nan() && !z[usize::from(pair.channels.1)].is_nan();
        self.pairs.iter().filter(is_seen).count() as f32 / self.pairs.len().max(1) as f32
    }

    fn additions(&self, z: &[f32], out: &mut [f32]) {
        let rests = |pair: &Pair| {
            let (a, b) = (usize::from(pair.channels.0), usize::from(pair.channels.1));
            let rest = (z[b] - pair.mean.1 - pair.slope * (z[a] - pair.mean.0)) / pair.rest;
            (!rest.is_nan()).then(|| (a, b, rest.clamp(-CLIP, CLIP)))
        };
        let known = self.pairs.iter().filter_map(rests).count().max(1) as f32;
        for (a, b, rest) in self.pairs.iter().filter_map(rests) {
            let half = rest * rest / (2.0 * known);
            out[a] += half;
            out[b] += half;
        }
    }

    fn write(&self, w: &mut Writer<'_>) {
        w.u32(self.pairs.len() as u32);
        for pair in &self.pairs {
            w.bytes(&pair.channels.0.to_le_bytes());
            w.bytes(&pair.channels.1.to_le_bytes());
            w.slice(&[pair.mean.0, pair.mean.1, pair.slope, pair.rest]);
        }
    }

    fn read(r: &mut Reader<'_>, d: usize) -> Result<Self, JointStateError> {
        let count = r.count("pairs", d * PAIRS / 2)?;
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            let channels = (r.u16()?, r.u16()?);
            let numbers = r.slice("pairs", 4)?;
            let rest = numbers[3];
            if usize::from(channels.0.max(channels.1)) >= d || !rest.is_normal() || rest < 0.0 {
                return Err(JointStateError::Damaged("pairs"));
            }
            pairs.push(Pair { channels, mean: (numbers[0], numbers[1]), slope: numbers[2], rest });
        }
        Ok(Self { pairs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::dither;

    #[test]
    fn a_pair_that_parts_is_strange_and_one_that_moves_together_is_not() {
        let mut rows = Vec::new();
        for i in 0..200u64 {
            let load = 4.0 * dither(i) - 2.0;
            let noise = |c: u64| 0.2 * dither(1000 * (i + 1) + c);
            rows.extend([load + noise(0), -2.0 * load + noise(1), dither(7_000_000 + i)]);
        }
        let fitted = Correlations::fit(&rows, 3, 0).expect("one pair");
        assert_eq!(fitted.pairs.len(), 1);
        let strange = |z: [f32; 3]| {
            let mut out = [0.0; 3];
            fitted.additions(&z, &mut out);
            out
        };
        assert!(strange([2.5, -5.0, 9.0]).iter().sum::<f32>() < 4.0);
        let odd = strange([2.0, 4.0, 0.0]);
        assert!(odd[0] == odd[1] && odd[2] == 0.0 && odd[0] > 50.0, "{odd:?}");
        assert_eq!(strange([f32::NAN, 1.0, 1.0]), [0.0; 3]);
        assert_eq!(fitted.tested(&[0.0, 0.0, 50.0]), 0.0, "what is in no pair tests nothing");
        assert_eq!(fitted.tested(&[f32::NAN, 50.0, 0.0]), 0.0);
        let (little, much) = (fitted.tested(&[0.1, -0.2, 0.0]), fitted.tested(&[2.0, -4.0, 0.0]));
        assert!(little < 0.1 && much > 0.8, "{little} {much}");
        assert!(Correlations::fit(&[0.0; 300], 3, 0).is_none(), "constants go with nothing");
    }
}
