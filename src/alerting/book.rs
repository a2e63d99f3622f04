//! All alerts that are pending or firing, and what may fire at once.
//!
//! The book is fed with verdicts as they come and with the clock and the roll-ups of hosts at each tick;
//! it answers with [`Changes`]. A series is in the book while a rule's alert about it is pending or firing,
//! and so long the shard reports every sample of it.
//!
//! A mad host is one page: where a rule about hosts selects a host, only `max_per_host` alerts of its
//! series fire, further ones are held, and the alert of the host fires in their stead. A held alert fires
//! when the alert of the host has resolved and it still stands. Where many hosts are mad at once, a rule about
//! the fleet does the same one step up: one alert for all, and those of the hosts it is about are held.

mod admit;
mod fleet;
mod hosts;
mod load;
mod mute;
mod standing;
mod watched;

pub use standing::{Hold, Probe, RuleStanding, Standing};

use std::collections::BTreeMap;
use std::sync::Arc;

use watchbell_adapter_api::HostReading;
use watchbell_series::{Alert, Pattern, SeriesId};

use super::budget::{Budgets, Reason};
use super::episode::{Change, Episode, Transition};
use super::lifecycle::{Life, Step};
use super::rules::{Rule, Rules};
use super::{AlertInput, identity};
use crate::context::quiet::Quiet;
use fleet::Fleet;
use hosts::Hosts;
use load::Load;
use mute::{end_kept, fired_as};
use watched::{Entry, Stage, Watched};

/// Series that may be in the book at once: about 50 MB of labels and what is known of them.
pub const MAX_WATCHED: usize = 25_000;

/// What follows from a call of the book.
#[derive(Debug, Default)]
pub struct Changes {
    /// For the journal, and for sinks by [`Changes::alerts`].
    pub transitions: Vec<Transition>,
    /// For the shards.
    pub track: Vec<Track>,
}

impl Changes {
    /// The alerts that sinks are told of.
    pub fn alerts(&self) -> impl Iterator<Item = Alert> {
        let told = self.transitions.iter().filter(|transition| transition.change.suppressed().is_none());
        told.map(|transition| transition.episode.alert())
    }

    /// Whether nothing follows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.transitions.is_empty() && self.track.is_empty()
    }

    fn push(&mut self, at_ms: i64, change: Change, episode: &Episode) {
        self.transitions.push(Transition { at_ms, change, episode: episode.clone() });
    }
}

/// Asks a shard to report every sample of a series, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Track {
    /// The series.
    pub id: SeriesId,
    /// Its shard and slot; `None` for a series known from the journal only, which its shard finds by `id`.
    pub place: Option<(u32, u32)>,
    /// On or off.
    pub on: bool,
}

/// How many alerts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Waiting for `for` or for further hits.
    pub pending: usize,
    /// Firing, of series, hosts and the fleet.
    pub firing: usize,
    /// Would fire, but a limit is reached.
    pub held: usize,
    /// Would fire, but are under the edge of the budget.
    pub suppressed: usize,
    /// Anomalous samples that could not begin an alert since the start, see [`MAX_WATCHED`].
    pub refused: u64,
}

/// The book. One per process.
#[derive(Debug)]
pub struct Book {
    rules: Rules,
    external_url: String,
    // In order, so that equal input makes equal decisions.
    watched: BTreeMap<SeriesId, Watched>,
    hosts: Hosts,
    fleet: Fleet,
    load: Load,
    refused: u64,
    budgets: Budgets,
    quiet: Arc<Quiet>,
    /// The clock at the last call.
    clock_ms: i64,
}

impl Book {
    /// An empty book. `external_url` is where people reach the service, for links; it may be empty.
    #[must_use]
    pub fn new(rules: Rules, external_url: &str) -> Self {
        Self {
            budgets: Budgets::new(&rules),
            rules,
            external_url: external_url.to_owned(),
            watched: BTreeMap::new(),
            hosts: Hosts::default(),
            fleet: Fleet::default(),
            load: Load::default(),
            refused: 0,
            quiet: Arc::default(),
            clock_ms: i64::MIN,
        }
    }

