//! The way in: splits a batch over the shards, waits until all of it is judged, and adds up the receipt.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use prometheus::Histogram;
use tokio::sync::mpsc;
use watchbell_adapter_api::{BoxFuture, Ingest, IngestError, Receipt};
use watchbell_normalize::ReceiptPart;
use watchbell_series::{Mode, RawBatch, RawSeries};

use super::handle::ShardHandle;
use super::shard::ShardReceipt;
use crate::clock::Timer;

/// How long a batch waits for room in a shard's queue before the sender is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);
/// When a sender is told to come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Whether batches are taken.
#[derive(Debug, Default)]
pub struct Gate(AtomicU8);

impl Gate {
    const STARTING: u8 = 0;
    const OPEN: u8 = 1;
    const CLOSED: u8 = 2;

    /// Live batches are taken from now on.
    pub fn open(&self) {
        self.0.store(Self::OPEN, Ordering::Release);
    }

    /// Nothing is taken any more.
    pub fn close(&self) {
        self.0.store(Self::CLOSED, Ordering::Release);
    }

    /// Whether live batches are taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::OPEN
    }

    fn check(&self, mode: Mode) -> Result<(), IngestError> {
        match (self.0.load(Ordering::Acquire), mode) {
            (Self::OPEN, _) | (Self::STARTING, Mode::Backfill) => Ok(()),
            (Self::STARTING, Mode::Live) => Err(IngestError::Starting { retry_after: RETRY_AFTER }),
            _ => Err(IngestError::Stopping),
        }
    }
}

/// Splits batches over shards. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    shards: Arc<[ShardHandle]>,
    gate: Arc<Gate>,
    seconds: Histogram,
    new_hosts: mpsc::Sender<NewHost>,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

/// A host seen for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHost {
    /// The entity.
    pub host: String,
    /// The `instance` label of the series by which it was seen; may be empty.
    pub instance: String,
}

impl Router {
    /// A router over `shards`.
    #[must_use]
    pub fn new(
        shards: Arc<[ShardHandle]>,
        gate: Arc<Gate>,
        seconds: Histogram,
        new_hosts: mpsc::Sender<NewHost>,
    ) -> Self {
        Self { shards, gate, seconds, new_hosts }
    }

    /// Has `batch` judged by the shards that its series belong to; those of another shard are named in `taken`.
    async fn route(&self, batch: Arc<RawBatch>) -> Result<Taken, IngestError> {
        let parts = split(&batch, self.shards.len());
        let mut waiting = Vec::with_capacity(parts.len());
        for (shard, which) in self.shards.iter().zip(parts) {
            if which.is_empty() && batch.metadata.is_empty() {
                continue;
            }
            let (batch, size) = (Arc::clone(&batch), which.len());
            let posted = shard.post(move |shard| shard.ingest(&batch, &which));
            let posted = tokio::time::timeout(PATIENCE, posted).await;
            let receiver = posted.map_err(|_| IngestError::Busy { retry_after: RETRY_AFTER })?;
            waiting.push((receiver.map_err(|_| IngestError::Stopping)?, size));
        }
        let (mut taken, mut refused) = (Taken::default(), false);
        for (receiver, size) in waiting {
            match receiver.await {
                Ok(part) if part.refused => refused = true,
                Ok(part) => self.add(part, &mut taken),
                Err(_) => {
                    // Sent again it would fail again.
                    taken.fates.invalid += size as u64;
                    let problem = || "internal error while judging; see the log".to_owned();
                    taken.fates.first_problem.get_or_insert_with(problem);
                }
            }
        }
        if refused {
            // What other shards took is a duplicate for them when it comes again.
            return Err(IngestError::Busy { retry_after: RETRY_AFTER });
        }
        Ok(taken)
    }

    fn add(&self, part: ShardReceipt, taken: &mut Taken) {
        taken.fates.add(&part.part);
        taken.unknown.extend(part.unknown);
        taken.forward.extend(part.forward);
        for (host, instance) in part.new_hosts {
            // Without room its history is not read, and it learns from live samples.
            let _ = self.new_hosts.try_send(NewHost { host, instance });
        }
    }

    async fn submit_all(&self, batch: RawBatch) -> Result<Receipt, IngestError> {
        self.gate.check(batch.mode)?;
        let timer = Timer::start();
        let batch = Arc::new(batch);
        let mut taken = self.route(Arc::clone(&batch)).await?;
        if !taken.forward.is_empty() {
            // Parts of one histogram belong together, and labels may come unsorted: both are only known once
            // the labels are read.
            let second = self.route(Arc::new(rekeyed(&batch, &taken.forward))).await?;
            taken.fates.add(&second.fates);
            taken.unknown.extend(second.unknown.iter().map(|index| taken.forward[*index as usize].0));
        }
        taken.unknown.sort_unstable();
        self.seconds.observe(timer.seconds());
        Ok(taken.receipt())
    }
}

/// What became of a batch, over all shards.
#[derive(Debug, Default)]
struct Taken {
    fates: ReceiptPart,
    /// Series that belong to another shard: index in the batch, and their key there.
    forward: Vec<(u32, u64)>,
    unknown: Vec<u32>,
}

