//! Places where one of several shapes may be written: `anyOf` and `oneOf` of a JSON schema.
//!
//! The branch that was meant is found the way a reader would: by a word among words, by the key that
//! tells the shapes apart (`type: ...`), by the only shape that fits, else by the one with the fewest
//! mistakes. So a mistake is told in terms of what was meant, not as "matches none of the variants".

use serde_json::Value;
use watchbell_adapter_api::Problems;

use super::nearest::list;
use super::schema::{Reader, join, resolve, types, words};
use super::yaml::{Content, Node};

/// The shapes that `schema` allows, if it allows several.
pub(super) fn branches<'a>(root: &'a Value, schema: &'a Value) -> Option<Vec<&'a Value>> {
    let several = schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()?;
    Some(several.iter().map(|branch| resolve(root, branch)).collect())
}

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, branches: &[&Value], path: &str) -> Option<Value> {
    let nullable = branches.iter().any(|branch| types(branch) == ["null"]);
    if nullable && node.is_null() {
        return Some(Value::Null);
    }
    let shapes: Vec<&Value> = branches.iter().copied().filter(|branch| types(branch) != ["null"]).collect();
    if let [only] = shapes[..] {
        return reader.read(node, only, path);
    }
    let known: Vec<&str> = shapes.iter().flat_map(|shape| words(shape)).collect();
    let only_words = shapes.iter().all(|shape| !words(shape).is_empty());
    if only_words || matches!(&node.content, Content::Scalar { text, .. } if known.contains(&text.as_str())) {
        return reader.word(node, &known, path);
    }
    if let Some(tag) = discriminator(&shapes) {
        return tagged(reader, node, &shapes, tag, path);
    }
    let fitting: Vec<&Value> = shapes.iter().copied().filter(|shape| fits(reader.root, node, shape)).collect();
    if fitting.is_empty() {
        return reader.wrong(node, &expected(reader.root, &shapes), path);
    }
    best(reader, node, &fitting, path)
}

/// The key that every shape has with a word of its own.
fn discriminator<'a>(shapes: &[&'a Value]) -> Option<&'a str> {
    let constant = |shape: &Value, key: &str| shape.pointer(&format!("/properties/{key}/const")).is_some();
    let keys = shapes.first()?.get("properties")?.as_object()?.keys();
    keys.map(String::as_str).find(|key| shapes.iter().all(|shape| constant(shape, key)))
}

fn tagged(reader: &mut Reader<'_>, node: &Node, shapes: &[&Value], tag: &str, path: &str) -> Option<Value> {
    if !matches!(node.content, Content::Map(_)) {
        return reader.wrong(node, "a mapping", path);
    }
    let word = |shape: &'_ Value| {
        shape.pointer(&format!("/properties/{tag}/const")).and_then(Value::as_str).map(str::to_owned)
    };
    let known: Vec<String> = shapes.iter().filter_map(|shape| word(shape)).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let Some(written) = node.get(tag) else {
        reader.problems.hint(path, format!("`{tag}` is missing"), format!("add `{tag}:`, one of {}", list(&known)));
        return None;
    };
    let chosen = reader.word(written, &known, &join(path, tag))?;
    let shape = shapes.iter().find(|shape| word(shape).as_deref() == chosen.as_str())?;
    reader.read(node, shape, path)
}

/// Whether `node` has the outer form of `shape`.
fn fits(root: &Value, node: &Node, shape: &Value) -> bool {
    if let Some(inner) = branches(root, shape) {
        return inner.iter().any(|shape| fits(root, node, shape));
    }
    let types = types(shape);
    match &node.content {
        Content::Map(_) => types.contains(&"object") || shape.get("properties").is_some(),
        Content::List(_) => types.contains(&"array"),
        Content::Scalar { .. } => {
            types.iter().any(|name| !matches!(*name, "object" | "array")) || !words(shape).is_empty()
        }
    }
}

/// What could have been written, for a message.
fn expected(root: &Value, shapes: &[&Value]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for shape in shapes {
        let shape = branches(root, shape).and_then(|inner| inner.first().copied()).unwrap_or(shape);
        let name = match types(shape).first().copied() {
            Some("object") => "a mapping",
            Some("array") => "a list",
            Some("boolean") => "`true` or `false`",
            Some("integer" | "number") => "a number",
            _ => "a text",
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" or ")
}

/// The reading with the fewest mistakes; the first one among equals.
fn best(reader: &mut Reader<'_>, node: &Node, shapes: &[&Value], path: &str) -> Option<Value> {
    let mut best: Option<(Option<Value>, Problems)> = None;
    for shape in shapes {
        let mut problems = Problems::default();
        let value = Reader { root: reader.root, base: reader.base, problems: &mut problems }.read(node, shape, path);
        if best.as_ref().is_none_or(|(_, least)| problems.len() < least.len()) {
            best = Some((value, problems));
        }
        if matches!(&best, Some((_, problems)) if problems.is_empty()) {
            break;
        }
    }
    let (value, found) = best?;
    for problem in found.into_vec() {
        match problem.hint {
            Some(hint) => reader.problems.hint(problem.path, problem.message, hint),
            None => reader.problems.add(problem.path, problem.message),
        }
    }
    value
}