    /// Takes over the episodes that were open before a restart: same labels, same start. They resolve when
    /// their series turns out to be fine or does not come back. Those of rules that are gone resolve now.
    pub fn restore(&mut self, episodes: Vec<Episode>, now_ms: i64, out: &mut Changes) {
        self.take_over(episodes, false, now_ms, out);
    }

    /// The same of those that a quiet window muted: what still stands after it fires then.
    pub fn restore_muted(&mut self, episodes: Vec<Episode>, now_ms: i64, out: &mut Changes) {
        self.take_over(episodes, true, now_ms, out);
    }

    fn take_over(&mut self, episodes: Vec<Episode>, muted: bool, now_ms: i64, out: &mut Changes) {
        for episode in episodes {
            let missing = episode.pattern == Pattern::Missing;
            let life = Life::restored(episode.starts_ms, missing, now_ms);
            let of_fleet = episode.series.is_none() && episode.host.is_empty();
            let rules = match episode.series {
                Some(_) => &self.rules.series,
                None if of_fleet => &self.rules.fleet,
                None => &self.rules.hosts,
            };
            let Some(rule) = rules.iter().position(|rule| rule.name == episode.rule) else {
                let episode = Episode { ends_ms: Some(now_ms.max(episode.starts_ms)), ..episode };
                out.push(now_ms, if muted { Change::Over(Reason::Muted) } else { Change::Resolved }, &episode);
                continue;
            };
            let (series, host) = (episode.series, episode.host.clone());
            let entry = Entry::restored(rule, life, episode, muted);
            match series {
                None if of_fleet => self.fleet.restore(entry),
                None => self.hosts.restore(host, entry),
                Some(id) => {
                    out.track.push(Track { id, place: None, on: true });
                    if !muted {
                        self.load.change(&host, |firing, _| *firing += 1);
                    }
                    let watched = self.watched.entry(id).or_insert_with(|| Watched::restored(host));
                    watched.entries.push(entry);
                }
            }
        }
    }

    /// So many anomalous samples could not begin an alert.
    pub fn refuse(&mut self, count: u64) {
        self.refused += count;
    }

    /// Whether there is no room for further series; where there `was` none, a tenth must be free again.
    #[must_use]
    pub fn is_full(&self, was: bool) -> bool {
        self.watched.len() >= if was { MAX_WATCHED - MAX_WATCHED / 10 } else { MAX_WATCHED }
    }

    /// One verdict. Time of the sample decides about firing, `now_ms` about silence.
    pub fn observe(&mut self, input: AlertInput, now_ms: i64, out: &mut Changes) {
        self.clock_ms = now_ms;
        let AlertInput { shard, id, about, verdict } = input;
        let mut watched = match (self.watched.remove(&id), about) {
            (Some(mut watched), about) => {
                watched.learn(about);
                watched
            }
            (None, Some(about)) if self.rules.series.iter().any(|rule| watched::begins(rule, &about, &verdict)) => {
                if self.watched.len() >= MAX_WATCHED {
                    self.refused += 1;
                    return;
                }
                Watched::new(about)
            }
            (None, _) => return,
        };
        if watched.place != Some((shard, verdict.slot)) {
            watched.place = Some((shard, verdict.slot));
            out.track.push(Track { id, place: watched.place, on: true });
        }
        watched.score = verdict.score;
        for rule in 0..self.rules.series.len() {
            if !self.rules.series[rule].hears(verdict.pattern) {
                continue;
            }
            let step = watched.feed(rule, &self.rules.series[rule], &verdict, now_ms);
            self.follow(id, &mut watched, rule, step, verdict.ts_ms, out);
            self.mute_by_sample(id, &mut watched, rule, &verdict, out);
            self.grow(id, &mut watched, rule, verdict.ts_ms, out);
        }
        self.keep(id, watched, out);
    }

