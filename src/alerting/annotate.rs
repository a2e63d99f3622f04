//! The texts of an alert: what a person reads at night.
//!
//! The rule's own texts come first, then the standard ones ([`STANDARD`]) as far as they are known and the
//! rule does not give them itself.

mod why;

use std::fmt::Write;

use watchbell_series::labels::NAME;
use watchbell_series::{Labels, Unit, Verdict};
pub use why::{compared, last_seen, raised, sentences};

use super::rules::Rule;
use crate::context::limits::{SeriesLimit, nearest};
use crate::words::{self, quantity};

/// The longest text, in bytes: a notification carries all of them.
const MAX_BYTES: usize = 2_048;
/// The texts of every alert.
pub const STANDARD: [&str; 11] = [
    "value",
    "expected",
    "score",
    "kind",
    "rarity",
    "since",
    "last_seen",
    "limit",
    "explanation",
    "top_contributors",
    "dashboard",
];

/// What is known of an alert when its texts are written.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Labels of the series; empty for a host.
    pub labels: &'a Labels,
    /// The host.
    pub host: &'a str,
    /// Unit of the values.
    pub unit: Unit,
    /// Limits that people set on the series.
    pub limits: &'a [SeriesLimit],
    /// The worst sample. For a host its value is the number of anomalous series.
    pub verdict: &'a Verdict,
    /// Judged series of the host; 0 for the alert of a series.
    pub series: u32,
    /// The series that stand out most, for a host.
    pub top_contributors: String,
    /// What a host's alert is based on, in a sentence.
    pub basis: String,
    /// Link to the series, or empty.
    pub dashboard: &'a str,
}

impl Facts<'_> {
    /// All texts that are not empty, in order.
    #[must_use]
    pub fn annotations(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = Vec::with_capacity(8);
        for (name, template) in &self.rule.annotations {
            all.push((name.clone(), template.render(|place| self.fill(place)).trim_end().to_owned()));
        }
        for name in STANDARD {
            if !all.iter().any(|(known, _)| known == name) {
                all.push((name.to_owned(), self.fill(name)));
            }
        }
        all.retain_mut(|(_, text)| {
            text.truncate(text.floor_char_boundary(MAX_BYTES));
            !text.is_empty()
        });
        all
    }

    fn fill(&self, place: &str) -> String {
        let verdict = self.verdict;
        let of_host = self.series > 0;
        let value = |value: f64| if of_host { String::new() } else { quantity(value, self.unit) };
        match place {
            "alertname" => self.rule.name.clone(),
            "severity" => self.rule.severity.clone(),
            "host" => self.host.to_owned(),
            "metric" => self.labels.name().to_owned(),
            "which" => short(self.labels.iter()),
            "value" if of_host => format!("{} of {} series", self.verdict.value, self.series),
            "value" => value(verdict.value),
            "expected" => value(verdict.expected),
            "lower" => value(verdict.lower),
            "upper" => value(verdict.upper),
            "score" if verdict.score.is_finite() => format!("{:.2}", verdict.score),
            "kind" => verdict.pattern.as_str().to_owned(),
            "unit" => self.unit.as_str().to_owned(),
            "rarity" => words::rarity(f64::from(verdict.why.return_s)),
            "since" => verdict.why.since_ms.map_or_else(String::new, words::time),
            "last_seen" => last_seen(&verdict.why, verdict.ts_ms),
            "limit" => nearest(self.limits, verdict.value, self.unit).unwrap_or_default(),
            "compared_with" => compared(verdict.why.lead).to_owned(),
            "explanation" if of_host => self.basis.clone(),
            "explanation" => sentences(verdict),
            "top_contributors" => self.top_contributors.clone(),
            "dashboard" => self.dashboard.to_owned(),
            "anomalous" if of_host => self.verdict.value.to_string(),
            "series" if of_host => self.series.to_string(),
            other => {
                let label = other.strip_prefix("labels.").and_then(|name| self.labels.get(name));
                label.unwrap_or_default().to_owned()
            }
        }
    }
}

/// Labels that all series of a host have in common, left out where the host is named beside them.
const OF_HOST: [&str; 3] = ["host", "instance", "job"];
/// The longest short name, in characters.
const SHORT_CHARS: usize = 120;

/// A short name among the series of its host: the metric, and the labels that tell it apart.
#[must_use]
pub fn short<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let own = Labels::new(labels.filter(|(name, _)| !OF_HOST.contains(name))).unwrap_or_default();
    let plain = own.len() == usize::from(own.get(NAME).is_some());
    let name = if plain { own.name().to_owned() } else { selector(&own) };
    match name.char_indices().nth(SHORT_CHARS) {
        Some((end, _)) => format!("{}\u{2026}", &name[..end]),
        None => name,
    }
}

