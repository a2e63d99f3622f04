//! All hosts and all groups of peers: which series belong to them, and what a tick makes of it.
//!
//! Pure: it is told of series and of their ticks page by page, and asked for what follows. It lives on the
//! thread of the tick stage.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use watchbell_detect::peers::{LEAST_MEMBERS, PeerGroup, PeerVerdict};
use watchbell_detect::{JointConfig, SlotTick};
use watchbell_series::{Pattern, SeriesId, Verdict, Why};

use super::board::Hosts;
use super::channels::{self, Candidate};
use super::host::{self, Host};
use crate::pipeline::shard::Place;

mod roster;

pub use roster::{Newcomer, Seed};

/// No host, no group.
const NONE: u32 = u32::MAX;
/// No channel.
const NO_CHANNEL: u16 = u16::MAX;
/// Peer scores are given back to the shards from here on.
const SHOWN_FROM: f32 = 0.5;
/// Members whose state a new series may take over; the typical one of so many.
const DONORS: usize = 9;
/// Samples that make a member one of these.
const DONOR_ROWS: u32 = 1000;
/// Groups of which no series came back after a restart are forgotten after so many ticks.
const UNCLAIMED_TICKS: u32 = 1440;

/// What a fleet goes by.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetConfig {
    /// Time between ticks, milliseconds.
    pub tick_ms: i64,
    /// How hosts are judged; `None` if they are not.
    pub joint: Option<JointConfig>,
    /// Most channels of a host.
    pub channels: usize,
    /// Most hosts that have a model.
    pub max_hosts: usize,
    /// Whether series are compared with their peers.
    pub peers: bool,
    /// A host without a sample for this long is forgotten, milliseconds.
    pub expire_ms: i64,
}

/// Where a series stands.
#[derive(Debug, Clone, Copy)]
struct Seat {
    id: SeriesId,
    host: u32,
    group: u32,
    member: u32,
    metric: u32,
    channel: u16,
    known: bool,
}

/// Where a series without a channel that varies stands. Small: at times all series are such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wanting {
    host: u32,
    shard: u32,
    slot: u32,
}

/// Where a member of a group stands.
#[derive(Debug, Clone, Copy)]
struct At {
    shard: u32,
    slot: u32,
    host: u32,
}

/// A group of peers.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) key: u64,
    pub(super) peers: PeerGroup,
    /// Where each member stands.
    places: Vec<At>,
    /// Members that can pass on what they learned, as of the last tick, and how many there are.
    donors: Vec<(u32, Place)>,
    ready: usize,
    /// Cadence of its members, and when it was last compared: one sample is one look.
    cadence_s: f32,
    last_ms: Option<i64>,
}

/// What one shard is told after a tick.
#[derive(Debug, Default)]
pub struct ForShard {
    pub(super) scores: Vec<(Place, f32)>,
    pub(super) verdicts: Vec<(SeriesId, Verdict)>,
}

/// Numbers for the own metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Hosts with a model.
    pub hosts: usize,
    /// Their channels.
    pub channels: usize,
    /// Groups that are large enough to be compared.
    pub groups: usize,
    /// Series in them that stand out.
    pub outliers: usize,
    /// Whether a host has no model because there are too many.
    pub limited: bool,
}

/// A contributing channel whose name is not known yet.
#[derive(Debug, Clone, Copy)]
pub struct Unnamed {
    pub(super) host: u32,
    pub(super) channel: u32,
    pub(super) shard: u32,
    pub(super) place: Place,
}

/// All hosts and groups.
#[derive(Debug)]
pub struct Fleet {
    config: FleetConfig,
    seats: Vec<Vec<Option<Seat>>>,
    pub(super) hosts: Vec<Option<Host>>,
    by_name: BTreeMap<Arc<str>, u32>,
    free_hosts: Vec<u32>,
    pub(super) groups: Vec<Group>,
    by_key: HashMap<u64, u32>,
    free_groups: Vec<u32>,
    newcomers: Vec<Newcomer>,
    wanting: Vec<Wanting>,
    fit_at: usize,
    ticks: u32,
    counts: Counts,
}

impl Fleet {
    /// A fleet of nothing.
    #[must_use]
    pub fn new(config: FleetConfig) -> Self {
        Self {
            config,
            seats: Vec::new(),
            hosts: Vec::new(),
            by_name: BTreeMap::new(),
            free_hosts: Vec::new(),
            groups: Vec::new(),
            by_key: HashMap::new(),
            free_groups: Vec::new(),
            newcomers: Vec::new(),
            wanting: Vec::new(),
            fit_at: 0,
            ticks: 0,
            counts: Counts::default(),
        }
    }

