//! A labelled set: a folder with `manifest.json` and a CSV for each series; or a clone of NAB's repository.

mod nab;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::config::nearest;
use crate::offline::files;

/// The file that makes a folder a set.
const MANIFEST: &str = "manifest.json";
/// The file with NAB's windows, where a set has them.
const WINDOWS: &str = "windows.json";

/// A labelled set, its files found but not read.
#[derive(Debug, Clone)]
pub struct Set {
    /// Name of its folder.
    pub name: String,
    /// What it is called by those who published it.
    pub title: String,
    /// Its series, in order of names.
    pub series: Vec<SeriesFile>,
    /// What is wrong with the folder and does not keep it from being used.
    pub remarks: Vec<String>,
    /// Why series that the manifest lists can not be measured, a text each.
    pub broken: Vec<String>,
}

/// What was found of sets.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Those that can be measured, at least one.
    pub sets: Vec<Set>,
    /// Why others can not, a text each.
    pub broken: Vec<String>,
}

impl From<Set> for Found {
    fn from(set: Set) -> Self {
        Self { sets: vec![set], broken: Vec::new() }
    }
}

/// One series, or all series of one machine.
#[derive(Debug, Clone)]
pub struct SeriesFile {
    /// Its name in the manifest.
    pub name: String,
    /// The CSV.
    pub path: PathBuf,
    /// Leading rows that are learned from and not scored.
    pub history: History,
    /// Seconds between two rows, where the manifest says so.
    pub interval_s: Option<f64>,
    /// NAB's windows, first and last second each, where the set has them.
    pub windows: Option<Vec<(f64, f64)>>,
}

/// Leading rows of a file that are not scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// So many, as the manifest says.
    Rows(usize),
    /// NAB's probationary period.
    Probation,
}

impl History {
    /// The number of them in a file of `rows`.
    #[must_use]
    pub fn of(self, rows: usize) -> usize {
        match self {
            Self::Rows(train) => train,
            Self::Probation => super::measure::nab::probation(rows),
        }
    }
}

#[derive(Deserialize)]
struct Manifest {
    dataset: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    series: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    train_rows: usize,
    interval_s: Option<f64>,
}

/// The sets in `folder`, which may be one itself; only those in `wanted` unless that is empty.
///
/// # Errors
/// There is no set, none of a wanted name, or all are broken.
pub fn find(folder: &Path, wanted: &[String]) -> anyhow::Result<Found> {
    let shown = folder.display();
    ensure!(folder.is_dir(), "`{shown}` is no folder; name the folder that holds the labelled sets");
    if folder.join(MANIFEST).is_file() {
        ensure!(wanted.is_empty(), "`{shown}` is a set itself; name the folder above it, or leave out --set");
        return Ok(open(folder)?.into());
    }
    if nab::is_nab(folder) {
        ensure!(wanted.is_empty(), "`{shown}` is NAB, a set itself; leave out --set");
        return Ok(nab::open(folder)?.into());
    }
    let mut folders = BTreeMap::new();
    for entry in folder.read_dir().with_context(|| format!("cannot read folder `{shown}`"))? {
        let path = entry.with_context(|| format!("cannot read folder `{shown}`"))?.path();
        if path.join(MANIFEST).is_file() {
            folders.insert(name_of(&path), path);
        }
    }
    ensure!(!folders.is_empty(), "folder `{shown}` holds no set: no `<set>/{MANIFEST}`, and no `{MANIFEST}` itself");
    let names: Vec<&str> = folders.keys().map(String::as_str).collect();
    for name in wanted {
        let hint = nearest::suggest(name, &names);
        ensure!(folders.contains_key(name), "folder `{shown}` holds no set `{name}`; {hint}");
    }
    let mut found = Found::default();
    for (name, path) in &folders {
        let set = match wanted.is_empty() {
            true => is_of_series(path).and_then(|of_series| of_series.then(|| open(path)).transpose()),
            false => wanted.contains(name).then(|| open(path)).transpose(),
        };
        match set {
            Ok(set) => found.sets.extend(set),
            Err(error) => found.broken.push(format!("{error:#}")),
        }
    }
    ensure!(!found.sets.is_empty() || found.broken.is_empty(), found.broken.join("\n"));
    ensure!(!found.sets.is_empty(), "no set in `{shown}` holds labelled series: their manifests list no `series`");
    Ok(found)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_str(&text).map_err(|e| anyhow::anyhow!("{}:{}:{}: {e}", path.display(), e.line(), e.column()))
}

