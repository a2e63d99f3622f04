//! Performance data as plugins print it: `'label'=value[UOM];[warn];[crit];[min];[max]`, items apart by blanks.
//!
//! The grammar is that of the Monitoring Plugins Development Guidelines. What plugins print beside it is
//! decided here, once: see the table in `docs/nagios.md`. A token that is no item costs itself only. Borrows
//! from the input, allocates for a label with doubled quotes only, and survives any bytes.

mod number;
mod range;
#[cfg(test)]
mod tests;
mod unit;

use std::borrow::Cow;

pub use number::number;
pub use range::Range;
pub use unit::{Base, base};

/// The longest label that is taken, in bytes.
pub const MAX_LABEL: usize = 1_024;
/// The longest unit that is taken, in bytes.
const MAX_UNIT: usize = 32;

/// One item.
#[derive(Debug, Clone, PartialEq)]
pub struct Item<'a> {
    /// The label, without its quotes, as bytes: not all plugins print UTF-8.
    pub label: Cow<'a, [u8]>,
    /// The value in `unit`, finite; `None` for `U`, which the plugin could not determine.
    pub value: Option<f64>,
    /// The unit as it was printed; may be empty.
    pub unit: &'a [u8],
    /// `warn`, `crit`, `min`, `max` as they were printed; may be empty.
    limits: [&'a [u8]; 4],
}

impl Item<'_> {
    /// Where the value warns; `None` where that is not given or can not be read.
    #[must_use]
    pub fn warn(&self) -> Option<Range> {
        Range::of(self.limits[0])
    }

    /// Whether any of `warn`, `crit` and `max` is given.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        [0, 1, 3].iter().any(|at| !self.limits[*at].is_empty())
    }

    /// `warn`, `crit`, `min`, `max` as they were printed; may be empty.
    #[must_use]
    pub fn printed_limits(&self) -> [&[u8]; 4] {
        self.limits
    }

    /// Where the value is critical.
    #[must_use]
    pub fn crit(&self) -> Option<Range> {
        Range::of(self.limits[1])
    }

    /// Least value possible.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        number::whole(self.limits[2])
    }

    /// Greatest value possible.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        number::whole(self.limits[3])
    }
}

/// What is wrong with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// No `=` in it.
    NoEquals,
    /// A quote without its end, or a quoted label without `=` behind it.
    Quote,
    /// Nothing before the `=`, or a label longer than [`MAX_LABEL`].
    Label,
    /// Nothing behind the `=`.
    NoValue,
    /// What is behind the `=` is no number with a unit.
    NotANumber,
}

impl Fault {
    /// A few words for logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoEquals => "no `=`",
            Self::Quote => "a quote without its end",
            Self::Label => "no label, or one that is too long",
            Self::NoValue => "no value",
            Self::NotANumber => "the value is no number",
        }
    }
}

/// A token that is no item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad<'a> {
    /// What is wrong.
    pub fault: Fault,
    /// The token.
    pub token: &'a [u8],
}

/// The items of `perfdata`, and the tokens that are none.
#[must_use]
pub fn items(perfdata: &[u8]) -> Items<'_> {
    Items { bytes: perfdata, at: 0 }
}

/// Splits off the name of a command in brackets at the end, `... [check_disk]`, by which a plugin says who it
/// is: the way of PNP4Nagios.
#[must_use]
pub fn split_command(perfdata: &[u8]) -> (&[u8], Option<&[u8]>) {
    let trimmed = perfdata.trim_ascii_end();
    let open = trimmed.strip_suffix(b"]").and_then(|rest| rest.iter().rposition(|b| *b == b'['));
    let Some(open) = open else { return (perfdata, None) };
    let name = &trimmed[open + 1..trimmed.len() - 1];
    let alone = open == 0 || is_blank(trimmed[open - 1]);
    let plain = !name.is_empty() && !name.iter().any(|b| is_blank(*b) || matches!(b, b'=' | b'\'' | b'['));
    if alone && plain { (&trimmed[..open], Some(name)) } else { (perfdata, None) }
}

/// See [`items`].
#[derive(Debug, Clone)]
pub struct Items<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, Bad<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.at = self.after_blanks(self.at);
        let start = self.at;
        let first = *self.bytes.get(start)?;
        let found = if first == b'\'' { self.quoted(start) } else { self.bare(start) };
        Some(found.map_err(|fault| {
            // After a bad token the next one begins at the next blank, so that its neighbour is kept.
            self.at = self.end_of_token(start).max(start + 1);
            Bad { fault, token: &self.bytes[start..self.at] }
        }))
    }
}

