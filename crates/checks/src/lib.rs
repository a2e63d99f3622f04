//! What the Nagios family has in common: plugins check hosts and services, print performance data, and
//! monitoring keeps their states and takes passive results.
//!
//! Nagios and Icinga 2 differ in how they are reached, which their adapters know; what is said is the same and
//! is here, so that one plugin gives the same series whichever of them runs it.
//!
//! | module | holds |
//! | --- | --- |
//! | [`grammar`] | performance data as plugins print it |
//! | [`feed`] | from performance data to series |
//! | [`state`] | states, downtimes and acknowledgements of hosts and services, to series and context |
//! | [`intake`] | from batches to judged samples, counting and naming what is bad |
//! | [`limits`] | thresholds of performance data as known limits |
//! | [`passive`] | what becomes a passive result, and when it is sent |

pub mod feed;
pub mod grammar;
pub mod intake;
pub mod limits;
pub mod passive;
pub mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
