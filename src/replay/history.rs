//! History that a monitoring system keeps, read by the adapter that warm start reads it with.
//!
//! Any kind that can stand under `history:` in a config can be replayed.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;
use indicatif::ProgressBar;
use tokio::runtime::Runtime;
use watchbell_adapter_api::history::HistoryContext;
use watchbell_adapter_api::{
    BoxFuture, Clock, History, HistoryRequest, Ingest, IngestError, Metrics, Receipt, Shutdown,
};
use watchbell_series::RawBatch;

use super::feed::{Feed, Stretch, next_span};

/// The first stretch.
const FIRST_SPAN_MS: i64 = 3_600_000;

/// Reads a span of time from a source of history.
pub struct HistoryFeed {
    history: Arc<dyn History>,
    runtime: Runtime,
    next_ms: i64,
    to_ms: i64,
    span_ms: i64,
    answered: bool,
    progress: ProgressBar,
}

impl std::fmt::Debug for HistoryFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HistoryFeed").field("next_ms", &self.next_ms).finish_non_exhaustive()
    }
}

impl HistoryFeed {
    /// Of `history`, what came from `from_ms` to `to_ms`. `progress` has the milliseconds between them as its length.
    ///
    /// # Errors
    /// The operating system refuses threads.
    pub fn new(history: Arc<dyn History>, from_ms: i64, to_ms: i64, progress: ProgressBar) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { history, runtime, next_ms: from_ms, to_ms, span_ms: FIRST_SPAN_MS, answered: false, progress })
    }
}

impl Feed for HistoryFeed {
    fn next(&mut self) -> anyhow::Result<Option<Stretch>> {
        if self.next_ms > self.to_ms {
            return Ok(None);
        }
        let last_ms = self.next_ms.saturating_add(self.span_ms - 1).min(self.to_ms);
        let gathered = Arc::new(Gathered::default());
        // Held to the end of the read: a switch that is gone means stop.
        let (_switch, shutdown) = Shutdown::channel();
        let (progress, begin, length) = (self.progress.clone(), self.progress.position(), last_ms - self.next_ms + 1);
        let context = HistoryContext {
            ingest: Arc::clone(&gathered) as Arc<dyn Ingest>,
            // The present of the reader is the end of the stretch, or it would read on to now.
            clock: Arc::new(Fixed(last_ms)),
            shutdown,
            metrics: Metrics::default(),
            // Who asks for a replay waits for it, and may have mistyped the address; later it is worth waiting.
            patient: std::mem::replace(&mut self.answered, true),
            progress: Arc::new(move |share| progress.set_position(begin + (share * length as f64) as u64)),
        };
        let request = HistoryRequest { labels: Vec::new(), from_ms: self.next_ms, to_ms: last_ms };
        self.runtime.block_on(self.history.read(request, context)).map_err(|error| anyhow!("{error}"))?;
        let batches = std::mem::take(&mut *gathered.0.lock().unwrap_or_else(PoisonError::into_inner));
        let stretch = Stretch { batches };
        self.next_ms = last_ms.saturating_add(1);
        self.span_ms = next_span(length, stretch.samples());
        self.progress.set_position(begin + length as u64);
        Ok(Some(stretch))
    }
}

/// Keeps what a reader submits.
#[derive(Default)]
struct Gathered(Mutex<Vec<RawBatch>>);

impl Ingest for Gathered {
    fn submit(&self, batch: RawBatch) -> BoxFuture<'_, Result<Receipt, IngestError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
        Box::pin(async { Ok(Receipt::default()) })
    }
}

/// A clock that stands.
struct Fixed(i64);

impl Clock for Fixed {
    fn now_ms(&self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use watchbell_adapter_api::history::{HistoryDone, HistoryError};
    use watchbell_series::{Labels, MetricKind, RawSample};

    use super::*;

    /// A sample each ten minutes, and a note of what was asked for.
    struct Minutes(Mutex<Vec<(i64, i64)>>);

    impl History for Minutes {
        fn lookback_ms(&self) -> i64 {
            0
        }

        fn read(
            &self,
            request: HistoryRequest,
            context: HistoryContext,
        ) -> BoxFuture<'_, Result<HistoryDone, HistoryError>> {
            self.0.lock().expect("whole").push((request.from_ms, context.clock.now_ms()));
            Box::pin(async move {
                if request.from_ms > 100 * 3_600_000 {
                    return Err(HistoryError("it went away".into()));
                }
                let mut batch = RawBatch::default();
                let times = (request.from_ms..=request.to_ms).filter(|ts_ms| ts_ms % 600_000 == 0);
                let samples: Vec<RawSample> = times.map(|ts_ms| RawSample { ts_ms, value: 1.0 }).collect();
                batch.push(&Labels::series([("__name__", "up")]).expect("valid"), MetricKind::Gauge, &samples);
                context.ingest.submit(batch).await.map_err(|e| HistoryError(e.to_string()))?;
                (context.progress)(1.0);
                Ok(HistoryDone::default())
            })
        }
    }

    #[test]
    fn stretches_follow_each_other_without_gap_or_overlap() {
        let source = Arc::new(Minutes(Mutex::default()));
        let to_ms = 10 * 3_600_000 - 1;
        let progress = ProgressBar::hidden();
        let mut feed = HistoryFeed::new(Arc::clone(&source) as _, 0, to_ms, progress.clone()).expect("started");
        let mut samples = 0;
        while let Some(stretch) = feed.next().expect("read") {
            samples += stretch.samples();
        }
        assert_eq!(samples, 60);
        let asked = source.0.lock().expect("whole").clone();
        assert!(asked.len() > 1 && asked.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "{asked:?}");
        assert_eq!((asked[0].0, asked[asked.len() - 1].1, progress.position()), (0, to_ms, to_ms as u64 + 1));
        let mut late =
            HistoryFeed::new(source, 101 * 3_600_000, 102 * 3_600_000, ProgressBar::hidden()).expect("started");
        assert_eq!(late.next().expect_err("away").to_string(), "it went away");
    }
}
