//! A YAML text as a tree in which every key and item knows its line.
//!
//! Scalars keep their text: what `15` or `no` means is decided where the schema is known (`schema`), so
//! `password: 0123` is a text and `max_series: 0123` is a number that is written wrongly. Syntax errors,
//! repeated keys and texts that would unfold beyond all bounds (aliases of aliases) are reported, never
//! half read. Merge keys (`<<`), custom tags and several documents are refused: no config needs them.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use watchbell_adapter_api::Problem;

use super::syntax;

/// Nodes a config may have when all aliases are unfolded. The largest real configs have some thousands.
const MAX_NODES: usize = 200_000;

/// How deep a config may nest.
const MAX_DEPTH: usize = 64;

/// A place in the file; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Where a file begins.
pub(super) const START: Mark = Mark { line: 1, column: 1 };

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) at: Mark,
    pub(super) content: Content,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    /// `plain` is a scalar without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Mark,
    pub(super) node: Node,
}

/// A problem at a place that no path leads to.
pub(super) type Marked = (Mark, Problem);

impl Node {
    /// Whether nothing is written here: an empty plain scalar, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true } if is_null(text))
    }

    /// Levels below this one.
    fn height(&self) -> usize {
        let below = |nodes: &mut dyn Iterator<Item = &Node>| nodes.map(Node::height).max().map_or(0, |h| h + 1);
        match &self.content {
            Content::Scalar { .. } => 0,
            Content::List(items) => below(&mut items.iter()),
            Content::Map(entries) => below(&mut entries.iter().map(|entry| &entry.node)),
        }
    }

    /// The value of `key`, if this is a mapping that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// The place that `path` (`sources[1].http.urls[0]`) leads to, or that of its deepest part that is
    /// written. The place of a key is where the key stands, that of an item where the item begins.
    pub(super) fn locate(&self, path: &str) -> Mark {
        let (mut node, mut at, mut rest) = (self, self.at, path);
        while !rest.is_empty() {
            let step = match &node.content {
                Content::Map(entries) => step_into_map(entries, rest),
                Content::List(items) => step_into_list(items, rest),
                Content::Scalar { .. } => None,
            };
            let Some((next, mark, tail)) = step else { break };
            (node, at, rest) = (next, mark, tail);
        }
        at
    }
}

/// Keys may hold dots and brackets, so the longest key that `path` begins with is taken.
fn step_into_map<'a, 'p>(entries: &'a [Entry], path: &'p str) -> Option<(&'a Node, Mark, &'p str)> {
    let path = path.strip_prefix('.').unwrap_or(path);
    entries
        .iter()
        .filter_map(|entry| {
            let tail = path.strip_prefix(entry.key.as_str())?;
            (tail.is_empty() || tail.starts_with(['.', '['])).then_some((&entry.node, entry.at, tail))
        })
        .min_by_key(|(_, _, tail)| tail.len())
}

fn step_into_list<'a, 'p>(items: &'a [Node], path: &'p str) -> Option<(&'a Node, Mark, &'p str)> {
    let (index, tail) = path.strip_prefix('[')?.split_once(']')?;
    let item = items.get(index.parse::<usize>().ok()?)?;
    Some((item, item.at, tail))
}

pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// The root of `text` (`None` if it holds nothing but comments), with repeated keys noted in `problems`.
///
/// # Errors
/// The one place at which the text stops being YAML, or being a config that can be held in memory.
pub(super) fn parse(text: &str, problems: &mut Vec<Marked>) -> Result<Option<Node>, Marked> {
    let options = granit_parser::options! {
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut composer = Composer {
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        nodes: 0,
        problems,
    };
    composer.document()
}

struct Composer<'a, P> {
    parser: P,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    problems: &'a mut Vec<Marked>,
}

/// A finished node that aliases may name, with the number of nodes in it.
struct Anchored {
    node: Node,
    size: usize,
}

