//! How far each item was read, kept over restarts: `items.json` in the source's own folder.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The last value of an item that was judged: its second, its nanosecond and itself.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Last(pub(super) i64, pub(super) i64, pub(super) f64);

impl Last {
    pub(super) fn at(&self) -> (i64, i64) {
        (self.0, self.1)
    }

    pub(super) fn ts_ms(&self) -> i64 {
        self.0.saturating_mul(1_000).saturating_add(self.1 / 1_000_000)
    }
}

/// Positions by id of the item.
pub(super) type Positions = HashMap<u64, Last>;

fn file(folder: &Path) -> PathBuf {
    folder.join("items.json")
}

/// Reads what was kept. A file that can not be read means that reading begins near now.
pub(super) fn read(folder: &Path) -> Positions {
    let file = file(folder);
    let Ok(bytes) = fs::read(&file) else { return Positions::new() };
    serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::warn!(file = %file.display(), %error, "positions are lost; values of the time while Watchbell was down are not read");
        Positions::new()
    })
}

/// Writes all of them, whole or not at all.
pub(super) fn write(folder: &Path, positions: &Positions) -> io::Result<()> {
    let file = file(folder);
    fs::create_dir_all(folder)?;
    let new = file.with_extension("json.new");
    let mut written = fs::File::create(&new)?;
    written.write_all(&serde_json::to_vec(positions).map_err(io::Error::other)?)?;
    // A new name for what is not on disk yet is an empty file after a power cut.
    written.sync_data()?;
    fs::rename(new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_and_a_broken_file_is_survived() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("sources/zabbix");
        let positions = Positions::from([(7, Last(1_700_000_000, 5, 0.1)), (u64::MAX, Last(1, 0, -2.5))]);
        write(&state, &positions).expect("written");
        assert_eq!(read(&state), positions);
        fs::write(state.join("items.json"), "{\"7\":[1").expect("written");
        assert_eq!(read(&state), Positions::new());
        assert_eq!(read(&folder.path().join("nowhere")), Positions::new());
    }
}
