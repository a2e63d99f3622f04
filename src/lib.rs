//! Watchbell: streaming anomaly detection beside Prometheus, Zabbix and Nagios.

pub mod alerting;
pub mod pipeline;
pub mod store;
