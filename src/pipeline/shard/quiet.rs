//! Quiet windows of a shard: which of its series they are about, and their place in its log.
//!
//! What decides is the set of windows and what a series carries, never the table of hosts that this shard has: the set
//! brings its own, and a log that is judged again decides as the shard did.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::sync::Arc;

use watchbell_detect::QuietSpan;

use super::{Phase, Shard};
use crate::context::quiet::record::Record;
use crate::context::quiet::{Difference, Quiet, Shared};
use crate::context::subject::Facts;

/// Milliseconds.
const DAY_MS: i64 = 86_400_000;
/// Slots that one call counts, at most.
const SLICE: usize = 16_384;

/// What a shard knows of quiet windows.
#[derive(Debug, Default)]
pub(super) struct QuietState {
    /// The windows that its samples are judged under.
    now: Arc<Quiet>,
    /// What the service has in force; none for a shard that works alone.
    in_force: Option<Shared>,
    /// Whether the log could not be told the last change: the next one is told whole.
    unlogged: bool,
}

/// Whom a window is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Covered {
    /// Judged series.
    pub series: u64,
    /// Their hosts.
    pub hosts: HashSet<Box<str>>,
}

impl Shard {
    /// Follows what `shared` holds, from the end of a restore on.
    #[must_use]
    pub fn with_quiet(mut self, shared: Shared) -> Self {
        self.quiet.in_force = Some(shared);
        self
    }

    /// Judges by these windows from now on. The log says so before the next samples do.
    pub fn set_quiet(&mut self, quiet: &Arc<Quiet>) {
        if self.phase != Phase::Live || Arc::ptr_eq(&self.quiet.now, quiet) {
            return;
        }
        let Some(change) = quiet.differs(&self.quiet.now) else { return };
        let before = std::mem::replace(&mut self.quiet.now, Arc::clone(quiet));
        if self.quiet.unlogged {
            self.log_quiet_again();
        } else {
            self.log_quiet(&Record::change(&before, quiet, &change));
        }
        self.find_quiet(&before, &change);
    }

    /// What the log that is judged again says of windows.
    pub fn replay_quiet(&mut self, record: &Record) {
        if self.phase != Phase::Restoring {
            return;
        }
        let now = Arc::new(record.apply(&self.quiet.now));
        if let Some(change) = now.differs(&self.quiet.now) {
            let before = std::mem::replace(&mut self.quiet.now, now);
            self.find_quiet(&before, &change);
        }
    }

    /// Takes up what is in force after a restore.
    pub(super) fn end_restore_quiet(&mut self) {
        if let Some(shared) = &self.quiet.in_force {
            let now = shared.load_full();
            self.set_quiet(&now);
        }
    }

    fn log_quiet(&mut self, record: &Record) {
        if let Some(wal) = &mut self.wal {
            // The log counts its own failures.
            self.quiet.unlogged = wal.append(&record.bytes()).is_err();
        }
    }

    /// Writes the whole set into the log: a new file of it does not know what the one before said.
    pub(super) fn log_quiet_again(&mut self) {
        if !self.quiet.now.is_empty() || self.quiet.unlogged {
            let now = Arc::clone(&self.quiet.now);
            self.log_quiet(&Record::whole(&now));
        }
    }

