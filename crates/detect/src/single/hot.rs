//! The state of one series that every sample touches.
//!
//! Three cache lines. What is read less often (the profiles of the day and the week) is a
//! [`Season`](super::season::Season) elsewhere, and only series that vary have one.

use watchbell_series::Pattern;

use super::alarm::Alarm;
use super::channel::Channel;
use crate::entity::Standing;
use crate::explain::Trace;

/// No season yet.
pub(crate) const NO_SEASON: u32 = u32::MAX;

/// One-bit facts of a series.
pub(crate) mod flag {
    /// The slot is in use.
    pub(crate) const ADMITTED: u16 = 1;
    /// The value changed at least once.
    pub(crate) const VARIED: u16 = 1 << 1;
    /// Warm-up is over.
    pub(crate) const WARM: u16 = 1 << 2;
    /// A stale marker came, or no sample for long.
    pub(crate) const ENDED: u16 = 1 << 3;
    /// Overdue with an alarm about it.
    pub(crate) const MISSING: u16 = 1 << 4;
    /// Each sample is to be reported.
    pub(crate) const TRACKED: u16 = 1 << 5;
    /// The slow level was the better expectation at the last sample.
    pub(crate) const SLOW_LED: u16 = 1 << 6;
    /// The open alarm saw jumps up.
    pub(crate) const JUMPED_UP: u16 = 1 << 7;
    /// The open alarm saw jumps down.
    pub(crate) const JUMPED_DOWN: u16 = 1 << 8;
    /// How the series stands in the counts of its entity: three bits.
    pub(crate) const COUNTED_JUDGED: u16 = 1 << 9;
    /// See [`COUNTED_JUDGED`].
    pub(crate) const COUNTED_READY: u16 = 1 << 10;
    /// See [`COUNTED_JUDGED`].
    pub(crate) const COUNTED_ANOMALOUS: u16 = 1 << 11;
    /// The last sample was a live one, not history.
    pub(crate) const LIVE: u16 = 1 << 12;
    /// An alarm was raised since the last tick.
    pub(crate) const RANG: u16 = 1 << 13;
    /// Its scale, tail and season were taken over from its group.
    pub(crate) const INHERITED: u16 = 1 << 14;
    /// A quiet span may cover its samples, see [`Judge::set_quiet`](crate::Judge::set_quiet); not saved.
    pub(crate) const QUIET: u16 = 1 << 15;
    /// The facts that are learned from samples, and so saved.
    pub(crate) const LEARNED: u16 =
        VARIED | WARM | ENDED | MISSING | SLOW_LED | JUMPED_UP | JUMPED_DOWN | LIVE | INHERITED;
}

/// What is learned of one series and where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Hot {
    /// Slow level of the value without season. In f64, and all else relative to it: a deviation of a few
    /// bytes survives at a level of 1e15.
    pub(crate) level: f64,
    /// Last value.
    pub(crate) value: f64,
    /// Time of the last sample, milliseconds.
    pub(crate) ts_ms: i64,
    /// Fast level minus slow level.
    pub(crate) fast: f32,
    /// Smoothed error against the slow level.
    pub(crate) smooth: f32,
    /// Running mean of the value, minus the slow level.
    pub(crate) mean: f32,
    /// Running mean deviation from the mean.
    pub(crate) spread: f32,
    /// Errors of the last sample against the fast and the slow level.
    pub(crate) errors: [f32; 2],
    /// Fast, slow and smoothed channel.
    pub(crate) channels: [Channel; 3],
    /// The alarm and the budget of alarms.
    pub(crate) alarm: Alarm,
    /// Sum of clipped errors while in the current quarter-hour, and in the current hour.
    pub(crate) sum: [f32; 2],
    /// Factor on the fast scale in the current hour of the day.
    pub(crate) hour_factor: f32,
    /// Samples seen.
    pub(crate) rows: u32,
    /// Time of the first sample, seconds.
    pub(crate) born: u32,
    /// Samples for which the value has been the same.
    pub(crate) same: u32,
    /// Longest such run that ended.
    pub(crate) longest: u32,
    /// Cadence, seconds.
    pub(crate) cadence_s: f32,
    /// Entity of the series.
    pub(crate) entity: u32,
    /// Number of its rules.
    pub(crate) rules: u32,
    /// Where its season stands, or [`NO_SEASON`].
    pub(crate) season: u32,
    /// Highest score since the last tick; not saved.
    pub(crate) peak: f32,
    /// Samples in the current quarter-hour, and in the current hour.
    pub(crate) visit: [u16; 2],
    /// See [`flag`].
    pub(crate) flags: u16,
    /// Current quarter-hour of the day.
    pub(crate) quarter: u8,
    /// Current hour of the week.
    pub(crate) hour: u8,
    /// What is kept for whoever asks why.
    pub(crate) trace: Trace,
}

