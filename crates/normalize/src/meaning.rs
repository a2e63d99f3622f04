//! Kind, unit and family that a metric's name tells, and what names Watchbell's own output.
//!
//! Conventions of Prometheus and OpenMetrics: `_total` counts, `_bucket`, `_sum` and `_count` belong to a
//! histogram or summary, `_info` and `_created` carry nothing to judge, and a name ends in its unit.

use watchbell_series::{MetricKind, Unit};

/// What the last word of a metric name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suffix {
    /// `_total`
    Total,
    /// `_bucket`
    Bucket,
    /// `_sum` or `_gsum`
    Sum,
    /// `_count` or `_gcount`
    Count,
    /// `_info`
    Info,
    /// `_created`
    Created,
    /// Anything else.
    None,
}

/// The suffix of a metric name, and the name without it.
pub(crate) fn split(name: &str) -> (&str, Suffix) {
    const SUFFIXES: [(&str, Suffix); 8] = [
        ("_total", Suffix::Total),
        ("_bucket", Suffix::Bucket),
        ("_sum", Suffix::Sum),
        ("_count", Suffix::Count),
        ("_gsum", Suffix::Sum),
        ("_gcount", Suffix::Count),
        ("_info", Suffix::Info),
        ("_created", Suffix::Created),
    ];
    for (text, suffix) in SUFFIXES {
        if let Some(family) = name.strip_suffix(text).filter(|family| !family.is_empty()) {
            return (family, suffix);
        }
    }
    (name, Suffix::None)
}

/// The unit a metric name ends in, `_total` and the like left off.
pub(crate) fn unit_of_name(name: &str) -> Unit {
    let (family, _) = split(name);
    match family.rsplit('_').next().unwrap_or("") {
        "bytes" => Unit::Bytes,
        "seconds" => Unit::Seconds,
        "ratio" => Unit::Ratio,
        "percent" => Unit::Percent,
        "celsius" => Unit::Celsius,
        "volts" => Unit::Volts,
        "amperes" | "amps" => Unit::Amperes,
        "watts" => Unit::Watts,
        "hertz" => Unit::Hertz,
        _ => Unit::None,
    }
}

/// The unit that a sender's word (OpenMetrics `# UNIT`) means.
pub(crate) fn unit_of_word(word: &str) -> Unit {
    match word {
        "By" => Unit::Bytes,
        "s" => Unit::Seconds,
        "%" => Unit::Percent,
        "1" | "" => Unit::None,
        word => word.parse().unwrap_or_default(),
    }
}

/// How a metric is to be treated, from the kind that was told (or not) and its name. `part` says whether
/// its `le` label makes it a bucket.
pub(crate) fn kind_of_name(name: &str, has_le: bool) -> MetricKind {
    match split(name).1 {
        Suffix::Total => MetricKind::Counter,
        Suffix::Bucket if has_le => MetricKind::Histogram,
        Suffix::Info => MetricKind::Info,
        _ => MetricKind::Unknown,
    }
}

/// Whether a series with these label values (empty if absent) is what Watchbell itself exported, in any of
/// its ways of naming.
pub(crate) fn own_output<'a>(name: &str, get: impl Fn(&str) -> &'a str) -> bool {
    name.starts_with("watchbell_")
        || !get("watchbell").is_empty()
        || get("anomaly_strategy") == "watchbell"
        || get("model_alias") == "watchbell"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_and_units() {
        assert_eq!(split("http_requests_total"), ("http_requests", Suffix::Total));
        assert_eq!(split("rpc_seconds_gcount"), ("rpc_seconds", Suffix::Count));
        assert_eq!(split("_total"), ("_total", Suffix::None));
        assert_eq!(unit_of_name("node_network_receive_bytes_total"), Unit::Bytes);
        assert_eq!(unit_of_name("http_request_duration_seconds_sum"), Unit::Seconds);
        assert_eq!(unit_of_name("node_load1"), Unit::None);
        assert_eq!(unit_of_word("seconds"), Unit::Seconds);
        assert_eq!(unit_of_word("parsecs"), Unit::None);
    }

    #[test]
    fn kinds() {
        assert_eq!(kind_of_name("x_total", false), MetricKind::Counter);
        assert_eq!(kind_of_name("x_bucket", false), MetricKind::Unknown);
        assert_eq!(kind_of_name("x_bucket", true), MetricKind::Histogram);
        assert_eq!(kind_of_name("node_uname_info", false), MetricKind::Info);
    }

    #[test]
    fn loop_guard() {
        let get = |key: &'static str, value: &'static str| move |name: &str| if name == key { value } else { "" };
        assert!(own_output("watchbell_anomaly_score", get("", "")));
        assert!(own_output("anomaly:level", get("anomaly_strategy", "watchbell")));
        assert!(own_output("anomaly_score", get("model_alias", "watchbell")));
        assert!(own_output("up", get("watchbell", "a")));
        assert!(!own_output("anomaly:level", get("anomaly_strategy", "adaptive")));
    }
}
