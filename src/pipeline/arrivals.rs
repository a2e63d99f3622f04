//! When samples arrive at a shard, and how far behind the clock they are.
//!
//! A series is missing when its sender goes on without it. Where a sender is away altogether, or catches up
//! with what it kept while it was, nothing is missing: it is the sender's outage, which its own `up` tells.

/// A shard without samples for this long has lost its senders, unless they are slower than that.
const SILENCE_MS: i64 = 120_000;
/// And for this many usual pauses between batches.
const PAUSES: f64 = 4.0;
/// Gain of the usual pause.
const GAIN: f64 = 0.05;
/// For how long the greatest lag seen holds.
const WINDOW_MS: i64 = 60_000;

/// Arrivals at one shard. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Arrivals {
    last_ms: Option<i64>,
    pause_ms: f64,
    window_ms: i64,
    lag_ms: i64,
    lag_before_ms: i64,
}

impl Arrivals {
    /// Notes a batch received at `received_ms` with samples up to `newest_ms`. Whether it ends a silence.
    pub fn note(&mut self, received_ms: i64, newest_ms: i64) -> bool {
        let silent = self.is_silent(received_ms);
        if let Some(last) = self.last_ms.filter(|last| received_ms > *last && !silent) {
            self.pause_ms += GAIN * ((received_ms - last) as f64 - self.pause_ms);
        }
        if received_ms.saturating_sub(self.window_ms) > WINDOW_MS {
            (self.window_ms, self.lag_before_ms, self.lag_ms) = (received_ms, self.lag_ms, 0);
        }
        self.lag_ms = self.lag_ms.max(received_ms.saturating_sub(newest_ms));
        self.last_ms = self.last_ms.max(Some(received_ms));
        silent
    }

    /// The time up to which samples should have come by `now_ms`; `None` while the senders are away.
    #[must_use]
    pub fn series_time(&self, now_ms: i64) -> Option<i64> {
        (!self.is_silent(now_ms)).then(|| now_ms.saturating_sub(self.lag_ms.max(self.lag_before_ms)))
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
