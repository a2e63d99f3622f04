//! Reads a YAML node by the JSON schema of what is expected there.
//!
//! The schema decides what a plain scalar is: where a text is expected `no` and `012` are texts, where a
//! number is expected `012` is a mistake. Every mistake is noted with its path: unknown keys (with the
//! nearest known one), wrong types, words that are not among the known ones, missing required keys,
//! numbers out of range. What it returns holds only what was right. It knows the part of JSON Schema that
//! `schemars` makes of serde types, and nothing of what values mean.

use std::path::Path;

use serde_json::{Map, Value};
use watchbell_adapter_api::{Problems, Span};

use super::nearest::{list, suggest};
use super::union;
use super::yaml::{Content, Entry, Node};

/// What reading needs besides node and schema.
pub(super) struct Reader<'a> {
    /// The whole schema, in which `$ref` points.
    pub(super) root: &'a Value,
    /// The folder in which relative paths begin.
    pub(super) base: &'a Path,
    pub(super) problems: &'a mut Problems,
}

impl Reader<'_> {
    /// The value of `node`, or `None` if nothing of it can be used; problems have been noted. Members that
    /// can not be used are left out.
    pub(super) fn read(&mut self, node: &Node, schema: &Value, path: &str) -> Option<Value> {
        let root = self.root;
        let schema = resolve(root, schema);
        if let Some(branches) = union::branches(root, schema) {
            return union::read(self, node, &branches, path);
        }
        let words = words(schema);
        if !words.is_empty() {
            return self.word(node, &words, path);
        }
        let types = types(schema);
        if node.is_null() && (types.contains(&"null") || types.is_empty()) {
            return Some(Value::Null);
        }
        let expected = types.iter().copied().find(|name| *name != "null").or_else(|| guess(schema));
        match (expected, &node.content) {
            (Some("object"), Content::Map(entries)) => self.object(node, entries, schema, path),
            (Some("array"), Content::List(items)) => Some(self.array(items, schema, path)),
            (Some("string"), Content::Scalar { text, .. }) if !node.is_null() => self.text(text, schema, path),
            (Some("boolean"), Content::Scalar { text, plain: true }) => match text.as_str() {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                _ => self.wrong(node, "`true` or `false`", path),
            },
            (Some(kind @ ("integer" | "number")), Content::Scalar { text, plain: true }) if !node.is_null() => {
                self.number(node, text, kind == "integer", schema, path)
            }
            (Some(kind), _) => self.wrong(node, article(kind), path),
            (None, _) => Some(free(node)),
        }
    }

    fn object(&mut self, node: &Node, entries: &[Entry], schema: &Value, path: &str) -> Option<Value> {
        let empty = Map::new();
        let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let other = match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            Some(other) => Some(other),
            None if known.is_empty() => Some(&Value::Bool(true)),
            None => None,
        };
        let mut out = Map::new();
        for entry in entries {
            let at = join(path, &entry.key);
            match known.get(&entry.key).or(other) {
                Some(schema) => {
                    if let Some(value) = self.read(&entry.node, schema, &at) {
                        out.insert(entry.key.clone(), value);
                    }
                }
                None => self.unknown_key(&entry.key, known, at),
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let mut whole = true;
        for key in required {
            if node.get(key).is_none() {
                self.problems.hint(
                    path,
                    format!("`{key}` is missing"),
                    format!("add `{key}:`{}", about(known.get(key))),
                );
            }
            whole &= out.contains_key(key);
        }
        whole.then_some(Value::Object(out))
    }

    fn unknown_key(&mut self, key: &str, known: &Map<String, Value>, at: String) {
        let known: Vec<&str> = known.keys().map(String::as_str).collect();
        self.problems.hint(at, format!("unknown key `{}`", shown(key)), suggest(key, &known));
    }

    fn array(&mut self, items: &[Node], schema: &Value, path: &str) -> Value {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        if (items.len() as u64) < least {
            let message = if items.is_empty() {
                "the list is empty".to_owned()
            } else {
                format!("at least {least} items are needed")
            };
            self.problems.add(path, message);
        }
        let of = schema.get("items").unwrap_or(&Value::Bool(true));
        let read = |(i, item)| self.read(item, of, &format!("{path}[{i}]"));
        Value::Array(items.iter().enumerate().filter_map(read).collect())
    }

    fn text(&mut self, text: &str, schema: &Value, path: &str) -> Option<Value> {
        let format = schema.get("format").and_then(Value::as_str);
        if format == Some("duration") && text.parse::<Span>().is_err() {
            let hint = "write it as `15s`, `5m`, `1h30m` or `500ms`";
            self.problems.hint(path, format!("`{}` is no duration", shown(text)), hint);
            return None;
        }
        let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
        if (text.chars().count() as u64) < least {
            self.problems.add(path, "must not be empty");
            return None;
        }
        if format == Some("path") && !text.is_empty() {
            return self.base.join(text).to_str().map(Value::from);
        }
        Some(Value::String(text.to_owned()))
    }

    fn number(&mut self, node: &Node, text: &str, whole: bool, schema: &Value, path: &str) -> Option<Value> {
        let number: Option<serde_json::Number> = if whole {
            text.parse::<u64>().map(Into::into).or_else(|_| text.parse::<i64>().map(Into::into)).ok()
        } else {
            text.parse::<f64>().ok().and_then(serde_json::Number::from_f64)
        };
        let Some(number) = number else {
            return self.wrong(node, if whole { "a whole number" } else { "a number" }, path);
        };
        let value = number.as_f64().unwrap_or(f64::NAN);
        let (least, most) = bounds(schema);
        if value < least || value > most {
            let message = match (least.is_finite(), most.is_finite()) {
                (true, true) => format!("{text} is not between {least} and {most}"),
                (true, false) => format!("{text} is less than {least}"),
                _ => format!("{text} is more than {most}"),
            };
            self.problems.add(path, message);
            return None;
        }
        Some(Value::Number(number))
    }

    pub(super) fn word(&mut self, node: &Node, words: &[&str], path: &str) -> Option<Value> {
        match &node.content {
            Content::Scalar { text, .. } if words.contains(&text.as_str()) => Some(Value::String(text.clone())),
            Content::Scalar { text, .. } if !node.is_null() => {
                let message = format!("`{}` is not known here", shown(text));
                self.problems.hint(path, message, suggest(text, words));
                None
            }
            _ => self.wrong(node, &format!("one of {}", list(words)), path),
        }
    }

    pub(super) fn wrong(&mut self, node: &Node, expected: &str, path: &str) -> Option<Value> {
        let (found, hint) = match &node.content {
            _ if node.is_null() => ("nothing".to_owned(), Some("write a value, or remove the key")),
            Content::List(_) => ("a list".to_owned(), None),
            Content::Map(_) => ("a mapping".to_owned(), None),
            Content::Scalar { text, plain: true } => (format!("`{}`", shown(text)), hint_for(expected, text)),
            Content::Scalar { text, plain: false } => {
                let number = expected.ends_with("number") || expected.contains("true");
                (format!("the text `{}`", shown(text)), number.then_some("write it without quotes"))
            }
        };
        let message = format!("expected {expected}, found {found}");
        match hint {
            Some(hint) => self.problems.hint(path, message, hint),
            None => self.problems.add(path, message),
        }
        None
    }
}

