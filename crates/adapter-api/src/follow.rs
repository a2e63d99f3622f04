//! A file that grows, is renamed away, is cut to nothing, and ends in half a line now and then.
//!
//! Blocks; a source calls it on threads that may. Only whole lines are given out, and a position moves only
//! when the owner says that they were taken, so nothing is lost where reading breaks off.

mod positions;

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::positions::{Position, Positions};

/// Most bytes of one chunk; a longer line is skipped.
pub const CHUNK: usize = 256 * 1024;

/// What a look at the file gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Whole lines.
    Lines {
        /// First byte of them.
        from: u64,
        /// The lines.
        bytes: Vec<u8>,
    },
    /// Nothing new, for now.
    Nothing,
    /// There is no file, which is as it should be right after a rotation.
    Missing,
    /// Another file has the name: the old one is read to its end. The bytes of a last line without an end
    /// are lost, since a cut number is a wrong one.
    Rotated {
        /// Bytes lost.
        lost: u64,
    },
    /// The file was cut; reading starts at its beginning.
    Truncated,
    /// A line longer than a chunk was skipped.
    LongLine {
        /// First byte of it.
        at: u64,
    },
}

/// Reads one file.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    positions: Arc<Positions>,
    /// Whether a file that was never seen is read from its beginning.
    from_start: bool,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    at: Position,
    /// In the middle of a line that is too long.
    skipping: bool,
    /// The name belongs to another file since the last look.
    leaving: bool,
}

impl Follow {
    /// Follows `path` from where `positions` says; `from_start` is for a file that was never seen.
    #[must_use]
    pub fn new(path: PathBuf, positions: Arc<Positions>, from_start: bool) -> Self {
        Self { path, positions, from_start, open: None }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks once.
    ///
    /// # Errors
    /// The file can not be opened or read, or is no regular file.
    pub fn look(&mut self) -> io::Result<Found> {
        if self.open.is_none() {
            match std::fs::metadata(&self.path) {
                Ok(about) => self.open = Some(self.opened(&about)?),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Missing),
                Err(error) => return Err(error),
            }
        }
        loop {
            let Some(open) = &mut self.open else { return Ok(Found::Nothing) };
            let length = open.file.metadata()?.len();
            if length < open.at.offset {
                open.at.offset = 0;
                open.skipping = false;
                return Ok(Found::Truncated);
            }
            let from = open.at.offset;
            let mut bytes = read(&open.file, from, length - from)?;
            if open.skipping {
                let end = memchr::memchr(b'\n', &bytes);
                open.skipping = end.is_none();
                open.at.offset += end.map_or(bytes.len(), |end| end + 1) as u64;
                if bytes.is_empty() {
                    return self.idle(length);
                }
                continue;
            }
            return match memchr::memrchr(b'\n', &bytes) {
                Some(end) => {
                    open.leaving = false;
                    bytes.truncate(end + 1);
                    Ok(Found::Lines { from, bytes })
                }
                None if bytes.len() == CHUNK => {
                    open.skipping = true;
                    open.at.offset += CHUNK as u64;
                    Ok(Found::LongLine { at: from })
                }
                None => self.idle(length),
            };
        }
    }

    /// No whole line: perhaps because the writer has gone on to another file.
    fn idle(&mut self, length: u64) -> io::Result<Found> {
        let Some(open) = &mut self.open else { return Ok(Found::Nothing) };
        match std::fs::metadata(&self.path) {
            Ok(about) if (about.dev(), about.ino()) != (open.at.device, open.at.inode) => {
                // The writer may have added to the old file just before it let go of it: one more look.
                if !open.leaving {
                    open.leaving = true;
                    return Ok(Found::Nothing);
                }
                let lost = length - open.at.offset;
                self.open = None;
                Ok(Found::Rotated { lost })
            }
            Ok(_) => Ok(Found::Nothing),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::Missing),
            Err(error) => Err(error),
        }
    }

    fn opened(&self, about: &Metadata) -> io::Result<Open> {
        if !about.is_file() {
            // Opening a pipe would wait for its writer.
            let what = if about.file_type().is_fifo() { "a pipe; name it under `pipes`" } else { "no regular file" };
            return Err(io::Error::other(format!("it is {what}")));
        }
        let file = File::open(&self.path)?;
        let about = file.metadata()?;
        let (device, inode) = (about.dev(), about.ino());
        let offset = match self.positions.of(&self.path) {
            Some(known) if (known.device, known.inode) == (device, inode) => known.offset,
            Some(_) => 0,
            None if self.from_start => 0,
            None => about.len(),
        };
        Ok(Open { file, at: Position { device, inode, offset }, skipping: false, leaving: false })
    }

    /// The lines up to `offset` were taken.
    ///
    /// # Errors
    /// The position can not be kept; reading goes on all the same.
    pub fn taken(&mut self, offset: u64) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.at.offset = offset;
        self.positions.note(&self.path, open.at)
    }
}

