//! Remote write 2.0: `io.prometheus.write.v2.Request`.
//!
//! Labels are references into a table of symbols. They are put together in the form of remote write 1.0,
//! sorted and without empty values, so that the key of a series is its identity. Start timestamps are
//! skipped: a reset shows in the values. Exemplars are skipped and counted.

use std::collections::HashSet;

use watchbell_series::labels::{NAME, write_canonical_label};
use watchbell_series::{MetricKind, RawMetadata};

use super::wire::{Reader, length, varint};
use super::{Builder, DecodeError, Decoded, Limits, Mark, kind};

/// The longest unit that is kept, bytes: every series may name the same symbol.
const MAX_UNIT: usize = 64;

const REQUEST_SYMBOL: u32 = length(4);
const REQUEST_SERIES: u32 = length(5);

pub(super) fn decode(body: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    // Symbols mostly come first, but need not.
    let mut symbols: Vec<&[u8]> = Vec::new();
    let mut request = Reader::new(body);
    while let Some(tag) = request.tag()? {
        match tag {
            REQUEST_SYMBOL if symbols.len() >= limits.samples => {
                return Err(DecodeError::TooMuch { what: "symbols", max: limits.samples });
            }
            REQUEST_SYMBOL => symbols.push(request.slice()?),
            _ => request.skip(tag)?,
        }
    }
    if symbols.first().is_some_and(|first| !first.is_empty()) {
        return Err(DecodeError::Malformed { what: "the first symbol is not the empty text", at: 0 });
    }
    let mut decoder = Decoder {
        symbols,
        builder: Builder::new(limits, body.len()),
        // Labels put together take several times the room of references to them.
        labels: Vec::with_capacity(body.len().saturating_mul(4).min(limits.body_bytes)),
        refs: Vec::with_capacity(64),
        told: HashSet::new(),
    };
    let mut request = Reader::new(body);
    while let Some(tag) = request.tag()? {
        match tag {
            REQUEST_SERIES => decoder.series(request.message()?)?,
            _ => request.skip(tag)?,
        }
    }
    let mut out = decoder.builder.out;
    out.batch.labels = decoder.labels;
    Ok(out)
}

struct Decoder<'a, 'l> {
    symbols: Vec<&'a [u8]>,
    builder: Builder<'l>,
    /// The label bytes of the batch.
    labels: Vec<u8>,
    /// References of the series at hand.
    refs: Vec<u32>,
    /// Names, by their symbol, of which the batch has the unit.
    told: HashSet<u32>,
}

impl Decoder<'_, '_> {
    fn series(&mut self, mut message: Reader<'_>) -> Result<(), DecodeError> {
        const REF_PACKED: u32 = length(1);
        const REF: u32 = varint(1);
        const SAMPLE: u32 = length(2);
        const HISTOGRAM: u32 = length(3);
        const EXEMPLAR: u32 = length(4);
        const METADATA: u32 = length(5);

        self.refs.clear();
        let mark = self.builder.mark();
        let mut meta = Meta::default();
        let mut problem = None;
        let mut bad_histograms = 0u32;
        while let Some(tag) = message.tag()? {
            match tag {
                REF_PACKED => {
                    let mut list = message.message()?;
                    while !list.is_done() {
                        self.refs.push(reference(list.varint()?));
                    }
                }
                REF => self.refs.push(reference(message.varint()?)),
                SAMPLE => self.builder.sample(message.message()?)?,
                HISTOGRAM => {
                    if let Some(what) = self.builder.histogram(message.message()?)? {
                        problem = problem.or(Some(what));
                        bad_histograms += 1;
                    }
                }
                EXEMPLAR => {
                    self.builder.out.exemplars += 1;
                    message.skip(tag)?;
                }
                METADATA => meta.read(message.message()?)?,
                _ => message.skip(tag)?,
            }
        }
        let start = self.labels.len();
        if let Err(what) = self.write_labels()? {
            self.labels.truncate(start);
            self.builder.refuse_series(&[], mark, what);
            return Ok(());
        }
        self.tell_unit(meta);
        self.finish(start, mark, meta.kind, problem, bad_histograms);
        Ok(())
    }

