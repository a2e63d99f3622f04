//! The comment lines of a page: `# TYPE`, `# UNIT`, `# HELP`, and which samples they are about.
//!
//! Only the family of the last metadata line is held: a page lists a family's metadata and samples as one
//! block. A sample of another name than the family's has no known kind.

use watchbell_series::MetricKind;

use super::lexer::{next_token, string_end, suffix_behind, trim};
use super::{BadLine, Format, Visitor};

/// The label of a series that holds a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FloatLabel {
    /// There is none.
    #[default]
    None,
    /// `le`, of a histogram's bucket.
    Le,
    /// `quantile`, of a summary.
    Quantile,
}

impl FloatLabel {
    /// Name of the label; empty for none.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Le => "le",
            Self::Quantile => "quantile",
        }
    }
}

/// The unit of a family, from a `# UNIT` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit<'a> {
    /// Name of the family as it was written.
    pub family: &'a str,
    /// Its kind, where a `# TYPE` line told it.
    pub kind: MetricKind,
    /// The unit in the words of the page, such as `seconds`.
    pub unit: &'a str,
}

/// The family that the lines are about just now.
#[derive(Debug, Default)]
pub(super) struct Family<'a> {
    name: &'a [u8],
    kind: MetricKind,
    unit: &'a [u8],
}

impl<'a> Family<'a> {
    /// Takes a comment line without its `#`.
    pub(super) fn comment<V: Visitor<'a>>(
        &mut self,
        comment: &'a [u8],
        format: Format,
        visitor: &mut V,
    ) -> Result<(), BadLine> {
        let mut rest = comment;
        match next_token(&mut rest) {
            b"TYPE" => {
                self.turn_to(name(&mut rest)?, visitor);
                self.kind = MetricKind::Unknown;
                let word = std::str::from_utf8(trim(rest)).map_err(|_| BadLine::Metadata)?;
                self.kind = word.parse().map_err(|_| BadLine::Metadata)?;
            }
            b"UNIT" if format == Format::OpenMetrics => {
                self.turn_to(name(&mut rest)?, visitor);
                self.unit = trim(rest);
            }
            _ => {}
        }
        Ok(())
    }

    fn turn_to<V: Visitor<'a>>(&mut self, name: &'a [u8], visitor: &mut V) {
        if self.name != name {
            self.finish(visitor);
            *self = Self { name, ..Self::default() };
        }
    }

    /// Tells the unit of the family, when its lines are over.
    pub(super) fn finish<V: Visitor<'a>>(&self, visitor: &mut V) {
        if let (Ok(family), Ok(unit)) = (std::str::from_utf8(self.name), std::str::from_utf8(self.unit))
            && !unit.is_empty()
        {
            visitor.unit(Unit { family, kind: self.kind, unit });
        }
    }

    /// Kind of a sample of this series, and its label that holds a number.
    pub(super) fn kind_of(&self, series: &[u8]) -> (MetricKind, FloatLabel) {
        use MetricKind as Kind;
        let Some(suffix) = suffix_behind(self.name, series).filter(|_| !self.name.is_empty()) else {
            return (Kind::Unknown, FloatLabel::None);
        };
        match (self.kind, suffix) {
            // The time of creation is no total, whatever it belongs to.
            (Kind::Counter | Kind::Summary | Kind::Histogram, b"_created") => (Kind::Gauge, FloatLabel::None),
            (Kind::Summary, b"") => (Kind::Summary, FloatLabel::Quantile),
            (Kind::Histogram | Kind::GaugeHistogram, b"_bucket") => (self.kind, FloatLabel::Le),
            (_, b"")
            | (Kind::Counter, b"_total")
            | (Kind::Summary | Kind::Histogram, b"_sum" | b"_count")
            | (Kind::GaugeHistogram, b"_gsum" | b"_gcount")
            | (Kind::Info, b"_info") => (self.kind, FloatLabel::None),
            _ => (Kind::Unknown, FloatLabel::None),
        }
    }
}

/// Takes the name of a family off `rest`, with or without quotes.
fn name<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], BadLine> {
    *rest = trim(rest);
    if rest.first() == Some(&b'"') {
        let end = string_end(rest, 1).map_err(|_| BadLine::Metadata)?;
        let name = &rest[1..end - 1];
        *rest = &rest[end..];
        return Ok(name);
    }
    let name = next_token(rest);
    if name.is_empty() { Err(BadLine::Metadata) } else { Ok(name) }
}
