//! Numbers, durations and times as a person says them: `3 MiB/s`, `93.5 %`, `40 days`, `once in 40 days`.

use jiff::Timestamp;
use watchbell_adapter_api::Span;
use watchbell_series::Unit;

const BINARY: [(f64, &str); 6] = [
    (1_125_899_906_842_624.0, "PiB"),
    (1_099_511_627_776.0, "TiB"),
    (1_073_741_824.0, "GiB"),
    (1_048_576.0, "MiB"),
    (1_024.0, "KiB"),
    (0.0, "B"),
];
const DAY_S: f64 = 86_400.0;
const YEAR_S: f64 = 365.25 * DAY_S;
/// What comes more seldom was never seen often enough to be counted.
const SELDOM_S: f64 = 10.0 * YEAR_S;
/// From how many seconds on, the unit in seconds, and its word.
const TIME: [(f64, f64, &str); 7] = [
    (2.0 * YEAR_S, YEAR_S, "years"),
    (2.0 * DAY_S, DAY_S, "days"),
    (7_200.0, 3_600.0, "h"),
    (120.0, 60.0, "min"),
    (1.0, 1.0, "s"),
    (1e-3, 1e-3, "ms"),
    (0.0, 1e-6, "\u{b5}s"),
];

/// `1 alert`, `2 alerts`: for words whose plural is made by an `s`.
#[must_use]
pub fn count(number: u64, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// `value` with its unit, to four digits.
#[must_use]
pub fn quantity(value: f64, unit: Unit) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "unknown".to_owned()
        } else {
            (if value > 0.0 { "\u{221e}" } else { "-\u{221e}" }).to_owned()
        };
    }
    let plain = |suffix: &str| digits(value) + suffix;
    match unit {
        Unit::Bytes => bytes(value),
        Unit::BytesPerSecond => bytes(value) + "/s",
        Unit::Seconds => seconds(value),
        Unit::SecondsPerSecond => plain(" s/s"),
        Unit::Ratio => digits(value * 100.0) + " %",
        Unit::Percent => plain(" %"),
        Unit::PerSecond => plain("/s"),
        Unit::Celsius => plain(" \u{b0}C"),
        Unit::Volts => plain(" V"),
        Unit::Amperes => plain(" A"),
        Unit::Watts => plain(" W"),
        Unit::Hertz => plain(" Hz"),
        Unit::BitsPerSecond => plain(" bit/s"),
        Unit::Milliseconds => seconds(value / 1000.0),
        Unit::None | Unit::Count | Unit::Bool => plain(""),
    }
}

fn bytes(value: f64) -> String {
    let (size, word) = BINARY.into_iter().find(|(size, _)| value.abs() >= *size).unwrap_or((0.0, "B"));
    format!("{} {word}", digits(value / size.max(1.0)))
}

fn seconds(value: f64) -> String {
    let (size, word) = time_unit(value);
    format!("{} {word}", digits(value / size))
}

/// The unit that says `value` seconds best: its size in seconds and its word.
fn time_unit(value: f64) -> (f64, &'static str) {
    if value == 0.0 {
        return (1.0, "s");
    }
    let found = TIME.into_iter().find(|(from, ..)| value.abs() >= *from);
    found.map_or((1.0, "s"), |(_, size, word)| (size, word))
}

/// How long `seconds` last, in whole units: `45 s`, `90 min`, `3 h`, `40 days`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return quantity(seconds, Unit::Seconds);
    }
    let (size, word) = time_unit(if seconds.abs() < 1.0 { 0.0 } else { seconds });
    format!("{:.0} {word}", seconds / size)
}

/// How often something returns every `seconds`: `once in 40 days`; nothing where that is not known.
#[must_use]
pub fn rarity(seconds: f64) -> String {
    match seconds {
        _ if seconds.is_nan() => String::new(),
        _ if seconds >= SELDOM_S => format!("less than once in {}", duration(SELDOM_S)),
        _ => format!("once in {}", duration(seconds.max(1.0))),
    }
}

/// An instant, milliseconds since the Unix epoch, as RFC 3339 in UTC to the second.
#[must_use]
pub fn time(ts_ms: i64) -> String {
    let whole = Timestamp::from_second(ts_ms.div_euclid(1_000));
    whole.map_or_else(|_| format!("{ts_ms} ms"), |at| at.to_string())
}

/// Reads an instant: seconds since the Unix epoch, perhaps with a fraction, or RFC 3339.
///
/// # Errors
/// What is wrong, and what is taken.
pub fn read_time(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        // Years up to 9999, in which milliseconds are exact.
        if seconds.is_finite() && seconds.abs() < 2.6e11 {
            return Ok((seconds * 1_000.0).round() as i64);
        }
    }
    let read = text.parse::<Timestamp>().map(Timestamp::as_millisecond);
    read.map_err(|_| {
        let hint = finer_than_seconds(text).unwrap_or_default();
        format!("`{text}` is no time: write seconds since 1970 or RFC 3339, such as `2026-01-31T12:00:00Z`{hint}")
    })
}

