//! What matters about a metric: files `detect/*.yaml`, whose rows go by its name in common words.
//!
//! Rows are read key by key, so that everything wrong with a file is said at once.

use std::fmt;

use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_saphyr::Spanned;
use watchbell_series::{Direction, Selector, Unit};

use super::Row;
use super::file::{Loader, PATTERN, anchored};

/// The files that are compiled in, in the order in which they are asked: what goes by unit or by a part of
/// the name comes last.
pub const BUILT_IN_DETECT: [(&str, &str); 12] = [
    ("rules/detect/cpu.yaml (built in)", include_str!("../../../../rules/detect/cpu.yaml")),
    ("rules/detect/memory.yaml (built in)", include_str!("../../../../rules/detect/memory.yaml")),
    ("rules/detect/disk.yaml (built in)", include_str!("../../../../rules/detect/disk.yaml")),
    ("rules/detect/network.yaml (built in)", include_str!("../../../../rules/detect/network.yaml")),
    ("rules/detect/http.yaml (built in)", include_str!("../../../../rules/detect/http.yaml")),
    ("rules/detect/queues.yaml (built in)", include_str!("../../../../rules/detect/queues.yaml")),
    ("rules/detect/jvm.yaml (built in)", include_str!("../../../../rules/detect/jvm.yaml")),
    ("rules/detect/database.yaml (built in)", include_str!("../../../../rules/detect/database.yaml")),
    ("rules/detect/system.yaml (built in)", include_str!("../../../../rules/detect/system.yaml")),
    ("rules/detect/services.yaml (built in)", include_str!("../../../../rules/detect/services.yaml")),
    ("rules/detect/latency.yaml (built in)", include_str!("../../../../rules/detect/latency.yaml")),
    ("rules/detect/errors.yaml (built in)", include_str!("../../../../rules/detect/errors.yaml")),
];

const KEYS: &str = "name, pattern, labels, unit, bad, min_deviation, min_relative_deviation, legal_min, legal_max, \
                    sensitivity, flatline, missing";

/// A file; `alerts` in it is for the alerting stage, which also tells of keys that nobody knows.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    metrics: Vec<Spanned<Fields>>,
}

/// The shape of `metrics` of a file, in which only known keys and words stand.
#[must_use]
pub fn detect_schema() -> Schema {
    schema_for!(Shape)
}

#[derive(JsonSchema)]
#[schemars(extend("additionalProperties" = true))]
#[expect(dead_code, reason = "rows are read key by key; this is what keys and words there are")]
struct Shape {
    metrics: Option<Vec<ShapeRow>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "see above")]
struct ShapeRow {
    name: Option<String>,
    pattern: Option<String>,
    labels: Option<String>,
    #[schemars(extend("enum" = Unit::words().collect::<Vec<_>>()))]
    unit: Option<String>,
    #[schemars(extend("enum" = Direction::WORDS))]
    bad: Option<String>,
    min_deviation: Option<f64>,
    min_relative_deviation: Option<f64>,
    legal_min: Option<f64>,
    legal_max: Option<f64>,
    sensitivity: Option<f64>,
    flatline: Option<bool>,
    missing: Option<bool>,
    // Keys of mappings, of which the reader says where they belong.
    metric: Option<String>,
    kind: Option<String>,
    watch: Option<bool>,
}

