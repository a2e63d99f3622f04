//! A shard: one thread that owns the normalised and judged state of its share of the series.
//!
//! Nobody else touches that state. Work comes as functions to run on the shard, one after the other, each
//! bounded in time: a batch, a page of readings, a slice of a checkpoint. So there are no locks, and a
//! reader never holds up a batch for longer than one slice.

mod hosts;
mod limits;
mod quiet;
mod relearn;
mod report;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use watchbell_adapter_api::sink::{ScoreQuery, ScoreRow};
use watchbell_detect::{EntityCount, Judge, JudgeConfig};
use watchbell_normalize::{Normalized, Normalizer, ReceiptPart, Rules, SourceCount, SourceLimit, Stats};
use watchbell_series::{Labels, Mode, RawBatch, SeriesId, Verdict, labels};

use super::arrivals::Sources;
use super::segment::{Entry, SegmentWriter};
use super::{handle::ShardMeta, record};
use crate::alerting::AlertInput;
use crate::store::wal::{SegmentNo, Wal};

mod tick;

pub use hosts::HostUse;
pub use quiet::{Covered, NotThere};
use report::Tracked;
pub use tick::{Grouping, Place, Sighting};

/// Raw series of one checkpoint segment.
pub const SEGMENT: u32 = 4096;
/// How long a call that looks at many series works before batches may go between, about: what a series takes depends on
/// how many windows or limits there are. What is found does not depend on when, so no clock decides anything.
const HOLD: Duration = Duration::from_millis(2);
/// The label that names the entity.
const HOST: &str = "host";
/// Slots that one page looks at, at most.
const PAGE_SLOTS: usize = 8192;
/// Rows of one page, at most.
const PAGE_ROWS: usize = 2048;

/// State of one shard and what works on it.
pub struct Shard {
    meta: ShardMeta,
    normalizer: Normalizer,
    judge: Judge,
    normalized: Normalized,
    verdicts: Vec<Verdict>,
    events: VecDeque<Event>,
    /// Series that are reported whole, by slot: their end is reported, too.
    tracked: HashMap<u32, Tracked>,
    /// Whether the alerting stage has no room for further series.
    full: bool,
    wal: Option<Wal>,
    record: Vec<u8>,
    alerts: mpsc::Sender<Vec<Event>>,
    phase: Phase,
    /// A series is forgotten this long after its last sample.
    idle_ms: i64,
    last_ts_ms: i64,
    arrivals: Sources,
    tick: tick::TickState,
    /// Judged samples of history.
    history: u64,
    quiet: quiet::QuietState,
    limits: limits::LimitState,
}

/// Whether a shard's state is all there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It is: samples are taken.
    Live,
    /// It failed and is empty: nothing is taken, or what is brought back later would be refused as known.
    Lost,
    /// State is brought back: samples of the log are judged, and nobody is told.
    Restoring,
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").field("index", &self.meta.index).finish_non_exhaustive()
    }
}

/// What a shard tells the alerting stage.
#[derive(Debug)]
pub enum Event {
    /// A verdict worth passing on.
    Verdict(AlertInput),
    /// So many verdicts on series that are not reported whole were left out, because the book is full.
    Refused(u64),
    /// A series that is reported whole has ended, or was forgotten.
    Ended {
        /// The series.
        id: SeriesId,
        /// When, milliseconds since the Unix epoch.
        ts_ms: i64,
    },
}

/// What became of a shard's part of a batch.
#[derive(Debug, Default)]
pub struct ShardReceipt {
    /// Numbers by fate.
    pub part: ReceiptPart,
    /// Nothing was taken, because the shard's state is being brought back: to be sent again.
    pub refused: bool,
    /// Series that belong elsewhere: index in the batch and their real key.
    pub forward: Vec<(u32, u64)>,
    /// Series whose key is not known.
    pub unknown: Vec<u32>,
    /// Hosts first seen in this batch, each with the label by which its history can be found.
    pub new_hosts: Vec<(String, String)>,
}