    /// What it goes by.
    #[must_use]
    pub fn config(&self) -> &FleetConfig {
        &self.config
    }

    /// A tick begins.
    pub fn begin(&mut self) {
        for group in &mut self.groups {
            group.donors.clear();
            group.ready = 0;
        }
        self.wanting.clear();
    }

    /// Series of `shard` at the tick that goes on.
    pub fn page(&mut self, shard: u32, ticks: &[SlotTick], now_ms: i64) {
        for tick in ticks {
            let Some(seat) = self.seat(shard, tick.slot).copied() else { continue };
            let place = Place { slot: tick.slot, id: seat.id };
            let Some(host) = &mut self.hosts[seat.host as usize] else { continue };
            let channel = (seat.channel != NO_CHANNEL && !tick.quiet).then_some(seat.channel);
            host.take(channel, tick, now_ms);
            if tick.quiet {
                // Planned work says nothing of how a host or its peers usually are: as if no sample had come.
                continue;
            }
            if seat.channel == NO_CHANNEL && tick.varied {
                host.wanting += 1;
                if host.room(self.config.channels) > 0 {
                    self.wanting.push(Wanting { host: seat.host, shard, slot: tick.slot });
                }
            }
            if let Some(group) = self.groups.get_mut(seat.group as usize) {
                group.peers.set(seat.member, tick.value);
                group.cadence_s = tick.cadence_s;
                if tick.rows >= DONOR_ROWS && !tick.score.is_nan() {
                    group.ready += 1;
                    if group.donors.len() < DONORS {
                        group.donors.push((shard, place));
                    }
                }
            }
        }
    }

    /// All pages of the tick at `now_ms` came: judges hosts and groups. Gives what each of `shards` shards is to
    /// be told.
    pub fn finish(&mut self, shards: usize, now_ms: i64) -> Vec<ForShard> {
        self.ticks = self.ticks.saturating_add(1);
        let mut told: Vec<ForShard> = (0..shards).map(|_| ForShard::default()).collect();
        self.counts = Counts::default();
        self.compare(&mut told, now_ms);
        if let Some(joint) = self.config.joint {
            self.choose();
            self.judge(joint, now_ms);
        }
        self.prune(now_ms);
        told
    }

    fn compare(&mut self, told: &mut [ForShard], now_ms: i64) {
        for host in self.hosts.iter_mut().flatten() {
            host.peers = (f32::NAN, 0);
        }
        let (unclaimed, tick_ms) = (self.ticks == UNCLAIMED_TICKS, self.config.tick_ms);
        let (mut verdicts, seats) = (Vec::new(), &self.seats);
        let place = |at: &At| {
            let seat = seats.get(at.shard as usize)?.get(at.slot as usize)?.as_ref()?;
            Some(Place { slot: at.slot, id: seat.id })
        };
        for group in &mut self.groups {
            if unclaimed {
                group.peers.drop_unclaimed();
            }
            verdicts.clear();
            let step_ms = host::step_ms((group.cadence_s * 1000.0) as i64, tick_ms);
            if group.last_ms.is_none_or(|last_ms| now_ms.saturating_sub(last_ms) >= step_ms - tick_ms / 2) {
                group.peers.tick(&mut verdicts);
                group.last_ms = Some(now_ms);
            }
            if group.peers.len() < LEAST_MEMBERS {
                continue;
            }
            self.counts.groups += 1;
            for (member, at) in group.places.iter().enumerate() {
                let score = group.peers.score(member as u32);
                let Some(host) = self.hosts.get_mut(at.host as usize).and_then(Option::as_mut) else { continue };
                if score.is_nan() {
                    continue;
                }
                host.peers = (host.peers.0.max(score), host.peers.1 + 1);
                self.counts.outliers += usize::from(score >= 1.0);
                if score >= SHOWN_FROM {
                    told[at.shard as usize].scores.extend(place(at).map(|place| (place, score)));
                }
            }
            for verdict in &verdicts {
                let at = &group.places[verdict.member as usize];
                let verdict = place(at).map(|place| (place.id, outlier(verdict, place, now_ms)));
                told[at.shard as usize].verdicts.extend(verdict);
            }
        }
    }

    /// Gives channels to series that want one.
    fn choose(&mut self) {
        let mut wanting = std::mem::take(&mut self.wanting);
        wanting.sort_unstable();
        let seats = &mut self.seats;
        for of_host in wanting.chunk_by(|a, b| a.host == b.host) {
            let Some(host) = &mut self.hosts[of_host[0].host as usize] else { continue };
            let candidate = |Wanting { shard, slot, .. }: &Wanting| {
                let seat = seats[*shard as usize][*slot as usize].as_ref()?;
                let place = Place { slot: *slot, id: seat.id };
                Some(Candidate { known: seat.known, metric: seat.metric, shard: *shard, place })
            };
            let candidates = of_host.iter().filter_map(candidate).collect();
            for Candidate { shard, place, .. } in channels::choose(candidates, host.room(self.config.channels)) {
                let channel = host.append(place.id, shard, place);
                if let Some(seat) = &mut seats[shard as usize][place.slot as usize] {
                    seat.channel = channel;
                }
            }
        }
    }

