//! Reader of the Prometheus text format 0.0.4 and of OpenMetrics 1.0.
//!
//! A page is read line by line, without copying: each sample line is split into the raw text of its
//! series (`name{...}`, exactly as it was written), a value and a timestamp. Whoever knows the raw text
//! already needs no labels; who does not decodes them with [`decode_series`]. A line that can not be read
//! is reported with its number and reason and skipped, its neighbours are kept. What a sample *means*
//! (negative counters, missing buckets) is never judged here.
//!
//! Formats: "Exposition formats" of the Prometheus documentation, and the OpenMetrics 1.0 specification,
//! read as leniently as a lost sample is worse than an untidy page; only the end mark `# EOF` of
//! OpenMetrics is insisted upon, because without it a truncated page can not be told from a whole one.

mod family;
mod format;
mod labels;
mod lexer;
mod number;

use watchbell_series::MetricKind;

pub use family::{FloatLabel, Unit};
pub use format::{ACCEPT, Format};
pub use labels::{LabelSet, decode_series};
pub use number::format_label_float;

use family::Family;
use lexer::{line_of, next_token, series_end, trim};

/// One sample line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// The series as it was written, from the name to the closing brace.
    pub series: &'a [u8],
    /// The value; any NaN is [`watchbell_series::NORMAL_NAN_BITS`], so a page can not end a series.
    pub value: f64,
    /// Milliseconds since the Unix epoch, where the line has a timestamp.
    pub timestamp_ms: Option<i64>,
    /// Kind by the last `# TYPE` line, if the name belongs to that family.
    pub kind: MetricKind,
    /// The label of this series whose value is a number, to be written in one form by everyone.
    pub float_label: FloatLabel,
}

/// Why a line was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// No metric name, or one with other characters than `[a-zA-Z0-9_:]` outside quotes.
    #[error("no valid metric name")]
    Name,
    /// Braces, quotes, `=` or `,` are not where they belong.
    #[error("labels can not be read")]
    Labels,
    /// One label name stands twice.
    #[error("a label stands twice")]
    DuplicateLabel,
    /// More labels than a series may have.
    #[error("too many labels")]
    TooManyLabels,
    /// A name or value is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// No value, or one that is no number.
    #[error("value is no number")]
    Value,
    /// The timestamp is no number.
    #[error("timestamp is no number")]
    Timestamp,
    /// Something follows the sample.
    #[error("text after the sample")]
    Trailing,
    /// A `# TYPE` or `# UNIT` line without name or with an unknown type.
    #[error("metadata can not be read")]
    Metadata,
    /// Text after `# EOF`.
    #[error("text after the end mark")]
    AfterEnd,
}

impl BadLine {
    /// All reasons.
    pub const ALL: [Self; 10] = [
        Self::Name,
        Self::Labels,
        Self::DuplicateLabel,
        Self::TooManyLabels,
        Self::NotUtf8,
        Self::Value,
        Self::Timestamp,
        Self::Trailing,
        Self::Metadata,
        Self::AfterEnd,
    ];

    /// The reason as the value of a label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Labels => "labels",
            Self::DuplicateLabel => "duplicate_label",
            Self::TooManyLabels => "too_many_labels",
            Self::NotUtf8 => "not_utf8",
            Self::Value => "value",
            Self::Timestamp => "timestamp",
            Self::Trailing => "trailing",
            Self::Metadata => "metadata",
            Self::AfterEnd => "after_end",
        }
    }
}

/// Takes what a page holds, in the order of its lines.
pub trait Visitor<'a> {
    /// A sample line.
    ///
    /// # Errors
    /// A reason makes the line a bad one, for example when its labels turn out to be unreadable.
    fn sample(&mut self, sample: Sample<'a>) -> Result<(), BadLine>;

    /// The unit of a family.
    fn unit(&mut self, _unit: Unit<'a>) {}

    /// A line that was skipped; lines are counted from 1.
    fn bad_line(&mut self, line: usize, reason: BadLine);
}

/// Why a page as a whole can not be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// An OpenMetrics page without its end mark.
    #[error("the page does not end in `# EOF`: it was cut off")]
    NoEnd,
}

/// Reads a whole page and hands its content to `visitor`.
///
/// # Errors
/// [`PageError::NoEnd`], after everything that is there was handed over.
pub fn parse<'a, V: Visitor<'a>>(body: &'a [u8], format: Format, visitor: &mut V) -> Result<(), PageError> {
    let mut rest = body;
    let mut number = 0;
    let mut family = Family::default();
    let mut ended = false;
    while !rest.is_empty() {
        let line = trim(line_of(&mut rest));
        number += 1;
        if line.is_empty() {
            continue;
        }
        if ended {
            visitor.bad_line(number, BadLine::AfterEnd);
            break;
        }
        let outcome = match line.strip_prefix(b"#") {
            Some(b" EOF") if format == Format::OpenMetrics => {
                ended = true;
                Ok(())
            }
            Some(comment) => family.comment(comment, format, visitor),
            None => sample_line(line, format, &family).and_then(|sample| visitor.sample(sample)),
        };
        if let Err(reason) = outcome {
            visitor.bad_line(number, reason);
        }
    }
    family.finish(visitor);
    if format == Format::OpenMetrics && !ended { Err(PageError::NoEnd) } else { Ok(()) }
}

fn sample_line<'a>(line: &'a [u8], format: Format, family: &Family<'a>) -> Result<Sample<'a>, BadLine> {
    let (series, mut rest) = line.split_at(series_end(line)?);
    let value = number::value(next_token(&mut rest)).ok_or(BadLine::Value)?;
    let mut token = next_token(&mut rest);
    let mut timestamp_ms = None;
    if !token.is_empty() && token != b"#" {
        timestamp_ms = Some(match format {
            Format::Text => number::millis(token),
            Format::OpenMetrics => number::seconds(token),
        });
        token = next_token(&mut rest);
    }
    // An exemplar follows the sample as ` # {...} value`; it is of no use here.
    if !token.is_empty() && (token != b"#" || format == Format::Text) {
        return Err(BadLine::Trailing);
    }
    let timestamp_ms = match timestamp_ms {
        Some(None) => return Err(BadLine::Timestamp),
        Some(some) => some,
        None => None,
    };
    let (kind, float_label) = family.kind_of(series);
    Ok(Sample { series, value, timestamp_ms, kind, float_label })
}

#[cfg(test)]
mod tests;
