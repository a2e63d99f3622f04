//! Remote write 1.0: `prometheus.WriteRequest`.
//!
//! Labels stay undecoded. They are one run of bytes wherever all labels of a series stand before its
//! samples, as every known sender writes them; a series that is written otherwise has its labels copied
//! into one run behind the body.

use watchbell_series::{Labels, MetricKind, RawMetadata};

use super::wire::{Reader, length, varint};
use super::{Builder, DecodeError, Decoded, Limits, kind};

const REQUEST_SERIES: u32 = length(1);
const REQUEST_METADATA: u32 = length(3);
const SERIES_LABEL: u32 = length(1);
const SERIES_SAMPLE: u32 = length(2);
const SERIES_EXEMPLAR: u32 = length(3);
const SERIES_HISTOGRAM: u32 = length(4);

pub(super) fn decode(body: Vec<u8>, limits: &Limits) -> Result<Decoded, DecodeError> {
    let mut builder = Builder::new(limits, body.len());
    let mut behind = Vec::new();
    let mut request = Reader::new(&body);
    while let Some(tag) = request.tag()? {
        match tag {
            REQUEST_SERIES => series(request.message()?, &mut builder, body.len(), &mut behind)?,
            REQUEST_METADATA => metadata(request.message()?, &mut builder)?,
            _ => request.skip(tag)?,
        }
    }
    let mut out = builder.out;
    out.batch.labels = body;
    out.batch.labels.append(&mut behind);
    Ok(out)
}

fn series(
    mut message: Reader<'_>,
    builder: &mut Builder<'_>,
    body_len: usize,
    behind: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let whole = message;
    let mut labels_at = message.at();
    while message.next_is(SERIES_LABEL as u8) {
        message.tag()?;
        message.message()?;
    }
    let mut run = message.since(labels_at);
    let mark = builder.mark();
    let mut problem = None;
    let mut scattered = false;
    while let Some(tag) = message.tag()? {
        match tag {
            SERIES_SAMPLE => builder.sample(message.message()?)?,
            SERIES_HISTOGRAM => problem = problem.or(builder.histogram(message.message()?)?),
            SERIES_EXEMPLAR => {
                builder.out.exemplars += 1;
                message.skip(tag)?;
            }
            _ => {
                scattered |= tag == SERIES_LABEL;
                message.skip(tag)?;
            }
        }
    }
    if scattered {
        let start = behind.len();
        gather_labels(whole, behind)?;
        labels_at = body_len + start;
        run = &behind[start..];
    }
    if let Some(what) = problem {
        builder.note(run, what);
    }
    let end = builder.mark();
    if end.samples > mark.samples || end.histograms > mark.histograms {
        builder.series(run, labels_at, mark, MetricKind::Unknown);
    }
    Ok(())
}

/// Appends the labels of a series to `out`, wherever they stand in it.
fn gather_labels(mut message: Reader<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    while let Some(tag) = message.tag()? {
        let after_tag = message.at();
        message.skip(tag)?;
        if tag == SERIES_LABEL {
            out.push(SERIES_LABEL as u8);
            out.extend_from_slice(message.since(after_tag));
        }
    }
    Ok(())
}

fn metadata(mut message: Reader<'_>, builder: &mut Builder<'_>) -> Result<(), DecodeError> {
    const TYPE: u32 = varint(1);
    const FAMILY: u32 = length(2);
    const UNIT: u32 = length(5);
    builder.take(8)?;
    let (mut number, mut family, mut unit) = (0, &b""[..], &b""[..]);
    while let Some(tag) = message.tag()? {
        match tag {
            TYPE => number = message.varint()?,
            FAMILY => family = message.slice()?,
            UNIT => unit = message.slice()?,
            _ => message.skip(tag)?,
        }
    }
    // Metadata only helps; an entry that names nothing does not fail a request, as in Prometheus.
    if let (Some(family), Some(unit)) = (text(family), text(unit))
        && !family.is_empty()
    {
        let entry = RawMetadata { family: family.to_owned(), kind: kind(number), unit: unit.to_owned() };
        builder.out.batch.metadata.push(entry);
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.len() <= Labels::MAX_VALUE_BYTES)
}
