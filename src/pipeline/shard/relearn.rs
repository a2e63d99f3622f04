//! Series that learn anew because a window of their past was struck out.

use watchbell_series::labels::hash_canonical;
use watchbell_series::{Mode, SeriesId};

use super::Shard;
use crate::pipeline::strikes::Windows;

/// Series that one call looks at, at most.
const SLICE: u32 = 8192;

/// A series that a strike is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struck {
    /// Its raw index in its shard.
    pub raw: u32,
    /// Its id.
    pub id: SeriesId,
    /// Its metric name.
    pub name: String,
    /// Its label `instance`; may be empty.
    pub instance: String,
    /// Whether it is a part of a histogram, which is only of use with all others.
    pub part: bool,
}

impl Shard {
    /// The series from raw index `from` on that any of `windows` is about, parts of histograms among them; the index
    /// to go on from, or `None` at the end.
    #[must_use]
    pub fn struck(&self, windows: &Windows, from: u32) -> (Vec<Struck>, Option<u32>) {
        let mut bytes = Vec::new();
        let mut found = Vec::new();
        let end = self.normalizer.raw_len().min(from.saturating_add(SLICE));
        for raw in (from..end).filter(|raw| self.normalizer.is_live(*raw)) {
            bytes.clear();
            self.normalizer.labels(raw, &mut bytes);
            if windows.select(&bytes) {
                found.push(Struck {
                    raw,
                    id: hash_canonical(&bytes),
                    name: self.normalizer.label(raw, "__name__").to_owned(),
                    instance: self.normalizer.label(raw, "instance").to_owned(),
                    part: self.normalizer.is_part(raw),
                });
            }
        }
        (found, (end < self.normalizer.raw_len()).then_some(end))
    }

    /// Lets these series forget what samples taught them, for history to come in its place. One whose place was
    /// given to another series in the meantime is left alone.
    pub fn restart(&mut self, series: &[(u32, SeriesId)]) {
        let mut bytes = Vec::new();
        let mut same = |(raw, id): &(u32, SeriesId)| {
            bytes.clear();
            self.normalizer.labels(*raw, &mut bytes);
            (hash_canonical(&bytes) == *id).then_some(*raw)
        };
        let raw: Vec<u32> = series.iter().filter_map(&mut same).collect();
        self.normalizer.restart(&raw, &mut self.normalized);
        self.apply(Mode::Backfill);
        self.normalized.clear();
    }
}
