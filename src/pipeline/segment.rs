//! The layout of a checkpoint segment: where the state of each of its series stands.
//!
//! Little-endian: the number of shards that it was written under (u32), then for each series the length of its
//! normalised state and of its judged state (u32 each), and these states.

use watchbell_normalize::Normalizer;

/// Writes a segment.
#[derive(Debug)]
pub struct SegmentWriter(Vec<u8>);

impl SegmentWriter {
    /// A segment of one of `shards` shards.
    #[must_use]
    pub fn new(shards: u32) -> Self {
        let mut out = Vec::with_capacity(2 << 20);
        out.extend_from_slice(&shards.to_le_bytes());
        Self(out)
    }

    /// Appends a series: what `normal` writes of its normalised state, and `judged` of its judged state.
    pub fn push(&mut self, normal: impl FnOnce(&mut Vec<u8>), judged: impl FnOnce(&mut Vec<u8>)) {
        let Self(out) = self;
        let head = out.len();
        out.extend_from_slice(&[0; HEAD]);
        normal(out);
        let split = out.len();
        judged(out);
        let lengths = [(split - head - HEAD) as u32, (out.len() - split) as u32];
        out[head..head + 4].copy_from_slice(&lengths[0].to_le_bytes());
        out[head + 4..head + HEAD].copy_from_slice(&lengths[1].to_le_bytes());
    }

    /// The bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Bytes of the two lengths before a series.
const HEAD: usize = 8;

/// Where one series' state stands in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    at: usize,
    normal_len: usize,
    judged_len: usize,
}

impl Entry {
    /// The number of shards that a segment was written under, and its entries; those after damaged bytes are
    /// missing.
    pub fn all(bytes: &[u8]) -> Option<(u32, impl Iterator<Item = Self> + '_)> {
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let mut at = 4;
        let entries = std::iter::from_fn(move || {
            let (normal_len, judged_len) = (word(at)? as usize, word(at + 4)? as usize);
            let entry = Self { at: at + HEAD, normal_len, judged_len };
            at = entry.at.checked_add(normal_len)?.checked_add(judged_len)?;
            (at <= bytes.len()).then_some(entry)
        });
        Some((word(0)?, entries))
    }

    /// The shard of `count` that this series belongs to; the first where its bytes do not tell.
    #[must_use]
    pub fn home(&self, bytes: &[u8], count: u32) -> u32 {
        Normalizer::home(self.normal(bytes), count).unwrap_or(0)
    }

    /// Its normalised state in the `bytes` of the segment.
    #[must_use]
    pub fn normal<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.at..self.at + self.normal_len]
    }

    /// Its judged state in the `bytes` of the segment.
    #[must_use]
    pub fn judged<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.at + self.normal_len..self.at + self.normal_len + self.judged_len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment() -> Vec<u8> {
        let mut writer = SegmentWriter::new(3);
        writer.push(|out| out.extend(b"normal"), |out| out.extend(b"judged"));
        writer.push(|out| out.extend(b"only"), |_| {});
        writer.finish()
    }

    #[test]
    fn round_trip() {
        let bytes = segment();
        let (shards, entries) = Entry::all(&bytes).expect("a head");
        let states: Vec<_> = entries.map(|entry| (entry.normal(&bytes), entry.judged(&bytes))).collect();
        assert_eq!((shards, states), (3, vec![(&b"normal"[..], &b"judged"[..]), (b"only", b"")]));
    }

    #[test]
    fn what_is_cut_is_missing() {
        let bytes = segment();
        let count = |len: usize| Entry::all(&bytes[..len]).map(|(_, entries)| entries.count());
        assert_eq!((count(3), count(4), count(bytes.len() - 1), count(bytes.len())), (None, Some(0), Some(1), Some(2)));
    }

    #[test]
    fn lengths_beyond_all_bytes_are_survived() {
        let bytes = [[1, 0, 0, 0], [0xff; 4], [0xff; 4]].concat();
        assert_eq!(Entry::all(&bytes).map(|(_, entries)| entries.count()), Some(0));
    }
}
