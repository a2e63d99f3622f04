//! A folder into which whole files are moved, to be read and removed: that of NPCD and of Icinga 2.
//!
//! Blocks. A file is taken when it looked the same twice, since a move between file systems is a copy; hidden
//! names and those with `-PID-` in them are still being written, by NPCD's convention.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most files of one look; the rest waits for the next.
const MOST: usize = 1_000;

/// Size and time of change.
type Shape = (u64, Option<SystemTime>);

/// Looks at one folder.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    /// What was there at the last look and is not done with.
    seen: BTreeMap<PathBuf, Shape>,
    /// Files that were read and could not be removed, or are to stay.
    done: BTreeMap<PathBuf, Shape>,
    keep: bool,
}

impl Spool {
    pub(crate) fn new(folder: PathBuf, keep: bool) -> Self {
        Self { folder, seen: BTreeMap::new(), done: BTreeMap::new(), keep }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// The files that can be read now, oldest first.
    ///
    /// # Errors
    /// The folder can not be read.
    pub(crate) fn look(&mut self) -> io::Result<Vec<PathBuf>> {
        let mut now: BTreeMap<PathBuf, Shape> = BTreeMap::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') || name.contains("-PID-") || name.ends_with(".tmp") {
                continue;
            }
            // It may be gone by now.
            let Ok(about) = entry.metadata() else { continue };
            if about.is_file() {
                now.insert(entry.path(), (about.len(), about.modified().ok()));
            }
        }
        self.done.retain(|path, shape| now.get(path) == Some(shape));
        now.retain(|path, _| !self.done.contains_key(path));
        let mut ready: Vec<(Option<SystemTime>, PathBuf)> = now
            .iter()
            .filter(|(path, shape)| self.seen.get(*path) == Some(*shape))
            .map(|(path, shape)| (shape.1, path.clone()))
            .collect();
        ready.sort();
        ready.truncate(MOST);
        self.seen = now;
        Ok(ready.into_iter().map(|(_, path)| path).collect())
    }

    /// `path` was read: removes it.
    ///
    /// # Errors
    /// It can not be removed; it is not given out again while it stays as it is.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<()> {
        let shape = self.seen.remove(path);
        let removed = if self.keep { Ok(()) } else { fs::remove_file(path) };
        if let (true, Some(shape)) = (self.keep || removed.is_err(), shape) {
            self.done.insert(path.to_owned(), shape);
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_files_oldest_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["service-perfdata.2", ".hidden", "perf-PID-77", "x.tmp"] {
            fs::write(at(name), "x\n").expect("written");
        }
        let mut spool = Spool::new(folder.path().to_owned(), false);
        assert_eq!(spool.look().expect("readable"), Vec::<PathBuf>::new());
        fs::write(at("growing"), "x").expect("written");
        assert_eq!(spool.look().expect("readable"), [at("service-perfdata.2")]);
        spool.read(&at("service-perfdata.2")).expect("removed");
        fs::write(at("growing"), "xyz").expect("written");
        assert_eq!(spool.look().expect("readable"), Vec::<PathBuf>::new());
        assert_eq!(spool.look().expect("readable"), [at("growing")]);
        assert!(!at("service-perfdata.2").exists() && at("growing").exists());
    }

    #[test]
    fn kept_files_are_read_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        fs::write(&path, "x\n").expect("written");
        let mut spool = Spool::new(folder.path().to_owned(), true);
        spool.look().expect("readable");
        assert_eq!(spool.look().expect("readable"), std::slice::from_ref(&path));
        spool.read(&path).expect("kept");
        spool.look().expect("readable");
        assert_eq!(spool.look().expect("readable"), Vec::<PathBuf>::new());
        assert!(path.exists());
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        assert!(Spool::new("/nonexistent/spool".into(), false).look().is_err());
    }
}
