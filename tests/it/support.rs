//! What tests share: processes, an HTTP client and server, a running Watchbell, made-up load.

pub(crate) mod alertmanager;
pub(crate) mod http;
pub(crate) mod icinga;
pub(crate) mod load;
pub(crate) mod nagios;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod prom_api;
pub(crate) mod prometheus;
pub(crate) mod server;
pub(crate) mod wait;
pub(crate) mod watchbell;
pub(crate) mod zabbix;
