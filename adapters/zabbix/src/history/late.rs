//! Values that arrive behind others of their item that were read before: too late to be judged, so they are counted.
//!
//! Reading goes on from the last value of an item, so that such values never come into sight by themselves. They are
//! found by counting: time is cut into spans, what was read of each is counted by item, and a span after its end Zabbix is
//! asked how many values it holds now. Only where it holds others, the values themselves are looked at.

use std::collections::HashMap;

use super::fetch::Row;
use super::positions::Last;
use super::round::Tracked;

/// Length of a span, in seconds. What is late by up to as much is found for certain.
pub(super) const SPAN_S: i64 = 600;

/// The span that `clock` is in.
pub(super) fn span_of(clock: i64) -> i64 {
    clock.div_euclid(SPAN_S)
}

/// How many values of an item were read of the span before this one, of this one, and of the next: the first round in
/// a new span reads before the spans move on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen(pub(super) [u32; 3]);

impl Seen {
    /// A value of second `clock` was read while `now` is the span of now.
    pub(super) fn count(&mut self, clock: i64, now: i64) {
        let slot = usize::try_from(span_of(clock) - now + 1).ok();
        if let Some(count) = slot.and_then(|slot| self.0.get_mut(slot)) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(more);
        }
    }

    /// So many spans have gone by.
    pub(super) fn shift(&mut self, spans: i64) {
        let [_, this, next] = self.0;
        self.0 = match spans {
            1 => [this, next, 0],
            2 => [next, 0, 0],
            _ => [0; 3],
        };
    }
}

/// What Zabbix holds of a span for some items, each up to where it was read.
#[derive(Debug, Default)]
pub(super) struct Held(HashMap<u64, u32>);

impl Held {
    /// Adds a page, which is sorted and has all values of its seconds.
    pub(super) fn add(&mut self, rows: &[Row], last: impl Fn(u64) -> Option<Last>) {
        for rows in rows.chunk_by(|a, b| a.item == b.item) {
            let Some(last) = last(rows[0].item) else { continue };
            // Zabbix may keep the same value twice.
            let distinct = rows.chunk_by(|a, b| a.at() == b.at()).filter(|same| same[0].at() <= last.at()).count();
            *self.0.entry(rows[0].item).or_default() += distinct as u32;
        }
    }

    /// Items with more values than were read, and how many more.
    pub(super) fn late<'a>(&self, items: &'a HashMap<u64, Tracked>) -> Vec<(&'a Tracked, u32)> {
        let more = |(id, held): (&u64, &u32)| {
            let tracked = items.get(id)?;
            let late = held.saturating_sub(tracked.seen.0[0]);
            (late > 0).then_some((tracked, late))
        };
        self.0.iter().filter_map(more).collect()
    }
}