    /// A series ended: a stale marker came, or it expired. Its slot may be given to another series.
    pub fn ended(&mut self, id: SeriesId, ts_ms: i64, now_ms: i64, out: &mut Changes) {
        let Some(mut watched) = self.watched.remove(&id) else { return };
        for rule in 0..self.rules.series.len() {
            let step = watched.step(rule, |life| life.gone(&self.rules.series[rule].terms, ts_ms, now_ms));
            self.follow(id, &mut watched, rule, step, ts_ms, out);
        }
        self.keep(id, watched, out);
    }

    /// The clock moved on; `hosts` are the roll-ups of all hosts now. Call it every few seconds.
    pub fn tick(&mut self, now_ms: i64, hosts: &[HostReading], out: &mut Changes) {
        self.clock_ms = now_ms;
        let mut due = Vec::new();
        for (id, watched) in &mut self.watched {
            for entry in &mut watched.entries {
                let step = entry.life.tick(&self.rules.series[entry.rule].terms, now_ms);
                if step != Step::Stay || entry.waits_for_clock() {
                    due.push((*id, entry.rule, step));
                }
            }
        }
        due.sort_unstable_by_key(|(id, rule, _)| (*id, *rule));
        for (id, rule, step) in due {
            let Some(mut watched) = self.watched.remove(&id) else { continue };
            self.follow(id, &mut watched, rule, step, now_ms, out);
            self.mute_by_clock(id, &mut watched, rule, now_ms, out);
            self.keep(id, watched, out);
        }
        let mut fleet = std::mem::take(&mut self.fleet);
        fleet.tick(self, now_ms, hosts, out);
        self.fleet = fleet;
        let mut of_hosts = std::mem::take(&mut self.hosts);
        let before = out.transitions.len();
        of_hosts.tick(self, now_ms, hosts, out);
        self.hosts = of_hosts;
        for fired in out.transitions[before..].iter().filter(|transition| transition.change == Change::Fired) {
            self.budgets.host_fired(&fired.episode.host);
        }
        if self.load.held > 0 {
            self.release(now_ms, out);
        }
    }

    /// Goes on with other rules. Alerts of rules that are gone, or whose own labels changed, resolve now.
    pub fn set_rules(&mut self, rules: Rules, now_ms: i64, out: &mut Changes) {
        self.budgets.set_rules(&rules);
        let old = std::mem::replace(&mut self.rules, rules);
        let renumber = |old: &[Rule], new: &[Rule]| -> Vec<Option<usize>> {
            let same = |a: &Rule, b: &Rule| a.name == b.name && a.severity == b.severity && a.labels == b.labels;
            old.iter().map(|a| new.iter().position(|b| same(a, b))).collect()
        };
        let series = renumber(&old.series, &self.rules.series);
        for (id, mut watched) in std::mem::take(&mut self.watched) {
            for mut entry in std::mem::take(&mut watched.entries) {
                let was = &old.series[entry.rule];
                match series[entry.rule] {
                    Some(rule) => {
                        entry.rule = rule;
                        watched.entries.push(entry);
                    }
                    None => self.close(id, &watched, entry, was, false, now_ms, out),
                }
            }
            self.keep(id, watched, out);
        }
        self.hosts.renumber(&renumber(&old.hosts, &self.rules.hosts), now_ms, out);
        self.fleet.renumber(&renumber(&old.fleet, &self.rules.fleet), now_ms, out);
    }

    /// The episodes that fire now, of series, hosts and the fleet; none that a quiet window mutes.
    pub fn open(&self) -> impl Iterator<Item = &Episode> {
        self.entries().filter_map(Entry::open_episode)
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let series = self.watched.values().flat_map(|watched| &watched.entries);
        series.chain(self.hosts.entries()).chain(self.fleet.entries())
    }