/// A series in PromQL's words.
#[must_use]
pub fn selector(labels: &Labels) -> String {
    let mut out = labels.name().to_owned();
    out.push('{');
    for (i, (name, value)) in labels.iter().filter(|(name, _)| *name != NAME).enumerate() {
        let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        out.push_str(if i > 0 { "," } else { "" });
        if plain {
            out.push_str(name)
        } else {
            quote(name, &mut out)
        }
        out.push('=');
        quote(value, &mut out);
    }
    out.push('}');
    out
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '\\' | '"' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A link to the scores that `selector` selects, or nothing where the service has no URL to be reached at.
#[must_use]
pub fn link(external_url: &str, selector: &str) -> String {
    if external_url.is_empty() {
        return String::new();
    }
    let mut out = format!("{}/scores?match%5B%5D=", external_url.trim_end_matches('/'));
    for &byte in selector.as_bytes() {
        // The unreserved characters of RFC 3986.
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String can not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerting::rules::Rules;
    use proptest::prelude::*;
    use watchbell_series::{Pattern, Selector, Why};

    fn verdict() -> Verdict {
        Verdict {
            slot: 0,
            ts_ms: 0,
            value: 3.0 * 1024.0 * 1024.0,
            score: 2.345,
            edge: 1.0,
            onset: true,
            alarm: true,
            pattern: Pattern::Spike,
            expected: 1024.0,
            lower: 512.0,
            upper: f64::INFINITY,
            why: Why::UNKNOWN,
        }
    }

    #[test]
    fn texts_of_a_series() {
        let rules = Rules::builtin();
        let labels =
            Labels::series([("__name__", "node_disk_bytes"), ("device", "sda"), ("job", "node")]).expect("labels");
        let facts = Facts {
            rule: &rules.series[0],
            labels: &labels,
            host: "web-1",
            unit: Unit::BytesPerSecond,
            limits: &[],
            verdict: &verdict(),
            series: 0,
            top_contributors: String::new(),
            basis: String::new(),
            dashboard: "",
        };
        let pairs = facts.annotations();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("summary", "node_disk_bytes{device=\"sda\"} of web-1 is anomalous: spike"),
                (
                    "description",
                    "node_disk_bytes is 3 MiB/s, expected 1 KiB/s (512 B/s to \u{221e}); score 2.35, 1 is the edge of what is normal."
                ),
                ("value", "3 MiB/s"),
                ("expected", "1 KiB/s"),
                ("score", "2.35"),
                ("kind", "spike"),
            ]
        );
    }

    #[test]
    fn texts_of_a_host() {
        let rules = Rules::builtin();
        let verdict = Verdict { value: 34.0, pattern: Pattern::Host, ..verdict() };
        let facts = Facts {
            rule: &rules.hosts[0],
            labels: &Labels::default(),
            host: "web-1",
            unit: Unit::Count,
            limits: &[],
            verdict: &verdict,
            series: 120,
            top_contributors: "up{} (9.00)".to_owned(),
            basis: "It is so.".to_owned(),
            dashboard: "http://x/",
        };
        let pairs = facts.annotations();
        assert_eq!(pairs[0].1, "web-1 is anomalous as a whole; 34 of 120 series are so by themselves or missing");
        let names: Vec<&str> = pairs.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(
            names,
            ["summary", "description", "value", "score", "kind", "explanation", "top_contributors", "dashboard"]
        );
        assert_eq!(pairs[2].1, "34 of 120 series");
    }

    #[test]
    fn links_are_valid_urls() {
        let labels = Labels::series([("__name__", "m"), ("a b", "x\"\\\n"), ("job", "\u{e4}")]).expect("labels");
        assert_eq!(selector(&labels), "m{\"a b\"=\"x\\\"\\\\\\n\",job=\"\u{e4}\"}");
        assert_eq!(link("", "m{}"), "");
        assert_eq!(
            link("http://w:9797/", "m{a=\"\u{e4}\"}"),
            "http://w:9797/scores?match%5B%5D=m%7Ba%3D%22%C3%A4%22%7D"
        );
        assert!(link("http://w", &selector(&labels)).parse::<http::Uri>().is_ok());
    }

    proptest! {
        #[test]
        fn a_selector_selects_its_series(name in "[a-z_]{1,8}", pairs in prop::collection::btree_map("[a-z .\u{e4}]{1,5}", ".{1,8}", 0..4)) {
            let mut all: Vec<(String, String)> = pairs.into_iter().collect();
            all.push(("__name__".to_owned(), name));
            let labels = Labels::series(all).expect("labels");
            let parsed: Selector = selector(&labels).parse().expect("selector");
            prop_assert!(parsed.matches(&labels));
        }
    }
}
