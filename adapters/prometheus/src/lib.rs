//! Prometheus and what speaks its protocols: sources and sinks.
//!
//! | module | holds |
//! | --- | --- |
//! | [`relabel`] | relabelling rules, as Prometheus has them |
//! | [`text`] | reader of the text format 0.0.4 and of OpenMetrics 1.0 |

pub mod relabel;
pub mod text;
