//! `watchbell score`: judges files offline with the engine of `run`, strictly causal.
//!
//! A file is one entity: `timestamp,value[,label]` or `timestamp,<m1>,<m2>,...[,label]`, plain or gzipped.
//! Each row is judged by itself and earlier rows only; a column `label` is never read. For each file one
//! `timestamp,score,is_anomaly` is written, row by row the same as the input. Several columns are judged
//! one by one and then together, as the series of one host; in the first day by the share that is over its edge.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use flate2::read::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};
use watchbell_detect::{ChannelTick, CivilTime, HostVerdict, JointConfig, JointHost, Judge, JudgeConfig};
use watchbell_normalize::Cadence;
use watchbell_series::{Sample, SeriesSpec, Verdict};

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
    #[arg(long, value_enum, default_value_t = Mark::Onset)]
    pub mark: Mark,
}

/// Which rows are marked as anomalous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mark {
    /// The row that raises an alarm: one row for each alarm.
    Onset,
    /// All rows while an alarm is open.
    Alarm,
}

/// A series is judged from its eleventh row on, whatever its cadence: files may be short.
const CONFIG: JudgeConfig =
    JudgeConfig { warmup_s: 0.0, warmup_samples: 10, edge: 1.0, report_edge: 0.8, t_shift: 0.0, hold: 0.95 };
/// An alarm of the share of columns closes after more rows than this under the edge.
const HOST_LATCH_ROWS: u32 = 5;
/// Taken for the cadence of the first rows of several columns, seconds.
const UNKNOWN_CADENCE_S: f32 = 60.0;
/// Faults of one file that are told one by one.
const TOLD_FAULTS: u64 = 3;

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
        if let Err(error) = score_file(input, output, args.mark, &progress) {
            failed += 1;
            progress.suspend(|| eprintln!("{error:#}"));
        }
    }
    progress.finish_and_clear();
    if failed > 0 {
        bail!("{failed} of {} files failed, see above; the others are in `{}`", inputs.len(), args.out.display());
    }
    Ok(())
}

