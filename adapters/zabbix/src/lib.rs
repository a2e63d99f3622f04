//! Zabbix 5.0 to 7.4.
//!
//! | module | holds |
//! | --- | --- |
//! | [`api`] | the JSON-RPC API of the frontend |
//! | [`sender`] | the sender protocol of trapper ports |
//! | [`setup`] | what Zabbix needs so that verdicts can be sent to it |
//! | [`verdicts`] | what becomes a value of which item, and who takes it |
//!
//! | module | kind in a config |
//! | --- | --- |
//! | [`trapper`] | sink `zabbix_trapper`: verdicts by the sender protocol |
//! | [`push`] | sink `zabbix_push`: verdicts by `history.push` of the API |

pub mod api;
pub mod push;
pub mod sender;
pub mod setup;
pub mod trapper;
pub mod verdicts;

use watchbell_adapter_api::{HistoryKind, SinkKind, SourceKind};

/// Kinds of sources.
pub const SOURCES: &[SourceKind] = &[];

/// Kinds of sinks.
pub const SINKS: &[SinkKind] = &[SinkKind::of::<trapper::TrapperConfig>(), SinkKind::of::<push::PushConfig>()];

/// Kinds of history.
pub const HISTORIES: &[HistoryKind] = &[];
