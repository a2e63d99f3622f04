//! Saves the state of all shards from time to time, slice by slice between batches, and brings it back.
//!
//! The log of accepted samples begins a new file just before a checkpoint is taken. Once the checkpoint is
//! complete the older files go. At a start the newest complete checkpoint is read, then what is left of the
//! log is judged again: a series skips what its saved state already holds, because nothing in it is newer
//! than the last sample it knows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use watchbell_adapter_api::{Clock, Metrics, Shutdown};
use watchbell_detect::Judge;
use watchbell_normalize::Normalizer;
use watchbell_series::RawBatch;
use xxhash_rust::xxh3::xxh3_64;

use super::handle::{ShardFailed, ShardHandle};
use super::ingest::shard_of;
use super::record;
use super::segment::Entry;
use crate::clock::Timer;
use crate::context::quiet::record::Record;
use crate::store::StoreError;
use crate::store::checkpoint::{Checkpoints, Committed, LoadReport, SegmentId, StateVersions};
use crate::store::wal::{self, Wal, WalFile};
use crate::telemetry::metrics;

/// Segments read, or log files replayed, at once.
const READERS: usize = 4;
/// Segments that wait for the disk while a checkpoint is taken.
const WRITE_AHEAD: usize = 4;
/// Records of the log that wait to be judged again.
const REPLAY_AHEAD: usize = 64;

/// Takes checkpoints and restores them.
pub struct Checkpointer {
    shards: Arc<[ShardHandle]>,
    data_dir: PathBuf,
    checkpoints: Arc<RwLock<Checkpoints>>,
    /// Locked while a checkpoint is taken or a shard brought back: never both at once.
    held: tokio::sync::Mutex<Held>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    saved_ms: AtomicI64,
}

/// What is known of each shard.
struct Held {
    /// Hash of each segment as last written: what did not change is not written again.
    written: Vec<Vec<u64>>,
    /// Panics after which its state was brought back.
    recovered: Vec<u64>,
}

/// What the task that writes a checkpoint is told.
enum Piece {
    Write(SegmentId, Vec<u8>),
    Remove(SegmentId),
    /// All shards were read to the end: without this nothing comes into force.
    Complete,
}

impl std::fmt::Debug for Checkpointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpointer").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

/// What a restore brought back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// Series.
    pub series: u64,
    /// Samples judged again from the log.
    pub samples: u64,
    /// Time of the newest sample held.
    pub last_ts_ms: Option<i64>,
}

/// Why a checkpoint was not taken. The one before stays in force, and the log keeps what came since.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A shard failed while it was read.
    #[error(transparent)]
    Shard(#[from] ShardFailed),
    /// The file system refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The task that writes ended early.
    #[error("the task that writes the checkpoint failed")]
    Writer,
}

impl Checkpointer {
    /// Opens the checkpoints under `data_dir`.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn open(
        data_dir: &Path,
        shards: Arc<[ShardHandle]>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Result<Self, StoreError> {
        let versions = StateVersions { normalize: Normalizer::STATE_VERSION, judge: Judge::STATE_VERSION };
        let checkpoints = Checkpoints::open(data_dir, versions)?;
        for (path, why) in checkpoints.set_aside_at_open() {
            tracing::warn!(path = %path.display(), why, "checkpoint set aside; its series learn anew");
        }
        Ok(Self {
            held: tokio::sync::Mutex::new(Held {
                written: vec![Vec::new(); shards.len()],
                recovered: vec![0; shards.len()],
            }),
            shards,
            data_dir: data_dir.to_owned(),
            checkpoints: Arc::new(RwLock::new(checkpoints)),
            saved_ms: AtomicI64::new(clock.now_ms()),
            clock,
            metrics,
        })
    }

    /// Where all state is kept.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Seconds since the last checkpoint, or since the start where there was none yet.
    #[must_use]
    pub fn age_seconds(&self) -> f64 {
        (self.clock.now_ms() - self.saved_ms.load(Ordering::Relaxed)) as f64 / 1000.0
    }

    /// Takes a checkpoint each `interval` until the shutdown.
    pub async fn run(self: Arc<Self>, interval: Duration, mut shutdown: Shutdown) {
        while shutdown.sleep(interval).await {
            if let Err(error) = self.save().await {
                self.metrics.counter(&metrics::CHECKPOINT_FAILURES, &[]).inc();
                tracing::error!(%error, "no checkpoint taken; the one before and the log stay");
            }
        }
    }

