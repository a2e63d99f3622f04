//! What normalising one batch gives, to be reused from batch to batch.

use std::collections::HashSet;
use std::sync::Arc;

use watchbell_series::{Sample, SeriesSpec};

/// A series that is judged from now on.
#[derive(Debug, Clone, PartialEq)]
pub struct Admission {
    /// Its dense index; may have belonged to another series before, see [`Normalized::released`].
    pub slot: u32,
    /// Id of the entity it belongs to; see [`Normalizer::entity_name`](crate::Normalizer::entity_name).
    pub entity: u32,
    /// What rules and metadata say of it.
    pub spec: Arc<SeriesSpec>,
}

/// Result of [`Normalizer::normalize`](crate::Normalizer::normalize) and its sisters.
///
/// To be applied in this order: `released`, `admitted`, `respecified`, `rehomed`, `restarted`, `samples`, `ended`,
/// `valueless`.
/// A slot is never in `samples` of a call both before and after it was released, admitted or restarted in
/// that call.
#[derive(Debug, Default)]
pub struct Normalized {
    /// Samples to judge; in order of time for each slot.
    pub samples: Vec<Sample>,
    /// New slots.
    pub admitted: Vec<Admission>,
    /// Slots to forget what was learned of, before the samples: history came, or the kind changed.
    pub restarted: Vec<u32>,
    /// Slots whose series ended, with the time of the stale marker (milliseconds).
    pub ended: Vec<(u32, i64)>,
    /// Slots whose target was there at the time (milliseconds) and had no value: `NaN`, as the quantiles of a summary that
    /// observes nothing.
    pub valueless: Vec<(u32, i64)>,
    /// Slots that are no longer used. They may be admitted again by a later call.
    pub released: Vec<u32>,
    /// Slots whose spec changed, with the new one; the entity stays.
    pub respecified: Vec<(u32, Arc<SeriesSpec>)>,
    /// Slots that belong to another entity from now on; what was learned of them stays.
    pub rehomed: Vec<(u32, u32)>,
    /// Series of the batch that belong to another shard: index in the batch, and the key under which that
    /// shard (`key % count`) knows them.
    pub forward: Vec<(u32, u64)>,
    /// Series of the batch that are known under another key than theirs: index in the batch, in order, and that
    /// key, which stays the same over a restart.
    pub aliased: Vec<(u32, u64)>,
    /// Series of the batch that came without labels and whose key is not known: send them with labels.
    pub unknown: Vec<u32>,
    /// What to tell the sender.
    pub receipt: ReceiptPart,
}

impl Normalized {
    /// Drops what is said of slots that end up released: each was another series' until then, and one that was
    /// admitted in this call, too, is no news to anybody.
    pub(crate) fn settle(&mut self) {
        if self.released.is_empty() {
            return;
        }
        let gone: HashSet<u32> = self.released.iter().copied().collect();
        self.restarted.retain(|slot| !gone.contains(slot));
        self.ended.retain(|(slot, _)| !gone.contains(slot));
        self.valueless.retain(|(slot, _)| !gone.contains(slot));
        self.respecified.retain(|(slot, _)| !gone.contains(slot));
        self.rehomed.retain(|(slot, _)| !gone.contains(slot));
        let mut unheard = HashSet::new();
        self.admitted.retain(|admission| {
            let stays = !gone.contains(&admission.slot);
            if !stays {
                unheard.insert(admission.slot);
            }
            stays
        });
        self.released.retain(|slot| !unheard.contains(slot));
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.admitted.clear();
        self.restarted.clear();
        self.ended.clear();
        self.valueless.clear();
        self.released.clear();
        self.respecified.clear();
        self.rehomed.clear();
        self.forward.clear();
        self.aliased.clear();
        self.unknown.clear();
        self.receipt = ReceiptPart::default();
    }
}

/// One shard's part of the receipt for a batch: numbers of samples by fate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiptPart {
    /// Float samples taken, whether judged, set aside or unwatched.
    pub accepted: u64,
    /// Native histogram samples taken.
    pub histograms: u64,
    /// The same sample again: no harm, not counted as accepted.
    pub duplicates: u64,
    /// Older than the last one of their series.
    pub out_of_order: u64,
    /// Same time, another value.
    pub conflicts: u64,
    /// Too far in the future.
    pub future: u64,
    /// Unreadable labels or histograms.
    pub invalid: u64,
    /// Refused because a limit was reached.
    pub limited: u64,
    /// The first thing refused, in words.
    pub first_problem: Option<String>,
}

impl ReceiptPart {
    /// Remembers `problem` if it is the first.
    pub(crate) fn problem(&mut self, problem: impl FnOnce() -> String) {
        if self.first_problem.is_none() {
            self.first_problem = Some(problem());
        }
    }

    /// Adds another shard's part.
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.histograms += other.histograms;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.conflicts += other.conflicts;
        self.future += other.future;
        self.invalid += other.invalid;
        self.limited += other.limited;
        if self.first_problem.is_none() {
            self.first_problem.clone_from(&other.first_problem);
        }
    }
}
