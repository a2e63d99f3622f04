//! The body of a remote write 1.0 request, grown series by series: protobuf in snappy's block format.
//!
//! Source: `prompb/types.proto` of Prometheus, `WriteRequest { timeseries = 1 { labels = 1, samples = 2 } }`.
//! Here every series has one sample. Values are passed as bits, for a stale marker is a NaN whose payload
//! must arrive as it is.

use bytes::Bytes;
use watchbell_series::labels::{NAME, write_canonical_label};

use crate::naming::{OutputLabels, REASON};

/// Bytes at which a request is full however few its samples: label values may be long.
const FULL_BYTES: usize = 4 * 1024 * 1024;

/// A body that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) body: Bytes,
    pub(super) samples: usize,
}

/// A body that grows.
pub(super) struct Request {
    raw: Vec<u8>,
    series: Vec<u8>,
    samples: usize,
    max_samples: usize,
    snappy: snap::raw::Encoder,
}

impl Request {
    pub(super) fn new(max_samples: usize) -> Self {
        let (raw, series) = (Vec::new(), Vec::new());
        Self { raw, series, samples: 0, max_samples, snappy: snap::raw::Encoder::new() }
    }

    /// Appends the series `name` with `labels` and `reason`, and its sample. Gives the batch that is full by it.
    pub(super) fn push(
        &mut self,
        name: &str,
        labels: &OutputLabels,
        reason: Option<&str>,
        ts_ms: i64,
        value_bits: u64,
    ) -> Option<Batch> {
        let out = &mut self.series;
        out.clear();
        let mut own = [Some((NAME, name)), reason.map(|reason| (REASON, reason))].into_iter().flatten().peekable();
        for (label, value) in labels.iter() {
            while let Some((name, value)) = own.next_if(|(name, _)| *name < label) {
                write_canonical_label(name.as_bytes(), value.as_bytes(), out);
            }
            write_canonical_label(label.as_bytes(), value.as_bytes(), out);
        }
        for (name, value) in own {
            write_canonical_label(name.as_bytes(), value.as_bytes(), out);
        }
        let mut time = [0; 10];
        let time = varint(ts_ms as u64, &mut time);
        out.extend_from_slice(&[0x12, 10 + time.len() as u8, 0x09]);
        out.extend_from_slice(&value_bits.to_le_bytes());
        out.push(0x10);
        out.extend_from_slice(time);

        self.raw.push(0x0a);
        self.raw.extend_from_slice(varint(self.series.len() as u64, &mut [0; 10]));
        self.raw.extend_from_slice(&self.series);
        self.samples += 1;
        if self.samples >= self.max_samples || self.raw.len() >= FULL_BYTES { self.take() } else { None }
    }

    /// What has grown so far, if anything.
    pub(super) fn take(&mut self) -> Option<Batch> {
        if self.samples == 0 {
            return None;
        }
        // Snappy refuses only what is over 4 GiB, a thousand times a full request.
        let body = self.snappy.compress_vec(&self.raw).unwrap_or_default().into();
        self.raw.clear();
        Some(Batch { body, samples: std::mem::take(&mut self.samples) })
    }
}

/// The bytes of `n` as a protobuf varint.
fn varint(mut n: u64, buffer: &mut [u8; 10]) -> &[u8] {
    let mut len = 0;
    while n >= 0x80 {
        buffer[len] = (n as u8) | 0x80;
        n >>= 7;
        len += 1;
    }
    buffer[len] = n as u8;
    &buffer[..=len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::Naming;

    fn labels(pairs: &[(&str, &str)]) -> OutputLabels {
        let mut labels = OutputLabels::default();
        labels.fill(Naming::Watchbell, pairs.iter().copied(), &[]);
        labels
    }

    #[test]
    fn bytes_as_protobuf_wants_them() {
        let mut request = Request::new(10);
        let labels = labels(&[("A", "b"), ("__name__", "up")]);
        assert_eq!(request.push("w", &labels, None, 300, 1.0f64.to_bits()), None);
        let batch = request.take().expect("one sample");
        let raw = snap::raw::Decoder::new().decompress_vec(&batch.body).expect("snappy");
        let want =
            b"\x0a\x33\x0a\x06\x0a\x01A\x12\x01b\x0a\x0d\x0a\x08__name__\x12\x01w\x0a\x0c\x0a\x06metric\x12\x02up\
                     \x12\x0c\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\xac\x02";
        assert_eq!(raw, want);
        assert_eq!(request.take(), None);
    }

    #[test]
    fn full_by_samples_and_by_bytes() {
        let mut request = Request::new(2);
        let labels = labels(&[("__name__", "up")]);
        assert_eq!(request.push("a", &labels, Some("warming"), -1, 0), None);
        assert_eq!(request.push("b", &labels, None, -1, 0).map(|batch| batch.samples), Some(2));
        let mut request = Request::new(1_000_000);
        let long = self::labels(&[("__name__", "up"), ("a", &"x".repeat(FULL_BYTES))]);
        assert_eq!(request.push("a", &long, None, 0, 0).map(|batch| batch.samples), Some(1));
    }
}
