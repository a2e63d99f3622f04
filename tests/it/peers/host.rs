//! This machine, with the config that is built in.

use std::time::Duration;

use tempfile::tempdir;

use crate::support::wait;
use crate::support::watchbell::{Watchbell, sum};

/// What every machine has, and what moves on every machine.
const CERTAIN: &[&str] = &["node_load1", "node_memory_MemAvailable_bytes", "node_context_switches_total"];

#[test]
fn without_a_config_this_machine_is_watched() {
    let folder = tempdir().expect("a folder");
    let service = Watchbell::start(&[], folder.path(), 0);
    let ready = |name: &str| sum(&service.get("/scores").text, "watchbell_series_ready", &[("metric", name)]);
    for name in CERTAIN {
        wait::until("the machine's series", || ready(name).ok_or_else(|| format!("no {name}")));
    }
    assert_eq!(service.metric("watchbell_source_up", &[("source", "host")]), 1.0);
    wait::within(Duration::from_secs(150), "scores after twenty readings", || {
        let waiting: Vec<_> = CERTAIN.iter().filter(|name| ready(name).is_none_or(|sum| sum < 1.0)).collect();
        wait::when(waiting.is_empty(), || format!("not ready: {waiting:?}"))
    });
    let page = service.get("/scores").text;
    assert!(CERTAIN.iter().all(|name| sum(&page, "watchbell_anomaly_score", &[("metric", name)]).is_some()), "{page}");
    assert!(sum(&page, "watchbell_host_series", &[]) >= Some(20.0), "{page}");
}
