//! Prometheus and what speaks its protocols: sources and sinks.
//!
//! | module | holds |
//! | --- | --- |
//! | [`proto`] | the messages of remote write 1.0 and 2.0, decoded |
//! | [`remote_write_in`] | source: the remote-write receiver |

pub mod proto;
pub mod remote_write_in;
//! | [`relabel`] | relabelling rules, as Prometheus has them |
//! | [`text`] | reader of the text format 0.0.4 and of OpenMetrics 1.0 |

pub mod relabel;
pub mod text;
