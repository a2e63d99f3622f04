//! watchbell-host
