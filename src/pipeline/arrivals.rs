//! When samples of a source arrive at a shard, and how far behind the clock they are.
//!
//! A series is missing when its source goes on without it. Where a source is away altogether, or catches up
//! with what it kept while it was, nothing is missing: it is the source's outage, which its own `up` tells. One that
//! lags does not keep series of another from being missed.

use std::collections::BTreeMap;

/// A source without samples for this long is away, unless it is slower than that.
const SILENCE_MS: i64 = 120_000;
/// And for this many usual pauses between batches.
const PAUSES: f64 = 4.0;
/// Gain of the usual pause.
const GAIN: f64 = 0.05;
/// For how long the greatest lag seen holds.
const WINDOW_MS: i64 = 60_000;

/// A source may lag this far behind and its machines are still judged as if it did not.
const TICK_LAG_MS: i64 = 300_000;

/// For how long a source that is away speaks for its series; after that the others do.
const AWAY_MS: i64 = 3_600_000;

/// Arrivals at one shard, by the tag of their source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sources(BTreeMap<u32, Arrivals>);

impl Sources {
    /// Notes a batch of `source`; see [`Arrivals::note`].
    pub fn note(&mut self, source: u32, received_ms: i64, newest_ms: i64) -> bool {
        self.0.entry(source).or_default().note(received_ms, newest_ms)
    }

    /// Whether there was but one source so far.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.0.len() == 1
    }

    /// The latest time up to which samples of any source should have come; `None` while all are away.
    #[must_use]
    pub fn latest(&self, now_ms: i64) -> Option<i64> {
        self.0.values().filter_map(|arrivals| arrivals.series_time(now_ms)).max()
    }

    /// The time up to which samples of `source` should have come; `None` while it is away. One that is not known, as
    /// of a series that is derived from others, or away for long, is as the slowest of the others.
    #[must_use]
    pub fn series_time(&self, source: u32, now_ms: i64) -> Option<i64> {
        self.time(source, now_ms, Arrivals::series_time)
    }

    /// The time up to which samples of `source` can be asked for at a tick at `now_ms`: samples that always come a
    /// while later are not missing, but one late batch makes nothing fresh that stopped. One that lags by more than
    /// minutes catches up, which is no picture of now.
    #[must_use]
    pub fn tick_time(&self, source: u32, now_ms: i64) -> i64 {
        let time_ms = self.time(source, now_ms, Arrivals::usual_time);
        time_ms.filter(|time_ms| now_ms.saturating_sub(*time_ms) <= TICK_LAG_MS).unwrap_or(now_ms)
    }

    fn time(&self, source: u32, now_ms: i64, of: impl Fn(&Arrivals, i64) -> Option<i64>) -> Option<i64> {
        match self.0.get(&source).filter(|known| !known.is_gone(now_ms)) {
            Some(known) => of(known, now_ms),
            None => self.0.values().filter_map(|arrivals| of(arrivals, now_ms)).min(),
        }
    }
}

/// Arrivals from one source. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Arrivals {
    last_ms: Option<i64>,
    pause_ms: f64,
    window_ms: i64,
    /// The greatest lag of this window, and those of the two before, the last first, if there were any.
    lag_ms: i64,
    before_ms: [Option<i64>; 2],
}

impl Arrivals {
    /// Notes a batch received at `received_ms` with samples up to `newest_ms`. Whether it ends a silence.
    pub fn note(&mut self, received_ms: i64, newest_ms: i64) -> bool {
        let silent = self.is_silent(received_ms);
        if let Some(last) = self.last_ms.filter(|last| received_ms > *last && !silent) {
            self.pause_ms += GAIN * ((received_ms - last) as f64 - self.pause_ms);
        }
        if received_ms.saturating_sub(self.window_ms) > WINDOW_MS {
            self.before_ms = [self.last_ms.map(|_| self.lag_ms), self.before_ms[0]];
            (self.window_ms, self.lag_ms) = (received_ms, 0);
        }
        self.lag_ms = self.lag_ms.max(received_ms.saturating_sub(newest_ms));
        self.last_ms = self.last_ms.max(Some(received_ms));
        silent
    }

    /// The time up to which samples should have come by `now_ms`; `None` while the source is away.
    #[must_use]
    pub fn series_time(&self, now_ms: i64) -> Option<i64> {
        let lag_ms = self.lag_ms.max(self.before_ms[0].unwrap_or(0));
        (!self.is_silent(now_ms)).then(|| now_ms.saturating_sub(lag_ms))
    }

    /// The same by the lag that it has all the time, in whole windows: this one has not heard of all yet.
    fn usual_time(&self, now_ms: i64) -> Option<i64> {
        let lag_ms = self.before_ms.into_iter().flatten().min().unwrap_or(self.lag_ms);
        (!self.is_silent(now_ms)).then(|| now_ms.saturating_sub(lag_ms))
    }

