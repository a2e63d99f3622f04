//! Against the real systems: a file of the name of each adapter.

mod context;
mod host;
mod nagios;
mod prometheus;
