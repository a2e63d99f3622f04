//! The raw series of one shard, and the questions that can be asked of them.
//!
//! Samples come in through `ingest`; `sight` meets new series, with `identity` (who it is) and `decide` (what
//! it is); `derive` computes the series of histograms; `forget` lets go of series; `saved` writes and reads
//! checkpoints.
//!
//! A raw series has a dense index, a judged one also a slot. Records of series lie in pages in the order of
//! first sight, which is the order in which a sender repeats them.

mod decide;
mod derive;
mod forget;
mod identity;
mod ingest;
mod names;
mod saved;
mod sight;

use std::sync::Arc;

use watchbell_series::labels::{NAME, hash_canonical, write_canonical_label};
use watchbell_series::{MetricKind, Selector, SeriesId, SeriesSpec, Unit};

use crate::entities::Entities;
use crate::family::Families;
use crate::group::Group;
use crate::hosts::{HostName, HostTable};
use crate::keymap::KeyMap;
use crate::limits::{Limits, Shard};
use crate::output::Normalized;
use crate::pages::Pages;
use crate::pairs::Pairs;
use crate::record::{Cold, Hot, NONE, Role};
use crate::rules::{Provenance, Rules};
use crate::sources::{SourceCount, SourceLimit, Sources, UNCOUNTED};
use crate::spans::Spans;
use crate::stats::Stats;

pub use saved::{Restored, StateError};

/// Turns raw batches into judged samples; one for each shard.
#[derive(Debug)]
pub struct Normalizer {
    shard: Shard,
    limits: Limits,
    sources: Sources,
    /// Number of the source of the batch that goes on.
    source: u8,
    stats: Stats,
    names: names::Names,
    families: Families,
    hot: Pages<Hot>,
    cold: Pages<Cold>,
    /// First of the chain of unused records.
    free: u32,
    /// Records in use.
    live: usize,
    map: KeyMap,
    pairs: Pairs,
    spans: Spans,
    entities: Entities,
    /// Raw index of each slot.
    slots: Pages<u32>,
    free_slots: Vec<u32>,
    /// Slots released by the call that goes on: not to be used again in it.
    resting_slots: Vec<u32>,
    groups: Pages<Group, 64>,
    group_map: KeyMap,
    free_groups: Vec<u32>,
    /// Where the next sample is expected.
    next: u32,
    /// Number of the batch that goes on.
    batch: u32,
    /// Where forgetting goes on.
    cursor: u32,
    fed: Vec<derive::FedSample>,
    outcomes: Vec<crate::group::Outcome>,
    text: Vec<u8>,
    ids: Vec<u32>,
    /// Output of restoring, which nobody reads.
    quiet: Normalized,
    default_spec: Arc<SeriesSpec>,
}

/// What is known of a judged series; see [`Normalizer::info`].
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesInfo<'a> {
    /// Its identity.
    pub id: SeriesId,
    /// Its entity; see [`Normalizer::entity_name`].
    pub entity: u32,
    /// What rules and metadata say of it.
    pub spec: &'a SeriesSpec,
    /// Its name in common words; the metric's own name where rules give none.
    pub metric: String,
    /// Kind of the metric as it was sent; a counter is judged as a rate.
    pub kind: MetricKind,
    /// Unit of the judged value.
    pub unit: Unit,
    /// Unit that values of `metric` have in common words.
    pub common_unit: Unit,
    /// What a value is to be multiplied by to be in that unit.
    pub factor: f64,
}

/// What a shard holds; see [`Normalizer::census`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Records in use: series of every fate, and other keys of them.
    pub records: usize,
    /// Slots in use.
    pub judged: usize,
    /// Histograms and summaries.
    pub groups: usize,
    /// Distinct label pairs.
    pub label_pairs: usize,
    /// Entities.
    pub entities: usize,
    /// Bytes held, all in all.
    pub bytes: usize,
}

impl Normalizer {
    /// An empty normalizer for `shard`.
    #[must_use]
    pub fn new(rules: Arc<Rules>, shard: Shard, limits: Limits) -> Self {
        let shard = Shard { count: shard.count.max(1), ..shard };
        Self {
            shard,
            limits,
            sources: Sources::default(),
            source: UNCOUNTED,
            stats: Stats::default(),
            names: names::Names::new(rules),
            families: Families::default(),
            hot: Pages::new(Hot::FREE),
            cold: Pages::new(Cold::FREE),
            free: NONE,
            live: 0,
            map: KeyMap::new(),
            pairs: Pairs::new(),
            spans: Spans::default(),
            entities: Entities::default(),
            slots: Pages::new(NONE),
            free_slots: Vec::new(),
            resting_slots: Vec::new(),
            groups: Pages::new(Group::new(0, false)),
            group_map: KeyMap::new(),
            free_groups: Vec::new(),
            next: 0,
            batch: 0,
            cursor: 0,
            fed: Vec::new(),
            outcomes: Vec::new(),
            text: Vec::new(),
            ids: Vec::new(),
            quiet: Normalized::default(),
            default_spec: Arc::default(),
        }
    }

