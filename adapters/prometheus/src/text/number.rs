//! Numbers as Prometheus reads and writes them: the decimal syntax of Go's `ParseFloat`.
//!
//! Go takes `Inf`, `Infinity` and `NaN` in any case, the infinities with a sign; a number too large for a
//! double is an error there, not an infinity. Hexadecimal floats and underscores are not numbers here.

use watchbell_series::NORMAL_NAN_BITS;

/// The largest distance from the epoch that a timestamp may have, in milliseconds.
const MAX_MILLIS: f64 = 9.0e15;

/// Reads a sample value.
pub(super) fn value(token: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(token).ok()?;
    let number: f64 = text.parse().ok()?;
    if number.is_finite() {
        return Some(number);
    }
    let unsigned = token.strip_prefix(b"+").or(token.strip_prefix(b"-"));
    if number.is_nan() {
        return unsigned.is_none().then_some(f64::from_bits(NORMAL_NAN_BITS));
    }
    let is_word = unsigned.unwrap_or(token).first().is_some_and(u8::is_ascii_alphabetic);
    is_word.then_some(number)
}

/// Reads a timestamp in whole milliseconds, as text 0.0.4 has it.
pub(super) fn millis(token: &[u8]) -> Option<i64> {
    std::str::from_utf8(token).ok()?.parse().ok()
}

/// Reads a timestamp in seconds with fractions, as OpenMetrics has it; gives milliseconds.
pub(super) fn seconds(token: &[u8]) -> Option<i64> {
    let millis = (value(token)? * 1000.0).round();
    (millis.abs() <= MAX_MILLIS).then_some(millis as i64)
}

/// Writes a number in a label (`le`, `quantile`) as Prometheus 3 does, so that `1`, `1.0` and `1e0` are
/// one series: the shortest form, with an exponent from 1e+06 on and below 1e-04, and else always with a
/// decimal point (Go's format `g` with the shortest precision, and `.0` behind whole numbers).
#[must_use]
pub fn format_label_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{number}");
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_values_as_go_does() {
        for (text, number) in [
            ("1", 1.0),
            ("+1", 1.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1E3", 1000.0),
            ("-1.5e-3", -0.0015),
            ("+Inf", f64::INFINITY),
            ("inf", f64::INFINITY),
            ("-INFINITY", f64::NEG_INFINITY),
            ("1e-999", 0.0),
        ] {
            assert_eq!(value(text.as_bytes()), Some(number), "{text}");
        }
        for text in ["NaN", "nan", "NAN"] {
            assert_eq!(value(text.as_bytes()).map(f64::to_bits), Some(NORMAL_NAN_BITS), "{text}");
        }
        for text in ["", ".", "e5", "1e999", "-1e999", "+NaN", "-nan", "0x10", "0x1p2", "1_000", "1,5", "1\r", "ä"] {
            assert_eq!(value(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn reads_timestamps() {
        assert_eq!(millis(b"1795191526802"), Some(1_795_191_526_802));
        assert_eq!(millis(b"-5"), Some(-5));
        assert_eq!(millis(b"1.5"), None);
        assert_eq!(millis(b"99999999999999999999"), None);
        assert_eq!(seconds(b"1520879607.789"), Some(1_520_879_607_789));
        assert_eq!(seconds(b"-1.5"), Some(-1500));
        assert_eq!(seconds(b"1e300"), None);
        assert_eq!(seconds(b"NaN"), None);
    }

    #[test]
    fn writes_label_numbers_as_prometheus_3_does() {
        for (number, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (-1.0, "-1.0"),
            (1000.0, "1000.0"),
            (0.005, "0.005"),
            (100_000.0, "100000.0"),
            (1e6, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(format_label_float(number), text);
        }
    }
}
