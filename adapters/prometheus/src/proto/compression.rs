//! Decompression of a request body, bounded before anything is allocated.
//!
//! Remote write is snappy in its block format; VictoriaMetrics's agent prefers zstd. An agent that has
//! fallen back from one to the other sends what its disk queue holds under the header of the other, so a
//! body that is not what its header says is tried as the other.

use std::io::Read;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Snappy, block format.
    Snappy,
    /// Zstandard.
    Zstd,
}

impl Encoding {
    fn other(self) -> Self {
        match self {
            Self::Snappy => Self::Zstd,
            Self::Zstd => Self::Snappy,
        }
    }
}

/// Why a body can not be decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompressionError {
    /// Not what its header says, nor the other encoding.
    #[error("{0}")]
    Undecodable(String),
    /// It would be longer than is taken.
    #[error("the body is more than {max} bytes long when decompressed; send smaller requests")]
    TooLarge {
        /// The most that is taken.
        max: usize,
    },
}

const GZIP: &[u8] = &[0x1f, 0x8b];
const SNAPPY_FRAMED: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// The most that a snappy block can grow: 64 bytes from a copy of 3.
const SNAPPY_MOST: usize = 22;

/// Decompresses `body`, to at most `max` bytes.
///
/// # Errors
/// A body in neither encoding, or one that is longer than `max` when decompressed.
pub fn decompress(encoding: Encoding, body: &[u8], max: usize) -> Result<Vec<u8>, CompressionError> {
    let first = one(encoding, body, max);
    let Err(CompressionError::Undecodable(what)) = first else { return first };
    let second = one(encoding.other(), body, max);
    if second.is_ok() {
        return second;
    }
    Err(CompressionError::Undecodable(if body.is_empty() {
        "the body is empty".to_owned()
    } else if body.starts_with(GZIP) {
        "the body is gzip; send snappy (block format) or zstd".to_owned()
    } else if body.starts_with(SNAPPY_FRAMED) {
        "the body is a framed snappy stream; send the block format".to_owned()
    } else {
        what
    }))
}

fn one(encoding: Encoding, body: &[u8], max: usize) -> Result<Vec<u8>, CompressionError> {
    match encoding {
        Encoding::Snappy => snappy(body, max),
        Encoding::Zstd => zstd(body, max),
    }
}

fn snappy(body: &[u8], max: usize) -> Result<Vec<u8>, CompressionError> {
    let undecodable = |e: snap::Error| CompressionError::Undecodable(format!("snappy: {e}"));
    // Without a byte there is no length either, where the library takes it for an empty text.
    if body.is_empty() {
        return Err(CompressionError::Undecodable("snappy: the body is empty".to_owned()));
    }
    let len = snap::raw::decompress_len(body).map_err(undecodable)?;
    if len > body.len().saturating_mul(SNAPPY_MOST) {
        let what = format!("snappy: {} bytes can not hold the {len} that they promise", body.len());
        return Err(CompressionError::Undecodable(what));
    }
    if len > max {
        return Err(CompressionError::TooLarge { max });
    }
    let mut out = vec![0; len];
    let written = snap::raw::Decoder::new().decompress(body, &mut out).map_err(undecodable)?;
    out.truncate(written);
    Ok(out)
}

fn zstd(body: &[u8], max: usize) -> Result<Vec<u8>, CompressionError> {
    let undecodable = |e: &dyn std::fmt::Display| CompressionError::Undecodable(format!("zstd: {e}"));
    let known = zstd::zstd_safe::get_frame_content_size(body).map_err(|e| undecodable(&e))?;
    if known.is_some_and(|len| len > max as u64) {
        return Err(CompressionError::TooLarge { max });
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(body).map_err(|e| undecodable(&e))?;
    // 32 MiB of window: what the format asks every decoder to be ready for is 8.
    decoder.window_log_max(25).map_err(|e| undecodable(&e))?;
    // A length that is promised is trusted only as far as ordinary bodies shrink.
    let promised = known.map_or(0, |len| len as usize).min(body.len().saturating_mul(64));
    let mut out = Vec::with_capacity(promised + 1);
    decoder.take(max as u64 + 1).read_to_end(&mut out).map_err(|e| undecodable(&e))?;
    if out.len() > max {
        return Err(CompressionError::TooLarge { max });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 1 << 20;

    fn snappy_of(bytes: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(bytes).expect("compresses")
    }

    fn message(error: Result<Vec<u8>, CompressionError>) -> String {
        error.expect_err("refused").to_string()
    }

    #[test]
    fn takes_the_other_encoding_when_the_header_is_wrong() {
        let text = b"a disk queue of mixed blocks".repeat(10);
        let packed = zstd::encode_all(&text[..], 1).expect("compresses");
        for encoding in [Encoding::Snappy, Encoding::Zstd] {
            assert_eq!(decompress(encoding, &packed, MAX).as_deref(), Ok(&text[..]));
            assert_eq!(decompress(encoding, &snappy_of(&text), MAX).as_deref(), Ok(&text[..]));
        }
    }

    #[test]
    fn names_what_came_instead() {
        assert_eq!(message(decompress(Encoding::Snappy, b"", MAX)), "the body is empty");
        assert!(message(decompress(Encoding::Snappy, b"\x1f\x8b\x08\x00\x00\x00", MAX)).contains("gzip"));
        assert!(message(decompress(Encoding::Snappy, b"\xff\x06\x00\x00sNaPpY\x01", MAX)).contains("block format"));
        let mut cut = snappy_of(&[7; 500]);
        cut.pop();
        assert!(message(decompress(Encoding::Snappy, &cut, MAX)).starts_with("snappy: "));
    }

    #[test]
    fn bombs_are_refused_before_they_are_unpacked() {
        let too_large = CompressionError::TooLarge { max: 1000 };
        assert_eq!(decompress(Encoding::Snappy, &snappy_of(&[0; 4000]), 1000), Err(too_large.clone()));
        // 4 GiB promised by six bytes.
        let promise = message(decompress(Encoding::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0], MAX));
        assert_eq!(promise, "snappy: 6 bytes can not hold the 4294967295 that they promise");
        let packed = zstd::encode_all(&[0; 4000][..], 1).expect("compresses");
        assert_eq!(decompress(Encoding::Zstd, &packed, 1000), Err(too_large));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            for encoding in [Encoding::Snappy, Encoding::Zstd] {
                if let Ok(out) = decompress(encoding, &bytes, 500) {
                    prop_assert!(out.len() <= 500);
                }
            }
        }
    }
}