impl Hot {
    /// A slot that nobody uses.
    pub(crate) const BLANK: Self = Self {
        level: 0.0,
        value: 0.0,
        ts_ms: 0,
        fast: 0.0,
        smooth: 0.0,
        mean: 0.0,
        spread: 0.0,
        errors: [0.0; 2],
        channels: [Channel::NEW; 3],
        alarm: Alarm::NEW,
        sum: [0.0; 2],
        hour_factor: 1.0,
        rows: 0,
        born: 0,
        same: 0,
        longest: 0,
        cadence_s: 0.0,
        entity: 0,
        rules: 0,
        season: NO_SEASON,
        peak: 0.0,
        visit: [0; 2],
        flags: 0,
        quarter: 0,
        hour: 0,
        trace: Trace::NEW,
    };

    /// A series of which nothing is known but whose it is.
    pub(crate) fn fresh(entity: u32, rules: u32, flags: u16) -> Self {
        Self { entity, rules, flags: flags | flag::ADMITTED, ..Self::BLANK }
    }

    /// Whether `bit` is set.
    pub(crate) fn is(&self, bit: u16) -> bool {
        self.flags & bit != 0
    }

    /// Sets or clears `bit`.
    pub(crate) fn set(&mut self, bit: u16, on: bool) {
        self.flags = if on { self.flags | bit } else { self.flags & !bit };
    }

    /// Whether the series has a score.
    pub(crate) fn ready(&self) -> bool {
        self.is(flag::WARM) && self.is(flag::VARIED) && !self.is(flag::ENDED)
    }

    /// The published score; an illegal or a missing value has one even where nothing is learned yet.
    pub(crate) fn published(&self) -> Option<f32> {
        if self.is(flag::MISSING) {
            return Some(self.alarm.held.max(super::FACT_SCORE));
        }
        let known =
            self.ready() || (self.alarm.open() && self.alarm.pattern == Pattern::Illegal && !self.is(flag::ENDED));
        known.then_some(self.alarm.held)
    }

    /// How the series counts for its entity now.
    pub(crate) fn standing(&self) -> Standing {
        let published = self.published();
        Standing {
            judged: self.is(flag::ADMITTED) && !self.is(flag::ENDED) && self.rows > 0,
            ready: published.is_some(),
            anomalous: published.is_some_and(|score| score > 1.0),
        }
    }

    /// How the series is counted for its entity so far.
    pub(crate) fn counted(&self) -> Standing {
        Standing {
            judged: self.is(flag::COUNTED_JUDGED),
            ready: self.is(flag::COUNTED_READY),
            anomalous: self.is(flag::COUNTED_ANOMALOUS),
        }
    }

    /// Notes how the series is counted from now on.
    pub(crate) fn count_as(&mut self, standing: Standing) {
        self.set(flag::COUNTED_JUDGED, standing.judged);
        self.set(flag::COUNTED_READY, standing.ready);
        self.set(flag::COUNTED_ANOMALOUS, standing.anomalous);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_three_cache_lines() {
        assert!(size_of::<Hot>() <= 192, "{} bytes", size_of::<Hot>());
    }
}