fn progress(inputs: &[PathBuf]) -> ProgressBar {
    let bytes = inputs.iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum();
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {eta} {msg}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The files that `paths` name, folders unfolded, in order of names.
fn inputs(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let meta = path.metadata().with_context(|| format!("cannot read `{}`", path.display()))?;
        if !meta.is_dir() {
            ensure!(stem(path).is_some(), "`{}` is neither .csv nor .csv.gz", path.display());
            files.push(path.clone());
            continue;
        }
        let entries = path.read_dir().with_context(|| format!("cannot read folder `{}`", path.display()))?;
        let mut found: Vec<PathBuf> = Vec::new();
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read folder `{}`", path.display()))?.path();
            if stem(&entry).is_some() && entry.is_file() {
                found.push(entry);
            }
        }
        ensure!(!found.is_empty(), "folder `{}` holds no .csv or .csv.gz", path.display());
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

/// The name of a file without `.csv` or `.csv.gz`.
fn stem(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".csv.gz").or_else(|| name.strip_suffix(".csv")).filter(|stem| !stem.is_empty())
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
fn score_file(input: &Path, output: &Path, mark: Mark, progress: &ProgressBar) -> anyhow::Result<()> {
    let file = File::open(input).with_context(|| format!("cannot open `{}`", input.display()))?;
    let file = BufReader::new(progress.wrap_read(file));
    let gzipped = input.extension().is_some_and(|extension| extension == "gz");
    let reader: Box<dyn Read> = if gzipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let partial = output.with_extension("csv.partial");
    let result = write_scores(input, reader, &partial, mark, progress)
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

fn write_scores(input: &Path, from: impl Read, to: &Path, mark: Mark, progress: &ProgressBar) -> anyhow::Result<()> {
    let mut out = BufWriter::new(File::create(to).with_context(|| cannot_write(to))?);
    let faults = score_rows(&input.display().to_string(), from, mark, |line| out.write_all(line.as_bytes()))?;
    out.flush().with_context(|| cannot_write(to))?;
    progress.suspend(|| faults.print(&input.display().to_string()));
    Ok(())
}

/// Cells that are no numbers and rows out of order: what they hold counts as missing.
#[derive(Debug, Default)]
struct Faults {
    first: Vec<String>,
    count: u64,
}

impl Faults {
    fn tell(&mut self, message: impl FnOnce() -> String) {
        self.count += 1;
        if self.count <= TOLD_FAULTS {
            self.first.push(message());
        }
    }

    fn print(&self, name: &str) {
        for message in &self.first {
            eprintln!("{message}");
        }
        if self.count > TOLD_FAULTS {
            eprintln!("{name}: and {} more such faults", self.count - TOLD_FAULTS);
        }
    }
}

/// Judges the rows of one file, `name` in messages, and gives each line of the output to `write`.
fn score_rows(
    name: &str,
    from: impl Read,
    mark: Mark,
    mut write: impl FnMut(&str) -> io::Result<()>,
) -> anyhow::Result<Faults> {
    let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(from);
    let header = rows.headers().with_context(|| format!("{name}:1: cannot read the header"))?.clone();
    let columns = value_columns(&header).with_context(|| format!("{name}:1"))?;
    let mut entity = Entity::new(columns.len());
    let (mut record, mut faults, mut last_ms) = (csv::StringRecord::new(), Faults::default(), i64::MIN);
    write("timestamp,score,is_anomaly\n")?;
    let mut line = String::new();
    loop {
        match rows.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                let line = error.position().unwrap_or(rows.position()).line();
                bail!("{name}:{line}: cannot read on: {error}");
            }
        }
        let at = record.position().map_or(0, csv::Position::line);
        let (got, want) = (record.len(), header.len());
        ensure!(got == want, "{name}:{at}: `{got}` fields where the header has `{want}`");
        let text = record[0].trim();
        let ts_ms = timestamp_ms(text).with_context(|| format!("{name}:{at}: `{text}` is no time in unix seconds"))?;
        entity.begin_row();
        let late = ts_ms <= last_ms;
        if late {
            faults.tell(|| format!("{name}:{at}: time `{text}` is not after the row above, row not judged"));
        }
        last_ms = last_ms.max(ts_ms);
        for (slot, column) in columns.iter().enumerate().filter(|_| !late) {
            match cell(&record[*column]) {
                Ok(Some(value)) => entity.add(slot, ts_ms, value),
                Ok(None) => {}
                Err(()) => faults.tell(|| {
                    let (cell, column) = (&record[*column], &header[*column]);
                    format!("{name}:{at}: `{cell}` in `{column}` is no number, taken as missing")
                }),
            }
        }
        let row = entity.judge_row(ts_ms);
        let marked = if mark == Mark::Onset { row.onset } else { row.alarm };
        line.clear();
        line.push_str(text);
        line.push(',');
        if let Some(score) = row.score {
            line.push_str(&score.to_string());
        }
        line.push_str(if marked { ",1\n" } else { ",0\n" });
        write(&line)?;
    }
    Ok(faults)
}

/// Which columns hold values.
fn value_columns(header: &csv::StringRecord) -> anyhow::Result<Vec<usize>> {
    let first = header.get(0).unwrap_or_default().trim_start_matches('\u{feff}').trim();
    ensure!(first == "timestamp", "the first column is `{first}`; it must be `timestamp`, in unix seconds");
    let columns: Vec<usize> = (1..header.len()).filter(|i| header[*i].trim() != "label").collect();
    ensure!(!columns.is_empty(), "there is no column of values beside `timestamp`");
    Ok(columns)
}

fn timestamp_ms(text: &str) -> Option<i64> {
    let seconds: f64 = text.parse().ok()?;
    // Years up to 9999, in which milliseconds are exact.
    (seconds.abs() < 2.6e11).then(|| (seconds * 1000.0).round() as i64)
}

/// A number, or nothing for a missing sample.
fn cell(text: &str) -> Result<Option<f64>, ()> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse::<f64>().map(|value| value.is_finite().then_some(value)).map_err(|_| ())
}

/// What is said of one row.
struct Outcome {
    score: Option<f32>,
    onset: bool,
    alarm: bool,
}

impl From<HostVerdict> for Outcome {
    fn from(verdict: HostVerdict) -> Self {
        Self { score: Some(verdict.score), onset: verdict.onset, alarm: verdict.alarm }
    }
}

/// The series of one file and their judge.
struct Entity {
    judge: Judge,
    /// Cadence and time of the last sample of each column.
    columns: Vec<(Cadence, Option<i64>)>,
    samples: Vec<Sample>,
    verdicts: Vec<Verdict>,
    /// All columns together, where there are several.
    host: JointHost,
    ticks: Vec<ChannelTick>,
    /// Rows for which the open alarm of the share of columns was under the edge.
    under: Option<u32>,
}

