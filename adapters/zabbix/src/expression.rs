//! Trigger expressions on one item, `min(/host/key,5m)>90` and `{host:key.min(5m)}>90` before 5.4: what they say of the
//! item's limits.
//!
//! Read is one function of one item, compared with one number: `last`, `avg`, `min`, `max`. All other forms are told
//! apart by reason and left alone.

use watchbell_series::LimitRange;

use crate::key::Key;
use crate::macros::macro_end;
use crate::number;

/// Why an expression says nothing of limits that can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Unread {
    /// More than one function, or arithmetic around it.
    Compound,
    /// A function whose value is not in the unit of the item, such as `change` and `nodata`.
    Function,
    /// `=` and `<>`: no limit.
    Operator,
    /// A macro whose value is not known.
    Macro,
    /// Anything else.
    Form,
}

impl Unread {
    /// All, for metrics.
    pub(crate) const ALL: [Self; 5] = [Self::Compound, Self::Function, Self::Operator, Self::Macro, Self::Form];

    /// The word in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Compound => "compound",
            Self::Function => "function",
            Self::Operator => "operator",
            Self::Macro => "macro",
            Self::Form => "form",
        }
    }
}

/// A limit of one item.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ItemLimit {
    pub(crate) host: String,
    pub(crate) key: Key,
    pub(crate) range: LimitRange,
}

/// Functions whose value is one of the item's own.
const FUNCTIONS: [&str; 4] = ["last", "avg", "min", "max"];

/// Reads an expression. `value_of` gives the value of a macro on a host.
pub(crate) fn read(text: &str, value_of: impl Fn(&str, &str) -> Option<String>) -> Result<ItemLimit, Unread> {
    let text = text.trim();
    let (call, flipped, op, operand) = match call(text) {
        Some((call, rest)) => {
            let (op, operand) = operator(rest.trim_start()).ok_or_else(|| remainder(rest))?;
            (call, false, op, operand.trim())
        }
        None => {
            // The number may stand first.
            let at = text.find(['<', '>', '=']).ok_or_else(|| unreadable(text))?;
            let (op, rest) = operator(&text[at..]).ok_or(Unread::Form)?;
            let (call, rest) = call(rest.trim_start()).ok_or_else(|| unreadable(text))?;
            if !rest.trim().is_empty() {
                return Err(remainder(rest));
            }
            (call, true, op, text[..at].trim())
        }
    };
    if !FUNCTIONS.contains(&call.function) {
        return Err(Unread::Function);
    }
    let number = operand_value(operand, |name| value_of(&call.host, name))?;
    let range = match (op, flipped) {
        (">", false) | ("<", true) => LimitRange::above(number),
        ("<", false) | (">", true) => LimitRange::below(number),
        (">=", false) | ("<=", true) => LimitRange { low: Some(number), high: None, inside: true },
        ("<=", false) | (">=", true) => LimitRange { low: None, high: Some(number), inside: true },
        _ => return Err(Unread::Operator),
    };
    Ok(ItemLimit { host: call.host, key: call.key, range })
}

/// What stands behind a call that is no comparison.
fn remainder(rest: &str) -> Unread {
    if rest.trim().is_empty() { Unread::Form } else { Unread::Compound }
}

/// What begins with no call.
fn unreadable(text: &str) -> Unread {
    let several =
        text.matches("(/").count() > 1 || [" and ", " or ", "+", "*", ")/"].iter().any(|word| text.contains(word));
    if several || text.starts_with(['(', '-']) || text.starts_with("not") { Unread::Compound } else { Unread::Function }
}

struct Call<'a> {
    function: &'a str,
    host: String,
    key: Key,
}

/// The call at the beginning of `text`, and what stands behind it.
fn call(text: &str) -> Option<(Call<'_>, &str)> {
    if let Some(inner) = text.strip_prefix('{').filter(|inner| !inner.starts_with('$')) {
        return old_call(inner);
    }
    let (function, rest) = text.split_once('(')?;
    let (host, rest) = rest.trim_start().strip_prefix('/')?.split_once('/')?;
    let (key, rest) = Key::read_from(rest)?;
    let named = function.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !host.contains(['(', ')']);
    let rest = arguments(rest)?;
    named.then_some((Call { function, host: host.to_owned(), key }, rest))
}

