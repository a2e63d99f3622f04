//! `watchbell score`: judges files offline with the engine of `run`, strictly causal.
//!
//! A file is one entity: `timestamp,value[,label]` or `timestamp,<m1>,<m2>,...[,label]`, plain or gzipped.
//! Each row is judged by itself and earlier rows only; a column `label` is never read. For each file one
//! `timestamp,score,is_anomaly` is written, row by row the same as the input. Several columns are judged
//! one by one, and together as one host; in the first day by the share that is over its edge.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use crate::console;
use crate::offline::files::{inputs, open, stem};
use crate::offline::onset::Onsets;
use crate::offline::rows::Faults;
use crate::offline::{Entity, Rows};

/// Judges files offline with the engine of `run`, strictly causal: a score for each row.
#[derive(Debug, clap::Args)]
pub struct ScoreArgs {
    /// Files (.csv, .csv.gz), or folders of such files.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Folder to write the scores to; made if it is not there.
    #[arg(long)]
    pub out: PathBuf,
    /// Which rows `is_anomaly` marks.
    #[arg(long, value_enum, default_value_t = Mark::Alarm)]
    pub mark: Mark,
    /// What `score` holds.
    #[arg(long, value_enum, default_value_t = Scores::Held)]
    pub scores: Scores,
}

/// What is written as the score of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scores {
    /// What `run` publishes: the score of the row, held for a while after a spike.
    Held,
    /// A rank of onsets, for measures that search a threshold and count each row over it as an alarm (NAB):
    /// over 0.8 only where something begins, the higher the rarer it is of late and the more led up to it.
    Onset,
}

/// Which rows are marked as anomalous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mark {
    /// The row that raises an alarm: one row for each alarm.
    Onset,
    /// All rows while an alarm is open.
    Alarm,
}

