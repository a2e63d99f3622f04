//! What is wrong in a config: where, what, and what to do.

use std::fmt;
use std::path::Path;

/// One problem at one place of a config item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path inside the item, such as `targets[1].url`; empty for the item itself.
    pub path: String,
    /// What is wrong, lowercase, no final stop, literals in backticks.
    pub message: String,
    /// What to do, where that is known.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)?;
        } else {
            write!(f, "{}: {}", self.path, self.message)?;
        }
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " (hint: {hint})"))
    }
}

/// Collects problems, so that all are reported at once.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    /// Adds a problem at `path`.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.found.push(Problem { path: path.into(), message: message.into(), hint: None });
    }

    /// Adds a problem at `path` with what to do about it.
    pub fn hint(&mut self, path: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        self.found.push(Problem { path: path.into(), message: message.into(), hint: Some(hint.into()) });
    }

    /// Adds, at `path`, that there is nothing at `file` now, with what to do about it. Says nothing where that can not
    /// be seen.
    pub fn absent(&mut self, path: impl Into<String>, file: &Path, hint: &str) {
        if file.try_exists().is_ok_and(|there| !there) {
            self.hint(path, format!("there is no `{}` now", file.display()), hint);
        }
    }

    /// The value of `result`, or `None` with its error noted at `path`.
    pub fn take<T, E: fmt::Display>(&mut self, path: impl Into<String>, result: Result<T, E>) -> Option<T> {
        result.map_err(|e| self.add(path, e.to_string())).ok()
    }

    /// Takes over the problems of a part, with `prefix` before their paths.
    pub fn within(&mut self, prefix: &str, part: Problems) {
        for mut problem in part.found {
            problem.path = match problem.path.as_str() {
                "" => prefix.to_owned(),
                path if path.starts_with('[') => format!("{prefix}{path}"),
                path => format!("{prefix}.{path}"),
            };
            self.found.push(problem);
        }
    }

    /// How many were found.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All of them, in the order in which they were found.
    #[must_use]
    pub fn into_vec(self) -> Vec<Problem> {
        self.found
    }
}
