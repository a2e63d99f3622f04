//! What a shard keeps of a raw series: 48 bytes that a sample touches, and 24 that it does not.

use watchbell_series::MetricKind;

/// No slot, no group, no series.
pub(crate) const NONE: u32 = u32::MAX;

/// What happens with the samples of a raw series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub(crate) enum Role {
    /// An unused record.
    #[default]
    Free = 0,
    /// Judged as it is.
    Gauge = 1,
    /// Judged as a rate per second.
    Counter = 2,
    /// Part of a classic histogram or summary: fed to its group.
    Part = 3,
    /// A series of native histograms: fed to its group.
    Native = 4,
    /// Computed by a group; no sender names it.
    Derived = 5,
    /// Not watched: only counted.
    Unwatched = 6,
    /// Nothing to judge in it: only counted.
    Aside = 7,
    /// Watchbell's own output: only counted.
    Own = 8,
    /// Another key of series `link`, from a sender that does not sort its labels; `last` holds its key.
    Alias = 9,
    /// A key that belongs to another shard; `last` holds the key there.
    Forward = 10,
}

impl Role {
    /// Whether it has a slot.
    pub(crate) fn judged(self) -> bool {
        matches!(self, Self::Gauge | Self::Counter | Self::Derived)
    }

    /// Whether it feeds a group.
    pub(crate) fn grouped(self) -> bool {
        matches!(self, Self::Part | Self::Native)
    }

    /// Whether it keeps labels, and is saved.
    pub(crate) fn labelled(self) -> bool {
        self.judged() || self.grouped()
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Gauge, Self::Counter, Self::Part, Self::Native, Self::Derived].into_iter().find(|r| *r as u8 == byte)
    }
}

/// `last` and `last_ms` are those of a sample of a counter that is still counting.
pub(crate) const HAS_LAST: u8 = 1;
/// A stale marker was the last thing seen.
pub(crate) const ENDED: u8 = 2;
/// The kind was guessed from the name: metadata may know better.
pub(crate) const GUESSED: u8 = 4;
/// No source is counted for it yet: it was first seen in history, which has no limit of its own.
pub(crate) const UNCLAIMED: u8 = 8;

/// The part of a raw series that each of its samples touches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hot {
    /// Key under which samples arrive.
    pub(crate) key: u64,
    /// Time of the last sample or stale marker; `i64::MIN` before the first.
    pub(crate) last_ms: i64,
    /// Its value, bit by bit.
    pub(crate) last: f64,
    /// Cadence, see [`crate::Cadence::parts`].
    pub(crate) cadence_s: f32,
    pub(crate) cadence_candidate: f32,
    /// Slot of a judged series, group of a grouped one, next free record of a free one.
    pub(crate) link: u32,
    /// Number of the batch of its last sample.
    pub(crate) batch: u32,
    /// Metadata epoch at which its kind was last resolved.
    pub(crate) epoch: u16,
    /// Place of a part in its group.
    pub(crate) part: u16,
    pub(crate) cadence_streak: u8,
    pub(crate) role: Role,
    pub(crate) flags: u8,
    /// Kind as the source or metadata told it.
    pub(crate) told: MetricKind,
}

impl Hot {
    pub(crate) const FREE: Self = Self {
        key: 0,
        last_ms: i64::MIN,
        last: 0.0,
        cadence_s: 0.0,
        cadence_candidate: 0.0,
        link: NONE,
        batch: 0,
        epoch: 0,
        part: 0,
        cadence_streak: 0,
        role: Role::Free,
        flags: 0,
        told: MetricKind::Unknown,
    };

    /// Forgets everything learned from samples.
    pub(crate) fn restart(&mut self) {
        self.last_ms = i64::MIN;
        self.last = 0.0;
        self.cadence_s = 0.0;
        self.cadence_candidate = 0.0;
        self.cadence_streak = 0;
        self.flags &= GUESSED | UNCLAIMED;
    }
}

/// The part of a raw series that its samples do not touch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cold {
    /// Time of the first sample.
    pub(crate) first_ms: i64,
    /// Place of its label ids.
    pub(crate) labels_at: u32,
    /// Entity of a judged series.
    pub(crate) entity: u32,
    /// Index of what rules say of it.
    pub(crate) meaning: u32,
    /// Number of labels.
    pub(crate) labels_len: u8,
    /// Number of the source that it is counted for.
    pub(crate) source: u8,
}

impl Cold {
    pub(crate) const FREE: Self = Self {
        first_ms: i64::MAX,
        labels_at: 0,
        entity: NONE,
        meaning: NONE,
        labels_len: 0,
        source: crate::sources::UNCOUNTED,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size_of::<Hot>(), 48);
        assert_eq!(size_of::<Cold>(), 24);
    }
}
