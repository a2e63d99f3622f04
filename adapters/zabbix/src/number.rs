//! Numbers and times with suffixes, as Zabbix writes them.

/// A number with a suffix of size (`K`, `M`, `G`, `T`, by 1024) or of time (`s`, `m`, `h`, `d`, `w`): `1.5G` is
/// 1610612736, `5m` is 300.
pub(crate) fn with_suffix(text: &str) -> Option<f64> {
    let (digits, factor) = match text.char_indices().next_back()? {
        (at, suffix) if suffix.is_ascii_alphabetic() => (&text[..at], factor(suffix)?),
        _ => (text, 1.0),
    };
    let plain = digits.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    let number = plain.then(|| digits.parse::<f64>().ok()).flatten()?;
    Some(number * factor).filter(|number| number.is_finite())
}

fn factor(suffix: char) -> Option<f64> {
    Some(match suffix {
        'K' => 1024.0,
        'M' => 1_048_576.0,
        'G' => 1_073_741_824.0,
        'T' => 1_099_511_627_776.0,
        's' => 1.0,
        'm' => 60.0,
        'h' => 3_600.0,
        'd' => 86_400.0,
        'w' => 604_800.0,
        _ => return None,
    })
}

/// The usual interval of an update interval such as `1m` or `30s;10s/1-5,09:00-18:00;wd1-5h9`, in whole seconds; none
/// where there is no usual one.
pub(crate) fn interval_s(delay: &str) -> Option<i64> {
    let usual = with_suffix(delay.split(';').next()?.trim())?;
    (1.0..=86_400.0 * 366.0).contains(&usual).then_some(usual as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes() {
        for (text, number) in [
            ("90", 90.0),
            ("-1.5", -1.5),
            ("1K", 1024.0),
            ("5m", 300.0),
            ("1.5G", 1_610_612_736.0),
            ("1e3", 1e3),
            ("2w", 1_209_600.0),
        ] {
            assert_eq!(with_suffix(text), Some(number), "{text}");
        }
        for text in ["", "m", "x", "1q", "{$A}", "inf", "nan", "1e999", "0x10", "1 2"] {
            assert_eq!(with_suffix(text), None, "{text}");
        }
        assert_eq!(interval_s("30s;10s/1-5,09:00-18:00"), Some(30));
        assert_eq!(interval_s("0;wd1-5h9-18"), None);
        assert_eq!(interval_s("{$X}"), None);
    }
}