/// Up to a chunk of the `left` bytes of `file` at `from`.
fn read(file: &File, from: u64, left: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK))];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use tempfile::TempDir;

    struct Bench {
        folder: TempDir,
        follow: Follow,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let follow = Self::follow(&folder, true);
            Self { folder, follow }
        }

        fn follow(folder: &TempDir, from_start: bool) -> Follow {
            let positions = Arc::new(Positions::open(Some(&folder.path().join("state"))));
            Follow::new(folder.path().join("perf"), positions, from_start)
        }

        fn restart(&mut self, from_start: bool) {
            self.follow = Self::follow(&self.folder, from_start);
        }

        fn write(&self, text: &str) {
            let mut options = File::options();
            let mut file = options.append(true).create(true).open(self.follow.path()).expect("opened");
            file.write_all(text.as_bytes()).expect("written");
        }

        fn rename(&self, to: &str) {
            fs::rename(self.follow.path(), self.folder.path().join(to)).expect("renamed");
        }

        fn look(&mut self) -> Found {
            self.follow.look().expect("can be read")
        }

        /// Takes the lines that there must be.
        fn take(&mut self) -> String {
            match self.look() {
                Found::Lines { from, bytes } => {
                    self.follow.taken(from + bytes.len() as u64).expect("kept");
                    String::from_utf8(bytes).expect("text")
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn half_a_line_waits_for_its_end() {
        let mut bench = Bench::new();
        assert_eq!(bench.look(), Found::Missing);
        bench.write("one\ntw");
        assert_eq!(bench.take(), "one\n");
        assert_eq!(bench.look(), Found::Nothing);
        bench.write("o\n");
        assert_eq!(bench.take(), "two\n");
        assert_eq!(bench.look(), Found::Nothing);
    }

    #[test]
    fn lines_that_were_not_taken_come_again() {
        let mut bench = Bench::new();
        bench.write("one\n");
        let found = Found::Lines { from: 0, bytes: b"one\n".to_vec() };
        assert_eq!(bench.look(), found);
        assert_eq!(bench.look(), found);
        bench.restart(true);
        assert_eq!(bench.look(), found);
    }

    #[test]
    fn rotation_reads_the_old_file_to_its_end() {
        let mut bench = Bench::new();
        bench.write("one\n");
        assert_eq!(bench.take(), "one\n");
        bench.write("two\n");
        bench.rename("perf.1");
        assert_eq!(bench.take(), "two\n");
        assert_eq!(bench.look(), Found::Missing);
        bench.write("three\n");
        assert_eq!(bench.look(), Found::Nothing);
        fs::write(bench.folder.path().join("perf.1"), "one\ntwo\nlate\nha").expect("written");
        assert_eq!(bench.take(), "late\n");
        assert_eq!(bench.look(), Found::Nothing);
        assert_eq!(bench.look(), Found::Rotated { lost: 2 });
        assert_eq!(bench.take(), "three\n");
    }

    #[test]
    fn truncation_starts_anew() {
        let mut bench = Bench::new();
        bench.write("one\ntwo\n");
        bench.take();
        fs::write(bench.follow.path(), "new\n").expect("written");
        assert_eq!(bench.look(), Found::Truncated);
        assert_eq!(bench.take(), "new\n");
    }

    #[test]
    fn position_outlasts_a_restart() {
        let mut bench = Bench::new();
        bench.write("one\n");
        bench.take();
        bench.write("two\n");
        bench.restart(true);
        assert_eq!(bench.take(), "two\n");
        // Rotated while nobody looked: the new file is read from its beginning, whatever the config says.
        bench.rename("perf.1");
        bench.write("three\n");
        bench.restart(false);
        assert_eq!(bench.take(), "three\n");
    }

    #[test]
    fn a_file_never_seen_may_be_read_from_its_end() {
        let mut bench = Bench::new();
        bench.write("old\n");
        bench.restart(false);
        assert_eq!(bench.look(), Found::Nothing);
        bench.write("new\n");
        assert_eq!(bench.take(), "new\n");
    }

    #[test]
    fn an_endless_line_is_skipped() {
        let mut bench = Bench::new();
        bench.write(&"x".repeat(2 * CHUNK + 5));
        assert_eq!(bench.look(), Found::LongLine { at: 0 });
        assert_eq!(bench.look(), Found::Nothing);
        bench.write("\ngood\n");
        assert_eq!(bench.take(), "good\n");
    }

    #[test]
    fn a_folder_or_a_pipe_is_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut follow = Follow::new(folder.path().to_owned(), Arc::new(Positions::open(None)), true);
        assert!(follow.look().expect_err("a folder").to_string().contains("no regular file"));
    }
}
