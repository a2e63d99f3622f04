//! Selectors as PromQL, narrowed by more matchers.

use watchbell_series::{MatchOp, Selector};

/// A label and the values it may have, `""` for series without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OneOf {
    pub(super) label: String,
    pub(super) values: Vec<String>,
}

/// Most values of one matcher: servers look up so many one by one, and scan all values for more.
pub(super) const MAX_VALUES: usize = 100;

/// Most bytes of the values of one matcher. VictoriaMetrics refuses queries of more than 16 KiB.
pub(super) const MAX_BYTES: usize = 4096;

impl OneOf {
    /// Whether `values` of `bytes` bytes are few and short enough for one matcher.
    pub(super) fn fits(values: usize, bytes: usize) -> bool {
        values <= MAX_VALUES && bytes <= MAX_BYTES
    }
}

/// `selector` as PromQL, narrowed to `labels` and to `more`.
pub(super) fn promql(selector: &Selector, labels: &[(String, String)], more: &[OneOf]) -> String {
    let mut text = String::from("{");
    for matcher in selector.matchers() {
        let op = match matcher.op() {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        };
        write(matcher.name(), op, matcher.value(), &mut text);
    }
    for (name, value) in labels {
        write(name, "=", value, &mut text);
    }
    for OneOf { label, values } in more {
        match values.as_slice() {
            [value] => write(label, "=", value, &mut text),
            values => {
                let escaped: Vec<String> = values.iter().map(|value| regex::escape(value)).collect();
                write(label, "=~", &escaped.join("|"), &mut text);
            }
        }
    }
    text.push('}');
    text
}

/// Whether `name` can be written without quotes, which not every server reads.
pub(super) fn is_word(name: &str) -> bool {
    let letters = name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
    letters && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn write(name: &str, op: &str, value: &str, out: &mut String) {
    if out.len() > 1 {
        out.push(',');
    }
    if is_word(name) {
        out.push_str(name);
    } else {
        quote(name, out);
    }
    out.push_str(op);
    quote(value, out);
}

fn quote(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_narrowed() {
        let selector: Selector = r#"up{job=~"a|b",path!="C:\\"}"#.parse().expect("valid");
        let labels = [("instance".to_owned(), "web \"1\"".to_owned()), ("a.b".to_owned(), "é".to_owned())];
        let expected = r#"{__name__="up",job=~"a|b",path!="C:\\",instance="web \"1\"","a.b"="é"}"#;
        assert_eq!(promql(&selector, &labels, &[]), expected);
        let one_of = |label: &str, values: &[&str]| OneOf {
            label: label.to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let more = [one_of("x", &["a.b"]), one_of("y", &["a.b:1", "", "c|d"])];
        let expected = r#"{__name__="up",job=~"a|b",path!="C:\\",x="a.b",y=~"a\\.b:1||c\\|d"}"#;
        assert_eq!(promql(&selector, &[], &more), expected);
    }
}
