//! Hands series over in batches, and waits where the service is busy.

use std::sync::Arc;
use std::time::Duration;

use watchbell_adapter_api::{Ingest, IngestError, Shutdown};
use watchbell_series::{Labels, MetricKind, Mode, RawBatch, RawSample};

/// The samples from which on a batch is full.
const BATCH: usize = 50_000;

/// It is time to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

/// Collects series and submits them.
pub(super) struct Feed {
    ingest: Arc<dyn Ingest>,
    shutdown: Shutdown,
    batch: RawBatch,
    mode: Mode,
    received_ms: i64,
    /// Samples submitted.
    pub(super) samples: u64,
}

impl Feed {
    pub(super) fn new(ingest: Arc<dyn Ingest>, shutdown: Shutdown, mode: Mode, received_ms: i64) -> Self {
        Self { ingest, shutdown, batch: RawBatch::default(), mode, received_ms, samples: 0 }
    }

    /// Adds the samples of a series, in order of time. Never submits: only the caller knows what belongs
    /// together.
    pub(super) fn push(&mut self, labels: &Labels, kind: MetricKind, samples: &[RawSample]) {
        if !samples.is_empty() {
            self.batch.push(labels, kind, samples);
        }
    }

    /// Whether so much was added that it is time for [`Feed::flush`].
    pub(super) fn is_full(&self) -> bool {
        self.batch.samples.len() >= BATCH
    }

    /// Submits what was added; returns when it is judged.
    pub(super) async fn flush(&mut self) -> Result<(), Stopped> {
        let mut batch = std::mem::take(&mut self.batch);
        if batch.series.is_empty() {
            return Ok(());
        }
        batch.mode = self.mode;
        batch.received_ms = self.received_ms;
        loop {
            // A refused batch is not given back, and refusals are rare.
            match self.ingest.submit(batch.clone()).await {
                Ok(_) => {
                    self.samples += batch.samples.len() as u64;
                    return Ok(());
                }
                Err(IngestError::Busy { retry_after } | IngestError::Starting { retry_after }) => {
                    if !self.shutdown.sleep(retry_after.max(Duration::from_millis(10))).await {
                        return Err(Stopped);
                    }
                }
                Err(IngestError::Stopping) => return Err(Stopped),
            }
        }
    }
}
