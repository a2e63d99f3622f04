//! Samples of all series, stretch by stretch of time, so that no history has to fit into memory.

use watchbell_series::RawBatch;

/// Samples that a stretch should hold at most, about: 100 MB with what sorts them.
pub const WANTED: usize = 2_000_000;

/// All samples of a stretch of time. Stretches come in order of time and do not overlap.
#[derive(Debug, Default)]
pub struct Stretch {
    /// The samples: of each series in order of time, the series in any.
    pub batches: Vec<RawBatch>,
}

impl Stretch {
    /// Samples in it.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.batches.iter().map(|batch| batch.samples.len() + batch.histograms.len()).sum()
    }
}

/// Where history comes from.
pub trait Feed {
    /// The next stretch; `None` after the last.
    ///
    /// # Errors
    /// The source can not be read on.
    fn next(&mut self) -> anyhow::Result<Option<Stretch>>;

    /// Of how many files how many could not be read, or not to their end; each was told.
    fn failed(&self) -> (usize, usize) {
        (0, 0)
    }
}

/// How long the next stretch should be, after one of `span_ms` that held `samples`.
#[must_use]
pub fn next_span(span_ms: i64, samples: usize) -> i64 {
    const LEAST_MS: i64 = 60_000;
    const MOST_MS: i64 = 366 * 86_400_000;
    let factor = (WANTED as f64 / samples.max(1) as f64).clamp(0.1, 4.0);
    ((span_ms as f64 * factor) as i64).clamp(LEAST_MS, MOST_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_get_as_long_as_memory_allows() {
        assert_eq!(next_span(3_600_000, 0), 4 * 3_600_000);
        assert_eq!(next_span(3_600_000, WANTED), 3_600_000);
        assert_eq!(next_span(3_600_000, 4 * WANTED), 900_000);
        assert_eq!(next_span(60_000, usize::MAX), 60_000);
        assert_eq!(next_span(i64::MAX / 8, 0), 366 * 86_400_000);
    }
}