/// What a shard tells of itself.
#[derive(Debug, Clone, Default)]
pub struct ShardStatus {
    /// Totals by data fault.
    pub stats: Stats,
    /// Samples of judged series that were history, and not live.
    pub history: u64,
    /// Judged series.
    pub judged: u64,
    /// Those that have a score.
    pub ready: u64,
    /// Those with a score over 1.0.
    pub anomalous: u64,
    /// Raw series held.
    pub raw: u64,
    /// Bytes of the log of accepted samples.
    pub wal_bytes: u64,
    /// Whether that log could not be written.
    pub wal_broken: bool,
    /// Events that the alerting stage never saw, because it was behind for too long.
    pub lost_events: u64,
    /// What each source holds here.
    pub sources: Vec<SourceCount>,
    /// Verdicts given so far, by [`watchbell_series::Pattern`] as index.
    pub verdicts: [u64; watchbell_series::Pattern::ALL.len()],
}

impl Shard {
    /// An empty shard.
    #[must_use]
    pub fn new(
        meta: ShardMeta,
        normalizer: Normalizer,
        judge: Judge,
        wal: Option<Wal>,
        alerts: mpsc::Sender<Vec<Event>>,
        idle_ms: i64,
    ) -> Self {
        Self {
            meta,
            normalizer,
            judge,
            normalized: Normalized::default(),
            verdicts: Vec::new(),
            events: VecDeque::new(),
            tracked: HashMap::new(),
            full: false,
            wal,
            record: Vec::new(),
            alerts,
            phase: Phase::Live,
            idle_ms,
            last_ts_ms: i64::MIN,
            arrivals: Sources::default(),
            tick: tick::TickState::default(),
            history: 0,
            quiet: quiet::QuietState::default(),
            limits: limits::LimitState::default(),
        }
    }

    /// Normalises and judges the series `which` of `batch`, and logs them so that a crash loses nothing
    /// that was acknowledged. History is not logged: it can be read again.
    pub fn ingest(&mut self, batch: &RawBatch, which: &[u32]) -> ShardReceipt {
        if self.phase != Phase::Live {
            return ShardReceipt { refused: true, ..ShardReceipt::default() };
        }
        self.take(batch, which)
    }

    /// Judges a part of the log again.
    pub fn replay(&mut self, batch: &RawBatch, which: &[u32]) {
        if self.phase == Phase::Restoring {
            self.take(batch, which);
        }
    }

    fn take(&mut self, batch: &RawBatch, which: &[u32]) -> ShardReceipt {
        let new_before = self.normalizer.stats().new_series;
        self.normalizer.normalize(batch, which, &mut self.normalized);
        self.apply(batch.mode);
        if batch.mode == Mode::Live {
            self.arrived(batch, which);
            let with_labels = self.normalizer.stats().new_series != new_before;
            self.log(batch, which, with_labels);
        }
        let new_hosts = self.new_hosts();
        let receipt = ShardReceipt {
            refused: false,
            part: std::mem::take(&mut self.normalized.receipt),
            forward: std::mem::take(&mut self.normalized.forward),
            unknown: std::mem::take(&mut self.normalized.unknown),
            new_hosts,
        };
        self.normalized.clear();
        self.report();
        receipt
    }

    fn log(&mut self, batch: &RawBatch, which: &[u32], with_labels: bool) {
        if let Some(wal) = &mut self.wal {
            self.record.clear();
            let Normalized { forward, aliased, .. } = &self.normalized;
            // What belongs to another shard is logged there, and what came under another key under its own:
            // only that one is known again after a restart.
            let mine: Vec<u32>;
            let mut which = which;
            if !forward.is_empty() {
                let elsewhere = |index: &u32| forward.binary_search_by_key(index, |(other, _)| *other).is_ok();
                mine = which.iter().copied().filter(|index| !elsewhere(index)).collect();
                which = &mine;
            }
            record::write(batch, which, aliased, with_labels, &mut self.record);
            // The log counts its own failures; a full disk must not stop judging.
            let _ = wal.append(&self.record);
        }
    }

    fn apply(&mut self, mode: Mode) {
        if !self.tracked.is_empty() {
            self.note_ends();
        }
        self.enter();
        self.find_quiet_of_batch();
        let (judge, normalized) = (&mut self.judge, &self.normalized);
        match mode {
            Mode::Live => judge.judge(&normalized.samples, &mut self.verdicts),
            Mode::Backfill => {
                self.history += normalized.samples.len() as u64;
                judge.learn(&normalized.samples);
            }
        }
        for (slot, ts_ms) in &normalized.ended {
            judge.end(*slot, *ts_ms);
        }
        for (slot, ts_ms) in &normalized.valueless {
            if judge.no_value(*slot, *ts_ms)
                && let Some(tracked) = self.tracked.get(slot)
            {
                self.events.push_back(Event::Ended { id: tracked.id, ts_ms: *ts_ms });
            }
        }
        if let Some(last) = normalized.samples.last() {
            self.last_ts_ms = self.last_ts_ms.max(last.ts_ms);
        }
    }

