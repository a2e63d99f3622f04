//! The stages and what links them.

pub mod outbox;
