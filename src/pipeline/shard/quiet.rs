//! Quiet windows of a shard: which of its series they are about, and their place in its log.
//!
//! What decides is the set of windows and what a series carries, never the table of hosts that this shard has: the set
//! brings its own, and a log that is judged again decides as the shard did.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::sync::Arc;

use watchbell_detect::QuietSpan;

use super::{HOLD, Phase, Shard};
use crate::clock::Timer;
use crate::context::quiet::record::{Record, renamed};
use crate::context::quiet::{Difference, Quiet, Shared};
use crate::context::subject::Facts;

/// Milliseconds.
const DAY_MS: i64 = 86_400_000;
/// Slots that one call looks at, at most.
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
    /// The last change, while there are series whose spans are still those of before.
    change: Option<Change>,
}

/// What may have other spans.
#[derive(Debug)]
struct Change {
    /// Windows that came, went, or are other ones.
    touched: Quiet,
    /// Names that series carry which mean another host now.
    renamed: HashSet<Box<str>>,
    /// Slots from here on were not looked at yet.
    from: u32,
}

/// Whom a window is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Covered {
    /// Judged series.
    pub series: u64,
    /// Their hosts.
    pub hosts: HashSet<Box<str>>,
}

/// The state of a shard is not there: it is being brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state of the shard is being brought back")]
pub struct NotThere;

impl Shard {
    /// Follows what `shared` holds, from the end of a restore on.
    #[must_use]
    pub fn with_quiet(mut self, shared: Shared) -> Self {
        self.quiet.in_force = Some(shared);
        self
    }

    /// Judges by these windows from now on. The log says so before the next samples do. Which of its series they are
    /// about is found by [`Shard::find_quiet`], and for a batch before it is judged.
    pub fn set_quiet(&mut self, quiet: &Arc<Quiet>) {
        if self.phase != Phase::Live || Arc::ptr_eq(&self.quiet.now, quiet) {
            return;
        }
        let Some(change) = quiet.differs(&self.quiet.now) else { return };
        let record = Record::change(&self.quiet.now, quiet, &change);
        self.change_quiet(Arc::clone(quiet), change);
        if self.quiet.unlogged {
            self.log_quiet_again();
        } else {
            self.log_quiet(&record);
        }
    }

    /// What the log that is judged again says of windows.
    pub fn replay_quiet(&mut self, record: &Record) {
        if self.phase != Phase::Restoring {
            return;
        }
        let now = Arc::new(record.apply(&self.quiet.now));
        if let Some(change) = now.differs(&self.quiet.now) {
            self.change_quiet(now, change);
            while self.find_quiet() {}
        }
    }

    fn change_quiet(&mut self, now: Arc<Quiet>, (gone, new): Difference) {
        let before = std::mem::replace(&mut self.quiet.now, now);
        let mut renamed: HashSet<Box<str>> = renamed(before.names(), self.quiet.now.names()).into_keys().collect();
        let mut touched: Vec<_> = gone.into_iter().chain(new).collect();
        if let Some(known) = self.quiet.change.take() {
            renamed.extend(known.renamed);
            touched.extend(known.touched.windows().iter().cloned());
        }
        let touched = Quiet::new(touched, Arc::clone(self.quiet.now.names()));
        self.quiet.change = Some(Change { touched, renamed, from: 0 });
    }