    /// Takes series in and lets them go before their samples are judged.
    fn enter(&mut self) {
        let (judge, normalized) = (&mut self.judge, &self.normalized);
        self.tick.note(normalized);
        for slot in &normalized.released {
            judge.release(*slot);
        }
        for admission in &normalized.admitted {
            judge.admit(admission.slot, &admission.spec, admission.entity);
        }
        for (slot, spec) in &normalized.respecified {
            judge.set_spec(*slot, spec);
        }
        for (slot, entity) in &normalized.rehomed {
            judge.set_entity(*slot, *entity);
        }
        for slot in &normalized.restarted {
            judge.reset(*slot);
        }
        let new = normalized.admitted.iter().map(|admission| admission.slot);
        let new: Vec<u32> = new.chain(normalized.restarted.iter().copied()).collect();
        self.forget_limits();
        if self.has_limits() {
            let changed = self.normalized.respecified.iter().map(|(slot, _)| *slot);
            let changed: Vec<u32> = new.iter().copied().chain(changed).collect();
            changed.into_iter().for_each(|slot| self.match_limits_of(slot));
        }
        // Another host or another common name may be what a window is about.
        let other = self.normalized.rehomed.iter().map(|(slot, _)| *slot);
        let other = other.chain(self.normalized.respecified.iter().map(|(slot, _)| *slot));
        let asked: Vec<u32> = new.into_iter().chain(other).collect();
        self.find_quiet_of(asked.into_iter());
    }

    fn new_hosts(&mut self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for admission in &self.normalized.admitted {
            let Some(name) = self.normalizer.carried_host(admission.entity) else { continue };
            if self.meta.note_host(&name.name) {
                let labels = self.normalizer.slot_raw(admission.slot).map(|raw| self.labels(raw));
                let instance = labels.as_ref().and_then(|labels| labels.get("instance")).unwrap_or_default();
                found.push((self.normalizer.entity_name(admission.entity).to_owned(), instance.to_owned()));
            }
        }
        found
    }

    /// The labels of a judged series with the host of its entity, in canonical bytes.
    fn write_labels(&self, raw: u32, entity: u32, out: &mut Vec<u8>) {
        let host = self.normalizer.entity_name(entity);
        let mut missing = !host.is_empty() && self.normalizer.label(raw, HOST).is_empty();
        for (name, value) in self.normalizer.pairs_of(raw) {
            if missing && name > HOST {
                labels::write_canonical_label(HOST.as_bytes(), host.as_bytes(), out);
                missing = false;
            }
            labels::write_canonical_label(name.as_bytes(), value.as_bytes(), out);
        }
        if missing {
            labels::write_canonical_label(HOST.as_bytes(), host.as_bytes(), out);
        }
    }

    fn labels(&self, raw: u32) -> Labels {
        let mut bytes = Vec::new();
        self.normalizer.labels(raw, &mut bytes);
        labels::read_canonical(&bytes).unwrap_or_default()
    }

    /// Notes that samples arrived, and how far behind they are.
    fn arrived(&mut self, batch: &RawBatch, which: &[u32]) {
        let newest = which.iter().filter_map(|i| batch.samples_of(&batch.series[*i as usize]).last());
        let Some(newest) = newest.map(|sample| sample.ts_ms).max() else { return };
        if self.arrivals.note(batch.source, batch.received_ms, newest) {
            // It was the source that was away, not its series.
            let (normalizer, alone) = (&self.normalizer, self.arrivals.is_alone());
            self.judge.resume_each(batch.received_ms, |slot| alone || normalizer.source_of(slot) == batch.source);
        }
    }

