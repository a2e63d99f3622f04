//! Label matchers and selectors in PromQL's syntax: `node_load1{job="node",instance!~"test.*"}`.
//!
//! Regular expressions are anchored at both ends and a missing label counts as empty, as in Prometheus.

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use crate::labels::{Labels, NAME};

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

/// One condition on one label.
#[derive(Debug, Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    regex: Option<Regex>,
}

/// What is wrong with the text of a selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("selector `{text}`: {problem}")]
pub struct SelectorError {
    text: String,
    problem: String,
}

/// Equal when written alike; the compiled expression follows from the text.
impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Matcher {
    /// A matcher of label `name`.
    ///
    /// # Errors
    /// A regular expression that does not compile; the message says where.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, String> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => {
                Some(Regex::new(&format!("^(?s:{value})$")).map_err(|e| regex_problem(value, &e))?)
            }
        };
        Ok(Self { name: name.to_owned(), op, value: value.to_owned(), regex })
    }

    /// The label it looks at.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    #[must_use]
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// What it compares with.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label with this value (empty if absent) passes.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => value == self.value,
            (MatchOp::NotEqual, _) => value != self.value,
            (MatchOp::Regex, Some(regex)) => regex.is_match(value),
            (MatchOp::NotRegex, Some(regex)) => !regex.is_match(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => false,
        }
    }
}

/// One line of the several that `regex` draws.
fn regex_problem(value: &str, error: &regex::Error) -> String {
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("`{value}` is no regular expression: {reason}")
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        };
        write!(f, "{}{op}{:?}", self.name, self.value)
    }
}

/// All of these conditions. The empty selector selects everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selector(Vec<Matcher>);

impl Selector {
    /// A selector of these matchers.
    #[must_use]
    pub fn new(matchers: Vec<Matcher>) -> Self {
        Self(matchers)
    }

    /// Its matchers.
    #[must_use]
    pub fn matchers(&self) -> &[Matcher] {
        &self.0
    }

    /// Whether `labels` pass every matcher.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matches_by(|name| labels.get(name).unwrap_or(""))
    }

    /// Whether the label values that `get` gives (empty if absent) pass every matcher.
    pub fn matches_by<'a>(&self, get: impl Fn(&str) -> &'a str) -> bool {
        self.0.iter().all(|m| m.matches(get(&m.name)))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, matcher) in self.0.iter().enumerate() {
            write!(f, "{}{matcher}", if i > 0 { "," } else { "" })?;
        }
        f.write_str("}")
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Parser { text, at: 0 }.selector().map_err(|problem| SelectorError { text: text.to_owned(), problem })
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn selector(&mut self) -> Result<Selector, String> {
        let mut matchers = Vec::new();
        let name = self.word(true);
        if !name.is_empty() {
            matchers.push(Matcher::new(NAME, MatchOp::Equal, name)?);
        }
        self.skip_blanks();
        if self.take('{') {
            self.matchers(&mut matchers)?;
        }
        self.skip_blanks();
        if self.at < self.text.len() {
            return Err(format!("unexpected `{}` at position {}", &self.text[self.at..], self.at));
        }
        if matchers.is_empty() && !self.text.contains('{') {
            return Err("empty; `{}` selects everything".to_owned());
        }
        Ok(Selector(matchers))
    }

    fn matchers(&mut self, out: &mut Vec<Matcher>) -> Result<(), String> {
        loop {
            self.skip_blanks();
            if self.take('}') {
                return Ok(());
            }
            let (name, quoted) =
                if self.peek() == Some('"') { (self.string()?, true) } else { (self.word(false).to_owned(), false) };
            if name.is_empty() {
                return Err(format!("a label name is missing at position {}", self.at));
            }
            self.skip_blanks();
            if quoted && matches!(self.peek(), Some(',' | '}')) {
                out.push(Matcher::new(NAME, MatchOp::Equal, &name)?);
            } else {
                let op = self.operator()?;
                self.skip_blanks();
                let value = self.string()?;
                out.push(Matcher::new(&name, op, &value).map_err(|e| format!("label `{name}`: {e}"))?);
            }
            self.skip_blanks();
            if !self.take(',') && self.peek() != Some('}') {
                return Err(format!("`,` or `}}` is missing at position {}", self.at));
            }
        }
    }

    fn operator(&mut self) -> Result<MatchOp, String> {
        let rest = &self.text[self.at..];
        let (op, len) = match rest.as_bytes() {
            [b'=', b'~', ..] => (MatchOp::Regex, 2),
            [b'!', b'~', ..] => (MatchOp::NotRegex, 2),
            [b'!', b'=', ..] => (MatchOp::NotEqual, 2),
            [b'=', ..] => (MatchOp::Equal, 1),
            _ => return Err(format!("one of = != =~ !~ is missing at position {}", self.at)),
        };
        self.at += len;
        Ok(op)
    }

    fn word(&mut self, colons: bool) -> &'a str {
        self.skip_blanks();
        let rest = &self.text[self.at..];
        let ok = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':');
        let len = rest.find(|c| !ok(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn string(&mut self) -> Result<String, String> {
        let quote = self.peek().filter(|c| matches!(c, '"' | '\'' | '`'));
        let quote = quote.ok_or_else(|| format!("a quoted value is missing at position {}", self.at))?;
        let start = self.at + 1;
        let (mut out, mut chars) = (String::new(), self.text[start..].char_indices());
        while let Some((i, c)) = chars.next() {
            if c == quote {
                self.at = start + i + 1;
                return Ok(out);
            }
            if c != '\\' || quote == '`' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, 't')) => out.push('\t'),
                Some((_, c @ ('\\' | '"' | '\''))) => out.push(c),
                Some((_, c)) => {
                    return Err(format!("unknown escape `\\{c}`; write `\\\\{c}` for a regular expression"));
                }
                None => break,
            }
        }
        Err("a quote is not closed".to_owned())
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += if found { c.len_utf8() } else { 0 };
        found
    }

    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels() -> Labels {
        Labels::series([("__name__", "node_load1"), ("job", "node"), ("instance", "web-1:9100")]).expect("valid")
    }

    #[test]
    fn selects_like_promql() {
        for (text, want) in [
            ("node_load1", true),
            ("node_load5", false),
            ("{}", true),
            ("{job=\"node\"}", true),
            ("node_load1{job=~\"no|node\",}", true),
            ("{job=~\"no\"}", false),
            ("{job!~'n.*'}", false),
            ("{absent=\"\"}", true),
            ("{absent!=\"\"}", false),
            ("{\"node_load1\", instance=~`web-\\d+:9100`}", true),
            (" { __name__ =~ \"node_.+\" , job != \"x\" } ", true),
        ] {
            let selector: Selector = text.parse().expect(text);
            assert_eq!(selector.matches(&labels()), want, "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, want) in [
            ("", "empty"),
            ("{job=node}", "quoted value is missing at position 5"),
            ("{job=\"node\"", "`,` or `}` is missing"),
            ("{job~\"x\"}", "one of = != =~ !~"),
            ("{job=~\"(\"}", "label `job`"),
            ("{job=\"x\"} or 1", "unexpected"),
            ("{job=~\"\\d\"}", "unknown escape"),
        ] {
            let error = text.parse::<Selector>().expect_err(text).to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,60}") {
            let _ = text.parse::<Selector>();
        }
    }
}
