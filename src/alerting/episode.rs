//! One firing of an alert, from its begin to its end, and what happened to it: what the book tells the
//! journal, and what the journal gives back after a restart.

use watchbell_series::{Alert, AlertState, Labels, Pattern, SeriesId};

use super::budget::Reason;

/// An alert from when it fired until it resolved. Labels, `starts_ms`, rule and series never change.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode {
    /// Name of the rule.
    pub rule: String,
    /// The series; `None` for an alert of a host.
    pub series: Option<SeriesId>,
    /// The host; empty where the series belongs to none.
    pub host: String,
    /// Identity.
    pub labels: Labels,
    /// Texts for people, in order.
    pub annotations: Vec<(String, String)>,
    /// A page that shows the series.
    pub generator_url: String,
    /// When it fired, milliseconds since the Unix epoch.
    pub starts_ms: i64,
    /// When it resolved.
    pub ends_ms: Option<i64>,
    /// Greatest score so far.
    pub peak_score: f32,
    /// What it looked like when it fired.
    pub pattern: Pattern,
}

impl Episode {
    /// The words for sinks. While it fires `ends_ms` is its start: who delivers says until when it holds.
    #[must_use]
    pub fn alert(&self) -> Alert {
        Alert {
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            state: if self.ends_ms.is_some() { AlertState::Resolved } else { AlertState::Firing },
            starts_ms: self.starts_ms,
            ends_ms: self.ends_ms.unwrap_or(self.starts_ms),
            generator_url: self.generator_url.clone(),
        }
    }
}

/// What happened to an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It fired.
    Fired,
    /// It resolved.
    Resolved,
    /// It would have fired, but for this reason sinks are not told.
    Suppressed(Reason),
    /// It was suppressed and is over, or grew and fires now as an episode of its own.
    Over(Reason),
}

impl Change {
    /// Why sinks are not told; `None` if they are.
    #[must_use]
    pub fn suppressed(self) -> Option<Reason> {
        match self {
            Self::Fired | Self::Resolved => None,
            Self::Suppressed(reason) | Self::Over(reason) => Some(reason),
        }
    }

    /// The word in the journal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "firing",
            Self::Resolved => "resolved",
            Self::Suppressed(Reason::Budget) => "suppressed: budget",
            Self::Suppressed(Reason::FalseDiscovery) => "suppressed: false_discovery",
            Self::Suppressed(Reason::Feedback) => "suppressed: feedback",
            Self::Suppressed(Reason::Muted) => "suppressed: muted",
            Self::Over(_) => "over",
        }
    }
}

/// A change with the episode as it is after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// What.
    pub change: Change,
    /// The episode now.
    pub episode: Episode,
}
