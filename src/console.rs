//! What commands print: answers on standard output, remarks on standard error.
//!
//! `println!` panics where nobody reads any more, as in `watchbell check ... | head -1`; a tool is to end
//! quietly then.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};

/// Standard output was closed by its reader: no fault, but what was asked for could not be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("standard output is closed")]
pub struct Closed;

/// Prints a line of what was asked for.
///
/// # Errors
/// [`Closed`], or standard output can not be written.
pub fn line(text: Arguments<'_>) -> anyhow::Result<()> {
    write(&mut io::stdout().lock(), format_args!("{text}\n"))
}

/// Prints text as it is.
///
/// # Errors
/// [`Closed`], or standard output can not be written.
pub fn text(text: &str) -> anyhow::Result<()> {
    write(&mut io::stdout().lock(), format_args!("{text}"))
}

fn write(out: &mut impl Write, text: Arguments<'_>) -> anyhow::Result<()> {
    match out.write_fmt(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(error) => Err(anyhow::Error::new(error).context("can not print")),
    }
}

/// Prints a remark to standard error; where nobody reads it, it is lost.
pub fn note(text: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_is_told_from_a_full_disk() {
        let failed = |kind| write(&mut Fails(kind), format_args!("x")).expect_err("fails");
        assert!(failed(ErrorKind::BrokenPipe).is::<Closed>());
        let full = failed(ErrorKind::StorageFull);
        assert!(!full.is::<Closed>() && full.to_string().contains("can not print"), "{full:#}");
    }
}
