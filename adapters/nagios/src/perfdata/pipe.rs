//! A named pipe that Nagios writes into (`service_perfdata_file_mode=p`).
//!
//! Opened without waiting for a writer and read as it fills. A pipe holds 64 KiB: while nobody reads, Nagios
//! drops what does not fit, and never waits.

use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use tokio::net::unix::pipe;

use watchbell_adapter_api::follow::CHUNK;

/// Opens the pipe at `path`, which is made where there is none.
///
/// # Errors
/// It can not be made or opened, or is something else than a pipe.
pub(crate) fn open(path: &Path) -> io::Result<pipe::Receiver> {
    match std::fs::metadata(path) {
        Ok(about) if about.file_type().is_fifo() => {}
        Ok(_) => return Err(io::Error::other("it is no pipe; name a file under `files`")),
        Err(error) if error.kind() == ErrorKind::NotFound => make(path)?,
        Err(error) => return Err(error),
    }
    pipe::OpenOptions::new().open_receiver(path)
}

fn make(path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    // Readable and writable for the group: Nagios runs as another user.
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o660), 0)?;
    Ok(())
}

/// Cuts what was read into whole lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    held: Vec<u8>,
    skipping: bool,
}

impl Lines {
    /// Adds what was read; gives the whole lines, and whether a line that is too long was dropped.
    pub(crate) fn add(&mut self, mut read: &[u8]) -> (Vec<u8>, bool) {
        if self.skipping {
            let Some(end) = memchr::memchr(b'\n', read) else { return (Vec::new(), false) };
            read = &read[end + 1..];
            self.skipping = false;
        }
        self.held.extend_from_slice(read);
        match memchr::memrchr(b'\n', &self.held) {
            Some(end) => {
                let rest = self.held.split_off(end + 1);
                (std::mem::replace(&mut self.held, rest), false)
            }
            None if self.held.len() > CHUNK => {
                self.held = Vec::new();
                self.skipping = true;
                (Vec::new(), true)
            }
            None => (Vec::new(), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_in_pieces() {
        let mut lines = Lines::default();
        assert_eq!(lines.add(b"on"), (vec![], false));
        assert_eq!(lines.add(b"e\ntwo\nth"), (b"one\ntwo\n".to_vec(), false));
        assert_eq!(lines.add(b"ree\n"), (b"three\n".to_vec(), false));
        assert_eq!(lines.add(&vec![b'x'; CHUNK + 1]), (vec![], true));
        assert_eq!(lines.add(b"xxx"), (vec![], false));
        assert_eq!(lines.add(b"x\nfour\n"), (b"four\n".to_vec(), false));
    }

    #[tokio::test]
    async fn a_pipe_is_made_and_read_without_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("pipe");
        let receiver = open(&path).expect("made and opened");
        let mut bytes = [0; 16];
        let mut writer = std::fs::File::options().write(true).open(&path).expect("opened");
        writer.write_all(b"one\n").expect("written");
        receiver.readable().await.expect("readable");
        assert_eq!(receiver.try_read(&mut bytes).expect("read"), 4);
        assert!(open(&path).is_ok());
        std::fs::write(folder.path().join("file"), "").expect("written");
        assert!(open(&folder.path().join("file")).expect_err("a file").to_string().contains("no pipe"));
    }
}
