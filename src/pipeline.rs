//! The stages between adapters, and the service that runs them.
//!
//! | module | holds |
//! | --- | --- |
//! | [`shard`], [`handle`] | the threads that own normalised and judged state |
//! | [`arrivals`] | senders that are away or behind, told apart from series that are missing |
//! | [`hosts`] | which names of all sources mean the same host |
//! | [`ingest`] | the way in: a batch is split over the shards |
//! | [`scores`] | the way out for scores, page by page |
//! | [`tick`] | what series of several shards say together: hosts, peers |
//! | [`alerts`] | the task of the alerting stage |
//! | [`outbox`] | a queue for each alert sink |
//! | [`sweep`], `source_watch` | what happens because time passes; what each source holds |
//! | [`checkpoint`], [`segment`], [`record`], `reshard` | what survives a crash, and a change of `shards` |
//! | [`warm`] | history read back |
//! | [`insight`], [`explain`] | one series looked at closely, and why it does not alert |
//! | [`rehearsal`] | the stages on one thread, in a time that is told |
//! | [`supervise`] | sources and sinks as tasks |
//! | [`service`] | start, reload and end of all this |
//! | [`rules`], [`civil`] | tables made from the settings |

pub mod alerts;
pub mod arrivals;
pub mod checkpoint;
pub mod civil;
pub mod explain;
pub mod handle;
pub mod hosts;
pub mod ingest;
pub mod insight;
pub mod outbox;
pub mod record;
pub mod rehearsal;
mod reshard;
pub mod rules;
pub mod scores;
pub mod segment;
pub mod service;
pub mod shard;
mod source_watch;
pub mod strikes;
pub mod supervise;
pub mod sweep;
pub mod tick;
pub mod warm;
