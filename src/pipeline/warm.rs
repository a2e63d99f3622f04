//! Warm start: reads history back from where it is kept, so that a season is known on day one.
//!
//! At a first start all series are read back over the configured lookback; after a restart only what came
//! since the last sample held. A host first seen later has its own history read. History takes the very path
//! of live samples, series by series, each whole: one that is young starts anew from its history, one that
//! is older takes what is newer than its last sample.
//!
//! History is not in the log of samples, so a checkpoint follows it. Until then a file marks that a start
//! after a kill has to read all of it again.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use watchbell_adapter_api::history::{HistoryContext, HistoryDone, HistoryError};
use watchbell_adapter_api::{Clock, History, HistoryRequest, Ingest, Metrics, Shutdown};

use super::checkpoint::Checkpointer;
use super::ingest::NewHost;
use crate::clock::Timer;
use crate::telemetry::metrics;

/// New hosts are gathered this long, so that the senders' first requests are through.
const GATHER: Duration = Duration::from_secs(20);
/// Overlap with what is held, against samples that the source had not stored yet.
const OVERLAP_MS: i64 = 60_000;
/// The file that is there while history is in no checkpoint.
const PENDING: &str = "history.pending";

/// Reads history back.
pub struct WarmStart {
    history: Arc<dyn History>,
    ingest: Arc<dyn Ingest>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    shutdown: Shutdown,
    checkpointer: Arc<Checkpointer>,
    pending: PathBuf,
    /// Held while history is read: two readings of one series would get in each other's way.
    reading: tokio::sync::Mutex<()>,
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
        checkpointer: Arc<Checkpointer>,
    ) -> Self {
        let pending = checkpointer.data_dir().join(PENDING);
        let reading = tokio::sync::Mutex::default();
        Self { history, ingest, clock, metrics, shutdown, checkpointer, pending, reading }
    }

    /// Whether history was read, or begun to be read, that no checkpoint holds.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pending.exists()
    }

    /// Reads what came since `last_ts_ms`, the newest sample held, or the whole lookback if there is none.
    /// Whether it was read to the end.
    pub async fn catch_up(&self, last_ts_ms: Option<i64>) -> bool {
        let now_ms = self.clock.now_ms();
        let earliest = now_ms - self.history.lookback_ms();
        let from_ms = last_ts_ms.map_or(earliest, |last| (last - OVERLAP_MS).max(earliest));
        if last_ts_ms.is_none() {
            self.mark();
        }
        self.read("all hosts", HistoryRequest { labels: Vec::new(), from_ms, to_ms: now_ms }).await
    }

    /// Saves what was read; `whole` says that nothing of it has to be read again after that.
    pub async fn keep(&self, whole: bool) {
        if self.shutdown.is_set() {
            return;
        }
        match self.checkpointer.save().await {
            Ok(_) if whole && self.is_pending() => {
                if let Err(error) = std::fs::remove_file(&self.pending) {
                    tracing::warn!(path = %self.pending.display(), %error, "can not be removed; history is read again at the next start");
                }
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "history that was read is not saved yet"),
        }
    }

    fn mark(&self) {
        if let Err(error) = std::fs::write(&self.pending, b"") {
            tracing::warn!(path = %self.pending.display(), %error, "can not be written; a kill would lose the history that is read");
        }
    }

    /// Reads the history of each host that is first seen from now on, until the shutdown. `whole` says that
    /// all history asked for so far was read.
    pub async fn follow(&self, mut new_hosts: mpsc::Receiver<NewHost>, mut whole: bool) {
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
            self.mark();
            for NewHost { host, instance } in hosts {
                if instance.is_empty() || !done.insert(instance.clone()) {
                    continue;
                }
                let to_ms = self.clock.now_ms();
                let from_ms = to_ms - self.history.lookback_ms();
                let labels = vec![("instance".to_owned(), instance)];
                whole &= self.read(&host, HistoryRequest { labels, from_ms, to_ms }).await;
                if shutdown.is_set() {
                    return;
                }
            }
            self.keep(whole).await;
        }
    }

    async fn read(&self, what: &str, request: HistoryRequest) -> bool {
        match self.read_into(what, request, Arc::clone(&self.ingest)).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(what, %error, "history could not be read back; series learn from live samples");
                false
            }
        }
    }

    /// How far back it reads, milliseconds.
    #[must_use]
    pub fn lookback_ms(&self) -> i64 {
        self.history.lookback_ms()
    }

    /// Reads `request` and hands it to `ingest`.
    ///
    /// # Errors
    /// It could not be read to the end; what was read is handed over.
    pub async fn read_into(
        &self,
        what: &str,
        request: HistoryRequest,
        ingest: Arc<dyn Ingest>,
    ) -> Result<HistoryDone, HistoryError> {
        let _alone = self.reading.lock().await;
        let timer = Timer::start();
        let gauge = self.metrics.gauge(&metrics::WARM_START_PROGRESS, &[]);
        let context = HistoryContext {
            ingest,
            clock: Arc::clone(&self.clock),
            shutdown: self.shutdown.clone(),
            metrics: self.metrics.clone(),
            patient: true,
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
                Ok(done)
            }
            Err(error) => {
                self.metrics.counter(&metrics::WARM_START_FAILURES, &[]).inc();
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use watchbell_adapter_api::{BoxFuture, Receipt};
    use watchbell_series::RawBatch;

    use super::*;
    use crate::clock::SystemClock;

    struct Source(AtomicBool);

    impl History for Source {
        fn lookback_ms(&self) -> i64 {
            1000
        }

        fn read(&self, _: HistoryRequest, _: HistoryContext) -> BoxFuture<'_, Result<HistoryDone, HistoryError>> {
            let up = self.0.load(Ordering::Relaxed);
            Box::pin(async move { if up { Ok(HistoryDone::default()) } else { Err(HistoryError("down".into())) } })
        }
    }

    struct Nowhere;

    impl Ingest for Nowhere {
        fn submit(&self, _: RawBatch) -> BoxFuture<'_, Result<Receipt, watchbell_adapter_api::IngestError>> {
            Box::pin(async { Ok(Receipt::default()) })
        }
    }

    fn warm(data_dir: &Path, source: &Arc<Source>, shutdown: Shutdown) -> WarmStart {
        let (clock, metrics) = (Arc::new(SystemClock), Metrics::default());
        let checkpointer = Checkpointer::open(data_dir, Vec::new().into(), clock.clone(), metrics.clone());
        let checkpointer = Arc::new(checkpointer.expect("open"));
        WarmStart::new(Arc::clone(source) as _, Arc::new(Nowhere), clock, metrics, shutdown, checkpointer)
    }

    #[tokio::test]
    async fn history_is_pending_until_all_of_it_is_saved() {
        let temp = tempfile::tempdir().expect("temp dir");
        let (stop, shutdown) = Shutdown::channel();
        let source = Arc::new(Source(AtomicBool::new(false)));
        let first = warm(temp.path(), &source, shutdown.clone());
        assert!(!first.is_pending());
        let whole = first.catch_up(None).await;
        assert!(!whole);
        first.keep(whole).await;
        assert!(first.is_pending());

        source.0.store(true, Ordering::Relaxed);
        let second = warm(temp.path(), &source, shutdown.clone());
        assert!(second.is_pending(), "as after a kill");
        let whole = second.catch_up(None).await;
        second.keep(whole).await;
        assert!(whole && !second.is_pending());

        // A read that the shutdown cut short is not all of it.
        let third = warm(temp.path(), &source, shutdown);
        third.catch_up(None).await;
        stop.send_replace(true);
        third.keep(true).await;
        assert!(third.is_pending());
    }
}
