//! The config that is built in, for a start without a file.

use super::yaml::{self, Content, Node, START};

/// The text of it.
pub const TEXT: &str = include_str!("built_in.yaml");

/// Its tree; what stands for keys that a config leaves out is taken from here.
pub(super) fn tree() -> Node {
    let empty = Node { at: START, content: Content::Map(Vec::new()) };
    yaml::parse(TEXT, &mut Vec::new()).ok().flatten().unwrap_or(empty)
}
