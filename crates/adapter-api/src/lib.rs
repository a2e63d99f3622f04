//! The contract between the service and its adapters.
//!
//! An adapter is one crate per monitoring system with its sources and sinks. What the user writes becomes
//! a *config* (a serde struct), is checked into a *prepared* source or sink without touching anything, and
//! only then runs. The service hands it a context; an adapter reaches nothing else.
//!
//! | module | holds |
//! | --- | --- |
//! | [`source`] | sources: config, prepared, context, the ingest handle and its receipt |
//! | [`context`] | what a source knows beside samples: limits, planned quiet, problems |
//! | [`sink`] | score sinks, alert sinks, and the view of scores they read |
//! | [`history`] | reading history back, for warm start and catching up |
//! | [`problem`] | what is wrong in a config, with its place and a hint |
//! | [`metrics`] | own metrics: definitions in tables, handles made once |
//! | [`http`] | HTTP client settings shared by all adapters: TLS, basic and bearer auth |
//! | [`secret`] | secrets that never show |
//! | [`duration`] | durations as Prometheus writes them, `15s`, `5m` |
//! | [`follow`] | a file that grows and is rotated, read from where reading stood |
//! | [`guard`] | who may push to a source |
//! | [`health`] | what of a source or sink fails, since when and why |
//! | [`seldom`] | saying the same thing once in a while only |
//! | [`runtime`] | clock and shutdown as adapters see them |

pub mod context;
pub mod duration;
pub mod follow;
pub mod guard;
pub mod health;
pub mod history;
pub mod http;
pub mod metrics;
pub mod problem;
pub mod runtime;
pub mod secret;
pub mod seldom;
pub mod sink;
pub mod source;

pub use context::ContextSink;
pub use duration::Span;
pub use health::{Failures, Health};
pub use history::{History, HistoryConfig, HistoryContext, HistoryDone, HistoryError, HistoryKind, HistoryRequest};
pub use http::{HttpClient, HttpClientConfig};
pub use metrics::{MetricDef, MetricKindDef, Metrics};
pub use problem::{Problem, Problems};
pub use runtime::{Clock, Shutdown};
pub use secret::Secret;
pub use sink::{
    AlertSink, Contributor, Cursor, DeliveryError, HostParts, HostReading, Prepared, ScorePage, ScoreQuery, ScoreRow,
    ScoreSink, Scores, SinkConfig, SinkContext, SinkKind, ToldName,
};
pub use source::{
    Ingest, IngestError, Receipt, Resource, Source, SourceConfig, SourceContext, SourceError, SourceKind,
};

/// A boxed future that can cross threads.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
