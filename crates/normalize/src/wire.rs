//! Little-endian fields of a saved record. Reading checks every length before anything is allocated.

use watchbell_series::{NativeHistogram, Span};

/// Appends fields.
pub(crate) struct Writer<'a>(pub(crate) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn f32(&mut self, value: f32) {
        self.u32(value.to_bits());
    }

    pub(crate) fn f64(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    pub(crate) fn native(&mut self, h: &NativeHistogram) {
        self.i64(h.ts_ms);
        self.u32(h.schema as u32);
        for value in [h.zero_threshold, h.zero_count, h.count, h.sum] {
            self.f64(value);
        }
        self.u8(u8::from(h.gauge) | u8::from(h.reset) << 1);
        for spans in [&h.positive_spans, &h.negative_spans] {
            self.u32(spans.len() as u32);
            for span in spans {
                self.u32(span.offset as u32);
                self.u32(span.length);
            }
        }
        for floats in [&h.positive, &h.negative, &h.custom_bounds] {
            self.u32(floats.len() as u32);
            for value in floats {
                self.f64(*value);
            }
        }
    }
}

/// Takes fields off the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|b| b[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn f32(&mut self) -> Option<f32> {
        self.u32().map(f32::from_bits)
    }

    pub(crate) fn f64(&mut self) -> Option<f64> {
        self.array().map(u64::from_le_bytes).map(f64::from_bits)
    }

    pub(crate) fn native(&mut self) -> Option<NativeHistogram> {
        let (ts_ms, schema) = (self.i64()?, self.u32()? as i32);
        let (zero_threshold, zero_count, count, sum) = (self.f64()?, self.f64()?, self.f64()?, self.f64()?);
        let flags = self.u8()?;
        let (positive_spans, negative_spans) = (self.spans()?, self.spans()?);
        let (positive, negative, custom_bounds) = (self.floats()?, self.floats()?, self.floats()?);
        Some(NativeHistogram {
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

    fn spans(&mut self) -> Option<Vec<Span>> {
        let len = self.u32()? as usize;
        let bytes = self.take(len.checked_mul(8)?)?;
        let mut fields = Reader(bytes);
        (0..len).map(|_| Some(Span { offset: fields.u32()? as i32, length: fields.u32()? })).collect()
    }

    fn floats(&mut self) -> Option<Vec<f64>> {
        let len = self.u32()? as usize;
        let bytes = self.take(len.checked_mul(8)?)?;
        let mut fields = Reader(bytes);
        (0..len).map(|_| fields.f64()).collect()
    }
}