impl<'a> Items<'a> {
    /// `'label'=...`, a quote in the label doubled.
    fn quoted(&mut self, start: usize) -> Result<Item<'a>, Fault> {
        let (mut at, mut doubled) = (start + 1, false);
        let end = loop {
            let quote = memchr::memchr(b'\'', &self.bytes[at..]).ok_or(Fault::Quote)? + at;
            if self.bytes.get(quote + 1) != Some(&b'\'') {
                break quote;
            }
            (at, doubled) = (quote + 2, true);
        };
        let equals = self.after_blanks(end + 1);
        if self.bytes.get(equals) != Some(&b'=') {
            return Err(Fault::Quote);
        }
        let inner = &self.bytes[start + 1..end];
        let label = if doubled { Cow::Owned(halve_quotes(inner)) } else { Cow::Borrowed(inner) };
        let token = self.value(equals + 1)?;
        item(label, token)
    }

    /// `label=...`. The label ends at the first `=` behind which stands a number.
    fn bare(&mut self, start: usize) -> Result<Item<'a>, Fault> {
        let stop = |b: &u8| *b == b'=' || is_blank(*b);
        let end = self.bytes[start..].iter().position(stop).map_or(self.bytes.len(), |n| start + n);
        let equals = self.after_blanks(end);
        if self.bytes.get(equals) != Some(&b'=') {
            return Err(Fault::NoEquals);
        }
        let token = self.value(equals + 1)?;
        let found = item(Cow::Borrowed(&self.bytes[start..end]), token);
        if found.is_ok() || equals != end {
            return found;
        }
        // `a=b=1`: the label holds a `=` itself.
        let head = token.iter().position(|b| *b == b';').unwrap_or(token.len());
        let Some(last) = token[..head].iter().rposition(|b| *b == b'=') else { return found };
        item(Cow::Borrowed(&self.bytes[start..equals + 1 + last]), &token[last + 1..])
    }

    /// The token behind a `=` at `from`, with the fields that blanks after `;` cut off from it.
    fn value(&mut self, from: usize) -> Result<&'a [u8], Fault> {
        let begin = self.after_blanks(from);
        // Blanks between `=` and the value are no rule, but seen; the next item is not the value of this one.
        if begin >= self.bytes.len() || (begin > from && !self.is_field(begin)) {
            return Err(Fault::NoValue);
        }
        let mut end = self.end_of_token(begin);
        while self.bytes[end - 1] == b';' {
            let next = self.after_blanks(end);
            if next >= self.bytes.len() || next == end || !self.is_field(next) {
                break;
            }
            end = self.end_of_token(next);
        }
        self.at = end;
        Ok(&self.bytes[begin..end])
    }

    /// Whether the token at `at` can only be a field of the item before it: no label, and a number's beginning.
    fn is_field(&self, at: usize) -> bool {
        matches!(self.bytes[at], b'0'..=b'9' | b'.' | b'+' | b'-' | b'~' | b'@' | b':' | b';' | b'U')
            && !self.bytes[at..self.end_of_token(at)].contains(&b'=')
    }

    fn after_blanks(&self, at: usize) -> usize {
        let mut at = at;
        while self.bytes.get(at).is_some_and(|b| is_blank(*b)) {
            at += 1;
        }
        at
    }

    fn end_of_token(&self, at: usize) -> usize {
        self.bytes[at..].iter().position(|b| is_blank(*b)).map_or(self.bytes.len(), |n| at + n)
    }
}

fn item<'a>(label: Cow<'a, [u8]>, token: &'a [u8]) -> Result<Item<'a>, Fault> {
    if label.is_empty() || label.len() > MAX_LABEL {
        return Err(Fault::Label);
    }
    let mut fields = token.split(|b| *b == b';').map(|field| field.trim_ascii());
    let head = fields.next().unwrap_or_default();
    let mut limits: [&[u8]; 4] = [&[]; 4];
    for (limit, field) in limits.iter_mut().zip(fields) {
        *limit = field;
    }
    match head {
        [] => Err(Fault::NoValue),
        b"U" => Ok(Item { label, value: None, unit: &[], limits }),
        _ => {
            let (value, used) = number(head).ok_or(Fault::NotANumber)?;
            let unit = head[used..].trim_ascii_start();
            if !is_unit(unit)
                || (value == 0.0 && matches!(unit, [b'x' | b'X', b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]))
            {
                return Err(Fault::NotANumber);
            }
            Ok(Item { label, value: Some(value), unit, limits })
        }
    }
}

/// Letters, `%`, `/` and the like, first no digit: `ms`, `%`, `B/s`, `°C`, `m3`.
fn is_unit(text: &[u8]) -> bool {
    let legal =
        |b: &u8| b.is_ascii_alphanumeric() || *b >= 0x80 || matches!(b, b'%' | b'/' | b'_' | b'*' | b'^' | b'$');
    text.len() <= MAX_UNIT && text.first().is_none_or(|b| !b.is_ascii_digit()) && text.iter().all(legal)
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}

fn halve_quotes(label: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(label.len());
    let mut bytes = label.iter().copied();
    while let Some(b) = bytes.next() {
        out.push(b);
        if b == b'\'' {
            // Its double.
            bytes.next();
        }
    }
    out
}