    /// Looks for series whose samples stopped, and forgets some of those long gone.
    pub fn sweep(&mut self, now_ms: i64) {
        if self.phase != Phase::Live {
            return;
        }
        if let Some(latest_ms) = self.arrivals.latest(now_ms) {
            let (normalizer, arrivals) = (&self.normalizer, &self.arrivals);
            let time_of = |slot| arrivals.series_time(normalizer.source_of(slot), now_ms);
            self.judge.sweep_each(latest_ms, time_of, &mut self.verdicts);
        }
        // Whoever changed windows sees to it that all series are looked at; this is for where that failed.
        self.find_quiet();
        self.normalizer.expire(now_ms - self.idle_ms, &mut self.normalized);
        self.apply(Mode::Live);
        self.normalized.clear();
        self.report();
    }

    /// Judged series from `slot` on that pass `query`; the next slot to go on from, or `None` at the end.
    pub fn page(
        &self,
        query: &ScoreQuery,
        slot: u32,
        now_ms: i64,
        rows: &mut Vec<ScoreRow>,
        labels: &mut Vec<u8>,
    ) -> Option<u32> {
        for (looked, slot) in self.normalizer.slots(slot, PAGE_SLOTS + 1).enumerate() {
            if looked >= PAGE_SLOTS || rows.len() >= PAGE_ROWS {
                return Some(slot);
            }
            let Some(raw) = self.normalizer.slot_raw(slot) else { continue };
            let reading = self.tick.with_peers(slot, self.judge.reading(slot, now_ms));
            if query.anomalous_only && !(reading.alarm || reading.score > 1.0) {
                continue;
            }
            let Some(info) = self.normalizer.info(slot) else { continue };
            let labels_at = labels.len();
            self.write_labels(raw, info.entity, labels);
            if !passes(query, &labels[labels_at..]) {
                labels.truncate(labels_at);
                continue;
            }
            let labels_len = (labels.len() - labels_at) as u32;
            let host = self.normalizer.entity_name(info.entity);
            labels.extend_from_slice(host.as_bytes());
            let (labels_at, host_len) = (labels_at as u32, host.len() as u32);
            rows.push(ScoreRow { id: info.id, labels_at, labels_len, host_len, reading });
        }
        None
    }

    /// What it knows of its series, to be looked at.
    pub(super) fn parts(&self) -> (&Normalizer, &Judge) {
        (&self.normalizer, &self.judge)
    }

    /// Counts by host.
    #[must_use]
    pub fn hosts(&self) -> Vec<(String, EntityCount)> {
        self.judge
            .entities()
            .map(|(entity, count)| (self.normalizer.entity_name(entity).to_owned(), count))
            .filter(|(host, _)| !host.is_empty())
            .collect()
    }

    /// Whether it judges the series `id`.
    #[must_use]
    pub fn holds(&self, id: SeriesId) -> bool {
        self.normalizer.slot_of(id).is_some()
    }

    /// Gives every series time to show up again after this process was away.
    pub fn resume(&mut self, now_ms: i64) {
        self.judge.resume(now_ms);
    }

    /// Judges by other rules from now on; what was learned stays.
    pub fn set_rules(&mut self, rules: Arc<Rules>) {
        self.normalizer.set_rules(rules, &mut self.normalized);
        self.apply(Mode::Live);
        self.normalized.clear();
    }

    /// Takes at most so many series of each source from now on; what is held stays.
    pub fn set_source_limits(&mut self, limits: Vec<SourceLimit>) {
        self.normalizer.set_source_limits(limits);
    }

    /// What it tells of itself.
    #[must_use]
    pub fn status(&self) -> ShardStatus {
        let mut status = ShardStatus {
            stats: *self.normalizer.stats(),
            history: self.history,
            raw: self.normalizer.census().records as u64,
            wal_bytes: self.wal.as_ref().map_or(0, Wal::bytes),
            wal_broken: self.wal.as_ref().is_some_and(Wal::is_broken),
            lost_events: self.meta.lost_events,
            sources: self.normalizer.source_counts().to_vec(),
            verdicts: self.meta.verdicts(),
            ..ShardStatus::default()
        };
        for (_, count) in self.judge.entities() {
            status.judged += u64::from(count.judged);
            status.ready += u64::from(count.ready);
            status.anomalous += u64::from(count.anomalous);
        }
        status
    }

    /// Time of the newest sample, if there was one.
    #[must_use]
    pub fn last_ts_ms(&self) -> Option<i64> {
        (self.last_ts_ms != i64::MIN).then_some(self.last_ts_ms)
    }