    /// Takes a checkpoint of all shards.
    ///
    /// # Errors
    /// A shard or the file system failed. Nothing that was held before is lost.
    pub async fn save(&self) -> Result<Committed, CheckpointError> {
        let timer = Timer::start();
        let mut held = self.held.lock().await;
        for index in 0..self.shards.len() {
            self.bring_back(index, &mut held).await;
        }
        let Held { written, recovered } = &mut *held;
        let mut marks = Vec::with_capacity(self.shards.len());
        for shard in self.shards.iter() {
            marks.push(shard.call(|shard| shard.rotate_log()).await?);
        }
        let (segments, mut to_write) = mpsc::channel(WRITE_AHEAD);
        let checkpoints = Arc::clone(&self.checkpoints);
        // Hashes of the last checkpoint only hold if there was one by this process.
        let full = written.iter().all(Vec::is_empty);
        let writing = tokio::task::spawn_blocking(move || write_all(&checkpoints, full, &mut to_write));
        let gathered = self.gather(&segments, written, recovered).await;
        drop(segments);
        let committed = writing.await.map_err(|_| CheckpointError::Writer);
        let committed = gathered.and_then(|()| committed??.ok_or(CheckpointError::Writer));
        let committed = committed.inspect_err(|_| written.iter_mut().for_each(Vec::clear))?;
        for (shard, mark) in self.shards.iter().zip(marks) {
            match mark {
                Ok(Some(mark)) => shard.call(move |shard| shard.trim_log(mark)).await?,
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "the log of accepted samples could not begin a new file"),
            }
        }
        if let Err(error) = wal::remove_shards_from(&self.data_dir, self.shards.len() as u32) {
            tracing::warn!(%error, "log files of shards that are no more could not be removed");
        }
        self.saved_ms.store(self.clock.now_ms(), Ordering::Relaxed);
        self.metrics.histogram(&metrics::CHECKPOINT_SECONDS, &[]).observe(timer.seconds());
        Ok(committed)
    }

    /// Reads all shards, segment by segment, and hands what changed to the writer.
    async fn gather(
        &self,
        segments: &mpsc::Sender<Piece>,
        written: &mut [Vec<u64>],
        panics: &[u64],
    ) -> Result<(), CheckpointError> {
        for (index, shard) in self.shards.iter().enumerate() {
            let known = &mut written[index];
            let count = shard.call(|shard| shard.segments()).await?;
            for segment in 0..count {
                let bytes = shard.call(move |shard| shard.save_segment(segment)).await?;
                if shard.panics() != panics[index] {
                    // It is another, empty shard by now.
                    return Err(ShardFailed.into());
                }
                let hash = xxh3_64(&bytes);
                if known.get(segment as usize) == Some(&hash) {
                    continue;
                }
                if known.len() <= segment as usize {
                    known.resize(segment as usize + 1, 0);
                }
                known[segment as usize] = hash;
                let id = SegmentId { shard: index as u32, segment };
                hand_over(segments, Piece::Write(id, bytes)).await?;
            }
            for segment in count..known.len() as u32 {
                hand_over(segments, Piece::Remove(SegmentId { shard: index as u32, segment })).await?;
            }
            known.truncate(count as usize);
            if shard.panics() != panics[index] {
                return Err(ShardFailed.into());
            }
        }
        hand_over(segments, Piece::Complete).await
    }

    /// Brings back the newest checkpoint and judges the log again, muted; then opens the log for each shard.
    ///
    /// # Errors
    /// A folder can not be read, or the log not be opened.
    pub async fn restore(&self) -> Result<Restored, StoreError> {
        let mut held = self.held.lock().await;
        let segments = self.checkpoints.read().unwrap_or_else(PoisonError::into_inner).segments()?;
        for shard in self.shards.iter() {
            let _ = shard.call(|shard| shard.begin_restore()).await;
        }
        let mut restored = Restored { series: self.load(segments, None).await, ..Restored::default() };
        restored.samples = self.replay(None).await?;
        for (index, shard) in self.shards.iter().enumerate() {
            if shard.panics() == 0 {
                let log = Wal::open(&self.data_dir, index as u32)
                    .map_err(StoreError::io("open the log of accepted samples in", &self.data_dir))?;
                let _ = shard.call(move |shard| shard.end_restore(Some(log))).await;
            } else {
                self.bring_back(index, &mut held).await;
            }
            let last = shard.call(|shard| shard.last_ts_ms());
            restored.last_ts_ms = restored.last_ts_ms.max(last.await.ok().flatten());
        }
        Ok(restored)
    }

    /// Brings back the state of a shard that failed; nothing if that was done already.
    pub async fn recover(&self, index: usize) {
        self.bring_back(index, &mut *self.held.lock().await).await;
    }

    /// Gives a shard that failed the newest checkpoint, what came since from the log, and a new file of the log.
    ///
    /// A batch is logged after it was judged, so what the shard failed at is not in the log. Should it fail
    /// here all the same, it goes on with the checkpoint alone, or else with nothing.
    async fn bring_back(&self, index: usize, held: &mut Held) {
        let shard = &self.shards[index];
        if shard.panics() == held.recovered[index] {
            return;
        }
        let (mut series, mut samples) = (0, 0);
        for with_log in [true, false] {
            let panics = shard.panics();
            let _ = shard.call(|shard| shard.begin_restore()).await;
            let segments = self.checkpoints.read().unwrap_or_else(PoisonError::into_inner).segments();
            let segments = segments.inspect_err(|error| tracing::error!(%error, "checkpoint can not be read"));
            series = self.load(segments.unwrap_or_default(), Some(index)).await;
            if with_log {
                let replayed = self.replay(Some(index)).await;
                samples = replayed.inspect_err(|error| tracing::error!(%error, "log not replayed")).unwrap_or(0);
            }
            if shard.panics() == panics {
                break;
            }
            tracing::error!(shard = index, with_log, "failed again while its state was brought back");
            (series, samples) = (0, 0);
        }
        let log = Wal::open(&self.data_dir, index as u32).inspect_err(|error| tracing::error!(%error, "no log"));
        let (log, now_ms) = (log.ok(), self.clock.now_ms());
        held.recovered[index] = shard.panics();
        let _ = shard
            .call(move |shard| {
                shard.end_restore(log);
                shard.resume(now_ms);
            })
            .await;
        tracing::warn!(shard = index, series, samples_from_log = samples, "shard brought back");
    }

    /// Reads `segments` and gives each series to its shard; only to shard `only` if that is given.
    async fn load(&self, mut segments: Vec<SegmentId>, only: Option<usize>) -> u64 {
        // Of all shards in turn, so that none waits for another's.
        segments.sort_unstable_by_key(|id| (id.segment, id.shard));
        let loaded = futures_util::stream::iter(segments)
            .map(|segment| self.load_segment(segment, only))
            .buffered(READERS)
            .fold(0, async |sum, series| sum + series);
        loaded.await
    }

    async fn load_segment(&self, segment: SegmentId, only: Option<usize>) -> u64 {
        let (checkpoints, count) = (Arc::clone(&self.checkpoints), self.shards.len());
        let read = tokio::task::spawn_blocking(move || read_segment(&checkpoints, segment, count));
        let Ok((report, bytes, parts)) = read.await else { return 0 };
        for (path, why) in report.set_aside {
            self.metrics.counter(&metrics::CHECKPOINT_SET_ASIDE, &[]).inc();
            tracing::warn!(path = %path.display(), why, "checkpoint segment set aside; its series learn anew");
        }
        let (bytes, mut series) = (Arc::new(bytes), 0);
        for (index, entries) in parts.into_iter().enumerate() {
            if entries.is_empty() || only.is_some_and(|only| only != index) {
                continue;
            }
            let bytes = Arc::clone(&bytes);
            let restored = self.shards[index].call(move |shard| shard.restore(&bytes, &entries)).await;
            let (restored, problem) = restored.unwrap_or_default();
            series += restored;
            if let Some(problem) = problem {
                tracing::warn!(shard = index, problem, "some series could not be restored; they learn anew");
            }
        }
        series
    }

    /// Judges the log again, only that of shard `only` if that is given. Files of one shard in order; files of several shards at once.
    async fn replay(&self, only: Option<usize>) -> Result<u64, StoreError> {
        let files = wal::files(&self.data_dir).map_err(StoreError::io("read", &self.data_dir))?;
        let mut by_shard: BTreeMap<u32, Vec<WalFile>> = BTreeMap::new();
        for file in files.into_iter().filter(|file| only.is_none_or(|only| file.shard as usize == only)) {
            by_shard.entry(file.shard).or_default().push(file);
        }
        let replayed = by_shard.into_values().map(|files| self.replay_files(files));
        let replayed = futures_util::stream::iter(replayed).buffered(READERS);
        let mut samples = 0;
        for result in replayed.collect::<Vec<_>>().await {
            samples += result?;
        }
        Ok(samples)
    }

    async fn replay_files(&self, files: Vec<WalFile>) -> Result<u64, StoreError> {
        let (records, mut batches) = mpsc::channel(REPLAY_AHEAD);
        let data_dir = self.data_dir.clone();
        let reading = tokio::task::spawn_blocking(move || {
            wal::replay(&data_dir, &files, |shard, bytes| {
                let logged = match Record::read(bytes) {
                    Some(quiet) => Ok(Logged::Quiet(shard, quiet)),
                    None => record::read(bytes).map(Logged::Batch),
                };
                match logged {
                    Ok(logged) => drop(records.blocking_send(logged)),
                    Err(error) => tracing::warn!(%error, "a record of the log is skipped"),
                }
            })
        });
        let mut samples = 0;
        while let Some(logged) = batches.recv().await {
            let batch = match logged {
                Logged::Batch(batch) => Arc::new(batch),
                Logged::Quiet(shard, quiet) => {
                    if let Some(shard) = self.shards.get(shard as usize) {
                        let _ = shard.call(move |shard| shard.replay_quiet(&quiet)).await;
                    }
                    continue;
                }
            };
            let mut parts = vec![Vec::new(); self.shards.len()];
            for (index, series) in batch.series.iter().enumerate() {
                parts[shard_of(series.key, self.shards.len())].push(index as u32);
            }
            for (index, which) in parts.into_iter().enumerate() {
                if which.is_empty() {
                    continue;
                }
                samples += which.iter().map(|i| u64::from(batch.series[*i as usize].samples_len)).sum::<u64>();
                let batch = Arc::clone(&batch);
                let _ = self.shards[index].call(move |shard| shard.replay(&batch, &which)).await;
            }
        }
        let report = reading.await.unwrap_or_else(|_| Ok(wal::ReplayReport::default()));
        let report = report.map_err(StoreError::io("replay the log in", &self.data_dir))?;
        for (path, why) in report.set_aside {
            tracing::warn!(path = %path.display(), why, "a part of the log is damaged and was set aside");
        }
        Ok(samples)
    }
}

