//! Series whose next sample is overdue, found by a scan of one small number per slot.

use watchbell_series::{Pattern, Verdict};

use super::{Judge, recount};
use crate::explain;
use crate::single::hot::{Hot, flag};
use crate::single::{self, FACT_SCORE};

/// No deadline.
pub(crate) const NEVER: u32 = u32::MAX;
/// Cadences without a sample after which it is overdue,
const CADENCES: f32 = 5.0;
/// but at least this long, seconds,
const LEAST_S: f32 = 120.0;
/// and at most this long, or two cadences where that is longer.
const MOST_S: f32 = 3600.0;

/// How long a series of a source that is away is not looked at, seconds.
const AWAY_S: u32 = 60;

fn seconds(ms: i64) -> u32 {
    ms.div_euclid(1000).clamp(0, i64::from(NEVER - 1)) as u32
}

/// When the next sample is overdue after one at `secs`, seconds since the Unix epoch.
pub(crate) fn deadline(secs: u32, cadence_s: f32) -> u32 {
    let cadence_s = cadence_s.min(1e8);
    let patience = (CADENCES * cadence_s).clamp(LEAST_S, MOST_S).max(2.0 * cadence_s);
    secs.saturating_add(patience as u32 + 1).min(NEVER - 1)
}

impl Judge {
    /// Looks for series whose sample is overdue at `now_ms`: several learned cadences, at least 2 minutes,
    /// at most an hour (or two cadences). Each gets one verdict with [`Pattern::Missing`] and an alarm that
    /// stays open until the next sample, if it is past its warm-up and rules want to know; else it just
    /// goes stale. The work is a scan of 4 bytes per slot.
    pub fn sweep(&mut self, now_ms: i64, out: &mut Vec<Verdict>) {
        self.sweep_each(now_ms, |_| Some(now_ms), out);
    }

    /// The same where series come from several sources that lag differently: `time_of` says up to when the samples of
    /// a slot should have come, `latest_ms` at most; nothing while its source is away.
    pub fn sweep_each(&mut self, latest_ms: i64, time_of: impl Fn(u32) -> Option<i64>, out: &mut Vec<Verdict>) {
        let latest = seconds(latest_ms);
        let mut overdue = Vec::new();
        let mut slot = 0;
        for page in self.deadlines.pages() {
            overdue.extend((slot..).zip(page).filter(|(_, due)| **due < latest).map(|(slot, due)| (slot, *due)));
            slot += page.len() as u32;
        }
        for (slot, due) in overdue {
            match time_of(slot) {
                Some(now_ms) if due < seconds(now_ms) => {
                    self.set_deadline(slot, NEVER);
                    out.extend(self.miss(slot, now_ms));
                }
                Some(_) => {}
                // Once its source is back it gets time anyway; until then it need not be looked at each second.
                None => self.set_deadline(slot, latest.saturating_add(AWAY_S)),
            }
        }
    }

    /// Gives every series time to show up again, counted from `now_ms`. To be called when it was not the
    /// series that were away but their judge: after a restart.
    pub fn resume(&mut self, now_ms: i64) {
        self.resume_each(now_ms, |_| true);
    }

    /// The same for the slots that pass `of_source`: after an outage of their source.
    pub fn resume_each(&mut self, now_ms: i64, of_source: impl Fn(u32) -> bool) {
        let now = seconds(now_ms);
        let mut first = 0;
        for (hots, deadlines) in self.hot.pages().zip(self.deadlines.pages_mut()) {
            let len = deadlines.len() as u32;
            for (slot, (hot, due)) in (first..).zip(hots.iter().zip(deadlines)).filter(|(_, (_, due))| **due != NEVER) {
                if of_source(slot) {
                    *due = deadline(now, hot.cadence_s).max(*due);
                }
            }
            first += len;
        }
    }

    /// Notes that the series at `slot` was there at `ts_ms` and had no value (`NaN`, as the quantiles of a summary that
    /// observes nothing): it is not missed. One that has had no value for as long as would make it overdue ends, as by a
    /// stale marker; whether it did so now.
    pub fn no_value(&mut self, slot: u32, ts_ms: i64) -> bool {
        let lives = |hot: &&mut Hot| hot.is(flag::ADMITTED) && !hot.is(flag::ENDED) && ts_ms > hot.ts_ms;
        let Some(hot) = self.hot.get_mut(slot).filter(lives) else { return false };
        let over = hot.is(flag::MISSING) || seconds(ts_ms) > deadline(seconds(hot.ts_ms), hot.cadence_s);
        if over {
            self.end(slot, ts_ms);
        } else {
            self.set_deadline(slot, NEVER);
        }
        over
    }

    pub(super) fn set_deadline(&mut self, slot: u32, deadline: u32) {
        if let Some(place) = self.deadlines.get_mut(slot) {
            *place = deadline;
        }
    }

    fn miss(&mut self, slot: u32, now_ms: i64) -> Option<Verdict> {
        let hot = self.hot.get_mut(slot).filter(|hot| hot.is(flag::ADMITTED))?;
        let rules = self.rules.get(hot.rules);
        let report = rules.missing && hot.is(flag::WARM) && hot.is(flag::LIVE);
        hot.set(if report { flag::MISSING } else { flag::ENDED }, true);
        if !report {
            hot.alarm.close();
        }
        recount(&mut self.entities, hot, &self.config);
        let band = single::band::last(hot, &self.config, rules);
        report.then_some(Verdict {
            slot,
            ts_ms: now_ms,
            value: hot.value,
            score: FACT_SCORE,
            edge: self.config.edge,
            onset: true,
            alarm: true,
            pattern: Pattern::Missing,
            expected: band.expected,
            lower: band.lower,
            upper: band.upper,
            why: explain::of_missing(hot, &self.memories),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_follows_the_cadence() {
        assert_eq!(deadline(1000, 1.0) - 1000, 121);
        assert_eq!(deadline(1000, 60.0) - 1000, 301);
        assert_eq!(deadline(1000, 1200.0) - 1000, 3601);
        assert_eq!(deadline(1000, 3600.0) - 1000, 7201);
        assert!(deadline(u32::MAX, f32::INFINITY) < NEVER);
    }
}
