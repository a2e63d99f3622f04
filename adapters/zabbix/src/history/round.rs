//! The items that are read, where each stands, and what values of a page are new.

use std::collections::HashMap;

use watchbell_adapter_api::metrics::Counter;
use watchbell_series::{RawBatch, RawSample, STALE_NAN_BITS};

use super::discard::carry;
use super::fetch::Row;
use super::late::{SPAN_S, Seen, span_of};
use super::positions::{Last, Positions};
use crate::api::value::ItemValue;
use crate::feed::HISTORY_MS;
use crate::item::{Discard, Item};

/// An item and where it stands.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) item: Item,
    /// The last value that was judged.
    pub(super) last: Option<Last>,
    /// The second up to which the last value was repeated.
    carried_s: i64,
    /// Values that were no numbers.
    texts: u64,
    /// The second since which all that comes is counted.
    since_s: i64,
    pub(super) seen: Seen,
}

/// How the list of items changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) new: usize,
    pub(super) gone: usize,
    pub(super) renamed: usize,
    pub(super) retyped: usize,
}

/// What a page brought that is new: to be judged, and then noted.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) live: RawBatch,
    /// Of long ago: learned from, without alerts.
    pub(super) late: RawBatch,
    moved: Vec<(u64, Last, Seen)>,
}

/// Values that are not taken.
#[derive(Debug, Clone)]
pub(super) struct Skipped {
    pub(super) known: Counter,
    pub(super) text: Counter,
    pub(super) same_millisecond: Counter,
    pub(super) ahead: Counter,
}

/// Values further in the future than this, in seconds, are not taken: the item would be silent until then.
const AHEAD_S: i64 = 600;

/// How many of `due`, which is sorted, are asked for in one request, from where the first one stands on: up to `most`
/// that stand near to it. One that is far behind would have all others read again from there, round after round.
pub(super) fn together(due: &[(i64, u64)], most: usize, interval_s: i64, now_s: i64) -> usize {
    let Some((first, _)) = due.first() else { return 0 };
    let spread = (2 * interval_s).max((now_s - first) / 4);
    due.iter().take(most).take_while(|(from, _)| from - first <= spread).count()
}

/// All items.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) items: HashMap<u64, Tracked>,
    /// The span of now, as far as values are counted; see [`super::late`].
    span: Option<i64>,
    /// Where items stood that are not in the list now: they may come back.
    gone: Positions,
    /// Whether an item moved since this was taken.
    moved: bool,
}

impl Round {
    /// Takes over a new list of items; positions stay. `stale` gets a marker for each series that is no more.
    pub(super) fn update(&mut self, list: Vec<Item>, kept: &Positions, now_ms: i64, stale: &mut RawBatch) -> Changes {
        let (mut changes, first) = (Changes::default(), self.items.is_empty());
        let mut before = std::mem::take(&mut self.items);
        self.gone.extend(kept);
        for item in list {
            let old = before.remove(&item.id);
            let back = self.gone.remove(&item.id);
            let last = old.as_ref().map_or(back, |old| old.last);
            let (mut carried_s, mut texts) = (0, 0);
            let (mut since_s, mut seen) = (now_ms.div_euclid(1_000), Seen::default());
            if let Some(old) = old {
                (carried_s, texts) = (old.carried_s, old.texts);
                // Another type is another table, with nothing in it yet.
                if old.item.value_type == item.value_type {
                    (since_s, seen) = (old.since_s, old.seen);
                } else {
                    changes.retyped += 1;
                }
                if old.item.labels != item.labels {
                    changes.renamed += 1;
                    end(&old, stale);
                }
            } else {
                changes.new += usize::from(!first);
            }
            self.items.insert(item.id, Tracked { item, last, carried_s, texts, since_s, seen });
        }
        changes.gone = before.len();
        for old in before.values() {
            end(old, stale);
            self.gone.extend(old.last.map(|last| (old.item.id, last)));
        }
        changes
    }

