//! The rules, one function each, and what they find.

mod adapters;
mod dependencies;
mod documents;
mod files;
mod metrics;
mod purity;
mod reference;

use std::fmt;

use crate::workspace::Workspace;

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path from the root.
    pub(crate) file: String,
    /// 1-based; 0 for the file as a whole.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: &'static str,
}

impl Finding {
    pub(crate) fn new(file: &str, line: usize, message: impl Into<String>, hint: &'static str) -> Self {
        Self { file: file.to_owned(), line, message: message.into(), hint }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}\n  hint: {}", self.message, self.hint)
    }
}

/// One row of the table of rules.
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    check: fn(&Workspace) -> Vec<Finding>,
}

/// All rules, in the order in which they run.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "dependencies",
        summary: "crates depend on each other in one direction only",
        check: dependencies::direction,
    },
    Rule { name: "names", summary: "package names follow folders, and lints are shared", check: dependencies::names },
    Rule {
        name: "purity",
        summary: "series, normalize and detect know no clock, file or socket",
        check: purity::pure_crates,
    },
    Rule { name: "clock", summary: "only src/clock.rs reads the system clock", check: purity::one_clock },
    Rule { name: "files", summary: "no mod.rs, no file over 600 lines", check: files::shape },
    Rule {
        name: "adapters",
        summary: "an adapter is registered and has mapping, example and peer test",
        check: adapters::complete,
    },
    Rule { name: "metrics", summary: "dashboards and rules use metrics that exist", check: metrics::exist },
    Rule { name: "links", summary: "guides can be reached and links lead somewhere", check: documents::links },
    Rule { name: "changelog", summary: "the changelog has an Unreleased section", check: documents::changelog },
    Rule { name: "reference", summary: "docs/reference is what the tables give", check: reference::fresh },
];

/// Runs the rules named, or all.
pub(crate) fn check(workspace: &Workspace, names: &[&str]) -> Vec<Finding> {
    let wanted = RULES.iter().filter(|rule| names.is_empty() || names.contains(&rule.name));
    let mut findings: Vec<Finding> = wanted.flat_map(|rule| (rule.check)(workspace)).collect();
    findings.sort();
    findings
}

/// The lines of a Rust file that are compiled into the product: without comments and test modules, with
/// their 1-based numbers. A test module is taken to be the rest of the file, which is where they stand.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").enumerate();
    lines.map(|(at, line)| (at + 1, line.split("//").next().unwrap_or(""))).filter(|(_, line)| !line.trim().is_empty())
}

/// Whether a Rust file holds tests or benchmarks only.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || ["tests", "benches", "fuzz"].iter().any(|folder| path.split('/').any(|p| p == *folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_from_comments_and_tests() {
        let text = "//! std::fs\nuse a; // std::net\n\n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(code_lines(text).collect::<Vec<_>>(), [(2, "use a; ")]);
        assert!(is_test_file("adapters/host/src/host/tests.rs"));
        assert!(is_test_file("tests/it/main.rs"));
        assert!(!is_test_file("src/tests_of_faith.rs"));
    }

    #[test]
    fn a_finding_names_place_and_cure() {
        let finding = Finding::new("src/a.rs", 3, "too long", "split it");
        assert_eq!(finding.to_string(), "src/a.rs:3: too long\n  hint: split it");
        assert!(Finding::new("a", 0, "m", "h").to_string().starts_with("a: m"));
    }
}
