//! The alerts about hosts: from the roll-up of each host, and from what is held back of its series.

use std::collections::{BTreeMap, HashSet};

use watchbell_adapter_api::HostReading;
use watchbell_series::{Labels, Pattern, Unit, Verdict, Why};

use super::mute::{end_kept, end_muted, muted_stage};
use super::watched::{Entry, Stage};
use super::{Book, Changes};
use crate::alerting::annotate::{Facts, link, selector};
use crate::alerting::episode::{Change, Episode};
use crate::alerting::identity;
use crate::alerting::lifecycle::{Level, Step};
use crate::alerting::rules::Rule;

/// The alerts about hosts, by host.
#[derive(Debug, Default)]
pub(super) struct Hosts(BTreeMap<String, Vec<Entry>>);

impl Hosts {
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.values().flatten()
    }

    /// Whether an alert about `host` fires.
    pub(super) fn fires(&self, host: &str) -> bool {
        self.0.get(host).is_some_and(|entries| entries.iter().any(|entry| entry.open_episode().is_some()))
    }

    pub(super) fn restore(&mut self, host: String, entry: Entry) {
        self.0.entry(host).or_default().push(entry);
    }

    /// One look at all hosts.
    pub(super) fn tick(&mut self, book: &Book, now_ms: i64, readings: &[HostReading], out: &mut Changes) {
        let mut seen: HashSet<&str> = HashSet::with_capacity(readings.len());
        for reading in readings.iter().filter(|reading| !reading.host.is_empty()) {
            seen.insert(&reading.host);
            self.look(book, reading, now_ms, out);
        }
        // What is held of a host is told even when no roll-up of it comes any more.
        // Series that belong to no host are no machine, however many of them fire.
        let untold = |host: &&String| !host.is_empty() && !seen.contains(host.as_str()) && book.is_overloaded(host);
        for host in book.load.hosts.keys().filter(untold) {
            let reading = HostReading { host: host.clone(), ..HostReading::default() };
            self.look(book, &reading, now_ms, out);
        }
        // Hosts whose last series is gone.
        for (host, entries) in &mut self.0 {
            if !seen.contains(host.as_str()) && !book.is_overloaded(host) {
                entries.retain_mut(|entry| {
                    let step = entry.life.gone(&book.rules.hosts[entry.rule].terms, now_ms, now_ms);
                    follow(entry, step, now_ms, out)
                });
            }
        }
        self.0.retain(|_, entries| !entries.is_empty());
    }

    /// Carries rules over to their new numbers; alerts of rules that are gone resolve.
    pub(super) fn renumber(&mut self, rules: &[Option<usize>], now_ms: i64, out: &mut Changes) {
        for entries in self.0.values_mut() {
            entries.retain_mut(|entry| match rules[entry.rule] {
                Some(rule) => {
                    entry.rule = rule;
                    true
                }
                None => follow(entry, Step::Resolve, now_ms, out),
            });
        }
        self.0.retain(|_, entries| !entries.is_empty());
    }

    /// One look at one host, by every rule.
    fn look(&mut self, book: &Book, reading: &HostReading, now_ms: i64, out: &mut Changes) {
        let none = Labels::default();
        let overloaded = book.is_overloaded(&reading.host);
        for (index, rule) in book.rules.hosts.iter().enumerate() {
            let level = rule.terms.level(reading.score, reading.edge, false);
            let known = self.0.get(&reading.host).is_some_and(|all| all.iter().any(|entry| entry.rule == index));
            let begins = (overloaded || level == Level::Hit) && rule.selects(&none, &reading.host);
            if !known && !begins {
                continue;
            }
            let verdict = verdict(book, reading, now_ms);
            let entries = self.0.entry(reading.host.clone()).or_default();
            let at = entries.iter().position(|entry| entry.rule == index).unwrap_or_else(|| {
                entries.push(Entry::new(index, &verdict, now_ms));
                entries.len() - 1
            });
            let entry = &mut entries[at];
            entry.note(&verdict);
            // What is held back must not wait for further hits: nobody else tells of it.
            let step = if overloaded {
                entry.life.surge(&rule.terms, now_ms, now_ms)
            } else if entry.life.is_due(now_ms, reading.step_ms) {
                entry.life.sample(&rule.terms, level, now_ms, now_ms)
            } else {
                Step::Stay
            };
            // An alert of the whole fleet stands for it; what still stands after that fires then.
            let stands = overloaded || level == Level::Hit;
            let waits = matches!(entry.stage, Stage::Held(_) | Stage::Muted(_));
            let due = step == Step::Fire || (step == Step::Stay && stands && waits);
            if let Some(why) = book.muted_host(rule, &reading.host, now_ms) {
                let open = matches!(entry.stage, Stage::Open(_));
                if let Stage::Open(episode) = &mut entry.stage {
                    end_muted(episode, now_ms, &why, out);
                }
                if open || (due && !matches!(entry.stage, Stage::Muted(_))) {
                    let episode = episode(book, rule, reading, &entry.worst, now_ms);
                    entry.stage = muted_stage(episode, now_ms, &why, out);
                } else if !follow(entry, step, now_ms, out) {
                    entries.swap_remove(at);
                }
                continue;
            }
            if due {
                over(entry, now_ms, out);
            }
            if due && book.fleet.speaks_for(&reading.host) {
                entry.stage = Stage::Held(None);
            } else if due {
                let episode = episode(book, rule, reading, &entry.worst, now_ms);
                out.push(now_ms, Change::Fired, &episode);
                entry.stage = Stage::Open(Box::new(episode));
            } else if !follow(entry, step, now_ms, out) {
                entries.swap_remove(at);
            }
        }
    }
}