    /// Finds the windows of the series that a change is about; with hundreds of thousands of series that is most of
    /// what a change costs.
    fn find_quiet(&mut self, before: &Quiet, (gone, new): &Difference) {
        let now = Arc::clone(&self.quiet.now);
        let touched = Quiet::new(gone.iter().chain(new).cloned().collect(), Arc::clone(now.names()));
        let (mut by_entity, mut last): (Vec<Option<bool>>, Arc<[QuietSpan]>) = (Vec::new(), Arc::new([]));
        // Where no window asks for more than a host, its series share their spans.
        let mut by_host: Vec<Option<(i64, Arc<[QuietSpan]>)>> = Vec::new();
        let slots: Vec<u32> = self.normalizer.slots(0, usize::MAX).collect();
        for slot in slots {
            let Some(entity) = self.normalizer.entity(slot) else { continue };
            let place = entity as usize;
            if by_entity.len() <= place {
                by_entity.resize(place + 1, None);
                by_host.resize(place + 1, None);
            }
            let whole = *by_entity[place].get_or_insert_with(|| {
                let carried = self.normalizer.carried_host(entity).map_or("", |name| &name.name);
                let host = now.host_of(carried);
                host != before.host_of(carried) || touched.names_host(host)
            });
            let is_touched = |facts: &Facts<'_>| touched.about(facts).next().is_some();
            let of_series = || touched.asks_for_labels() && self.quiet_facts(slot, &now, is_touched) == Some(true);
            if !(whole || of_series()) {
                continue;
            }
            // No sample of a series is judged that is older than its last one. The day is for what is derived of it, and
            // whole ones are alike for the series of a host.
            let day = |ms: i64| ms.div_euclid(DAY_MS).saturating_sub(1).saturating_mul(DAY_MS);
            let since_ms = self.normalizer.last_ms(slot).map_or(i64::MIN, day);
            let known = by_host[place].take().filter(|(since, _)| *since == since_ms && !now.asks_for_labels());
            let (_, spans) = by_host[place].insert(known.unwrap_or_else(|| {
                let spans = self.spans(slot, since_ms);
                // Series of several hosts share theirs where they are the same.
                if spans[..] != last[..] {
                    last = spans.into();
                }
                (since_ms, Arc::clone(&last))
            }));
            self.judge.set_quiet(slot, spans);
        }
    }

    /// The same for series that came, learn anew, or carry other words.
    pub(super) fn find_quiet_of(&mut self, slots: impl Iterator<Item = u32>) {
        if self.quiet.now.is_empty() {
            return;
        }
        for slot in slots {
            // It may have its history still to come.
            let spans = self.spans(slot, i64::MIN);
            self.judge.set_quiet(slot, &spans.into());
        }
    }

    fn spans(&self, slot: u32, since_ms: i64) -> Vec<QuietSpan> {
        self.quiet_facts(slot, &self.quiet.now, |facts| self.quiet.now.spans(facts, since_ms)).unwrap_or_default()
    }

    /// Adds up whom each window of `quiet` is about, of the series from `slot` on; the slot to go on from, if any.
    pub fn count_quiet(&self, quiet: &Quiet, slot: u32, covered: &mut Vec<Covered>) -> Option<u32> {
        covered.resize_with(quiet.windows().len(), Covered::default);
        let mut seen = HashSet::new();
        for (looked, slot) in self.normalizer.slots(slot, SLICE + 1).enumerate() {
            if looked == SLICE {
                return Some(slot);
            }
            let about = self.quiet_facts(slot, quiet, |facts| quiet.about(facts).collect::<Vec<_>>());
            let entity = self.normalizer.entity(slot);
            for at in about.into_iter().flatten() {
                covered[at].series += 1;
                if let Some(entity) = entity.filter(|entity| seen.insert((at, *entity))) {
                    let host = self.normalizer.entity_name(entity);
                    if !host.is_empty() && !covered[at].hosts.contains(host) {
                        covered[at].hosts.insert(host.into());
                    }
                }
            }
        }
        None
    }

    /// Hands what windows of `quiet` are compared with to `ask`.
    fn quiet_facts<R>(&self, slot: u32, quiet: &Quiet, ask: impl FnOnce(&Facts<'_>) -> R) -> Option<R> {
        let carried = self.normalizer.entity(slot).and_then(|entity| self.normalizer.carried_host(entity));
        self.facts_of(slot, quiet.host_of(carried.map_or("", |name| &name.name)), ask)
    }

    /// Hands what subjects are compared with to `ask`.
    pub(super) fn facts<R>(&self, slot: u32, ask: impl FnOnce(&Facts<'_>) -> R) -> Option<R> {
        let host = self.normalizer.entity(slot).map_or("", |entity| self.normalizer.entity_name(entity));
        self.facts_of(slot, host, ask)
    }

    fn facts_of<R>(&self, slot: u32, host: &str, ask: impl FnOnce(&Facts<'_>) -> R) -> Option<R> {
        let normalizer = &self.normalizer;
        let raw = normalizer.slot_raw(slot)?;
        let label = |name: &str| normalizer.label(raw, name);
        // Many subjects may ask for it.
        let metric = OnceCell::new();
        let mapped = || metric.get_or_init(|| normalizer.metric(slot).unwrap_or_default()).clone();
        Some(ask(&Facts { label: &label, mapped: &mapped, host }))
    }
}
