//! Foreign words to common words.

pub mod cadence;

pub use cadence::Cadence;
