//! Quiet windows: an alert inside of one goes to the journal, and sinks are not told.
//!
//! One that sinks know when its window begins resolves there, with the window as its reason: who is on duty is done
//! with it, and no sink must know of windows. What still stands at the first sample after the window fires then, as an
//! alert of its own. An alert is muted while its sample or the clock is in the window: samples come late, and one from
//! just before it must not fire into it. Silence and roll-ups of hosts go by the clock alone.

use std::sync::Arc;

use watchbell_adapter_api::HostReading;
use watchbell_series::{SeriesId, Verdict};

use super::watched::{Stage, Watched};
use super::{Book, Changes};
use crate::alerting::budget::{Reason, is_certain};
use crate::alerting::episode::{Change, Episode};
use crate::alerting::identity;
use crate::alerting::lifecycle::Level;
use crate::alerting::rules::Rule;
use crate::context::quiet::{Quiet, Window};

/// The text of an alert that says which window mutes it.
pub(super) const MUTED: &str = "muted";

impl Book {
    /// Goes by these windows from now on.
    pub fn set_quiet(&mut self, quiet: Arc<Quiet>) {
        self.quiet = quiet;
    }

    /// The window that mutes the alert of `rule` about a series at `at_ms`, in words.
    pub(super) fn muted(&self, watched: &Watched, rule: usize, at_ms: i64) -> Option<String> {
        if self.quiet.is_empty() {
            return None;
        }
        let entry = watched.entries.iter().find(|entry| entry.rule == rule)?;
        let labels = match (&watched.about, &entry.stage) {
            (Some(about), _) => identity::series_alert(&self.rules.series[rule], about),
            (None, _) => entry.episode()?.labels.clone(),
        };
        let series = watched.about.as_ref().map(|about| (&about.labels, about.common.as_str()));
        let at = |at_ms: i64| self.quiet.mutes(at_ms, &labels, &watched.host, series);
        at(at_ms).or_else(|| at(self.clock_ms)).map(Window::words)
    }

    /// The same of an alert about a host, or about the fleet where `host` is empty.
    pub(super) fn muted_host(&self, rule: &Rule, host: &str, at_ms: i64) -> Option<String> {
        if self.quiet.is_empty() {
            return None;
        }
        self.quiet.mutes(at_ms, &identity::host_alert(rule, host), host, None).map(Window::words)
    }