/// Ends the alert where `step` says so; whether it goes on.
pub(super) fn follow(entry: &mut Entry, step: Step, now_ms: i64, out: &mut Changes) -> bool {
    if !matches!(step, Step::Resolve | Step::Drop) {
        return true;
    }
    over(entry, now_ms, out);
    if let Stage::Open(episode) = &mut entry.stage {
        episode.peak_score = episode.peak_score.max(entry.worst.score);
        episode.ends_ms = Some(now_ms.max(episode.starts_ms));
        out.push(now_ms, Change::Resolved, episode);
    }
    false
}

/// Ends what was kept back, if the alert was.
pub(super) fn over(entry: &mut Entry, now_ms: i64, out: &mut Changes) {
    if let Stage::Muted(episode) = &mut entry.stage {
        end_kept(episode, now_ms, out);
        entry.stage = Stage::Pending;
    }
}

/// The roll-up as a sample. Its value is how many series stand out: by their score, or by their alerts, which
/// also tell of those that are missing.
fn verdict(book: &Book, reading: &HostReading, now_ms: i64) -> Verdict {
    let load = book.load.host(&reading.host);
    let alerts = u32::try_from(load.firing + load.held).unwrap_or(u32::MAX);
    rolled_up(f64::from(reading.anomalous.max(alerts)), reading.score, now_ms)
}

/// Several series or hosts together as a sample.
pub(super) fn rolled_up(value: f64, score: f32, now_ms: i64) -> Verdict {
    Verdict {
        slot: 0,
        ts_ms: now_ms,
        value,
        score,
        edge: 1.0,
        onset: false,
        alarm: false,
        pattern: Pattern::Host,
        expected: f64::NAN,
        lower: f64::NAN,
        upper: f64::NAN,
        why: Why::UNKNOWN,
    }
}

/// The series that the host's score comes from: by their share of the joint score, else by their own scores.
fn contributors(book: &Book, reading: &HostReading) -> String {
    let named = reading.contributors.iter().map(|it| format!("{} ({:.0} %)", it.series, 100.0 * it.share));
    let named: Vec<String> = named.collect();
    if named.is_empty() { book.top_contributors(&reading.host) } else { named.join(", ") }
}

/// What the alert of a host is based on: the part of its score that leads, or what is held back of its series.
fn basis(book: &Book, reading: &HostReading) -> String {
    let load = book.load.host(&reading.host);
    let parts = &reading.parts;
    let (anomalous, ready) = (reading.anomalous, reading.ready);
    let known = [
        (parts.change, "Its series changed together in an unusual way.".to_owned()),
        (parts.level, "Its series are together where they never were.".to_owned()),
        (parts.singles, "Verdicts on its single series are more, and rarer, than chance gives.".to_owned()),
        (parts.rollup, format!("{anomalous} of its {ready} series with a score are over their own edge at once.")),
        (parts.peers, "Series of it are unlike those of its peers.".to_owned()),
    ];
    let known = known.into_iter().filter(|(score, _)| !score.is_nan() && reading.score >= 1.0);
    let leading = known.reduce(|best, next| if next.0 > best.0 { next } else { best });
    match leading {
        Some((_, text)) => text,
        None if book.is_overloaded(&reading.host) => {
            let alerts = load.firing + load.held;
            format!("{alerts} of its series have an alert of their own, more than are told of one by one.")
        }
        None => "Its score is over 1, the edge of what is normal.".to_owned(),
    }
}

fn episode(book: &Book, rule: &Rule, reading: &HostReading, worst: &Verdict, now_ms: i64) -> Episode {
    let host = &reading.host;
    let selected = Labels::new([("host", host.as_str())]).map(|labels| selector(&labels)).unwrap_or_default();
    let url = link(&book.external_url, &selected);
    let facts = Facts {
        rule,
        labels: &Labels::default(),
        host,
        unit: Unit::Count,
        limits: &[],
        verdict: worst,
        series: reading.series.max(worst.value as u32).max(1),
        top_contributors: contributors(book, reading),
        basis: basis(book, reading),
        dashboard: &url,
    };
    let mut annotations = facts.annotations();
    let known = reading.parts.named().into_iter().filter(|(_, score)| !score.is_nan());
    let parts: Vec<String> = known.map(|(part, score)| format!("{part} {score:.2}")).collect();
    if !parts.is_empty() {
        annotations.push(("parts".to_owned(), parts.join(", ")));
    }
    Episode {
        rule: rule.name.clone(),
        series: None,
        host: host.clone(),
        labels: identity::host_alert(rule, host),
        annotations,
        generator_url: url.clone(),
        starts_ms: now_ms,
        ends_ms: None,
        peak_score: worst.score,
        pattern: Pattern::Host,
    }
}