/// `host:key.function(arguments)}`.
fn old_call(inner: &str) -> Option<(Call<'_>, &str)> {
    let (host, rest) = inner.split_once(':')?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))?;
    let (key, rest, function) = if rest[end..].starts_with('[') {
        let (key, after) = Key::read_from(rest)?;
        let after = after.strip_prefix('.')?;
        let open = after.find('(')?;
        (key, &after[open + 1..], &after[..open])
    } else {
        // A key without brackets has dots of its own: the function stands behind the last.
        let (key, function) = rest[..end].rsplit_once('.')?;
        (Key::read(key), rest[end..].strip_prefix('(')?, function)
    };
    let rest = arguments(rest)?.strip_prefix('}')?;
    Some((Call { function, host: host.to_owned(), key }, rest))
}

/// What stands behind the bracket that ends a call.
fn arguments(text: &str) -> Option<&str> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ')' if !quoted => return Some(&text[at + 1..]),
            '(' if !quoted => return None,
            _ => {}
        }
    }
    None
}

fn operator(text: &str) -> Option<(&str, &str)> {
    ["<>", ">=", "<=", ">", "<", "="].iter().find(|op| text.starts_with(**op)).map(|op| text.split_at(op.len()))
}

fn operand_value(text: &str, value_of: impl Fn(&str) -> Option<String>) -> Result<f64, Unread> {
    if let Some(number) = number::with_suffix(text) {
        return Ok(number);
    }
    if text.starts_with("{$") {
        if macro_end(text) != Some(text.len()) {
            return Err(Unread::Compound);
        }
        return value_of(text).and_then(|value| number::with_suffix(value.trim())).ok_or(Unread::Macro);
    }
    let form = text.contains(' ') || text.contains(['(', '+', '*', '/']);
    Err(if form { Unread::Compound } else { Unread::Form })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value_of(host: &str, name: &str) -> Option<String> {
        (host == "web 1" && name == "{$MAX:\"/\"}").then(|| "1.5K".to_owned())
    }

    #[test]
    fn limits_of_one_item() {
        for (text, key, range) in [
            ("last(/web 1/system.cpu.util)>90", "system.cpu.util", LimitRange::above(90.0)),
            (
                "min(/web 1/system.cpu.load[all,\"avg1\"],5m) >= 1.5",
                "system.cpu.load[all,avg1]",
                LimitRange { low: Some(1.5), high: None, inside: true },
            ),
            (
                "max(/web 1/vm.memory.size[available],#3)<20M",
                "vm.memory.size[available]",
                LimitRange::below(20_971_520.0),
            ),
            ("avg(/web 1/k[\"a),b\"],10m:now-1h)>{$MAX:\"/\"}", "k[\"a),b\"]", LimitRange::above(1536.0)),
            ("5m>=last(/web 1/k)", "k", LimitRange { low: None, high: Some(300.0), inside: true }),
            ("5m<last(/web 1/system.uptime)", "system.uptime", LimitRange::above(300.0)),
            ("{web 1:system.cpu.load[all,avg1].last()}>5", "system.cpu.load[all,avg1]", LimitRange::above(5.0)),
            ("{web 1:agent.value.min(5m)}<-1", "agent.value", LimitRange::below(-1.0)),
        ] {
            let limit = read(text, value_of);
            let limit = limit.unwrap_or_else(|unread| panic!("{text}: {unread:?}"));
            assert_eq!(limit, ItemLimit { host: "web 1".into(), key: Key::read(key), range }, "{text}");
        }
    }

    #[test]
    fn other_forms_say_why() {
        for (text, why) in [
            ("last(/a/k)>90 and last(/a/j)>1", Unread::Compound),
            ("last(/a/k)/last(/a/j)>1", Unread::Compound),
            ("(last(/a/k)>1)", Unread::Compound),
            ("nodata(/a/k,5m)=1", Unread::Function),
            ("change(/a/k)>1", Unread::Function),
            ("last(/a/k)=0", Unread::Operator),
            ("last(/a/k)<>0", Unread::Operator),
            ("last(/a/k)>{$UNKNOWN}", Unread::Macro),
            ("last(/a/k)>{$A}*2", Unread::Compound),
            ("last(/a/k)>", Unread::Form),
            ("last(/a/k)", Unread::Form),
        ] {
            assert_eq!(read(text, value_of).err(), Some(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[a-z/({$\\[\\]\",.)}>< 0-9:]{0,60}|\\PC{0,60}") {
            let _ = read(&text, |_, _| Some("1".to_owned()));
        }
    }
}
