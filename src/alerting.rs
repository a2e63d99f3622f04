//! From verdicts to alerts.
//!
//! | module | holds |
//! | --- | --- |
//! | [`rules`] | which anomalies become alerts, read from YAML |
//! | [`lifecycle`] | pending, firing, resolved: one alert in time |
//! | [`book`] | all alerts, what may fire at once, and the alerts of hosts |
//! | [`identity`], [`annotate`] | the labels and the texts of an alert |
//! | [`episode`] | one firing, for the journal and for sinks |
//!
//! Verdicts come from the shards, transitions go to the journal and to the outbox, and the shards are told
//! which series to report sample by sample. Everything here is synchronous and pure: time is a parameter,
//! and nothing is ever read back from a sink.

pub mod annotate;
pub mod book;
pub mod episode;
pub mod identity;
pub mod lifecycle;
pub mod rules;

pub use book::{Book, Changes, Counts, Track};
pub use episode::{Change, Episode, Transition};
pub use rules::{RuleProblem, Rules};
use watchbell_adapter_api::{MetricDef, MetricKindDef};
use watchbell_series::{Labels, SeriesId, Unit, Verdict};

/// Own metrics of this stage; [`Counts`] has their values.
pub const METRICS: &[MetricDef] = &[ALERTS, ALERTS_REFUSED];

/// Alerts by state.
pub const ALERTS: MetricDef = MetricDef {
    name: "watchbell_alerts",
    kind: MetricKindDef::Gauge,
    help: "Alerts now, by state: pending, firing, held (would fire, but a limit of alerts is reached).",
    labels: &["state"],
};

/// Series that could not be watched.
pub const ALERTS_REFUSED: MetricDef = MetricDef {
    name: "watchbell_alerts_refused_total",
    kind: MetricKindDef::Counter,
    help: "Anomalous samples that could not begin an alert because too many series are anomalous already.",
    labels: &[],
};

/// What is known of a series and never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// Its labels.
    pub labels: Labels,
    /// The host it belongs to; empty for none.
    pub entity: String,
    /// Unit of its judged values.
    pub unit: Unit,
}

/// One verdict on its way to the book.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertInput {
    /// Shard that judged it.
    pub shard: u32,
    /// The series.
    pub id: SeriesId,
    /// The series in words. May be left out for a series that the book asked to be told of, see [`Track`].
    pub about: Option<Box<About>>,
    /// The verdict.
    pub verdict: Verdict,
}
