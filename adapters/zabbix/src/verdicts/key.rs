//! Keys of anomaly items, from those of the items they judge.
//!
//! Grammar: Zabbix manual, "Item key format". A prototype of low-level discovery can have macros in the parameters of
//! its key only, so there the judged key is the one parameter; made one by one, an item can have the judged key as it is
//! behind a prefix.

use std::fmt::Write;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Score of a host.
pub const HOST_SCORE: &str = "anomaly.host.score";
/// Share of a host's series that are anomalous, in percent.
pub const HOST_RATE: &str = "anomaly.host.rate";
/// How many series of a host are judged.
pub const HOST_SERIES: &str = "anomaly.host.series";
/// The series of a host that stand out most, as text.
pub const HOST_REASONS: &str = "anomaly.host.reasons";
/// Rule of low-level discovery.
pub const DISCOVERY: &str = "anomaly.discovery";

/// How keys are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyStyle {
    /// `anomaly.score["system.cpu.util[,user]"]`.
    Template,
    /// `anomaly.system.cpu.util[,user]`.
    Plain,
}

/// What an item tells of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The score: 1 is the edge of what is normal.
    Score,
    /// The judged value; of a counter its rate per second.
    Value,
    /// The expected value.
    Expected,
    /// Lower end of the expected band.
    Lower,
    /// Upper end of the expected band.
    Upper,
}

impl Part {
    /// Its word in keys.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Value => "value",
            Self::Expected => "expected",
            Self::Lower => "lower",
            Self::Upper => "upper",
        }
    }
}

impl KeyStyle {
    /// The key that tells `part` of the item with `key`.
    #[must_use]
    pub fn key(self, part: Part, key: &str) -> String {
        match (self, part) {
            (Self::Template, part) => format!("anomaly.{}[{}]", part.word(), parameter(key)),
            (Self::Plain, Part::Score) => format!("anomaly.{}", legal(key)),
            (Self::Plain, part) => format!("anomaly.{}.{}", part.word(), legal(key)),
        }
    }
}

/// `key` with underscores for what Zabbix does not take before the parameters of a key.
fn legal(key: &str) -> String {
    let name = key.find('[').unwrap_or(key.len());
    let c = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '_' };
    key[..name].chars().map(c).chain(key[name..].chars()).collect()
}

/// `text` as one parameter, quoted where it must be, just as the server does it when it fills a macro in: else the key
/// of the discovered item would be another one.
fn parameter(text: &str) -> String {
    if !text.starts_with(['"', ' ', '[']) && !text.contains([',', ']']) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('"', "\\\""))
}

/// A key in Zabbix's grammar for a series that comes from elsewhere: `node_cpu_seconds_total["cpu=0","mode=user"]`.
#[must_use]
pub fn foreign<'a>(metric: &str, labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut key = legal(metric);
    let mut any = false;
    for (name, value) in labels {
        key.push(if any { ',' } else { '[' });
        any = true;
        // Writing to a String can not fail. A backslash at the end would take the quote away.
        let _ = write!(key, "\"{name}={}\"", value.replace('\\', "/").replace('"', "\\\""));
    }
    if any {
        key.push(']');
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_both_styles() {
        for (key, template, plain) in [
            ("agent.ping", "anomaly.score[agent.ping]", "anomaly.agent.ping"),
            ("system.cpu.util[,user]", "anomaly.score[\"system.cpu.util[,user]\"]", "anomaly.system.cpu.util[,user]"),
            ("net.if.in[\"eth0\"]", "anomaly.score[\"net.if.in[\\\"eth0\\\"]\"]", "anomaly.net.if.in[\"eth0\"]"),
            ("vfs.fs.size[/,pused]", "anomaly.score[\"vfs.fs.size[/,pused]\"]", "anomaly.vfs.fs.size[/,pused]"),
            ("a[]", "anomaly.score[\"a[]\"]", "anomaly.a[]"),
        ] {
            assert_eq!(KeyStyle::Template.key(Part::Score, key), template);
            assert_eq!(KeyStyle::Plain.key(Part::Score, key), plain);
        }
        assert_eq!(KeyStyle::Template.key(Part::Lower, "a"), "anomaly.lower[a]");
        assert_eq!(KeyStyle::Plain.key(Part::Upper, "a[b]"), "anomaly.upper.a[b]");
        assert_eq!(KeyStyle::Plain.key(Part::Score, "CPU: load [1 min]"), "anomaly.CPU__load_[1 min]");
    }

    #[test]
    fn series_from_elsewhere_get_keys() {
        let labels = [("cpu", "0"), ("mode", "a\"b\\")];
        assert_eq!(foreign("node:cpu", labels.into_iter()), "node_cpu[\"cpu=0\",\"mode=a\\\"b/\"]");
        assert_eq!(foreign("node_load1", std::iter::empty()), "node_load1");
    }
}
