//! Replays the fleet through a running service, and notes when each incident was seen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use watchbell_adapter_api::sink::{Cursor, ScoreQuery};
use watchbell_adapter_api::{Clock, Ingest, IngestError, Scores};
use watchbell_series::{RawBatch, RawSample};

use super::fleet::{STEP_S, Series};
use super::incidents::Incident;
use crate::clock::SystemClock;

/// Follows the replayed samples, and the system's clock once they have caught up with it.
#[derive(Debug, Default)]
pub struct DemoClock(AtomicI64);

impl DemoClock {
    /// A clock that stands at `ts_s`, seconds since the Unix epoch.
    #[must_use]
    pub fn at(ts_s: i64) -> Self {
        Self(AtomicI64::new(ts_s * 1000))
    }

    fn set(&self, ts_s: i64) {
        self.0.store(ts_s * 1000, Ordering::Relaxed);
    }

    /// From now on it is the system's clock.
    pub fn release(&self) {
        self.0.store(i64::MIN, Ordering::Relaxed);
    }
}

impl Clock for DemoClock {
    fn now_ms(&self) -> i64 {
        match self.0.load(Ordering::Relaxed) {
            i64::MIN => SystemClock.now_ms(),
            held => held,
        }
    }
}

/// When an incident was seen, and by what.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Seconds after its begin.
    pub after_s: i64,
    /// Greatest score while it lasted.
    pub peak: f32,
    /// The series with that score.
    pub series: String,
}

/// The fleet on its way through a service.
pub struct Replay {
    fleet: Vec<Series>,
    incidents: Vec<Incident>,
    ingest: Arc<dyn Ingest>,
    scores: Arc<dyn Scores>,
    clock: Arc<DemoClock>,
    seen: BTreeMap<usize, Seen>,
    samples: u64,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").field("samples", &self.samples).finish_non_exhaustive()
    }
}

impl Replay {
    /// `fleet` with `incidents`, through `ingest`.
    #[must_use]
    pub fn new(
        fleet: Vec<Series>,
        incidents: Vec<Incident>,
        ingest: Arc<dyn Ingest>,
        scores: Arc<dyn Scores>,
        clock: Arc<DemoClock>,
    ) -> Self {
        Self { fleet, incidents, ingest, scores, clock, seen: BTreeMap::new(), samples: 0 }
    }

    /// Submits one sample of every series at `ts_s`, and looks what was seen of the incidents of that time.
    ///
    /// # Errors
    /// The service stops.
    pub async fn step(&mut self, ts_s: i64) -> Result<(), IngestError> {
        if self.clock.0.load(Ordering::Relaxed) != i64::MIN {
            self.clock.set(ts_s);
        }
        let mut batch = RawBatch { received_ms: ts_s * 1000, ..RawBatch::default() };
        for series in &mut self.fleet {
            let value = series.next(ts_s, &self.incidents);
            batch.push(&series.labels, series.metric.kind, &[RawSample { ts_ms: ts_s * 1000, value }]);
        }
        self.samples += batch.samples.len() as u64;
        self.ingest.submit(batch).await?;
        for index in 0..self.incidents.len() {
            if self.incidents[index].active(ts_s) {
                self.look(index, ts_s).await;
            }
        }
        Ok(())
    }

    async fn look(&mut self, index: usize, ts_s: i64) {
        let incident = self.incidents[index];
        let query = Arc::new(ScoreQuery { selectors: Vec::new(), anomalous_only: true });
        let (mut best, mut series) = (f32::NAN, String::new());
        let mut cursor = Some(Cursor::START);
        while let Some(at) = cursor {
            let page = self.scores.page(Arc::clone(&query), at).await;
            for row in &page.rows {
                let label = |name: &str| page.labels_of(row).find(|(n, _)| *n == name).map_or("", |(_, v)| v);
                let host = label("instance").split(':').next().unwrap_or_default();
                // A score held since before the incident is no finding.
                let fresh = row.reading.score > 1.0 && row.reading.ts_ms >= incident.start_s * 1000;
                if host == incident.host && fresh && (best.is_nan() || row.reading.score > best) {
                    (best, series) = (row.reading.score, label("__name__").to_owned());
                }
            }
            cursor = page.next;
        }
        if best.is_nan() {
            return;
        }
        let seen = self.seen.entry(index);
        let seen =
            seen.or_insert_with(|| Seen { after_s: ts_s - incident.start_s, peak: best, series: series.clone() });
        if best > seen.peak {
            (seen.peak, seen.series) = (best, series);
        }
    }

    /// Lets another incident happen.
    pub fn set_incidents(&mut self, incidents: Vec<Incident>) {
        self.incidents = incidents;
        self.seen.clear();
    }

    /// Samples submitted so far.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// The incidents, each with when it was seen.
    #[must_use]
    pub fn findings(&self) -> Vec<(Incident, Option<Seen>)> {
        self.incidents.iter().enumerate().map(|(i, incident)| (*incident, self.seen.get(&i).cloned())).collect()
    }

    /// Steps from `from_s` up to `to_s`; `progress` is called with the share done.
    ///
    /// # Errors
    /// The service stops.
    pub async fn run(&mut self, from_s: i64, to_s: i64, progress: impl Fn(f64)) -> Result<(), IngestError> {
        for ts_s in (from_s..to_s).step_by(STEP_S as usize) {
            self.step(ts_s).await?;
            if ts_s % 3_600 < STEP_S {
                progress((ts_s - from_s) as f64 / (to_s - from_s) as f64);
            }
        }
        Ok(())
    }
}
