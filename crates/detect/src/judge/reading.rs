//! The state of one series as its consumers see it.

use watchbell_series::{NotReady, Pattern, Reading};

use super::{Judge, overdue};
use crate::single;
use crate::single::hot::{Hot, flag};

impl Judge {
    /// The reading of the series at `slot` as of `now_ms`. An empty slot, or one that had no sample yet,
    /// is warming; numbers that are not known are NaN.
    #[must_use]
    pub fn reading(&self, slot: u32, now_ms: i64) -> Reading {
        match self.hot.get(slot) {
            Some(hot) if hot.rows > 0 => Reading { quiet: self.rests(slot, hot), ..self.reading_of(hot, now_ms) },
            _ => Reading {
                ts_ms: 0,
                value: f64::NAN,
                score: f32::NAN,
                expected: f64::NAN,
                lower: f64::NAN,
                upper: f64::NAN,
                pattern: Pattern::None,
                alarm: false,
                not_ready: Some(NotReady::Warming),
                inherited: false,
                quiet: false,
                peers: None,
                cadence_s: 0.0,
            },
        }
    }

    fn reading_of(&self, hot: &Hot, now_ms: i64) -> Reading {
        let rules = self.rules.get(hot.rules);
        let missing = hot.is(flag::MISSING);
        let secs = hot.ts_ms.div_euclid(1000).clamp(0, i64::from(u32::MAX - 1)) as u32;
        let late = now_ms.div_euclid(1000) > i64::from(overdue::deadline(secs, hot.cadence_s));
        let published = hot.published().filter(|_| missing || !late);
        let not_ready = match published {
            Some(_) => None,
            None if hot.is(flag::ENDED) || late => Some(NotReady::Stale),
            None if hot.is(flag::WARM) => Some(NotReady::Constant),
            None => Some(NotReady::Warming),
        };
        let (mut expected, mut lower, mut upper) = (f64::NAN, f64::NAN, f64::NAN);
        if published.is_some() {
            let band = single::band::last(hot, &self.config, rules);
            (expected, lower, upper) = (band.expected, band.lower, band.upper);
        }
        Reading {
            ts_ms: hot.ts_ms,
            value: hot.value,
            score: published.unwrap_or(f32::NAN),
            expected,
            lower,
            upper,
            pattern: if missing { Pattern::Missing } else { hot.alarm.pattern },
            alarm: missing || hot.alarm.open(),
            not_ready,
            inherited: hot.inherits(),
            quiet: false,
            peers: None,
            cadence_s: hot.cadence_s,
        }
    }
}
