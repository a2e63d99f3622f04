//! The shape of files of rules, held against a schema as the config is. Values are checked by whoever reads them.

use std::path::Path;

use schemars::Schema;
use serde_json::Value;

use super::located::{Located, Report};
use super::schema::Reader;
use super::yaml::{self, Content, Node};

/// What is known of one file.
pub(crate) struct Shape {
    /// Syntax, unknown keys and words, wrong types; in the order of lines.
    pub(crate) problems: Vec<Located>,
    read: Option<(Node, Value)>,
}

impl Shape {
    /// Of the file that is called `file` in problems.
    pub(crate) fn of(file: &str, text: &str, schema: &Schema) -> Self {
        let schema = schema.as_value();
        let mut report = Report::new(file);
        let root = match yaml::parse(text, &mut report.marked) {
            Ok(Some(root)) => root,
            Ok(None) => return Self { problems: report.finish(None), read: None },
            Err(stop) => {
                report.marked.push(stop);
                return Self { problems: report.finish(None), read: None };
            }
        };
        let value =
            Reader { root: schema, base: Path::new(""), problems: &mut report.problems }.read(&root, schema, "");
        Self { problems: report.finish(Some(&root)), read: value.map(|value| (root, value)) }
    }

    /// What is left of a file with problems when all that is wrong is taken out, as JSON, so that its values can be
    /// checked, too. `None` where nothing is wrong, and where items of lists would count otherwise.
    pub(crate) fn rest(&self) -> Option<String> {
        let (root, value) = self.read.as_ref().filter(|_| !self.problems.is_empty())?;
        counts_alike(root, value).then(|| value.to_string())
    }

    /// The line that `path` leads to; 0 where it is not known.
    pub(crate) fn line(&self, path: &str) -> usize {
        self.read.as_ref().map_or(0, |(root, _)| root.locate(path).line)
    }
}

fn counts_alike(node: &Node, value: &Value) -> bool {
    match (&node.content, value) {
        (Content::List(items), Value::Array(kept)) => {
            items.len() == kept.len() && items.iter().zip(kept).all(|(node, value)| counts_alike(node, value))
        }
        (Content::Map(entries), Value::Object(kept)) => {
            entries.iter().all(|entry| kept.get(&entry.key).is_none_or(|value| counts_alike(&entry.node, value)))
        }
        _ => true,
    }
}