    /// Ids of the items of a value type that are due, each with the second from which on it is asked for, the one
    /// that is furthest behind first.
    pub(super) fn due(&self, value_type: u8, now_s: i64, lookback_s: i64, catch_up_s: i64) -> Vec<(i64, u64)> {
        let mut due: Vec<(i64, u64)> = self
            .items
            .values()
            .filter(|tracked| tracked.item.value_type == value_type)
            .filter_map(|tracked| match tracked.last.filter(|last| last.0 <= now_s + AHEAD_S) {
                Some(last) => {
                    // Agents are a little early now and then.
                    let turn = last.0 + tracked.item.interval_s.unwrap_or(0) * 9 / 10;
                    (turn <= now_s).then_some((last.0.max(now_s - catch_up_s), tracked.item.id))
                }
                None => Some((now_s - lookback_s, tracked.item.id)),
            })
            .collect();
        due.sort_unstable();
        due
    }

    /// What is new among `rows`, which are sorted by item and time.
    pub(super) fn news(
        &mut self,
        rows: &[Row],
        now_ms: i64,
        skipped: &Skipped,
        mut texts: impl FnMut(&Item, u64),
    ) -> News {
        let mut news = News::default();
        let latest_s = now_ms / 1_000 + AHEAD_S;
        let span = *self.span.get_or_insert(span_of(now_ms / 1_000));
        let mut samples: Vec<RawSample> = Vec::new();
        for rows in rows.chunk_by(|a, b| a.item == b.item) {
            let Some(tracked) = self.items.get_mut(&rows[0].item) else { continue };
            let (mut last, mut seen) = (tracked.last.filter(|last| last.0 <= latest_s), Seen::default());
            samples.clear();
            for row in rows {
                if last.is_some_and(|last| row.at() <= last.at()) {
                    skipped.known.inc();
                    continue;
                }
                if row.clock > latest_s {
                    skipped.ahead.inc();
                    continue;
                }
                seen.count(row.clock, span);
                let ItemValue::Number(value) = row.value else {
                    skipped.text.inc();
                    tracked.texts += 1;
                    texts(&tracked.item, tracked.texts);
                    continue;
                };
                if last.is_some_and(|last| last.ts_ms() == row.ts_ms()) {
                    skipped.same_millisecond.inc();
                } else {
                    samples.push(RawSample { ts_ms: row.ts_ms(), value });
                }
                last = Some(Last(row.clock, row.ns, value));
            }
            if let (Some(newest), Some(last)) = (samples.last(), last) {
                let late = newest.ts_ms < now_ms - HISTORY_MS;
                let batch = if late { &mut news.late } else { &mut news.live };
                batch.push(&tracked.item.labels, tracked.item.kind, &samples);
                news.moved.push((tracked.item.id, last, seen));
            }
        }
        news
    }

    /// What `news` brought was judged.
    pub(super) fn judged(&mut self, news: &News) {
        for (id, last, seen) in &news.moved {
            if let Some(tracked) = self.items.get_mut(id) {
                tracked.last = Some(*last);
                self.moved = true;
                tracked.seen.add(*seen);
            }
        }
    }

    /// Repeats the values that still hold at `at_s`, at most up to `behind_s` before the newest value of another item of
    /// the host: a host that is dead, or whose proxy is away, says nothing of what holds. Gives how many.
    pub(super) fn carry(&mut self, at_s: i64, behind_s: i64, batch: &mut RawBatch) -> usize {
        let mut hosts: HashMap<u64, Signs> = HashMap::new();
        for tracked in self.items.values() {
            hosts.entry(tracked.item.host_id).or_default().add(tracked);
        }
        let mut count = 0;
        for tracked in self.items.values_mut() {
            let Some(last) = &tracked.last else { continue };
            let newest = hosts.get(&tracked.item.host_id).and_then(|signs| signs.newest_beside(tracked.item.id));
            let at_s = newest.map_or(at_s, |newest| at_s.min(newest - behind_s));
            if let Some(sample) = carry(&tracked.item, last, tracked.carried_s, at_s) {
                batch.push(&tracked.item.labels, tracked.item.kind, &[sample]);
                tracked.carried_s = at_s;
                count += 1;
            }
        }
        count
    }

