//! How the rules stand to one series now: for whoever asks why there is no alert.

use watchbell_series::{Pattern, SeriesId};

use super::Book;
use super::mute::MUTED;
use super::watched::{Entry, Stage};
use crate::alerting::About;
use crate::alerting::budget::Reason;
use crate::alerting::episode::Episode;
use crate::alerting::lifecycle::{Level, Terms};
use crate::alerting::rules::{Rule, Rules};

/// What is known of the last sample of the series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probe {
    /// Score of the sample itself; NaN where there is none.
    pub score: f32,
    /// Edge of the series.
    pub edge: f32,
    /// Whether the detector's alarm is open.
    pub alarm: bool,
    /// What it looks like.
    pub pattern: Pattern,
}

/// One rule and how it stands to the series.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleStanding {
    /// Name of the rule.
    pub rule: String,
    /// How it stands.
    pub standing: Standing,
}

/// How a rule stands to a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// It fires: the alert as sinks know it.
    Firing(Box<Episode>),
    /// It would fire, but is held back.
    Held(Hold),
    /// It waits for further hits, or for time to pass.
    Pending {
        /// Hits among the last samples.
        hits: u32,
        /// Hits that are needed ...
        at_least: u32,
        /// ... among so many samples.
        of: u32,
        /// How long until `for` is over, milliseconds; 0 where it is.
        wait_ms: i64,
    },
    /// The series is not selected.
    NotSelected,
    /// What the detector found is of a kind that does not begin this rule.
    OtherKind(Pattern),
    /// The last sample is under the score that is a hit.
    UnderScore {
        /// The score that would be one.
        needed: f32,
    },
    /// The last sample is a hit that the next verdict begins the alert with.
    Begins,
}

/// What holds an alert back that would fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// As many alerts of its host fire as may; the alert of the host stands for the rest.
    PerHost {
        /// The limit.
        limit: usize,
    },
    /// An alert of the whole fleet fires, and stands for its host.
    Fleet,
    /// As many alerts fire as may at all.
    Total {
        /// The limit.
        limit: usize,
    },
    /// It is under the edge of the budget of alerts, or what moves that edge.
    Suppressed(Reason),
    /// This window is about it, in words.
    Muted(String),
}

impl Book {
    /// The rules in force.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How each rule about series stands to the series `id`, in the order of rules.
    #[must_use]
    pub fn standing(&self, id: SeriesId, about: &About, probe: &Probe, now_ms: i64) -> Vec<RuleStanding> {
        let watched = self.watched.get(&id);
        let entry = |rule| watched.and_then(|watched| watched.entries.iter().find(|entry| entry.rule == rule));
        let standing = |(index, rule): (usize, &Rule)| RuleStanding {
            rule: rule.name.clone(),
            standing: match entry(index) {
                Some(entry) => self.of_entry(entry, rule, &about.entity, now_ms),
                None => without_entry(rule, about, probe),
            },
        };
        self.rules.series.iter().enumerate().map(standing).collect()
    }

    fn of_entry(&self, entry: &Entry, rule: &Rule, host: &str, now_ms: i64) -> Standing {
        match &entry.stage {
            Stage::Open(episode) => Standing::Firing(episode.clone()),
            Stage::Held(_) => Standing::Held(self.hold(host)),
            Stage::Suppressed(_, reason) => Standing::Held(Hold::Suppressed(*reason)),
            Stage::Muted(episode) => {
                let known = episode.annotations.iter().find(|(name, _)| name == MUTED);
                Standing::Held(Hold::Muted(known.map(|(_, window)| window.clone()).unwrap_or_default()))
            }
            Stage::Pending => {
                let Terms { at_least, of, for_ms, .. } = rule.terms;
                let hits = entry.life.hits().min(of);
                let wait_ms = (entry.life.since_ms().saturating_add(for_ms)).saturating_sub(now_ms).max(0);
                Standing::Pending { hits, at_least, of, wait_ms }
            }
        }
    }

    fn hold(&self, host: &str) -> Hold {
        let limits = self.rules.limits;
        if self.load.firing >= limits.max_firing {
            Hold::Total { limit: limits.max_firing }
        } else if self.fleet.speaks_for(host) {
            Hold::Fleet
        } else {
            Hold::PerHost { limit: limits.max_per_host }
        }
    }
}

fn without_entry(rule: &Rule, about: &About, probe: &Probe) -> Standing {
    let level = rule.terms.level(probe.score, probe.edge, probe.alarm);
    if !rule.selects(&about.labels, &about.entity) {
        Standing::NotSelected
    } else if probe.pattern != Pattern::None && !rule.wants(probe.pattern) {
        Standing::OtherKind(probe.pattern)
    } else if level != Level::Hit {
        let edge = if probe.alarm { 1.0 } else { probe.edge };
        Standing::UnderScore { needed: rule.terms.score * edge }
    } else {
        Standing::Begins
    }
}
