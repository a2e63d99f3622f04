//! What a metric is: its kind, its unit and the direction in which it is bad.

use std::fmt;
use std::str::FromStr;

/// Kind of a metric, in the words of OpenMetrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetricKind {
    /// Nobody said; names and values decide.
    #[default]
    Unknown,
    /// A value that goes up and down.
    Gauge,
    /// A total that only grows until it resets.
    Counter,
    /// Classic (`_bucket`, `_sum`, `_count`) or native histogram.
    Histogram,
    /// Histogram of current values, which may shrink.
    GaugeHistogram,
    /// Quantiles, `_sum` and `_count`.
    Summary,
    /// Labels are the information, the value is 1.
    Info,
    /// 0 or 1 for each of a set of states.
    StateSet,
}

impl MetricKind {
    /// The word of OpenMetrics and of `# TYPE` lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }
}

impl MetricKind {
    /// All words that are read, other spellings last.
    pub const WORDS: [&str; 10] = [
        "gauge",
        "counter",
        "histogram",
        "gaugehistogram",
        "summary",
        "info",
        "stateset",
        "unknown",
        "untyped",
        "gauge_histogram",
    ];
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MetricKind {
    type Err = String;

    /// Reads the word of a `# TYPE` line; `untyped` is [`MetricKind::Unknown`].
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "unknown" | "untyped" => Self::Unknown,
            "gauge" => Self::Gauge,
            "counter" => Self::Counter,
            "histogram" => Self::Histogram,
            "gaugehistogram" | "gauge_histogram" => Self::GaugeHistogram,
            "summary" => Self::Summary,
            "info" => Self::Info,
            "stateset" => Self::StateSet,
            other => return Err(format!("unknown metric kind `{other}`, known: {}", Self::WORDS[..8].join(", "))),
        })
    }
}

/// The direction in which a deviation is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Only above the expected value (errors, latency).
    Up,
    /// Only below it (free space, throughput that must not fall).
    Down,
    /// Either.
    #[default]
    Both,
}

impl Direction {
    /// All words.
    pub const WORDS: [&str; 3] = ["up", "down", "both"];
}

impl FromStr for Direction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "up" => Self::Up,
            "down" => Self::Down,
            "both" => Self::Both,
            other => return Err(format!("unknown direction `{other}`, known: up, down, both")),
        })
    }
}

/// Unit of the judged value, after normalising (a counter of bytes is judged in bytes per second).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Unit {
    /// Not known.
    #[default]
    None,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// Seconds.
    Seconds,
    /// Seconds of something in a second: 1.0 is one busy unit.
    SecondsPerSecond,
    /// Share between 0 and 1.
    Ratio,
    /// 0 to 100.
    Percent,
    /// Events per second.
    PerSecond,
    /// A plain count.
    Count,
    /// Degrees Celsius.
    Celsius,
    /// Volt.
    Volts,
    /// Ampere.
    Amperes,
    /// Watt.
    Watts,
    /// Hertz.
    Hertz,
    /// 0 or 1.
    Bool,
    /// Bits per second.
    BitsPerSecond,
    /// Milliseconds.
    Milliseconds,
}

impl Unit {
    /// The word used in rules and documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        ALL_UNITS.iter().find(|(u, _)| *u == self).map_or("none", |(_, word)| word)
    }

    /// All words.
    pub fn words() -> impl Iterator<Item = &'static str> {
        ALL_UNITS.iter().map(|(_, word)| *word)
    }

    /// The unit of this unit's rate per second.
    #[must_use]
    pub fn rate(self) -> Self {
        match self {
            Self::Bytes => Self::BytesPerSecond,
            Self::Seconds => Self::SecondsPerSecond,
            Self::None | Self::Count => Self::PerSecond,
            other => other,
        }
    }
}

const ALL_UNITS: &[(Unit, &str)] = &[
    (Unit::None, "none"),
    (Unit::Bytes, "bytes"),
    (Unit::BytesPerSecond, "bytes_per_second"),
    (Unit::Seconds, "seconds"),
    (Unit::SecondsPerSecond, "seconds_per_second"),
    (Unit::Ratio, "ratio"),
    (Unit::Percent, "percent"),
    (Unit::PerSecond, "per_second"),
    (Unit::Count, "count"),
    (Unit::Celsius, "celsius"),
    (Unit::Volts, "volts"),
    (Unit::Amperes, "amperes"),
    (Unit::Watts, "watts"),
    (Unit::Hertz, "hertz"),
    (Unit::Bool, "bool"),
    (Unit::BitsPerSecond, "bits_per_second"),
    (Unit::Milliseconds, "milliseconds"),
];

impl FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ALL_UNITS.iter().find(|(_, word)| *word == text).map(|(unit, _)| *unit).ok_or_else(|| {
            let known: Vec<&str> = Self::words().collect();
            format!("unknown unit `{text}`, known: {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for (unit, word) in ALL_UNITS {
            assert_eq!(word.parse::<Unit>(), Ok(*unit));
            assert_eq!(unit.as_str(), *word);
        }
        for kind in [MetricKind::Gauge, MetricKind::Counter, MetricKind::Histogram, MetricKind::Info] {
            assert_eq!(kind.as_str().parse::<MetricKind>(), Ok(kind));
        }
        assert!("furlong".parse::<Unit>().expect_err("unknown").contains("known: none, bytes"));
    }

    #[test]
    fn rate_of_a_unit() {
        assert_eq!(Unit::Bytes.rate(), Unit::BytesPerSecond);
        assert_eq!(Unit::None.rate(), Unit::PerSecond);
    }
}