/// Whether the set is of labelled series at all; folders of other data may stand beside it.
fn is_of_series(folder: &Path) -> anyhow::Result<bool> {
    let manifest: serde_json::Value = read_json(&folder.join(MANIFEST))?;
    let of_series = manifest["kind"].as_str().is_none_or(|kind| KINDS.contains(&kind));
    Ok(of_series && manifest.get("series").is_some())
}

/// What a set may hold.
const KINDS: [&str; 2] = ["univariate", "multivariate"];

fn open(folder: &Path) -> anyhow::Result<Set> {
    // The name of `.` is that of the folder it stands for.
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let path = folder.join(MANIFEST);
    let shown = path.display();
    let manifest: Manifest = read_json(&path)?;
    if let Some(kind) = manifest.kind.filter(|kind| !KINDS.contains(&kind.as_str())) {
        bail!("{shown}: `kind` is `{kind}`; only {} can be measured", nearest::list(&KINDS));
    }
    ensure!(!manifest.series.is_empty(), "{shown}: `series` lists no series");
    let mut windows: Option<BTreeMap<String, Vec<(f64, f64)>>> = None;
    if folder.join(WINDOWS).exists() {
        windows = Some(read_json(&folder.join(WINDOWS))?);
    }
    let found = files::of_folder(folder)?;
    let mut by_name: BTreeMap<&str, &PathBuf> = BTreeMap::new();
    for file in &found {
        by_name.entry(files::stem(file).unwrap_or_default()).or_insert(file);
    }
    let (mut series, mut broken) = (Vec::new(), Vec::new());
    for (name, entry) in manifest.series {
        let file = by_name.remove(name.as_str());
        match series_file(folder, &name, &entry, file, windows.as_mut()) {
            Ok(file) => series.push(file),
            Err(error) => broken.push(format!("{shown}: series `{name}`: {error}")),
        }
    }
    ensure!(!series.is_empty(), broken.join("\n"));
    let remarks = by_name.values().map(|file| format!("{}: not in `{MANIFEST}`, left out", file.display())).collect();
    let name = name_of(&whole);
    Ok(Set { title: manifest.dataset.unwrap_or_else(|| name.clone()), name, series, remarks, broken })
}

