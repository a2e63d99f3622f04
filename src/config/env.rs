//! Variables of the environment in texts of the config: `${NAME}`, `${NAME:-default}`.
//!
//! `$$` is a dollar sign. `$1` and `${1}` stay as they are, since relabelling rules are full of them.
//! Keys are never expanded. Reads variables through a function, so tests need no environment.

use watchbell_adapter_api::Problems;

use super::schema::join;
use super::yaml::{Content, Node};

/// Reads one variable.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Expands all texts under `node`, noting variables that are not set.
pub(super) fn expand(node: &mut Node, lookup: Lookup<'_>, path: &str, problems: &mut Problems) {
    match &mut node.content {
        Content::Scalar { text, .. } if text.contains('$') => match expand_text(text, lookup) {
            Ok(expanded) => *text = expanded,
            Err((message, hint)) => problems.hint(path, message, hint),
        },
        Content::Scalar { .. } => {}
        Content::List(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                expand(item, lookup, &format!("{path}[{i}]"), problems);
            }
        }
        Content::Map(entries) => {
            for entry in entries {
                expand(&mut entry.node, lookup, &join(path, &entry.key), problems);
            }
        }
    }
}

fn expand_text(text: &str, lookup: Lookup<'_>) -> Result<String, (String, String)> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let Some(inner) =
            rest.strip_prefix('{').filter(|inner| inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
        else {
            out.push('$');
            continue;
        };
        let name_len = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
        let (name, tail) = inner.split_at(name_len);
        let Some(end) = tail.find('}').filter(|end| *end == 0 || tail.starts_with(":-")) else {
            let hint = "write `${NAME}` or `${NAME:-default}`; a dollar sign itself is `$$`";
            return Err((format!("`${{{name}` does not end as a variable"), hint.to_owned()));
        };
        match (lookup(name), tail[..end].strip_prefix(":-")) {
            (Some(value), default) if !value.is_empty() || default.is_none() => out.push_str(&value),
            (_, Some(default)) => out.push_str(default),
            (_, None) => {
                let hint =
                    format!("set it, or give a default: `${{{name}:-value}}`; the text itself is `$${{{name}}}`");
                return Err((format!("the environment has no variable `{name}`"), hint));
            }
        }
        rest = &tail[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("db-1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn expands_names_defaults_and_dollars() {
        for (text, want) in [
            ("http://${HOST}:9090/${HOST}", "http://db-1:9090/db-1"),
            ("${NONE:-a b}", "a b"),
            ("${NONE:-}", ""),
            ("${EMPTY:-full}", "full"),
            ("[${EMPTY}]", "[]"),
            ("$$ $${HOST}", "$ ${HOST}"),
            ("$1-${2} $ ${", "$1-${2} $ ${"),
        ] {
            assert_eq!(expand_text(text, &lookup).as_deref(), Ok(want), "{text}");
        }
        assert!(expand_text("x ${NONE}", &lookup).is_err_and(|(message, _)| message.contains("`NONE`")));
        for text in ["${HOST", "${HOST-x}", "${HOST:x}", "${A B}"] {
            assert!(expand_text(text, &lookup).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[$ {}:A-Za-z0-9_é-]{0,40}") {
            let _ = expand_text(&text, &lookup);
        }
    }
}