/// Reads an instant as [`read_time`] does, or `now`, or how long ago it was: `10m`, `14d`.
///
/// # Errors
/// What is wrong, and what is taken.
pub fn read_moment(text: &str, now_ms: i64) -> Result<i64, String> {
    read_time(text).or_else(|wrong| {
        let ago = text.strip_suffix("ago").unwrap_or(text).trim();
        match ago.parse::<Span>() {
            _ if text == "now" => Ok(now_ms),
            Ok(span) => Ok(now_ms.saturating_sub(span.millis())),
            Err(_) => Err(format!("{wrong}, or how long ago, such as `10m` or `14d`")),
        }
    })
}

/// What to do with a number that was meant as a time, but is too large for seconds since 1970.
#[must_use]
pub fn finer_than_seconds(text: &str) -> Option<String> {
    // What is no time in seconds, up to times of the year 5000 in each unit.
    let units = [(1e14, 1e3, "milliseconds"), (1e17, 1e6, "microseconds"), (1e20, 1e9, "nanoseconds")];
    let number = text.parse::<f64>().ok().filter(|number| *number >= 2.6e11)?;
    let (_, parts, word) = units.into_iter().find(|(end, ..)| number < *end)?;
    Some(format!(" (it looks like {word}: divide it by {parts:.0})"))
}

/// Four significant digits without trailing zeros; whole numbers in full up to a million million.
fn digits(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e12).contains(&size) {
        return format!("{value:.3e}");
    }
    let decimals = (3 - size.log10().floor() as i32).max(0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_a_person_says_it() {
        for (value, unit, want) in [
            (0.0, Unit::None, "0"),
            (1.0, Unit::Bool, "1"),
            (-1234.5678, Unit::None, "-1235"),
            (123_456_789.0, Unit::Count, "123456789"),
            (0.123_456, Unit::None, "0.1235"),
            (1e15, Unit::None, "1.000e15"),
            (1e-9, Unit::None, "1.000e-9"),
            (1536.0, Unit::Bytes, "1.5 KiB"),
            (12.0, Unit::BytesPerSecond, "12 B/s"),
            (-5e12, Unit::Bytes, "-4.547 TiB"),
            (0.25, Unit::Seconds, "250 ms"),
            (0.000_02, Unit::Seconds, "20 \u{b5}s"),
            (90.0, Unit::Seconds, "90 s"),
            (5400.0, Unit::Seconds, "90 min"),
            (0.935, Unit::Ratio, "93.5 %"),
            (21.5, Unit::Celsius, "21.5 \u{b0}C"),
            (f64::NAN, Unit::Bytes, "unknown"),
            (f64::NEG_INFINITY, Unit::Bytes, "-\u{221e}"),
        ] {
            assert_eq!(quantity(value, unit), want, "{value} {unit:?}");
        }
    }

    #[test]
    fn durations_and_rarity() {
        for (seconds, want) in [
            (0.0, "0 s"),
            (0.4, "0 s"),
            (45.0, "45 s"),
            (119.0, "119 s"),
            (5400.0, "90 min"),
            (10_800.0, "3 h"),
            (40.0 * DAY_S, "40 days"),
            (3.0 * YEAR_S, "3 years"),
        ] {
            assert_eq!(duration(seconds), want);
        }
        assert_eq!(rarity(40.0 * DAY_S), "once in 40 days");
        assert_eq!(rarity(1e12), "less than once in 10 years");
        assert_eq!(rarity(f64::NAN), "");
    }

    #[test]
    fn times_both_ways() {
        let at = 1_767_225_600_000;
        assert_eq!(time(at), "2026-01-01T00:00:00Z");
        for text in ["1767225600", "1767225600.0", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00"] {
            assert_eq!(read_time(text), Ok(at), "{text}");
        }
        for text in ["", "yesterday", "1e300", "NaN", "2026-13-01T00:00:00Z"] {
            assert!(read_time(text).expect_err(text).contains("is no time"), "{text}");
        }
        for (text, word) in [
            ("1767225600000", "milliseconds: divide it by 1000)"),
            ("1767225600000000", "microseconds: divide it by 1000000)"),
            ("1767225600000000000", "nanoseconds: divide it by 1000000000)"),
        ] {
            assert!(read_time(text).expect_err(text).ends_with(word), "{text}");
        }
        assert!(!read_time("1e300").expect_err("a number").contains("looks like"));
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago() {
        let now_ms = 1_767_225_600_000;
        for (text, want) in [
            ("now", now_ms),
            ("10m", now_ms - 600_000),
            ("1h30m ago", now_ms - 5_400_000),
            ("1767225000", 1_767_225_000_000),
            ("2026-01-01T00:00:00Z", now_ms),
        ] {
            assert_eq!(read_moment(text, now_ms), Ok(want), "{text}");
        }
        for text in ["", "ago", "10 m", "yesterday", "-10m"] {
            assert!(read_moment(text, now_ms).expect_err(text).contains("how long ago, such as `10m`"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_number_has_a_short_text(value in any::<f64>()) {
            for unit in [Unit::None, Unit::Bytes, Unit::Seconds, Unit::Ratio] {
                let text = quantity(value, unit);
                prop_assert!(!text.is_empty() && text.len() < 24, "{text}");
            }
        }
    }
}
