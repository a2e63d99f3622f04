//! watchbell-host

use watchbell_adapter_api::SourceKind;

/// The source kinds of this adapter.
pub const SOURCES: &[SourceKind] = &[];
