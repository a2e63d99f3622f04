//! Nagios and its family, both directions: performance data and states are read from them, verdicts go back
//! as passive results.
//!
//! | module | kind in a config |
//! | --- | --- |
//! | [`perfdata`] | source `nagios_perfdata`: files, spool folders and pipes of performance data |
//!
//! | module | holds |
//! | --- | --- |
//! | [`grammar`] | performance data as plugins print it |
//! | `intake` | from lines to judged samples |

pub mod grammar;
mod intake;
pub mod perfdata;
mod seldom;
#[cfg(test)]
mod testing;

use watchbell_adapter_api::SourceKind;

/// Kinds of sources.
pub const SOURCES: &[SourceKind] = &[SourceKind::of::<perfdata::PerfdataConfig>()];
