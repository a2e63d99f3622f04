//! Prometheus and its family, both directions: what is read from them and what is given to them.
//!
//! | module | kind in a config |
//! | --- | --- |
//! | [`remote_write_in`] | source `prometheus_remote_write_in`: the receiver at `POST /api/v1/write` |
//! | [`scrape`] | source `prometheus_scrape`: targets that are asked for their metrics page |
//! | [`query`] | source and history `prometheus_query`: PromQL expressions, the past |
//! | [`rules`] | source `prometheus_rules`: alert rules as known limits |
//! | [`alertmanager_silences`] | source `alertmanager_silences`: silences as quiet windows |
//! | [`exposition`] | sink `prometheus_exposition`: `GET /scores` |
//! | [`remote_write`] | sink `prometheus_remote_write`: scores sent to a receiver |
//! | [`alertmanager`] | sink `alertmanager`: alerts sent to Alertmanager |
//!
//! | module | holds |
//! | --- | --- |
//! | [`proto`] | the messages of remote write 1.0 and 2.0, decoded |
//! | [`text`] | reader of the text format 0.0.4 and of OpenMetrics 1.0 |
//! | [`discovery`] | where the addresses of targets come from |
//! | [`relabel`] | relabelling rules, as Prometheus has them |
//! | [`naming`] | names and labels under which scores leave |

pub mod alertmanager;
pub mod alertmanager_silences;
pub mod discovery;
pub mod exposition;
#[cfg(test)]
mod fake_scores;
pub mod naming;
mod peer;
pub mod proto;
pub mod query;
pub mod relabel;
pub mod remote_write;
pub mod remote_write_in;
pub mod rules;
pub mod scrape;
pub mod text;

use watchbell_adapter_api::{HistoryKind, SinkKind, SourceKind};

/// Kinds of sources.
pub const SOURCES: &[SourceKind] = &[
    SourceKind::of::<remote_write_in::RemoteWriteInConfig>(),
    SourceKind::of::<scrape::ScrapeConfig>(),
    SourceKind::of::<query::QueryConfig>(),
    SourceKind::of::<rules::RulesConfig>(),
    SourceKind::of::<alertmanager_silences::AlertmanagerSilencesConfig>(),
];

/// Kinds of sinks.
pub const SINKS: &[SinkKind] = &[
    SinkKind::of::<exposition::ExpositionConfig>(),
    SinkKind::of::<remote_write::RemoteWriteConfig>(),
    SinkKind::of::<alertmanager::AlertmanagerConfig>(),
];

/// Kinds of history.
pub const HISTORIES: &[HistoryKind] = &[HistoryKind::of::<query::QueryHistoryConfig>()];
