//! One normalised sample, and what is fixed about the series it belongs to.

use crate::kind::{Direction, Unit};

/// One judged-to-be sample: common words, ready for a detector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Dense index of the series inside its shard.
    pub slot: u32,
    /// Learned cadence of the series in seconds; 0 until the second sample.
    pub cadence_s: f32,
    /// Milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// The value, finite.
    pub value: f64,
}

/// What rules and metadata say of a judged series; the same for many series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSpec {
    /// The direction in which a deviation is bad.
    pub direction: Direction,
    /// Unit of the judged value.
    pub unit: Unit,
    /// Least absolute deviation from the expected value worth reporting, in the series' unit.
    pub min_deviation: f64,
    /// Least deviation relative to the expected value (0.1 = 10 %).
    pub min_relative_deviation: f64,
    /// Least legal value; under it the value is anomalous whatever was learned.
    pub legal_min: f64,
    /// Greatest legal value.
    pub legal_max: f64,
    /// Sensitivity: how many times the usual false alarms are accepted, 0.01..=100. 1.0 is the default.
    pub sensitivity: f64,
    /// Whether a series that stops changing is worth a verdict.
    pub flatline: bool,
    /// Whether a series that stops arriving is worth a verdict.
    pub missing: bool,
}

impl Default for SeriesSpec {
    fn default() -> Self {
        Self {
            direction: Direction::Both,
            unit: Unit::None,
            min_deviation: 0.0,
            min_relative_deviation: 0.0,
            legal_min: f64::NEG_INFINITY,
            legal_max: f64::INFINITY,
            sensitivity: 1.0,
            flatline: true,
            missing: true,
        }
    }
}
