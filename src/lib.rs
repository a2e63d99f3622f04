//! Watchbell judges every sample of your monitoring by machine learning as it arrives.
//!
//! This crate is the service: it reads the config, runs sources, judges, alerts and sinks, and has the
//! command line. What a monitoring system speaks is known in `adapters/`, how a series is judged in
//! `crates/detect`.

pub mod alerting;
pub mod api;
pub mod bench;
pub mod cli;
pub mod clock;
pub mod config;
pub mod context;
pub mod demo;
pub mod offline;
pub mod pipeline;
pub mod registry;
pub mod replay;
pub mod report;
pub mod store;
pub mod telemetry;
pub mod words;
