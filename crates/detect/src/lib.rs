//! Judges samples: each one as it arrives, with constant work and memory per series and no training runs.
//!
//! One [`Judge`] holds the learned state of one shard's series. Samples come in from `normalize`, verdicts
//! go out to alerting, and [`Judge::reading`] serves the latest score of a series to whoever asks.
//! Nothing here reads a clock, a file or a socket: time is a parameter, so that a replay of the same
//! samples gives the same scores to the bit. The score of a sample depends on that sample and earlier
//! ones of its series only, and is never changed afterwards.
//!
//! | module | holds |
//! | --- | --- |
//! | [`judge`] | the shard's judge: slots, rules, verdicts, what is overdue |
//! | [`table`] | the detectors, one row each: a new detector is a file, a `mod` line and a row there |
//! | [`single`] | the detector of single series, step by step |
//! | `explain` | why a verdict says what it says, and what a series remembers of its alarms |
//! | [`calibrate`] | from a budget of alerts to the edge of alerts, by improbability and by what happened |
//! | [`entity`] | counts per host and the host's score |
//! | [`joint`] | joint detection of one host: all its series together |
//! | [`peers`] | a series against the same series of its group |
//! | [`ensemble`] | several verdicts on one thing as one score |
//! | [`civil`] | local civil time, for profiles of the day and the week |
//! | [`checkpoint`] | the learned state as bytes and back |

pub mod calibrate;
pub mod checkpoint;
pub mod civil;
pub mod ensemble;
pub mod entity;
mod explain;
pub mod joint;
pub mod judge;
mod math;
mod paged;
pub mod peers;
mod rules;
pub mod single;
pub mod table;

pub use checkpoint::StateError;
pub use civil::CivilTime;
pub use entity::{EntityCount, host_score};
pub use joint::{ChannelTick, HostVerdict, JointConfig, JointHost, JointStateError, Method, Methods, Parts};
pub use judge::{Cap, Donor, Insight, Judge, JudgeConfig, QuietSpan, Seeded, SlotTick, Warming};
pub use table::{DETECTORS, DetectorInfo};
