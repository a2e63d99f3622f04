//! Peers that fail for a while: what is owed to them arrives once they are back, and judging never waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::load;
use crate::support::server::Server;
use crate::support::wait;
use crate::support::watchbell::Home;

/// An Alertmanager that answers 500 so many times, then takes what comes.
#[derive(Debug, Default)]
struct Moody {
    refusals: AtomicU64,
    taken: Mutex<Vec<Value>>,
}

impl Moody {
    async fn alerts(State(this): State<Arc<Self>>, body: String) -> StatusCode {
        let left = this.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() {
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
        let alerts: Vec<Value> = serde_json::from_str(&body).expect("an array of alerts");
        this.taken.lock().unwrap_or_else(PoisonError::into_inner).extend(alerts);
        StatusCode::OK
    }
}

#[test]
fn an_alert_outlives_the_outage_of_its_receiver() {
    let moody = Arc::new(Moody { refusals: AtomicU64::new(3), ..Moody::default() });
    let server =
        Server::start(Router::new().route("/api/v2/alerts", post(Moody::alerts)).with_state(Arc::clone(&moody)));
    let service = Home::new(&format!(
        "sources: [{{type: prometheus_remote_write_in}}]\ndetect: {{warmup: 10s}}\n\
         sinks: [{{type: prometheus_exposition}}, {{type: alertmanager, name: am, urls: ['{}']}}]\n",
        server.url("")
    ))
    .start();
    for batch in load::fleet(1, SystemClock.now_ms() + 60_000, 240) {
        assert_eq!(service.write(&batch).status, 204);
    }
    let scores = service.scores();
    let alert = wait::until("the alert after three refusals", || {
        let taken = moody.taken.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let found = taken.iter().find(|alert| alert["labels"]["metric"] == "it_queue_length");
        found.cloned().ok_or_else(|| format!("{taken:?}"))
    });
    assert_eq!(moody.refusals.load(Ordering::SeqCst), 0);
    assert_eq!(alert["labels"]["alertname"], "MetricAnomalous");
    assert!(service.metric("watchbell_sink_failures_total", &[("sink", "am")]) >= 3.0);
    assert_eq!(service.metric("watchbell_sink_dropped_total", &[("sink", "am")]), 0.0);
    service.metric_until("watchbell_sink_queue_length", &[("sink", "am")], |length| length == 0.0);
    assert_eq!(service.scores(), scores, "judging never heard of it");
}
