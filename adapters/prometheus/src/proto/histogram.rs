//! Native histograms as both versions of remote write send them: read, checked, made absolute.
//!
//! Integer histograms carry differences between buckets, float histograms the counts themselves; what
//! comes out has counts. The checks are those that Prometheus makes before it stores one
//! (`model/histogram`), so that stages behind may rely on spans and buckets fitting together.

use watchbell_series::{NativeHistogram, Span};

use super::DecodeError;
use super::wire::{Reader, fixed64, varint};

/// The most buckets of one side. Exporters keep to some hundreds.
const MAX_BUCKETS: usize = 16_384;

/// The schema whose bucket bounds are sent along.
const CUSTOM_BOUNDS: i32 = -53;

/// A histogram, or why it is none.
pub(super) enum Outcome {
    Valid(NativeHistogram),
    Invalid(&'static str),
}

/// One side of a histogram as it came.
#[derive(Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

#[derive(Clone, Copy)]
enum Count {
    Integer(u64),
    Float(f64),
}

impl Count {
    fn value(self) -> f64 {
        match self {
            Self::Integer(n) => n as f64,
            Self::Float(x) => x,
        }
    }
}

struct Raw {
    count: Count,
    zero_count: Count,
    reset_hint: u64,
    positive: Side,
    negative: Side,
    /// Set where a list is longer than is taken.
    too_long: bool,
    out: NativeHistogram,
}

/// Reads a histogram message.
pub(super) fn read(mut message: Reader<'_>) -> Result<Outcome, DecodeError> {
    const COUNT_INT: u32 = varint(1);
    const COUNT_FLOAT: u32 = fixed64(2);
    const SUM: u32 = fixed64(3);
    const SCHEMA: u32 = varint(4);
    const ZERO_THRESHOLD: u32 = fixed64(5);
    const ZERO_INT: u32 = varint(6);
    const ZERO_FLOAT: u32 = fixed64(7);
    const RESET_HINT: u32 = varint(14);
    const TIMESTAMP: u32 = varint(15);

    let mut raw = Raw {
        count: Count::Integer(0),
        zero_count: Count::Integer(0),
        reset_hint: 0,
        positive: Side::default(),
        negative: Side::default(),
        too_long: false,
        out: NativeHistogram::default(),
    };
    while let Some(tag) = message.tag()? {
        match tag {
            COUNT_INT => raw.count = Count::Integer(message.varint()?),
            COUNT_FLOAT => raw.count = Count::Float(message.double()?),
            SUM => raw.out.sum = message.double()?,
            SCHEMA => raw.out.schema = i32::try_from(message.zigzag()?).unwrap_or(i32::MAX),
            ZERO_THRESHOLD => raw.out.zero_threshold = message.double()?,
            ZERO_INT => raw.zero_count = Count::Integer(message.varint()?),
            ZERO_FLOAT => raw.zero_count = Count::Float(message.double()?),
            RESET_HINT => raw.reset_hint = message.varint()?,
            TIMESTAMP => raw.out.ts_ms = message.varint()? as i64,
            _ => raw.list(tag, &mut message)?,
        }
    }
    Ok(match raw.check() {
        Ok(histogram) => Outcome::Valid(histogram),
        Err(what) => Outcome::Invalid(what),
    })
}

impl Raw {
    /// Reads a list field, packed or one item of it.
    fn list(&mut self, tag: u32, message: &mut Reader<'_>) -> Result<(), DecodeError> {
        let full = match tag >> 3 {
            8 if tag & 7 == 2 => push(&mut self.negative.spans, span(message.message()?)?),
            11 if tag & 7 == 2 => push(&mut self.positive.spans, span(message.message()?)?),
            9 => items(tag, message, &mut self.negative.deltas, 0, Reader::zigzag)?,
            12 => items(tag, message, &mut self.positive.deltas, 0, Reader::zigzag)?,
            10 => items(tag, message, &mut self.negative.counts, 1, Reader::double)?,
            13 => items(tag, message, &mut self.positive.counts, 1, Reader::double)?,
            16 => items(tag, message, &mut self.out.custom_bounds, 1, Reader::double)?,
            _ => {
                message.skip(tag)?;
                false
            }
        };
        self.too_long |= full;
        Ok(())
    }

    fn check(self) -> Result<NativeHistogram, &'static str> {
        if self.too_long {
            return Err("native histogram with too many buckets");
        }
        let (positive, positive_total) = self.positive.absolute(self.count)?;
        let (negative, negative_total) = self.negative.absolute(self.count)?;
        let histogram = NativeHistogram {
            zero_count: self.zero_count.value(),
            count: self.count.value(),
            positive,
            positive_spans: self.positive.spans,
            negative,
            negative_spans: self.negative.spans,
            reset: self.reset_hint == 1,
            gauge: self.reset_hint == 3,
            ..self.out
        };
        if let (Count::Integer(count), Count::Integer(zero)) = (self.count, self.zero_count) {
            let total = positive_total + negative_total + u128::from(zero);
            let fits = if histogram.sum.is_nan() { total <= count.into() } else { total == count.into() };
            if !fits {
                return Err("native histogram whose buckets do not add up to its count");
            }
        }
        check_numbers(&histogram)?;
        if histogram.schema == CUSTOM_BOUNDS {
            check_custom(&histogram)?;
        } else if !(-4..=8).contains(&histogram.schema) {
            return Err("native histogram with an unknown schema");
        } else if !histogram.custom_bounds.is_empty() {
            return Err("native histogram with bounds that its schema does not have");
        }
        check_spans(&histogram.positive_spans, histogram.positive.len())?;
        check_spans(&histogram.negative_spans, histogram.negative.len())?;
        Ok(histogram)
    }
}

