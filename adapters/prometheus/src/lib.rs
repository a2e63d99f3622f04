//! Prometheus and what speaks its protocols: sources and sinks.
//!
//! | module | holds |
//! | --- | --- |
//! | [`discovery`] | where the addresses of targets come from |
//! | [`relabel`] | relabelling rules, as Prometheus has them |
//! | [`scrape`] | source: targets that are asked for their metrics page |
//! | [`text`] | reader of the text format 0.0.4 and of OpenMetrics 1.0 |

pub mod discovery;
pub mod relabel;
pub mod scrape;
pub mod text;

use watchbell_adapter_api::SourceKind;

/// Kinds of sources of this crate.
pub const SOURCES: &[SourceKind] = &[SourceKind::of::<scrape::ScrapeConfig>()];
