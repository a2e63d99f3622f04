//! The nouns of Watchbell: plain data that every stage and adapter shares.
//!
//! Nothing here reads a clock, a file or a socket, and nothing here knows a monitoring system.
//! Time is always a parameter: milliseconds since the Unix epoch, as `i64`.
//!
//! | module | holds |
//! | --- | --- |
//! | [`labels`] | label sets and the identity of a series |
//! | [`raw`] | what a source hands over: undecoded labels, raw samples |
//! | [`sample`] | one normalised sample of one slot |
//! | [`kind`] | metric kind, unit, direction that is bad |
//! | [`matcher`] | label matchers and selectors, `{job="node",mode!~"idle|nice"}` |
//! | [`verdict`] | what a detector says of one sample |
//! | [`alert`] | an alert as it leaves the alerting stage |
//! | [`context`] | limits, planned quiet and problems that other tools know |

pub mod alert;
pub mod context;
pub mod kind;
pub mod labels;
pub mod matcher;
pub mod raw;
pub mod sample;
pub mod verdict;

pub use alert::{Alert, AlertState};
pub use context::{ForeignProblem, KnownLimit, LimitRange, LimitSeverity, QuietWindow, Subject};
pub use kind::{Direction, MetricKind, Unit};
pub use labels::{LabelError, Labels, SeriesId};
pub use matcher::{MatchOp, Matcher, Selector, SelectorError};
pub use raw::{Mode, NativeHistogram, RawBatch, RawMetadata, RawSample, RawSeries, Span};
pub use sample::{Sample, SeriesSpec};
pub use verdict::{Lead, NotReady, Pattern, Reading, Verdict, Why};

/// The bit pattern with which Prometheus marks the end of a series.
///
/// Compare bits, never `is_nan`: an ordinary NaN is a value that a target really exposed.
/// Source: `model/value/value.go` of Prometheus (`StaleNaN`).
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The NaN that Prometheus writes for a NaN a target exposed (`NormalNaN`).
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// Whether `value` is Prometheus's stale marker.
#[must_use]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}
