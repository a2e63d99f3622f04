//! Covariances that forget, of vectors whose components may be missing or join later.

use super::state::{JointStateError, Reader, Writer};

/// Least weight with which a channel takes part in a model: one seen less is not known yet.
const LEAST_WEIGHT: f32 = 0.05;
/// No mean product is larger: squashed numbers stay far below.
const MAX_PRODUCT: f32 = 1e6;

/// Mean products of a vector with itself and with earlier ones, one block of `d` x `d` for each lag.
///
/// Each entry learns only when both of its channels are there. A channel that joins late starts from
/// zero; its weight says how much of the final value it can have reached, and the entries are divided by
/// the smaller weight of the two.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moments {
    lags: usize,
    products: Vec<f32>,
    weight: Vec<f32>,
}

impl Moments {
    pub(crate) fn new(lags: usize) -> Self {
        Self { lags, products: Vec::new(), weight: Vec::new() }
    }

    fn channels(&self) -> usize {
        self.weight.len()
    }

    /// Makes room for `count` channels; what was learned stays.
    pub(crate) fn grow(&mut self, count: usize) {
        let old = self.channels();
        let mut products = vec![0.0; self.lags * count * count];
        for row in 0..self.lags * old {
            let (lag, i) = (row / old, row % old);
            let to = (lag * count + i) * count;
            products[to..to + old].copy_from_slice(&self.products[row * old..(row + 1) * old]);
        }
        self.products = products;
        self.weight.resize(count, 0.0);
    }

    /// Learns a vector: `z` holds it and the earlier ones, one after another. `rate` is 0 for channels that
    /// are not there.
    pub(crate) fn learn(&mut self, z: &[f32], rate: &[f32]) {
        let d = self.channels();
        for (lag, block) in self.products.chunks_exact_mut((d * d).max(1)).enumerate() {
            let earlier = &z[lag * d..(lag + 1) * d];
            for (i, row) in block.chunks_exact_mut(d).enumerate().filter(|(i, _)| rate[*i] > 0.0) {
                let now = z[i];
                for ((x, y), r) in row.iter_mut().zip(earlier).zip(rate) {
                    *x += r * (now * y - *x);
                }
            }
        }
        for (weight, r) in self.weight.iter_mut().zip(rate) {
            *weight += r * (1.0 - *weight);
        }
    }

    /// Multiplies the unit of channel `c` by `factor`, within what keeps products numbers.
    pub(crate) fn rescale(&mut self, c: usize, factor: f32) {
        let d = self.channels();
        let product = |x: f32| (x * factor).clamp(-MAX_PRODUCT, MAX_PRODUCT);
        for block in self.products.chunks_exact_mut((d * d).max(1)) {
            for j in 0..d {
                block[c * d + j] = product(block[c * d + j]);
                block[j * d + c] = product(block[j * d + c]);
            }
        }
    }

    /// Whether enough is known of channel `c` to model it.
    pub(crate) fn known(&self, c: usize) -> bool {
        self.weight[c] >= LEAST_WEIGHT
    }

    /// Mean product of channel `i` now and `j` `lag` vectors earlier; 0 where not known.
    pub(crate) fn get(&self, lag: usize, i: usize, j: usize) -> f64 {
        let d = self.channels();
        if !self.known(i) || !self.known(j) {
            return 0.0;
        }
        f64::from(self.products[(lag * d + i) * d + j] / self.weight[i].min(self.weight[j]))
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.slice(&self.products);
        w.slice(&self.weight);
    }

    pub(crate) fn read(r: &mut Reader<'_>, lags: usize, count: usize) -> Result<Self, JointStateError> {
        let products = r.slice("products", lags * count * count)?;
        let weight = r.slice("weights", count)?;
        if weight.iter().any(|x| !(0.0..=1.001).contains(x)) {
            return Err(JointStateError::Damaged("weights"));
        }
        Ok(Self { lags, products, weight })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_joins_late_or_is_gone_at_times_is_not_diluted() {
        let mut moments = Moments::new(1);
        moments.grow(1);
        for _ in 0..500 {
            moments.learn(&[2.0], &[0.01]);
        }
        moments.grow(2);
        for i in 0..300 {
            let there = if i % 3 == 0 { 0.0 } else { 0.01 };
            moments.learn(&[2.0, if there > 0.0 { 3.0 } else { 0.0 }], &[0.01, there]);
        }
        for (i, j, want) in [(0, 0, 4.0), (0, 1, 6.0), (1, 0, 6.0), (1, 1, 9.0)] {
            assert!((moments.get(0, i, j) - want).abs() < 0.05 * want, "{i} {j}: {}", moments.get(0, i, j));
        }
    }
}
