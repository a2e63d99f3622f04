//! The Numenta Anomaly Benchmark as it is published: a clone of its repository is a set.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};

use super::{History, SeriesFile, Set, read_json};
use crate::offline::files;
use crate::offline::rows::timestamp_ms;

/// Which windows of which file are anomalous.
const LABELS: &str = "labels/combined_windows.json";
/// Folders of files.
const DATA: &str = "data";

/// Whether `folder` is laid out as NAB's repository is.
pub(super) fn is_nab(folder: &Path) -> bool {
    folder.join(LABELS).is_file() && folder.join(DATA).is_dir()
}

/// All files that have an entry among the labels, called `<folder>__<file>`.
pub(super) fn open(folder: &Path) -> anyhow::Result<Set> {
    let shown = folder.join(LABELS);
    let shown = shown.display();
    let labels: BTreeMap<String, Vec<(String, String)>> = read_json(&folder.join(LABELS))?;
    ensure!(!labels.is_empty(), "{shown}: it lists no file");
    let (mut series, mut broken) = (Vec::new(), Vec::new());
    for (file, windows) in labels {
        let path = folder.join(DATA).join(&file);
        if !path.is_file() {
            broken.push(format!("{shown}: `{file}`: there is no file `{}`", path.display()));
            continue;
        }
        let name = file.replace('/', "__");
        let name = files::stem(Path::new(&name)).with_context(|| format!("{shown}: `{file}` is no .csv"))?.to_owned();
        let second = |text: &str| {
            let ms = timestamp_ms(text).with_context(|| format!("{shown}: `{file}`: `{text}` is no time"))?;
            anyhow::Ok(ms as f64 / 1000.0)
        };
        let windows = windows.iter().map(|(first, last)| Ok((second(first)?, second(last)?)));
        let windows = windows.collect::<anyhow::Result<Vec<_>>>()?;
        series.push(SeriesFile { name, path, history: History::Probation, interval_s: None, windows: Some(windows) });
    }
    ensure!(!series.is_empty(), broken.join("\n"));
    series.sort_by(|a, b| a.name.cmp(&b.name));
    let (name, title) = ("nab".to_owned(), "Numenta Anomaly Benchmark".to_owned());
    Ok(Set { name, title, series, remarks: Vec::new(), broken })
}
