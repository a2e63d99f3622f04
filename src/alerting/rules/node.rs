//! YAML as a tree that knows where each of its parts stands.
//!
//! Rules are read through it instead of through derived structs, so that every mistake of a file is
//! reported at once, each with its line.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

/// A value with its place.
pub(super) type Node = Spanned<Yaml>;

/// A YAML value. Numbers are kept as they are read; a rule file has no number that `f64` does not hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Yaml {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Node)>),
}

impl Yaml {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Reads one YAML document.
///
/// # Errors
/// What is no YAML, with its place where that is known.
pub(super) fn parse(text: &str) -> Result<Node, (String, Option<Location>)> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let location = error.location();
        // The place is told apart from the message, so it is not wanted in it.
        let message = error.to_string();
        let message = message.lines().next().unwrap_or_default();
        (message.split(" at line ").next().unwrap_or(message).to_owned(), location)
    })
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Number(value as f64))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Yaml, E> {
        Ok(Yaml::Number(value as f64))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Yaml, E> {
        Ok(Yaml::Number(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Yaml::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Yaml, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Yaml::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_part_knows_its_place() {
        let node = parse("a: 1\nb:\n  - x\n  - {c: true}\n").expect("yaml");
        let Yaml::Map(map) = &node.value else { panic!("{node:?}") };
        let place = |at: &Location| (at.line(), at.column());
        assert_eq!((map[0].0.value.as_str(), place(&map[0].0.referenced)), ("a", (1, 1)));
        assert_eq!((&map[0].1.value, place(&map[0].1.referenced)), (&Yaml::Number(1.0), (1, 4)));
        let Yaml::List(list) = &map[1].1.value else { panic!("{map:?}") };
        assert_eq!((&list[0].value, place(&list[0].referenced)), (&Yaml::Text("x".to_owned()), (3, 5)));
        let Yaml::Map(inner) = &list[1].value else { panic!("{list:?}") };
        assert_eq!((&inner[0].1.value, place(&inner[0].1.referenced)), (&Yaml::Bool(true), (4, 9)));
    }

    #[test]
    fn what_is_no_yaml_has_a_place() {
        for (text, line) in [("a: 1\na: 2\n", 2), ("a: [1\n", 1), ("a:\n\t- x\n", 2)] {
            let (message, location) = parse(text).expect_err(text);
            assert!(!message.is_empty());
            assert!(location.is_some_and(|at| at.line() >= line), "{text:?}: {message} {location:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,80}") {
            let _ = parse(&text);
        }
    }
}
