//! Reads the log back after a crash.
//!
//! A record that is cut by the end of its file was never acknowledged: reading ends there quietly. A wrong
//! checksum or an impossible length before that is damage: the rest of that file is copied aside, reported,
//! and reading goes on with the next file.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::{MAGIC, MAX_RECORD, RECORD_HEADER, SegmentNo};
use crate::store::SET_ASIDE;

const READ_BUFFER: usize = 1 << 20;

/// One file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalFile {
    /// Shard that wrote it.
    pub shard: u32,
    /// Its number.
    pub segment: SegmentNo,
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
}

/// What a replay brought.
#[derive(Debug, Default)]
pub struct ReplayReport {
    /// Records handed out.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that end in a record cut short, as after a kill or a full disk.
    pub torn: u32,
    /// Damaged rests of files: where a copy is, and what is wrong.
    pub set_aside: Vec<(PathBuf, String)>,
}

impl ReplayReport {
    /// Adds what another thread replayed.
    pub fn merge(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.torn += other.torn;
        self.set_aside.extend(other.set_aside);
    }
}

/// The files of the log under `data_dir`, of all shards, in the order of shards and then of writing.
///
/// # Errors
/// The folder can not be read. A missing folder is an empty log.
pub fn files(data_dir: &Path) -> io::Result<Vec<WalFile>> {
    files_in(&data_dir.join("wal"))
}

pub(super) fn files_in(dir: &Path) -> io::Result<Vec<WalFile>> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some((shard, segment)) = entry.file_name().to_str().and_then(parse_name) {
            all.push(WalFile { shard, segment, path: entry.path(), bytes: entry.metadata()?.len() });
        }
    }
    all.sort_unstable_by_key(|file| (file.shard, file.segment));
    Ok(all)
}

pub(super) fn file_name(shard: u32, segment: SegmentNo) -> String {
    format!("shard-{shard}-{}.wal", segment.0)
}

fn parse_name(name: &str) -> Option<(u32, SegmentNo)> {
    let (shard, segment) = name.strip_prefix("shard-")?.strip_suffix(".wal")?.split_once('-')?;
    Some((shard.parse().ok()?, SegmentNo(segment.parse().ok()?)))
}

/// Hands out every good record of `files` in order, each with the shard that wrote it. Files of different
/// shards may be replayed by different threads.
///
/// # Errors
/// A file can not be read, or a copy of its damaged rest not be made.
pub fn replay(data_dir: &Path, files: &[WalFile], mut take: impl FnMut(u32, &[u8])) -> io::Result<ReplayReport> {
    let mut report = ReplayReport::default();
    let mut record = Vec::new();
    for file in files {
        let mut reader = Reader::open(&file.path)?;
        let end = loop {
            match reader.next(&mut record)? {
                Next::Record => {
                    report.records += 1;
                    report.bytes += record.len() as u64;
                    take(file.shard, &record);
                }
                end => break end,
            }
        };
        match end {
            Next::Torn => report.torn += 1,
            Next::Damaged(what) => {
                let message = format!("`{}` is damaged at byte {}: {what}", file.path.display(), reader.at);
                report.set_aside.push((copy_rest(data_dir, file, reader.at)?, message));
            }
            Next::Record | Next::End => {}
        }
    }
    Ok(report)
}

enum Next {
    Record,
    End,
    Torn,
    Damaged(&'static str),
}

struct Reader {
    file: BufReader<File>,
    at: u64,
    len: u64,
}

impl Reader {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file: BufReader::with_capacity(READ_BUFFER, file), at: 0, len })
    }

    fn next(&mut self, record: &mut Vec<u8>) -> io::Result<Next> {
        if self.at == 0 {
            if self.len < MAGIC.len() as u64 {
                return Ok(Next::Torn);
            }
            let mut magic = [0; MAGIC.len()];
            self.file.read_exact(&mut magic)?;
            if &magic != MAGIC {
                return Ok(Next::Damaged("it does not begin like a log of this program"));
            }
            self.at = MAGIC.len() as u64;
        }
        let left = self.len - self.at;
        if left < RECORD_HEADER as u64 {
            return Ok(if left == 0 { Next::End } else { Next::Torn });
        }
        let (mut length, mut sum) = ([0; 4], [0; 8]);
        self.file.read_exact(&mut length)?;
        self.file.read_exact(&mut sum)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_RECORD {
            return Ok(Next::Damaged("an impossible length"));
        }
        if (length + RECORD_HEADER) as u64 > left {
            return Ok(Next::Torn);
        }
        record.resize(length, 0);
        self.file.read_exact(record)?;
        if xxh3_64(record).to_le_bytes() != sum {
            return Ok(Next::Damaged("a wrong checksum"));
        }
        self.at += (length + RECORD_HEADER) as u64;
        Ok(Next::Record)
    }
}

/// Copies what follows byte `at` aside. The file itself stays until a checkpoint replaces it, and a second
/// replay writes the same copy again.
fn copy_rest(data_dir: &Path, file: &WalFile, at: u64) -> io::Result<PathBuf> {
    let aside = data_dir.join(SET_ASIDE);
    fs::create_dir_all(&aside)?;
    let to = aside.join(format!("wal-{}.from-{at}", file_name(file.shard, file.segment)));
    let mut from = File::open(&file.path)?;
    from.seek(SeekFrom::Start(at))?;
    io::copy(&mut from, &mut File::create(&to)?)?;
    Ok(to)
}