    /// The first second of the span that is to be counted again at `now_s`, if one is over.
    pub(super) fn over(&self, now_s: i64) -> Option<i64> {
        self.span.filter(|span| *span < span_of(now_s)).map(|span| (span - 1) * SPAN_S)
    }

    /// Items of a value type of which all was counted since second `begin_s`, and that were read at all.
    pub(super) fn counted(&self, value_type: u8, begin_s: i64) -> Vec<u64> {
        let counted = |tracked: &&Tracked| {
            tracked.item.value_type == value_type && tracked.last.is_some() && tracked.since_s <= begin_s
        };
        let mut ids: Vec<u64> = self.items.values().filter(counted).map(|tracked| tracked.item.id).collect();
        ids.sort_unstable();
        ids
    }

    /// How many values of these items were read of the span that is over.
    pub(super) fn seen(&self, ids: &[u64]) -> u64 {
        ids.iter().filter_map(|id| Some(u64::from(self.items.get(id)?.seen.0[0]))).sum()
    }

    /// Counting goes on in the span of `now_s`.
    pub(super) fn next_span(&mut self, now_s: i64) {
        let now = span_of(now_s);
        let gone = now - self.span.replace(now).unwrap_or(now);
        for tracked in self.items.values_mut().filter(|_| gone > 0) {
            tracked.seen.shift(gone);
            if gone > 1 {
                // Of spans further ahead than the next nothing was counted.
                tracked.since_s = now_s;
            }
        }
    }

    /// Where all items stand, and those that are gone.
    pub(super) fn positions(&self) -> Positions {
        let now = self.items.iter().filter_map(|(id, tracked)| Some((*id, tracked.last?)));
        self.gone.iter().map(|(id, last)| (*id, *last)).chain(now).collect()
    }

    /// Forgets items that are gone and had no value since second `since_s`.
    pub(super) fn forget(&mut self, since_s: i64) {
        self.gone.retain(|_, last| last.0 >= since_s);
    }

    /// Whether an item moved since this was asked last.
    pub(super) fn moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// The newest value that was judged, milliseconds since the Unix epoch.
    pub(super) fn newest_ms(&self) -> Option<i64> {
        self.items.values().filter_map(|tracked| Some(tracked.last?.ts_ms())).max()
    }
}

/// Signs of life of a host: its two newest values, of different items.
#[derive(Debug, Default)]
struct Signs {
    newest: Option<(i64, u64)>,
    second: Option<i64>,
    /// Whether an item has a value each time, also when nothing changes.
    steady: bool,
}

impl Signs {
    fn add(&mut self, tracked: &Tracked) {
        let Some(Last(clock, ..)) = tracked.last else { return };
        self.steady |= tracked.item.discard == Discard::No;
        match self.newest {
            Some((newest, _)) if clock <= newest => self.second = self.second.max(Some(clock)),
            before => {
                self.second = before.map(|(clock, _)| clock);
                self.newest = Some((clock, tracked.item.id));
            }
        }
    }

    /// When another item than `id` had its last value. None where the silence of all of them says nothing.
    fn newest_beside(&self, id: u64) -> Option<i64> {
        let (newest, of) = self.newest.filter(|_| self.steady)?;
        if of == id { self.second } else { Some(newest) }
    }
}

/// Ends the series of an item that has one, right behind its last value: what Zabbix holds of the time since then may yet
/// be read, where the item comes back.
fn end(old: &Tracked, stale: &mut RawBatch) {
    if let Some(last) = old.last {
        let ts_ms = last.ts_ms().max(old.carried_s * 1_000) + 1;
        stale.push(&old.item.labels, old.item.kind, &[RawSample { ts_ms, value: f64::from_bits(STALE_NAN_BITS) }]);
    }
}
