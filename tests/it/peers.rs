//! Against the real systems: a file of the name of each adapter.

mod context;
mod host;
pub(crate) mod icinga;
mod nagios;
mod newer;
mod prometheus;
mod three_tools;
pub(crate) mod zabbix;
mod zabbix_many;
pub(crate) mod zabbix_out;
pub(crate) mod zabbix_rights;
pub(crate) mod zabbix_select;
