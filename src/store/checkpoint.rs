//! Detector state on disk: segments of shards, grouped into generations.
//!
//! ```text
//! checkpoint/CURRENT                        "gen-12": the generation that is complete
//! checkpoint/gen-12/shard-0-3.wbc           segment 3 of shard 0, see `segment`
//! ```
//! A writer fills the next generation with the segments that changed, links those that did not, syncs, and
//! then replaces `CURRENT`. A kill at any point leaves the old generation whole. Segments carry a checksum
//! over header and payload; what does not fit is moved aside, reported, and learned anew. Data comes from
//! the shards as bytes and goes back to them as bytes: this module knows nothing of what is inside.
//!
//! Sync policy: data is handed to the system on `write` and synced once in `commit`, before `CURRENT`
//! moves; so a checkpoint that is current has reached the disk, and judging never waits for it.

mod segment;
mod writer;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use segment::{Damage, FORMAT_VERSION, StateVersions};
pub use writer::{Committed, Writer};

use crate::store::{SET_ASIDE, StoreError, move_aside};

const CURRENT: &str = "CURRENT";

/// Which part of the state: shard, and segment inside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId {
    /// Shard that wrote it.
    pub shard: u32,
    /// Segment, as the shard numbers them.
    pub segment: u32,
}

impl SegmentId {
    fn file_name(self) -> String {
        format!("shard-{}-{}.wbc", self.shard, self.segment)
    }

    fn parse(name: &str) -> Option<Self> {
        let (shard, segment) = name.strip_prefix("shard-")?.strip_suffix(".wbc")?.split_once('-')?;
        let id = Self { shard: shard.parse().ok()?, segment: segment.parse().ok()? };
        // Only the one spelling, so that no two files claim to be one segment.
        (id.file_name() == name).then_some(id)
    }
}

/// What loading brought.
#[derive(Debug, Default)]
pub struct LoadReport {
    /// Segments taken.
    pub segments: usize,
    /// Payload bytes taken.
    pub bytes: u64,
    /// Files that could not be used: where they are now, and why.
    pub set_aside: Vec<(PathBuf, String)>,
}

impl LoadReport {
    /// Adds what another thread loaded.
    pub fn merge(&mut self, other: Self) {
        self.segments += other.segments;
        self.bytes += other.bytes;
        self.set_aside.extend(other.set_aside);
    }
}

/// The folder of checkpoints.
#[derive(Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    aside: PathBuf,
    versions: StateVersions,
    current: Option<u64>,
    opened: Vec<(PathBuf, String)>,
}

