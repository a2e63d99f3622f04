//! A part of a batch as bytes, for the log of accepted samples.
//!
//! Layout, little-endian: mode u8, received i64, metadata count u32, series count u32; for each metadata
//! its kind u8 and two strings; for each series key u64, kind u8, label length u32 and label bytes, sample
//! count u32, histogram count u32, samples (i64, f64), histograms. Strings and lists carry a u32 length.
//! Reading never panics: what does not fit is an error.

use watchbell_series::{MetricKind, Mode, NativeHistogram, RawBatch, RawMetadata, RawSample, RawSeries, Span};

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("record is damaged at byte {0}")]
pub struct RecordError(usize);

/// Appends the series `which` of `batch`; without labels where `with_labels` is false, because the reader
/// will know the keys. `keys` has other keys for some, in the order of `which`.
pub fn write(batch: &RawBatch, which: &[u32], keys: &[(u32, u64)], with_labels: bool, out: &mut Vec<u8>) {
    let mut keys = keys.iter().peekable();
    out.push(u8::from(batch.mode == Mode::Backfill));
    out.extend_from_slice(&batch.received_ms.to_le_bytes());
    put_len(batch.metadata.len(), out);
    put_len(which.len(), out);
    for metadata in &batch.metadata {
        out.push(kind_byte(metadata.kind));
        put_bytes(metadata.family.as_bytes(), out);
        put_bytes(metadata.unit.as_bytes(), out);
    }
    for index in which {
        let series = &batch.series[*index as usize];
        let key = keys.next_if(|(other, _)| other == index).map_or(series.key, |(_, key)| *key);
        out.extend_from_slice(&key.to_le_bytes());
        out.push(kind_byte(series.kind));
        put_bytes(if with_labels { batch.label_bytes(series) } else { &[] }, out);
        put_len(series.samples_len as usize, out);
        put_len(series.histograms_len as usize, out);
        for sample in batch.samples_of(series) {
            out.extend_from_slice(&sample.ts_ms.to_le_bytes());
            out.extend_from_slice(&sample.value.to_bits().to_le_bytes());
        }
        for histogram in batch.histograms_of(series) {
            write_histogram(histogram, out);
        }
    }
}

/// Reads a record back.
///
/// # Errors
/// Damaged bytes.
pub fn read(bytes: &[u8]) -> Result<RawBatch, RecordError> {
    let mut from = Reader { bytes, at: 0 };
    let mode = if from.byte()? == 0 { Mode::Live } else { Mode::Backfill };
    let mut batch = RawBatch { mode, received_ms: from.i64()?, ..RawBatch::default() };
    let (metadata, series) = (from.u32()?, from.u32()?);
    for _ in 0..metadata {
        let kind = kind_of(from.byte()?);
        batch.metadata.push(RawMetadata { kind, family: from.text()?, unit: from.text()? });
    }
    for _ in 0..series {
        let (key, kind) = (from.u64()?, kind_of(from.byte()?));
        let labels = from.slice()?;
        let labels_at = batch.labels.len();
        batch.labels.extend_from_slice(labels);
        let (samples_len, histograms_len) = (from.u32()?, from.u32()?);
        let (samples_at, histograms_at) = (batch.samples.len() as u32, batch.histograms.len() as u32);
        for _ in 0..samples_len {
            batch.samples.push(RawSample { ts_ms: from.i64()?, value: from.f64()? });
        }
        for _ in 0..histograms_len {
            batch.histograms.push(read_histogram(&mut from)?);
        }
        batch.series.push(RawSeries {
            key,
            labels_at: labels_at as u32,
            labels_len: labels.len() as u32,
            samples_at,
            samples_len,
            histograms_at,
            histograms_len,
            kind,
        });
    }
    if from.at == bytes.len() { Ok(batch) } else { Err(RecordError(from.at)) }
}

fn write_histogram(h: &NativeHistogram, out: &mut Vec<u8>) {
    out.extend_from_slice(&h.ts_ms.to_le_bytes());
    out.extend_from_slice(&h.schema.to_le_bytes());
    for number in [h.zero_threshold, h.zero_count, h.count, h.sum] {
        out.extend_from_slice(&number.to_bits().to_le_bytes());
    }
    for spans in [&h.positive_spans, &h.negative_spans] {
        put_len(spans.len(), out);
        for span in spans {
            out.extend_from_slice(&span.offset.to_le_bytes());
            out.extend_from_slice(&span.length.to_le_bytes());
        }
    }
    for numbers in [&h.positive, &h.negative, &h.custom_bounds] {
        put_len(numbers.len(), out);
        for number in numbers {
            out.extend_from_slice(&number.to_bits().to_le_bytes());
        }
    }
    out.push(u8::from(h.gauge) | u8::from(h.reset) << 1);
}

