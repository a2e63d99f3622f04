//! The data packet of NSCA, version 3: a C struct of fixed size, numbers big-endian.
//!
//! `i16` version, 2 bytes of padding, `u32` CRC-32 over the packet with this field 0, `u32` the daemon's own
//! timestamp, `i16` return code, `char[64]` host, `char[128]` service, `char[512]` or `char[4096]` output, padding
//! to a multiple of 4. Texts end with NUL.

use std::hash::{BuildHasher, Hasher, RandomState};

const HOST_AT: usize = 14;
const HOST: usize = 64;
const SERVICE_AT: usize = HOST_AT + HOST;
const SERVICE: usize = 128;
const OUTPUT_AT: usize = SERVICE_AT + SERVICE;

/// Writes one packet with `room` bytes for the output; texts that are longer are cut.
pub(super) fn packet(room: usize, time_s: u32, state: u8, host: &str, service: &str, output: &str) -> Vec<u8> {
    let size = (OUTPUT_AT + room).next_multiple_of(4);
    let mut bytes = vec![0; size];
    // Behind the texts stands noise: with XOR, known bytes would tell the password.
    noise(&mut bytes);
    bytes[..2].copy_from_slice(&3i16.to_be_bytes());
    bytes[2..8].fill(0);
    bytes[8..12].copy_from_slice(&time_s.to_be_bytes());
    bytes[12..14].copy_from_slice(&i16::from(state).to_be_bytes());
    for (at, room, text) in [(HOST_AT, HOST, host), (SERVICE_AT, SERVICE, service), (OUTPUT_AT, room, output)] {
        let text = watchbell_checks::passive::cut(text, room - 1).as_bytes();
        bytes[at..at + text.len()].copy_from_slice(text);
        bytes[at + text.len()] = 0;
    }
    let crc = crc32fast::hash(&bytes);
    bytes[4..8].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Longest name of a host, in bytes.
pub(super) const MAX_HOST: usize = HOST - 1;

/// Bytes that nobody can foresee: hashes under keys of the process, which the system gives at random.
fn noise(bytes: &mut [u8]) {
    let keys = RandomState::new();
    for (i, chunk) in bytes.chunks_mut(8).enumerate() {
        let mut hasher = keys.build_hasher();
        hasher.write_usize(i);
        chunk.copy_from_slice(&hasher.finish().to_le_bytes()[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        let bytes = packet(4_096, 0x0102_0304, 2, "web-1", "Anomaly", "CRITICAL");
        assert_eq!(bytes.len(), 4_304);
        assert_eq!(packet(512, 0, 0, "", "", "").len(), 720);
        assert_eq!(bytes[..4], [0, 3, 0, 0]);
        assert_eq!(bytes[8..20], *b"\x01\x02\x03\x04\x00\x02web-1\0");
        assert_eq!(bytes[78..86], *b"Anomaly\0");
        assert_eq!(bytes[206..215], *b"CRITICAL\0");
        let mut zeroed = bytes.clone();
        zeroed[4..8].fill(0);
        assert_eq!(bytes[4..8], crc32fast::hash(&zeroed).to_be_bytes());
        let long = packet(512, 0, 0, &"h".repeat(99), "s", &"ä".repeat(999));
        assert_eq!((long[14 + 62], long[14 + 63], long[206 + 510]), (b'h', 0, 0));
        assert_ne!(packet(512, 0, 0, "", "", "")[300..], packet(512, 0, 0, "", "", "")[300..]);
    }
}
