//! Prometheus and its family, both directions: what is read from them and what is given to them.
//!
//! | module | kind in a config |
//! | --- | --- |
//! | [`exposition`] | sink `prometheus_exposition`: `GET /scores` |
//! | [`alertmanager`] | sink `alertmanager`: alerts sent to Alertmanager |
//! | [`naming`] | names and labels under which scores leave |

pub mod alertmanager;
pub mod exposition;
#[cfg(test)]
mod fake_scores;
pub mod naming;
mod retry_after;

use watchbell_adapter_api::SinkKind;

/// Kinds of sinks.
pub const SINKS: &[SinkKind] =
    &[SinkKind::of::<exposition::ExpositionConfig>(), SinkKind::of::<alertmanager::AlertmanagerConfig>()];
