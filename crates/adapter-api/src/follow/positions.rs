//! How far each file was read, kept over restarts: `positions.json` in the source's own folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Where reading stands in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Device and inode: a file of the same name is another one after a rotation.
    pub device: u64,
    /// Number of the file on it.
    pub inode: u64,
    /// First byte that is not read yet; the beginning of a line.
    pub offset: u64,
}

/// The positions of all files of a source.
#[derive(Debug)]
pub struct Positions {
    file: Option<PathBuf>,
    known: Mutex<BTreeMap<PathBuf, Position>>,
}

impl Positions {
    /// Reads what was kept in `folder`. A file that can not be read means that reading starts anew, which costs
    /// nothing but time: what is known already changes nothing.
    #[must_use]
    pub fn open(folder: Option<&Path>) -> Self {
        let file = folder.map(|folder| folder.join("positions.json"));
        let known = file.as_ref().and_then(|file| match fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .inspect_err(
                    |error| tracing::warn!(file = %file.display(), %error, "positions are lost; files are read anew"),
                )
                .ok(),
            Err(_) => None,
        });
        Self { file, known: Mutex::new(known.unwrap_or_default()) }
    }

    /// The position in `path`, if it is known.
    #[must_use]
    pub fn of(&self, path: &Path) -> Option<Position> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied()
    }

    /// Notes the position in `path` and writes all of them, whole or not at all.
    ///
    /// # Errors
    /// The file can not be written; the position holds all the same until a restart.
    pub fn note(&self, path: &Path, position: Position) -> std::io::Result<()> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.insert(path.to_owned(), position) == Some(position) {
            return Ok(());
        }
        let Some(file) = &self.file else { return Ok(()) };
        let text = serde_json::to_vec_pretty(&*known).map_err(std::io::Error::other)?;
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let new = file.with_extension("json.new");
        fs::write(&new, text)?;
        fs::rename(new, file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_over_a_restart_and_a_broken_file_is_survived() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("sources/nagios");
        let position = Position { device: 1, inode: 2, offset: 3 };
        Positions::open(Some(&state)).note(Path::new("/a b"), position).expect("written");
        let again = Positions::open(Some(&state));
        assert_eq!((again.of(Path::new("/a b")), again.of(Path::new("/c"))), (Some(position), None));
        fs::write(state.join("positions.json"), "{").expect("written");
        assert_eq!(Positions::open(Some(&state)).of(Path::new("/a b")), None);
    }
}
