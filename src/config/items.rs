//! The items of `sources` and `sinks`, and `history`: found by `type`, read by the schema of their kind,
//! prepared by their adapter.
//!
//! Gives every item its name, and finds what only shows across items: two with one name, two that want
//! the same port or path. Nothing is opened or started here.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use watchbell_adapter_api::{History, Prepared, Problems, Resource, SinkKind, Source, SourceKind};

use super::Named;
use super::nearest::list;
use super::schema::{Reader, shown};
use super::yaml::{Content, Node};
use crate::api::OWN_PATHS;
use crate::registry::{Registry, UnknownKind};

/// Longest name of an item; names go into labels of metrics and lines of logs.
const MAX_NAME: usize = 64;
/// The key of the limit of series of a source; read here, since the service counts them.
pub(crate) const MAX_SERIES: &str = "max_series";

pub(super) fn sources(
    node: &Node,
    registry: Registry,
    base: &Path,
    problems: &mut Problems,
) -> Vec<Named<Box<dyn Source>>> {
    let find = |name: &str| registry.source(name);
    let known: Vec<&str> = registry.sources().map(|kind| kind.name).collect();
    items(node, "sources", &known, find, base, problems, |kind: &SourceKind| Row {
        name: kind.name,
        schema: kind.schema,
        prepare: kind.prepare,
    })
}

pub(super) fn sinks(node: &Node, registry: Registry, base: &Path, problems: &mut Problems) -> Vec<Named<Prepared>> {
    let find = |name: &str| registry.sink(name);
    let known: Vec<&str> = registry.sinks().map(|kind| kind.name).collect();
    items(node, "sinks", &known, find, base, problems, |kind: &SinkKind| Row {
        name: kind.name,
        schema: kind.schema,
        prepare: kind.prepare,
    })
}

pub(super) fn history(
    node: &Node,
    registry: Registry,
    base: &Path,
    problems: &mut Problems,
) -> Option<Named<Arc<dyn History>>> {
    let known: Vec<&str> = registry.histories().map(|kind| kind.name).collect();
    let kind = kind_of(node, "history", &known, |name| registry.history(name), problems)?;
    let row = Row { name: kind.name, schema: kind.schema, prepare: kind.prepare };
    item(node, "history", &row, kind.name.to_owned(), base, problems)
}

/// Two components that want one name, port, path or file, or a path of the service itself.
pub(super) fn conflicts(sources: &[Named<Box<dyn Source>>], sinks: &[Named<Prepared>], problems: &mut Problems) {
    let of_sinks = sinks.iter().map(|sink| match &sink.item {
        Prepared::Scores(scores) => (&sink.path, sink.name.as_ref(), scores.resources()),
        Prepared::Alerts(_) => (&sink.path, sink.name.as_ref(), Vec::new()),
    });
    let of_sources = sources.iter().map(|source| (&source.path, source.name.as_ref(), source.item.resources()));
    // Routes and own metrics of both go by name.
    for sink in sinks {
        if let Some(source) = sources.iter().find(|source| source.name == sink.name) {
            let message = format!("`{}` is called `{}` too", source.path, sink.name);
            problems.hint(format!("{}.name", sink.path), message, "give each a name of its own");
        }
    }
    let mut owners: HashMap<Resource, &str> =
        OWN_PATHS.into_iter().map(|path| (Resource::Route(path), "watchbell itself")).collect();
    for (path, name, resources) in of_sources.chain(of_sinks) {
        for resource in resources {
            let what = match &resource {
                Resource::Route(path) => format!("the path `{path}` of the HTTP server"),
                Resource::Listen(address) => format!("the address `{address}`"),
                Resource::File(path) => format!("the file `{}`", path.display()),
            };
            if let Some(owner) = owners.insert(resource, name) {
                problems.hint(path, format!("`{name}` and `{owner}` both want {what}"), "keep one, or set another");
            }
        }
    }
}

/// What kinds of sources, sinks and history have in common.
struct Row<T> {
    name: &'static str,
    schema: fn() -> schemars::Schema,
    prepare: fn(Value, &mut Problems) -> Option<T>,
}

fn items<K: 'static, T>(
    node: &Node,
    key: &str,
    known: &[&str],
    find: impl Fn(&str) -> Result<&'static K, UnknownKind>,
    base: &Path,
    problems: &mut Problems,
    row: impl Fn(&K) -> Row<T>,
) -> Vec<Named<T>> {
    let Content::List(nodes) = &node.content else { return Vec::new() };
    let names = names(nodes, key, problems);
    let mut out = Vec::new();
    for (i, (node, name)) in nodes.iter().zip(names).enumerate() {
        let path = format!("{key}[{i}]");
        if let Some(kind) = kind_of(node, &path, known, &find, problems) {
            out.extend(item(node, &path, &row(kind), name, base, problems));
        }
    }
    out
}

