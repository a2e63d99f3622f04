//! The one integration binary: the built `watchbell` as a process, with real systems around it.
//!
//! `peers/` runs against what users run (Prometheus, node_exporter, vmagent, Alertmanager, this machine);
//! the other modules each hold one promise: surviving a kill, reloading, bad input, the command line. Every
//! process is started by a test on a port of its own, with a folder of its own, and killed by the end of it.
//! Peers are Debian packages that `make test` installs; tests under `peers/newer/` need more and are ignored
//! unless `make test-all` runs them.

mod bad_input;
mod bench;
mod cli;
mod context;
mod crash;
mod explain;
mod hosts;
mod names;
mod outage;
mod page;
mod peers;
mod reload;
mod replay;
mod score;
mod support;
mod teach;
