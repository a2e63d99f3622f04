//! Writes one generation: changed segments anew, the others linked from the generation before.
//!
//! Nothing of the current generation is touched until `commit` has replaced `CURRENT`. A writer that is
//! dropped without `commit` leaves an unfinished folder which it removes, or the next start does.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use super::{CURRENT, Checkpoints, SegmentId, segment};
use crate::store::{StoreError, replace, sync_dir};

/// A generation in the making.
#[derive(Debug)]
pub struct Writer<'a> {
    checkpoints: &'a mut Checkpoints,
    generation: u64,
    dir: PathBuf,
    keep: bool,
    written: HashSet<SegmentId>,
    removed: HashSet<SegmentId>,
    bytes: u64,
    committed: bool,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Number of the generation that is now current.
    pub generation: u64,
    /// Segments written anew.
    pub written: usize,
    /// Segments kept from the generation before.
    pub kept: usize,
    /// Bytes written anew, headers included.
    pub bytes: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn begin(checkpoints: &'a mut Checkpoints, keep: bool) -> Result<Self, StoreError> {
        let generation = checkpoints.current.unwrap_or(0) + 1;
        let dir = checkpoints.generation_dir(generation);
        // What an earlier attempt left: never complete, because `CURRENT` names an older one.
        match fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(StoreError::io("remove", &dir)(e)),
            _ => fs::create_dir(&dir).map_err(StoreError::io("create", &dir))?,
        }
        Ok(Self {
            checkpoints,
            generation,
            dir,
            keep,
            written: HashSet::new(),
            removed: HashSet::new(),
            bytes: 0,
            committed: false,
        })
    }

    /// Writes one segment; a second write of the same one replaces the first.
    ///
    /// # Errors
    /// The file system refuses; the writer should then be dropped, the current generation stays.
    pub fn write(&mut self, shard: u32, segment: u32, payload: &[u8]) -> Result<(), StoreError> {
        let id = SegmentId { shard, segment };
        let path = self.dir.join(id.file_name());
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(&segment::header(id, self.checkpoints.versions, payload))?;
            file.write_all(payload)
        };
        write().map_err(StoreError::io("write", &path))?;
        self.bytes += (segment::HEADER_BYTES + payload.len()) as u64;
        self.removed.remove(&id);
        self.written.insert(id);
        Ok(())
    }

    /// Leaves a segment out of the new generation: the shard has no such segment any more.
    pub fn remove(&mut self, shard: u32, segment: u32) {
        self.removed.insert(SegmentId { shard, segment });
    }

    /// Makes this generation the current one and removes the one before.
    ///
    /// # Errors
    /// The file system refuses; the current generation stays what it was.
    pub fn commit(mut self) -> Result<Committed, StoreError> {
        let mut kept = 0;
        if self.keep
            && let Some(current) = self.checkpoints.current
        {
            let old = self.checkpoints.generation_dir(current);
            for id in self.checkpoints.segments()? {
                if self.written.contains(&id) || self.removed.contains(&id) {
                    continue;
                }
                let (from, to) = (old.join(id.file_name()), self.dir.join(id.file_name()));
                // Some file systems have no hard links.
                fs::hard_link(&from, &to)
                    .or_else(|_| fs::copy(&from, &to).and_then(|_| File::open(&to)?.sync_all()))
                    .map_err(StoreError::io("link", &to))?;
                kept += 1;
            }
        }
        for id in self.written.difference(&self.removed) {
            let path = self.dir.join(id.file_name());
            File::open(&path).and_then(|file| file.sync_all()).map_err(StoreError::io("sync", &path))?;
        }
        for id in self.written.intersection(&self.removed) {
            let path = self.dir.join(id.file_name());
            fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
        }
        sync_dir(&self.dir).map_err(StoreError::io("sync", &self.dir))?;
        let current = self.checkpoints.dir.join(CURRENT);
        replace(&current, format!("gen-{}\n", self.generation).as_bytes())
            .map_err(StoreError::io("write", &current))?;
        self.committed = true;
        if let Some(old) = self.checkpoints.current.replace(self.generation) {
            let old = self.checkpoints.generation_dir(old);
            // The new generation is in force whatever happens here; the next start removes what is left.
            if let Err(error) = fs::remove_dir_all(&old) {
                tracing::warn!(path = %old.display(), %error, "old checkpoint generation not removed");
            }
        }
        let written = self.written.difference(&self.removed).count();
        Ok(Committed { generation: self.generation, written, kept, bytes: self.bytes })
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if !self.committed {
            // Best effort: an unfinished generation is never read, and the next start removes it.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}
