//! One series of the book with the alerts of all rules about it.

use watchbell_series::{Pattern, Verdict, Why};

use crate::alerting::About;
use crate::alerting::annotate::{Facts, link, selector, short};
use crate::alerting::budget::{Reason, is_certain};
use crate::alerting::episode::Episode;
use crate::alerting::lifecycle::{Level, Life, Step};
use crate::alerting::rules::Rule;

/// A series that an alert is about.
#[derive(Debug)]
pub(super) struct Watched {
    /// Shard and slot, once a verdict came.
    pub(super) place: Option<(u32, u32)>,
    /// The series in words; not known from a restart until its first verdict.
    pub(super) about: Option<Box<About>>,
    pub(super) host: String,
    /// Score of the last sample.
    pub(super) score: f32,
    pub(super) entries: Vec<Entry>,
}

/// The alert of one rule about one series or host.
#[derive(Debug)]
pub(super) struct Entry {
    /// Index of the rule.
    pub(super) rule: usize,
    pub(super) life: Life,
    pub(super) stage: Stage,
    /// The sample with the greatest score so far.
    pub(super) worst: Verdict,
    /// Whether it changed since the texts were written.
    pub(super) worse: bool,
    /// The score that the budget knows of.
    pub(super) noted: f32,
    /// A fact among what began it or came since, such as an illegal value: no budget is asked for it.
    pub(super) fact: Option<Pattern>,
}

/// What sinks know of an alert.
#[derive(Debug)]
pub(super) enum Stage {
    /// Nothing: it does not fire yet.
    Pending,
    /// Nothing: it fires, but a limit holds it back. With the episode of its quiet window where that goes on in the
    /// journal until it fires: of a series that is missing nothing else tells again after a restart.
    Held(Option<Box<Episode>>),
    /// Nothing: it fires since then, but is under the edge of the budget. Its words are made again when it is over:
    /// where a whole fleet goes mad there are too many of them to be held.
    Suppressed(i64, Reason),
    /// Nothing, or that it is over: a quiet window is about it.
    Muted(Box<Episode>),
    /// That it fires.
    Open(Box<Episode>),
}

impl Entry {
    pub(super) fn new(rule: usize, verdict: &Verdict, now_ms: i64) -> Self {
        let life = Life::begin(verdict.ts_ms, now_ms);
        Self { rule, life, stage: Stage::Pending, worst: *verdict, worse: false, noted: 0.0, fact: None }
    }

    /// One from before a restart, which sinks were told of unless it is `muted`.
    pub(super) fn restored(rule: usize, life: Life, episode: Episode, muted: bool) -> Self {
        let worst = Verdict {
            slot: 0,
            ts_ms: episode.starts_ms,
            value: f64::NAN,
            score: episode.peak_score,
            edge: 1.0,
            onset: false,
            alarm: true,
            pattern: episode.pattern,
            expected: f64::NAN,
            lower: f64::NAN,
            upper: f64::NAN,
            why: Why::UNKNOWN,
        };
        let noted = worst.score;
        let episode = Box::new(episode);
        let stage = if muted { Stage::Muted(episode) } else { Stage::Open(episode) };
        Self { rule, life, stage, worst, worse: false, noted, fact: None }
    }

    /// The episode that sinks know of.
    pub(super) fn open_episode(&self) -> Option<&Episode> {
        match &self.stage {
            Stage::Open(episode) => Some(episode),
            Stage::Pending | Stage::Held(_) | Stage::Suppressed(..) | Stage::Muted(_) => None,
        }
    }

    /// The same, or the one that a quiet window or a limit keeps from them.
    pub(super) fn episode(&self) -> Option<&Episode> {
        match &self.stage {
            Stage::Open(episode) | Stage::Muted(episode) | Stage::Held(Some(episode)) => Some(episode),
            Stage::Pending | Stage::Held(None) | Stage::Suppressed(..) => None,
        }
    }

    /// Whether the clock can bring it into a quiet window or out of one. Others wait for their next sample.
    pub(super) fn waits_for_clock(&self) -> bool {
        match &self.stage {
            Stage::Open(_) => true,
            Stage::Muted(_) => self.life.missing(),
            Stage::Pending | Stage::Held(_) | Stage::Suppressed(..) => false,
        }
    }

    /// Its kind for the budget: what is certain whatever the score says, else that of the worst sample.
    pub(super) fn kind(&self) -> Pattern {
        self.fact.unwrap_or(self.worst.pattern)
    }

    /// Remembers the sample if it is the worst so far. Of the worst before a restart no more than the score is known; where
    /// nobody was told of it, this one has the words.
    pub(super) fn note(&mut self, verdict: &Verdict) {
        let untold = matches!(self.stage, Stage::Muted(_)) && self.worst.value.is_nan();
        if verdict.score > self.worst.score || self.worst.score.is_nan() || untold {
            (self.worst, self.worse) = (*verdict, true);
        }
    }
}

