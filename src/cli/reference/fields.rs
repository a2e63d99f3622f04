//! A JSON schema as tables for people: one for the keys of each mapping, named by its path.

use serde_json::Value;

use super::shared::Shared;
use crate::config::schema::{join, resolve, types, words};

/// Where tables are written, and what the schemas in them refer to.
pub(super) struct Page<'a> {
    pub(super) out: &'a mut String,
    pub(super) root: &'a Value,
    /// Mappings that are linked to in place of being described.
    pub(super) shared: &'a Shared,
}

impl Page<'_> {
    /// Writes a table for `schema` and one for each mapping in it. `elsewhere` are keys of the first table
    /// whose inside is described in another place.
    pub(super) fn tables(&mut self, schema: &Value, path: &str, elsewhere: &[&str]) {
        let schema = resolve(self.root, schema);
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        if properties.is_empty() {
            self.out.push_str("Nothing to set.\n\n");
            return;
        }
        if !path.is_empty() {
            self.out.push_str(&format!("**`{path}`**\n\n"));
        }
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        self.out.push_str("| key | value | default | |\n| --- | --- | --- | --- |\n");
        for (key, field) in properties {
            let default = match field.get("default") {
                _ if required.contains(&key.as_str()) => "required".to_owned(),
                None | Some(Value::Null | Value::Object(_)) => String::new(),
                Some(Value::String(text)) => format!("`{text}`"),
                Some(other) => format!("`{other}`"),
            };
            let (value, about) = (self.value(field), description(self.root, field));
            self.out.push_str(&format!("| `{key}` | {value} | {} | {} |\n", cell(&default), cell(about)));
        }
        self.out.push('\n');
        for (key, field) in properties.iter().filter(|(key, _)| !elsewhere.contains(&key.as_str())) {
            self.inner(field, &join(path, key));
        }
    }

    /// The tables of the mappings that `field` can hold.
    fn inner(&mut self, field: &Value, path: &str) {
        if self.shared.name(field).is_some() {
            return;
        }
        let raw = field.get("anyOf").or_else(|| field.get("oneOf")).and_then(Value::as_array);
        if let Some(shapes) = raw {
            for shape in shapes {
                self.inner(shape, path);
            }
            return;
        }
        let resolved = resolve(self.root, field);
        if !std::ptr::eq(resolved, field) {
            return self.inner(resolved, path);
        }
        if let Some(items) = field.get("items") {
            self.inner(items, &format!("{path}[]"));
        } else if let Some(of) = field.get("additionalProperties").filter(|of| of.is_object()) {
            self.inner(of, &format!("{path}.<name>"));
        } else {
            self.tables(field, path, &[]);
        }
    }

    /// What a field holds, in a few words.
    fn value(&self, field: &Value) -> String {
        if let Some(name) = self.shared.name(field) {
            return format!("[{name}](#{})", name.to_lowercase());
        }
        let raw = field.get("anyOf").or_else(|| field.get("oneOf")).and_then(Value::as_array);
        if let Some(shapes) = raw {
            let mut kinds: Vec<String> = Vec::new();
            for shape in shapes.iter().filter(|shape| types(shape) != ["null"]) {
                let kind = self.value(shape);
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
            return kinds.join(" or ");
        }
        let resolved = resolve(self.root, field);
        if !std::ptr::eq(resolved, field) {
            return self.value(resolved);
        }
        let words = words(field);
        if !words.is_empty() {
            return words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
        }
        let format = field.get("format").and_then(Value::as_str);
        match types(field).into_iter().find(|name| *name != "null") {
            Some("string") if matches!(format, Some("duration" | "path" | "secret")) => {
                format.unwrap_or_default().to_owned()
            }
            Some("string") => "text".to_owned(),
            Some("boolean") => "`true` or `false`".to_owned(),
            Some("integer") => format!("whole number{}", range(field)),
            Some("number") => format!("number{}", range(field)),
            Some("array") => match field.get("items") {
                Some(items) => format!("list of {}", self.value(items)),
                None => "list".to_owned(),
            },
            Some("object") => match field.get("additionalProperties") {
                Some(of) if of.is_object() => format!("mapping of names to {}", self.value(of)),
                _ => "mapping".to_owned(),
            },
            _ => "mapping".to_owned(),
        }
    }
}

fn range(field: &Value) -> String {
    match (field.get("minimum"), field.get("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        _ => String::new(),
    }
}

/// The field's own words, else those of the type it holds.
fn description<'a>(root: &'a Value, field: &'a Value) -> &'a str {
    let text = |schema: &'a Value| schema.get("description").and_then(Value::as_str);
    text(field).or_else(|| text(resolve(root, field))).unwrap_or_default()
}

/// A text as one cell of a Markdown table.
pub(super) fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_becomes_tables() {
        let schema = json!({
            "type": "object",
            "required": ["url"],
            "properties": {
                "url": {"type": "string", "description": "Where\nit is | was."},
                "wait": {"$ref": "#/$defs/Wait"},
                "tls": {"anyOf": [{"$ref": "#/$defs/Tls"}, {"type": "null"}]},
                "rules": {"type": "array", "items": {"oneOf": [{"const": "a"}, {"const": "b"}]}, "default": []},
            },
            "$defs": {
                "Wait": {"type": "string", "format": "duration", "description": "A pause."},
                "Tls": {"type": "object", "properties": {"verify": {"type": "boolean", "default": true}}},
            },
        });
        let mut out = String::new();
        Page { out: &mut out, root: &schema, shared: &Shared::default() }.tables(&schema, "", &[]);
        assert_eq!(
            out,
            "| key | value | default | |\n| --- | --- | --- | --- |\n\
             | `url` | text | required | Where it is \\| was. |\n\
             | `wait` | duration |  | A pause. |\n\
             | `tls` | mapping |  |  |\n\
             | `rules` | list of `a` or `b` | `[]` |  |\n\n\
             **`tls`**\n\n| key | value | default | |\n| --- | --- | --- | --- |\n\
             | `verify` | `true` or `false` | `true` |  |\n\n"
        );
    }
}
