//! Labels of a series from its raw text, borrowed from the page where nothing had to be unescaped.
//!
//! A [`LabelSet`] is the working form between the page and the series: target labels are merged into it
//! and relabelling works on it. It ends as canonical label bytes and their hash.

use std::borrow::Cow;

use watchbell_series::Labels;
use watchbell_series::labels::{NAME, hash_canonical, write_canonical_label};

use super::lexer::{is_blank, string_end};
use super::number::{self, format_label_float};
use super::{BadLine, FloatLabel};

/// Names and values in any order, each name once. An empty value means that the label is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSet<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> LabelSet<'a> {
    /// The value of `name`; empty where there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// Whether `name` is there, be it with an empty value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// Sets `name` to `value`; an empty value removes it.
    pub fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter().position(|(n, _)| *n == name) {
            Some(at) if value.is_empty() => drop(self.0.swap_remove(at)),
            Some(at) => self.0[at].1 = value,
            None if value.is_empty() => {}
            None => self.0.push((name, value)),
        }
    }

    /// Keeps the labels whose name passes `keep`.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }

    /// Names and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Number of labels that have a value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().filter(|(_, value)| !value.is_empty()).count()
    }

    /// Whether no label has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all labels.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends the canonical encoding to `out` and gives its hash, the id of the series.
    pub fn write_canonical(&mut self, out: &mut Vec<u8>) -> u64 {
        self.0.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let start = out.len();
        for (name, value) in self.0.iter().filter(|(_, value)| !value.is_empty()) {
            write_canonical_label(name.as_bytes(), value.as_bytes(), out);
        }
        hash_canonical(&out[start..]).0
    }
}

impl<'a, N: Into<Cow<'a, str>>, V: Into<Cow<'a, str>>> FromIterator<(N, V)> for LabelSet<'a> {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut set = Self::default();
        for (name, value) in pairs {
            set.set(name, value);
        }
        set
    }
}

/// Decodes the raw text of a series into `out`, which is emptied first; the metric name is the label
/// `__name__`. The number in `float_label` gets the one form of [`format_label_float`].
///
/// # Errors
/// Text that is not `name{label="value",...}` in the syntax of the text formats, names that are not valid
/// or stand twice, more than [`Labels::MAX_LABELS`] labels, bytes that are not UTF-8.
pub fn decode_series<'a>(series: &'a [u8], float_label: FloatLabel, out: &mut LabelSet<'a>) -> Result<(), BadLine> {
    out.clear();
    let open = series.iter().position(|b| *b == b'{').unwrap_or(series.len());
    let mut name_end = open;
    while name_end > 0 && is_blank(series[name_end - 1]) {
        name_end -= 1;
    }
    let name = &series[..name_end];
    if !name.is_empty() {
        if !is_name(name, true) {
            return Err(BadLine::Name);
        }
        push(out, Cow::Borrowed(NAME), text(name)?)?;
    }
    if open < series.len() {
        let mut cursor = Cursor { series, at: open + 1 };
        while !cursor.skip(b'}') {
            cursor.label(out)?;
            if !cursor.skip(b',') && !cursor.peek(b'}') {
                return Err(BadLine::Labels);
            }
        }
        if cursor.at != series.len() {
            return Err(BadLine::Labels);
        }
    }
    if out.get(NAME).is_empty() {
        return Err(BadLine::Name);
    }
    if float_label != FloatLabel::None
        && let Some(number) = number::value(out.get(float_label.name()).as_bytes())
    {
        out.set(float_label.name(), format_label_float(number));
    }
    Ok(())
}

struct Cursor<'a> {
    series: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Whether `byte` comes next, after blanks.
    fn peek(&mut self, byte: u8) -> bool {
        while self.series.get(self.at).is_some_and(|b| is_blank(*b)) {
            self.at += 1;
        }
        self.series.get(self.at) == Some(&byte)
    }

    /// Skips `byte` if it comes next, after blanks.
    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek(byte);
        self.at += usize::from(found);
        found
    }

    fn label(&mut self, out: &mut LabelSet<'a>) -> Result<(), BadLine> {
        let quoted = self.peek(b'"');
        let name = if quoted { self.string()? } else { self.bare_name()? };
        if self.skip(b'=') {
            if name.is_empty() || !self.peek(b'"') {
                return Err(BadLine::Labels);
            }
            let value = self.string()?;
            return push(out, name, value);
        }
        // A string alone is the metric name.
        if quoted && !name.is_empty() { push(out, Cow::Borrowed(NAME), name) } else { Err(BadLine::Labels) }
    }

    fn bare_name(&mut self) -> Result<Cow<'a, str>, BadLine> {
        let start = self.at;
        while self.series.get(self.at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_') {
            self.at += 1;
        }
        let name = &self.series[start..self.at];
        if is_name(name, false) { text(name) } else { Err(BadLine::Labels) }
    }

    /// Reads a quoted string at the cursor.
    fn string(&mut self) -> Result<Cow<'a, str>, BadLine> {
        let start = self.at + 1;
        let end = string_end(self.series, start)?;
        self.at = end;
        let raw = text(&self.series[start..end - 1])?;
        Ok(if memchr::memchr(b'\\', raw.as_bytes()).is_some() { Cow::Owned(unescape(&raw)) } else { raw })
    }
}

fn push<'a>(out: &mut LabelSet<'a>, name: Cow<'a, str>, value: Cow<'a, str>) -> Result<(), BadLine> {
    if out.has(&name) {
        return Err(BadLine::DuplicateLabel);
    }
    if out.0.len() == Labels::MAX_LABELS {
        return Err(BadLine::TooManyLabels);
    }
    out.0.push((name, value));
    Ok(())
}

fn is_name(name: &[u8], colon: bool) -> bool {
    let good = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || (colon && *b == b':');
    name.first().is_some_and(|b| !b.is_ascii_digit()) && name.iter().all(good)
}

fn text(bytes: &[u8]) -> Result<Cow<'_, str>, BadLine> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| BadLine::NotUtf8)
}

/// Resolves `\\`, `\"` and `\n`; of any other escape both characters are kept, as Prometheus does.
fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some(c @ ('\\' | '"')) => out.push(c),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }
    out
}