/// Judges all files that `args` name. A file that fails is told on stderr and does not stop the others.
///
/// # Errors
/// Paths that cannot be read or outputs that cannot be written before anything was judged, and in the end
/// if any file failed.
pub fn run(args: ScoreArgs) -> anyhow::Result<()> {
    let inputs = inputs(&args.paths)?;
    let outputs = outputs(&inputs, &args.out)?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make folder `{}`", args.out.display()))?;
    let progress = progress(&inputs);
    let mut failed = 0;
    for (input, output) in inputs.iter().zip(&outputs) {
        progress.set_message(output.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        if let Err(error) = score_file(input, output, (args.mark, args.scores), &progress) {
            failed += 1;
            progress.suspend(|| console::note(format_args!("{error:#}")));
        }
    }
    progress.finish_and_clear();
    if failed > 0 {
        bail!("{failed} of {} files failed, see above; the others are in `{}`", inputs.len(), args.out.display());
    }
    Ok(())
}

/// A bar over the bytes of `inputs`; it shows on a terminal only.
pub(super) fn progress(inputs: &[PathBuf]) -> ProgressBar {
    let bytes = inputs.iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum();
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {eta} {msg}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Where the scores of each input go; no two to one place, and none over an input.
fn outputs(inputs: &[PathBuf], out: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut taken: HashMap<PathBuf, &PathBuf> = HashMap::new();
    let mut outputs = Vec::with_capacity(inputs.len());
    for input in inputs {
        let output = out.join(format!("{}.csv", stem(input).unwrap_or_default()));
        if let Some(other) = taken.insert(output.clone(), input) {
            let (other, input, output) = (other.display(), input.display(), output.display());
            bail!("`{other}` and `{input}` would both be written to `{output}`; score them into two folders");
        }
        if let (Ok(a), Ok(b)) = (input.canonicalize(), output.canonicalize()) {
            ensure!(a != b, "scores would overwrite `{}`; name another folder with --out", input.display());
        }
        outputs.push(output);
    }
    Ok(outputs)
}

/// Judges one file. The output appears under its name only when it is complete.
fn score_file(input: &Path, output: &Path, wanted: (Mark, Scores), progress: &ProgressBar) -> anyhow::Result<()> {
    let reader = open(input, progress)?;
    let partial = output.with_extension("csv.partial");
    let result = write_scores(input, reader, &partial, wanted, progress)
        .and_then(|()| std::fs::rename(&partial, output).with_context(|| cannot_write(output)));
    if result.is_err() {
        // What is half written helps nobody; that it may not exist at all is no further error.
        let _ = std::fs::remove_file(&partial);
    }
    result
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write `{}`", path.display())
}

fn write_scores(
    input: &Path,
    from: impl Read,
    to: &Path,
    wanted: (Mark, Scores),
    progress: &ProgressBar,
) -> anyhow::Result<()> {
    let mut out = BufWriter::new(File::create(to).with_context(|| cannot_write(to))?);
    let name = input.display().to_string();
    let faults = score_rows(&name, from, wanted, |line| out.write_all(line.as_bytes()))?;
    out.flush().with_context(|| cannot_write(to))?;
    progress.suspend(|| faults.told(&name).iter().for_each(|fault| console::note(format_args!("{fault}"))));
    Ok(())
}

/// Judges the rows of one file, `name` in messages, and gives each line of the output to `write`.
fn score_rows(
    name: &str,
    from: impl Read,
    (mark, scores): (Mark, Scores),
    mut write: impl FnMut(&str) -> io::Result<()>,
) -> anyhow::Result<Faults> {
    let mut rows = Rows::open(name, from)?;
    let mut entity = Entity::new(rows.columns().len());
    let mut onsets = Onsets::default();
    write("timestamp,score,is_anomaly\n")?;
    let mut line = String::new();
    while let Some(row) = rows.next_row()? {
        let outcome = entity.judge_row(row.ts_ms, row.values);
        let marked = if mark == Mark::Onset { outcome.onset } else { outcome.alarm };
        line.clear();
        line.push_str(row.time);
        line.push(',');
        let score = match scores {
            Scores::Held => outcome.score,
            Scores::Onset => outcome.score.map(|held| onsets.rank(outcome.own, held)),
        };
        if let Some(score) = score {
            line.push_str(&score.to_string());
        }
        line.push_str(if marked { ",1\n" } else { ",0\n" });
        write(&line)?;
    }
    Ok(rows.faults().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minutes of a gauge that swings a little and jumps at row 200.
    fn gauge(rows: i64) -> String {
        let mut text = "timestamp,value,label\n".to_owned();
        for i in 0..rows {
            let value = if i == 200 { 900 } else { 100 + (i * 7919) % 13 };
            text.push_str(&format!("{},{value},1\n", 1_600_000_000 + 60 * i));
        }
        text
    }

    #[test]
    fn one_row_for_each_row_and_a_score_where_there_is_one() {
        let marked = |mark: Mark| -> Vec<usize> {
            let mut lines = Vec::new();
            let faults = score_rows("x.csv", gauge(220).as_bytes(), (mark, Scores::Held), |line| {
                lines.push(line.trim_end().to_owned());
                Ok(())
            });
            assert_eq!(faults.expect("scored").told("x.csv"), [""; 0]);
            assert_eq!(lines.remove(0), "timestamp,score,is_anomaly");
            assert_eq!((lines.len(), lines[3].as_str()), (220, "1600000180,,0"));
            (0..220).filter(|i| lines[*i].ends_with(",1")).collect()
        };
        assert_eq!(marked(Mark::Onset), [200]);
        assert!(marked(Mark::Alarm).len() > 1);
    }

    #[test]
    fn outputs_neither_meet_nor_overwrite() {
        let folder = tempfile::tempdir().expect("a folder");
        let input = folder.path().join("a.csv");
        std::fs::write(&input, gauge(30)).expect("written");
        let run_to = |out: &Path, paths: &[&Path]| {
            let paths = paths.iter().map(|path| path.to_path_buf()).collect();
            run(ScoreArgs { paths, out: out.to_path_buf(), mark: Mark::Onset, scores: Scores::Held })
        };
        let error = run_to(folder.path(), &[&input]).expect_err("it would overwrite").to_string();
        assert!(error.contains("overwrite"), "{error}");
        let out = folder.path().join("out");
        let error = run_to(&out, &[&input, &input]).expect_err("one output for two").to_string();
        assert!(error.contains("both"), "{error}");
        std::fs::write(folder.path().join("b.csv"), "nonsense").expect("written");
        assert!(run_to(&out, &[folder.path()]).is_err());
        assert!(out.join("a.csv").exists() && !out.join("b.csv").exists() && !out.join("b.csv.partial").exists());
    }
}
