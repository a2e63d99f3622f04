//! Lines of a stream that comes in pieces.

/// The longest line that is taken, in bytes: plugins may print much.
pub(super) const MAX_LINE: usize = 4 << 20;

/// Puts lines together.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
    /// Whether the line at hand is too long and dropped up to its end.
    dropping: bool,
}

impl Lines {
    /// Adds a piece; calls `found` with each whole line, or with `None` for one that was too long.
    pub(super) fn add(&mut self, piece: &[u8], mut found: impl FnMut(Option<&[u8]>)) {
        let mut piece = piece;
        while let Some(end) = memchr::memchr(b'\n', piece) {
            let (head, tail) = (&piece[..end], &piece[end + 1..]);
            if self.dropping || self.rest.len() + head.len() > MAX_LINE {
                found(None);
            } else if self.rest.is_empty() {
                found(Some(head));
            } else {
                self.rest.extend_from_slice(head);
                found(Some(&self.rest));
            }
            self.rest.clear();
            self.dropping = false;
            piece = tail;
        }
        if self.dropping || self.rest.len() + piece.len() > MAX_LINE {
            self.rest.clear();
            self.dropping = true;
        } else {
            self.rest.extend_from_slice(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_lines() {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in [&b"a"[..], b"b\nc\n\nd", b"", b"e", b"\n"] {
            lines.add(piece, |line| found.push(line.map(<[u8]>::to_vec)));
        }
        let text: Vec<_> = found.iter().map(|line| String::from_utf8_lossy(line.as_deref().expect("fits"))).collect();
        assert_eq!(text, ["ab", "c", "", "de"]);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let piece = vec![b'x'; MAX_LINE / 2 + 1];
        for _ in 0..5 {
            lines.add(&piece, |line| found.push(line.map(<[u8]>::len)));
            assert!(lines.rest.len() <= MAX_LINE);
        }
        lines.add(b"\nok\n", |line| found.push(line.map(<[u8]>::len)));
        assert_eq!(found, [None, Some(2)]);
    }
}
