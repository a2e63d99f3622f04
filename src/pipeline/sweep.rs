//! The clock's part of the pipeline: once a second looks for samples that did not come, forgets series
//! long gone, brings back a shard that failed, and publishes what the shards count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{Counter, Gauge};
use watchbell_adapter_api::{Clock, Metrics, Shutdown};
use watchbell_normalize::Stats;
use watchbell_series::Pattern;

use super::checkpoint::Checkpointer;
use super::handle::ShardHandle;
use super::service::Current;
use super::shard::ShardStatus;
use super::source_watch::SourceWatch;
use crate::telemetry::metrics;

/// How often.
const PERIOD: Duration = Duration::from_secs(1);

/// Sweeps all shards.
pub struct Sweeper {
    shards: Arc<[ShardHandle]>,
    clock: Arc<dyn Clock>,
    judged: Arc<AtomicU64>,
    checkpointer: Arc<Checkpointer>,
    published: Published,
    seen: Vec<Seen>,
    limit: u64,
    sources: SourceWatch,
    current: Option<Arc<Mutex<Current>>>,
    wal_broken: bool,
}

impl std::fmt::Debug for Sweeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sweeper").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

/// What of a shard has been published already.
#[derive(Debug, Default)]
struct Seen {
    status: ShardStatus,
    panics: u64,
}

impl Sweeper {
    /// A sweeper of `shards` that hold `limit` series at most in all.
    #[must_use]
    pub fn new(
        shards: Arc<[ShardHandle]>,
        clock: Arc<dyn Clock>,
        judged: Arc<AtomicU64>,
        checkpointer: Arc<Checkpointer>,
        metrics: &Metrics,
        limit: u64,
    ) -> Self {
        let seen = shards.iter().map(|_| Seen::default()).collect();
        Self {
            shards,
            clock,
            judged,
            checkpointer,
            published: Published::new(metrics),
            seen,
            limit,
            sources: SourceWatch::new(metrics.clone()),
            current: None,
            wal_broken: false,
        }
    }

    /// Publishes also what the sources of `current` hold.
    pub(super) fn watching(self, current: Arc<Mutex<Current>>) -> Self {
        Self { current: Some(current), ..self }
    }

    /// Takes what the shards count so far as published: what is restored from the log was counted when it came.
    pub async fn skip_restored(&mut self) {
        for (shard, seen) in self.shards.iter().zip(&mut self.seen) {
            seen.status = shard.call(|shard| shard.status()).await.unwrap_or_default();
        }
        if let Some(current) = &self.current {
            let sources = current.lock().unwrap_or_else(PoisonError::into_inner).sources();
            self.sources.skip(&sources, self.seen.iter().map(|seen| &seen.status));
        }
    }

    /// Sweeps once a second until the shutdown.
    pub async fn run(mut self, mut shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.tick().await,
                () = shutdown.wait() => return,
            }
        }
    }

    /// Sweeps once.
    pub async fn tick(&mut self) {
        let now_ms = self.clock.now_ms();
        let (mut judged, mut ready, mut anomalous, mut raw, mut wal, mut broken) = (0, 0, 0, 0, 0, false);
        for (index, shard) in self.shards.iter().enumerate() {
            let swept = shard.call(move |shard| {
                shard.sweep(now_ms);
                shard.status()
            });
            let swept = swept.await;
            let seen = &mut self.seen[index];
            if shard.panics() > seen.panics {
                self.published.panics.inc_by((shard.panics() - seen.panics) as f64);
                seen.panics = shard.panics();
                self.checkpointer.recover(index).await;
                seen.status = shard.call(|shard| shard.status()).await.unwrap_or_default();
            } else if let Ok(status) = swept {
                self.published.add(&seen.status, &status);
                seen.status = status;
            }
            judged += seen.status.judged;
            ready += seen.status.ready;
            anomalous += seen.status.anomalous;
            raw += seen.status.raw;
            wal += seen.status.wal_bytes;
            broken |= seen.status.wal_broken;
        }
        self.judged.store(judged, Ordering::Relaxed);
        self.published.judged.set(judged as f64);
        self.published.ready.set(ready as f64);
        self.published.anomalous.set(anomalous as f64);
        self.published.raw.set(raw as f64);
        self.published.wal.set(wal as f64);
        self.published.wal_broken.set(f64::from(u8::from(broken)));
        if broken != std::mem::replace(&mut self.wal_broken, broken) {
            if broken {
                tracing::error!(
                    "samples can not be logged (is the disk full?); a crash now would lose those since the last checkpoint"
                );
            } else {
                tracing::info!("samples are logged again");
            }
        }
        self.published.checkpoint_age.set(self.checkpointer.age_seconds());
        if let Some(current) = &self.current {
            let sources = current.lock().unwrap_or_else(PoisonError::into_inner).sources();
            self.sources.publish(&sources, self.seen.iter().map(|seen| &seen.status), now_ms);
        }
        self.published.limited.set(f64::from(u8::from(raw >= self.limit)));
    }
}

