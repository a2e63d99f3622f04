//! Splitting a page into lines, and a line into the raw text of its series and the tokens behind it.
//!
//! Nothing is decoded or checked beyond what is needed to find the ends; quotes and escapes inside braces
//! are honoured, so that `}`, `,`, `=` and blanks in label values do no harm.

use memchr::{memchr, memchr2, memchr3};

use super::BadLine;

/// Takes the next line off `rest`, without its line feed.
pub(super) fn line_of<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let (line, after) = match memchr(b'\n', rest) {
        Some(end) => (&rest[..end], &rest[end + 1..]),
        None => (*rest, &[][..]),
    };
    *rest = after;
    line
}

/// `text` without blanks, tabs and carriage returns at both ends.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r', after @ ..] = text {
        text = after;
    }
    while let [before @ .., b' ' | b'\t' | b'\r'] = text {
        text = before;
    }
    text
}

/// Takes the next run of characters other than blanks and tabs off `rest`; empty at the end.
pub(super) fn next_token<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let mut at = 0;
    while at < rest.len() && is_blank(rest[at]) {
        at += 1;
    }
    let start = at;
    while at < rest.len() && !is_blank(rest[at]) {
        at += 1;
    }
    let token = &rest[start..at];
    *rest = &rest[at..];
    token
}

/// Whether `byte` separates tokens.
pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Where the series that begins `line` ends: behind its name, or behind its closing brace.
pub(super) fn series_end(line: &[u8]) -> Result<usize, BadLine> {
    let mut at = memchr3(b'{', b' ', b'\t', line).unwrap_or(line.len());
    let name_end = at;
    while at < line.len() && is_blank(line[at]) {
        at += 1;
    }
    if line.get(at) != Some(&b'{') {
        return Ok(name_end);
    }
    at += 1;
    loop {
        at += memchr2(b'"', b'}', line.get(at..).unwrap_or_default()).ok_or(BadLine::Labels)?;
        if line[at] == b'}' {
            return Ok(at + 1);
        }
        at = string_end(line, at + 1)?;
    }
}

/// Where the quoted string ends whose content begins at `at`: behind the closing quote.
pub(super) fn string_end(line: &[u8], mut at: usize) -> Result<usize, BadLine> {
    loop {
        at += memchr2(b'"', b'\\', line.get(at..).unwrap_or_default()).ok_or(BadLine::Labels)?;
        if line[at] == b'"' {
            return Ok(at + 1);
        }
        at += 2;
    }
}

/// What stands behind `name` in the metric name of a series, `_bucket` for example; `None` if the name of
/// the series does not begin so. The name stands before the brace, or is the first string behind it; escapes
/// in a quoted name are left as they are: such a name only fails to match its family.
pub(super) fn suffix_behind<'a>(name: &[u8], series: &'a [u8]) -> Option<&'a [u8]> {
    if let Some(inner) = series.strip_prefix(b"{") {
        let rest = trim(inner).strip_prefix(b"\"")?.strip_prefix(name)?;
        return memchr(b'"', rest).map(|end| &rest[..end]);
    }
    let rest = series.strip_prefix(name)?;
    let end = rest.iter().position(|b| is_blank(*b) || *b == b'{').unwrap_or(rest.len());
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_end_of_a_series() {
        for (line, series) in [
            ("m 1", "m"),
            ("m", "m"),
            ("m{} 3", "m{}"),
            ("m { a = \"b\" } 3", "m { a = \"b\" }"),
            (r#"m{a="}",b="\"}"}3"#, r#"m{a="}",b="\"}"}"#),
            (r#"{"m.x",a="b"} 1"#, r#"{"m.x",a="b"}"#),
        ] {
            assert_eq!(series_end(line.as_bytes()), Ok(series.len()), "{line}");
        }
        for line in ["m{", "m{a=\"", "m{a=\"b\\", "m{a=\"b\\\""] {
            assert_eq!(series_end(line.as_bytes()), Err(BadLine::Labels), "{line}");
        }
    }

    #[test]
    fn finds_what_stands_behind_the_family() {
        for (series, suffix) in [
            ("m", Some("")),
            ("m {}", Some("")),
            ("m_total{a=\"b\"}", Some("_total")),
            ("{\"m_sum\"}", Some("_sum")),
            ("{ \"m\",a=\"b\"}", Some("")),
            ("{a=\"b\"}", None),
            ("{}", None),
            ("n", None),
        ] {
            assert_eq!(suffix_behind(b"m", series.as_bytes()), suffix.map(str::as_bytes), "{series}");
        }
    }
}
