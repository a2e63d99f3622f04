//! History in CSV files: a file for each machine, or a file for each series.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use indicatif::ProgressBar;
use watchbell_series::labels::NAME;
use watchbell_series::matcher::MatchOp;
use watchbell_series::{Labels, MetricKind, RawBatch, RawSample, Selector};

use super::feed::{Feed, Stretch, next_span};
use crate::console;
use crate::offline::{Rows, files};

/// The first stretch.
const FIRST_SPAN_MS: i64 = 86_400_000;
/// The one column of a file that is a series itself.
const VALUE: &str = "value";
/// The label of the machine that a file is named after.
const HOST: &str = "host";

/// Reads files side by side.
#[derive(Debug)]
pub struct CsvFeed {
    files: Vec<Source>,
    span_ms: i64,
    from_ms: i64,
    to_ms: i64,
    told: bool,
    /// Files that could not be read, or not to their end.
    failed: usize,
    all: usize,
}

struct Source {
    name: String,
    rows: Rows<Box<dyn Read>>,
    labels: Vec<Labels>,
    /// The row that comes next.
    next: Option<(i64, Vec<f64>)>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl CsvFeed {
    /// Opens `paths` and reads their headers; rows from `from_ms` to `to_ms` count. `progress` follows the bytes. A
    /// file that can not be read, or whose columns are no series, is told and left out.
    ///
    /// # Errors
    /// No file is left; the error is that of the last.
    pub fn open(paths: &[PathBuf], from_ms: i64, to_ms: i64, progress: &ProgressBar) -> anyhow::Result<Self> {
        let (mut files, mut last) = (Vec::new(), None);
        for path in paths {
            match Source::open(path, progress).and_then(|file| file.begin(from_ms)) {
                Ok(file) => files.push(file),
                Err(error) => {
                    if let Some(before) = last.replace(error) {
                        console::note(format_args!("{before:#}"));
                    }
                }
            }
        }
        let failed = paths.len() - files.len();
        match last {
            Some(error) if files.is_empty() => return Err(error),
            Some(error) => console::note(format_args!("{error:#}")),
            None => {}
        }
        Ok(Self { files, span_ms: FIRST_SPAN_MS, from_ms, to_ms, told: false, failed, all: paths.len() })
    }

    /// Tells what was wrong in the files and did not keep them from being read.
    fn tell_faults(&mut self) {
        if !std::mem::replace(&mut self.told, true) {
            for file in &self.files {
                file.rows.faults().told(&file.name).iter().for_each(|fault| console::note(format_args!("{fault}")));
            }
        }
    }
}

impl Feed for CsvFeed {
    fn next(&mut self) -> anyhow::Result<Option<Stretch>> {
        let first = self.files.iter().filter_map(|file| file.next.as_ref()).map(|(ts_ms, _)| *ts_ms).min();
        let Some(first) = first.filter(|first| *first <= self.to_ms) else {
            self.tell_faults();
            return Ok(None);
        };
        let until = first.max(self.from_ms).saturating_add(self.span_ms).min(self.to_ms.saturating_add(1));
        let mut batch = RawBatch::default();
        for file in &mut self.files {
            let mut samples = vec![Vec::new(); file.labels.len()];
            while let Some((ts_ms, values)) = file.next.take_if(|(ts_ms, _)| *ts_ms < until) {
                for (samples, value) in samples.iter_mut().zip(values).filter(|(_, value)| !value.is_nan()) {
                    samples.push(RawSample { ts_ms, value });
                }
                if let Err(error) = file.advance() {
                    // What came before it stands; the other files go on.
                    console::note(format_args!("{error:#}; what follows in it is left out"));
                    self.failed += 1;
                }
            }
            for (labels, samples) in file.labels.iter().zip(&samples).filter(|(_, samples)| !samples.is_empty()) {
                batch.push(labels, MetricKind::Unknown, samples);
            }
        }
        let stretch = Stretch { batches: vec![batch] };
        self.span_ms = next_span(self.span_ms, stretch.samples());
        Ok(Some(stretch))
    }

    fn failed(&self) -> (usize, usize) {
        (self.failed, self.all)
    }
}

impl Source {
    fn open(path: &Path, progress: &ProgressBar) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let rows = Rows::open(&name, files::open(path, progress)?)?;
        let stem = files::stem(path).unwrap_or_default();
        let alone = rows.columns().len() == 1;
        let read = |column: &str| {
            series(column, stem, alone).with_context(|| format!("{name}:1: column `{column}` can not be a series"))
        };
        let labels = rows.columns().map(read).collect::<anyhow::Result<Vec<_>>>()?;
        for (i, one) in labels.iter().enumerate() {
            if labels[..i].contains(one) {
                return Err(anyhow!("{name}:1: two columns are the series `{one}`"));
            }
        }
        Ok(Self { name, rows, labels, next: None })
    }