/// The name of each item: what is written, else the type, with `-2` and so on where that is taken.
fn names(nodes: &[Node], key: &str, problems: &mut Problems) -> Vec<String> {
    let written = |node: &Node, field: &str| match &node.get(field)?.content {
        Content::Scalar { text, .. } => Some(text.clone()),
        _ => None,
    };
    let mut taken: HashMap<String, usize> = HashMap::new();
    for (i, node) in nodes.iter().enumerate() {
        let path = format!("{key}[{i}].name");
        let Some(name) = written(node, "name") else {
            if node.get("name").is_some() {
                problems.add(path, "expected a text");
            }
            continue;
        };
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            let hint = format!("use letters, digits, `_`, `-` and `.`, at most {MAX_NAME}");
            problems.hint(&*path, format!("`{}` is no name", shown(&name)), hint);
        }
        if let Some(first) = taken.insert(name.clone(), i) {
            problems.hint(
                path,
                format!("{key}[{first}] is called `{}` too", shown(&name)),
                "give each a name of its own",
            );
        }
    }
    // Counting goes on where it stopped, so that very many items take no longer than they must.
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut name_of = |node: &Node| {
        written(node, "name").unwrap_or_else(|| {
            let kind = written(node, "type").unwrap_or_default();
            let count = counts.entry(kind.clone()).or_insert(0);
            loop {
                *count += 1;
                let name = if *count == 1 { kind.clone() } else { format!("{kind}-{count}") };
                if !taken.contains_key(&name) {
                    return name;
                }
            }
        })
    };
    nodes.iter().map(&mut name_of).collect()
}

fn kind_of<K: 'static>(
    node: &Node,
    path: &str,
    known: &[&str],
    find: impl Fn(&str) -> Result<&'static K, UnknownKind>,
    problems: &mut Problems,
) -> Option<&'static K> {
    let Content::Map(_) = node.content else {
        problems.hint(path, "expected a mapping with a `type`", "write `type: ...` and its settings below");
        return None;
    };
    let Some(kind) = node.get("type") else {
        problems.hint(path, "`type` is missing", format!("add `type:`, one of {}", list(known)));
        return None;
    };
    let Content::Scalar { text, .. } = &kind.content else {
        problems.add(format!("{path}.type"), "expected a text");
        return None;
    };
    find(text).map_err(|error| problems.hint(format!("{path}.type"), error.to_string(), error.hint)).ok()
}

fn item<T>(
    node: &Node,
    path: &str,
    row: &Row<T>,
    name: String,
    base: &Path,
    problems: &mut Problems,
) -> Option<Named<T>> {
    let Content::Map(entries) = &node.content else { return None };
    // `type` and `name` are ours; a history is alone and has no name. Series are counted for sources only.
    let counted = path.starts_with("sources[");
    let own = |key: &str| key == "type" || (key == "name" && path != "history") || (key == MAX_SERIES && counted);
    let max_series = if counted { max_series(node, path, problems) } else { None };
    let rest = entries.iter().filter(|entry| !own(&entry.key)).cloned().collect();
    let rest = Node { at: node.at, content: Content::Map(rest) };

    let schema = (row.schema)().to_value();
    let mut found = Problems::default();
    let value = Reader { root: &schema, base, problems: &mut found }.read(&rest, &schema, "");
    let usable = found.is_empty();
    problems.within(path, found);
    // An adapter asked about a half-read item would complain of what is missing only because it was wrong.
    let value = value.filter(|_| usable)?;

    let mut found = Problems::default();
    let prepared = (row.prepare)(value.clone(), &mut found);
    let usable = found.is_empty();
    problems.within(path, found);
    let mut fingerprint = value;
    fingerprint["type"] = Value::from(row.name);
    Some(Named {
        name: name.into(),
        kind: row.name,
        path: path.to_owned(),
        item: prepared.filter(|_| usable)?,
        fingerprint,
        max_series,
    })
}

/// The limit of series of a source, where one is written.
fn max_series(node: &Node, path: &str, problems: &mut Problems) -> Option<u32> {
    let written = node.get(MAX_SERIES)?;
    let number = match &written.content {
        Content::Scalar { text, plain: true } => text.parse::<u32>().ok().filter(|most| *most > 0),
        _ => None,
    };
    if number.is_none() {
        let hint = "write how many series this source may bring at most, such as `100000`, or leave it out";
        problems.hint(format!("{path}.{MAX_SERIES}"), "expected a whole number of at least 1", hint);
    }
    number
}
