//! watchbell-prometheus
