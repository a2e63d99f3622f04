//! Nagios and its family, both directions: performance data and states are read from them, verdicts go back
//! as passive results.
//!
//! | module | kind in a config |
//! | --- | --- |
//! | [`perfdata`] | source `nagios_perfdata`: files, spool folders and pipes of performance data |
//! | [`status`] | source `nagios_status`: states, downtimes, acknowledgements from the status file |
//! | [`livestatus`] | source `nagios_livestatus`: the same by queries |
//! | [`command_file`] | sink `nagios_command_file`: passive results through the external command pipe |
//! | [`check_results`] | sink `nagios_check_results`: passive results as files in the check-result spool |
//! | [`nrdp`] | sink `nagios_nrdp`: passive results posted to NRDP |
//! | [`nsca`] | sink `nagios_nsca`: passive results to the NSCA daemon |
//!
//! What performance data and states mean, and what becomes a result, is in [`watchbell_checks`], which Icinga 2
//! shares.

pub mod check_results;
pub mod command_file;
pub mod livestatus;
pub mod nrdp;
pub mod nsca;
pub mod perfdata;
pub mod status;

use watchbell_adapter_api::{SinkKind, SourceKind};

/// Kinds of sources.
pub const SOURCES: &[SourceKind] = &[
    SourceKind::of::<perfdata::PerfdataConfig>(),
    SourceKind::of::<status::StatusConfig>(),
    SourceKind::of::<livestatus::LivestatusConfig>(),
];

/// Kinds of sinks.
pub const SINKS: &[SinkKind] = &[
    SinkKind::of::<command_file::CommandFileConfig>(),
    SinkKind::of::<check_results::CheckResultsConfig>(),
    SinkKind::of::<nrdp::NrdpConfig>(),
    SinkKind::of::<nsca::NscaConfig>(),
];