impl Side {
    /// The counts of the buckets, and for an integer histogram their exact total.
    fn absolute(&self, count: Count) -> Result<(Vec<f64>, u128), &'static str> {
        if let Count::Float(_) = count {
            return Ok((self.counts.clone(), 0));
        }
        let (mut running, mut total) = (0i64, 0u128);
        let mut counts = Vec::with_capacity(self.deltas.len());
        for delta in &self.deltas {
            let next = running.checked_add(*delta).filter(|next| *next >= 0);
            running = next.ok_or("native histogram with a negative bucket")?;
            total += running as u128;
            counts.push(running as f64);
        }
        Ok((counts, total))
    }
}

fn check_numbers(histogram: &NativeHistogram) -> Result<(), &'static str> {
    let counts = histogram.positive.iter().chain(&histogram.negative);
    if counts.chain([&histogram.count, &histogram.zero_count]).any(|x| !x.is_finite() || *x < 0.0) {
        return Err("native histogram with a count that is negative or not finite");
    }
    if histogram.zero_threshold.is_nan() || histogram.zero_threshold < 0.0 {
        return Err("native histogram with a negative zero threshold");
    }
    Ok(())
}

fn check_custom(histogram: &NativeHistogram) -> Result<(), &'static str> {
    let bounds = &histogram.custom_bounds;
    if bounds.iter().any(|x| x.is_nan()) || bounds.windows(2).any(|w| w[0] >= w[1]) {
        return Err("native histogram whose bounds do not ascend");
    }
    if bounds.last() == Some(&f64::INFINITY) {
        return Err("native histogram with +Inf among its bounds");
    }
    if !histogram.negative.is_empty() || !histogram.negative_spans.is_empty() {
        return Err("native histogram with custom bounds and negative buckets");
    }
    if histogram.zero_count != 0.0 || histogram.zero_threshold != 0.0 {
        return Err("native histogram with custom bounds and a zero bucket");
    }
    let spans = &histogram.positive_spans;
    let end: i64 = spans.iter().map(|span| i64::from(span.offset) + i64::from(span.length)).sum();
    if spans.iter().any(|span| span.offset < 0) || end > bounds.len() as i64 + 1 {
        return Err("native histogram with buckets beyond its bounds");
    }
    Ok(())
}

fn check_spans(spans: &[Span], buckets: usize) -> Result<(), &'static str> {
    if spans.iter().skip(1).any(|span| span.offset < 0) {
        return Err("native histogram with overlapping spans");
    }
    let mut end = 0i64;
    for span in spans {
        end += i64::from(span.offset) + i64::from(span.length);
    }
    if i32::try_from(end).is_err() {
        return Err("native histogram with a bucket index out of range");
    }
    if spans.iter().map(|span| u64::from(span.length)).sum::<u64>() != buckets as u64 {
        return Err("native histogram whose spans do not fit its buckets");
    }
    Ok(())
}

/// Appends unless the list is full; whether it was.
fn push<T>(list: &mut Vec<T>, item: T) -> bool {
    let full = list.len() >= MAX_BUCKETS;
    if !full {
        list.push(item);
    }
    full
}

/// Reads the items of a packed list, or the one of an unpacked field with wire type `single`.
fn items<'a, T>(
    tag: u32,
    message: &mut Reader<'a>,
    list: &mut Vec<T>,
    single: u32,
    read: impl Fn(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<bool, DecodeError> {
    let wire_type = tag & 7;
    if wire_type == single {
        return Ok(push(list, read(message)?));
    }
    if wire_type != 2 {
        message.skip(tag)?;
        return Ok(false);
    }
    let (mut packed, mut full) = (message.message()?, false);
    while !packed.is_done() && !full {
        full = push(list, read(&mut packed)?);
    }
    Ok(full)
}

fn span(mut message: Reader<'_>) -> Result<Span, DecodeError> {
    const OFFSET: u32 = varint(1);
    const LENGTH: u32 = varint(2);
    let mut span = Span { offset: 0, length: 0 };
    while let Some(tag) = message.tag()? {
        match tag {
            OFFSET => span.offset = i32::try_from(message.zigzag()?).unwrap_or(i32::MIN),
            LENGTH => span.length = u32::try_from(message.varint()?).unwrap_or(u32::MAX),
            _ => message.skip(tag)?,
        }
    }
    Ok(span)
}
