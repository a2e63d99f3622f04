//! watchbell-detect