impl Watched {
    pub(super) fn new(about: Box<About>) -> Self {
        Self { host: about.entity.clone(), place: None, about: Some(about), score: f32::NAN, entries: Vec::new() }
    }

    pub(super) fn restored(host: String) -> Self {
        Self { host, place: None, about: None, score: f32::NAN, entries: Vec::new() }
    }

    /// Takes up what the series is called now. What anybody was told or counted of keeps its words, and its host.
    pub(super) fn learn(&mut self, about: Option<Box<About>>) {
        let is_free = self.entries.iter().all(|entry| matches!(entry.stage, Stage::Pending));
        let Some(about) = about.filter(|_| is_free || self.about.is_none()) else { return };
        if is_free {
            self.host.clone_from(&about.entity);
        }
        self.about = Some(about);
    }

    /// Hands a sample to the alert of `rule`, which it may begin.
    pub(super) fn feed(&mut self, index: usize, rule: &Rule, verdict: &Verdict, now_ms: i64) -> Step {
        let at = match self.entries.iter().position(|entry| entry.rule == index) {
            Some(at) => at,
            None if self.about.as_ref().is_some_and(|about| begins(rule, about, verdict)) => {
                // Mostly the only one; a vector would take room for four.
                self.entries.reserve_exact(1);
                self.entries.push(Entry::new(index, verdict, now_ms));
                self.entries.len() - 1
            }
            None => return Step::Stay,
        };
        let entry = &mut self.entries[at];
        entry.note(verdict);
        if is_certain(verdict.pattern) && rule.wants(verdict.pattern) {
            entry.fact = Some(verdict.pattern);
        }
        if verdict.pattern == Pattern::Missing {
            return if rule.wants(Pattern::Missing) {
                entry.life.miss(&rule.terms, verdict.ts_ms, now_ms)
            } else {
                entry.life.gone(&rule.terms, verdict.ts_ms, now_ms)
            };
        }
        let level = match rule.terms.level(verdict.score, verdict.edge, verdict.alarm) {
            level if rule.wants(verdict.pattern) => level,
            // The series is back, and that is all that this alert was about.
            _ if entry.life.missing() => Level::Calm,
            // Another kind of anomaly than the rule begins with holds an alert, but never counts as a hit.
            Level::Hit => Level::Hold,
            level => level,
        };
        entry.life.sample(&rule.terms, level, verdict.ts_ms, now_ms)
    }

    /// Lets the alert of `rule` take a step that is no sample.
    pub(super) fn step(&mut self, rule: usize, step: impl FnOnce(&mut Life) -> Step) -> Step {
        let entry = self.entries.iter_mut().find(|entry| entry.rule == rule);
        entry.map_or(Step::Stay, |entry| step(&mut entry.life))
    }

    pub(super) fn set_stage(&mut self, rule: usize, stage: Stage) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.rule == rule) {
            entry.stage = stage;
        }
    }

    pub(super) fn remove(&mut self, rule: usize) -> Option<Entry> {
        let at = self.entries.iter().position(|entry| entry.rule == rule)?;
        Some(self.entries.swap_remove(at))
    }

    /// A short name among the series of its host: the metric and what else tells it apart.
    pub(super) fn name(&self) -> String {
        match (&self.about, self.entries.iter().find_map(Entry::episode)) {
            (Some(about), _) => short(about.labels.iter()),
            (None, Some(episode)) => episode.labels.get("metric").unwrap_or_default().to_owned(),
            (None, None) => String::new(),
        }
    }
}

/// Whether a sample begins an alert of `rule`.
pub(super) fn begins(rule: &Rule, about: &About, verdict: &Verdict) -> bool {
    rule.wants(verdict.pattern)
        && (verdict.pattern == Pattern::Missing
            || rule.terms.level(verdict.score, verdict.edge, verdict.alarm) == Level::Hit)
        && rule.selects(&about.labels, &about.entity)
}

/// The texts of the alert of `rule` about a series, and the link to it.
pub(super) fn words(
    rule: &Rule,
    about: &About,
    worst: &Verdict,
    external_url: &str,
) -> (Vec<(String, String)>, String) {
    let url = link(external_url, &selector(&about.labels));
    let facts = Facts {
        rule,
        labels: &about.labels,
        host: &about.entity,
        unit: about.unit,
        limits: &about.limits,
        verdict: worst,
        series: 0,
        top_contributors: String::new(),
        basis: String::new(),
        dashboard: &url,
    };
    (facts.annotations(), url)
}
