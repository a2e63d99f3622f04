//! Documents for people: every guide can be reached, links lead somewhere, the changelog is kept.

use std::collections::BTreeSet;

use super::Finding;
use crate::workspace::Workspace;

/// Where readers begin.
const ENTRANCES: [&str; 2] = ["README.md", "docs/index.md"];

/// Every page under `docs/` is linked from an entrance, and links to files lead to files.
pub(super) fn links(workspace: &Workspace) -> Vec<Finding> {
    let (mut findings, mut reached) = (Vec::new(), BTreeSet::new());
    for (path, text) in workspace.below("", ".md") {
        for (line, target) in targets(text) {
            let Some(to) = resolve(path, target) else { continue };
            let folder = format!("{}/", to.trim_end_matches('/'));
            if workspace.text(&to).is_none() && workspace.below(&folder, "").next().is_none() {
                findings.push(Finding::new(
                    path,
                    line,
                    format!("`{target}` leads nowhere"),
                    "correct or drop the link",
                ));
            }
            if ENTRANCES.contains(&path) {
                reached.insert(to);
            }
        }
    }
    for (path, _) in workspace.below("docs/", ".md") {
        if !reached.contains(path) && !ENTRANCES.contains(&path) {
            findings.push(Finding::new(path, 0, "no entrance links to this page", "link it from docs/index.md"));
        }
    }
    findings
}

/// The changelog has a section for what is not released yet.
pub(super) fn changelog(workspace: &Workspace) -> Vec<Finding> {
    let path = "CHANGELOG.md";
    let text = workspace.text(path).unwrap_or("");
    if text.lines().any(|line| line.starts_with("## ") && line.contains("Unreleased")) {
        return Vec::new();
    }
    vec![Finding::new(path, 0, "no section `## Unreleased`", "add it above the last release")]
}

/// Targets of `[text](target)` outside of code blocks, with their lines.
fn targets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().flat_map(move |(at, line)| {
        fenced ^= line.trim_start().starts_with("```");
        let parts = if fenced { "" } else { line }.split("](").skip(1);
        parts.filter_map(move |part| Some((at + 1, part.split_once(')')?.0)))
    })
}

/// The file a link from the page at `from` means; `None` for other sites and places in the page itself.
fn resolve(from: &str, target: &str) -> Option<String> {
    let target = target.split('#').next().unwrap_or("");
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let mut folders: Vec<&str> = from.split('/').collect();
    folders.pop();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => folders.truncate(folders.len().saturating_sub(1)),
            part => folders.push(part),
        }
    }
    Some(folders.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_pages_and_dead_links_are_found() {
        let files = [
            ("README.md", "[a](docs/a.md#x) [site](https://example.com/x)\n```\n[no](no.md)\n```\n"),
            ("docs/a.md", "[up](../README.md) [gone](b.md) [folder](../examples/q) [here](#x)\n"),
            ("docs/lost.md", ""),
            ("examples/q/README.md", ""),
        ];
        let found: Vec<String> =
            links(&Workspace::of(&files)).iter().map(|f| format!("{}:{}", f.file, f.line)).collect();
        assert_eq!(found, ["docs/a.md:1", "docs/lost.md:0"]);
    }

    #[test]
    fn the_changelog_is_kept() {
        assert_eq!(changelog(&Workspace::of(&[("CHANGELOG.md", "# Changelog\n\n## Unreleased\n")])), []);
        assert_eq!(changelog(&Workspace::of(&[])).len(), 1);
    }
}
