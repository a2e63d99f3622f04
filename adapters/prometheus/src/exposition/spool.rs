//! A page held deflated while it is written: several blocks grow at once and come out one after the other.
//!
//! The text formats want the lines of a family together, while scores are read series by series. So each
//! family is deflated into a block of its own; a page of 100,000 series is then some MB instead of a
//! hundred. A block ends on a byte boundary (deflate's sync flush) and refers to nothing before it, so
//! the blocks behind one another are one valid deflate stream: a gzip answer needs no second pass.
//! Formats: RFC 1951 (deflate), RFC 1952 (gzip).

use std::io::{self, Cursor, Read, Write};

use bytes::Bytes;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// Plain bytes that are gathered before they are deflated.
const GATHER: usize = 64 * 1024;
/// Most bytes in one piece of a plain answer.
const PIECE: usize = 64 * 1024;
/// An empty final block, which ends a deflate stream.
const END: [u8; 2] = [0x03, 0x00];

/// One block that grows.
pub(super) struct Block {
    plain: Vec<u8>,
    deflated: DeflateEncoder<Vec<u8>>,
    crc: Crc,
}

/// A whole page, deflated.
pub(super) struct Page {
    deflated: Vec<u8>,
    crc: Crc,
}

impl Block {
    pub(super) fn new() -> Self {
        Self {
            plain: Vec::with_capacity(GATHER + 4 * 1024),
            deflated: DeflateEncoder::new(Vec::new(), Compression::fast()),
            crc: Crc::new(),
        }
    }

    /// Where to append text; call [`Block::settle`] after each line or few.
    pub(super) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.plain
    }

    /// Deflates what was appended, once it is much.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        if self.plain.len() >= GATHER { self.deflate() } else { Ok(()) }
    }

    fn deflate(&mut self) -> io::Result<()> {
        self.crc.update(&self.plain);
        self.deflated.write_all(&self.plain)?;
        self.plain.clear();
        Ok(())
    }
}

impl Page {
    /// The blocks behind one another.
    pub(super) fn join(blocks: impl IntoIterator<Item = Block>) -> io::Result<Self> {
        let mut page = Self { deflated: Vec::new(), crc: Crc::new() };
        for mut block in blocks {
            block.deflate()?;
            block.deflated.flush()?;
            page.deflated.append(block.deflated.get_mut());
            page.crc.combine(&block.crc);
        }
        page.deflated.extend_from_slice(&END);
        Ok(page)
    }

    /// The page as a gzip file.
    pub(super) fn into_gzip(self) -> Bytes {
        let mut file = Vec::with_capacity(self.deflated.len() + 18);
        // Magic, deflate, no flags, no time, no hint, unknown system.
        file.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        file.extend_from_slice(&self.deflated);
        file.extend_from_slice(&self.crc.sum().to_le_bytes());
        file.extend_from_slice(&self.crc.amount().to_le_bytes());
        file.into()
    }

    /// The page in plain pieces, each inflated when it is asked for.
    pub(super) fn into_plain(self) -> impl Iterator<Item = io::Result<Bytes>> {
        let mut reader = flate2::read::DeflateDecoder::new(Cursor::new(self.deflated));
        std::iter::from_fn(move || {
            let mut piece = Vec::with_capacity(PIECE);
            match Read::by_ref(&mut reader).take(PIECE as u64).read_to_end(&mut piece) {
                Ok(0) => None,
                Ok(_) => Some(Ok(piece.into())),
                Err(e) => Some(Err(e)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(blocks: &[&str]) -> Page {
        Page::join(blocks.iter().map(|text| {
            let mut block = Block::new();
            for line in text.split_inclusive('\n') {
                block.text().extend_from_slice(line.as_bytes());
                block.settle().expect("memory takes all");
            }
            block
        }))
        .expect("memory takes all")
    }

    #[test]
    fn blocks_are_one_stream() {
        let long: String = (0..20_000).map(|i| format!("a{{n=\"{i}\"}} {}\n", i % 7)).collect();
        let blocks = [long.as_str(), "", "b 1\n", long.as_str()];
        let want = blocks.concat();

        let mut got = String::new();
        let gzip = page(&blocks).into_gzip();
        assert!(gzip.len() * 4 < want.len(), "{} of {}", gzip.len(), want.len());
        flate2::read::GzDecoder::new(&gzip[..]).read_to_string(&mut got).expect("valid gzip with the right sum");
        assert!(got == want);

        let pieces: Vec<Bytes> = page(&blocks).into_plain().collect::<io::Result<_>>().expect("valid deflate");
        assert!(pieces.iter().all(|piece| piece.len() <= PIECE) && pieces.len() > 1);
        assert!(pieces.concat() == want.as_bytes());
    }

    #[test]
    fn an_empty_page_is_valid() {
        let mut got = Vec::new();
        flate2::read::GzDecoder::new(&page(&[]).into_gzip()[..]).read_to_end(&mut got).expect("valid gzip");
        assert!(got.is_empty());
    }
}
