//! What a tick wants of each series: its last value, and the worst since the tick before.

use super::Judge;
use crate::single::hot::flag;

/// A series is missing at a tick when its last sample is older than this many of its cadences,
const FRESH_CADENCES: f32 = 2.5;
/// and than this many ticks.
const FRESH_TICKS: f32 = 1.5;

/// One series at a tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlotTick {
    /// The series.
    pub slot: u32,
    /// Last value.
    pub value: f64,
    /// Highest published score since the last tick, that of a spike before it held on to; NaN while it has none.
    pub score: f32,
    /// Learned cadence, seconds; 0 while it is not known.
    pub cadence_s: f32,
    /// Samples that it learned from; those it was given by its group are counted.
    pub rows: u32,
    /// Whether an alarm was raised since the last tick.
    pub onset: bool,
    /// Whether the value ever changed.
    pub varied: bool,
    /// Whether the last sample was in a quiet span.
    pub quiet: bool,
}

impl Judge {
    /// Samples that the series at `slot` learned from.
    #[must_use]
    pub fn rows(&self, slot: u32) -> u32 {
        self.hot.get(slot).map_or(0, |hot| hot.rows)
    }

    /// The series at `slot` at the tick at `now_ms`, ticks being `tick_ms` apart, and begins the next tick for
    /// it. Nothing for an unused slot, one without a sample, and one whose last sample is too old.
    pub fn gather(&mut self, slot: u32, now_ms: i64, tick_ms: i64) -> Option<SlotTick> {
        let quiet = self.is_quiet(slot);
        let hot = self.hot.get_mut(slot).filter(|hot| hot.is(flag::ADMITTED) && hot.rows > 0)?;
        let (peak, onset) = (std::mem::take(&mut hot.peak), hot.is(flag::RANG));
        hot.set(flag::RANG, false);
        let lasts = (FRESH_CADENCES * hot.cadence_s * 1000.0).max(FRESH_TICKS * tick_ms as f32);
        if hot.is(flag::ENDED | flag::MISSING) || now_ms.saturating_sub(hot.ts_ms) > lasts as i64 {
            return None;
        }
        Some(SlotTick {
            slot,
            value: hot.value,
            score: if hot.ready() { peak.max(hot.alarm.held) } else { f32::NAN },
            cadence_s: hot.cadence_s,
            rows: hot.rows,
            onset,
            varied: hot.is(flag::VARIED),
            quiet,
        })
    }
}
