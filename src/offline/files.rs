//! Which files hold series.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;

/// The files that `paths` name, folders unfolded, in order of names.
///
/// # Errors
/// A path that can not be read or is no `.csv` or `.csv.gz`, and a folder without such files.
pub fn inputs(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let meta = path.metadata().with_context(|| format!("cannot read `{}`", path.display()))?;
        if !meta.is_dir() {
            ensure!(stem(path).is_some(), "`{}` is neither .csv nor .csv.gz", path.display());
            files.push(path.clone());
            continue;
        }
        let mut found = of_folder(path)?;
        ensure!(!found.is_empty(), "folder `{}` holds no .csv or .csv.gz", path.display());
        files.append(&mut found);
    }
    Ok(files)
}

/// The `.csv` and `.csv.gz` of one folder, in order of names; there may be none.
///
/// # Errors
/// The folder can not be read.
pub fn of_folder(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = path.read_dir().with_context(|| format!("cannot read folder `{}`", path.display()))?;
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read folder `{}`", path.display()))?.path();
        if stem(&entry).is_some() && entry.is_file() {
            found.push(entry);
        }
    }
    found.sort();
    Ok(found)
}

/// The name of a file without `.csv` or `.csv.gz`.
#[must_use]
pub fn stem(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".csv.gz").or_else(|| name.strip_suffix(".csv")).filter(|stem| !stem.is_empty())
}

/// Opens a file, unpacked where its name ends in `.gz`; `progress` follows the bytes read.
///
/// # Errors
/// It can not be opened.
pub fn open(path: &Path, progress: &ProgressBar) -> anyhow::Result<Box<dyn Read>> {
    let file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
    let file = BufReader::new(progress.wrap_read(file));
    let gzipped = path.extension().is_some_and(|extension| extension == "gz");
    Ok(if gzipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_unfolded_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let error = inputs(&[folder.path().to_owned()]).expect_err("empty").to_string();
        assert!(error.contains("holds no .csv"), "{error}");
        for name in ["b.csv.gz", "a.csv", ".csv", "c.txt"] {
            std::fs::write(path(name), "").expect("written");
        }
        assert_eq!(inputs(&[folder.path().to_owned()]).expect("read"), [path("a.csv"), path("b.csv.gz")]);
        assert!(inputs(&[path("c.txt")]).expect_err("no csv").to_string().contains("neither"));
        assert!(inputs(&[path("none.csv")]).expect_err("not there").to_string().contains("cannot read"));
    }
}
