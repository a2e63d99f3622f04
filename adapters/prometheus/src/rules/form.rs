//! Which alert rules are limits of a series: `selector op number`, and `rate(selector[range]) op number`.

use watchbell_series::labels::NAME;
use watchbell_series::{LimitRange, MatchOp, Matcher, Selector};

/// Ends of the names of counters, by the conventions of Prometheus.
const COUNTERS: [&str; 4] = ["_total", "_count", "_sum", "_bucket"];

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Form {
    /// A limit of the series that these matchers select.
    Limit(Vec<Matcher>, LimitRange),
    /// Compares a counter itself, of which the rate is judged.
    Counter,
    /// Compares something other than one series with a number.
    Other,
}

impl Form {
    /// The form of `expr`.
    pub(super) fn of(expr: &str) -> Self {
        let expr = without_parentheses(expr.trim());
        let Some((left, op, right)) = compared(expr) else { return Self::Other };
        let (side, op, number) = match (right.parse::<f64>(), left.parse::<f64>()) {
            (Ok(number), Err(_)) => (left, op, number),
            (Err(_), Ok(number)) => (right, turned(op), number),
            _ => return Self::Other,
        };
        if !number.is_finite() {
            return Self::Other;
        }
        let range = match op {
            ">" => LimitRange::above(number),
            "<" => LimitRange::below(number),
            // The number itself is bad, too.
            ">=" => LimitRange { low: Some(number), high: None, inside: true },
            "<=" => LimitRange { low: None, high: Some(number), inside: true },
            "==" => LimitRange { low: Some(number), high: Some(number), inside: true },
            _ => LimitRange { low: Some(number), high: Some(number), inside: false },
        };
        let side = without_parentheses(side);
        let rate = side.strip_prefix("rate").map(str::trim_start).and_then(|rest| rest.strip_prefix('('));
        let (selector, is_rate) = match rate {
            None => (side, false),
            Some(inner) => match inner.trim_end().strip_suffix(')').map(str::trim_end).and_then(ranged) {
                Some(selector) => (selector, true),
                None => return Self::Other,
            },
        };
        // Anything that computes is no selector: a name alone is followed by `{`, or by nothing.
        let Ok(selector) = selector.parse::<Selector>() else { return Self::Other };
        let matchers = selector.matchers().to_vec();
        let name = matchers.iter().find(|m| m.name() == NAME && m.op() == MatchOp::Equal).map(Matcher::value);
        let counter = name.is_some_and(|name| COUNTERS.iter().any(|end| name.ends_with(end)));
        match (is_rate, counter) {
            (false, true) => Self::Counter,
            (true, false) => Self::Other,
            _ => Self::Limit(matchers, range),
        }
    }
}

/// `x` of `x[5m]`; nothing where there is an offset or a subquery.
fn ranged(text: &str) -> Option<&str> {
    let (selector, range) = text.strip_suffix(']')?.rsplit_once('[')?;
    let plain = !range.is_empty() && range.chars().all(|c| c.is_ascii_alphanumeric());
    plain.then_some(selector.trim_end())
}

/// The two sides of the only comparison outside of quotes, braces and parentheses.
fn compared(expr: &str) -> Option<(&str, &str, &str)> {
    let (mut depth, mut quote, mut escaped) = (0_u32, None, false);
    let mut found = None;
    let bytes = expr.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let c = bytes[at];
        let mut len = 1;
        match quote {
            Some(_) if escaped => escaped = false,
            Some(b'"' | b'\'') if c == b'\\' => escaped = true,
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None => match c {
                b'"' | b'\'' | b'`' => quote = Some(c),
                b'(' | b'{' | b'[' => depth += 1,
                b')' | b'}' | b']' => depth = depth.checked_sub(1)?,
                b'<' | b'>' | b'=' | b'!' if depth == 0 => {
                    len = if bytes.get(at + 1) == Some(&b'=') { 2 } else { 1 };
                    if found.is_some() || (len == 1 && matches!(c, b'=' | b'!')) {
                        return None;
                    }
                    found = Some((at, len));
                }
                _ => {}
            },
        }
        at += len;
    }
    let (at, len) = found?;
    Some((expr[..at].trim(), &expr[at..at + len], expr[at + len..].trim()))
}

fn turned(op: &str) -> &str {
    match op {
        ">" => "<",
        ">=" => "<=",
        "<" => ">",
        "<=" => ">=",
        same => same,
    }
}

/// What stands inside of parentheses around the whole.
fn without_parentheses(mut text: &str) -> &str {
    while let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        // `(a) > (b)` begins and ends so, too.
        let mut depth = 0_i32;
        let whole = inner.chars().all(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth >= 0
        });
        if !whole {
            break;
        }
        text = inner.trim();
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(expr: &str) -> String {
        match Form::of(expr) {
            Form::Limit(matchers, range) => {
                format!("{} {:?} {:?} {}", Selector::new(matchers), range.low, range.high, range.inside)
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn one_series_and_a_number() {
        for (expr, want) in [
            ("node_load1 > 4", r#"{__name__="node_load1"} None Some(4.0) false"#),
            ("up == 0", r#"{__name__="up"} Some(0.0) Some(0.0) true"#),
            ("4 < (node_load1{job=\"a\"})", r#"{__name__="node_load1",job="a"} None Some(4.0) false"#),
            ("(x{a=\"b > c\"} <= 1e-3)", r#"{__name__="x",a="b > c"} None Some(0.001) true"#),
            ("x != 1", r#"{__name__="x"} Some(1.0) Some(1.0) false"#),
            ("rate(x_total{a!=\"b\"}[5m]) > 10", r#"{__name__="x_total",a!="b"} None Some(10.0) false"#),
            ("x_total > 10", "Counter"),
        ] {
            assert_eq!(shown(expr), want, "{expr}");
        }
    }

    #[test]
    fn anything_else_is_no_limit() {
        for expr in [
            "",
            "up",
            "a > b",
            "1 > 2",
            "a / b > 2",
            "sum(a) > 2",
            "a > 2 and b > 3",
            "a > 2 > 1",
            "a > bool 2",
            "a offset 5m > 2",
            "rate(x_total[5m] offset 1h) > 2",
            "rate(rate(x_total[5m])[1h:]) > 2",
            "rate(x_total[5m:1m]) > 2",
            "rate(x[5m]) > 2",
            "irate(x_total[5m]) > 2",
            "absent(up) == 1",
            "a > NaN",
            "a > Inf",
            "(a) > (b)",
            "a =~ 3",
        ] {
            assert_eq!(Form::of(expr), Form::Other, "{expr}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[ a-z_{}()\\[\\]\"'`\\\\<>=!0-9.~,ä]{0,40}") {
            let _ = Form::of(&text);
        }
    }
}
