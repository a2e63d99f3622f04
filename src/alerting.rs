//! From verdicts to alerts.
//!
//! | module | holds |
//! | --- | --- |
//! | [`rules`] | which anomalies become alerts, read from YAML |
//! | [`lifecycle`] | pending, firing, resolved: one alert in time |
//! | [`budget`] | how many alerts are wanted, and the edge that follows |
//! | [`book`] | all alerts, what may fire at once, and the alerts of hosts |
//! | [`identity`], [`annotate`] | the labels and the texts of an alert |
//! | [`episode`] | one firing, for the journal and for sinks |
//!
//! Verdicts come from the shards, transitions go to the journal and to the outbox, and the shards are told
//! which series to report sample by sample. Everything here is synchronous and pure: time is a parameter,
//! and nothing is ever read back from a sink.

use std::sync::Arc;

pub mod annotate;
pub mod book;
pub mod budget;
pub mod episode;
pub mod identity;
pub mod lifecycle;
pub mod metrics;
pub mod rules;

pub use book::{Book, Changes, Counts, Hold, Probe, RuleStanding, Standing, Track};
pub use budget::{Budget, Judgement, Reason};
pub use episode::{Change, Episode, Transition};
pub use metrics::{AlertGauges, METRICS};
pub use rules::{RuleProblem, Rules};
use watchbell_series::{Labels, SeriesId, Unit, Verdict};

use crate::context::limits::SeriesLimit;

/// What is known of a series beside its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// Its labels.
    pub labels: Labels,
    /// Its name in common words.
    pub common: String,
    /// The host it belongs to; empty for none.
    pub entity: String,
    /// Unit of its judged values.
    pub unit: Unit,
    /// Limits that people set on it in other tools.
    pub limits: Arc<[SeriesLimit]>,
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
