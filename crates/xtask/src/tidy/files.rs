//! The shape of Rust files: their names and their size.

use super::Finding;
use crate::workspace::Workspace;

/// No Rust file is longer, tests included: nobody reads it whole.
const MOST_LINES: usize = 600;

/// No `mod.rs` (editors would be full of tabs with one name), and no file that wants splitting.
pub(super) fn shape(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in workspace.below("", ".rs") {
        if path == "mod.rs" || path.ends_with("/mod.rs") {
            findings.push(Finding::new(
                path,
                0,
                "a file named `mod.rs`",
                "name it as its folder: `foo.rs` beside `foo/`",
            ));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES {
            let message = format!("{lines} lines, at most {MOST_LINES}");
            let hint =
                "a file is one thing a user or developer can name: split it, or move its tests to `<name>/tests.rs`";
            findings.push(Finding::new(path, 0, message, hint));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_and_mod_rs_are_found() {
        let (long, fits) = ("x\n".repeat(601), "x\n".repeat(600));
        let files = [("a.rs", long.as_str()), ("b.rs", fits.as_str()), ("c/mod.rs", ""), ("d.md", long.as_str())];
        let found: Vec<String> = shape(&Workspace::of(&files)).into_iter().map(|f| f.file).collect();
        assert_eq!(found, ["a.rs", "c/mod.rs"]);
    }
}
