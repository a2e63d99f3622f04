//! Watchbell.

pub mod cli;
