//! `watchbell check`: reads configs and says all that is wrong with them. Touches nothing else.

use std::path::{Path, PathBuf};

use anyhow::ensure;

use watchbell_detect::calibrate::{NOMINAL_PER_WEEK, nominal_edge};

use super::ConfigProblems;
use crate::alerting::Budget;
use crate::alerting::budget::Scope;
use crate::config::Checked;
use crate::console;
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

/// Checks each file, and prints for each that is right what it holds, and what is odd about it.
///
/// # Errors
/// [`ConfigProblems`] with the problems of all files; nobody reads the answer.
pub fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for file in args.config.iter().chain(&args.files) {
        match (Origin { file: Some(file.clone()), ..Origin::default() }).load() {
            Ok(checked) => console::line(format_args!("{}", summary(file, &checked)))?,
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
    let budget = budget_words(checked.settings.alerting.budget);
    let file = file.display();
    let mut text = format!("{file}: ok (sources: {sources}; sinks: {sinks}; history: {history})\n  {budget}");
    for warning in checked.warnings().into_iter().chain(checked.absences()) {
        text.push_str(&format!("\n{file}: warning: {warning}"));
    }
    text
}

/// What a budget means before anything was seen of the fleet.
fn budget_words(budget: Budget) -> String {
    /// One sample a minute.
    const SAMPLES: f64 = 10_080.0;
    let (Some(per_week), Some(scope)) = (budget.per_week(SAMPLES), budget.scope()) else {
        return "alert budget: none; every anomaly that a rule asks for becomes an alert".to_owned();
    };
    let begin = |series: f64| format!("{:.2}", nominal_edge(per_week, series));
    let unit = scope.as_str();
    match scope {
        Scope::Series => format!(
            "alert budget: {per_week:.3} a week for each series (1.0 alone gives {NOMINAL_PER_WEEK:.2}): alerts begin at score {}",
            begin(1.0)
        ),
        Scope::Host | Scope::Service => format!(
            "alert budget: {per_week:.2} a week for each {unit}; with 10, 100, 1000 series each has {:.3}, {:.4}, {:.5} a week (1.0 alone gives {NOMINAL_PER_WEEK:.2}): \
             alerts begin at score {}, {}, {}, and then follow what happens",
            per_week / 10.0,
            per_week / 100.0,
            per_week / 1_000.0,
            begin(10.0),
            begin(100.0),
            begin(1_000.0)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_told_in_scores() {
        let words = |text: &str| budget_words(text.parse().expect("a budget"));
        let week = words("1 per host per week");
        assert!(
            week.contains("1.00 a week for each host") && week.contains("begin at score 1.09, 1.31, 1.52"),
            "{week}"
        );
        assert!(words("0.01%").contains("begin at score 1.00"), "{}", words("0.01%"));
        assert!(words("none").contains("none"));
    }

    #[test]
    fn what_is_odd_is_told_and_is_no_problem() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("w.yaml");
        let of = |text: &str| {
            std::fs::write(&file, text).expect("written");
            (Origin { file: Some(file.clone()), ..Origin::default() }).load()
        };
        let text = summary(&file, &of("data_dir: d\nhttp: {listen: 0.0.0.0:1}\n").expect("right"));
        assert!(
            text.contains(": ok (") && text.contains("w.yaml: warning: http.listen: `0.0.0.0:1` is open"),
            "{text}"
        );
        for data_dir in ["w.yaml", "w.yaml/deeper"] {
            let problems = of(&format!("log: {{level: info}}\ndata_dir: {data_dir}\n")).expect_err("a file");
            assert!(problems[0].contains("w.yaml:2:") && problems[0].contains("w.yaml` is a file"), "{problems:#?}");
        }
    }

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
