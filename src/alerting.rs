//! From verdicts to alerts.

pub mod episode;

pub use episode::{Change, Episode, Transition};
