//! The frame of all that Zabbix's own programs say to each other: `ZBXD`, flags, lengths, payload.
//!
//! Source: Zabbix manual, "Header and data length". Lengths are little endian, 4 bytes each, 8 with the flag of large
//! packets. TCP may split a frame anywhere, so [`decode`] is asked again with more bytes.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

const MAGIC: &[u8; 4] = b"ZBXD";
const ZABBIX: u8 = 0x01;
const COMPRESSED: u8 = 0x02;
const LARGE: u8 = 0x04;

/// What [`decode`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes are needed, counted from the first one of the frame, to get any further.
    Needs(usize),
    /// The payload, decompressed.
    Payload(Vec<u8>),
}

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It does not begin as a frame does.
    #[error(
        "the answer is not in Zabbix's protocol; does the address belong to a server's or proxy's trapper port (usually 10051), and does it want TLS?"
    )]
    NotZabbix,
    /// Flags of a later protocol.
    #[error("the answer has flags {0:#04x}, which this version does not know")]
    Flags(u8),
    /// Longer than any answer should be.
    #[error("the answer is {0} bytes long, which no answer should be")]
    TooLong(u64),
    /// It does not decompress to what it says.
    #[error("the compressed answer is damaged")]
    Damaged,
}

/// The frame of `payload`. Without compression where that makes it no shorter.
#[must_use]
pub fn encode(payload: &[u8], compress: bool) -> Vec<u8> {
    let packed = if compress { deflate(payload).filter(|packed| packed.len() < payload.len()) } else { None };
    let (flags, body) = packed.as_deref().map_or((ZABBIX, payload), |packed| (ZABBIX | COMPRESSED, packed));
    // The second length is that of the payload before compression.
    let (length, unpacked) = (body.len() as u64, if flags & COMPRESSED == 0 { 0 } else { payload.len() as u64 });
    let mut frame = Vec::with_capacity(body.len() + 21);
    frame.extend_from_slice(MAGIC);
    match (u32::try_from(length), u32::try_from(unpacked)) {
        (Ok(length), Ok(unpacked)) => {
            frame.push(flags);
            frame.extend_from_slice(&length.to_le_bytes());
            frame.extend_from_slice(&unpacked.to_le_bytes());
        }
        _ => {
            frame.push(flags | LARGE);
            frame.extend_from_slice(&length.to_le_bytes());
            frame.extend_from_slice(&unpacked.to_le_bytes());
        }
    }
    frame.extend_from_slice(body);
    frame
}

fn deflate(payload: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(payload.len() / 4), Compression::fast());
    encoder.write_all(payload).ok()?;
    encoder.finish().ok()
}

