//! A histogram of logarithms that forgets: medians and quantiles of what was seen, in constant memory.

use super::state::{JointStateError, Reader, Writer};
use crate::math::ln;

/// A histogram of ln x over `BINS` bins of `STEP`, from `LOW` on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spread {
    low: f32,
    step: f32,
    seen: f32,
    bins: Vec<f32>,
}

impl Spread {
    /// For the energy of a host: fine steps over the usual range.
    pub(crate) fn of_energy() -> Self {
        Self { low: -6.0, step: 0.1, seen: 0.0, bins: vec![0.0; 128] }
    }

    /// For sizes of changes: any number there is, coarsely.
    pub(crate) fn of_sizes() -> Self {
        Self { low: -24.0, step: 0.6, seen: 0.0, bins: vec![0.0; 96] }
    }

    /// Values seen.
    pub(crate) fn seen(&self) -> f32 {
        self.seen
    }

    /// Counts `x`, forgetting older ones with `rate`.
    pub(crate) fn add(&mut self, x: f32, rate: f32) {
        let at = (ln(x.max(f32::MIN_POSITIVE)) - self.low) / self.step;
        let bin = (at.max(0.0) as usize).min(self.bins.len() - 1);
        self.seen += 1.0;
        let rate = rate.max(1.0 / self.seen);
        for weight in &mut self.bins {
            *weight *= 1.0 - rate;
        }
        self.bins[bin] += rate;
    }

    /// ln of the quantile `share`.
    pub(crate) fn ln_quantile(&self, share: f32) -> f32 {
        let mut sum = 0.0;
        for (bin, weight) in self.bins.iter().enumerate() {
            if sum + weight >= share && *weight > 0.0 {
                return self.low + self.step * (bin as f32 + (share - sum) / weight);
            }
            sum += weight;
        }
        self.low + self.step * self.bins.len() as f32
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.f32(self.seen);
        w.slice(&self.bins);
    }

    /// Reads the bins of `self` back, whose kind is known.
    pub(crate) fn read(mut self, r: &mut Reader<'_>) -> Result<Self, JointStateError> {
        self.seen = r.within("seen", 0.0, f32::MAX)?;
        self.bins = r.slice("histogram", self.bins.len())?;
        if self.bins.iter().any(|x| *x < 0.0) {
            return Err(JointStateError::Damaged("histogram"));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::{dither, exp};

    #[test]
    fn quantiles_of_what_was_seen() {
        let mut spread = Spread::of_energy();
        for i in 0..20_000 {
            spread.add(exp(2.0 * dither(i)), 1e-4);
        }
        assert!((spread.ln_quantile(0.5) - 1.0).abs() < 0.05);
        assert!((spread.ln_quantile(0.99) - 1.98).abs() < 0.05);
        for x in [0.0, f32::MAX, f32::INFINITY, 1e-40] {
            spread.add(x, 0.1);
        }
        assert!(spread.ln_quantile(0.5).is_finite() && spread.ln_quantile(1.1).is_finite());
    }
}