    /// Notes the unit of the series at hand, once for each name.
    fn tell_unit(&mut self, meta: Meta) {
        let text = |reference: u32| std::str::from_utf8(self.symbols.get(reference as usize)?).ok();
        let Some(unit) = text(meta.unit).filter(|unit| (1..=MAX_UNIT).contains(&unit.len())) else { return };
        let name = self.refs.chunks_exact(2).find(|pair| text(pair[0]) == Some(NAME)).map(|pair| pair[1]);
        let Some((name, mut family)) = name.and_then(|name| Some((name, text(name)?))) else { return };
        if matches!(meta.kind, MetricKind::Histogram | MetricKind::GaugeHistogram | MetricKind::Summary) {
            family = ["_bucket", "_sum", "_count"].iter().find_map(|end| family.strip_suffix(end)).unwrap_or(family);
        }
        if self.told.insert(name) {
            let told = RawMetadata { family: family.to_owned(), kind: meta.kind, unit: unit.to_owned() };
            self.builder.out.batch.metadata.push(told);
        }
    }

    fn finish(&mut self, start: usize, mark: Mark, kind: MetricKind, problem: Option<&str>, bad_histograms: u32) {
        let run = &self.labels[start..];
        if let Some(what) = problem {
            self.builder.note(run, what);
        }
        let end = self.builder.mark();
        let empty = end.samples == mark.samples && end.histograms == mark.histograms;
        if !empty {
            self.builder.series(run, start, mark, kind);
        } else if bad_histograms == 0 {
            self.builder.refuse_series(run, mark, "neither samples nor histograms");
        }
    }

    /// Appends the labels that `refs` name. The inner error is about this series alone.
    fn write_labels(&mut self) -> Result<Result<(), &'static str>, DecodeError> {
        let (pairs, []) = self.refs.as_chunks_mut::<2>() else {
            return Ok(Err("an odd number of label references"));
        };
        let symbols = &self.symbols;
        let symbol = |reference: u32| symbols.get(reference as usize).copied();
        let mut bytes = 0;
        for pair in pairs.iter() {
            match (symbol(pair[0]), symbol(pair[1])) {
                (Some(name), Some(value)) => bytes += name.len() + value.len() + 8,
                _ => return Ok(Err("a label reference beyond the table of symbols")),
            }
        }
        if bytes > self.builder.limits.label_bytes {
            return Ok(Err("labels are too long"));
        }
        // A symbol may be named by every series: what counts is the size of the labels put together.
        if self.labels.len() + bytes > self.builder.limits.body_bytes {
            return Err(DecodeError::TooMuch { what: "bytes of labels", max: self.builder.limits.body_bytes });
        }
        if !pairs.is_sorted_by_key(|pair| symbol(pair[0])) {
            pairs.sort_by_key(|pair| symbol(pair[0]));
        }
        for pair in pairs.iter() {
            if let (Some(name), Some(value)) = (symbol(pair[0]), symbol(pair[1]))
                && !value.is_empty()
            {
                write_canonical_label(name, value, &mut self.labels);
            }
        }
        Ok(Ok(()))
    }
}

/// A reference that does not fit is beyond every table.
fn reference(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What the metadata of a series tells.
#[derive(Debug, Clone, Copy, Default)]
struct Meta {
    kind: MetricKind,
    /// Symbol of the unit; 0, the empty text, for none.
    unit: u32,
}

impl Meta {
    fn read(&mut self, mut message: Reader<'_>) -> Result<(), DecodeError> {
        const TYPE: u32 = varint(1);
        const UNIT: u32 = varint(4);
        while let Some(tag) = message.tag()? {
            match tag {
                TYPE => self.kind = kind(message.varint()?),
                UNIT => self.unit = reference(message.varint()?),
                _ => message.skip(tag)?,
            }
        }
        Ok(())
    }
}