    /// How many alerts there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { refused: self.refused, ..Counts::default() };
        for entry in self.entries() {
            match entry.stage {
                Stage::Pending => counts.pending += 1,
                Stage::Held(_) => counts.held += 1,
                Stage::Suppressed(..) | Stage::Muted(_) => counts.suppressed += 1,
                Stage::Open(_) => counts.firing += 1,
            }
        }
        counts
    }

    /// The series that the shards report sample by sample.
    pub fn tracked(&self) -> impl Iterator<Item = Track> {
        self.watched.iter().map(|(id, watched)| Track { id: *id, place: watched.place, on: true })
    }

    /// Does what `step` of the alert of `rule` asks for.
    fn follow(&mut self, id: SeriesId, watched: &mut Watched, rule: usize, step: Step, at_ms: i64, out: &mut Changes) {
        match step {
            Step::Stay => {}
            Step::Fire => self.admit(id, watched, rule, at_ms, out),
            Step::Resolve | Step::Drop => {
                if let Some(entry) = watched.remove(rule) {
                    let rule = self.rules.series[rule].clone();
                    self.close(id, watched, entry, &rule, true, at_ms, out);
                }
            }
        }
    }

    /// Whether one more alert of a series of `host` may fire.
    fn may_fire(&self, host: &str) -> bool {
        let limits = self.rules.limits;
        self.load.firing < limits.max_firing
            && !self.fleet.speaks_for(host)
            && (self.load.host(host).firing < limits.max_per_host || !self.is_guarded(host))
    }

    /// Whether a rule about hosts stands for what is held of `host`; without one nothing is held for it.
    fn is_guarded(&self, host: &str) -> bool {
        let labels = watchbell_series::Labels::default();
        !host.is_empty() && self.rules.hosts.iter().any(|rule| rule.selects(&labels, host))
    }

    /// Whether more alerts of series stand for `host` than may fire.
    fn is_overloaded(&self, host: &str) -> bool {
        let load = self.load.host(host);
        load.firing + load.held > self.rules.limits.max_per_host
    }

    fn fire(&mut self, id: SeriesId, watched: &mut Watched, rule: usize, at_ms: i64, out: &mut Changes) {
        if let Some(episode) = self.episode(id, watched, rule, at_ms) {
            self.fire_as(id, watched, rule, episode, out);
        }
    }

    /// Fires the alert of `rule` as `episode`, from its start on.
    fn fire_as(&mut self, id: SeriesId, watched: &mut Watched, rule: usize, episode: Episode, out: &mut Changes) {
        out.push(episode.starts_ms, Change::Fired, &episode);
        watched.set_stage(rule, Stage::Open(Box::new(episode)));
        self.load.change(&watched.host, |firing, _| *firing += 1);
        self.note_fired(id, watched, rule);
    }

    /// Fires a held alert if there is room for it.
    fn fire_held(&mut self, id: SeriesId, watched: &mut Watched, rule: usize, at_ms: i64, out: &mut Changes) {
        if !self.may_fire(&watched.host) {
            return;
        }
        self.load.change(&watched.host, |_, held| *held -= 1);
        let Some(entry) = watched.entries.iter_mut().find(|entry| entry.rule == rule) else { return };
        let mut known = None;
        if let Stage::Held(Some(mut muted)) = std::mem::replace(&mut entry.stage, Stage::Pending) {
            end_kept(&mut muted, at_ms, out);
            known = Some(fired_as(&muted, at_ms));
        }
        if let Some(episode) = self.episode(id, watched, rule, at_ms).or(known) {
            self.fire_as(id, watched, rule, episode, out);
        }
    }

    /// The alert of `rule` as it is now; none where the series has no words.
    fn episode(&self, id: SeriesId, watched: &Watched, rule: usize, at_ms: i64) -> Option<Episode> {
        let entry = watched.entries.iter().find(|entry| entry.rule == rule)?;
        self.words(id, watched, entry, &self.rules.series[rule], at_ms)
    }

    /// The alert about `watched` that began at `starts_ms`.
    fn words(&self, id: SeriesId, watched: &Watched, entry: &Entry, row: &Rule, starts_ms: i64) -> Option<Episode> {
        let about = watched.about.as_ref()?;
        let (annotations, generator_url) = watched::words(row, about, &entry.worst, &self.external_url);
        Some(Episode {
            rule: row.name.clone(),
            series: Some(id),
            host: watched.host.clone(),
            labels: identity::series_alert(row, about),
            annotations,
            generator_url,
            starts_ms,
            ends_ms: None,
            peak_score: entry.worst.score,
            pattern: entry.worst.pattern,
        })
    }

    /// Ends the alert of `rule` about a series; one that sinks were told of resolves there, too. A rule that is gone
    /// (not `in_force`) has no words for it any more.
    #[expect(clippy::too_many_arguments, reason = "all of them are what an end is made of")]
    fn close(
        &mut self,
        id: SeriesId,
        watched: &Watched,
        entry: Entry,
        rule: &Rule,
        in_force: bool,
        at_ms: i64,
        out: &mut Changes,
    ) {
        match entry.stage {
            Stage::Pending => {}
            Stage::Held(muted) => {
                self.load.change(&watched.host, |_, held| *held -= 1);
                if let Some(mut episode) = muted {
                    end_kept(&mut episode, at_ms, out);
                }
            }
            Stage::Suppressed(starts_ms, reason) => {
                if let Some(mut episode) = self.words(id, watched, &entry, rule, starts_ms) {
                    episode.ends_ms = Some(at_ms.max(starts_ms));
                    out.push(at_ms, Change::Over(reason), &episode);
                }
            }
            Stage::Muted(mut episode) => end_kept(&mut episode, at_ms, out),
            Stage::Open(mut episode) => {
                self.load.change(&watched.host, |firing, _| *firing -= 1);
                if let (Some(about), true) = (&watched.about, entry.worse && in_force) {
                    (episode.annotations, _) = watched::words(rule, about, &entry.worst, &self.external_url);
                }
                episode.peak_score = episode.peak_score.max(entry.worst.score);
                episode.ends_ms = Some(at_ms.max(episode.starts_ms));
                out.push(at_ms, Change::Resolved, &episode);
            }
        }
    }

    /// Puts a series back into the book, or lets it go when no alert is left.
    fn keep(&mut self, id: SeriesId, watched: Watched, out: &mut Changes) {
        if watched.entries.is_empty() {
            out.track.push(Track { id, place: watched.place, on: false });
        } else {
            self.watched.insert(id, watched);
        }
    }

    /// Fires held alerts for which there is room again.
    fn release(&mut self, now_ms: i64, out: &mut Changes) {
        let is_held = |watched: &Watched| watched.entries.iter().any(|entry| matches!(entry.stage, Stage::Held(_)));
        let held = self.watched.iter().filter(|(_, watched)| is_held(watched)).map(|(id, _)| *id);
        for id in held.collect::<Vec<_>>() {
            let Some(mut watched) = self.watched.remove(&id) else { continue };
            for rule in 0..self.rules.series.len() {
                let held = watched.entries.iter().any(|e| e.rule == rule && matches!(e.stage, Stage::Held(_)));
                if held && !self.hosts.fires(&watched.host) && self.muted(&watched, rule, now_ms).is_none() {
                    self.fire_held(id, &mut watched, rule, now_ms, out);
                }
            }
            self.watched.insert(id, watched);
        }
    }

    /// The series of `host` that stand out most.
    fn top_contributors(&self, host: &str) -> String {
        const TOP: usize = 5;
        // A series without a score is missing: it comes after all that have one.
        let rank = |watched: &Watched| if watched.score.is_nan() { -1.0 } else { watched.score };
        let mut all: Vec<&Watched> = self.watched.values().filter(|watched| watched.host == host).collect();
        all.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
        let named = all.into_iter().take(TOP).map(|watched| {
            let name = watched.name();
            if watched.score.is_nan() { format!("{name} (missing)") } else { format!("{name} ({:.2})", watched.score) }
        });
        named.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests;
