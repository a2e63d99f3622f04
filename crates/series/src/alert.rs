//! An alert as it leaves the alerting stage, in words that every sink understands.

use crate::labels::Labels;

/// Where an alert stands when it is handed to a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlertState {
    /// It holds.
    Firing,
    /// It ended at [`Alert::ends_ms`].
    Resolved,
}

/// One alert. Its identity is its label set, which stays the same while it lives: no value, score or
/// time is ever in a label.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// `alertname`, `severity`, `host`, `metric` and the labels of the series.
    pub labels: Labels,
    /// `summary`, `description`, `value`, `expected`, `score`, `kind`, ... in order of names.
    pub annotations: Vec<(String, String)>,
    /// Firing or resolved.
    pub state: AlertState,
    /// When it began to fire, milliseconds since the Unix epoch; constant through the episode.
    pub starts_ms: i64,
    /// While firing: until when it holds unless sent again. Resolved: when it ended.
    pub ends_ms: i64,
    /// A page that shows the series.
    pub generator_url: String,
}
