//! Sources: what brings series in.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, schema_for};
use serde::de::DeserializeOwned;
use watchbell_series::RawBatch;

use crate::BoxFuture;
use crate::context::ContextSink;
use crate::health::Health;
use crate::metrics::{MetricDef, Metrics};
use crate::problem::Problems;
use crate::runtime::{Clock, Shutdown};

/// What a user writes for one source, and how it is checked.
pub trait SourceConfig: DeserializeOwned + JsonSchema + 'static {
    /// The word after `type:`.
    const KIND: &'static str;
    /// One sentence for help and reference.
    const SUMMARY: &'static str;
    /// Own metrics of this kind, beyond what every source has.
    const METRICS: &'static [MetricDef] = &[];

    /// Checks the meaning and gives the source ready to run. Pure: it may read the files it names, and
    /// opens nothing. `None` only if a problem was noted.
    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>>;
}

/// A checked source, ready to run.
pub trait Source: Send + 'static {
    /// What it will occupy, so that two sources on one port or path are found before anything starts.
    fn resources(&self) -> Vec<Resource> {
        Vec::new()
    }

    /// What on this machine is not as the config has it now, such as a file that is not there; paths begin inside the
    /// item. For `watchbell check`: a source that runs tells it in the log by itself.
    fn warnings(&self) -> Problems {
        Problems::default()
    }

    /// Whether its routes ask for credentials of their own: those of the service are not asked for before them then,
    /// since a request can carry one set only. Asked before [`Self::routes`].
    fn asks_for_credentials(&self) -> bool {
        false
    }

    /// Routes of a source that is pushed to, merged into the service's own HTTP server.
    fn routes(&mut self, _context: &SourceContext) -> Option<axum::Router> {
        None
    }

    /// Runs until the shutdown of the context, or until it fails for good; the service then restarts it
    /// after a while. Purely pushed sources just wait for the shutdown.
    fn run(self: Box<Self>, context: SourceContext) -> BoxFuture<'static, Result<(), SourceError>>;
}

/// Something that only one component can have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Resource {
    /// A path on the service's HTTP server.
    Route(&'static str),
    /// A listen address of its own.
    Listen(String),
    /// A file or pipe.
    File(PathBuf),
}

/// All that a running source may reach.
#[derive(Clone)]
pub struct SourceContext {
    /// Its name in config, logs and metrics; unique.
    pub name: Arc<str>,
    /// Where batches go.
    pub ingest: Arc<dyn Ingest>,
    /// Where it tells what else it knows: limits, planned quiet, problems.
    pub context: Arc<dyn ContextSink>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// When to stop.
    pub shutdown: Shutdown,
    /// Own metrics.
    pub metrics: Metrics,
    /// Where it says that it fails, and that it is well again.
    pub health: Health,
    /// A folder of its own for what must outlast a restart, such as positions in files. It need not exist
    /// yet; `None` where nothing is kept.
    pub state: Option<PathBuf>,
}

impl fmt::Debug for SourceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceContext").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a source stopped before it was told to.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// Takes batches; a batch is judged when the future completes.
pub trait Ingest: Send + Sync {
    /// Normalises and judges `batch`, whole or in part; the receipt says what became of it.
    fn submit(&self, batch: RawBatch) -> BoxFuture<'_, Result<Receipt, IngestError>>;
}

/// Why a batch was not taken, or not all of it. It may be sent again as it is: a sample that was taken is then
/// a repeat, which changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// More work is waiting than the queue takes.
    #[error("too much is waiting to be judged; try again in {} s", .retry_after.as_secs())]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The service is still restoring its state.
    #[error("the service is starting; try again in {} s", .retry_after.as_secs())]
    Starting {
        /// When to try again.
        retry_after: Duration,
    },
    /// The service is going down.
    #[error("the service is stopping")]
    Stopping,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Samples taken (also those set aside, stale markers, and repeats of what was known).
    pub samples: u64,
    /// Native histograms taken.
    pub histograms: u64,
    /// Samples older than the last one of their series: dropped.
    pub out_of_order: u64,
    /// Samples with the timestamp of the last one and another value: dropped.
    pub conflicts: u64,
    /// Samples too far in the future: dropped.
    pub future: u64,
    /// Series whose labels are not valid: dropped.
    pub invalid: u64,
    /// New series refused because a limit is reached.
    pub limited: u64,
    /// The first problem in words, for the answer to the sender; it names the series.
    pub problem: Option<String>,
    /// Indices of series that came with a key only, and whose key is not known: send them with labels.
    pub unknown: Vec<u32>,
}

impl Receipt {
    /// Whether anything of the batch was refused for good.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.out_of_order + self.conflicts + self.future + self.invalid > 0
    }

    /// What to look at where samples were refused because of their time.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        if self.future > 0 {
            Some(
                "the clock of whoever takes or sends them is ahead of this machine's: set both by NTP. Samples of the right \
                 time are taken at once",
            )
        } else if self.out_of_order + self.conflicts > 0 {
            Some(
                "values that are read again after a hard stop are known already and nothing is lost; else a clock was put back, or \
                 something else sends the same series",
            )
        } else {
            None
        }
    }
}

/// One row of the table of source kinds.
#[derive(Debug, Clone, Copy)]
pub struct SourceKind {
    /// The word after `type:`.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Own metrics of this kind.
    pub metrics: &'static [MetricDef],
    /// JSON schema of its config.
    pub schema: fn() -> Schema,
    /// Reads and checks a config item (without `type` and `name`).
    pub prepare: fn(serde_json::Value, &mut Problems) -> Option<Box<dyn Source>>,
}

impl SourceKind {
    /// The row of config type `C`.
    #[must_use]
    pub const fn of<C: SourceConfig>() -> Self {
        Self {
            name: C::KIND,
            summary: C::SUMMARY,
            metrics: C::METRICS,
            schema: || schema_for!(C),
            prepare: |value, problems| read::<C>(value, problems)?.prepare(problems),
        }
    }
}

/// Reads a config struct, noting the error at the item itself (finer places come from its schema).
pub(crate) fn read<C: DeserializeOwned>(value: serde_json::Value, problems: &mut Problems) -> Option<C> {
    problems.take("", serde_json::from_value(value))
}
