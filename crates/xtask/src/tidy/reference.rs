//! The generated documents, against what the program generates now.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::Finding;
use crate::workspace::Workspace;

const FOLDER: &str = "docs/reference/";
const CURE: &str = "run `cargo run -- reference --out docs/reference` and commit what changed";

/// Generates the reference below `target/` and compares it with `docs/reference`.
pub(super) fn fresh(workspace: &Workspace) -> Vec<Finding> {
    let out = workspace.root.join("target/tidy-reference");
    // What an earlier run left would hide a file that is no longer generated; usually there is nothing.
    let _ = std::fs::remove_dir_all(&out);
    match generate(workspace, &out) {
        Ok(generated) => compare(workspace, &generated),
        Err(message) => vec![Finding::new(FOLDER, 0, message, "the program must build: `cargo build`")],
    }
}

fn generate(workspace: &Workspace, out: &Path) -> Result<BTreeMap<String, String>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--package", "watchbell", "--", "reference", "--out"]).arg(out);
    let ran = command.current_dir(&workspace.root).output().map_err(|e| format!("can not run cargo: {e}"))?;
    if !ran.status.success() {
        return Err(format!("`watchbell reference` failed: {}", String::from_utf8_lossy(&ran.stderr).trim()));
    }
    let mut generated = BTreeMap::new();
    let wrong = |e: std::io::Error| format!("can not read `{}`: {e}", out.display());
    for entry in std::fs::read_dir(out).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let text = std::fs::read_to_string(entry.path()).map_err(wrong)?;
        generated.insert(entry.file_name().to_string_lossy().into_owned(), text);
    }
    Ok(generated)
}

fn compare(workspace: &Workspace, generated: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, now) in generated {
        let path = format!("{FOLDER}{name}");
        match workspace.text(&path) {
            None => findings.push(Finding::new(&path, 0, "is generated and not committed", CURE)),
            Some(held) if held != now => {
                let same = held.lines().zip(now.lines()).take_while(|(a, b)| a == b).count();
                findings.push(Finding::new(&path, same + 1, "differs from what is generated", CURE));
            }
            Some(_) => {}
        }
    }
    for (path, _) in workspace.below(FOLDER, "") {
        if !generated.contains_key(path.trim_start_matches(FOLDER)) {
            findings.push(Finding::new(path, 0, "is not generated", "guides belong in docs/, not docs/reference/"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found_with_their_line() {
        let files = [("docs/reference/a.md", "1\n2\n3\n"), ("docs/reference/c.md", ""), ("docs/reference/d.md", "x\n")];
        let generated = [("a.md", "1\n2\n4\n"), ("b.md", ""), ("d.md", "x\n")];
        let generated = generated.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
        let found: Vec<String> =
            compare(&Workspace::of(&files), &generated).iter().map(|f| format!("{}:{}", f.file, f.line)).collect();
        assert_eq!(found, ["docs/reference/a.md:3", "docs/reference/b.md:0", "docs/reference/c.md:0"]);
    }
}
