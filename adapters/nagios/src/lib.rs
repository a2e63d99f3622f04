//! Nagios and its family, both directions: performance data and states are read from them, verdicts go back
//! as passive results.
//!
//! | module | kind in a config |
//! | --- | --- |
//! | [`perfdata`] | source `nagios_perfdata`: files, spool folders and pipes of performance data |
//! | [`status`] | source `nagios_status`: states, downtimes, acknowledgements from the status file |
//! | [`command_file`] | sink `nagios_command_file`: passive results through the external command pipe |
//! | [`check_results`] | sink `nagios_check_results`: passive results as files in the check-result spool |
//! | [`nrdp`] | sink `nagios_nrdp`: passive results posted to NRDP |
//! | [`nsca`] | sink `nagios_nsca`: passive results to the NSCA daemon |
//!
//! | module | holds |
//! | --- | --- |
//! | [`grammar`] | performance data as plugins print it |
//! | `intake` | from lines to judged samples |
//! | [`passive`] | what becomes a passive result, and when it is sent |

pub mod check_results;
pub mod command_file;
pub mod grammar;
mod intake;
pub mod nrdp;
pub mod nsca;
pub mod passive;
pub mod perfdata;
mod seldom;
pub mod status;
#[cfg(test)]
mod testing;

use watchbell_adapter_api::{SinkKind, SourceKind};

/// Kinds of sources.
pub const SOURCES: &[SourceKind] =
    &[SourceKind::of::<perfdata::PerfdataConfig>(), SourceKind::of::<status::StatusConfig>()];

/// Kinds of sinks.
pub const SINKS: &[SinkKind] = &[
    SinkKind::of::<command_file::CommandFileConfig>(),
    SinkKind::of::<check_results::CheckResultsConfig>(),
    SinkKind::of::<nrdp::NrdpConfig>(),
    SinkKind::of::<nsca::NscaConfig>(),
];