/// What the log of a shard holds.
enum Logged {
    /// Samples.
    Batch(RawBatch),
    /// The quiet windows under which this shard judged what follows.
    Quiet(u32, Record),
}

async fn hand_over(segments: &mpsc::Sender<Piece>, piece: Piece) -> Result<(), CheckpointError> {
    // A writer that is gone tells its error itself.
    segments.send(piece).await.map_err(|_| CheckpointError::Writer)
}

fn write_all(
    checkpoints: &RwLock<Checkpoints>,
    full: bool,
    segments: &mut mpsc::Receiver<Piece>,
) -> Result<Option<Committed>, StoreError> {
    let mut checkpoints = checkpoints.write().unwrap_or_else(PoisonError::into_inner);
    let mut writer = if full { checkpoints.begin_full()? } else { checkpoints.begin()? };
    while let Some(piece) = segments.blocking_recv() {
        match piece {
            Piece::Write(id, payload) => writer.write(id.shard, id.segment, &payload)?,
            Piece::Remove(id) => writer.remove(id.shard, id.segment),
            Piece::Complete => return writer.commit().map(Some),
        }
    }
    // A part of the state must not pass for all of it.
    Ok(None)
}

type Segment = (LoadReport, Vec<u8>, Vec<Vec<Entry>>);

/// Reads one segment and sorts its series by the shard that each belongs to now.
fn read_segment(checkpoints: &RwLock<Checkpoints>, segment: SegmentId, shards: usize) -> Segment {
    let checkpoints = checkpoints.read().unwrap_or_else(PoisonError::into_inner);
    let (mut bytes, mut parts) = (Vec::new(), vec![Vec::new(); shards]);
    let report = checkpoints.load(&[segment], |_, _, payload| {
        let (written_under, entries) = Entry::all(payload).ok_or("it has no head")?;
        for entry in entries {
            let home =
                if written_under as usize == shards { segment.shard } else { entry.home(payload, shards as u32) };
            parts[home as usize % shards].push(entry);
        }
        bytes.extend_from_slice(payload);
        Ok(())
    });
    (report, bytes, parts)
}

#[cfg(test)]
mod tests;
