//! What a shard does for the tick stage: tells which series there are, gives the last value and the worst
//! score of each, and takes back what was found by comparing series of several shards.
//!
//! Every call is bounded; a batch waits for one slice at most.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use watchbell_detect::ensemble;
use watchbell_detect::peers::PeerRules;
use watchbell_detect::{Donor, Seeded, SlotTick};
use watchbell_normalize::Normalized;
use watchbell_series::labels::NAME;
use watchbell_series::{Pattern, Reading, SeriesId, Verdict};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::Shard;
use crate::alerting::annotate::short;

/// Slots that one gathering looks at, at most: about a millisecond.
const GATHER_SLOTS: usize = 8192;
/// Labels that tell targets apart rather than the series of one target: they hold members of a group apart,
/// unless the config names them.
const TARGET_LABELS: [&str; 20] = [
    "host",
    "hostname",
    "nodename",
    "node",
    "instance",
    "pod",
    "job",
    "role",
    "template",
    "cluster",
    "env",
    "environment",
    "region",
    "zone",
    "availability_zone",
    "datacenter",
    "dc",
    "rack",
    "team",
    "monitor",
];

/// What makes a group of series: the labels of targets that must be equal in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grouping {
    /// Their names.
    pub by: Vec<String>,
}

impl Grouping {
    /// The group of a series with these labels, of this host: equal for the same metric with the same labels
    /// on another target, where the labels in `by` are equal, too.
    fn key<'a>(&self, pairs: impl Iterator<Item = (&'a str, &'a str)>, host: &str) -> u64 {
        let mut hash = Xxh3::new();
        for (name, value) in pairs {
            let asked = self.by.iter().any(|by| by == name);
            if asked || (!TARGET_LABELS.contains(&name) && value != host) {
                for part in [name, value] {
                    hash.update(&(part.len() as u32).to_le_bytes());
                    hash.update(part.as_bytes());
                }
            }
        }
        hash.digest()
    }
}

/// Where a series is judged, and which it is: a slot may belong to another one by the time it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The slot.
    pub slot: u32,
    /// The series.
    pub id: SeriesId,
}

/// A judged series that the tick stage is told of.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// The series.
    pub id: SeriesId,
    /// Its host; empty for none.
    pub host: String,
    /// Hash of its metric's name.
    pub metric: u64,
    /// Whether mapping rules know the metric.
    pub known: bool,
    /// Its group, see [`Grouping`].
    pub group: u64,
    /// What rules say of deviations.
    pub rules: PeerRules,
    /// Samples it learned from.
    pub rows: u32,
}

/// What a shard keeps for the tick stage.
#[derive(Debug, Default)]
pub(super) struct TickState {
    /// `None` while nobody asks: then nothing is noted.
    grouping: Option<Arc<Grouping>>,
    /// Slots that came, changed or went since they were last told of.
    changed: BTreeSet<u32>,
    /// Scores of the comparison with peers, of series that stand out.
    peers: HashMap<u32, f32>,
}

impl TickState {
    /// Notes what changed among the slots.
    pub(super) fn note(&mut self, normalized: &Normalized) {
        if self.grouping.is_none() {
            return;
        }
        let admitted = normalized.admitted.iter().map(|admission| admission.slot);
        let respecified = normalized.respecified.iter().map(|(slot, _)| *slot);
        let respecified = respecified.chain(normalized.rehomed.iter().map(|(slot, _)| *slot));
        for slot in normalized.released.iter().copied().chain(admitted).chain(respecified) {
            self.changed.insert(slot);
            self.peers.remove(&slot);
        }
    }

    /// The same for one slot.
    pub(super) fn note_one(&mut self, slot: u32) {
        if self.grouping.is_some() {
            self.changed.insert(slot);
        }
    }

    /// Whether anybody asks for what changed.
    pub(super) fn is_watched(&self) -> bool {
        self.grouping.is_some()
    }

    /// The reading of a series with what its peers say of it.
    pub(super) fn with_peers(&self, slot: u32, reading: Reading) -> Reading {
        let Some(&peers) = self.peers.get(&slot).filter(|_| reading.not_ready.is_none()) else { return reading };
        let leads = peers >= 1.0 && peers > reading.score;
        Reading {
            peers: Some(peers),
            score: ensemble::of_series(reading.score, peers),
            pattern: if leads { Pattern::PeerOutlier } else { reading.pattern },
            alarm: reading.alarm || leads,
            ..reading
        }
    }
}

impl Shard {
    /// Tells of all its series from now on, see [`Shard::sightings`].
    pub fn watch_series(&mut self, grouping: Arc<Grouping>) {
        self.tick.grouping = Some(grouping);
        self.tick.changed = self.normalizer.slots(0, usize::MAX).collect();
    }

    /// Tells of none any more, and forgets what the comparison with peers found.
    pub fn unwatch_series(&mut self) {
        self.tick = TickState::default();
    }

