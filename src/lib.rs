//! Watchbell.
