//! watchbell-adapter-api
