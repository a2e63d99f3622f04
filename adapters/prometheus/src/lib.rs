//! watchbell-prometheus

use watchbell_adapter_api::{HistoryKind, SinkKind, SourceKind};

/// Sources of this adapter.
pub const SOURCES: &[SourceKind] = &[];
/// Sinks of this adapter.
pub const SINKS: &[SinkKind] = &[];
/// Ways to read history of this adapter.
pub const HISTORIES: &[HistoryKind] = &[];
