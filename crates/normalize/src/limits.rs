//! What a shard takes at most. Everything beyond is refused and counted; what is held stays.

/// Which shard of how many a [`Normalizer`](crate::Normalizer) is: it holds series whose key modulo `count`
/// is `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// 0-based.
    pub index: u32,
    /// Number of shards, at least 1.
    pub count: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

/// Bounds of a shard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Raw series held at once, those that are set aside included. Above it new series are refused.
    pub max_series: usize,
    /// Labels of one series.
    pub max_labels: usize,
    /// Bytes of all label names and values of one series.
    pub max_label_bytes: usize,
    /// Bytes of all distinct label pairs of the shard.
    pub max_text_bytes: usize,
    /// Buckets of one native histogram sample, and of one classic histogram.
    pub max_buckets: usize,
    /// Families of which kind and unit are remembered.
    pub max_families: usize,
    /// A sample this far ahead of the time of its reception is refused.
    pub future_tolerance_ms: i64,
    /// A sample this far from the time of its reception is counted as clock skew, and taken.
    pub skew_tolerance_ms: i64,
    /// A series is forgotten this long after its last sample; see [`Normalizer::expire`](crate::Normalizer::expire).
    pub idle_ms: i64,
    /// A series is forgotten this long after its stale marker.
    pub ended_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_series: 5_000_000,
            max_labels: 64,
            max_label_bytes: 16 * 1024,
            max_text_bytes: 2 << 30,
            max_buckets: 1_024,
            max_families: 100_000,
            future_tolerance_ms: 600_000,
            skew_tolerance_ms: 120_000,
            idle_ms: 24 * 3_600_000,
            ended_ms: 600_000,
        }
    }
}