impl<'i, P: Iterator<Item = Result<(Event<'i>, Span), granit_parser::ScanError>>> Composer<'_, P> {
    fn next(&mut self) -> Result<(Event<'i>, Mark), Marked> {
        match self.parser.next() {
            Some(Ok((event, span))) => {
                // A tag stands before its value, and is what has to be mended if it is not known.
                let start = span.tag_start.unwrap_or(span.start);
                Ok((event, Mark { line: start.line().max(1), column: start.col() + 1 }))
            }
            Some(Err(error)) => Err(syntax::explain(&error)),
            None => Ok((Event::StreamEnd, START)),
        }
    }

    fn document(&mut self) -> Result<Option<Node>, Marked> {
        let mut root = None;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root.filter(|node: &Node| !node.is_null())),
                (Event::DocumentStart(..), mark) if root.is_some() => {
                    return Err(marked(mark, "a second document begins", "a config is one document; remove the `---`"));
                }
                (event @ (Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..)), mark) => {
                    root = Some(self.node(event, mark, 0)?);
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'i>, at: Mark, depth: usize) -> Result<Node, Marked> {
        self.count(1, at)?;
        check_depth(depth, at)?;
        let before = self.nodes;
        let (anchor, content) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tagged_text = check_tag(tag.as_deref(), at)?;
                let plain = style == ScalarStyle::Plain && !tagged_text;
                (anchor, Content::Scalar { text: text.into_owned(), plain })
            }
            Event::SequenceStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), at)?;
                (anchor, self.list(depth)?)
            }
            Event::MappingStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), at)?;
                (anchor, self.map(depth)?)
            }
            Event::Alias(id) => return self.alias(id, at, depth),
            _ => return Err(marked(at, "a value is missing here", "write one, or remove the key")),
        };
        let node = Node { at, content };
        if anchor != 0 {
            let size = self.nodes - before + 1;
            self.count(size, at)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), size });
        }
        Ok(node)
    }

    /// The anchored node again. Its places stay those of the text that is meant, which is where a
    /// problem in it is mended.
    fn alias(&mut self, id: usize, at: Mark, depth: usize) -> Result<Node, Marked> {
        let Some(Anchored { size, .. }) = self.anchors.get(&id) else {
            return Err(marked(at, "this alias lies inside the value it names", "write the value out"));
        };
        self.count(size - 1, at)?;
        let node = self.anchors[&id].node.clone();
        check_depth(depth + node.height(), at)?;
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Content, Marked> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Content::List(items)),
                (event, at) => items.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Content, Marked> {
        let (mut entries, mut seen): (Vec<Entry>, HashSet<String>) = (Vec::new(), HashSet::new());
        loop {
            let (key, at) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Content::Map(entries)),
                (event, at) => match self.node(event, at, depth + 1)?.content {
                    Content::Scalar { text, .. } => (text, at),
                    _ => return Err(marked(at, "a key must be a word", "a list or mapping can not be a key")),
                },
            };
            if key == "<<" {
                return Err(marked(
                    at,
                    "merge keys (`<<`) are not read",
                    "repeat the keys, or use an alias for a whole value",
                ));
            }
            let (event, value_at) = self.next()?;
            let node = self.node(event, value_at, depth + 1)?;
            if seen.insert(key.clone()) {
                entries.push(Entry { key, at, node });
            } else {
                self.problems.push(marked(at, format!("key `{key}` is written twice"), "keep one of them"));
            }
        }
    }

    /// Bounds memory before anything is allocated for what aliases unfold to.
    fn count(&mut self, more: usize, at: Mark) -> Result<(), Marked> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let hint = "remove what is not needed; aliases count each time they are used";
        Err(marked(at, format!("more than {MAX_NODES} values"), hint))
    }
}

fn check_depth(depth: usize, at: Mark) -> Result<(), Marked> {
    if depth <= MAX_DEPTH {
        return Ok(());
    }
    Err(marked(at, "nested too deeply", format!("at most {MAX_DEPTH} levels are read")))
}

/// Whether the tag makes a plain scalar a text.
fn check_tag(tag: Option<&Tag>, at: Mark) -> Result<bool, Marked> {
    let Some(tag) = tag else { return Ok(false) };
    if let Some(suffix) = tag.core_suffix() {
        return Ok(suffix == "str");
    }
    Err(marked(at, "custom tags are not read", "remove the word that begins with `!`"))
}

pub(super) fn marked(at: Mark, message: impl Into<String>, hint: impl Into<String>) -> Marked {
    (at, Problem { path: String::new(), message: message.into(), hint: Some(hint.into()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_places() {
        let text = "a:\n  b.c: 1\n  b: {c: 2}\n  \"x[0]\": 3\nlist:\n  - one\n  -\n    k: [p, q]\n";
        let root = parse(text, &mut Vec::new()).expect("YAML").expect("something");
        for (path, line, column) in [
            ("", 1, 1),
            ("a", 1, 1),
            ("a.b.c", 2, 3),
            ("a.b", 3, 3),
            ("a.x[0]", 4, 3),
            ("list[0]", 6, 5),
            ("list[1].k[1]", 8, 12),
            ("list[1].k.absent", 8, 5),
            ("list[7].k", 5, 1),
            ("absent", 1, 1),
        ] {
            assert_eq!(root.locate(path), Mark { line, column }, "{path}");
        }
    }

    #[test]
    fn aliases_keep_the_place_of_what_they_mean() {
        let root = parse("a: &a {k: v}\nb: *a\n", &mut Vec::new()).expect("YAML").expect("something");
        assert_eq!(root.locate("b.k"), Mark { line: 1, column: 8 });
    }
}