/// Reads the frame that `bytes` begin with, of which neither the frame nor its payload may be longer than `most`.
///
/// # Errors
/// The bytes are no frame, whatever may follow.
pub fn decode(bytes: &[u8], most: usize) -> Result<Progress, FrameError> {
    let begun = bytes.len().min(MAGIC.len());
    if bytes[..begun] != MAGIC[..begun] {
        return Err(FrameError::NotZabbix);
    }
    let Some(&flags) = bytes.get(MAGIC.len()) else { return Ok(Progress::Needs(MAGIC.len() + 1)) };
    if flags & ZABBIX == 0 || flags & !(ZABBIX | COMPRESSED | LARGE) != 0 {
        return Err(FrameError::Flags(flags));
    }
    let width = if flags & LARGE == 0 { 4 } else { 8 };
    let header = MAGIC.len() + 1 + 2 * width;
    if bytes.len() < header {
        return Ok(Progress::Needs(header));
    }
    let number = |at: usize| bytes[at..at + width].iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    let (length, unpacked) = (number(MAGIC.len() + 1), number(MAGIC.len() + 1 + width));
    let within = |length: u64| usize::try_from(length).ok().filter(|n| *n <= most).ok_or(FrameError::TooLong(length));
    let end = header + within(length)?;
    let Some(body) = bytes.get(header..end) else { return Ok(Progress::Needs(end)) };
    if flags & COMPRESSED == 0 {
        return Ok(Progress::Payload(body.to_vec()));
    }
    let unpacked = within(unpacked)?;
    let mut payload = Vec::with_capacity(unpacked);
    // One byte more than it says shows one that lies.
    let read = ZlibDecoder::new(body).take(unpacked as u64 + 1).read_to_end(&mut payload);
    if read.is_err() || payload.len() != unpacked {
        return Err(FrameError::Damaged);
    }
    Ok(Progress::Payload(payload))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 1 << 20;

    /// Feeds `frame` byte by byte, as the slowest network would.
    fn trickle(frame: &[u8]) -> Result<Vec<u8>, FrameError> {
        for end in 0..=frame.len() {
            match decode(&frame[..end], MOST)? {
                Progress::Needs(needs) => assert!(needs > end && end < frame.len(), "{needs} of {end}"),
                Progress::Payload(payload) => {
                    assert_eq!(end, frame.len());
                    return Ok(payload);
                }
            }
        }
        panic!("never whole");
    }

    #[test]
    fn as_zabbix_sender_writes_it() {
        assert_eq!(encode(b"{\"a\":1}", false), b"ZBXD\x01\x07\0\0\0\0\0\0\0{\"a\":1}");
        let long = [b'x'; 1_000];
        let frame = encode(&long, true);
        assert_eq!((frame[4], &frame[9..13]), (3, &1_000u32.to_le_bytes()[..]));
        assert!(frame.len() < 100);
        assert_eq!(trickle(&frame).as_deref(), Ok(&long[..]));
        // What gets no shorter goes as it is.
        assert_eq!(encode(b"x", true), encode(b"x", false));
    }

    #[test]
    fn large_and_compressed_frames_are_read() {
        let mut large = b"ZBXD\x05\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0ok".to_vec();
        assert_eq!(trickle(&large).as_deref(), Ok(&b"ok"[..]));
        let packed = deflate(b"hello hello hello").expect("packed");
        large = b"ZBXD\x07".to_vec();
        large.extend_from_slice(&(packed.len() as u64).to_le_bytes());
        large.extend_from_slice(&17u64.to_le_bytes());
        large.extend_from_slice(&packed);
        assert_eq!(trickle(&large).as_deref(), Ok(&b"hello hello hello"[..]));
    }

    #[test]
    fn what_is_no_frame() {
        assert_eq!(decode(b"HTTP/1.1 400", MOST), Err(FrameError::NotZabbix));
        assert_eq!(decode(b"\x15\x03\x03", MOST), Err(FrameError::NotZabbix));
        assert_eq!(decode(b"ZBXD\x00", MOST), Err(FrameError::Flags(0)));
        assert_eq!(decode(b"ZBXD\x09", MOST), Err(FrameError::Flags(9)));
        assert_eq!(decode(b"ZBXD\x01\xff\xff\xff\x7f\0\0\0\0", MOST), Err(FrameError::TooLong(0x7fff_ffff)));
        // A small frame that unpacks to more than it says, to less, and to more than is allowed.
        let mut bomb = encode(&[0; 100_000], true);
        assert_eq!(decode(&bomb, 50_000), Err(FrameError::TooLong(100_000)));
        for lie in [10u32, 200_000] {
            bomb[9..13].copy_from_slice(&lie.to_le_bytes());
            assert_eq!(decode(&bomb, MOST), Err(FrameError::Damaged));
        }
    }

    proptest! {
        #[test]
        fn any_payload_comes_back(payload: Vec<u8>, compress: bool) {
            prop_assert_eq!(trickle(&encode(&payload, compress)), Ok(payload));
        }

        #[test]
        fn any_bytes_are_survived(start in 0usize..14, bytes: Vec<u8>) {
            let mut frame = encode(b"some payload", true)[..start].to_vec();
            frame.extend(bytes);
            let _ = decode(&frame, 1_000);
        }
    }
}
