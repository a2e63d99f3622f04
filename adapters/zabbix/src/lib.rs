//! Zabbix 5.0 to 7.4.
//!
//! | module | holds |
//! | --- | --- |
//! | [`api`] | the JSON-RPC API of the frontend |

pub mod api;

use watchbell_adapter_api::{HistoryKind, SinkKind, SourceKind};

/// Kinds of sources.
pub const SOURCES: &[SourceKind] = &[];

/// Kinds of sinks.
pub const SINKS: &[SinkKind] = &[];

/// Kinds of history.
pub const HISTORIES: &[HistoryKind] = &[];
