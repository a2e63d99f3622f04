//! Prometheus and its family, both directions: what is read from them and what is given to them.
//!
//! | module | kind in a config |
//! | --- | --- |
//! | [`exposition`] | sink `prometheus_exposition`: `GET /scores` |
//! | [`remote_write`] | sink `prometheus_remote_write`: scores sent to a receiver |
//! | [`alertmanager`] | sink `alertmanager`: alerts sent to Alertmanager |
//! | [`naming`] | names and labels under which scores leave |

pub mod alertmanager;
pub mod exposition;
#[cfg(test)]
mod fake_scores;
pub mod naming;
mod peer;
pub mod remote_write;

use watchbell_adapter_api::SinkKind;

/// Kinds of sinks.
pub const SINKS: &[SinkKind] = &[
    SinkKind::of::<exposition::ExpositionConfig>(),
    SinkKind::of::<remote_write::RemoteWriteConfig>(),
    SinkKind::of::<alertmanager::AlertmanagerConfig>(),
];
