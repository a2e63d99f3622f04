//! Watchbell judges every sample of your monitoring by machine learning as it arrives.

pub mod config;
pub mod registry;
