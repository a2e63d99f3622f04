//! What the service tells of itself: own metrics and log lines.
//!
//! | module | holds |
//! | --- | --- |
//! | [`metrics`] | the table of the service's own metrics, and all tables together |
//! | [`process`] | processor time, memory and open files of this process |
//! | [`logging`] | log lines on standard error |

pub mod logging;
pub mod metrics;
pub mod process;
