//! The messages of Prometheus remote write 1.0 and 2.0, decoded into a [`RawBatch`].
//!
//! A body comes in compressed ([`compression`]), is decompressed once, and is walked once. For 1.0 the
//! decompressed body itself becomes the label bytes of the batch: no label is decoded or copied, the key
//! of a series is the hash of its undecoded labels. For 2.0 the labels are put together from the symbol
//! table in the same form, so that a series has the same identity however it is sent.
//!
//! What a request may make the receiver hold is bounded by [`Limits`]. Bytes that are no such message
//! refuse the whole request; a series or histogram that means nothing is left out, counted and named.
//!
//! Formats: `prometheus.WriteRequest` of `prompb/remote.proto` and `io.prometheus.write.v2.Request`.

pub mod compression;
mod histogram;
mod v1;
mod v2;
mod wire;

use watchbell_series::labels::{NAME, iter_canonical};
use watchbell_series::{MetricKind, RawBatch, RawSample, RawSeries};
use xxhash_rust::xxh3::xxh3_64;

use self::histogram::Outcome;
use self::wire::Reader;

/// Which message a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`, remote write 1.0.
    V1,
    /// `io.prometheus.write.v2.Request`, remote write 2.0.
    V2,
}

/// What one request may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the decompressed body; for 2.0 also of all labels put together. At most 1 GiB.
    pub body_bytes: usize,
    /// Label bytes of one series.
    pub label_bytes: usize,
    /// Samples. A native histogram counts as 16 and one for each bucket, a metadata entry as 8.
    pub samples: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 32 << 20, label_bytes: 64 << 10, samples: 1_000_000 }
    }
}

/// Why a whole body is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not the message.
    #[error("protobuf: {what}, at byte {at}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where in the decompressed body.
        at: usize,
    },
    /// The request holds more than it may.
    #[error("more than {max} {what} in one request; send smaller ones")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// The most that is taken.
        max: usize,
    },
}

/// What a body held.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Series, samples, histograms and metadata; `mode` and `received_ms` are the caller's to set.
    pub batch: RawBatch,
    /// Exemplars, which are skipped.
    pub exemplars: u64,
    /// Series left out because they mean nothing: no labels, too long labels, bad references, no samples.
    pub invalid_series: u64,
    /// Native histograms left out because they contradict themselves.
    pub invalid_histograms: u64,
    /// The first thing left out, in words; it names the series.
    pub problem: Option<String>,
}

/// Decodes a decompressed body.
///
/// # Errors
/// Bytes that are not the message, or more of anything than `limits` allow. Nothing is to be stored then.
pub fn decode(version: Version, body: Vec<u8>, limits: &Limits) -> Result<Decoded, DecodeError> {
    if body.len() > limits.body_bytes {
        return Err(DecodeError::TooMuch { what: "bytes", max: limits.body_bytes });
    }
    match version {
        Version::V1 => v1::decode(body, limits),
        Version::V2 => v2::decode(&body, limits),
    }
}

/// The batch as it grows, and what may still be added to it.
struct Builder<'l> {
    limits: &'l Limits,
    out: Decoded,
    /// Samples that may still be added.
    room: usize,
}

/// Where the samples and histograms of a series begin.
#[derive(Clone, Copy)]
struct Mark {
    samples: usize,
    histograms: usize,
}

impl<'l> Builder<'l> {
    fn new(limits: &'l Limits, body_bytes: usize) -> Self {
        let mut out = Decoded::default();
        // Real series take 100 to 300 bytes; a body of smaller ones grows the vectors.
        let expected = (body_bytes / 128).min(limits.samples);
        out.batch.series.reserve(expected);
        out.batch.samples.reserve(expected);
        Self { limits, out, room: limits.samples }
    }

    #[inline]
    fn take(&mut self, samples: usize) -> Result<(), DecodeError> {
        match self.room.checked_sub(samples) {
            Some(rest) => {
                self.room = rest;
                Ok(())
            }
            None => Err(DecodeError::TooMuch { what: "samples", max: self.limits.samples }),
        }
    }