impl Entity {
    fn new(columns: usize) -> Self {
        let mut judge = Judge::new(CONFIG, CivilTime::utc());
        for slot in 0..columns as u32 {
            judge.admit(slot, &SeriesSpec::default(), 0);
        }
        let ticks = vec![ChannelTick::MISSING; columns];
        let columns = vec![(Cadence::default(), None); columns];
        let host = JointHost::new(JointConfig::default());
        Self { judge, columns, samples: Vec::new(), verdicts: Vec::new(), host, ticks, under: None }
    }

    fn begin_row(&mut self) {
        self.samples.clear();
        self.verdicts.clear();
    }

    fn add(&mut self, column: usize, ts_ms: i64, value: f64) {
        let (cadence, last) = &mut self.columns[column];
        if let Some(last) = last.replace(ts_ms) {
            cadence.observe(ts_ms - last);
        }
        self.samples.push(Sample { slot: column as u32, cadence_s: cadence.seconds(), ts_ms, value });
    }

    fn judge_row(&mut self, ts_ms: i64) -> Outcome {
        if self.samples.is_empty() {
            return Outcome { score: None, onset: false, alarm: false };
        }
        self.judge.judge(&self.samples, &mut self.verdicts);
        if self.columns.len() > 1 { self.together(ts_ms) } else { self.single(ts_ms) }
    }

    fn single(&self, ts_ms: i64) -> Outcome {
        let reading = self.judge.reading(0, ts_ms);
        let onset = self.verdicts.iter().any(|verdict| verdict.onset);
        let score = reading.not_ready.is_none().then_some(reading.score);
        Outcome { score, onset, alarm: reading.alarm }
    }

    fn together(&mut self, ts_ms: i64) -> Outcome {
        self.ticks.fill(ChannelTick::MISSING);
        let mut cadence_s = 0.0;
        for sample in &self.samples {
            let reading = self.judge.reading(sample.slot, ts_ms);
            let score = if reading.not_ready.is_none() { reading.score } else { f32::NAN };
            let onset = self.verdicts.iter().any(|verdict| verdict.slot == sample.slot && verdict.onset);
            self.ticks[sample.slot as usize] = ChannelTick { value: sample.value as f32, score, onset };
            cadence_s = sample.cadence_s.max(cadence_s);
        }
        let cadence_s = if cadence_s > 0.0 { cadence_s } else { UNKNOWN_CADENCE_S };
        let verdict = self.host.tick(ts_ms, cadence_s, &self.ticks);
        if self.host.fit_due() {
            self.host.fit();
        }
        if verdict.score.is_nan() { self.roll_up(verdict.parts.rollup) } else { verdict.into() }
    }