impl Checkpoints {
    /// Opens `data_dir/checkpoint`, made where missing. Generations that were never completed are removed;
    /// a `CURRENT` that makes no sense is moved aside with the generations beside it.
    ///
    /// `versions` are written into each segment; segments of newer versions are not handed out.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn open(data_dir: &Path, versions: StateVersions) -> Result<Self, StoreError> {
        let dir = data_dir.join("checkpoint");
        fs::create_dir_all(&dir).map_err(StoreError::io("create", &dir))?;
        let mut checkpoints =
            Self { aside: data_dir.join(SET_ASIDE), dir, versions, current: None, opened: Vec::new() };
        let generations = checkpoints.generations().map_err(StoreError::io("read", &checkpoints.dir))?;
        let why = match checkpoints.read_current(&generations) {
            Ok(current) => {
                checkpoints.current = current;
                None
            }
            Err(why) => Some(why),
        };
        if why.is_some() {
            checkpoints.put_aside(&checkpoints.dir.join(CURRENT), "it names no complete generation");
        }
        for generation in generations {
            let path = checkpoints.generation_dir(generation);
            match &why {
                Some(why) => checkpoints.put_aside(&path, why),
                None if checkpoints.current != Some(generation) => {
                    fs::remove_dir_all(&path).map_err(StoreError::io("remove", &path))?;
                }
                None => {}
            }
        }
        Ok(checkpoints)
    }

    /// Whether there is a checkpoint to load.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.current.is_some()
    }

    /// What [`Checkpoints::open`] moved aside, and why.
    #[must_use]
    pub fn set_aside_at_open(&self) -> &[(PathBuf, String)] {
        &self.opened
    }

    /// The segments of the current generation, in order. Read them with [`Checkpoints::load`], from as many
    /// threads as are wanted.
    ///
    /// # Errors
    /// The folder can not be read.
    pub fn segments(&self) -> Result<Vec<SegmentId>, StoreError> {
        let Some(current) = self.current else { return Ok(Vec::new()) };
        let dir = self.generation_dir(current);
        let read = || -> io::Result<Vec<SegmentId>> {
            let mut all = Vec::new();
            for entry in fs::read_dir(&dir)? {
                all.extend(entry?.file_name().to_str().and_then(SegmentId::parse));
            }
            all.sort_unstable();
            Ok(all)
        };
        read().map_err(StoreError::io("read", &dir))
    }

    /// Reads `wanted` in turn and gives each good one to `take`, with the versions that it was written
    /// with. One that is damaged, of a newer version, or that `take` refuses is moved aside.
    pub fn load(
        &self,
        wanted: &[SegmentId],
        mut take: impl FnMut(SegmentId, StateVersions, &[u8]) -> Result<(), String>,
    ) -> LoadReport {
        let mut report = LoadReport::default();
        let Some(current) = self.current else { return report };
        let dir = self.generation_dir(current);
        let mut buffer = Vec::new();
        for &id in wanted {
            let path = dir.join(id.file_name());
            let taken = read_file(&path, &mut buffer)
                .map_err(|e| format!("can not be read: {e}"))
                .and_then(|()| segment::decode(id, self.versions, &buffer).map_err(|damage| damage.to_string()))
                .and_then(|(versions, payload)| take(id, versions, payload).map(|()| payload.len()));
            match taken {
                Ok(bytes) => {
                    report.segments += 1;
                    report.bytes += bytes as u64;
                }
                Err(why) => report.set_aside.push(self.move_aside(&path, why)),
            }
        }
        report
    }

    /// Begins a new generation which keeps every segment that is not written again.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn begin(&mut self) -> Result<Writer<'_>, StoreError> {
        Writer::begin(self, true)
    }

    /// Begins a new generation of which only what is written will remain, for example after the number of
    /// shards changed.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn begin_full(&mut self) -> Result<Writer<'_>, StoreError> {
        Writer::begin(self, false)
    }

    fn generation_dir(&self, generation: u64) -> PathBuf {
        self.dir.join(format!("gen-{generation}"))
    }

    fn generations(&self) -> io::Result<Vec<u64>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            all.extend(name.to_str().and_then(|name| name.strip_prefix("gen-")?.parse::<u64>().ok()));
        }
        Ok(all)
    }

    fn read_current(&self, generations: &[u64]) -> Result<Option<u64>, String> {
        let text = match fs::read_to_string(self.dir.join(CURRENT)) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound && generations.is_empty() => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(format!("no checkpoint was completed yet (`{CURRENT}` is missing)"));
            }
            Err(e) => return Err(format!("`{CURRENT}` can not be read: {e}")),
        };
        let generation = text.trim().strip_prefix("gen-").and_then(|n| n.parse().ok());
        match generation.filter(|n| generations.contains(n)) {
            Some(generation) => Ok(Some(generation)),
            None => Err(format!("`{CURRENT}` names `{}`, which does not exist", text.trim().escape_debug())),
        }
    }

    fn put_aside(&mut self, path: &Path, why: &str) {
        if path.exists() {
            let entry = self.move_aside(path, why.to_owned());
            self.opened.push(entry);
        }
    }

    /// Where `path` is after the attempt to move it aside, and why it was.
    fn move_aside(&self, path: &Path, why: String) -> (PathBuf, String) {
        match move_aside(&self.aside, path) {
            Ok(to) => (to, why),
            Err(e) => (path.to_owned(), format!("{why}; it could not be moved to `{}`: {e}", self.aside.display())),
        }
    }
}

/// Reads a whole file into `buffer` in one go; the buffer is kept from file to file.
fn read_file(path: &Path, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    let mut file = File::open(path)?;
    buffer.reserve(usize::try_from(file.metadata()?.len()).unwrap_or(0));
    file.read_to_end(buffer)?;
    Ok(())
}

#[cfg(test)]
mod tests;
