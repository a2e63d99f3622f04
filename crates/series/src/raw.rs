//! What a source hands over: one batch of series with undecoded labels and raw samples.
//!
//! Adapters fill a [`RawBatch`]; `normalize` turns it into judged samples. A series is named by its
//! `key`, which is its [`SeriesId`](crate::SeriesId) wherever the sender keeps its labels sorted.
//! The label bytes behind it are only decoded when the key is seen for the first time.

use crate::kind::MetricKind;

/// How a batch came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Samples as they arrive: judged, and alerts may follow.
    #[default]
    Live,
    /// History read back from a source to learn from: the same path, but no alerts. A series younger
    /// than the first sample of the history starts anew from it; an older one takes what is newer than
    /// its last sample.
    Backfill,
}

/// One raw sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawSample {
    /// Milliseconds since the Unix epoch; may be negative on the wire.
    pub ts_ms: i64,
    /// The value; [`STALE_NAN_BITS`](crate::STALE_NAN_BITS) ends the series.
    pub value: f64,
}

/// One series of a batch: where its labels and samples stand in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawSeries {
    /// xxh3-64 of the label bytes: the series id if they are canonical, else an alias of it.
    pub key: u64,
    /// Start of the label bytes in [`RawBatch::labels`].
    pub labels_at: u32,
    /// Length of the label bytes; 0 if the source only knows the key. The receipt then says whether
    /// the key was known, see [`RawBatch`].
    pub labels_len: u32,
    /// First sample in [`RawBatch::samples`].
    pub samples_at: u32,
    /// Number of samples, in order of time.
    pub samples_len: u32,
    /// First native histogram in [`RawBatch::histograms`].
    pub histograms_at: u32,
    /// Number of native histograms, in order of time.
    pub histograms_len: u32,
    /// Kind, where the source was told with the series (remote write 2.0, `# TYPE`).
    pub kind: MetricKind,
}

impl RawSeries {
    /// A series with samples only.
    #[must_use]
    pub fn samples(key: u64, labels: std::ops::Range<usize>, samples: std::ops::Range<usize>) -> Self {
        Self {
            key,
            labels_at: labels.start as u32,
            labels_len: labels.len() as u32,
            samples_at: samples.start as u32,
            samples_len: samples.len() as u32,
            histograms_at: 0,
            histograms_len: 0,
            kind: MetricKind::Unknown,
        }
    }
}

/// Metadata of a metric family, as sent apart from its series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMetadata {
    /// Name of the family, without `_total`, `_bucket`, ...
    pub family: String,
    /// Its kind.
    pub kind: MetricKind,
    /// Its unit, in the sender's words; may be empty.
    pub unit: String,
}

/// A run of consecutive buckets of a native histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Index of the first bucket for the first span, else the gap to the span before.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// A native histogram sample, buckets as absolute counts.
///
/// Source: Prometheus `prompb/types.proto`. Integer deltas are summed up by the adapter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NativeHistogram {
    /// Milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// -4..=8: bucket bounds grow by `2^(2^-schema)`; -53: bounds in `custom_bounds`.
    pub schema: i32,
    /// Observations with `|x| <= zero_threshold` are in the zero bucket.
    pub zero_threshold: f64,
    /// Count of the zero bucket.
    pub zero_count: f64,
    /// Count of all observations.
    pub count: f64,
    /// Sum of all observations; the stale bit pattern ends the series.
    pub sum: f64,
    /// Spans of the positive buckets.
    pub positive_spans: Vec<Span>,
    /// Absolute counts of the positive buckets.
    pub positive: Vec<f64>,
    /// Spans of the negative buckets.
    pub negative_spans: Vec<Span>,
    /// Absolute counts of the negative buckets.
    pub negative: Vec<f64>,
    /// Upper bounds for schema -53.
    pub custom_bounds: Vec<f64>,
    /// Whether the sender says that counts are of a gauge histogram: never a rate.
    pub gauge: bool,
    /// Whether the sender says that the counter was reset before this sample.
    pub reset: bool,
}

/// Samples of many series from one source, in the order in which they came.
///
/// `labels` holds canonical label bytes ([`crate::labels::read_canonical`] reads them): for remote
/// write 1.0 they are the sender's own, copied from nowhere.
#[derive(Debug, Clone, Default)]
pub struct RawBatch {
    /// How the batch came about.
    pub mode: Mode,
    /// Tag of the source that brought it, by which series are counted against the limit of their source; 0 for
    /// none. The service sets it, adapters leave it alone.
    pub source: u32,
    /// When the source received it, milliseconds since the Unix epoch.
    pub received_ms: i64,
    /// Backing bytes of the labels (for remote write the whole decompressed body).
    pub labels: Vec<u8>,
    /// The series.
    pub series: Vec<RawSeries>,
    /// Samples of all series.
    pub samples: Vec<RawSample>,
    /// Native histograms of all series.
    pub histograms: Vec<NativeHistogram>,
    /// Metadata of families; may come without any series.
    pub metadata: Vec<RawMetadata>,
}

impl RawBatch {
    /// Undecoded label bytes of `series`.
    #[must_use]
    pub fn label_bytes(&self, series: &RawSeries) -> &[u8] {
        let at = series.labels_at as usize;
        &self.labels[at..at + series.labels_len as usize]
    }

    /// Samples of `series`.
    #[must_use]
    pub fn samples_of(&self, series: &RawSeries) -> &[RawSample] {
        let at = series.samples_at as usize;
        &self.samples[at..at + series.samples_len as usize]
    }

    /// Native histograms of `series`.
    #[must_use]
    pub fn histograms_of(&self, series: &RawSeries) -> &[NativeHistogram] {
        let at = series.histograms_at as usize;
        &self.histograms[at..at + series.histograms_len as usize]
    }

    /// Appends a series with known labels and its samples. For sources that are not remote write.
    pub fn push(&mut self, labels: &crate::Labels, kind: MetricKind, samples: &[RawSample]) {
        let start = self.labels.len();
        labels.write_canonical(&mut self.labels);
        let key = crate::labels::hash_canonical(&self.labels[start..]).0;
        let at = self.samples.len();
        self.samples.extend_from_slice(samples);
        let series = RawSeries::samples(key, start..self.labels.len(), at..self.samples.len());
        self.series.push(RawSeries { kind, ..series });
    }
}