    /// Number of checkpoint segments.
    #[must_use]
    pub fn segments(&self) -> u32 {
        self.normalizer.raw_len().div_ceil(SEGMENT)
    }

    /// State of the raw series of one segment, in the layout of [`SegmentWriter`].
    #[must_use]
    pub fn save_segment(&self, segment: u32) -> Vec<u8> {
        let mut out = SegmentWriter::new(self.meta.count);
        let first = segment * SEGMENT;
        for raw in (first..(first + SEGMENT).min(self.normalizer.raw_len())).filter(|raw| self.normalizer.is_live(*raw))
        {
            let judged = |out: &mut Vec<u8>| {
                if let Some(slot) = self.normalizer.raw_slot(raw) {
                    self.judge.save(slot, out);
                }
            };
            out.push(|out| self.normalizer.save(raw, out), judged);
        }
        out.finish()
    }

    /// Takes back what [`Shard::save_segment`] wrote: the entries at `entries` of `bytes`. Returns how many
    /// series came back, and what was wrong with the first that did not.
    pub fn restore(&mut self, bytes: &[u8], entries: &[Entry]) -> (u64, Option<String>) {
        let (mut restored, mut problem) = (0, None);
        if self.phase != Phase::Restoring {
            return (restored, problem);
        }
        for entry in entries {
            match self.restore_entry(entry.normal(bytes), entry.judged(bytes)) {
                Ok(()) => restored += 1,
                Err(e) => problem = problem.or(Some(e)),
            }
        }
        (restored, problem)
    }

    fn restore_entry(&mut self, normal: &[u8], judged: &[u8]) -> Result<(), String> {
        let (_, restored) = self.normalizer.load(normal).map_err(|e| e.to_string())?;
        let Some(slot) = restored.slot else { return Ok(()) };
        self.judge.admit(slot, &restored.spec, restored.entity);
        self.tick.note_one(slot);
        if let Some(name) = self.normalizer.carried_host(restored.entity) {
            self.meta.note_host(&name.name);
        }
        if judged.is_empty() || restored.changed {
            return Ok(());
        }
        self.judge.load(slot, judged).map_err(|e| {
            // Half a state is worse than none: the series learns anew.
            self.judge.reset(slot);
            e.to_string()
        })?;
        self.find_quiet_of(std::iter::once(slot));
        self.last_ts_ms = self.last_ts_ms.max(self.judge.reading(slot, i64::MAX).ts_ms);
        Ok(())
    }

    /// Marks a shard that replaces one that failed: it takes no samples before its state is brought back.
    pub fn lose(&mut self) {
        self.phase = Phase::Lost;
    }

    /// State is brought back from now on, by [`Shard::restore`] and [`Shard::replay`].
    pub fn begin_restore(&mut self) {
        self.phase = Phase::Restoring;
    }

    /// All that could be brought back is: samples are taken from now on, and go to `wal`.
    pub fn end_restore(&mut self, wal: Option<Wal>) {
        self.phase = Phase::Live;
        self.wal = wal;
        self.end_restore_quiet();
    }

    /// Starts a new file of the log; everything before it is superseded by the checkpoint that follows.
    ///
    /// # Errors
    /// The file can not be made; the log says which.
    pub fn rotate_log(&mut self) -> std::io::Result<Option<SegmentNo>> {
        let begun = self.wal.as_mut().map(Wal::rotate).transpose();
        self.log_quiet_again();
        begun
    }

    /// Removes the files of the log before `segment`.
    pub fn trim_log(&mut self, segment: SegmentNo) {
        if let Some(wal) = &mut self.wal {
            // A file that stays is replayed again, which changes nothing.
            let _ = wal.remove_before(segment);
        }
    }

    /// Judges by other constants from now on; what was learned stays.
    pub fn set_judging(&mut self, config: JudgeConfig) {
        self.judge.set_config(config);
    }
}

fn passes(query: &ScoreQuery, canonical: &[u8]) -> bool {
    query.selectors.is_empty()
        || query.selectors.iter().any(|selector| {
            selector.matches_by(|name| {
                labels::iter_canonical(canonical).find(|(n, _)| *n == name).map_or("", |(_, value)| value)
            })
        })
}
