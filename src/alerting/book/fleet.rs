//! The alerts about all hosts together: many that go mad at once have one cause, and are one page.

use std::collections::HashSet;

use watchbell_adapter_api::HostReading;
use watchbell_detect::{EntityCount, host_score};
use watchbell_series::{Labels, Pattern, Unit, Verdict};

use super::hosts::{follow, over, rolled_up};
use super::mute::muted_stage;
use super::watched::{Entry, Stage};
use super::{Book, Changes};
use crate::alerting::annotate::Facts;
use crate::alerting::episode::{Change, Episode};
use crate::alerting::identity;
use crate::alerting::lifecycle::{Level, Step};
use crate::alerting::rules::Rule;

/// Fewer anomalous hosts are told of one by one.
const LEAST_HOSTS: u32 = 5;
/// The share of anomalous hosts that makes 1.0, where their number is improbable enough by itself.
const EDGE_SHARE: f32 = 0.1;
/// Hosts that are named.
const TOP: usize = 5;

/// The alerts about all hosts, one for each rule at most.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    entries: Vec<Entry>,
    /// The hosts that were anomalous while the alert fires: it stands for them to its end.
    mad: HashSet<String>,
}

impl Fleet {
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Whether an alert about the fleet fires that stands for `host`.
    pub(super) fn speaks_for(&self, host: &str) -> bool {
        self.mad.contains(host)
    }

    pub(super) fn restore(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Carries rules over to their new numbers; alerts of rules that are gone resolve.
    pub(super) fn renumber(&mut self, rules: &[Option<usize>], now_ms: i64, out: &mut Changes) {
        self.entries.retain_mut(|entry| match rules[entry.rule] {
            Some(rule) => {
                entry.rule = rule;
                true
            }
            None => follow(entry, Step::Resolve, now_ms, out),
        });
    }

    /// One look at all hosts, by every rule.
    pub(super) fn tick(&mut self, book: &Book, now_ms: i64, readings: &[HostReading], out: &mut Changes) {
        let none = Labels::default();
        let readings: Vec<&HostReading> = book.at_work(now_ms, readings).collect();
        for (index, rule) in book.rules.fleet.iter().enumerate() {
            let known =
                |host: &&HostReading| !host.host.is_empty() && !host.score.is_nan() && rule.selects(&none, &host.host);
            let of_rule: Vec<&HostReading> = readings.iter().copied().filter(known).collect();
            let is_mad =
                |host: &&&HostReading| (host.score > 1.0 && host.score >= host.edge) || book.is_overloaded(&host.host);
            let mut mad: Vec<&HostReading> = of_rule.iter().filter(is_mad).copied().collect();
            let score = score(of_rule.len() as u32, mad.len() as u32);
            let level = rule.terms.level(score, 1.0, false);
            // Alerts of series that are held went through hits of their own, as for a single host.
            let held = of_rule.iter().filter(|host| book.is_overloaded(&host.host)).count();
            let surges = rule.terms.level(self::score(of_rule.len() as u32, held as u32), 1.0, false) == Level::Hit;
            let at = self.entries.iter().position(|entry| entry.rule == index);
            if at.is_none() && level != Level::Hit {
                continue;
            }
            let verdict = rolled_up(mad.len() as f64, score, now_ms);
            let at = at.unwrap_or_else(|| {
                self.entries.push(Entry::new(index, &verdict, now_ms));
                self.entries.len() - 1
            });
            let entry = &mut self.entries[at];
            entry.note(&verdict);
            let step = if surges {
                entry.life.surge(&rule.terms, now_ms, now_ms)
            } else if entry.life.is_due(now_ms, step_ms(&mad)) {
                entry.life.sample(&rule.terms, level, now_ms, now_ms)
            } else {
                Step::Stay
            };
            let told = matches!(entry.stage, Stage::Muted(_)) && level == Level::Hit;
            if step == Step::Fire || told {
                let why = book.muted_host(rule, "", now_ms);
                if told && why.is_some() {
                    continue;
                }
                mad.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.host.cmp(&b.host)));
                let episode = episode(book, rule, &mad, of_rule.len(), &verdict);
                entry.stage = match why {
                    Some(why) => muted_stage(episode, now_ms, &why, out),
                    None => {
                        over(entry, now_ms, out);
                        out.push(now_ms, Change::Fired, &episode);
                        Stage::Open(Box::new(episode))
                    }
                };
            } else if !follow(entry, step, now_ms, out) {
                self.entries.swap_remove(at);
                continue;
            }
            if self.entries[at].open_episode().is_some() {
                self.mad.extend(mad.into_iter().map(|host| host.host.clone()));
            }
        }
        if !self.entries.iter().any(|entry| entry.open_episode().is_some()) {
            self.mad.clear();
        }
    }
}

/// Score of a fleet of `hosts` hosts of which `mad` are anomalous: as improbable as for the series of a host,
/// but a tenth of all at least, for that few hosts of many are better told of by name.
fn score(hosts: u32, mad: u32) -> f32 {
    if mad < LEAST_HOSTS {
        return 0.0;
    }
    let share = mad as f32 / hosts as f32;
    host_score(EntityCount { judged: hosts, ready: hosts, anomalous: mad, settled: hosts }).min(share / EDGE_SHARE)
}

/// Time between samples of the one in the middle of these hosts; 0 for none.
fn step_ms(mad: &[&HostReading]) -> i64 {
    let mut steps: Vec<i64> = mad.iter().map(|host| host.step_ms).collect();
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or(0)
}

fn episode(book: &Book, rule: &Rule, mad: &[&HostReading], hosts: usize, worst: &Verdict) -> Episode {
    let url = &book.external_url;
    let named = mad.iter().take(TOP).map(|host| match host.score.is_nan() {
        true => host.host.clone(),
        false => format!("{} ({:.2})", host.host, host.score),
    });
    let facts = Facts {
        rule,
        labels: &Labels::default(),
        host: "",
        unit: Unit::Count,
        limits: &[],
        verdict: worst,
        series: hosts as u32,
        top_contributors: named.collect::<Vec<_>>().join(", "),
        basis: String::new(),
        dashboard: url,
    };
    Episode {
        rule: rule.name.clone(),
        series: None,
        host: String::new(),
        labels: identity::host_alert(rule, ""),
        annotations: facts.annotations(),
        generator_url: url.clone(),
        starts_ms: worst.ts_ms,
        ends_ms: None,
        peak_score: worst.score,
        pattern: Pattern::Host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_hosts_and_a_tenth_of_all() {
        assert_eq!(score(4, 4), 0.0);
        assert!(score(5, 5) > 1.0 && score(30, 5) >= 1.0);
        assert!(score(200, 10) < 1.0 && score(200, 20) >= 1.0);
        assert_eq!(score(0, 0), 0.0);
    }
}