fn hint_for(expected: &str, text: &str) -> Option<&'static str> {
    match (expected, text) {
        ("`true` or `false`", "yes" | "Yes" | "on" | "On" | "True" | "TRUE") => Some("write `true`"),
        ("`true` or `false`", "no" | "No" | "off" | "Off" | "False" | "FALSE") => Some("write `false`"),
        ("a list", _) => Some("write items as `- value` lines, or as `[value, value]`"),
        ("a mapping", _) => Some("write `key: value` lines, indented"),
        _ => None,
    }
}

/// The schema that `schema` stands for.
pub(crate) fn resolve<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    // Bounded: a reference that leads back to itself would be a mistake in code, not in the file.
    for _ in 0..16 {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|to| root.pointer(to.strip_prefix('#')?));
        match target {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// The words among which one must be written; none if anything else is possible.
pub(crate) fn words(schema: &Value) -> Vec<&str> {
    match (schema.get("const"), schema.get("enum").and_then(Value::as_array)) {
        (Some(word), _) => word.as_str().into_iter().collect(),
        (_, Some(words)) => words.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

pub(crate) fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn guess(schema: &Value) -> Option<&'static str> {
    schema.get("properties").map(|_| "object").or_else(|| schema.get("items").map(|_| "array"))
}

/// Least and greatest number, from the schema's own bounds or the width of its integer.
fn bounds(schema: &Value) -> (f64, f64) {
    let given = |key: &str| schema.get(key).and_then(Value::as_f64);
    let (least, most) = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => (0.0, f64::from(u8::MAX)),
        Some("uint16") => (0.0, f64::from(u16::MAX)),
        Some("uint32") => (0.0, f64::from(u32::MAX)),
        Some("uint" | "uint64") => (0.0, f64::INFINITY),
        Some("int32") => (f64::from(i32::MIN), f64::from(i32::MAX)),
        _ => (f64::NEG_INFINITY, f64::INFINITY),
    };
    (given("minimum").unwrap_or(least), given("maximum").unwrap_or(most))
}

/// The value of a node of which nothing is known, by YAML's core schema.
fn free(node: &Node) -> Value {
    match &node.content {
        _ if node.is_null() => Value::Null,
        Content::List(items) => Value::Array(items.iter().map(free).collect()),
        Content::Map(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.clone(), free(&entry.node))).collect())
        }
        Content::Scalar { text, plain: true } => match text.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => text
                .parse::<i64>()
                .map(Value::from)
                .or_else(|_| text.parse::<f64>().map(Value::from))
                .ok()
                .filter(|value| !value.is_null() && !text.starts_with(char::is_alphabetic))
                .unwrap_or_else(|| Value::String(text.clone())),
        },
        Content::Scalar { text, plain: false } => Value::String(text.clone()),
    }
}

fn article(kind: &str) -> &'static str {
    match kind {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "a text",
        "boolean" => "`true` or `false`",
        "integer" => "a whole number",
        _ => "a number",
    }
}

/// The first sentence of what a key is for, to go into a hint.
fn about(schema: Option<&Value>) -> String {
    let text = schema.and_then(|schema| schema.get("description")).and_then(Value::as_str).unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentence = text.split(';').next().unwrap_or_default().split(". ").next().unwrap_or_default();
    let sentence = sentence.trim_end_matches('.');
    if sentence.is_empty() { String::new() } else { format!(" ({sentence})") }
}

pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A text from the file as it may stand in a message: one line, and not endless.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}
