//! Structs that several settings share, such as the HTTP client's: described once, and linked to.

use std::collections::BTreeMap;

use serde_json::Value;

/// Shared mappings by the name of their definition.
#[derive(Debug, Default)]
pub(super) struct Shared(BTreeMap<String, Definition>);

#[derive(Debug)]
struct Definition {
    /// The schema that has the definition, since it refers to others there.
    root: Value,
    uses: usize,
    /// Whether two schemas mean different things by the name: then neither is shared.
    ambiguous: bool,
}

impl Shared {
    /// What is used more than once in all of `schemas` together.
    pub(super) fn of(schemas: &[Value]) -> Self {
        let mut found = BTreeMap::new();
        for root in schemas {
            count(root, root, &mut found);
        }
        found.retain(|_, definition: &mut Definition| definition.uses > 1 && !definition.ambiguous);
        Self(found)
    }

    /// The name of the shared mapping that `field` refers to.
    pub(super) fn name<'a>(&self, field: &'a Value) -> Option<&'a str> {
        let name = field.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?;
        self.0.contains_key(name).then_some(name)
    }

    /// Each with the schema it stands in, in order of names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, definition)| (name.as_str(), &definition.root))
    }
}

fn count(value: &Value, root: &Value, found: &mut BTreeMap<String, Definition>) {
    match value {
        Value::Object(object) => {
            let target = object.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix("#/$defs/"));
            if let Some(name) = target
                && let Some(schema) = root["$defs"].get(name).filter(|schema| schema.get("properties").is_some())
            {
                let new = || Definition { root: root.clone(), uses: 0, ambiguous: false };
                let definition = found.entry(name.to_owned()).or_insert_with(new);
                definition.uses += 1;
                definition.ambiguous |= definition.root["$defs"][name] != *schema;
            }
            object.values().for_each(|inner| count(inner, root, found));
        }
        Value::Array(items) => items.iter().for_each(|item| count(item, root, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_used_twice_is_shared_unless_it_differs() {
        let schema = |http: &str, uses: usize| {
            let field = json!({"$ref": "#/$defs/Tls"});
            let fields: serde_json::Map<String, Value> = (0..uses).map(|i| (format!("f{i}"), field.clone())).collect();
            let once = json!({"$ref": "#/$defs/Http"});
            json!({
                "properties": {"once": once, "more": {"properties": fields}},
                "$defs": {"Tls": {"properties": {"verify": {}}}, "Http": {"properties": {http: {}}}},
            })
        };
        let names = |schemas: &[Value]| Shared::of(schemas).iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&[schema("a", 1)]), Vec::<String>::new());
        assert_eq!(names(&[schema("a", 2)]), ["Tls"]);
        assert_eq!(names(&[schema("a", 1), schema("a", 1)]), ["Http", "Tls"]);
        assert_eq!(names(&[schema("a", 1), schema("b", 1)]), ["Tls"]);
    }
}
