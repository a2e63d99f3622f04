//! The log of accepted samples since the last checkpoint, one file after the other for each shard.
//!
//! A shard appends what it accepted before it is acknowledged; after a crash the records are replayed on
//! top of the checkpoint. One write call per record: once it returned, a kill -9 of the process loses
//! nothing. There is no sync per record: a machine that loses power may lose the last seconds, and the
//! checksums find where. This module never looks into a record.
//!
//! File `wal/shard-<shard>-<segment>.wal`: magic `WBELLWA1`, then records of length (u32), xxh3-64 of the
//! bytes (u64), the bytes; little-endian.

mod replay;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub use replay::{ReplayReport, WalFile, files, replay};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 8] = b"WBELLWA1";
const RECORD_HEADER: usize = 12;

/// The longest record that is taken, in bytes.
pub const MAX_RECORD: usize = 64 << 20;

/// Number of a file of one shard; later files have greater numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNo(pub u64);

/// The log of one shard, open for appending.
#[derive(Debug)]
pub struct Wal {
    dir: PathBuf,
    shard: u32,
    segment: SegmentNo,
    // None after an error, until the next file.
    file: Option<File>,
    buffer: Vec<u8>,
    bytes: u64,
    failures: u64,
}

impl Wal {
    /// Opens `data_dir/wal` for `shard` with a new file after those that are there. Replay those first.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn open(data_dir: &Path, shard: u32) -> io::Result<Self> {
        let dir = data_dir.join("wal");
        fs::create_dir_all(&dir)?;
        let last = files(data_dir)?.into_iter().filter(|file| file.shard == shard).map(|file| file.segment).max();
        let segment = SegmentNo(last.map_or(0, |last| last.0 + 1));
        let mut wal = Self { dir, shard, segment, file: None, buffer: Vec::new(), bytes: 0, failures: 0 };
        wal.file = Some(wal.create()?);
        Ok(wal)
    }

    /// Appends one record with one write call.
    ///
    /// # Errors
    /// The file system refuses, or the record is longer than [`MAX_RECORD`]. After a failed write the log
    /// is broken: the file may end in half a record, so each further append fails until [`Wal::rotate`].
    pub fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            self.failures += 1;
            return Err(io::Error::other("the log is broken by an earlier error, until its next file"));
        };
        if record.len() > MAX_RECORD {
            self.failures += 1;
            let message = format!("a record of {} bytes is longer than {MAX_RECORD}", record.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.buffer.clear();
        self.buffer.extend_from_slice(&(record.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(&xxh3_64(record).to_le_bytes());
        self.buffer.extend_from_slice(record);
        if let Err(error) = file.write_all(&self.buffer) {
            self.file = None;
            self.failures += 1;
            return Err(error);
        }
        self.bytes += self.buffer.len() as u64;
        Ok(())
    }

    /// Begins a new file and gives its number: what is appended from now on is in it. Mends a broken log.
    ///
    /// # Errors
    /// The file system refuses; the log then goes on in the old file, or stays broken.
    pub fn rotate(&mut self) -> io::Result<SegmentNo> {
        let before = self.segment;
        self.segment = SegmentNo(before.0 + 1);
        match self.create() {
            Ok(file) => {
                self.file = Some(file);
                Ok(self.segment)
            }
            Err(error) => {
                self.segment = before;
                self.failures += 1;
                Err(error)
            }
        }
    }

    /// Removes the files before `segment`: a checkpoint holds what is in them.
    ///
    /// # Errors
    /// The file system refuses; what is left is replayed needlessly, or removed by the next call.
    pub fn remove_before(&mut self, segment: SegmentNo) -> io::Result<()> {
        for file in replay::files_in(&self.dir)? {
            if file.shard == self.shard && file.segment < segment {
                fs::remove_file(&file.path)?;
                self.bytes = self.bytes.saturating_sub(file.bytes);
            }
        }
        Ok(())
    }

    /// Bytes appended by this process and not yet removed, about.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether appending fails until the next [`Wal::rotate`].
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.file.is_none()
    }

    /// Records not written and files not begun, since the start.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures
    }

    fn create(&mut self) -> io::Result<File> {
        let path = self.dir.join(replay::file_name(self.shard, self.segment));
        // A leftover of a failed attempt holds no record that anyone was told of.
        let mut file = File::create(path)?;
        file.write_all(MAGIC)?;
        self.bytes += MAGIC.len() as u64;
        Ok(file)
    }
}

/// Removes every file of shards from `shards` up: after the number of shards shrank and a checkpoint holds
/// what is in them.
///
/// # Errors
/// The file system refuses.
pub fn remove_shards_from(data_dir: &Path, shards: u32) -> io::Result<()> {
    for file in files(data_dir)? {
        if file.shard >= shards {
            fs::remove_file(&file.path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
