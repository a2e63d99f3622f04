//! Threshold ranges, `[@]start:end`.

use super::number::whole;

/// Values that are in order; outside of it (or inside, with `@`) a plugin alerts. Bounds belong to the range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Lower bound; minus infinity for `~`.
    pub start: f64,
    /// Upper bound; infinity where it is left open.
    pub end: f64,
    /// Whether what is inside alerts: the range was written with `@`.
    pub inside: bool,
}

impl Range {
    /// Reads a range: `10`, `10:`, `~:10`, `10:20`, `@10:20`, and `:10`, which is taken as `0:10`. `None` where
    /// there is none, where it can not be read, and where its start is above its end.
    #[must_use]
    pub fn of(text: &[u8]) -> Option<Self> {
        let (inside, text) = text.strip_prefix(b"@").map_or((false, text), |rest| (true, rest));
        let (start, end) = match text.iter().position(|b| *b == b':') {
            None => (0.0, whole(text)?),
            Some(colon) => {
                let start = match &text[..colon] {
                    b"~" => f64::NEG_INFINITY,
                    b"" if text.len() > 1 => 0.0,
                    start => whole(start)?,
                };
                let end = if colon + 1 == text.len() { f64::INFINITY } else { whole(&text[colon + 1..])? };
                (start, end)
            }
        };
        (start <= end).then_some(Self { start, end, inside })
    }

    /// Whether a plugin alerts at `value`.
    #[must_use]
    pub fn alerts(&self, value: f64) -> bool {
        (self.start <= value && value <= self.end) == self.inside
    }
}
