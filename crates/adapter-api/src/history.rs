//! Reading history back from where it is kept: for warm start, and to catch up after a pause.
//!
//! History goes through the very path that live samples take, as batches of
//! [`Mode::Backfill`](watchbell_series::Mode).

use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, schema_for};
use serde::de::DeserializeOwned;

use crate::BoxFuture;
use crate::metrics::{MetricDef, Metrics};
use crate::problem::Problems;
use crate::runtime::{Clock, Shutdown};
use crate::source::{Ingest, read};

/// What a user writes under `history:`, and how it is checked.
pub trait HistoryConfig: DeserializeOwned + JsonSchema + 'static {
    /// The word after `type:`.
    const KIND: &'static str;
    /// One sentence for help and reference.
    const SUMMARY: &'static str;
    /// Own metrics of this kind.
    const METRICS: &'static [MetricDef] = &[];

    /// Checks the meaning; see [`crate::SourceConfig::prepare`].
    fn prepare(self, problems: &mut Problems) -> Option<Arc<dyn History>>;
}

/// Which history is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRequest {
    /// Only series with these labels, on top of what the user's config selects; empty for all. For
    /// instance `instance="web-1:9100"` at the first sight of that instance.
    pub labels: Vec<(String, String)>,
    /// First millisecond wanted.
    pub from_ms: i64,
    /// Last millisecond wanted at least. What came until a series is read is read too, as live samples that
    /// came since are replaced by its history.
    pub to_ms: i64,
}

/// What a request read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistoryDone {
    /// Series read.
    pub series: u64,
    /// Samples submitted.
    pub samples: u64,
}

/// Why history could not be read; what was read until then has been submitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HistoryError(pub String);

/// What a running history reader may reach.
#[derive(Clone)]
pub struct HistoryContext {
    /// Where batches go.
    pub ingest: Arc<dyn Ingest>,
    /// The time: a long read goes on to the present, not to where it was at its start.
    pub clock: Arc<dyn Clock>,
    /// When to stop.
    pub shutdown: Shutdown,
    /// Own metrics.
    pub metrics: Metrics,
    /// Whether to wait some minutes for a source that does not answer; else its first failure is the answer.
    pub patient: bool,
    /// Called with the share done, 0 to 1.
    pub progress: Arc<dyn Fn(f64) + Send + Sync>,
}

impl fmt::Debug for HistoryContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HistoryContext")
    }
}

/// A place that keeps history.
pub trait History: Send + Sync + 'static {
    /// How far back the user wants to read at a warm start, in milliseconds.
    fn lookback_ms(&self) -> i64;

    /// Reads `request` and submits it as backfill: each series whole in one batch, oldest first, and with it all
    /// parts of its histogram.
    fn read(
        &self,
        request: HistoryRequest,
        context: HistoryContext,
    ) -> BoxFuture<'_, Result<HistoryDone, HistoryError>>;
}

/// One row of the table of history kinds.
#[derive(Debug, Clone, Copy)]
pub struct HistoryKind {
    /// The word after `type:`.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Own metrics of this kind.
    pub metrics: &'static [MetricDef],
    /// JSON schema of its config.
    pub schema: fn() -> Schema,
    /// Reads and checks the config (without `type`).
    pub prepare: fn(serde_json::Value, &mut Problems) -> Option<Arc<dyn History>>,
}

impl HistoryKind {
    /// The row of config type `C`.
    #[must_use]
    pub const fn of<C: HistoryConfig>() -> Self {
        Self {
            name: C::KIND,
            summary: C::SUMMARY,
            metrics: C::METRICS,
            schema: || schema_for!(C),
            prepare: |value, problems| read::<C>(value, problems)?.prepare(problems),
        }
    }
}
