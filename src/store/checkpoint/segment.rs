//! The bytes of one segment file.
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 8 | magic `WBELLCKP` |
//! | 8 | 2 | format version, [`FORMAT_VERSION`] |
//! | 10 | 2 | version of the normaliser's state |
//! | 12 | 2 | version of the judge's state |
//! | 14 | 2 | zero |
//! | 16 | 4 | shard |
//! | 20 | 4 | segment |
//! | 24 | 8 | length of the payload |
//! | 32 | 16 | xxh3-128 of the payload, seeded with the xxh3-64 of bytes 0 to 31 |
//! | 48 | | payload |
//!
//! All little-endian. The seed ties the header to the payload: a flipped bit in either is found.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use super::SegmentId;

/// Version of the layout above.
pub const FORMAT_VERSION: u16 = 1;

const MAGIC: &[u8; 8] = b"WBELLCKP";
pub(super) const HEADER_BYTES: usize = 48;

/// Versions of the state inside of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateVersions {
    /// Of the normaliser.
    pub normalize: u16,
    /// Of the judge.
    pub judge: u16,
}

/// Why a segment can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It is no segment at all.
    #[error("it is no checkpoint segment")]
    Foreign,
    /// It ends too early, or goes on too long.
    #[error("it holds {have} bytes of {want}: the file was cut or extended")]
    Length {
        /// Payload bytes there are.
        have: u64,
        /// Payload bytes the header promises.
        want: u64,
    },
    /// The checksum does not fit.
    #[error("its checksum does not fit: the file was damaged")]
    Checksum,
    /// It holds another segment than its name says.
    #[error("it holds shard {} segment {}: the file was renamed", .0.shard, .0.segment)]
    Misplaced(SegmentId),
    /// A newer program wrote it.
    #[error(
        "its {what} version {found} is newer than {known}, the newest this program reads; start the newer program to use it"
    )]
    Newer {
        /// Which version.
        what: &'static str,
        /// Version in the file.
        found: u16,
        /// Newest known version.
        known: u16,
    },
}

pub(super) fn header(id: SegmentId, versions: StateVersions, payload: &[u8]) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[..8].copy_from_slice(MAGIC);
    out[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    out[10..12].copy_from_slice(&versions.normalize.to_le_bytes());
    out[12..14].copy_from_slice(&versions.judge.to_le_bytes());
    out[16..20].copy_from_slice(&id.shard.to_le_bytes());
    out[20..24].copy_from_slice(&id.segment.to_le_bytes());
    out[24..32].copy_from_slice(&(payload.len() as u64).to_le_bytes());
    let sum = xxh3_128_with_seed(payload, xxh3_64(&out[..32]));
    out[32..].copy_from_slice(&sum.to_le_bytes());
    out
}

/// Checks `bytes` as segment `id` and gives its versions and payload.
pub(super) fn decode(id: SegmentId, known: StateVersions, bytes: &[u8]) -> Result<(StateVersions, &[u8]), Damage> {
    let (header, payload) = bytes.split_at_checked(HEADER_BYTES).ok_or(Damage::Foreign)?;
    if &header[..8] != MAGIC {
        return Err(Damage::Foreign);
    }
    let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let newer = |what, found, known| if found > known { Err(Damage::Newer { what, found, known }) } else { Ok(()) };
    // Before anything else: a newer format may lay out the rest differently.
    newer("format", u16_at(8), FORMAT_VERSION)?;
    let u32_at = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let want = u64::from(u32_at(24)) | u64::from(u32_at(28)) << 32;
    if want != payload.len() as u64 {
        return Err(Damage::Length { have: payload.len() as u64, want });
    }
    if xxh3_128_with_seed(payload, xxh3_64(&header[..32])).to_le_bytes() != header[32..] {
        return Err(Damage::Checksum);
    }
    let found = SegmentId { shard: u32_at(16), segment: u32_at(20) };
    if found != id {
        return Err(Damage::Misplaced(found));
    }
    let versions = StateVersions { normalize: u16_at(10), judge: u16_at(12) };
    newer("normaliser state", versions.normalize, known.normalize)?;
    newer("detector state", versions.judge, known.judge)?;
    Ok((versions, payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: SegmentId = SegmentId { shard: 3, segment: 70_000 };
    const KNOWN: StateVersions = StateVersions { normalize: 2, judge: 5 };

    fn file(id: SegmentId, versions: StateVersions, payload: &[u8]) -> Vec<u8> {
        [&header(id, versions, payload)[..], payload].concat()
    }

    #[test]
    fn says_what_is_wrong() {
        let good = file(ID, KNOWN, b"state");
        assert_eq!(decode(ID, KNOWN, &good), Ok((KNOWN, &b"state"[..])));
        assert_eq!(decode(ID, KNOWN, &good[..40]), Err(Damage::Foreign));
        assert_eq!(decode(ID, KNOWN, &good[..50]), Err(Damage::Length { have: 2, want: 5 }));
        assert_eq!(decode(SegmentId { shard: 0, ..ID }, KNOWN, &good), Err(Damage::Misplaced(ID)));
        let older = StateVersions { normalize: 1, judge: 4 };
        assert_eq!(decode(ID, KNOWN, &file(ID, older, b"state")), Ok((older, &b"state"[..])));
        let newer = file(ID, StateVersions { judge: 6, ..KNOWN }, b"state");
        let error = decode(ID, KNOWN, &newer).expect_err("newer").to_string();
        assert_eq!(
            error,
            "its detector state version 6 is newer than 5, the newest this program reads; start the newer program to use it"
        );
        let mut format = good.clone();
        format[8] = 9;
        assert!(matches!(decode(ID, KNOWN, &format), Err(Damage::Newer { what: "format", found: 9, known: 1 })));
    }

    proptest! {
        #[test]
        fn one_changed_bit_is_found(payload in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let mut bytes = file(ID, KNOWN, &payload);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(ID, KNOWN, &bytes).is_err());
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(ID, KNOWN, &bytes).is_err());
        }
    }
}
