//! Alerts on their way to sinks: one queue and one task for each instance of a sink.
//!
//! The alerting stage hands over alerts as they fire and resolve; [`Outbox::send`] never waits. Each lane
//! delivers in batches, tries again with growing pauses, and sends the firing alerts again and again where
//! its sink asks for that. A jam in one lane never delays another. What is still waiting when the service
//! stops gets a last chance in [`Outbox::finish`]; what fires then is sent again after the restart, because
//! the alerting stage restores it from the journal.

mod lane;
mod mailbox;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use watchbell_adapter_api::{AlertSink, Clock, Failures, MetricDef, MetricKindDef, Metrics, Shutdown};
use watchbell_series::Alert;

use crate::telemetry::metrics::COMPONENT_FAILING;
use lane::Lane;

/// Alerts that one lane holds; beyond that the oldest is dropped and counted.
pub const CAPACITY: usize = 10_000;

/// Own metrics of this stage.
pub const METRICS: &[MetricDef] = &[QUEUE_LENGTH, FAILURES, DROPPED];

/// Alerts that wait.
pub const QUEUE_LENGTH: MetricDef = MetricDef {
    name: "watchbell_sink_queue_length",
    kind: MetricKindDef::Gauge,
    help: "Alerts that wait to be delivered by this sink.",
    labels: &["sink"],
};

/// Deliveries that failed.
pub const FAILURES: MetricDef = MetricDef {
    name: "watchbell_sink_failures_total",
    kind: MetricKindDef::Counter,
    help: "Deliveries by this sink that failed; most are tried again.",
    labels: &["sink"],
};

/// Alerts that were dropped.
pub const DROPPED: MetricDef = MetricDef {
    name: "watchbell_sink_dropped_total",
    kind: MetricKindDef::Counter,
    help: "Alerts that this sink never delivered: the queue was full, the peer refused them, or the service stopped.",
    labels: &["sink"],
};

/// All lanes.
pub struct Outbox {
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    failures: Failures,
    lanes: BTreeMap<String, Running>,
}

struct Running {
    sink: String,
    lane: Arc<Lane>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lanes.keys()).finish()
    }
}

impl Outbox {
    /// Without any lane.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, metrics: Metrics, failures: Failures) -> Self {
        Self { clock, metrics, failures, lanes: BTreeMap::new() }
    }

    /// Starts the lanes of the sink called `name`, one for each of its instances. Hand it the alerts that
    /// fire already with [`Outbox::send_to`]. Needs a tokio runtime.
    pub fn add(&mut self, name: &str, instances: Vec<Arc<dyn AlertSink>>) {
        let health = self.failures.component(name);
        let several = instances.len() > 1;
        for sink in instances {
            let key = if several { format!("{name}:{}", sink.instance()) } else { name.to_owned() };
            let lane = Arc::new(Lane::new(&key, &*sink, &self.metrics, health.clone()));
            let (stop, shutdown) = Shutdown::channel();
            let task = tokio::spawn(Arc::clone(&lane).run(sink, Arc::clone(&self.clock), shutdown));
            self.lanes.insert(key, Running { sink: name.to_owned(), lane, stop, task });
        }
    }

    /// Stops the lanes of the sink called `name`, as [`Outbox::finish`] does.
    pub async fn remove(&mut self, name: &str, within: Duration) {
        let keys: Vec<String> =
            self.lanes.iter().filter(|(_, running)| running.sink == name).map(|(key, _)| key.clone()).collect();
        let gone: Vec<Running> = keys.iter().filter_map(|key| self.lanes.remove(key)).collect();
        stop(gone, within).await;
        self.failures.forget(name);
        self.metrics.forget(&COMPONENT_FAILING, &[name]);
        for key in &keys {
            for def in [&QUEUE_LENGTH, &FAILURES, &DROPPED] {
                self.metrics.forget(def, &[key]);
            }
        }
    }

    /// Hands `alerts` to every lane. Of one alert only the newest state is kept.
    pub fn send(&self, alerts: &[Alert]) {
        self.lanes.values().for_each(|running| running.lane.offer(alerts));
    }

    /// Hands `alerts` to the lanes of the sink called `name` only.
    pub fn send_to(&self, name: &str, alerts: &[Alert]) {
        self.lanes.values().filter(|running| running.sink == name).for_each(|running| running.lane.offer(alerts));
    }

    /// Delivers what waits and stops; what is left after `within` is dropped and counted.
    pub async fn finish(&mut self, within: Duration) {
        stop(std::mem::take(&mut self.lanes).into_values().collect(), within).await;
    }
}

/// Stops lanes, all at once, each with `within` to deliver what waits.
async fn stop(lanes: Vec<Running>, within: Duration) {
    for running in &lanes {
        // A lane that is gone needs no stopping.
        let _ = running.stop.send(true);
    }
    let all = lanes.into_iter().map(|Running { lane, mut task, .. }| async move {
        if tokio::time::timeout(within, &mut task).await.is_err() {
            task.abort();
            lane.give_up();
        }
    });
    futures_util::future::join_all(all).await;
}

#[cfg(test)]
mod tests;