    fn is_gone(&self, now_ms: i64) -> bool {
        self.is_silent(now_ms) && self.last_ms.is_none_or(|last| now_ms.saturating_sub(last) > AWAY_MS)
    }

    fn is_silent(&self, now_ms: i64) -> bool {
        let patience = SILENCE_MS.max((PAUSES * self.pause_ms) as i64);
        self.last_ms.is_none_or(|last| now_ms.saturating_sub(last) > patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_700_000_000_000;

    #[test]
    fn each_source_has_its_own_lag_and_its_own_silence() {
        let mut sources = Sources::default();
        assert_eq!(sources.latest(T), None);
        for i in 0..20 {
            sources.note(1, T + i * 15_000, T + i * 15_000);
            sources.note(2, T + i * 15_000, T + i * 15_000 - 600_000);
        }
        let now = T + 300_000;
        assert_eq!(sources.latest(now), Some(now));
        let time = |source| sources.series_time(source, now);
        assert_eq!((time(1), time(2)), (Some(now), Some(now - 600_000)));
        assert_eq!(time(9), Some(now - 600_000), "one that is not known");
        // The second stops.
        for i in 20..300 {
            sources.note(1, T + i * 15_000, T + i * 15_000);
        }
        let later = T + 900_000;
        assert_eq!(sources.series_time(2, later), None);
        let hours = T + 300 * 15_000;
        assert_eq!(sources.series_time(2, hours), Some(hours));
        assert!(sources.note(2, hours, hours) && !sources.is_alone());
    }

    #[test]
    fn a_tick_waits_for_what_lags_minutes_but_not_for_what_catches_up() {
        let mut sources = Sources::default();
        for i in 0..20 {
            sources.note(1, T + i * 15_000, T + i * 15_000 - 200_000);
            sources.note(2, T + i * 15_000, T + i * 15_000 - 3_600_000);
        }
        let now = T + 300_000;
        assert_eq!((sources.tick_time(1, now), sources.tick_time(2, now)), (now - 200_000, now));
        assert_eq!(sources.tick_time(1, now + 1_000_000), now + 1_000_000, "away");
    }

    #[test]
    fn one_late_batch_makes_nothing_fresh_at_a_tick() {
        let mut sources = Sources::default();
        sources.note(1, T, T - 200_000);
        assert_eq!(sources.tick_time(1, T), T - 200_000, "the first one is all that is known");
        for i in 1..60 {
            // One of two minutes late, every quarter of an hour.
            let late_ms = if i % 15 == 10 { 120_000 } else { 5_000 };
            let now_ms = T + i * 60_500;
            sources.note(1, now_ms, now_ms - late_ms);
            if i > 2 {
                assert_eq!(sources.tick_time(1, now_ms), now_ms - 5_000, "batch {i}");
                assert!(sources.series_time(1, now_ms) <= Some(now_ms - late_ms), "what is missing waits for it");
            }
        }
    }

    #[test]
    fn a_window_that_has_not_heard_of_all_yet_does_not_hurry_the_tick() {
        let mut sources = Sources::default();
        // Two agents of one source, a second and two minutes behind.
        for i in 0..200 {
            let (now_ms, lag_ms) = (T + i * 7_500, if i % 2 == 0 { 1_000 } else { 120_000 });
            sources.note(1, now_ms, now_ms - lag_ms);
            if i > 8 {
                assert_eq!(sources.tick_time(1, now_ms), now_ms - 120_000, "batch {i}");
            }
        }
    }

    #[test]
    fn silence_is_not_missing() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.series_time(T), None);
        assert!(arrivals.note(T, T));
        assert!(!arrivals.note(T + 15_000, T + 15_000));
        assert_eq!(arrivals.series_time(T + 60_000), Some(T + 60_000));
        assert_eq!(arrivals.series_time(T + 200_000), None);
        assert!(arrivals.note(T + 200_000, T + 200_000));
    }

    #[test]
    fn a_slow_sender_is_not_silent() {
        let mut arrivals = Arrivals::default();
        for i in 0..200 {
            arrivals.note(T + i * 100_000, T + i * 100_000);
        }
        let last = T + 199 * 100_000;
        assert!(arrivals.series_time(last + 300_000).is_some());
        assert!(arrivals.series_time(last + 500_000).is_none());
    }

    #[test]
    fn a_sender_that_catches_up_moves_the_time() {
        let mut arrivals = Arrivals::default();
        arrivals.note(T, T - 3_600_000);
        assert_eq!(arrivals.series_time(T + 1_000), Some(T + 1_000 - 3_600_000));
        // Two windows after it has caught up its lag is forgotten.
        arrivals.note(T + 61_000, T + 61_000);
        arrivals.note(T + 122_000, T + 122_000);
        assert_eq!(arrivals.series_time(T + 122_000), Some(T + 122_000));
    }
}
