//! Numbers, spans and times as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `digits` after the point; a dash where there is no number.
#[must_use]
pub fn number(value: f64, digits: usize) -> String {
    if value.is_nan() { "–".to_owned() } else { format!("{value:.digits$}") }
}

/// A share as a percentage; small ones keep two digits that say something.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    let digits = if percent == 0.0 || percent >= 10.0 { 1 } else { (1 - percent.log10().floor() as i32).clamp(1, 5) };
    if share.is_nan() { "–".to_owned() } else { format!("{percent:.*}%", digits as usize) }
}

/// A span of seconds in one or two units.
#[must_use]
pub fn span(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "–".to_owned();
    }
    let s = seconds.round().max(0.0) as u64;
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| {
        if small == 0 { format!("{big}{big_unit}") } else { format!("{big}{big_unit} {small}{small_unit}") }
    };
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => two(s / 60, "m", s % 60, "s"),
        3_600..86_400 => two(s / 3_600, "h", s % 3_600 / 60, "m"),
        _ => two(s / 86_400, "d", s % 86_400 / 3_600, "h"),
    }
}

/// A time in `zone`, to the second.
#[must_use]
pub fn time(ts_ms: i64, zone: &TimeZone) -> String {
    at(ts_ms, zone, "%Y-%m-%d %H:%M:%S")
}

/// A time in `zone` in the words of `format`.
#[must_use]
pub fn at(ts_ms: i64, zone: &TimeZone, format: &str) -> String {
    match Timestamp::from_millisecond(ts_ms) {
        Ok(time) => time.to_zoned(zone.clone()).strftime(format).to_string(),
        Err(_) => format!("{ts_ms} ms"),
    }
}

/// A number in as few characters as tell it apart from its neighbours on an axis.
#[must_use]
pub fn short(value: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let size = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    if size != 0.0 && !(1e-3..1e15).contains(&size) {
        return format!("{value:.1e}");
    }
    let (by, unit) = UNITS.into_iter().find(|(by, _)| size >= *by).unwrap_or((1.0, ""));
    let scaled = value / by;
    let digits = match scaled.abs() {
        x if x >= 100.0 => 0,
        x if x >= 10.0 => 1,
        x if x >= 1.0 || x == 0.0 => 2,
        _ => 4,
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_read_them() {
        assert_eq!((number(0.12345, 2), number(f64::NAN, 2)), ("0.12".to_owned(), "–".to_owned()));
        let shares = [0.0, 0.5, 0.0123, 0.000_45, 1.0, f64::NAN].map(percent);
        assert_eq!(shares, ["0.0%", "50.0%", "1.2%", "0.045%", "100.0%", "–"]);
        let spans = [0.4, 59.0, 60.0, 3_725.0, 90_000.0, f64::NAN].map(span);
        assert_eq!(spans, ["0s", "59s", "1m", "1h 2m", "1d 1h", "–"]);
        let numbers = [0.0, 1.0, 12.34, 1_500.0, 2e9, 0.01234, 1e-7, -3.5].map(short);
        assert_eq!(numbers, ["0", "1", "12.3", "1.5k", "2G", "0.0123", "1.0e-7", "-3.5"]);
        assert_eq!(time(1_700_000_000_000, &TimeZone::UTC), "2023-11-14 22:13:20");
    }
}
