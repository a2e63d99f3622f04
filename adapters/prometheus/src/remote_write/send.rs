//! One sender: takes batches from its queue and posts them, one request at a time, until each is taken,
//! refused, or has been tried for too long.
//!
//! Protocol: Prometheus remote write 1.0. Network errors, 5xx and 429 are tried again, after the time the
//! receiver asks for or a growing wait; any other answer of 4xx means that it will never take the batch.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Counter, Gauge, Histogram};
use watchbell_adapter_api::{Clock, DeliveryError, Health, HttpClient};

use super::queue::Queue;
use super::request::Batch;
use crate::peer::{Address, post};

const FIRST_WAIT: Duration = Duration::from_millis(30);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Own metrics of all senders of a sink.
#[derive(Clone)]
pub(super) struct Counters {
    pub(super) sent: Counter,
    pub(super) refused: Counter,
    pub(super) gave_up: Counter,
    pub(super) queue_full: Counter,
    pub(super) shutdown: Counter,
    pub(super) retries: Counter,
    pub(super) pending: Gauge,
    pub(super) request_seconds: Histogram,
    pub(super) health: Health,
}

pub(super) struct Sender {
    pub(super) queue: Arc<Queue>,
    pub(super) client: HttpClient,
    pub(super) address: Address,
    /// What names the receiver in messages.
    pub(super) who: String,
    /// How long one batch is tried.
    pub(super) retry_for: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) counters: Counters,
}

impl Sender {
    /// Sends until the queue is closed and empty.
    pub(super) async fn run(self) {
        let mut failing = false;
        while let Some(batch) = self.queue.pop().await {
            self.send(&batch, &mut failing).await;
            self.counters.pending.sub(batch.samples as f64);
        }
    }

    async fn send(&self, batch: &Batch, failing: &mut bool) {
        let (started, mut wait) = (self.clock.now_ms(), FIRST_WAIT);
        for attempt in 0u32.. {
            let (message, after) = match self.post(batch, attempt).await {
                Ok(()) => {
                    self.counters.health.well(&self.who);
                    if std::mem::take(failing) {
                        tracing::info!("{} takes scores again", self.who);
                    }
                    return self.counters.sent.inc_by(batch.samples as f64);
                }
                Err(DeliveryError::Rejected(message)) => {
                    self.counters.health.failing(&self.who, &message, self.clock.now_ms());
                    tracing::warn!(samples = batch.samples, "scores dropped: {message}");
                    return self.counters.refused.inc_by(batch.samples as f64);
                }
                Err(DeliveryError::Retry { message, after }) => (message, after),
            };
            self.counters.health.failing(&self.who, &message, self.clock.now_ms());
            // Told once, not for every batch of an outage.
            if !std::mem::replace(failing, true) {
                tracing::warn!("sending scores fails and is tried again: {message}");
            }
            if self.clock.now_ms().saturating_sub(started) >= self.retry_for.as_millis() as i64 {
                tracing::warn!(samples = batch.samples, "scores dropped after many tries: {message}");
                return self.counters.gave_up.inc_by(batch.samples as f64);
            }
            self.counters.retries.inc();
            tokio::time::sleep(after.unwrap_or(wait)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn post(&self, batch: &Batch, attempt: u32) -> Result<(), DeliveryError> {
        let attempt = attempt.to_string();
        let headers = [
            ("content-type", "application/x-protobuf"),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", "0.1.0"),
            ("retry-attempt", attempt.as_str()),
        ];
        // Prometheus sends the number of the attempt with retries only.
        let headers = if attempt == "0" { &headers[..3] } else { &headers[..] };
        let before = self.clock.now_ms();
        let result = post(&self.client, &self.address, headers, batch.body.clone(), &self.who).await;
        let took = self.clock.now_ms().saturating_sub(before).max(0);
        self.counters.request_seconds.observe(took as f64 / 1_000.0);
        result
    }
}