    fn mark(&self) -> Mark {
        Mark { samples: self.out.batch.samples.len(), histograms: self.out.batch.histograms.len() }
    }

    /// Adds a sample: value in field 1, milliseconds in field 2, in both versions.
    #[inline]
    fn sample(&mut self, mut message: Reader<'_>) -> Result<(), DecodeError> {
        const VALUE: u32 = wire::fixed64(1);
        const TIMESTAMP: u32 = wire::varint(2);
        self.take(1)?;
        let mut sample = RawSample { ts_ms: 0, value: 0.0 };
        while let Some(tag) = message.tag()? {
            match tag {
                VALUE => sample.value = message.double()?,
                TIMESTAMP => sample.ts_ms = message.varint()? as i64,
                _ => message.skip(tag)?,
            }
        }
        self.out.batch.samples.push(sample);
        Ok(())
    }

    /// Adds a native histogram; says what is wrong with one that contradicts itself.
    fn histogram(&mut self, message: Reader<'_>) -> Result<Option<&'static str>, DecodeError> {
        match histogram::read(message)? {
            Outcome::Valid(histogram) => {
                let buckets = histogram.positive.len() + histogram.negative.len() + histogram.custom_bounds.len();
                self.take(16 + buckets)?;
                self.out.batch.histograms.push(histogram);
                Ok(None)
            }
            Outcome::Invalid(what) => {
                self.out.invalid_histograms += 1;
                Ok(Some(what))
            }
        }
    }

    /// Adds the series whose labels are `run`, standing at `labels_at` of the batch's label bytes, with
    /// all samples and histograms since `mark`.
    #[inline]
    fn series(&mut self, run: &[u8], labels_at: usize, mark: Mark, kind: MetricKind) {
        if run.is_empty() {
            return self.refuse_series(run, mark, "no labels");
        }
        if run.len() > self.limits.label_bytes {
            return self.refuse_series(run, mark, "labels are too long");
        }
        let batch = &mut self.out.batch;
        in_order_of_time(&mut batch.samples[mark.samples..], |sample| sample.ts_ms);
        in_order_of_time(&mut batch.histograms[mark.histograms..], |histogram| histogram.ts_ms);
        batch.series.push(RawSeries {
            key: xxh3_64(run),
            labels_at: labels_at as u32,
            labels_len: run.len() as u32,
            samples_at: mark.samples as u32,
            samples_len: (batch.samples.len() - mark.samples) as u32,
            histograms_at: mark.histograms as u32,
            histograms_len: (batch.histograms.len() - mark.histograms) as u32,
            kind,
        });
    }

    /// Leaves a series out, with all its samples and histograms since `mark`.
    fn refuse_series(&mut self, run: &[u8], mark: Mark, what: &'static str) {
        self.out.batch.samples.truncate(mark.samples);
        self.out.batch.histograms.truncate(mark.histograms);
        self.out.invalid_series += 1;
        self.note(run, what);
    }

    /// Keeps the first problem.
    fn note(&mut self, run: &[u8], what: &str) {
        if self.out.problem.is_none() {
            let name = iter_canonical(run).find(|(name, _)| *name == NAME).map_or("", |(_, value)| value);
            let name: String = name.chars().take(80).collect();
            self.out.problem = Some(format!("series `{name}`: {what}"));
        }
    }
}

/// Stages behind rely on the order, senders mostly keep it.
#[inline]
fn in_order_of_time<T>(items: &mut [T], time: impl Fn(&T) -> i64) {
    if items.len() > 1 && !items.is_sorted_by_key(&time) {
        items.sort_by_key(time);
    }
}

/// Kind by its number in both versions.
fn kind(number: u64) -> MetricKind {
    match number {
        1 => MetricKind::Counter,
        2 => MetricKind::Gauge,
        3 => MetricKind::Histogram,
        4 => MetricKind::GaugeHistogram,
        5 => MetricKind::Summary,
        6 => MetricKind::Info,
        7 => MetricKind::StateSet,
        _ => MetricKind::Unknown,
    }
}

#[cfg(test)]
pub(crate) mod encode;
#[cfg(test)]
mod tests;
