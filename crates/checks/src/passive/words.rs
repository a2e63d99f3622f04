//! Texts as Nagios takes them.

/// Longest name of a host or service, in bytes: what NSCA takes of a service.
const MAX_NAME: usize = 127;

/// Whether `name` can stand in an external command. Which further characters are illegal is said by each Nagios.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.contains([';', '\n', '\r', '\t', '\0'])
}

/// `text` without what begins performance data, a new line or an escape.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '|' => '/',
            '\\' => '/',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

/// The beginning of `text` in at most `max` bytes.
pub fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// A number with four digits that count.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value.is_finite() { "0".to_owned() } else { "unknown".to_owned() };
    }
    let digits = value.abs().log10().floor() as i32;
    if !(-5..15).contains(&digits) {
        return format!("{value:.3e}");
    }
    let decimals = (3 - digits).max(0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (value, text) in [
            (0.0, "0"),
            (12.3456, "12.35"),
            (0.000_471_2, "0.0004712"),
            (23_222_812_672.0, "23222812672"),
            (-1.5, "-1.5"),
            (100.0, "100"),
            (1e300, "1.000e300"),
            (f64::NAN, "unknown"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn texts_and_names() {
        assert_eq!(plain("a|b\\n\nc;d"), "a/b/n c;d");
        assert_eq!(cut("straße", 5), "stra");
        assert!(is_name("disk /") && !is_name("a;b") && !is_name("") && !is_name(&"x".repeat(128)));
    }
}
