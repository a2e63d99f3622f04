//! From performance data and states to judged samples and known limits: what every way of reading them shares.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::{Counter, Gauge};
use watchbell_adapter_api::{Clock, IngestError, MetricDef, MetricKindDef, SourceContext};
use watchbell_series::{Mode, RawBatch};

use crate::feed::{Origin, Writer, text};
use crate::limits::Limits;
use watchbell_adapter_api::seldom::Seldom;

/// Own metric: values handed on.
pub const VALUES: MetricDef = MetricDef {
    name: "watchbell_nagios_values_total",
    kind: MetricKindDef::Counter,
    help: "Values of performance data handed on.",
    labels: &["source"],
};
/// Own metric: tokens that are no values.
pub const BAD_TOKENS: MetricDef = MetricDef {
    name: "watchbell_nagios_bad_perfdata_total",
    kind: MetricKindDef::Counter,
    help: "Tokens of performance data that are no `label=value`, by check command; at most 64 are told apart.",
    labels: &["source", "plugin"],
};

/// Own metric: age of what comes in.
pub const LAG: MetricDef = MetricDef {
    name: "watchbell_nagios_lag_seconds",
    kind: MetricKindDef::Gauge,
    help: "Age of the newest value that was read last, in seconds; negative where the clock of the monitoring server is ahead.",
    labels: &["source"],
};

/// A batch whose newest sample is older is history: learned from, without alerts.
const HISTORY_MS: i64 = 10 * 60_000;
/// Plugins told apart in the count of bad tokens.
const MAX_PLUGINS: usize = 64;

/// Most bytes of an answer of a monitoring server that are read.
pub const MAX_ANSWER: usize = 256 << 20;
/// From so many bytes on reading takes longer than other tasks may wait.
const LARGE: usize = 1 << 20;

/// Does `work` on an answer of so many bytes: in a thread of its own where that takes long.
pub async fn aside<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes < LARGE {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // Whoever watches over the source hears of a panic; else the process ends.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await,
        },
    }
}

/// The service goes down: whoever reads stops as it stands.
#[derive(Debug)]
pub struct Stopped;

/// Takes performance data in. Clones share their counts.
#[derive(Debug, Clone)]
pub struct Intake {
    /// What the source may reach.
    pub context: SourceContext,
    writer: Arc<Writer>,
    limits: Arc<Mutex<Limits>>,
    values: Counter,
    lag: Gauge,
    bad_tokens: Arc<Mutex<HashMap<String, Counter>>>,
    said: Arc<Mutex<Seldom>>,
}

impl Intake {
    /// For a source whose series `writer` makes.
    #[must_use]
    pub fn new(context: SourceContext, writer: Writer) -> Self {
        let (metrics, name) = (&context.metrics, &*context.name);
        let (values, lag) = (metrics.counter(&VALUES, &[name]), metrics.gauge(&LAG, &[name]));
        let limits = Limits::known(&context.context.known_limits(), context.clock.now_ms());
        let (writer, limits) = (Arc::new(writer), Arc::new(Mutex::new(limits)));
        Self { writer, limits, values, lag, bad_tokens: Arc::default(), said: Arc::default(), context }
    }

    /// Whether `what` was not said for a while.
    pub fn may_say(&self, what: &str) -> bool {
        held(&self.said).may(what, self.context.clock.now_ms())
    }

    /// Ends `what`; `true` if it had been said.
    pub fn is_over(&self, what: &str) -> bool {
        held(&self.said).over(what)
    }

    /// Tells the service that `part` of the source fails.
    pub fn failing(&self, part: &str, reason: impl std::fmt::Display) {
        self.context.health.failing(part, reason, self.context.clock.now_ms());
    }

    /// Tells the service that `part` of the source works.
    pub fn well(&self, part: &str) {
        self.context.health.well(part);
    }

    /// Appends `perfdata` to `batch`, counting what is bad.
    pub fn write_perfdata(&self, origin: Origin<'_>, perfdata: &[u8], batch: &mut RawBatch) {
        let mut limits = held(&self.limits);
        let values = self.writer.write(origin, perfdata, batch, Some(&mut *limits), |plugin, fault, token| {
            let plugin = if plugin.is_empty() { "unknown" } else { plugin };
            self.count_bad_token(plugin);
            if self.may_say(plugin) {
                let token = &token[..token.len().min(120)];
                let (host, service) = (text(origin.host), text(origin.service));
                tracing::warn!(
                    source = %self.context.name, plugin, %host, %service, token = %text(token), reason = fault.as_str(),
                    "performance data is not `label=value`; the rest of it is kept. Mend the plugin"
                );
            }
        });
        self.values.inc_by(values as f64);
    }

    fn count_bad_token(&self, plugin: &str) {
        let mut known = held(&self.bad_tokens);
        let plugin = if known.len() >= MAX_PLUGINS && !known.contains_key(plugin) { "other" } else { plugin };
        let counter = known
            .entry(plugin.to_owned())
            .or_insert_with(|| self.context.metrics.counter(&BAD_TOKENS, &[&self.context.name, plugin]));
        counter.inc();
    }

    /// Judges `batch`, again and again while there is no room.
    ///
    /// # Errors
    /// The service goes down.
    pub async fn submit(&self, mut batch: RawBatch) -> Result<(), Stopped> {
        let now_ms = self.context.clock.now_ms();
        batch.received_ms = now_ms;
        let newest = batch.samples.iter().map(|s| s.ts_ms).max().unwrap_or(now_ms);
        let lag_s = now_ms.saturating_sub(newest) as f64 / 1_000.0;
        self.lag.set(lag_s);
        if newest < now_ms - HISTORY_MS {
            batch.mode = Mode::Backfill;
            if self.may_say("history") {
                tracing::info!(
                    source = %self.context.name, seconds = lag_s,
                    "values of long ago are learned from, without alerts; if this goes on, the clock of the monitoring server is behind"
                );
            }
        }
        self.tell_limits(now_ms);
        let mut shutdown = self.context.shutdown.clone();
        loop {
            match self.context.ingest.submit(batch.clone()).await {
                Ok(receipt) => {
                    let hint = receipt.hint();
                    if let Some(problem) = receipt.problem.filter(|_| self.may_say("receipt")) {
                        tracing::warn!(source = %self.context.name, problem, hint, "not everything was taken");
                    }
                    return Ok(());
                }
                Err(IngestError::Busy { retry_after } | IngestError::Starting { retry_after }) => {
                    if !shutdown.sleep(retry_after).await {
                        return Err(Stopped);
                    }
                }
                Err(IngestError::Stopping) => return Err(Stopped),
            }
        }
    }

    /// Tells the limits where they changed.
    fn tell_limits(&self, now_ms: i64) {
        // The lock is free again before anyone else works on them.
        let told = held(&self.limits).changed(now_ms);
        if let Some(all) = told {
            self.context.context.limits(all);
        }
    }
}

fn held<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_answers_are_read_in_a_thread_of_their_own() {
        let here = std::thread::current().id();
        let thread = || std::thread::current().id();
        assert_eq!(aside(LARGE - 1, thread).await, here);
        assert_ne!(aside(LARGE, thread).await, here);
        let panicked = tokio::spawn(aside(LARGE, || panic!("odd answer"))).await;
        assert!(panicked.is_err_and(|error: tokio::task::JoinError| error.is_panic()));
    }
}
