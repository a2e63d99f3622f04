//! `watchbell check`: reads configs and says all that is wrong with them. Touches nothing else.

use std::path::{Path, PathBuf};

use anyhow::ensure;

use super::ConfigProblems;
use crate::config::Checked;
use crate::pipeline::service::Origin;

/// Checks configs: all problems at once, each with its line. Starts and opens nothing.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Config file to check.
    #[arg(long, value_name = "FILE", required_unless_present = "files")]
    pub config: Option<PathBuf>,
    /// Further config files.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Checks each file, and prints a line for each that is right.
///
/// # Errors
/// [`ConfigProblems`] with the problems of all files.
pub fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for file in args.config.iter().chain(&args.files) {
        match (Origin { file: Some(file.clone()), ..Origin::default() }).load() {
            Ok(checked) => println!("{}", summary(file, &checked)),
            Err(found) => problems.extend(found),
        }
    }
    ensure!(problems.is_empty(), ConfigProblems(problems));
    Ok(())
}

fn summary(file: &Path, checked: &Checked) -> String {
    let names = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let sources = names(checked.sources.iter().map(|source| &*source.name).collect());
    let sinks = names(checked.sinks.iter().map(|sink| &*sink.name).collect());
    let history = checked.history.as_ref().map_or("none", |history| history.kind);
    format!("{}: ok (sources: {sources}; sinks: {sinks}; history: {history})", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_of_all_files_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let (one, two) = (write("one.yaml", "timezone: Nowhere\nshards: x"), write("two.yaml", "colour: red"));
        let args = CheckArgs { config: Some(one.clone()), files: vec![two.clone()] };
        let error = run(&args).expect_err("both are wrong");
        let ConfigProblems(problems) = error.downcast_ref().expect("problems of configs");
        let told = |file: &Path| problems.iter().filter(|text| text.starts_with(&file.display().to_string())).count();
        assert!(told(&one) >= 2 && told(&two) >= 1, "{problems:#?}");
    }
}