/// Handles of the metrics that the shards' counts go to.
struct Published {
    samples: Counter,
    judged_samples: Counter,
    history: Counter,
    histograms: Counter,
    new_series: Counter,
    expired: Counter,
    refused: Counter,
    dropped: Vec<(Counter, Count)>,
    faults: Vec<(Counter, Count)>,
    verdicts: Vec<Counter>,
    judged: Gauge,
    ready: Gauge,
    anomalous: Gauge,
    raw: Gauge,
    wal: Gauge,
    wal_broken: Gauge,
    checkpoint_age: Gauge,
    limited: Gauge,
    panics: Counter,
    lost_events: Counter,
}

/// One number of a shard's counts.
type Count = fn(&Stats) -> u64;

/// Samples that are not judged, by reason.
const DROPPED: &[(&str, Count)] = &[
    ("out_of_order", |s| s.out_of_order),
    ("duplicate", |s| s.duplicate),
    ("conflict", |s| s.conflict),
    ("overlap", |s| s.overlap),
    ("late_part", |s| s.late_part),
    ("not_finite", |s| s.nan),
    ("future", |s| s.future),
    ("limit", |s| s.limit_refused),
    ("invalid_labels", |s| s.invalid_labels),
    ("invalid_histogram", |s| s.invalid_histogram),
    ("collision", |s| s.collisions),
    ("own_output", |s| s.own_output),
    ("unwatched", |s| s.unwatched),
    ("set_aside", |s| s.set_aside),
];

/// Faults of the data that are noted while the sample is taken.
const FAULTS: &[(&str, Count)] = &[
    ("stale", |s| s.stale),
    ("reset", |s| s.reset),
    ("gap", |s| s.gap),
    ("clock_skew", |s| s.clock_skew),
    ("cadence_change", |s| s.cadence_change),
    ("kind_change", |s| s.kind_change),
];

impl Published {
    fn new(own: &Metrics) -> Self {
        let by = |def, rows: &[(&str, Count)]| {
            rows.iter().map(|(reason, get)| (own.counter(def, &[reason]), *get)).collect()
        };
        Self {
            samples: own.counter(&metrics::SAMPLES, &[]),
            judged_samples: own.counter(&metrics::SAMPLES_JUDGED, &[]),
            history: own.counter(&metrics::SAMPLES_HISTORY, &[]),
            histograms: own.counter(&metrics::HISTOGRAMS, &[]),
            new_series: own.counter(&metrics::NEW_SERIES, &[]),
            expired: own.counter(&metrics::EXPIRED_SERIES, &[]),
            refused: own.counter(&metrics::SERIES_REFUSED, &[]),
            dropped: by(&metrics::SAMPLES_DROPPED, DROPPED),
            faults: by(&metrics::DATA_FAULTS, FAULTS),
            verdicts: Pattern::ALL.iter().map(|p| own.counter(&metrics::VERDICTS, &[p.as_str()])).collect(),
            judged: own.gauge(&metrics::SERIES, &["judged"]),
            ready: own.gauge(&metrics::SERIES, &["ready"]),
            anomalous: own.gauge(&metrics::SERIES, &["anomalous"]),
            raw: own.gauge(&metrics::SERIES, &["held"]),
            wal: own.gauge(&metrics::WAL_BYTES, &[]),
            wal_broken: own.gauge(&metrics::WAL_BROKEN, &[]),
            checkpoint_age: own.gauge(&metrics::CHECKPOINT_AGE, &[]),
            limited: own.gauge(&metrics::LIMIT_REACHED, &["max_series"]),
            panics: own.counter(&metrics::PANICS, &["judge"]),
            lost_events: own.counter(&metrics::VERDICTS_LOST, &[]),
        }
    }

    fn add(&self, before: &ShardStatus, now: &ShardStatus) {
        let grown = |get: fn(&Stats) -> u64| get(&now.stats).saturating_sub(get(&before.stats)) as f64;
        self.samples.inc_by(grown(|s| s.samples));
        self.judged_samples.inc_by(grown(|s| s.judged));
        self.history.inc_by(now.history.saturating_sub(before.history) as f64);
        self.histograms.inc_by(grown(|s| s.histograms));
        self.new_series.inc_by(grown(|s| s.new_series));
        self.expired.inc_by(grown(|s| s.expired));
        self.refused.inc_by(grown(|s| s.limit_refused));
        self.lost_events.inc_by(now.lost_events.saturating_sub(before.lost_events) as f64);
        for (counter, get) in self.dropped.iter().chain(&self.faults) {
            counter.inc_by(grown(*get));
        }
        for (counter, (before, now)) in self.verdicts.iter().zip(before.verdicts.iter().zip(now.verdicts)) {
            counter.inc_by(now.saturating_sub(*before) as f64);
        }
    }
}
