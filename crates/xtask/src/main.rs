//! Chores of the workspace that need no installed tool: `cargo xtask tidy`.
//!
//! `tidy` checks what compilers and linters do not: the direction of dependencies, the size of files, that
//! an adapter comes with all that belongs to it, that generated documents are fresh. It only reads; the
//! one exception is the reference, which it generates below `target/` to compare.

mod tidy;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "usage: cargo xtask tidy [RULE...]";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((&"tidy", rules)) => run(rules),
        Some((&("help" | "--help" | "-h"), _)) => {
            println!("{USAGE}\n\nRules:");
            for rule in tidy::RULES {
                println!("  {:<14} {}", rule.name, rule.summary);
            }
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run(rules: &[&str]) -> ExitCode {
    if let Some(unknown) = rules.iter().find(|name| tidy::RULES.iter().all(|rule| rule.name != **name)) {
        let known: Vec<&str> = tidy::RULES.iter().map(|rule| rule.name).collect();
        eprintln!("unknown rule `{unknown}`, known: {}", known.join(", "));
        return ExitCode::from(2);
    }
    let workspace = match Workspace::read() {
        Ok(workspace) => workspace,
        Err(e) => {
            eprintln!("can not read the workspace: {e:#}");
            return ExitCode::FAILURE;
        }
    };
    let findings = tidy::check(&workspace, rules);
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => ExitCode::SUCCESS,
        n => {
            eprintln!("tidy: {n} {}", if n == 1 { "finding" } else { "findings" });
            ExitCode::FAILURE
        }
    }
}
