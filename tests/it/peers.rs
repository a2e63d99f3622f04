//! Against the real systems: a file of the name of each adapter.

mod host;
mod nagios;
mod prometheus;
mod zabbix;
mod zabbix_out;