    /// Reads on to the first row that counts.
    fn begin(mut self, from_ms: i64) -> anyhow::Result<Self> {
        self.advance()?;
        while self.next.as_ref().is_some_and(|(ts_ms, _)| *ts_ms < from_ms) {
            self.advance()?;
        }
        Ok(self)
    }

    /// Reads the next row; one without any value is passed over.
    fn advance(&mut self) -> anyhow::Result<()> {
        self.next = None;
        while let Some(row) = self.rows.next_row()? {
            if row.values.iter().any(|value| !value.is_nan()) {
                self.next = Some((row.ts_ms, row.values.to_vec()));
                break;
            }
        }
        Ok(())
    }
}

/// The series of a column: what is written like `name{label="x"}`; else the column is the name and the file the
/// machine. A single column `value` is a series that is called as the file is.
fn series(column: &str, stem: &str, alone: bool) -> anyhow::Result<Labels> {
    if column.contains('{') {
        let selector: Selector = column.parse()?;
        let fixed = |m: &watchbell_series::Matcher| m.op() == MatchOp::Equal;
        anyhow::ensure!(selector.matchers().iter().all(fixed), "its labels must be given with `=`");
        return Ok(Labels::series(selector.matchers().iter().map(|m| (m.name().to_owned(), m.value().to_owned())))?);
    }
    let pairs = if alone && column == VALUE { vec![(NAME, stem)] } else { vec![(NAME, column), (HOST, stem)] };
    Ok(Labels::series(pairs)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(files: &[(&str, &str)], from_ms: i64, to_ms: i64) -> anyhow::Result<(tempfile::TempDir, CsvFeed)> {
        let temp = tempfile::tempdir()?;
        let mut paths = Vec::new();
        for (name, text) in files {
            paths.push(temp.path().join(name));
            std::fs::write(&paths[paths.len() - 1], text)?;
        }
        let feed = CsvFeed::open(&paths, from_ms, to_ms, &ProgressBar::hidden())?;
        Ok((temp, feed))
    }

    #[test]
    fn columns_are_series() {
        let text = |column: &str, alone| series(column, "web-1", alone).expect("a series").to_string();
        assert_eq!(text("load", false), text(r#"load{host="web-1"}"#, true));
        assert_eq!(text("value", true), text(r#"{__name__="web-1"}"#, false));
        assert!(text("value", false).contains("host"), "one of several is called as its column");
        assert!(series(r#"up{job=~"x"}"#, "f", false).expect_err("no series").to_string().contains("with `=`"));
        assert!(series("up{", "f", false).is_err());
    }

    #[test]
    fn files_are_read_side_by_side_in_stretches() {
        let day = 86_400;
        let a = format!("timestamp,cpu,mem\n0,1,\n10,2,3\n{},4,5\n{},6,7\n", day + 10, 9 * day);
        let b = "timestamp,value\n5,1\n20,\n30,2\n".to_owned();
        let (_temp, mut feed) = feed(&[("a.csv", &a), ("b.csv", &b)], 5_000, 8 * 86_400_000).expect("opened");
        let mut counts = Vec::new();
        while let Some(stretch) = feed.next().expect("read") {
            let batch = &stretch.batches[0];
            counts.push(batch.series.iter().map(|s| batch.samples_of(s).len()).collect::<Vec<_>>());
        }
        // In the first day: `cpu` and `mem` at 10 s, `b` at 5 and 30 s; then what is in the second. The rest is too late.
        assert_eq!(counts, [vec![1, 1, 2], vec![1, 1]]);
    }

    #[test]
    fn broken_files_are_told() {
        for (text, want) in [
            ("timestamp,a,a\n", "two columns are the series"),
            ("timestamp,\n", "can not be a series"),
            ("time,a\n", "must be `timestamp`"),
            ("timestamp,a\nx,3\n", "x.csv:2"),
        ] {
            let error = feed(&[("x.csv", text)], 0, i64::MAX).map(drop).expect_err(want);
            assert!(format!("{error:#}").contains(want), "{want}: {error:#}");
        }
    }

    #[test]
    fn a_broken_file_does_not_keep_the_others_from_being_read() {
        let files = [
            ("a.csv", "timestamp,x\n10,1\n20,2\n30,3\n"),
            ("b.csv", "time,x\n"),
            ("c.csv", "timestamp,x\n10,1\noops,2\n30,3\n"),
        ];
        let (_temp, mut feed) = feed(&files, 0, i64::MAX).expect("two are read");
        let mut samples = 0;
        while let Some(stretch) = feed.next().expect("read") {
            samples += stretch.samples();
        }
        assert_eq!((samples, feed.failed()), (4, (2, 3)), "the first row of the third stands");
    }
}