/// One row of the manifest with its file.
fn series_file(
    folder: &Path,
    name: &str,
    entry: &Entry,
    file: Option<&PathBuf>,
    windows: Option<&mut BTreeMap<String, Vec<(f64, f64)>>>,
) -> anyhow::Result<SeriesFile> {
    let path = file.with_context(|| format!("there is no `{name}.csv` or `{name}.csv.gz`"))?;
    let bad = entry.interval_s.filter(|interval| !(*interval > 0.0 && interval.is_finite()));
    ensure!(bad.is_none(), "`interval_s` must be more than 0");
    let of_this = |all: &mut BTreeMap<String, Vec<(f64, f64)>>| {
        let windows = all.remove(name);
        windows.with_context(|| {
            format!("{}: no windows of `{name}`; write an empty list for none", folder.join(WINDOWS).display())
        })
    };
    Ok(SeriesFile {
        name: name.to_owned(),
        path: path.clone(),
        history: History::Rows(entry.train_rows),
        interval_s: entry.interval_s,
        windows: windows.map(of_this).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("written");
        }
        folder
    }

    #[test]
    fn sets_are_found_by_their_manifests() {
        let manifest = r#"{"dataset": "A set", "series": {"y": {"train_rows": 5, "interval_s": 60}, "x": {}}}"#;
        let temp = folder(&[
            ("a/manifest.json", manifest),
            ("a/x.csv", ""),
            ("a/y.csv.gz", ""),
            ("a/stray.csv", ""),
            ("a/windows.json", r#"{"x": [[1, 2]], "y": []}"#),
            ("logs/manifest.json", r#"{"dataset": "Logs"}"#),
            ("other/notes.txt", ""),
        ]);
        let Found { sets, .. } = find(temp.path(), &[]).expect("one set");
        assert_eq!((sets.len(), sets[0].name.as_str(), sets[0].title.as_str()), (1, "a", "A set"));
        assert_eq!(sets[0].series.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(sets[0].series[0].windows, Some(vec![(1.0, 2.0)]));
        assert_eq!((sets[0].series[1].history, sets[0].series[1].interval_s), (History::Rows(5), Some(60.0)));
        assert!(sets[0].remarks[0].contains("stray.csv"), "{:?}", sets[0].remarks);
        assert_eq!(find(&temp.path().join("a"), &[]).expect("a set itself").sets[0].name, "a");
    }

    #[test]
    fn a_clone_of_nab_is_a_set() {
        let labels =
            r#"{"real/x.csv": [["2014-04-10 07:15:00.000000", "2014-04-11 16:45:00.000000"]], "art/y.csv": []}"#;
        let files = [("labels/combined_windows.json", labels), ("data/real/x.csv", ""), ("data/art/y.csv", "")];
        let Found { sets, .. } = find(folder(&files).path(), &[]).expect("NAB");
        let names: Vec<&str> = sets[0].series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!((sets[0].name.as_str(), names), ("nab", vec!["art__y", "real__x"]));
        assert_eq!(sets[0].series[1].windows, Some(vec![(1_397_114_100.0, 1_397_234_700.0)]));
        assert_eq!((sets[0].series[1].history.of(1_000), sets[0].series[1].history.of(10_000)), (150, 750));
        let found = find(folder(&files[..2]).path(), &[]).expect("a file is missing, another is there");
        let broken = &found.sets[0].broken;
        assert!(broken.len() == 1 && broken[0].contains("`art/y.csv`: there is no file"), "{broken:?}");
    }

    #[test]
    fn what_is_broken_does_not_hide_the_rest() {
        let temp = folder(&[
            ("a/manifest.json", r#"{"series": {"x": {}, "y": {}}}"#),
            ("a/y.csv", ""),
            ("b/manifest.json", "{"),
            ("c/manifest.json", r#"{"series": {"z": {}}}"#),
            ("c/z.csv", ""),
        ]);
        let found = find(temp.path(), &[]).expect("two sets");
        let names: Vec<&str> = found.sets.iter().map(|set| set.name.as_str()).collect();
        assert_eq!((names, found.sets[0].series.len(), found.broken.len()), (vec!["a", "c"], 1, 1));
        assert!(found.sets[0].broken[0].contains("series `x`: there is no `x.csv`"), "{:?}", found.sets[0].broken);
        assert!(found.broken[0].contains("b/manifest.json:1:"), "{:?}", found.broken);
    }

    #[test]
    fn what_is_broken_is_told() {
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a str);
        let cases: [Case<'_>; 9] = [
            (&[("x.csv", "")], &[], "holds no set"),
            (&[("a/manifest.json", "{\n  oops")], &[], "manifest.json:2:"),
            (&[("a/manifest.json", r#"{"series": {"x": {}}}"#)], &[], "there is no `x.csv`"),
            (&[("a/manifest.json", r#"{"series": {}}"#)], &[], "`series` lists no series"),
            (&[("a/manifest.json", r#"{"series": {"x": {"train_rows": -1}}}"#)], &[], "manifest.json:1:"),
            (&[("a/manifest.json", r#"{"series": {"x": {"interval_s": 0}}}"#), ("a/x.csv", "")], &[], "more than 0"),
            (&[("abc/manifest.json", r#"{"series": {}}"#)], &["abd"], "did you mean `abc`?"),
            (&[("a/manifest.json", r#"{"kind": "forecast", "series": {"x": {}}}"#)], &["a"], "`kind` is `forecast`"),
            (
                &[("a/manifest.json", r#"{"series": {"x": {}}}"#), ("a/x.csv", ""), ("a/windows.json", "{}")],
                &[],
                "no windows of `x`",
            ),
        ];
        for (files, wanted, want) in cases {
            let temp = folder(files);
            let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
            let error = format!("{:#}", find(temp.path(), &wanted).expect_err(want));
            assert!(error.contains(want), "{want}: {error}");
        }
        assert!(find(Path::new("/no/such"), &[]).expect_err("none").to_string().contains("is no folder"));
    }
}
