//! What other tools already know: limits people set, planned quiet, problems.
//!
//! It is one more input beside samples. Sources tell it to the [`Board`]; whoever works with it is woken and reads
//! from there, and nothing flows back to a source.

pub mod board;

pub use board::Board;
