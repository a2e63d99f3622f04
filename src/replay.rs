//! A user's own history through the stages of `run`: which alerts would have fired.
//!
//! Normalising, judging and alerting are those of the service, on one thread and under a clock that follows the
//! samples. Nothing is delivered or stored.
//!
//! | module | holds |
//! | --- | --- |
//! | [`feed`] | samples of all series, stretch by stretch of time |
//! | [`csv`], [`history`] | the places they come from |
//! | [`stages`] | the shard and the book of alerts |
//! | [`player`] | the samples in order of time, the clock, what is found |
//! | [`findings`] | the alerts, counted by rule, host and series |
//! | [`output`] | tables, files and a page |

pub mod csv;
pub mod feed;
pub mod findings;
pub mod history;
pub mod output;
pub mod player;
pub mod stages;