impl Taken {
    /// The same in the words of sources.
    fn receipt(self) -> Receipt {
        let fates = self.fates;
        Receipt {
            samples: fates.accepted + fates.duplicates,
            histograms: fates.histograms,
            out_of_order: fates.out_of_order,
            conflicts: fates.conflicts,
            future: fates.future,
            invalid: fates.invalid,
            limited: fates.limited,
            problem: fates.first_problem,
            unknown: self.unknown,
        }
    }
}

impl Ingest for Router {
    fn submit(&self, batch: RawBatch) -> BoxFuture<'_, Result<Receipt, IngestError>> {
        Box::pin(self.submit_all(batch))
    }
}

/// The way in for one source: what it brings is counted for it.
pub struct SourceIngest {
    inner: Arc<dyn Ingest>,
    tag: u32,
}

impl std::fmt::Debug for SourceIngest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceIngest").field("tag", &self.tag).finish_non_exhaustive()
    }
}

impl SourceIngest {
    /// The way to `inner` for the source called `name`.
    #[must_use]
    pub fn new(inner: Arc<dyn Ingest>, name: &str) -> Self {
        Self { inner, tag: source_tag(name) }
    }
}

impl Ingest for SourceIngest {
    fn submit(&self, batch: RawBatch) -> BoxFuture<'_, Result<Receipt, IngestError>> {
        self.inner.submit(RawBatch { source: self.tag, ..batch })
    }
}

/// What stands for the source called `name` in batches, the log and checkpoints; never 0.
#[must_use]
pub fn source_tag(name: &str) -> u32 {
    (xxhash_rust::xxh3::xxh3_64(name.as_bytes()) as u32).max(1)
}

/// The shard of `key` among `count`.
#[must_use]
pub fn shard_of(key: u64, count: usize) -> usize {
    (key % count as u64) as usize
}

/// The series of each of `count` shards, by index in `batch` and in its order.
#[must_use]
pub fn split(batch: &RawBatch, count: usize) -> Vec<Vec<u32>> {
    let all = batch.series.len();
    if count == 1 {
        return vec![(0..all as u32).collect()];
    }
    let mut parts: Vec<Vec<u32>> = (0..count).map(|_| Vec::with_capacity(all / count + all / 8 + 8)).collect();
    for (index, series) in batch.series.iter().enumerate() {
        parts[shard_of(series.key, count)].push(index as u32);
    }
    parts
}

/// The series of `batch` that `forward` names, each under the key by which it is known where it belongs.
fn rekeyed(batch: &RawBatch, forward: &[(u32, u64)]) -> RawBatch {
    let RawBatch { mode, source, received_ms, .. } = *batch;
    let mut out = RawBatch { mode, source, received_ms, ..RawBatch::default() };
    for (index, key) in forward {
        let series = &batch.series[*index as usize];
        let (labels_at, samples_at, histograms_at) = (out.labels.len(), out.samples.len(), out.histograms.len());
        out.labels.extend_from_slice(batch.label_bytes(series));
        out.samples.extend_from_slice(batch.samples_of(series));
        out.histograms.extend_from_slice(batch.histograms_of(series));
        out.series.push(RawSeries {
            key: *key,
            labels_at: labels_at as u32,
            samples_at: samples_at as u32,
            histograms_at: histograms_at as u32,
            ..*series
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use watchbell_series::{Labels, MetricKind, RawSample};

    use super::*;

    #[test]
    fn splits_by_key_and_keeps_the_order() {
        let mut batch = RawBatch::default();
        for i in 0..100 {
            let labels = Labels::series([("__name__", "m".to_owned()), ("i", i.to_string())]).expect("valid");
            batch.push(&labels, MetricKind::Gauge, &[RawSample { ts_ms: 1, value: 1.0 }]);
        }
        let parts = split(&batch, 3);
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 100);
        for (shard, part) in parts.iter().enumerate() {
            assert!(part.is_sorted());
            assert!(part.iter().all(|i| batch.series[*i as usize].key % 3 == shard as u64));
        }
    }

    #[test]
    fn rekeyed_keeps_labels_and_samples() {
        let labels = Labels::series([("__name__", "m"), ("job", "x")]).expect("valid");
        let mut batch = RawBatch { received_ms: 7, ..RawBatch::default() };
        batch.push(&labels, MetricKind::Gauge, &[RawSample { ts_ms: 1, value: 1.0 }]);
        batch.push(&labels.with("job", "y"), MetricKind::Counter, &[RawSample { ts_ms: 1, value: 2.0 }]);
        let out = rekeyed(&batch, &[(1, 99)]);
        assert_eq!((out.series.len(), out.received_ms), (1, 7));
        assert_eq!((out.series[0].key, out.series[0].kind), (99, MetricKind::Counter));
        assert_eq!(out.label_bytes(&out.series[0]), batch.label_bytes(&batch.series[1]));
        assert_eq!(out.samples_of(&out.series[0]), &[RawSample { ts_ms: 1, value: 2.0 }]);
    }
}
