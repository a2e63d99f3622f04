//! Watchbell judges every sample of your monitoring by machine learning as it arrives.

pub mod alerting;
pub mod cli;
pub mod config;
pub mod registry;
pub mod store;