    /// Counters of what came in.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Goes on with other limits of sources; series that are held beyond a new one stay.
    pub fn set_source_limits(&mut self, limits: Vec<SourceLimit>) {
        self.sources.set_limits(limits);
    }

    /// What each source holds, of those that brought something or are restored.
    #[must_use]
    pub fn source_counts(&self) -> &[SourceCount] {
        self.sources.counts()
    }

    /// One more than the greatest raw index in use so far.
    #[must_use]
    pub fn raw_len(&self) -> u32 {
        self.hot.len() as u32
    }

    /// Whether `raw` is a series with labels: judged, or a part of a histogram.
    #[must_use]
    pub fn is_live(&self, raw: u32) -> bool {
        self.hot.get(raw).is_some_and(|hot| hot.role.labelled())
    }

    /// Appends the canonical label bytes of raw series `raw`; nothing if it is not live.
    pub fn labels(&self, raw: u32, out: &mut Vec<u8>) {
        for (name, value) in self.pairs_of(raw) {
            write_canonical_label(name.as_bytes(), value.as_bytes(), out);
        }
    }

    /// Labels of raw series `raw`, sorted by name; none if it is not live.
    pub fn pairs_of(&self, raw: u32) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.ids_of(raw).iter().map(|id| self.pairs.get(*id))
    }

    /// Value of label `name` of raw series `raw`; empty if absent.
    #[must_use]
    pub fn label(&self, raw: u32, name: &str) -> &str {
        self.pairs_of(raw).find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }

    /// Raw index of the series judged under `slot`.
    #[must_use]
    pub fn slot_raw(&self, slot: u32) -> Option<u32> {
        self.slots.get(slot).copied().filter(|raw| *raw != NONE)
    }

    /// Slot of raw series `raw`, if it is judged.
    #[must_use]
    pub fn raw_slot(&self, raw: u32) -> Option<u32> {
        self.hot.get(raw).filter(|hot| hot.role.judged()).map(|hot| hot.link)
    }

    /// Tag of the source that the series at `slot` is counted for; 0 for none.
    #[must_use]
    pub fn source_of(&self, slot: u32) -> u32 {
        self.slot_raw(slot).map_or(0, |raw| self.sources.tag(self.cold[raw].source))
    }

    /// Slot of the series with this id. For a derived series it looks through all of them: for rare questions.
    #[must_use]
    pub fn slot_of(&self, id: SeriesId) -> Option<u32> {
        let named = self.by_key(id.0).and_then(|raw| self.raw_slot(raw));
        named.or_else(|| {
            let derived = |raw: &u32| self.hot[*raw].role == Role::Derived && self.hot[*raw].key == id.0;
            (0..self.raw_len()).find(derived).and_then(|raw| self.raw_slot(raw))
        })
    }

    /// The host of an entity, as [`Normalizer::set_hosts`] has it; empty if it is unknown.
    #[must_use]
    pub fn entity_name(&self, entity: u32) -> &str {
        self.entities.name(entity)
    }

    /// The name behind an entity, as a source has it.
    #[must_use]
    pub fn carried_host(&self, entity: u32) -> Option<&HostName> {
        self.entities.carried(entity)
    }

    /// The names of hosts that series carry, in no order.
    pub fn carried_hosts(&self) -> impl Iterator<Item = &HostName> {
        self.entities.carried_all()
    }

    /// Changes whenever [`Normalizer::carried_hosts`] does.
    #[must_use]
    pub fn hosts_epoch(&self) -> u64 {
        self.entities.epoch()
    }

    /// Goes by `table` from now on; gives the entities that mean another host than before.
    pub fn set_hosts(&mut self, table: Arc<HostTable>) -> Vec<u32> {
        self.entities.set_table(table)
    }

    /// Time of the last sample of the series judged under `slot`, milliseconds since the Unix epoch.
    #[must_use]
    pub fn last_ms(&self, slot: u32) -> Option<i64> {
        self.slot_raw(slot).map(|raw| self.hot[raw].last_ms)
    }

    /// The entity of the series judged under `slot`.
    #[must_use]
    pub fn entity(&self, slot: u32) -> Option<u32> {
        self.slot_raw(slot).map(|raw| self.cold[raw].entity)
    }

    /// The name of the series judged under `slot` in common words.
    #[must_use]
    pub fn metric(&self, slot: u32) -> Option<String> {
        let raw = self.slot_raw(slot)?;
        let own = self.label(raw, NAME);
        Some(match &self.names.meaning(self.cold[raw].meaning).name {
            // Several series come of one histogram: the last word tells them apart.
            Some(name) if self.hot[raw].role == Role::Derived => {
                format!("{name}.{}", own.rsplit(':').next().unwrap_or(""))
            }
            Some(name) => name.to_string(),
            None => own.to_owned(),
        })
    }

    /// What is known of the series judged under `slot`.
    #[must_use]
    pub fn info(&self, slot: u32) -> Option<SeriesInfo<'_>> {
        let raw = self.slot_raw(slot)?;
        let cold = &self.cold[raw];
        let meaning = self.names.meaning(cold.meaning);
        let mut bytes = Vec::with_capacity(512);
        self.labels(raw, &mut bytes);
        Some(SeriesInfo {
            id: hash_canonical(&bytes),
            entity: cold.entity,
            spec: &meaning.spec,
            metric: self.metric(slot)?,
            kind: meaning.kind,
            unit: meaning.spec.unit,
            common_unit: meaning.common_unit,
            factor: meaning.factor,
        })
    }

    /// Where the rules stand that judge the series under `slot`.
    #[must_use]
    pub fn provenance(&self, slot: u32) -> Provenance {
        let meaning = self.slot_raw(slot).map(|raw| self.names.meaning(self.cold[raw].meaning));
        meaning.map_or_else(Provenance::default, |meaning| self.names.rules().provenance(&meaning.rows))
    }

    /// Whether samples of the series with this id come, although it is not judged: rules do not watch it, or
    /// there is nothing to judge in it.
    #[must_use]
    pub fn sets_aside(&self, id: SeriesId) -> bool {
        let role = self.by_key(id.0).map(|raw| self.hot[raw].role);
        matches!(role, Some(Role::Unwatched | Role::Aside | Role::Own | Role::Part | Role::Native))
    }

    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        self.names.rules()
    }

    /// The spec of the series judged under `slot`, to be shared.
    #[must_use]
    pub fn spec(&self, slot: u32) -> Option<Arc<SeriesSpec>> {
        let raw = self.slot_raw(slot)?;
        Some(Arc::clone(&self.names.meaning(self.cold[raw].meaning).spec))
    }

    /// Slots in use from `from` on, in order, at most `max`.
    pub fn slots(&self, from: u32, max: usize) -> impl Iterator<Item = u32> {
        (from..self.slots.len() as u32).filter(|slot| self.slots[*slot] != NONE).take(max)
    }

    /// Slots of the series that `selector` selects, in order.
    pub fn find<'a>(&'a self, selector: &'a Selector) -> impl Iterator<Item = u32> + 'a {
        (0..self.slots.len() as u32).filter(move |slot| self.selects(selector, *slot))
    }

    /// Whether `selector` selects the series judged under `slot`.
    #[must_use]
    pub fn selects(&self, selector: &Selector, slot: u32) -> bool {
        self.slot_raw(slot).is_some_and(|raw| selector.matches_by(|name| self.label(raw, name)))
    }

    /// What is held, for metrics.
    #[must_use]
    pub fn census(&self) -> Census {
        let groups: usize = (0..self.groups.len() as u32).map(|g| self.groups[g].bytes()).sum();
        let series = self.hot.bytes() + self.cold.bytes() + self.map.bytes() + self.slots.bytes();
        let labels = self.pairs.bytes() + self.spans.bytes() + self.entities.bytes() + self.families.bytes();
        Census {
            records: self.live,
            judged: self.slots.len() - self.free_slots.len() - self.resting_slots.len(),
            groups: self.groups.len() - self.free_groups.len(),
            label_pairs: self.pairs.live(),
            entities: self.entities.live(),
            bytes: series + labels + groups + self.groups.bytes() + self.group_map.bytes(),
        }
    }

    fn ids_of(&self, raw: u32) -> &[u32] {
        match self.cold.get(raw) {
            Some(cold) => self.spans.get(cold.labels_at, cold.labels_len),
            None => &[],
        }
    }

    /// The record known under `key`.
    #[inline]
    fn by_key(&self, key: u64) -> Option<u32> {
        self.map.find(key, |raw| self.hot[raw].key == key)
    }

    /// The group known under `key`.
    fn group_by_key(&self, key: u64) -> Option<u32> {
        self.group_map.find(key, |group| self.groups[group].key == key)
    }

    /// Labels of `raw` for a message: `{__name__="up",job="node"}`.
    fn describe(&self, raw: u32) -> String {
        let mut text = String::from("{");
        for (i, (name, value)) in self.pairs_of(raw).enumerate() {
            if i > 0 {
                text.push(',');
            }
            text.push_str(&format!("{name}={value:?}"));
            if text.len() > 300 {
                text.push_str(",...");
                break;
            }
        }
        text.push('}');
        text
    }
}
