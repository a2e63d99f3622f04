//! From verdicts to alerts.

pub mod episode;
pub mod lifecycle;
pub mod rules;

pub use episode::{Change, Episode, Transition};
