//! Which series there are, whose they are, and which of them are new.

use std::sync::Arc;

use watchbell_detect::peers::{LEAST_MEMBERS, PeerGroup};

use super::{At, Fleet, Group, NO_CHANNEL, NONE, Seat};
use crate::pipeline::shard::{Place, Sighting};
use crate::pipeline::tick::host::Host;

/// A series with more samples than this is not new.
const NEW_ROWS: u32 = 240;
/// How long a new series waits for its group to have something to pass on, milliseconds.
const SEED_WAIT_MS: i64 = 30 * 60_000;

/// A new series that waits to take over its group's state.
#[derive(Debug, Clone, Copy)]
pub struct Newcomer {
    shard: u32,
    place: Place,
    until_ms: i64,
}

/// A new series and where its group's state can be taken from.
#[derive(Debug, Clone)]
pub struct Seed {
    pub(in crate::pipeline::tick) newcomer: Newcomer,
    /// Shard and place.
    pub(in crate::pipeline::tick) donors: Vec<(u32, Place)>,
}

impl Seed {
    pub(in crate::pipeline::tick) fn shard(&self) -> u32 {
        self.newcomer.shard
    }

    pub(in crate::pipeline::tick) fn place(&self) -> Place {
        self.newcomer.place
    }
}

impl Fleet {
    /// A shard lost its series, and will tell of them anew.
    pub fn forget_shard(&mut self, shard: u32, now_ms: i64) {
        for slot in 0..self.seats.get(shard as usize).map_or(0, Vec::len) {
            self.leave(shard, slot as u32, now_ms);
        }
    }

    /// Slots of `shard` that came, changed or went.
    pub fn sighted(&mut self, shard: u32, sightings: Vec<(u32, Option<Sighting>)>, now_ms: i64) {
        for (slot, sighting) in sightings {
            match (self.seat(shard, slot).copied(), sighting) {
                (Some(seat), Some(sighting)) if seat.id == sighting.id && self.is_of(&seat, &sighting.host) => {
                    if let Some(group) = self.groups.get_mut(seat.group as usize) {
                        group.peers.set_rules(seat.member, sighting.rules);
                    }
                }
                (_, sighting) => {
                    self.leave(shard, slot, now_ms);
                    if let Some(sighting) = sighting.filter(|sighting| !sighting.host.is_empty()) {
                        self.enter(shard, slot, &sighting, now_ms);
                    }
                }
            }
        }
    }

    fn is_of(&self, seat: &Seat, host: &str) -> bool {
        self.hosts.get(seat.host as usize).and_then(Option::as_ref).is_some_and(|known| *known.name == *host)
    }

    /// A host is called otherwise from now on; what was learned of it stays, unless another one has the name.
    pub fn rename(&mut self, old: &str, new: &str) {
        if self.by_name.contains_key(new) {
            return;
        }
        let Some(at) = self.by_name.remove(old) else { return };
        let name: Arc<str> = new.into();
        if let Some(host) = &mut self.hosts[at as usize] {
            host.name = Arc::clone(&name);
        }
        self.by_name.insert(name, at);
    }

    pub(super) fn seat(&self, shard: u32, slot: u32) -> Option<&Seat> {
        self.seats.get(shard as usize)?.get(slot as usize)?.as_ref()
    }

    fn leave(&mut self, shard: u32, slot: u32, now_ms: i64) {
        let seat = self.seats.get_mut(shard as usize).and_then(|slots| slots.get_mut(slot as usize));
        let Some(seat) = seat.and_then(Option::take) else { return };
        if let Some(host) = &mut self.hosts[seat.host as usize] {
            host.series -= 1;
            host.lose(seat.channel, now_ms);
        }
        if let Some(group) = self.groups.get_mut(seat.group as usize) {
            group.peers.leave(seat.member);
        }
    }

