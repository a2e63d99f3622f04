//! Time, files and sockets: which crates must not know them, and who alone reads the clock.
//!
//! The stages take time as a parameter, so that stored data replayed gives the same scores to the bit.

use super::{Finding, code_lines, is_test_file};
use crate::workspace::Workspace;

const PURE: [&str; 3] = ["watchbell-series", "watchbell-normalize", "watchbell-detect"];

/// Crates that bring a runtime, a clock, files or sockets. Tests may use what they like.
const WORLDLY: [&str; 14] = [
    "async-std",
    "axum",
    "chrono",
    "hyper",
    "jiff",
    "mio",
    "notify",
    "reqwest",
    "rustix",
    "smol",
    "socket2",
    "sqlx",
    "time",
    "tokio",
];

/// Paths of the standard library that reach outside.
const OUTSIDE: [&str; 7] = [
    "std::time::Instant",
    "std::time::SystemTime",
    "SystemTime::",
    "Instant::now",
    "std::fs",
    "std::net",
    "std::process",
];

const CLOCK: &str = "src/clock.rs";

/// `series`, `normalize` and `detect` link nothing that reaches outside, and do not do so themselves.
pub(super) fn pure_crates(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.packages.iter().filter(|p| PURE.contains(&p.name.as_str())) {
        for name in WORLDLY.iter().filter(|name| package.linked.contains(**name)) {
            let message = format!("`{}` links `{name}`", package.name);
            let hint = "keep clocks, files and sockets in adapters and the service; pass what they give as parameters";
            findings.push(Finding::new(&package.path("Cargo.toml"), 0, message, hint));
        }
        let sources = package.path("src/");
        for (path, text) in workspace.below(&sources, ".rs").filter(|(path, _)| !is_test_file(path)) {
            for (line, code) in code_lines(text) {
                if let Some(what) = OUTSIDE.iter().find(|what| code.contains(**what)) {
                    let message = format!("`{what}` in `{}`", package.name);
                    findings.push(Finding::new(path, line, message, "take time and data as parameters"));
                }
            }
        }
    }
    findings
}

/// The system clock is read in one place, which tests replace. Tokio's `Instant` may be used for how long
/// something took: tests pause it.
pub(super) fn one_clock(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let product = |path: &&str| path.contains("src/") && !path.starts_with("crates/xtask/") && !is_test_file(path);
    for (path, text) in workspace.below("", ".rs").filter(|(path, _)| product(path) && *path != CLOCK) {
        for (line, code) in code_lines(text) {
            for what in ["SystemTime::now", "Instant::now"] {
                let pausable = what == "Instant::now" && text.contains("tokio::time::Instant");
                if code.contains(what) && !pausable {
                    let hint = "ask the clock of the context (`Clock`); only src/clock.rs reads the system's";
                    findings.push(Finding::new(path, line, format!("`{what}` outside {CLOCK}"), hint));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_is_found_in_pure_crates() {
        let text = "//! no std::fs here\nuse std::fs::File;\nfn f() {}\n#[cfg(test)]\nmod tests { use std::net; }\n";
        let workspace = Workspace::of(&[("crates/detect/src/a.rs", text), ("src/b.rs", "use std::fs;\n")])
            .with("watchbell-detect", "crates/detect", &["watchbell-series", "tokio"])
            .with("watchbell", "", &["tokio"]);
        let found: Vec<String> = pure_crates(&workspace).iter().map(|f| format!("{}:{}", f.file, f.line)).collect();
        assert_eq!(found, ["crates/detect/Cargo.toml:0", "crates/detect/src/a.rs:2"]);
    }

    #[test]
    fn clocks_are_found_everywhere_else() {
        let text = "fn f() { let t = std::time::Instant::now(); }\n";
        let files = [
            ("adapters/a/src/x.rs", text),
            ("adapters/a/src/y.rs", "use tokio::time::Instant;\nfn f() { Instant::now(); }\n"),
            ("benches/b.rs", text),
            ("crates/xtask/src/main.rs", text),
            ("src/clock.rs", text),
            ("src/run/tests.rs", text),
        ];
        let found: Vec<String> = one_clock(&Workspace::of(&files)).into_iter().map(|f| f.file).collect();
        assert_eq!(found, ["adapters/a/src/x.rs"]);
    }
}
