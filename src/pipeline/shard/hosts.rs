//! The hosts of a shard's series: the names that series carry, and which host each of them means.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use watchbell_normalize::hosts::{HostName, HostTable, resolve};

use super::Shard;

/// Slots that one page looks at, at most: about a millisecond.
const PAGE: usize = 16_384;

/// What series say of a name of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostUse {
    /// Judged series that carry it.
    pub series: u32,
    /// Time of the newest sample of them, milliseconds since the Unix epoch.
    pub last_ms: i64,
}

impl Shard {
    /// The names of hosts that series carry, and a number that changes with them; only the number where it is
    /// `known`.
    #[must_use]
    pub fn host_names(&self, known: Option<u64>) -> (u64, Option<Vec<HostName>>) {
        let epoch = self.normalizer.hosts_epoch();
        let names = (known != Some(epoch)).then(|| self.normalizer.carried_hosts().cloned().collect());
        (epoch, names)
    }

    /// Goes by `table` from now on: series whose host is another one belong to it, and keep what they learned.
    pub fn set_hosts(&mut self, table: Arc<HostTable>) {
        let changed: HashSet<u32> = self.normalizer.set_hosts(table).into_iter().collect();
        if changed.is_empty() {
            return;
        }
        let of_changed = |slot: &u32| self.normalizer.entity(*slot).is_some_and(|entity| changed.contains(&entity));
        let slots: Vec<u32> = self.normalizer.slots(0, usize::MAX).filter(of_changed).collect();
        for slot in &slots {
            // The alerting stage hears the new name with the next verdict.
            if let Some(tracked) = self.tracked.get_mut(slot) {
                tracked.told = false;
            }
        }
        if self.tick.is_watched() {
            slots.iter().for_each(|slot| self.tick.note_one(*slot));
        }
        if self.has_limits() {
            // A limit may be about the one host and not about the other. Of windows the set that is in force says it.
            slots.into_iter().for_each(|slot| self.match_limits_of(slot));
        }
    }

    /// The same where this is the only shard: finds the hosts of its own names, if they changed since `known`, which
    /// is brought up to date.
    pub fn settle_hosts(&mut self, known: &mut Option<u64>) {
        let (epoch, names) = self.host_names(*known);
        if let Some(names) = names {
            let table = resolve(&names, self.normalizer.rules().guesses());
            self.set_hosts(Arc::new(table));
        }
        *known = Some(epoch);
    }

    /// The host, the tag of the source and the name for each name that series of the source carry in their label `host`.
    #[must_use]
    pub fn told_hosts(&self) -> Vec<(String, u32, Box<str>)> {
        let entities = self.judge.entities().map(|(entity, _)| entity);
        let told = entities.filter_map(|entity| {
            let carried = self.normalizer.carried_host(entity).filter(|carried| &*carried.label == "host")?;
            let host = self.normalizer.entity_name(entity).to_owned();
            Some((host, carried.source, carried.carried.clone()))
        });
        told.collect()
    }

    /// How many series carry each name, of those from `slot` on: added to `found`. The slot to go on from, if any.
    pub fn host_uses(&self, slot: u32, found: &mut HashMap<HostName, HostUse>) -> Option<u32> {
        let mut by_entity: HashMap<u32, HostUse> = HashMap::new();
        let mut next = None;
        for (looked, slot) in self.normalizer.slots(slot, PAGE + 1).enumerate() {
            if looked == PAGE {
                next = Some(slot);
                break;
            }
            let (Some(entity), Some(last_ms)) = (self.normalizer.entity(slot), self.normalizer.last_ms(slot)) else {
                continue;
            };
            let known = by_entity.entry(entity).or_default();
            known.series += 1;
            known.last_ms = known.last_ms.max(last_ms);
        }
        for (entity, used) in by_entity {
            let Some(name) = self.normalizer.carried_host(entity).filter(|name| !name.name.is_empty()) else {
                continue;
            };
            let known = found.entry(name.clone()).or_default();
            known.series += used.series;
            known.last_ms = known.last_ms.max(used.last_ms);
        }
        next
    }
}