    /// While the host is not known as a whole, the share of its columns over their edge stands in.
    fn roll_up(&mut self, score: f32) -> Outcome {
        let was_open = self.under.is_some();
        self.under = match self.under {
            _ if score >= 1.0 => Some(0),
            Some(rows) if rows < HOST_LATCH_ROWS => Some(rows + 1),
            _ => None,
        };
        let alarm = self.under.is_some();
        Outcome { score: (!score.is_nan()).then_some(score), onset: alarm && !was_open, alarm }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of the output without its header, and the faults.
    fn score(text: &str, mark: Mark) -> anyhow::Result<(Vec<String>, Vec<String>)> {
        let mut lines = Vec::new();
        let faults = score_rows("x.csv", text.as_bytes(), mark, |line| {
            lines.push(line.trim_end().to_owned());
            Ok(())
        })?;
        assert_eq!(lines.remove(0), "timestamp,score,is_anomaly");
        Ok((lines, faults.first))
    }

    /// Minutes of a gauge that swings a little and jumps at row 200.
    fn gauge(rows: i64, columns: usize) -> String {
        let mut text = format!("timestamp{},label\n", ",value".repeat(columns));
        for i in 0..rows {
            let value = if i == 200 { 900 } else { 100 + (i * 7919) % 13 };
            text.push_str(&format!("{}{},1\n", 1_600_000_000 + 60 * i, format!(",{value}").repeat(columns)));
        }
        text
    }

    #[test]
    fn one_row_for_each_row_and_a_score_where_there_is_one() {
        let (lines, faults) = score(&gauge(220, 1), Mark::Onset).expect("scored");
        assert_eq!((lines.len(), faults.len()), (220, 0));
        assert_eq!(lines[3], "1600000180,,0");
        let marked: Vec<usize> = (0..220).filter(|i| lines[*i].ends_with(",1")).collect();
        assert_eq!(marked, [200]);
        let (lines, _) = score(&gauge(220, 1), Mark::Alarm).expect("scored");
        let marked: Vec<usize> = (0..220).filter(|i| lines[*i].ends_with(",1")).collect();
        assert!(marked.len() > 1 && marked[0] == 200, "{marked:?}");
    }

    #[test]
    fn later_rows_change_nothing() {
        let (all, _) = score(&gauge(220, 1), Mark::Alarm).expect("scored");
        let (start, _) = score(&gauge(205, 1), Mark::Alarm).expect("scored");
        assert_eq!(all[..205], start);
    }

    #[test]
    fn several_columns_are_judged_together_after_a_day() {
        // Two days of minutes; all columns jump in the same row of the second.
        let mut text = "timestamp,a,b,c\n".to_owned();
        for i in 0..2880i64 {
            let jump = if i == 2500 { 300 } else { 0 };
            let cell = |k: i64| 100 + jump + ((i * 7919 + k * 104_729) ^ (i * k * 31)) % 13;
            text.push_str(&format!("{},{},{},{}\n", 1_600_000_000 + 60 * i, cell(1), cell(2), cell(3)));
        }
        let (lines, _) = score(&text, Mark::Onset).expect("scored");
        assert!(lines[1000].ends_with(",0,0") && !lines[2000].ends_with(",0,0"), "{}", lines[2000]);
        let onsets: Vec<usize> = (0..lines.len()).filter(|i| lines[*i].ends_with(",1")).collect();
        assert_eq!(onsets.first(), Some(&2500), "{onsets:?}");
        let (_, score) = lines[2500].strip_suffix(",1").and_then(|l| l.split_once(',')).expect("an onset");
        assert!(score.parse::<f32>().expect("a score") > 1.0);
    }

    #[test]
    fn bad_cells_and_late_rows_are_missing_samples() {
        let text = "timestamp,a\n10,1\n20,x\n20.5,\n15,3\n30,inf\n40,5\n";
        let (lines, faults) = score(text, Mark::Onset).expect("scored");
        assert_eq!(lines, ["10,,0", "20,,0", "20.5,,0", "15,,0", "30,,0", "40,,0"]);
        assert_eq!(faults[0], "x.csv:3: `x` in `a` is no number, taken as missing");
        assert_eq!(faults[1], "x.csv:5: time `15` is not after the row above, row not judged");
    }

    #[test]
    fn files_that_cannot_be_judged_say_where() {
        for (text, want) in [
            ("", "the first column is ``"),
            ("time,a\n", "x.csv:1: the first column is `time`; it must be `timestamp`"),
            ("timestamp,label\n", "no column of values"),
            ("timestamp,a\n1,2\n2,3,4\n", "x.csv:3: `3` fields where the header has `2`"),
            ("timestamp,a\n1,2\nsoon,3\n", "x.csv:3: `soon` is no time"),
            ("timestamp,a\n1e300,3\n", "x.csv:2: `1e300` is no time"),
        ] {
            let error = format!("{:#}", score(text, Mark::Onset).expect_err(text));
            assert!(error.contains(want), "{text}: {error}");
        }
        let broken = score_rows("x.csv", &b"timestamp,a\n1,\xff\n"[..], Mark::Onset, |_| Ok(()));
        let error = format!("{:#}", broken.expect_err("not UTF-8"));
        assert!(error.starts_with("x.csv:2: cannot read on"), "{error}");
    }

    #[test]
    fn outputs_neither_meet_nor_overwrite() {
        let folder = tempfile::tempdir().expect("a folder");
        let input = folder.path().join("a.csv");
        std::fs::write(&input, gauge(30, 1)).expect("written");
        let run_to = |out: &Path, paths: &[&Path]| {
            let paths = paths.iter().map(|path| path.to_path_buf()).collect();
            run(ScoreArgs { paths, out: out.to_path_buf(), mark: Mark::Onset })
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
