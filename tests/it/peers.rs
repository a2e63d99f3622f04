//! Against the real systems: a file of the name of each adapter.

mod context;
mod host;
pub(crate) mod icinga;
mod nagios;
mod prometheus;
