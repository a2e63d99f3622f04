//! Numbers as plugins print them: with a point or a comma, a sign, perhaps an exponent.

/// Powers of ten that an `f64` holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// The number at the beginning of `text`, finite, and how many bytes it takes. `5.`, `.5`, `+5` and `0,5` are
/// numbers; text with two separators (`1,234.5`) is none, since nobody can say which of them is the point.
#[must_use]
pub fn number(text: &[u8]) -> Option<(f64, usize)> {
    let mut at = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let (mut mantissa, mut digits, mut fraction, mut point) = (0u64, 0usize, 0usize, None);
    loop {
        match text.get(at) {
            Some(b @ b'0'..=b'9') => {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(b - b'0'));
                digits += 1;
                fraction += usize::from(point.is_some());
            }
            Some(b'.' | b',') if point.is_none() => point = Some(at),
            Some(b'.' | b',') => return None,
            _ => break,
        }
        at += 1;
    }
    if digits == 0 {
        return None;
    }
    let exponent = exponent(&text[at..]);
    // Up to 2^53 with an exact power of ten one division rounds correctly, as a full parser would.
    if digits <= 15 && fraction < TENS.len() && exponent == 0 {
        let value = mantissa as f64 / TENS[fraction];
        return Some((if text[0] == b'-' { -value } else { value }, at));
    }
    let end = at + exponent;
    let mut plain = String::with_capacity(end);
    plain.extend(text[..end].iter().map(|b| if *b == b',' { '.' } else { char::from(*b) }));
    let value: f64 = plain.parse().ok()?;
    value.is_finite().then_some((value, end))
}

/// The number that `text` is, whole.
pub(super) fn whole(text: &[u8]) -> Option<f64> {
    let (value, used) = number(text)?;
    (used == text.len()).then_some(value)
}

/// Length of an exponent at the beginning of `text`, 0 if there is none: `e` may begin a unit.
fn exponent(text: &[u8]) -> usize {
    if !matches!(text.first(), Some(b'e' | b'E')) {
        return 0;
    }
    let sign = usize::from(matches!(text.get(1), Some(b'+' | b'-')));
    let digits = text[1 + sign..].iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 { 0 } else { 1 + sign + digits }
}
