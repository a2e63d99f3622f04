//! User macros: `{$CPU.UTIL.CRIT}`, as far as the API gives their values.
//!
//! A host's own macro wins over one of its templates, the nearest first, and these over global ones; a context
//! (`{$X:"/var"}`) wins over the macro without. Contexts by regular expression and secret values are not known.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::json;

use crate::api::value::{id, list};
use crate::api::{Api, ApiError};

/// Templates above a host that are looked through at most.
const MOST_TEMPLATES: usize = 200;

/// Macros of a server.
#[derive(Debug, Default)]
pub(crate) struct Macros {
    global: HashMap<String, String>,
    /// Of hosts and templates, by their id.
    own: HashMap<u64, HashMap<String, String>>,
    /// Templates of hosts and templates.
    parents: HashMap<u64, Vec<u64>>,
}

#[derive(Deserialize)]
struct MacroRow {
    #[serde(default, deserialize_with = "id")]
    hostid: u64,
    #[serde(rename = "macro")]
    name: String,
    value: Option<String>,
}

#[derive(Deserialize)]
struct Parented {
    #[serde(alias = "templateid", deserialize_with = "id")]
    hostid: u64,
    #[serde(default, rename = "parentTemplates", deserialize_with = "list")]
    parents: Vec<Parent>,
}

#[derive(Deserialize)]
struct Parent {
    #[serde(deserialize_with = "id")]
    templateid: u64,
}

impl Macros {
    /// Asks for all macros that the user may see.
    pub(crate) async fn read(api: &Api) -> Result<Self, ApiError> {
        let mut macros = Self::default();
        let global = json!({"globalmacro": true, "output": ["macro", "value"]});
        for row in api.call::<Vec<MacroRow>>("usermacro.get", &global).await? {
            macros.add(row, true);
        }
        let own = json!({"output": ["hostid", "macro", "value"]});
        for row in api.call::<Vec<MacroRow>>("usermacro.get", &own).await? {
            macros.add(row, false);
        }
        for (method, id) in [("host.get", "hostid"), ("template.get", "templateid")] {
            let params = json!({"output": [id], "selectParentTemplates": ["templateid"]});
            for row in api.call::<Vec<Parented>>(method, &params).await? {
                macros.parents.insert(row.hostid, row.parents.iter().map(|parent| parent.templateid).collect());
            }
        }
        Ok(macros)
    }

    fn add(&mut self, row: MacroRow, global: bool) {
        let (Some(name), Some(value)) = (canonical(&row.name), row.value) else { return };
        let of = if global { &mut self.global } else { self.own.entry(row.hostid).or_default() };
        of.insert(name, value);
    }

    /// The value of `text`, which is one macro, on a host.
    pub(crate) fn value(&self, host: u64, text: &str) -> Option<&str> {
        let full = canonical(text)?;
        let plain = full.split_once(':').map(|(name, _)| name.to_owned());
        [Some(full), plain].into_iter().flatten().find_map(|name| self.find(host, &name))
    }

    fn find(&self, host: u64, name: &str) -> Option<&str> {
        let (mut level, mut seen) = (vec![host], HashSet::new());
        while !level.is_empty() && seen.len() < MOST_TEMPLATES {
            if let Some(value) = level.iter().find_map(|id| self.own.get(id)?.get(name)) {
                return Some(value);
            }
            let mut next: Vec<u64> = level.iter().filter_map(|id| self.parents.get(id)).flatten().copied().collect();
            next.retain(|id| seen.insert(*id));
            next.sort_unstable();
            level = next;
        }
        self.global.get(name).map(String::as_str)
    }

    /// `text` with its macros resolved; `None` if one is not known.
    pub(crate) fn expand(&self, host: u64, text: &str) -> Option<String> {
        let (mut out, mut rest) = (String::new(), text);
        while let Some(at) = rest.find("{$") {
            let end = at + macro_end(&rest[at..])?;
            out.push_str(&rest[..at]);
            out.push_str(self.value(host, &rest[at..end])?);
            rest = &rest[end..];
        }
        out.push_str(rest);
        Some(out)
    }
}

/// Where the macro at the beginning of `text` ends; its context may hold a brace in quotes.
pub(crate) fn macro_end(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// `NAME` or `NAME:context`, without braces and quotes; none for contexts by regular expression.
fn canonical(text: &str) -> Option<String> {
    let inner = text.strip_prefix("{$")?.strip_suffix('}')?;
    let Some((name, context)) = inner.split_once(':') else { return Some(inner.to_owned()) };
    let context = context.trim_start();
    if context.starts_with("regex:") {
        return None;
    }
    let context = match context.strip_prefix('"').and_then(|rest| rest.trim_end().strip_suffix('"')) {
        Some(quoted) => quoted.replace("\\\"", "\""),
        None => context.to_owned(),
    };
    Some(format!("{name}:{context}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Macros of the global level and of hosts and templates, with the templates above them.
    pub(crate) fn macros(rows: &[(u64, &str, &str)], parents: &[(u64, u64)]) -> Macros {
        let mut macros = Macros::default();
        for (hostid, name, value) in rows {
            let row = MacroRow { hostid: *hostid, name: (*name).to_owned(), value: Some((*value).to_owned()) };
            macros.add(row, *hostid == 0);
        }
        for (host, parent) in parents {
            macros.parents.entry(*host).or_default().push(*parent);
        }
        macros
    }

    #[test]
    fn the_nearest_wins() {
        let macros = macros(
            &[
                (0, "{$A}", "global"),
                (0, "{$D}", "1m"),
                (7, "{$A}", "far"),
                (5, "{$A}", "near"),
                (5, "{$B}", "t"),
                (1, "{$B}", "own"),
                (1, "{$C:\"/var\"}", "ctx"),
                (1, "{$C}", "plain"),
                (1, "{$C:regex:\"^/\"}", "never"),
            ],
            &[(1, 5), (5, 7), (7, 5)],
        );
        let value = |text| macros.value(1, text);
        assert_eq!((value("{$A}"), value("{$B}"), value("{$NONE}")), (Some("near"), Some("own"), None));
        assert_eq!((value("{$C:/var}"), value("{$C:\"/tmp\"}")), (Some("ctx"), Some("plain")));
        assert_eq!(macros.value(2, "{$A}"), Some("global"));
        assert_eq!(macros.expand(1, "{$D};50s/1-7,{$C:\"/var\"}"), Some("1m;50s/1-7,ctx".to_owned()));
        assert_eq!(macros.expand(1, "{$D} {$NONE}"), None);
        assert_eq!(macros.expand(1, "{$D"), None);
        assert_eq!(macro_end("{$X:\"a}b\"}>1"), Some(10));
    }
}
