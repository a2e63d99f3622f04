//! The command line.

pub mod score;
