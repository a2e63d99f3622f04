//! Prometheus and what speaks its protocols: sources and sinks.
//!
//! | module | holds |
//! | --- | --- |
//! | [`proto`] | the messages of remote write 1.0 and 2.0, decoded |
//! | [`query`] | source and history: PromQL expressions, the past |
//! | [`remote_write_in`] | source: the remote-write receiver |

pub mod proto;
pub mod query;
pub mod remote_write_in;
