//! What tests share: an ingest that writes down, a clock that stands, a running source.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use watchbell_adapter_api::{
    BoxFuture, Clock, Ingest, IngestError, Metrics, Problems, Receipt, Shutdown, SourceConfig, SourceContext,
};
use watchbell_series::labels::read_canonical;
use watchbell_series::{Mode, RawBatch};

/// A clock that stands at this time.
#[derive(Debug)]
pub(crate) struct Standing(pub(crate) i64);

impl Clock for Standing {
    fn now_ms(&self) -> i64 {
        self.0
    }
}

/// Writes every series down as `labels kind value @seconds`.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) seen: Mutex<Vec<(String, Mode)>>,
    /// How often it says that it is busy first.
    pub(crate) busy: Mutex<u32>,
}

impl Recorder {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(line, _)| line.clone()).collect()
    }

    pub(crate) fn modes(&self) -> Vec<Mode> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(_, mode)| *mode).collect()
    }
}

impl Ingest for Recorder {
    fn submit(&self, batch: RawBatch) -> BoxFuture<'_, Result<Receipt, IngestError>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if *busy > 0 {
            *busy -= 1;
            let retry_after = Duration::from_millis(5);
            return Box::pin(async move { Err(IngestError::Busy { retry_after }) });
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for series in &batch.series {
            let labels = read_canonical(batch.label_bytes(series)).expect("labels");
            assert_eq!(labels.id().0, series.key, "labels in order");
            for sample in batch.samples_of(series) {
                let line = format!("{labels} {} {} @{}", series.kind, sample.value, sample.ts_ms / 1_000);
                seen.push((line, batch.mode));
            }
        }
        Box::pin(async { Ok(Receipt::default()) })
    }
}

/// A source that runs until this is dropped or stopped.
pub(crate) struct Running {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) metrics: Metrics,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start<C: SourceConfig>(config: serde_json::Value, state: Option<PathBuf>, now_s: i64) -> Self {
        Self::start_with::<C>(config, state, now_s, Recorder::default())
    }

    pub(crate) fn start_with<C: SourceConfig>(
        config: serde_json::Value,
        state: Option<PathBuf>,
        now_s: i64,
        recorder: Recorder,
    ) -> Self {
        let (recorder, metrics) = (Arc::new(recorder), Metrics::default());
        let config: C = serde_json::from_value(config).expect("the shape is right");
        let mut problems = Problems::default();
        let source = config.prepare(&mut problems);
        let source = source.unwrap_or_else(|| panic!("{:?}", problems.into_vec()));
        let (stop, shutdown) = Shutdown::channel();
        let context = SourceContext {
            name: "nagios".into(),
            ingest: Arc::clone(&recorder) as Arc<dyn Ingest>,
            clock: Arc::new(Standing(now_s * 1_000)),
            shutdown,
            metrics: metrics.clone(),
            state,
        };
        let task = tokio::spawn(async move { source.run(context).await.expect("runs") });
        Self { recorder, metrics, stop, task }
    }

    /// Waits until `holds`.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..2_000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}; seen: {:#?}", self.recorder.lines());
    }

    pub(crate) async fn stop(self) -> Vec<String> {
        self.stop.send_replace(true);
        self.task.await.expect("ends");
        self.recorder.lines()
    }
}

/// Problems of a config.
pub(crate) fn problems_of<C: SourceConfig>(config: serde_json::Value) -> Vec<String> {
    let config: C = serde_json::from_value(config).expect("the shape is right");
    let mut problems = Problems::default();
    let prepared = config.prepare(&mut problems);
    assert_eq!(prepared.is_none(), !problems.is_empty());
    problems.into_vec().iter().map(ToString::to_string).collect()
}
