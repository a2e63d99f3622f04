//! Limits that people set on series of a shard: matched off the hot path, kept by slot.

use std::collections::HashMap;
use std::sync::Arc;

use watchbell_series::{LimitSeverity, MetricKind, SeriesSpec};

use super::{HOLD, Shard};
use crate::clock::Timer;
use crate::context::limits::{Limits, SeriesLimit};

/// Slots that one call looks at, at most.
const SLICE: usize = 8192;

/// What a shard knows of limits.
#[derive(Debug, Default)]
pub(super) struct LimitState {
    now: Arc<Limits>,
    of_slot: HashMap<u32, Arc<[SeriesLimit]>>,
}

impl Shard {
    /// Goes by these limits from now on: finds those of the series from `slot` on, and gives the slot to go on from.
    pub fn match_limits(&mut self, limits: Arc<Limits>, slot: u32) -> Option<u32> {
        self.limits.now = limits;
        let (begun, mut next) = (Timer::start(), slot);
        let slots: Vec<u32> = self.normalizer.slots(slot, SLICE).collect();
        for slot in slots {
            self.match_limits_of(slot);
            next = slot + 1;
            if begun.elapsed() >= HOLD {
                break;
            }
        }
        self.normalizer.slots(next, 1).next()
    }

    /// The same for series that came or changed.
    pub(super) fn match_limits_of(&mut self, slot: u32) {
        let raw = self.normalizer.slot_raw(slot);
        let labels = raw.into_iter().flat_map(|raw| self.normalizer.pairs_of(raw));
        let found = self.facts(slot, |facts| self.limits.now.of(labels, facts)).unwrap_or_default();
        let before = if found.is_empty() {
            self.limits.of_slot.remove(&slot)
        } else {
            self.limits.of_slot.insert(slot, found.into())
        };
        if before.is_some() || self.limits.of_slot.contains_key(&slot) {
            self.set_legal(slot);
        }
    }

    /// Where rules give a series no legal range, what its source says no value can be past is one.
    fn set_legal(&mut self, slot: u32) {
        let (Some(info), Some(spec)) = (self.normalizer.info(slot), self.normalizer.spec(slot)) else { return };
        let mut spec = SeriesSpec::clone(&spec);
        let open = spec.legal_min == f64::NEG_INFINITY && spec.legal_max == f64::INFINITY;
        // Of a counter the rate is judged, and its ends are those of the counter.
        let limits = self.limits_of(slot);
        let legal = limits.iter().find(|limit| limit.severity == LimitSeverity::Legal);
        if let Some(legal) = legal.filter(|legal| open && info.kind != MetricKind::Counter && !legal.range.inside) {
            spec.legal_min = legal.range.low.unwrap_or(f64::NEG_INFINITY);
            spec.legal_max = legal.range.high.unwrap_or(f64::INFINITY);
        }
        self.judge.set_spec(slot, &spec);
    }

    /// The limits of the series at `slot`.
    #[must_use]
    pub fn limits_of(&self, slot: u32) -> Arc<[SeriesLimit]> {
        self.limits.of_slot.get(&slot).cloned().unwrap_or_default()
    }

    pub(super) fn forget_limits(&mut self) {
        for slot in &self.normalized.released {
            self.limits.of_slot.remove(slot);
        }
    }

    /// Series that rest in a quiet window now, and those that have limits.
    #[must_use]
    pub fn known_counts(&self) -> (usize, usize) {
        (self.judge.quiet_series(), self.limits.of_slot.len())
    }

    /// Whether there is any limit to look for.
    pub(super) fn has_limits(&self) -> bool {
        !self.limits.now.is_empty()
    }
}
