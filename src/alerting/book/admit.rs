//! Between what a rule calls an alert and what sinks are told: the budget.

use watchbell_adapter_api::HostReading;
use watchbell_series::SeriesId;

use super::watched::{Entry, Stage, Watched};
use super::{Book, Changes};
use crate::alerting::About;
use crate::alerting::budget::{Budgets, Candidate, Judgement};
use crate::alerting::episode::{Change, Episode};
use crate::alerting::rules::Rule;

impl Book {
    /// The budgets and what happened under them.
    #[must_use]
    pub fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// The same, to restore them.
    pub fn budgets_mut(&mut self) -> &mut Budgets {
        &mut self.budgets
    }

    /// Lets time pass for the budgets; see [`Budgets::tick`].
    pub fn tick_budgets(&mut self, now_ms: i64, hosts: &[HostReading], series: u64, samples_per_week: Option<f64>) {
        self.budgets.tick(now_ms, hosts, series, samples_per_week);
    }

    /// A person said what the episode was; `fired` tells whether sinks were told of it. Whether an edge is higher
    /// for it from now on.
    pub fn judged(&mut self, episode: &Episode, fired: bool, judgement: Judgement, said_ms: i64) -> bool {
        let rule = self.rules.series.iter().find(|rule| rule.name == episode.rule);
        let (Some(id), Some(rule)) = (episode.series, rule) else { return false };
        let about = self.watched.get(&id).and_then(|watched| watched.about.as_deref());
        let candidate =
            Candidate { rule, id, about, host: &episode.host, pattern: episode.pattern, score: episode.peak_score };
        self.budgets.judged(candidate, episode.starts_ms, fired, judgement, said_ms)
    }

    /// Fires the alert of `rule`, or holds it, or suppresses it.
    pub(super) fn admit(&mut self, id: SeriesId, watched: &mut Watched, rule: usize, at_ms: i64, out: &mut Changes) {
        if let Some(why) = self.muted(watched, rule, at_ms) {
            return self.mute(id, watched, rule, at_ms, &why, out);
        }
        let Some(entry) = watched.entries.iter_mut().find(|entry| entry.rule == rule) else { return };
        entry.noted = entry.worst.score;
        let candidate = candidate(&self.rules.series[rule], id, watched.about.as_deref(), &watched.host, entry);
        match self.budgets.admit(candidate, at_ms) {
            None => self.fire_or_hold(id, watched, rule, at_ms, out),
            Some(reason) => {
                let Some(episode) = self.episode(id, watched, rule, at_ms) else { return };
                out.push(at_ms, Change::Suppressed(reason), &episode);
                watched.set_stage(rule, Stage::Suppressed(at_ms, reason));
            }
        }
    }

    fn fire_or_hold(&mut self, id: SeriesId, watched: &mut Watched, rule: usize, at_ms: i64, out: &mut Changes) {
        if self.may_fire(&watched.host) {
            self.fire(id, watched, rule, at_ms, out);
        } else {
            self.load.change(&watched.host, |_, held| *held += 1);
            watched.set_stage(rule, Stage::Held(None));
        }
    }

    /// Tells the budget of a higher score, and fires what was suppressed if it reached the edge by it.
    pub(super) fn grow(&mut self, id: SeriesId, watched: &mut Watched, rule: usize, at_ms: i64, out: &mut Changes) {
        let Some(entry) = watched.entries.iter_mut().find(|entry| entry.rule == rule) else { return };
        let (began_ms, suppressed) = match &entry.stage {
            Stage::Open(episode) => (episode.starts_ms, None),
            Stage::Muted(_) | Stage::Pending | Stage::Held(_) => return,
            Stage::Suppressed(starts_ms, reason) => (*starts_ms, Some(*reason)),
        };
        let grew = entry.worst.score > entry.noted;
        if !grew && suppressed.is_none() {
            return;
        }
        entry.noted = entry.noted.max(entry.worst.score);
        let candidate = candidate(&self.rules.series[rule], id, watched.about.as_deref(), &watched.host, entry);
        let reason = self.budgets.grow(candidate, began_ms, at_ms);
        // Only what grew, or stands as high as ever, or became a fact fires late: an edge that fell is no news.
        let news = grew || watched.score >= entry.noted || entry.fact.is_some();
        if suppressed.is_none() || reason.is_some() || !news {
            return;
        }
        if let Stage::Suppressed(starts_ms, reason) = std::mem::replace(&mut entry.stage, Stage::Pending) {
            if let Some(mut episode) = self.episode(id, watched, rule, starts_ms) {
                episode.ends_ms = Some(at_ms.max(starts_ms));
                out.push(at_ms, Change::Over(reason), &episode);
            }
            self.fire_or_hold(id, watched, rule, at_ms, out);
        }
    }

    /// Tells the budget that an alert fired.
    pub(super) fn note_fired(&mut self, id: SeriesId, watched: &Watched, rule: usize) {
        let Some(entry) = watched.entries.iter().find(|entry| entry.rule == rule) else { return };
        self.budgets.fired(Candidate {
            rule: &self.rules.series[rule],
            id,
            about: watched.about.as_deref(),
            host: &watched.host,
            pattern: entry.kind(),
            score: entry.worst.score,
        });
    }
}

fn candidate<'a>(
    rule: &'a Rule,
    id: SeriesId,
    about: Option<&'a About>,
    host: &'a str,
    entry: &Entry,
) -> Candidate<'a> {
    Candidate { rule, id, about, host, pattern: entry.kind(), score: entry.worst.score }
}
