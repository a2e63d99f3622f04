//! How many series each source brought, against the limit of that source.
//!
//! A series belongs to the source that it was first seen from, until it is forgotten. A tag stands for a source,
//! also in checkpoints; inside of a shard it is a small number, so that a series pays one byte for it.

use std::sync::Arc;

/// The number of no source: series of it are not counted.
pub(crate) const UNCOUNTED: u8 = 0;

/// Most series that one source may hold on a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceLimit {
    /// See [`RawBatch::source`](watchbell_series::RawBatch::source); not 0.
    pub tag: u32,
    /// Name of the source, for messages.
    pub name: Arc<str>,
    /// Raw series held at once, those that are set aside included.
    pub max_series: usize,
}

/// What one source holds of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceCount {
    /// Tag of the source.
    pub tag: u32,
    /// Raw series held.
    pub held: u32,
    /// Samples refused so far because its limit was reached.
    pub refused: u64,
}

/// All sources of a shard.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    counts: Vec<SourceCount>,
    limits: Vec<SourceLimit>,
}

impl Sources {
    /// Goes on with other limits; what is held beyond a new one stays.
    pub(crate) fn set_limits(&mut self, limits: Vec<SourceLimit>) {
        self.limits = limits;
    }

    /// The number of the source with this tag. Beyond 255 sources further ones are not counted.
    pub(crate) fn number(&mut self, tag: u32) -> u8 {
        if tag == 0 {
            return UNCOUNTED;
        }
        let place = self.counts.iter().position(|count| count.tag == tag).unwrap_or_else(|| {
            self.counts.push(SourceCount { tag, held: 0, refused: 0 });
            self.counts.len() - 1
        });
        u8::try_from(place + 1).unwrap_or(UNCOUNTED)
    }

    /// The tag of a number that [`Sources::number`] gave; 0 for none.
    pub(crate) fn tag(&self, number: u8) -> u32 {
        self.count(number).map_or(0, |count| count.tag)
    }

    /// The limit of a source that it has reached.
    pub(crate) fn reached(&self, number: u8) -> Option<&SourceLimit> {
        let count = self.count(number)?;
        self.limits.iter().find(|limit| limit.tag == count.tag && count.held as usize >= limit.max_series)
    }

    pub(crate) fn take(&mut self, number: u8) {
        if let Some(count) = self.count_mut(number) {
            count.held += 1;
        }
    }

    pub(crate) fn give_back(&mut self, number: u8) {
        if let Some(count) = self.count_mut(number) {
            count.held -= 1;
        }
    }

    pub(crate) fn refuse(&mut self, number: u8, samples: u64) {
        if let Some(count) = self.count_mut(number) {
            count.refused += samples;
        }
    }

    /// All sources seen.
    pub(crate) fn counts(&self) -> &[SourceCount] {
        &self.counts
    }

    fn count(&self, number: u8) -> Option<&SourceCount> {
        self.counts.get(usize::from(number).checked_sub(1)?)
    }

    fn count_mut(&mut self, number: u8) -> Option<&mut SourceCount> {
        self.counts.get_mut(usize::from(number).checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_and_go_and_limits_hold_for_their_source() {
        let mut sources = Sources::default();
        let (a, b) = (sources.number(7), sources.number(9));
        assert_eq!((a, b, sources.number(7), sources.number(0), sources.tag(b)), (1, 2, 1, UNCOUNTED, 9));
        sources.set_limits(vec![SourceLimit { tag: 7, name: "a".into(), max_series: 1 }]);
        assert_eq!(sources.reached(a), None);
        sources.take(a);
        sources.take(b);
        sources.take(UNCOUNTED);
        assert_eq!(sources.reached(a).map(|limit| &*limit.name), Some("a"));
        assert_eq!(sources.reached(b), None);
        sources.refuse(a, 3);
        sources.give_back(a);
        assert_eq!(sources.reached(a), None);
        let expected = [SourceCount { tag: 7, held: 0, refused: 3 }, SourceCount { tag: 9, held: 1, refused: 0 }];
        assert_eq!(sources.counts(), expected);
    }

    #[test]
    fn beyond_255_sources_nothing_is_counted() {
        let mut sources = Sources::default();
        let numbers: Vec<u8> = (1..=300).map(|tag| sources.number(tag)).collect();
        assert_eq!((numbers[254], numbers[255], numbers[299]), (255, UNCOUNTED, UNCOUNTED));
    }
}