    fn judge(&mut self, joint: JointConfig, now_ms: i64) {
        let (most, tick_ms) = (self.config.channels, self.config.tick_ms);
        let mut models = self.hosts.iter().flatten().filter(|host| host.model.is_some()).count();
        for host in self.hosts.iter_mut().flatten() {
            if host.is_worn(most, now_ms) {
                for (shard, place) in host.take_apart() {
                    if let Some(seat) = &mut self.seats[shard as usize][place.slot as usize] {
                        seat.channel = NO_CHANNEL;
                    }
                }
            }
            host.wanting = 0;
            let new = host.model.is_none() && !host.channels.is_empty();
            if new && models >= self.config.max_hosts {
                self.counts.limited = true;
                host.skip();
                continue;
            }
            host.tick(joint, now_ms, tick_ms);
            models += usize::from(new && host.model.is_some());
            host.ticks = host.ticks.saturating_add(u32::from(host.model.is_none()));
            self.counts.channels += if host.model.is_some() { host.channels.len() } else { 0 };
        }
        self.counts.hosts = models;
    }

    fn prune(&mut self, now_ms: i64) {
        for at in 0..self.hosts.len() {
            let Some(host) = &mut self.hosts[at] else { continue };
            host.hold(3 * self.config.tick_ms);
            if host.series == 0 && now_ms.saturating_sub(host.seen_ms) > self.config.expire_ms {
                self.by_name.remove(&host.name);
                self.hosts[at] = None;
                self.free_hosts.push(at as u32);
            }
        }
        for (at, group) in self.groups.iter_mut().enumerate() {
            if group.peers.is_empty() && self.by_key.remove(&group.key).is_some() {
                *group = Group::default();
                self.free_groups.push(at as u32);
            }
        }
    }

    /// Numbers of the last tick.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Contributing channels without a name, at most `max`.
    #[must_use]
    pub fn unnamed(&self, max: usize) -> Vec<Unnamed> {
        let hosts = self.hosts.iter().enumerate().filter_map(|(at, host)| Some((at as u32, host.as_ref()?)));
        let of_host = |(host, it): (u32, &'_ Host)| {
            let channels = it.unnamed().filter_map(move |(channel, c)| c.at.map(|at| (host, channel, at)));
            channels.collect::<Vec<_>>()
        };
        let all = hosts.flat_map(of_host);
        all.map(|(host, channel, (shard, place))| Unnamed { host, channel, shard, place }).take(max).collect()
    }

    /// Names a channel.
    pub fn name(&mut self, unnamed: Unnamed, name: &str) {
        let host = self.hosts.get_mut(unnamed.host as usize).and_then(Option::as_mut);
        let channel = host.and_then(|host| host.channels.get_mut(unnamed.channel as usize));
        if let Some(channel) = channel.filter(|channel| channel.id == unnamed.place.id) {
            channel.name = Some(name.into());
        }
    }

    /// What readers are shown.
    #[must_use]
    pub fn board(&self) -> Hosts {
        let hosts = self.hosts.iter().flatten();
        hosts.filter_map(|host| Some((Arc::clone(&host.name), host.state()?))).collect()
    }

    /// Fits the next model that is due, in turn over the hosts; whether there was one.
    pub fn fit_one(&mut self) -> bool {
        for _ in 0..self.hosts.len() {
            self.fit_at = (self.fit_at + 1) % self.hosts.len();
            let model = self.hosts[self.fit_at].as_mut().and_then(|host| host.model.as_mut());
            if let Some(model) = model.filter(|model| model.fit_due()) {
                model.fit();
                return true;
            }
        }
        false
    }
}

/// The verdict on a series that is unlike its peers.
fn outlier(verdict: &PeerVerdict, place: Place, now_ms: i64) -> Verdict {
    Verdict {
        slot: place.slot,
        ts_ms: now_ms,
        value: verdict.value,
        score: verdict.score,
        edge: 1.0,
        onset: verdict.onset,
        alarm: verdict.alarm,
        pattern: Pattern::PeerOutlier,
        expected: verdict.expected,
        lower: verdict.lower,
        upper: verdict.upper,
        why: Why::UNKNOWN,
    }
}

#[cfg(test)]
mod tests;