    fn enter(&mut self, shard: u32, slot: u32, sighting: &Sighting, now_ms: i64) {
        let place = Place { slot, id: sighting.id };
        let host_at = self.host_named(&sighting.host, now_ms);
        let Some(host) = &mut self.hosts[host_at as usize] else { return };
        host.series += 1;
        let channel = host.reclaim(sighting.id, shard, place).unwrap_or(NO_CHANNEL);
        let (mut group_at, mut member) = (NONE, 0);
        if self.config.peers {
            group_at = self.group_of(sighting.group);
            let group = &mut self.groups[group_at as usize];
            member = group.peers.join(sighting.id.0, sighting.rules);
            let at = At { shard, slot, host: host_at };
            match group.places.get_mut(member as usize) {
                Some(known) => *known = at,
                None => group.places.resize(member as usize + 1, at),
            }
            if sighting.rows <= NEW_ROWS {
                let until_ms = now_ms.saturating_add(SEED_WAIT_MS);
                self.newcomers.push(Newcomer { shard, place, until_ms });
            }
        }
        let seat = Seat {
            id: sighting.id,
            host: host_at,
            group: group_at,
            member,
            metric: sighting.metric as u32,
            channel,
            known: sighting.known,
        };
        let shard = shard as usize;
        if self.seats.len() <= shard {
            self.seats.resize_with(shard + 1, Vec::new);
        }
        if self.seats[shard].len() <= slot as usize {
            self.seats[shard].resize(slot as usize + 1, None);
        }
        self.seats[shard][slot as usize] = Some(seat);
    }

    fn host_named(&mut self, name: &str, now_ms: i64) -> u32 {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        let mut host = Host::new(name.into());
        host.seen_ms = now_ms;
        self.add_host(host)
    }

    pub(in crate::pipeline::tick) fn add_host(&mut self, host: Host) -> u32 {
        let name = Arc::clone(&host.name);
        let at = self.free_hosts.pop().unwrap_or_else(|| {
            self.hosts.push(None);
            self.hosts.len() as u32 - 1
        });
        self.hosts[at as usize] = Some(host);
        self.by_name.insert(name, at);
        at
    }

    fn group_of(&mut self, key: u64) -> u32 {
        match self.by_key.get(&key) {
            Some(at) => *at,
            None => self.add_group(key, PeerGroup::default()),
        }
    }

    pub(in crate::pipeline::tick) fn add_group(&mut self, key: u64, peers: PeerGroup) -> u32 {
        // Places of members that wait for their series are never looked at.
        let nobody = At { shard: 0, slot: NONE, host: NONE };
        let places = vec![nobody; peers.len()];
        let at = self.free_groups.pop().unwrap_or_else(|| {
            self.groups.push(Group::default());
            self.groups.len() as u32 - 1
        });
        self.groups[at as usize] = Group { key, peers, places, ..Group::default() };
        self.by_key.insert(key, at);
        at
    }

    /// New series whose group has something to pass on, at most `max`; the others go on waiting.
    pub fn seeds(&mut self, max: usize, now_ms: i64) -> Vec<Seed> {
        let mut seeds = Vec::new();
        let (groups, seats) = (&self.groups, &self.seats);
        self.newcomers.retain(|newcomer| {
            let seat = seats.get(newcomer.shard as usize).and_then(|slots| slots.get(newcomer.place.slot as usize));
            let there = seat.and_then(Option::as_ref).filter(|seat| seat.id == newcomer.place.id);
            let Some(group) = there.and_then(|seat| groups.get(seat.group as usize)) else { return false };
            if seeds.len() < max && group.ready >= LEAST_MEMBERS {
                let donors = group.donors.iter().copied().filter(|(_, place)| *place != newcomer.place).collect();
                seeds.push(Seed { newcomer: *newcomer, donors });
                return false;
            }
            now_ms < newcomer.until_ms
        });
        seeds
    }

    /// New series that have too few samples of their own yet.
    pub fn retry(&mut self, newcomers: impl IntoIterator<Item = Newcomer>) {
        self.newcomers.extend(newcomers);
    }
}