    /// Takes up what is in force after a restore.
    pub(super) fn end_restore_quiet(&mut self) {
        if let Some(shared) = &self.quiet.in_force {
            let now = shared.load_full();
            self.set_quiet(&now);
            while self.find_quiet() {}
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

    /// Goes on with finding the windows of the series that a change is about, for some milliseconds at most; whether
    /// there are more. With hundreds of thousands of series that is most of what a change costs.
    pub fn find_quiet(&mut self) -> bool {
        let begun = Timer::start();
        self.find_quiet_while(|| begun.elapsed() < HOLD)
    }

    fn find_quiet_while(&mut self, is_early: impl Fn() -> bool) -> bool {
        let Some(mut change) = self.quiet.change.take() else { return false };
        let now = Arc::clone(&self.quiet.now);
        let (mut by_entity, mut last): (Vec<Option<bool>>, Arc<[QuietSpan]>) = (Vec::new(), Arc::new([]));
        // Where no window asks for more than a host, its series share their spans.
        let mut by_host: Vec<Option<(i64, Arc<[QuietSpan]>)>> = Vec::new();
        let slots: Vec<u32> = self.normalizer.slots(change.from, SLICE).collect();
        for (looked, slot) in slots.into_iter().enumerate() {
            if looked > 0 && !is_early() {
                break;
            }
            change.from = slot + 1;
            let Some(entity) = self.normalizer.entity(slot) else { continue };
            let place = entity as usize;
            if by_entity.len() <= place {
                by_entity.resize(place + 1, None);
                by_host.resize(place + 1, None);
            }
            let whole = *by_entity[place].get_or_insert_with(|| {
                let carried = self.normalizer.carried_host(entity).map_or("", |name| &name.name);
                change.renamed.contains(carried) || change.touched.names_host(now.host_of(carried))
            });
            let is_touched = |facts: &Facts<'_>| change.touched.about(facts).next().is_some();
            let of_series =
                || change.touched.asks_for_labels() && self.quiet_facts(slot, &now, is_touched) == Some(true);
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
        let more = self.normalizer.slots(change.from, 1).next().is_some();
        self.quiet.change = more.then_some(change);
        more
    }

    /// The same for the series of a batch, before its samples are judged: they are judged under what is in force, as they
    /// are when the log is judged again.
    pub(super) fn find_quiet_of_batch(&mut self) {
        let Some(change) = &self.quiet.change else { return };
        let slots = self.normalized.samples.iter().map(|sample| sample.slot);
        let mut slots: Vec<u32> = slots.filter(|slot| *slot >= change.from).collect();
        slots.dedup();
        slots.into_iter().for_each(|slot| self.set_spans(slot));
    }

    /// The same for series that came, learn anew, or carry other words.
    pub(super) fn find_quiet_of(&mut self, slots: impl Iterator<Item = u32>) {
        if !self.quiet.now.is_empty() {
            slots.for_each(|slot| self.set_spans(slot));
        }
    }

    fn set_spans(&mut self, slot: u32) {
        // It may have its history still to come.
        let spans = self.spans(slot, i64::MIN);
        self.judge.set_quiet(slot, &spans.into());
    }

    fn spans(&self, slot: u32, since_ms: i64) -> Vec<QuietSpan> {
        self.quiet_facts(slot, &self.quiet.now, |facts| self.quiet.now.spans(facts, since_ms)).unwrap_or_default()
    }

    /// Adds up whom each window of `quiet` is about, of the series from `slot` on, for some milliseconds at most; the
    /// slot to go on from, if any. Nothing can be said while the state of this shard is not there.
    ///
    /// # Errors
    /// It is being brought back.
    pub fn count_quiet(&self, quiet: &Quiet, slot: u32, covered: &mut Vec<Covered>) -> Result<Option<u32>, NotThere> {
        let begun = Timer::start();
        self.count_quiet_while(|| begun.elapsed() < HOLD, quiet, slot, covered)
    }

    fn count_quiet_while(
        &self,
        is_early: impl Fn() -> bool,
        quiet: &Quiet,
        slot: u32,
        covered: &mut Vec<Covered>,
    ) -> Result<Option<u32>, NotThere> {
        if self.phase != Phase::Live {
            return Err(NotThere);
        }
        covered.resize_with(quiet.windows().len(), Covered::default);
        let mut seen = HashSet::new();
        for (looked, slot) in self.normalizer.slots(slot, usize::MAX).enumerate() {
            if looked > 0 && !is_early() {
                return Ok(Some(slot));
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
        Ok(None)
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

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use watchbell_detect::{CivilTime, Judge, JudgeConfig};
    use watchbell_normalize::{Limits, Normalizer, Rules, Shard as ShardOf};
    use watchbell_series::{Labels, MatchOp, Matcher, MetricKind, RawBatch, RawSample};

    use super::*;
    use crate::context::quiet::Window;
    use crate::context::subject::Target;
    use crate::pipeline::handle::ShardMeta;

    const T: i64 = 1_700_000_000_000;
    const HOSTS: usize = 4;
    const SERIES: usize = 24;

    fn shard() -> Shard {
        let (alerts, _) = mpsc::channel(1);
        let rules = Arc::new(Rules::load::<&str, &str>(&[], &[]).expect("the built-in ones"));
        let normalizer = Normalizer::new(rules, ShardOf { index: 0, count: 1 }, Limits::default());
        let judge = Judge::new(JudgeConfig::default(), CivilTime::utc());
        Shard::new(ShardMeta::new(0, 1), normalizer, judge, None, alerts, i64::MAX)
    }

    /// One sample of each series, which is `more` than usual.
    fn feed(shard: &mut Shard, row: i64, more: f64) {
        let ts_ms = T + 15_000 * row;
        let mut batch = RawBatch { received_ms: ts_ms, ..RawBatch::default() };
        for series in 0..SERIES {
            let (metric, host) = (format!("m{}", series / HOSTS), format!("web-{}", series % HOSTS));
            let labels = Labels::series([("__name__", metric.as_str()), ("instance", &host)]).expect("labels");
            let value = more + ((row * 7919 + series as i64 * 31) % 13) as f64;
            batch.push(&labels, MetricKind::Gauge, &[RawSample { ts_ms, value }]);
        }
        shard.ingest(&batch, &(0..SERIES as u32).collect::<Vec<_>>());
    }

    fn quiet(windows: &[(Target, i64, i64)], names: &[(&str, &str)]) -> Arc<Quiet> {
        let window = |(at, (target, first, last)): (usize, &(Target, i64, i64))| {
            Arc::new(Window {
                source: "people".to_owned(),
                id: at.to_string(),
                target: target.clone(),
                starts_ms: T + 15_000 * first,
                ends_ms: T + 15_000 * last,
                reason: String::new(),
            })
        };
        let names = names.iter().map(|(name, host)| ((*name).into(), (*host).into())).collect();
        Arc::new(Quiet::new(windows.iter().enumerate().map(window).collect(), Arc::new(names)))
    }

    fn host(name: &str) -> Target {
        Target::Host(vec![name.to_owned()])
    }

    fn metrics(pattern: &str) -> Target {
        let matcher = Matcher::new("__name__", MatchOp::Regex, pattern).expect("a matcher");
        Target::Matching { matchers: vec![matcher], of_alerts: Vec::new() }
    }

    #[test]
    fn batches_between_the_slices_of_a_change_are_judged_as_after_all_of_it() {
        let sets = [
            quiet(&[(host("web-1"), 205, 240), (metrics("m[12]"), 205, 222)], &[]),
            // A name that series carry comes to mean a host with a window.
            quiet(&[(host("web-1"), 205, 240), (host("web-9"), 205, 240)], &[("web-2", "web-9")]),
            quiet(&[(host("web-1"), 205, 212)], &[]),
            Arc::default(),
        ];
        let (mut at_once, mut in_slices) = (shard(), shard());
        for row in 0..260 {
            // The third set is in force before all series were looked at under the second.
            if let Some(set) = [200, 210, 213, 235].iter().position(|at| *at == row) {
                at_once.set_quiet(&sets[set]);
                while at_once.find_quiet() {}
                in_slices.set_quiet(&sets[set]);
            }
            in_slices.find_quiet_while(|| false);
            let more = if row > 205 { 300.0 } else { 0.0 };
            feed(&mut at_once, row, more);
            feed(&mut in_slices, row, more);
            assert_eq!(in_slices.save_segment(0), at_once.save_segment(0), "row {row}");
        }
        assert!(!in_slices.find_quiet());
        let rests = |shard: &Shard| (0..SERIES as u32).filter(|slot| shard.judge.is_quiet(*slot)).count();
        assert_eq!((rests(&at_once), rests(&in_slices)), (0, 0));
        let mut never = shard();
        (0..260).for_each(|row| feed(&mut never, row, if row > 205 { 300.0 } else { 0.0 }));
        assert_ne!(never.save_segment(0), at_once.save_segment(0), "windows protect something");
    }

    #[test]
    fn windows_are_counted_alike_in_slices_of_any_length_and_not_in_a_shard_that_is_not_there() {
        let mut shard = shard();
        feed(&mut shard, 0, 0.0);
        let set = quiet(&[(host("web-1"), 0, 9), (metrics("m[12]"), 0, 9), (Target::All, 0, 9)], &[]);
        let count = |is_early: &dyn Fn() -> bool| {
            let (mut covered, mut from, mut slices) = (Vec::new(), Some(0), 0);
            while let Some(slot) = from {
                from = shard.count_quiet_while(is_early, &set, slot, &mut covered).expect("it is there");
                slices += 1;
            }
            (covered, slices)
        };
        let (all, one_by_one) = (count(&|| true), count(&|| false));
        assert_eq!((all.1, one_by_one.1, &all.0), (1, SERIES, &one_by_one.0));
        let counts: Vec<_> = all.0.iter().map(|covered| (covered.series, covered.hosts.len())).collect();
        assert_eq!(counts, [(6, 1), (8, 4), (24, 4)]);
        shard.lose();
        assert_eq!(shard.count_quiet(&set, 0, &mut Vec::new()), Err(NotThere));
    }
}
