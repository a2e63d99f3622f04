//! Problems with their lines, as they are shown.

use std::collections::HashSet;
use std::fmt;

use watchbell_adapter_api::{Problem, Problems};

use super::env::{self, Lookup};
use super::yaml::{Marked, Node, START};

/// Problems told at once. Finding the place of each takes time, and nobody mends more in one go.
const MAX_TOLD: usize = 200;

/// One problem of a config file. Shown as `file:line:column: path: message`, with a hint on a line of its
/// own where there is one. Ordered by place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Located {
    /// The file as the user named it.
    pub file: String,
    /// Line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Path inside the file, such as `sources[1].urls[0]`; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Located {
    /// A problem of the file as a whole.
    pub(super) fn file(message: String, hint: Option<&str>) -> Self {
        let hint = hint.map(str::to_owned);
        Self { file: String::new(), line: 0, column: 0, path: String::new(), message, hint }
    }
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

/// Collects the problems of one file.
pub(super) struct Report {
    file: String,
    /// Those that know their place.
    pub(super) marked: Vec<Marked>,
    /// Those that know their path.
    pub(super) problems: Problems,
    /// Paths of texts in which a variable is not set. What follows from that is not told.
    pub(super) unset: HashSet<String>,
}

impl Report {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), marked: Vec::new(), problems: Problems::default(), unset: HashSet::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marked.is_empty() && self.problems.is_empty() && self.unset.is_empty()
    }

    /// Puts variables into the texts of `root`, noting those that are not set.
    pub(super) fn expand(&mut self, root: &mut Node, lookup: Lookup<'_>) {
        let mut problems = Problems::default();
        env::expand(root, lookup, "", &mut problems);
        for problem in problems.into_vec() {
            self.unset.insert(problem.path.clone());
            self.marked.push((root.locate(&problem.path), problem));
        }
    }

    /// All problems in the order of their places; of very many, the first that were found.
    pub(super) fn finish(self, root: Option<&Node>) -> Vec<Located> {
        let unset = &self.unset;
        let told = |problem: &Problem| !unset.contains(&problem.path);
        let mut rest = self.problems.into_vec().into_iter().filter(told);
        let mut found = self.marked;
        let dropped_marked = found.len().saturating_sub(MAX_TOLD);
        found.truncate(MAX_TOLD);
        for problem in rest.by_ref().take(MAX_TOLD - found.len()) {
            let at = root.map_or(START, |root| root.locate(&problem.path));
            found.push((at, problem));
        }
        found.sort_by(|(a, p), (b, q)| a.cmp(b).then_with(|| p.path.cmp(&q.path)));
        let locate = |(at, problem): Marked| Located {
            file: self.file.clone(),
            line: at.line,
            column: at.column,
            path: problem.path,
            // One problem is one line, whatever words a library found for it.
            message: problem.message.lines().map(str::trim).collect::<Vec<_>>().join(" "),
            hint: problem.hint,
        };
        let mut located: Vec<Located> = found.into_iter().map(locate).collect();
        let more = dropped_marked + rest.count();
        if more > 0 {
            located.push(Located { file: self.file, ..Located::file(format!("and {more} more problems"), None) });
        }
        located
    }
}
