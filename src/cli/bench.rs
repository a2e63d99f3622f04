//! `watchbell bench`: how accurate it is on labelled sets.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};

use super::score::progress;
use crate::bench::judged::judge;
use crate::bench::output::{self, Measured};
use crate::bench::set;
use crate::console;
use crate::report::Table;

/// Measures accuracy on labelled sets, each series through the engine of `run`: precision and recall by event, false
/// alarms, delay, VUS-PR, NAB's score.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// Folder of sets, `<set>/manifest.json` with a CSV for each series; or one set.
    pub folder: PathBuf,
    /// Only the set of this name; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub set: Vec<String>,
    /// Write `sets.csv`, `series.csv` and `index.html` with plots into this folder; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How to print the tables.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Forms of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns for a terminal.
    Text,
    /// Markdown, for a document.
    Markdown,
}

/// Judges and measures all sets. A series that fails is told and left out, and the command fails in the end.
///
/// # Errors
/// A set is broken, a series failed, or a file can not be written.
pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let set::Found { sets, broken } = set::find(&args.folder, &args.set)?;
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).with_context(|| format!("cannot make folder `{}`", out.display()))?;
    }
    let files: Vec<PathBuf> = sets.iter().flat_map(|set| &set.series).map(|series| series.path.clone()).collect();
    let all = files.len() + sets.iter().map(|set| set.broken.len()).sum::<usize>();
    let progress = progress(&files);
    let (mut measured, mut failed) = (Vec::new(), 0);
    broken.iter().for_each(|problem| console::note(format_args!("{problem}")));
    for set in sets {
        let mut series = Vec::new();
        failed += set.broken.len();
        progress.suspend(|| set.broken.iter().for_each(|problem| console::note(format_args!("{problem}"))));
        progress.suspend(|| set.remarks.iter().for_each(|remark| console::note(format_args!("{remark}"))));
        for file in &set.series {
            progress.set_message(format!("{} {}", set.name, file.name));
            match judge(file, &progress, args.out.is_some()) {
                Ok(judged) => {
                    progress.suspend(|| judged.faults.iter().for_each(|fault| console::note(format_args!("{fault}"))));
                    series.push(judged);
                }
                Err(error) => {
                    failed += 1;
                    progress.suspend(|| console::note(format_args!("{error:#}")));
                }
            }
        }
        if !series.is_empty() {
            measured.push(Measured { set, series });
        }
    }
    progress.finish_and_clear();
    ensure!(!measured.is_empty(), "no series could be judged, see above");
    if let Some(out) = &args.out {
        output::write(&measured, out)?;
        console::note(format_args!("written: `{}`", out.join("index.html").display()));
    }
    print(&measured, args.format)?;
    if failed > 0 {
        bail!("{failed} of {all} series failed, see above; the numbers are of the others");
    }
    ensure!(broken.is_empty(), "{} of the sets failed, see above; the numbers are of the others", broken.len());
    Ok(())
}

fn print(measured: &[Measured], format: Format) -> anyhow::Result<()> {
    let show = |title: &str, table: &Table| match format {
        _ if table.is_empty() => Ok(()),
        Format::Text => console::line(format_args!("{title}\n{}", table.text())),
        Format::Markdown => console::line(format_args!("## {title}\n\n{}", table.markdown())),
    };
    show("By set", &output::table(measured))?;
    show("Further measures", &output::further_table(measured))?;
    show("NAB", &output::nab_table(measured))?;
    show("Odd and even series", &output::halves_table(measured))
}
