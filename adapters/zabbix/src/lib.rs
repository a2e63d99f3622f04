//! Zabbix 5.0 to 7.4.
//!
//! | module | kind in a config |
//! | --- | --- |
//! | [`history`] | source `zabbix_history`: numeric items, polled; and the history of the same name |
//! | [`export`] | source `zabbix_export`: what Zabbix exports by itself, by files and connectors |
//! | [`problems`] | source `zabbix_problems`: problems, acknowledgements, limits of triggers |
//! | [`maintenance`] | source `zabbix_maintenance`: planned quiet |
//! | [`trapper`] | sink `zabbix_trapper`: verdicts by the sender protocol |
//! | [`push`] | sink `zabbix_push`: verdicts by `history.push` of the API |
//!
//! | module | holds |
//! | --- | --- |
//! | [`api`] | the JSON-RPC API of the frontend |
//! | [`key`] | keys of items, taken apart |
//! | [`select`] | which hosts and items are read |
//! | [`sender`] | the sender protocol of trapper ports |
//! | [`setup`] | what Zabbix needs so that verdicts can be sent to it |
//! | [`verdicts`] | what becomes a value of which item, and who takes it |

pub mod api;
pub mod export;
mod expression;
mod feed;
pub mod history;
mod item;
pub mod key;
mod macros;
pub mod maintenance;
mod number;
mod pattern;
pub mod problems;
pub mod push;
pub mod select;
pub mod sender;
pub mod setup;
#[cfg(test)]
mod testing;
pub mod trapper;
pub mod verdicts;
#[cfg(test)]
mod versions;
mod watch;

use watchbell_adapter_api::{HistoryKind, SinkKind, SourceKind};

/// Kinds of sources.
pub const SOURCES: &[SourceKind] = &[
    SourceKind::of::<history::HistoryConfig>(),
    SourceKind::of::<export::ExportConfig>(),
    SourceKind::of::<problems::ProblemsConfig>(),
    SourceKind::of::<maintenance::MaintenanceConfig>(),
];

/// Kinds of sinks.
pub const SINKS: &[SinkKind] = &[SinkKind::of::<trapper::TrapperConfig>(), SinkKind::of::<push::PushConfig>()];

/// Kinds of history.
pub const HISTORIES: &[HistoryKind] = &[HistoryKind::of::<history::PastConfig>()];