    /// Hosts of which a rule about the fleet may know: planned work is no fault of a fleet.
    pub(super) fn at_work<'a>(&self, now_ms: i64, hosts: &'a [HostReading]) -> impl Iterator<Item = &'a HostReading> {
        let quiet = Arc::clone(&self.quiet);
        hosts.iter().filter(move |host| quiet.is_empty() || !quiet.rests(now_ms, &host.host))
    }

    /// Keeps an alert back that would fire, or takes it back from sinks.
    pub(super) fn mute(
        &mut self,
        id: SeriesId,
        watched: &mut Watched,
        rule: usize,
        at_ms: i64,
        why: &str,
        out: &mut Changes,
    ) {
        let Some(entry) = watched.entries.iter_mut().find(|entry| entry.rule == rule) else { return };
        if let Stage::Open(episode) = &mut entry.stage {
            self.load.change(&watched.host, |firing, _| *firing -= 1);
            episode.peak_score = episode.peak_score.max(entry.worst.score);
            end_muted(episode, at_ms, why, out);
        }
        let known = entry.episode().cloned();
        // A series without words is one from before a restart, of which the last texts are known.
        let begun = self.episode(id, watched, rule, at_ms);
        let begun = begun.or_else(|| known.map(|old| Episode { starts_ms: at_ms, ends_ms: None, ..old }));
        let Some(episode) = begun else { return };
        self.budgets.muted();
        watched.set_stage(rule, muted_stage(episode, at_ms, why, out));
    }

    /// A sample of a series in the book: it may have come into a window, or out of one.
    pub(super) fn mute_by_sample(
        &mut self,
        id: SeriesId,
        watched: &mut Watched,
        rule: usize,
        verdict: &Verdict,
        out: &mut Changes,
    ) {
        let Some((open, muted)) = stage(watched, rule) else { return };
        if !open && !muted {
            return;
        }
        match self.muted(watched, rule, verdict.ts_ms) {
            Some(why) if open => self.mute(id, watched, rule, verdict.ts_ms, &why, out),
            None if muted => {
                let row = &self.rules.series[rule];
                let level = row.terms.level(verdict.score, verdict.edge, verdict.alarm);
                // Another kind of anomaly than the rule begins with is none of its alerts.
                if level == Level::Hit && row.wants(verdict.pattern) {
                    self.unmute(id, watched, rule, Some(verdict), verdict.ts_ms, out);
                }
            }
            _ => {}
        }
    }

    /// The clock: of alerts that are open, and of series that are missing.
    pub(super) fn mute_by_clock(
        &mut self,
        id: SeriesId,
        watched: &mut Watched,
        rule: usize,
        now_ms: i64,
        out: &mut Changes,
    ) {
        let Some((open, muted)) = stage(watched, rule) else { return };
        if !watched.entries.iter().any(|entry| entry.rule == rule && entry.waits_for_clock()) {
            return;
        }
        match self.muted(watched, rule, now_ms) {
            Some(why) if open => self.mute(id, watched, rule, now_ms, &why, out),
            None if muted => self.unmute(id, watched, rule, None, now_ms, out),
            _ => {}
        }
    }

    /// What still stands after its window fires, as what it is now.
    fn unmute(
        &mut self,
        id: SeriesId,
        watched: &mut Watched,
        rule: usize,
        now: Option<&Verdict>,
        at_ms: i64,
        out: &mut Changes,
    ) {
        let held = now.is_none() && !self.may_fire(&watched.host);
        let Some(entry) = watched.entries.iter_mut().find(|entry| entry.rule == rule) else { return };
        if let Stage::Muted(mut episode) = std::mem::replace(&mut entry.stage, Stage::Pending) {
            if held {
                // No sample tells of it again: it goes on in the journal until it fires, or a restart would lose it.
                entry.stage = Stage::Held(Some(episode));
                return self.load.change(&watched.host, |_, held| *held += 1);
            }
            end_kept(&mut episode, at_ms, out);
            if watched.about.is_none() {
                // One from before a restart, of which the last texts are known: the series did not come back.
                return self.fire_as(id, watched, rule, fired_as(&episode, at_ms), out);
            }
        }
        if let Some(verdict) = now {
            // What was a fact in the window, such as a series that stopped, may be a matter of score by now.
            let fact = is_certain(verdict.pattern).then_some(verdict.pattern);
            (entry.worst, entry.noted, entry.fact) = (*verdict, 0.0, fact);
        }
        self.admit(id, watched, rule, at_ms, out);
    }
}

/// An alert as it fires at `at_ms` where only the texts of `known` are there, which was muted.
pub(super) fn fired_as(known: &Episode, at_ms: i64) -> Episode {
    let mut episode = Episode { starts_ms: at_ms, ends_ms: None, ..known.clone() };
    episode.annotations.retain(|(name, _)| name != MUTED);
    episode
}

/// Ends one that was muted.
pub(super) fn end_kept(episode: &mut Episode, at_ms: i64, out: &mut Changes) {
    episode.ends_ms = Some(at_ms.max(episode.starts_ms));
    out.push(at_ms, Change::Over(Reason::Muted), episode);
}

/// Whether the alert of `rule` is open, and whether it is muted.
fn stage(watched: &Watched, rule: usize) -> Option<(bool, bool)> {
    let entry = watched.entries.iter().find(|entry| entry.rule == rule)?;
    let muted = matches!(entry.stage, Stage::Muted(_));
    Some((matches!(entry.stage, Stage::Open(_)), muted))
}

/// Resolves an alert that sinks know, because of a window.
pub(super) fn end_muted(episode: &mut Episode, at_ms: i64, why: &str, out: &mut Changes) {
    episode.ends_ms = Some(at_ms.max(episode.starts_ms));
    episode.annotations.push((MUTED.to_owned(), why.to_owned()));
    out.push(at_ms, Change::Resolved, episode);
}

/// An alert that begins in a window.
pub(super) fn muted_stage(mut episode: Episode, at_ms: i64, why: &str, out: &mut Changes) -> Stage {
    episode.annotations.retain(|(name, _)| name != MUTED);
    episode.annotations.push((MUTED.to_owned(), why.to_owned()));
    out.push(at_ms, Change::Suppressed(Reason::Muted), &episode);
    Stage::Muted(Box::new(episode))
}
