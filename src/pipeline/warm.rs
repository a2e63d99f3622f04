//! Warm start: reads history back from where it is kept, so that a season is known on day one.
//!
//! At a first start all series are read back over the configured lookback; after a restart only what came
//! since the last sample held. A host first seen later has its own history read. History takes the very path
//! of live samples, series by series, each whole: one that is young starts anew from its history, one that
//! is older takes what is newer than its last sample.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use watchbell_adapter_api::history::HistoryContext;
use watchbell_adapter_api::{Clock, History, HistoryRequest, Ingest, Metrics, Shutdown};

use super::ingest::NewHost;
use crate::clock::Timer;
use crate::telemetry::metrics;

/// New hosts are gathered this long, so that the senders' first requests are through.
const GATHER: Duration = Duration::from_secs(20);
/// Overlap with what is held, against samples that the source had not stored yet.
const OVERLAP_MS: i64 = 60_000;

/// Reads history back.
pub struct WarmStart {
    history: Arc<dyn History>,
    ingest: Arc<dyn Ingest>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    shutdown: Shutdown,
}

impl std::fmt::Debug for WarmStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WarmStart")
    }
}

impl WarmStart {
    /// A reader of `history` into `ingest`.
    #[must_use]
    pub fn new(
        history: Arc<dyn History>,
        ingest: Arc<dyn Ingest>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> Self {
        Self { history, ingest, clock, metrics, shutdown }
    }

    /// Reads what came since `last_ts_ms`, the newest sample held, or the whole lookback if there is none.
    pub async fn catch_up(&self, last_ts_ms: Option<i64>) {
        let now_ms = self.clock.now_ms();
        let earliest = now_ms - self.history.lookback_ms();
        let from_ms = last_ts_ms.map_or(earliest, |last| (last - OVERLAP_MS).max(earliest));
        self.read("all hosts", HistoryRequest { labels: Vec::new(), from_ms, to_ms: now_ms }).await;
    }

    /// Reads the history of each host that is first seen from now on, until the shutdown.
    pub async fn follow(self, mut new_hosts: mpsc::Receiver<NewHost>) {
        let mut shutdown = self.shutdown.clone();
        let mut done: HashSet<String> = HashSet::new();
        loop {
            let first = tokio::select! {
                host = new_hosts.recv() => host,
                () = shutdown.wait() => return,
            };
            let Some(first) = first else { return };
            if !shutdown.sleep(GATHER).await {
                return;
            }
            let mut hosts = vec![first];
            while let Ok(host) = new_hosts.try_recv() {
                hosts.push(host);
            }
            for NewHost { host, instance } in hosts {
                if instance.is_empty() || !done.insert(instance.clone()) {
                    continue;
                }
                let to_ms = self.clock.now_ms();
                let from_ms = to_ms - self.history.lookback_ms();
                let labels = vec![("instance".to_owned(), instance)];
                self.read(&host, HistoryRequest { labels, from_ms, to_ms }).await;
                if shutdown.is_set() {
                    return;
                }
            }
        }
    }

    async fn read(&self, what: &str, request: HistoryRequest) {
        let timer = Timer::start();
        let gauge = self.metrics.gauge(&metrics::WARM_START_PROGRESS, &[]);
        let context = HistoryContext {
            ingest: Arc::clone(&self.ingest),
            clock: Arc::clone(&self.clock),
            shutdown: self.shutdown.clone(),
            metrics: self.metrics.clone(),
            progress: Arc::new(move |share| gauge.set(share)),
        };
        match self.history.read(request, context).await {
            Ok(done) => {
                tracing::info!(
                    what,
                    series = done.series,
                    samples = done.samples,
                    seconds = timer.seconds(),
                    "history read back"
                );
                self.metrics.counter(&metrics::WARM_START_SAMPLES, &[]).inc_by(done.samples as f64);
            }
            Err(error) => {
                tracing::warn!(what, %error, "history could not be read back; series learn from live samples");
                self.metrics.counter(&metrics::WARM_START_FAILURES, &[]).inc();
            }
        }
    }
}
