//! `watchbell rules test`: tests of rules, which run made-up series through the stages of `run`.

mod case;
mod file;
mod raw;
mod values;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};

use super::ConfigProblems;
use crate::console;

/// Files of tests are looked for here unless others are named.
const FOLDER: &str = "rules/tests";

/// Works on rules: mappings, what matters about a metric, alerts.
#[derive(Debug, clap::Args)]
pub struct RulesArgs {
    #[command(subcommand)]
    command: RulesCommand,
}

#[derive(Debug, clap::Subcommand)]
enum RulesCommand {
    Test(TestArgs),
}

/// Runs tests of rules: made-up series through the stages of `run`, and what is expected of them.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// Files of tests, or folders of such files; `rules/tests` unless given.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Folder of rules to lay over the built-in ones, in place of what the files name.
    #[arg(long, value_name = "DIR")]
    pub rules_dir: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Tests failed, or [`ConfigProblems`] where they can not be run.
pub fn run(args: &RulesArgs) -> anyhow::Result<()> {
    match &args.command {
        RulesCommand::Test(args) => test(args),
    }
}

fn test(args: &TestArgs) -> anyhow::Result<()> {
    let default = [PathBuf::from(FOLDER)];
    let paths = if args.paths.is_empty() { &default[..] } else { &args.paths };
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    if let Some(dir) = args.rules_dir.as_deref() {
        file::folder(dir, "--rules-dir").map_err(|problem| ConfigProblems(vec![problem]))?;
    }
    for path in unfold(paths).map_err(|problem| ConfigProblems(vec![problem]))? {
        match file::read(&path, args.rules_dir.as_deref()) {
            Ok(file) => files.push(file),
            Err(found) => problems.extend(found),
        }
    }
    // What is wrong with rules that several files test is said once.
    let mut told = HashSet::new();
    problems.retain(|problem| told.insert(problem.clone()));
    // A file that can not be read is no test that failed: nothing runs before all are right.
    if !problems.is_empty() {
        return Err(anyhow!(ConfigProblems(problems)));
    }
    let (mut passed, mut failed) = (0, 0);
    for file in &files {
        for case in &file.cases {
            let faults = case::run(file, case);
            let (name, at) = (&case.name, file.path.display());
            if faults.is_empty() {
                passed += 1;
                console::line(format_args!("ok    {at}: {name}"))?;
            } else {
                failed += 1;
                console::line(format_args!("FAIL  {at}: {name}"))?;
                faults.iter().try_for_each(|fault| console::line(format_args!("{fault}")))?;
            }
        }
    }
    console::line(format_args!("{passed} passed, {failed} failed"))?;
    if failed > 0 {
        bail!("{failed} of {} tests failed", passed + failed);
    }
    Ok(())
}

/// The files that `paths` name, folders unfolded, in order of names.
fn unfold(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let is_yaml = |path: &Path| path.extension().is_some_and(|e| e == "yaml" || e == "yml");
    let mut files = Vec::new();
    for path in paths {
        let hint = "name files of tests, or folders of them; without any, `rules/tests` is read";
        let unreadable =
            |error: std::io::Error| format!("{}: can not be read: {error}\n  hint: {hint}", path.display());
        if !path.metadata().map_err(unreadable)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut found: Vec<PathBuf> =
            path.read_dir().map_err(unreadable)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        found.retain(|path| is_yaml(path));
        if found.is_empty() {
            return Err(format!("{}: no file of tests (*.yaml) in it", path.display()));
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
