//! Numbers with their unit, as a person says them: `3 MiB/s`, `250 ms`, `93.5 %`.

use watchbell_series::Unit;

const BINARY: [(f64, &str); 6] = [
    (1_125_899_906_842_624.0, "PiB"),
    (1_099_511_627_776.0, "TiB"),
    (1_073_741_824.0, "GiB"),
    (1_048_576.0, "MiB"),
    (1_024.0, "KiB"),
    (0.0, "B"),
];
const TIME: [(f64, f64, &str); 6] = [
    (172_800.0, 86_400.0, "d"),
    (7_200.0, 3_600.0, "h"),
    (120.0, 60.0, "min"),
    (1.0, 1.0, "s"),
    (1e-3, 1e-3, "ms"),
    (0.0, 1e-6, "\u{b5}s"),
];

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
        Unit::None | Unit::Count | Unit::Bool => plain(""),
    }
}

fn bytes(value: f64) -> String {
    let (size, word) = BINARY.into_iter().find(|(size, _)| value.abs() >= *size).unwrap_or((0.0, "B"));
    format!("{} {word}", digits(value / size.max(1.0)))
}

fn seconds(value: f64) -> String {
    if value == 0.0 {
        return "0 s".to_owned();
    }
    let (_, size, word) = TIME.into_iter().find(|(from, ..)| value.abs() >= *from).unwrap_or((0.0, 1.0, "s"));
    format!("{} {word}", digits(value / size))
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
