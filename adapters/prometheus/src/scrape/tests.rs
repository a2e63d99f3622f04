//! The scrape against a small server on the loopback: what a target can do, good and bad.

mod bad_targets;
mod pages;
mod settings;
mod support;
mod targets;