fn read_histogram(from: &mut Reader<'_>) -> Result<NativeHistogram, RecordError> {
    let (ts_ms, schema) = (from.i64()?, from.i32()?);
    let (zero_threshold, zero_count, count, sum) = (from.f64()?, from.f64()?, from.f64()?, from.f64()?);
    let (positive_spans, negative_spans) = (from.spans()?, from.spans()?);
    let (positive, negative, custom_bounds) = (from.numbers()?, from.numbers()?, from.numbers()?);
    let flags = from.byte()?;
    Ok(NativeHistogram {
        ts_ms,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive_spans,
        positive,
        negative_spans,
        negative,
        custom_bounds,
        gauge: flags & 1 != 0,
        reset: flags & 2 != 0,
    })
}

fn put_len(len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(len as u32).to_le_bytes());
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_len(bytes.len(), out);
    out.extend_from_slice(bytes);
}

const KINDS: [MetricKind; 8] = [
    MetricKind::Unknown,
    MetricKind::Gauge,
    MetricKind::Counter,
    MetricKind::Histogram,
    MetricKind::GaugeHistogram,
    MetricKind::Summary,
    MetricKind::Info,
    MetricKind::StateSet,
];

fn kind_byte(kind: MetricKind) -> u8 {
    KINDS.iter().position(|k| *k == kind).unwrap_or(0) as u8
}

fn kind_of(byte: u8) -> MetricKind {
    KINDS.get(usize::from(byte)).copied().unwrap_or_default()
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let found = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let found = *found.ok_or(RecordError(self.at))?;
        self.at += N;
        Ok(found)
    }

    fn byte(&mut self) -> Result<u8, RecordError> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, RecordError> {
        self.take().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32, RecordError> {
        self.take().map(i32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        self.take().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, RecordError> {
        self.take().map(i64::from_le_bytes)
    }

    fn f64(&mut self) -> Result<f64, RecordError> {
        self.u64().map(f64::from_bits)
    }

    fn slice(&mut self) -> Result<&'a [u8], RecordError> {
        let len = self.u32()? as usize;
        let slice = self.bytes.get(self.at..).and_then(|rest| rest.get(..len)).ok_or(RecordError(self.at))?;
        self.at += len;
        Ok(slice)
    }

    fn text(&mut self) -> Result<String, RecordError> {
        let at = self.at;
        String::from_utf8(self.slice()?.to_vec()).map_err(|_| RecordError(at))
    }

    fn numbers(&mut self) -> Result<Vec<f64>, RecordError> {
        let len = self.u32()?;
        (0..len).map(|_| self.f64()).collect()
    }

    fn spans(&mut self) -> Result<Vec<Span>, RecordError> {
        let len = self.u32()?;
        (0..len).map(|_| Ok(Span { offset: self.i32()?, length: self.u32()? })).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use watchbell_series::Labels;

    use super::*;

    fn batch() -> RawBatch {
        let mut batch = RawBatch { received_ms: 17, ..RawBatch::default() };
        let up = Labels::series([("__name__", "up"), ("job", "node")]).expect("valid");
        let samples = [RawSample { ts_ms: -1, value: 1.5 }, RawSample { ts_ms: 2, value: -0.0 }];
        batch.push(&up, MetricKind::Gauge, &samples);
        batch.push(&up.with("job", "x"), MetricKind::Counter, &samples[..1]);
        batch.histograms.push(NativeHistogram {
            ts_ms: 3,
            positive_spans: vec![Span { offset: -2, length: 2 }],
            positive: vec![1.0, 2.0],
            gauge: true,
            ..NativeHistogram::default()
        });
        batch.series[1].histograms_len = 1;
        batch.metadata.push(RawMetadata { family: "up".into(), kind: MetricKind::Gauge, unit: String::new() });
        batch
    }

    #[test]
    fn round_trip() {
        let batch = batch();
        let mut bytes = Vec::new();
        write(&batch, &[1], &[], true, &mut bytes);
        let back = read(&bytes).expect("own bytes");
        assert_eq!(back.series.len(), 1);
        assert_eq!(back.label_bytes(&back.series[0]), batch.label_bytes(&batch.series[1]));
        assert_eq!(back.samples_of(&back.series[0]), batch.samples_of(&batch.series[1]));
        assert_eq!(back.histograms_of(&back.series[0]), batch.histograms_of(&batch.series[1]));
        assert_eq!(back.series[0].kind, MetricKind::Counter);
        assert_eq!((back.received_ms, &back.metadata), (17, &batch.metadata));
    }

    #[test]
    fn another_key_goes_to_its_own_series() {
        let mut bytes = Vec::new();
        write(&batch(), &[0, 1], &[(1, 99)], false, &mut bytes);
        let back = read(&bytes).expect("own bytes");
        let keys: Vec<u64> = back.series.iter().map(|series| series.key).collect();
        assert_eq!(keys, [batch().series[0].key, 99]);
    }

    #[test]
    fn a_cut_record_is_an_error() {
        let mut bytes = Vec::new();
        write(&batch(), &[0, 1], &[], true, &mut bytes);
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_err(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }
    }
}
