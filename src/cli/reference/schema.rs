//! The JSON schema of the whole config, the kinds of all adapters included, for editors and other tools.

use serde_json::{Map, Value, json};

use crate::config::{Config, MAX_SERIES};
use crate::registry::Registry;

/// The schema of `watchbell.yaml`.
#[must_use]
pub fn of_config(registry: Registry) -> Value {
    let mut root = schemars::schema_for!(Config).to_value();
    let mut defs = match root.get_mut("$defs").map(Value::take) {
        Some(Value::Object(defs)) => defs,
        _ => Map::new(),
    };
    let name = json!({"type": "string", "description": "Name in logs and metrics; the type if not given."});
    let max_series = json!({
        "type": "integer", "minimum": 1, "maximum": u32::MAX,
        "description": "Most series that this source may hold at once; `series.max_series` bounds all sources together.",
    });
    let of_sink = Map::from_iter([("name".to_owned(), name)]);
    let mut of_source = of_sink.clone();
    of_source.insert(MAX_SERIES.to_owned(), max_series);
    let of_history = Map::new();
    let sources: Vec<Value> =
        registry.sources().map(|kind| item(kind.name, kind.summary, (kind.schema)(), &of_source, &mut defs)).collect();
    let sinks: Vec<Value> =
        registry.sinks().map(|kind| item(kind.name, kind.summary, (kind.schema)(), &of_sink, &mut defs)).collect();
    let histories: Vec<Value> = registry
        .histories()
        .map(|kind| item(kind.name, kind.summary, (kind.schema)(), &of_history, &mut defs))
        .collect();
    for (key, kinds) in [("sources", sources), ("sinks", sinks)] {
        root["properties"][key]["items"] = json!({"oneOf": kinds});
    }
    root["properties"]["history"]["oneOf"] = Value::Array(histories);
    root["title"] = json!("watchbell.yaml");
    root["$defs"] = Value::Object(defs);
    root
}

/// The schema of one kind with the keys that the service itself reads, its definitions moved to `defs`.
fn item(
    kind: &str,
    summary: &str,
    schema: schemars::Schema,
    service_keys: &Map<String, Value>,
    defs: &mut Map<String, Value>,
) -> Value {
    let mut schema = schema.to_value();
    let own = match schema.get_mut("$defs").map(Value::take) {
        Some(Value::Object(own)) => own,
        _ => Map::new(),
    };
    // Kinds share structs such as the HTTP client's. Where one name means two things, this kind's get a prefix.
    let clash = own.iter().any(|(key, value)| defs.get(key).is_some_and(|other| other != value));
    let prefix = if clash { format!("{kind}.") } else { String::new() };
    for (key, mut value) in own {
        repoint(&mut value, &prefix);
        defs.insert(format!("{prefix}{key}"), value);
    }
    repoint(&mut schema, &prefix);
    let Some(object) = schema.as_object_mut() else { return schema };
    object.remove("$defs");
    object.remove("$schema");
    object.insert("title".to_owned(), kind.into());
    object.insert("description".to_owned(), summary.into());
    let mut properties = Map::from_iter([("type".to_owned(), json!({"const": kind}))]);
    properties.extend(service_keys.clone());
    if let Some(Value::Object(rest)) = object.remove("properties") {
        properties.extend(rest);
    }
    object.insert("properties".to_owned(), Value::Object(properties));
    match object.get_mut("required").and_then(Value::as_array_mut) {
        Some(required) => required.insert(0, "type".into()),
        None => drop(object.insert("required".to_owned(), json!(["type"]))),
    }
    schema
}

fn repoint(value: &mut Value, prefix: &str) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object.iter_mut() {
                match inner {
                    Value::String(to) if key == "$ref" => *to = to.replace("#/$defs/", &format!("#/$defs/{prefix}")),
                    _ => repoint(inner, prefix),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| repoint(item, prefix)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        fn targets(value: &Value, out: &mut Vec<String>) {
            match value {
                Value::Object(object) => {
                    out.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    object.values().for_each(|inner| targets(inner, out));
                }
                Value::Array(items) => items.iter().for_each(|item| targets(item, out)),
                _ => {}
            }
        }
        let schema = of_config(Registry::default());
        let mut found = Vec::new();
        targets(&schema, &mut found);
        assert!(!found.is_empty());
        for target in found {
            assert!(schema.pointer(target.trim_start_matches('#')).is_some(), "{target}");
        }
    }
}
