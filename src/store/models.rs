//! What was learned of hosts and groups, a file for each bucket of them.
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 8 | magic `WBELLHST` |
//! | 8 | 2 | format version, [`FORMAT_VERSION`] |
//! | 10 | 2 | zero |
//! | 12 | 4 | bucket |
//! | 16 | 8 | length of the payload |
//! | 24 | 16 | xxh3-128 of the payload, seeded with the xxh3-64 of bytes 0 to 23 |
//! | 40 | | payload |
//!
//! All little-endian. A file is replaced as a whole; one that can not be read is set aside. Unlike the
//! checkpoint of series there is no set of files that belong together: each holds for itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use super::{SET_ASIDE, StoreError, move_aside, replace};

/// Version of the layout above.
pub const FORMAT_VERSION: u16 = 1;

const MAGIC: &[u8; 8] = b"WBELLHST";
const HEADER: usize = 40;
const FOLDER: &str = "hosts";
const ENDING: &str = "wbh";

/// The folder of these files.
#[derive(Debug, Clone)]
pub struct Models {
    folder: PathBuf,
    set_aside: PathBuf,
}

/// What was read at a start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Payloads in order of their buckets.
    pub payloads: Vec<(u32, Vec<u8>)>,
    /// Files that were set aside, and why.
    pub set_aside: Vec<(PathBuf, String)>,
}

impl Models {
    /// Opens the folder under `data_dir`, which it makes if it is missing.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let folder = data_dir.join(FOLDER);
        fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
        Ok(Self { folder, set_aside: data_dir.join(SET_ASIDE) })
    }

    fn path(&self, bucket: u32) -> PathBuf {
        self.folder.join(format!("hosts-{bucket}.{ENDING}"))
    }

    /// Replaces the file of `bucket`; an empty payload removes it.
    ///
    /// # Errors
    /// The file system refuses; the file before stays.
    pub fn write(&self, bucket: u32, payload: &[u8]) -> Result<(), StoreError> {
        let path = self.path(bucket);
        if payload.is_empty() {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", &path)(error)),
                _ => Ok(()),
            };
        }
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&bucket.to_le_bytes());
        bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
        let sum = xxh3_128_with_seed(payload, xxh3_64(&bytes));
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes.extend_from_slice(payload);
        replace(&path, &bytes).map_err(StoreError::io("write", &path))
    }

    /// Reads all files.
    ///
    /// # Errors
    /// The folder can not be listed.
    pub fn load(&self) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded::default();
        let entries = fs::read_dir(&self.folder).map_err(StoreError::io("read", &self.folder))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == ENDING));
        paths.sort();
        for path in paths {
            match fs::read(&path).map_err(|e| e.to_string()).and_then(|bytes| payload(&bytes)) {
                Ok(payload) => loaded.payloads.push(payload),
                Err(why) => {
                    // Where even that fails the file is overwritten by the next save.
                    let aside = move_aside(&self.set_aside, &path).unwrap_or(path);
                    loaded.set_aside.push((aside, why));
                }
            }
        }
        loaded.payloads.sort_by_key(|(bucket, _)| *bucket);
        Ok(loaded)
    }
}

fn payload(bytes: &[u8]) -> Result<(u32, Vec<u8>), String> {
    let (header, payload) = bytes.split_at_checked(HEADER).ok_or("it is cut short")?;
    if &header[..8] != MAGIC {
        return Err("it holds no models of hosts".to_owned());
    }
    let version = u16::from_le_bytes([header[8], header[9]]);
    if version != FORMAT_VERSION {
        return Err(format!("its version is {version}, this program reads {FORMAT_VERSION}"));
    }
    if xxh3_128_with_seed(payload, xxh3_64(&header[..24])).to_le_bytes() != header[24..] {
        return Err("its checksum does not fit: the file was damaged".to_owned());
    }
    let bucket = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
    Ok((bucket, payload.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_damage_is_set_aside() {
        let dir = tempfile::tempdir().expect("temp dir");
        let models = Models::open(dir.path()).expect("open");
        models.write(3, b"three").expect("write");
        models.write(40, b"forty").expect("write");
        models.write(5, b"five").expect("write");
        models.write(5, b"").expect("removed");
        models.write(6, b"").expect("nothing to remove");
        let loaded = models.load().expect("load");
        assert_eq!(loaded.payloads, [(3, b"three".to_vec()), (40, b"forty".to_vec())]);
        assert!(loaded.set_aside.is_empty());

        let file = models.path(3);
        let mut bytes = fs::read(&file).expect("read");
        for (at, what) in [(12, "checksum"), (44, "checksum"), (8, "version"), (0, "no models")] {
            bytes[at] ^= 1;
            let why = payload(&bytes).expect_err("damaged");
            assert!(why.contains(what), "{why}");
            bytes[at] ^= 1;
        }
        fs::write(&file, &bytes[..20]).expect("write");
        let loaded = models.load().expect("load");
        assert_eq!(loaded.payloads.len(), 1);
        assert!(
            loaded.set_aside[0].1.contains("cut short")
                && loaded.set_aside[0].0.starts_with(dir.path().join(SET_ASIDE))
        );
        assert!(!file.exists());
    }
}