/// One row as it is written.
struct Fields(Vec<(Spanned<String>, Spanned<Scalar>)>);

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
enum Scalar {
    Bool(bool),
    Number(f64),
    Text(String),
    Other,
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "`{value}`"),
            Self::Number(value) => write!(f, "`{value}`"),
            Self::Text(value) => write!(f, "`{value}`"),
            Self::Other => f.write_str("a list, a mapping or nothing"),
        }
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Row;
        impl<'de> Visitor<'de> for Row {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row such as `{name: cpu.idle, bad: down}`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Row)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar::Bool(value))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Number(value as f64))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar::Number(value as f64))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar::Number(value))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(value.to_owned()))
            }

            fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Scalar, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl Loader {
    /// Takes a file of `detect/` in.
    pub(super) fn add_detect(&mut self, name: &str, text: &str) {
        // Alert rules are read from the same files, and whoever reads them says what is no YAML at all.
        if text.trim().is_empty() || serde_saphyr::from_str::<Option<IgnoredAny>>(text).is_err() {
            return;
        }
        let file: Option<File> = match serde_saphyr::from_str(text) {
            Ok(file) => file,
            Err(error) => {
                let line = error.location().map_or(0, |l| l.line() as usize);
                let message = error.without_snippet().to_string();
                let hint = "`metrics` is a list of rows such as `{name: cpu.idle, bad: down}`";
                return self.problem(name, line, "metrics", message, hint);
            }
        };
        let rows = file.map(|file| file.metrics).unwrap_or_default();
        for (i, row) in rows.iter().enumerate() {
            self.detect_row(name, &format!("metrics[{i}]"), row.referenced.line() as usize, &row.value.0);
        }
    }

    fn detect_row(&mut self, file: &str, field: &str, line: usize, fields: &[(Spanned<String>, Spanned<Scalar>)]) {
        let index = self.rows.len() as u32;
        let mut row = Row { place: self.place(file, line), ..Row::default() };
        let (mut selected, mut says) = (0, false);
        for (key, value) in fields {
            let at = Place { file, field: &format!("{field}.{}", key.value), line: value.referenced.line() as usize };
            let value = &value.value;
            says |= !matches!(key.value.as_str(), "name" | "pattern" | "labels" | "unit");
            match key.value.as_str() {
                "name" => {
                    selected += 1;
                    if let Some(name) = self.text(&at, value) {
                        self.detect_exact.entry(name.into()).or_default().push(index);
                    }
                }
                "pattern" => {
                    selected += 1;
                    if let Some(pattern) = self.text(&at, value) {
                        match anchored(pattern) {
                            Ok(regex) => {
                                self.detect_patterns.push(regex.as_str().to_owned());
                                self.detect_pattern_rows.push(index);
                            }
                            Err(message) => self.at(&at, message, PATTERN),
                        }
                    }
                }
                "labels" => row.labels = self.word::<Selector>(&at, value, "like `{mode=\"idle\"}`"),
                "unit" => row.when_unit = self.word::<Unit>(&at, value, ""),
                "bad" => row.direction = self.word::<Direction>(&at, value, ""),
                "min_deviation" => row.min_deviation = self.real(&at, value, |v| v >= 0.0),
                "min_relative_deviation" => row.min_relative_deviation = self.real(&at, value, |v| v >= 0.0),
                "legal_min" => row.legal_min = self.real(&at, value, |v| !v.is_nan()),
                "legal_max" => row.legal_max = self.real(&at, value, |v| !v.is_nan()),
                "sensitivity" => row.sensitivity = self.real(&at, value, |v| v > 0.0),
                "flatline" => row.flatline = self.flag(&at, value),
                "missing" => row.missing = self.flag(&at, value),
                "metric" | "kind" | "watch" => {
                    let hint = "what a metric is, and whether it is watched, is said in `mappings/*.yaml`";
                    self.at(&at, format!("`{}` is no key here", key.value), hint);
                }
                other => self.at(&at, format!("unknown key `{other}`"), &format!("known: {KEYS}")),
            }
        }
        if selected != 1 {
            let hint = "`name` is an exact name in common words, `pattern` an anchored regex over such names";
            self.problem(file, line, field, "a row needs either `name` or `pattern`", hint);
        }
        if !says {
            self.problem(file, line, field, "a row that says nothing of what it selects", "give it `bad` or the like");
        }
        if let (Some(min), Some(max)) = (row.legal_min, row.legal_max)
            && min > max
        {
            let message = format!("legal_min `{min}` is above legal_max `{max}`");
            self.problem(file, line, field, message, "exchange them");
        }
        self.rows.push(row);
    }

    fn at(&mut self, at: &Place<'_>, message: impl Into<String>, hint: &str) {
        self.problem(at.file, at.line, at.field, message, hint);
    }

    fn text<'a>(&mut self, at: &Place<'_>, value: &'a Scalar) -> Option<&'a str> {
        match value {
            Scalar::Text(text) if !text.is_empty() => Some(text),
            other => {
                self.at(at, format!("{other} is no text"), "a text");
                None
            }
        }
    }

    fn word<T: std::str::FromStr<Err: ToString>>(&mut self, at: &Place<'_>, value: &Scalar, hint: &str) -> Option<T> {
        match self.text(at, value)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.at(at, error.to_string(), hint);
                None
            }
        }
    }

    fn real(&mut self, at: &Place<'_>, value: &Scalar, ok: impl Fn(f64) -> bool) -> Option<f64> {
        match value {
            Scalar::Number(number) if ok(*number) => Some(*number),
            other => {
                self.at(at, format!("{other} is out of range"), "a number, not negative; over 0 for `sensitivity`");
                None
            }
        }
    }

    fn flag(&mut self, at: &Place<'_>, value: &Scalar) -> Option<bool> {
        match value {
            Scalar::Bool(flag) => Some(*flag),
            other => {
                self.at(at, format!("{other} is neither true nor false"), "true or false");
                None
            }
        }
    }
}

/// Where a value stands, for messages.
struct Place<'a> {
    file: &'a str,
    field: &'a str,
    line: usize,
}
