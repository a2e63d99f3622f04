//! Hands batches on, and waits where the service is busy.

use std::sync::Arc;
use std::time::Duration;

use watchbell_adapter_api::{Ingest, IngestError, Receipt, Shutdown};
use watchbell_series::{Mode, RawBatch};

/// It is time to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stopped;

/// Values whose newest is older are history: learned from, without alerts.
pub(crate) const HISTORY_MS: i64 = 10 * 60_000;

/// Has `batch` judged, again and again while there is no room.
pub(crate) async fn submit(
    ingest: &Arc<dyn Ingest>,
    shutdown: &mut Shutdown,
    mode: Mode,
    received_ms: i64,
    mut batch: RawBatch,
) -> Result<Receipt, Stopped> {
    if batch.series.is_empty() {
        return Ok(Receipt::default());
    }
    (batch.mode, batch.received_ms) = (mode, received_ms);
    loop {
        match ingest.submit(batch.clone()).await {
            Ok(receipt) => return Ok(receipt),
            Err(IngestError::Busy { retry_after } | IngestError::Starting { retry_after }) => {
                if !shutdown.sleep(retry_after.max(Duration::from_millis(10))).await {
                    return Err(Stopped);
                }
            }
            Err(IngestError::Stopping) => return Err(Stopped),
        }
    }
}
