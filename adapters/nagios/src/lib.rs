//! Nagios and what speaks its words.
pub mod grammar;
