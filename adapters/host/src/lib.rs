//! The machine Watchbell runs on, as a source: CPU, load, memory, disks, file systems and network under
//! the names and labels of node_exporter, so that rules and dashboards made for it apply unchanged.
//!
//! Nothing has to be installed beside it. On Linux the numbers come from `/proc`, elsewhere from what
//! `sysinfo` knows; a value that the system does not tell is absent, never zero.
//!
//! | module | holds |
//! | --- | --- |
//! | [`host`] | source `host`: config and the loop that reads every interval |
//! | `page` | the readings of one moment, as labelled values |
//! | `known` | what was there last time, so that what is gone is ended with a stale marker |
//! | `linux` | readings from `/proc`, one file a group |
//! | `portable` | readings by `sysinfo`, for every other system |

pub mod host;
mod known;
#[cfg(target_os = "linux")]
mod linux;
mod page;
#[cfg(any(test, not(target_os = "linux")))]
mod portable;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use portable as platform;

use watchbell_adapter_api::SourceKind;

/// The source kinds of this adapter.
pub const SOURCES: &[SourceKind] = &[SourceKind::of::<host::HostConfig>()];