    /// At most `max` slots that came, changed or went since they were told of, with the series that is there
    /// now, if any.
    pub fn sightings(&mut self, max: usize) -> Vec<(u32, Option<Sighting>)> {
        let Some(grouping) = self.tick.grouping.clone() else { return Vec::new() };
        let slots: Vec<u32> = self.tick.changed.iter().copied().take(max).collect();
        for slot in &slots {
            self.tick.changed.remove(slot);
        }
        slots.into_iter().map(|slot| (slot, self.sighting(slot, &grouping))).collect()
    }

    fn sighting(&self, slot: u32, grouping: &Grouping) -> Option<Sighting> {
        let (raw, info) = (self.normalizer.slot_raw(slot)?, self.normalizer.info(slot)?);
        let host = self.normalizer.entity_name(info.entity).to_owned();
        let own = self.normalizer.label(raw, NAME);
        Some(Sighting {
            id: info.id,
            metric: xxh3_64(own.as_bytes()),
            known: info.metric != own,
            group: grouping.key(self.normalizer.pairs_of(raw), &host),
            rules: PeerRules::of(info.spec),
            rows: self.judge.rows(slot),
            host,
        })
    }

    /// Gathers the series from slot `from` on for the tick at `now_ms`; the slot to go on from, if any.
    pub fn gather(&mut self, from: u32, now_ms: i64, tick_ms: i64) -> (Vec<SlotTick>, Option<u32>) {
        let mut slots: Vec<u32> = self.normalizer.slots(from, GATHER_SLOTS + 1).collect();
        let next = (slots.len() > GATHER_SLOTS).then(|| slots.pop()).flatten();
        let gather =
            |slot| self.judge.gather(slot, self.arrivals.tick_time(self.normalizer.source_of(slot), now_ms), tick_ms);
        (slots.into_iter().filter_map(gather).collect(), next)
    }

    /// Short names of series among those of their host, in the order asked for.
    #[must_use]
    pub fn names(&self, places: &[Place]) -> Vec<Option<String>> {
        places.iter().map(|place| self.name(*place)).collect()
    }

    fn name(&self, place: Place) -> Option<String> {
        let raw = self.found(place)?;
        Some(short(self.normalizer.pairs_of(raw)))
    }

    /// The record of a series, if it is still in its slot.
    fn found(&self, place: Place) -> Option<u32> {
        self.normalizer.info(place.slot).filter(|info| info.id == place.id)?;
        self.normalizer.slot_raw(place.slot)
    }

    /// What these series can pass on to a new one of their group.
    #[must_use]
    pub fn donors(&self, places: &[Place]) -> Vec<Donor> {
        let found = places.iter().filter(|place| self.found(**place).is_some());
        found.filter_map(|place| self.judge.donor(place.slot)).collect()
    }

    /// Lets a new series take over what a typical one of its group learned.
    pub fn seed(&mut self, place: Place, donors: &[Donor]) -> Seeded {
        if self.found(place).is_none() { Seeded::No } else { self.judge.seed(place.slot, donors) }
    }

    /// Takes what the comparison with peers found: the scores of all series that stand out, and the verdicts
    /// on those that ring or stopped to.
    pub fn set_peers(&mut self, scores: &[(Place, f32)], verdicts: Vec<(SeriesId, Verdict)>) {
        let found = scores.iter().filter(|(place, _)| self.found(*place).is_some());
        self.tick.peers = found.map(|(place, score)| (place.slot, *score)).collect();
        for (id, verdict) in verdicts {
            if self.found(Place { slot: verdict.slot, id }).is_some() {
                self.verdicts.push(verdict);
            }
        }
        self.report();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(by: &[&str], pairs: &[(&str, &str)], host: &str) -> u64 {
        Grouping { by: by.iter().map(|name| (*name).to_owned()).collect() }.key(pairs.iter().copied(), host)
    }

    #[test]
    fn a_group_is_the_same_series_of_other_targets() {
        let one = [("__name__", "load"), ("core", "0"), ("instance", "a:1"), ("job", "node"), ("zone", "x")];
        let other = [("__name__", "load"), ("core", "0"), ("instance", "b:1"), ("job", "node"), ("zone", "y")];
        assert_eq!(key(&["job"], &one, "a"), key(&["job"], &other, "b"));
        assert_ne!(key(&["job", "zone"], &one, "a"), key(&["job", "zone"], &other, "b"));
        let core = [("__name__", "load"), ("core", "1"), ("instance", "b:1"), ("job", "node"), ("zone", "y")];
        assert_ne!(key(&["job"], &one, "a"), key(&["job"], &core, "b"));
        let job = [("__name__", "load"), ("core", "0"), ("instance", "b:1"), ("job", "db"), ("zone", "y")];
        assert_ne!(key(&["job"], &one, "a"), key(&["job"], &job, "b"));
        assert_eq!(key(&[], &one, "a"), key(&[], &job, "b"));
        // A label of any name that names the host.
        let named = [("__name__", "load"), ("server", "a")];
        assert_eq!(key(&[], &named, "a"), key(&[], &[("__name__", "load"), ("server", "b")], "b"));
    }
}
