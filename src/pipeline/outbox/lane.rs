//! One lane: a mailbox, and the task that empties it through one sink.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use prometheus::{Counter, Gauge};
use tokio::sync::Notify;
use watchbell_adapter_api::{AlertSink, Clock, DeliveryError, Health, Metrics, Shutdown};
use watchbell_series::Alert;

use super::mailbox::Mailbox;
use super::{CAPACITY, DROPPED, FAILURES, QUEUE_LENGTH};

/// First pause after a failure; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause that a peer may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(300);
/// A delivery that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often a lane with nothing to do looks at the clock, which may have been set.
const LOOK: Duration = Duration::from_secs(10);

/// One lane. Shared by its task and by whoever hands alerts over.
#[derive(Debug)]
pub(super) struct Lane {
    key: String,
    mailbox: Mutex<Mailbox>,
    wake: Notify,
    waiting: Gauge,
    failures: Counter,
    dropped: Counter,
    health: Health,
}

impl Lane {
    pub(super) fn new(key: &str, sink: &dyn AlertSink, metrics: &Metrics, health: Health) -> Self {
        let resend_ms = sink.resend().map(|resend| i64::try_from(resend.as_millis()).unwrap_or(i64::MAX / 8).max(1));
        Self {
            key: key.to_owned(),
            mailbox: Mutex::new(Mailbox::new(CAPACITY, resend_ms)),
            wake: Notify::new(),
            waiting: metrics.gauge(&QUEUE_LENGTH, &[key]),
            failures: metrics.counter(&FAILURES, &[key]),
            dropped: metrics.counter(&DROPPED, &[key]),
            health,
        }
    }

    /// Takes alerts; never waits for the sink.
    pub(super) fn offer(&self, alerts: &[Alert]) {
        if alerts.is_empty() {
            return;
        }
        let lost: usize = {
            let mut mailbox = self.mailbox();
            let lost = alerts.iter().map(|alert| mailbox.offer(alert)).sum();
            self.waiting.set(mailbox.waiting() as f64);
            lost
        };
        if lost > 0 {
            self.dropped.inc_by(lost as f64);
            tracing::error!(sink = self.key, lost, "queue of alerts is full, the oldest are dropped");
        }
        self.wake.notify_one();
    }

    /// Counts what waits as lost.
    pub(super) fn give_up(&self) {
        let lost = self.mailbox().waiting();
        if lost > 0 {
            self.dropped.inc_by(lost as f64);
            tracing::error!(sink = self.key, lost, "stopped before these alerts were delivered");
        }
    }

    /// Delivers until it is told to stop, and then until nothing waits.
    pub(super) async fn run(self: Arc<Self>, sink: Arc<dyn AlertSink>, clock: Arc<dyn Clock>, mut shutdown: Shutdown) {
        let mut pause = FIRST_PAUSE;
        loop {
            let now_ms = clock.now_ms();
            let (numbers, alerts, next_ms) = {
                let mut mailbox = self.mailbox();
                // While stopping only what is new goes out.
                let next_ms = if shutdown.is_set() { None } else { mailbox.due(now_ms) };
                self.waiting.set(mailbox.waiting() as f64);
                let (numbers, alerts) = mailbox.batch(now_ms, sink.batch());
                (numbers, alerts, next_ms)
            };
            if alerts.is_empty() {
                if shutdown.is_set() {
                    return;
                }
                self.idle(next_ms.map(|next_ms| next_ms - now_ms), &mut shutdown).await;
                continue;
            }
            match deliver(&*sink, &alerts).await {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    self.health.well(sink.instance());
                    self.done(&numbers, &*clock);
                }
                Err(DeliveryError::Rejected(message)) => {
                    self.health.failing(sink.instance(), &message, now_ms);
                    self.failures.inc();
                    self.dropped.inc_by(alerts.len() as f64);
                    tracing::error!(sink = self.key, alerts = alerts.len(), "alerts refused: {message}");
                    // A sink that wants alerts again gets them again: a peer may have taken some of them.
                    self.done(&numbers, &*clock);
                }
                Err(DeliveryError::Retry { message, after }) => {
                    self.health.failing(sink.instance(), &message, now_ms);
                    self.failures.inc();
                    let wait = after.map_or(pause, |after| after.min(LONGEST_ASKED));
                    tracing::warn!(sink = self.key, alerts = alerts.len(), ?wait, "alerts not delivered: {message}");
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    if shutdown.is_set() {
                        tokio::time::sleep(FIRST_PAUSE).await;
                    } else {
                        // Stopping cuts the pause short: the last chance is now.
                        shutdown.sleep(wait).await;
                    }
                }
            }
        }
    }

    /// Waits for new alerts, for the time to send some again, or for the end.
    async fn idle(&self, wait_ms: Option<i64>, shutdown: &mut Shutdown) {
        let wait = wait_ms.and_then(|ms| u64::try_from(ms).ok()).map_or(LOOK, Duration::from_millis).min(LOOK);
        tokio::select! {
            () = self.wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
            () = shutdown.wait() => {}
        }
    }

    fn done(&self, numbers: &[u64], clock: &dyn Clock) {
        let mut mailbox = self.mailbox();
        mailbox.done(numbers, clock.now_ms());
        self.waiting.set(mailbox.waiting() as f64);
    }

    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        // Nothing in a mailbox panics half-way; if it did, its alerts are still worth delivering.
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One delivery. A sink that hangs or panics has failed; it must not take its lane with it.
async fn deliver(sink: &dyn AlertSink, alerts: &[Alert]) -> Result<(), DeliveryError> {
    let attempt = AssertUnwindSafe(sink.deliver(alerts)).catch_unwind();
    match tokio::time::timeout(TIMEOUT, attempt).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(DeliveryError::Rejected("the sink panicked".to_owned())),
        Err(_) => Err(DeliveryError::Retry { message: format!("no answer within {TIMEOUT:?}"), after: None }),
    }
}
