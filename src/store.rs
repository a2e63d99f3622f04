//! What outlives the process, all under one data directory.
//!
//! | part | holds | written |
//! | --- | --- | --- |
//! | [`journal`] | the history of alerts, in SQLite | by one task behind a bounded queue |
//! | [`checkpoint`] | detector state, in files by generation | slice by slice, every few minutes |
//! | [`models`] | what was learned of hosts and groups, in files by bucket | every few minutes, in turn |
//! | [`wal`] | samples accepted since the last checkpoint | before they are acknowledged |
//!
//! Nothing here deletes what it can not read: such a file is moved to `set-aside/` and reported.

pub mod checkpoint;
pub mod journal;
pub mod models;
pub mod wal;

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::store::journal::JournalError;

/// Folder below the data directory for what could not be read.
pub const SET_ASIDE: &str = "set-aside";

/// Why something under the data directory can not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refuses.
    #[error("can not {action} `{path}`: {source}; {hint}", path = path.display(), hint = hint(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process works in this directory.
    #[error("data directory `{}` is in use by another watchbell; stop that one or choose another `--data-dir`", .0.display())]
    InUse(PathBuf),
    /// The database of alerts.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// What to do about an error of the file system.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "make it readable and writable for the user that watchbell runs as",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free space on that file system",
        io::ErrorKind::ReadOnlyFilesystem => "choose a data directory on a writable file system",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "move what is in the way",
        _ => "check the disk and the path of the data directory",
    }
}

/// The data directory, held by one process at a time.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    // The lock lasts as long as the open file; the system drops it even after kill -9.
    _lock: File,
}

impl DataDir {
    /// Makes the directory where it is missing and locks it for this process.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it, or the file system refuses.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(StoreError::io("create", &path))?;
        let file = path.join("watchbell.lock");
        let lock = File::options().create(true).append(true).open(&file).map_err(StoreError::io("open", &file))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path)),
            Err(TryLockError::Error(source)) => Err(StoreError::io("lock", &file)(source)),
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Replaces `path` with `bytes` so that a reader, or a machine that loses power, sees the old or the new
/// content and never a mix: written beside, synced, renamed, and the folder synced.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes renames and new files in `dir` last through a power failure.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    // Only Unix lets a folder be opened and synced; elsewhere the rename itself is durable enough.
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// Moves a file or folder into `set_aside` under a name that is free there.
pub(crate) fn move_aside(set_aside: &Path, path: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(set_aside)?;
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut to = set_aside.join(format!("{folder}-{name}"));
    let mut copy = 1;
    while to.exists() {
        to = set_aside.join(format!("{folder}-{name}.{copy}"));
        copy += 1;
    }
    fs::rename(path, &to)?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_has_one_owner() {
        let temp = tempfile::tempdir().expect("temp dir");
        let path = temp.path().join("data");
        let first = DataDir::open(&path).expect("first");
        let error = DataDir::open(&path).expect_err("second").to_string();
        assert!(error.contains("in use by another watchbell") && error.contains("--data-dir"), "{error}");
        drop(first);
        DataDir::open(&path).expect("free again");
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let temp = tempfile::tempdir().expect("temp dir");
        let path = temp.path().join("data");
        fs::write(&path, b"x").expect("write");
        let error = DataDir::open(&path).expect_err("a file").to_string();
        assert!(error.contains("data`") && error.contains("move what is in the way"), "{error}");
    }

    #[test]
    fn set_aside_names_never_collide() {
        let temp = tempfile::tempdir().expect("temp dir");
        let (aside, file) = (temp.path().join(SET_ASIDE), temp.path().join("a.wbc"));
        let mut seen = std::collections::HashSet::new();
        for content in ["one", "two", "three"] {
            fs::write(&file, content).expect("write");
            let to = move_aside(&aside, &file).expect("move");
            assert_eq!(fs::read_to_string(&to).expect("read"), content);
            assert!(seen.insert(to));
        }
    }
}
