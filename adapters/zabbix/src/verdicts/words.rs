//! Numbers and texts as Zabbix's items take them.

use watchbell_adapter_api::ScoreRow;

/// A number for an item of type float: Zabbix takes no `inf` and no `NaN`.
pub(super) fn float(value: f64) -> Option<String> {
    value.is_finite().then(|| format!("{value:?}"))
}

/// A number for people, with four digits that count.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "unknown".to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = value.abs().log10().floor() as i32;
    if !(-5..15).contains(&digits) {
        return format!("{value:.3e}");
    }
    let decimals = (3 - digits).max(0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `name 7.9 (expected 1.2, score 3.4)`.
pub(super) fn describe(name: &str, row: &ScoreRow) -> String {
    let (value, expected) = (number(row.reading.value), number(row.reading.expected));
    if row.reading.score.is_finite() {
        format!("{name} {value} (expected {expected}, score {:.2})", row.reading.score)
    } else {
        format!("{name} {value} (expected {expected})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(float(1e-9).as_deref(), Some("1e-9"));
        assert_eq!(float(0.5).as_deref(), Some("0.5"));
        assert_eq!(float(1e300).as_deref(), Some("1e300"));
        assert_eq!(float(f64::NAN), None);
        for (value, text) in [(12.3456, "12.35"), (0.0, "0"), (f64::INFINITY, "unknown"), (-1.5, "-1.5")] {
            assert_eq!(number(value), text);
        }
    }
}
