//! What tests of this crate and of its users share: an ingest that writes down, a clock that stands, a running source.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use watchbell_adapter_api::context::Told;
use watchbell_adapter_api::{
    BoxFuture, Clock, Cursor, Failures, HostReading, Ingest, IngestError, Metrics, Problems, Receipt, ScorePage,
    ScoreQuery, ScoreRow, Scores, Shutdown, SinkContext, SourceConfig, SourceContext,
};
use watchbell_series::labels::read_canonical;
use watchbell_series::{ForeignProblem, Labels, Mode, Pattern, RawBatch, Reading, Subject};

use crate::passive::{PassiveResult, State};

/// A clock that stands at this time.
#[derive(Debug)]
pub struct Standing(pub i64);

impl Clock for Standing {
    fn now_ms(&self) -> i64 {
        self.0
    }
}

/// Writes every series down as `labels kind value @seconds`.
#[derive(Debug, Default)]
pub struct Recorder {
    /// What came, with its mode.
    pub seen: Mutex<Vec<(String, Mode)>>,
    /// How often it says that it is busy first.
    pub busy: Mutex<u32>,
}

impl Recorder {
    /// What came.
    pub fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(line, _)| line.clone()).collect()
    }

    /// How it came.
    pub fn modes(&self) -> Vec<Mode> {
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
#[derive(Debug)]
pub struct Running {
    /// What it handed over.
    pub recorder: Arc<Recorder>,
    /// What else it told.
    pub told: Arc<Told>,
    /// Its own metrics.
    pub metrics: Metrics,
    failures: Failures,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts a source whose context says that it is `now_s`.
    pub fn start<C: SourceConfig>(config: serde_json::Value, state: Option<PathBuf>, now_s: i64) -> Self {
        Self::start_with::<C>(config, state, now_s, Recorder::default())
    }

    /// The same for a source that knew of these problems when it ended; each of a service, since second 1.
    pub fn start_again<C: SourceConfig>(config: serde_json::Value, now_s: i64, open: &[(&str, &str)]) -> Self {
        let problem = |(host, service): &(&str, &str)| ForeignProblem {
            id: format!("{host}!{service}@0"),
            subject: Subject::Host((*host).into()),
            starts_ms: 1_000,
            ends_ms: None,
            name: (*service).to_owned(),
            severity: 4,
            acknowledged: false,
        };
        let told = Told { open: Mutex::new(open.iter().map(problem).collect()), ..Told::default() };
        Self::run::<C>(config, None, now_s, Recorder::default(), told)
    }

    /// Ends of problems that it told, in milliseconds since the Unix epoch, by id.
    pub fn ends(&self) -> Vec<(String, i64)> {
        let problems = self.told.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ends: Vec<_> = problems.iter().filter_map(|it| Some((it.id.clone(), it.ends_ms?))).collect();
        ends.sort();
        ends
    }

    /// The same with an ingest of the test.
    pub fn start_with<C: SourceConfig>(
        config: serde_json::Value,
        state: Option<PathBuf>,
        now_s: i64,
        recorder: Recorder,
    ) -> Self {
        Self::run::<C>(config, state, now_s, recorder, Told::default())
    }

    fn run<C: SourceConfig>(
        config: serde_json::Value,
        state: Option<PathBuf>,
        now_s: i64,
        recorder: Recorder,
        told: Told,
    ) -> Self {
        let config: C = serde_json::from_value(config).expect("the shape is right");
        let mut problems = Problems::default();
        let source = config.prepare(&mut problems);
        let source = source.unwrap_or_else(|| panic!("{:?}", problems.into_vec()));
        let (recorder, told) = (Arc::new(recorder), Arc::new(told));
        let failures = Failures::default();
        let (context, stop) = source_context_of(Arc::clone(&recorder), Arc::clone(&told), now_s * 1_000, &failures);
        let (metrics, context) = (context.metrics.clone(), SourceContext { state, ..context });
        let task = tokio::spawn(async move { source.run(context).await.expect("runs") });
        Self { recorder, told, metrics, failures, stop, task }
    }

    /// Its parts that fail, with the reason.
    pub fn failing(&self) -> Vec<(String, String)> {
        let failures = self.failures.all().into_iter().flat_map(|(_, failures)| failures);
        failures.map(|failure| (failure.part, failure.reason)).collect()
    }

    /// Waits until `holds`.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..2_000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}; seen: {:#?}", self.recorder.lines());
    }

    /// Ends it and gives what came.
    pub async fn stop(self) -> Vec<String> {
        self.stop.send_replace(true);
        self.task.await.expect("ends");
        self.recorder.lines()
    }
}

/// All that a source may reach, with what ends it.
#[must_use]
pub fn source_context(recorder: Arc<Recorder>, told: Arc<Told>, now_ms: i64) -> (SourceContext, watch::Sender<bool>) {
    source_context_of(recorder, told, now_ms, &Failures::default())
}

fn source_context_of(
    recorder: Arc<Recorder>,
    told: Arc<Told>,
    now_ms: i64,
    failures: &Failures,
) -> (SourceContext, watch::Sender<bool>) {
    let (stop, shutdown) = Shutdown::channel();
    let context = SourceContext {
        name: "nagios".into(),
        ingest: recorder,
        context: told,
        clock: Arc::new(Standing(now_ms)),
        shutdown,
        metrics: Metrics::default(),
        health: failures.component("nagios"),
        state: None,
    };
    (context, stop)
}

/// Problems of a config.
pub fn problems_of<C: SourceConfig>(config: serde_json::Value) -> Vec<String> {
    let config: C = serde_json::from_value(config).expect("the shape is right");
    let mut problems = Problems::default();
    let prepared = config.prepare(&mut problems);
    assert_eq!(prepared.is_none(), !problems.is_empty());
    problems.into_vec().iter().map(ToString::to_string).collect()
}

/// Scores made up: rows in two pages, and hosts.
#[derive(Debug, Default)]
pub struct FakeScores {
    rows: Vec<(Labels, String, Reading)>,
    /// What is known of hosts.
    pub hosts: Vec<HostReading>,
}

/// A reading of this score.
#[must_use]
pub fn reading(score: f32) -> Reading {
    let value = f64::from(score) * 10.0;
    Reading {
        ts_ms: 0,
        value: (value * 1e3).round() / 1e3,
        score,
        expected: value * 0.75,
        lower: value * 0.5,
        upper: value * 1.5,
        pattern: Pattern::None,
        alarm: false,
        not_ready: None,
        cadence_s: 60.0,
        inherited: false,
        quiet: false,
        peers: None,
    }
}

impl FakeScores {
    /// Adds a series of the host that its label `host` says.
    pub fn add(&mut self, labels: &[(&str, &str)], reading: Reading) {
        let host = labels.iter().find(|(name, _)| *name == "host").map_or("", |(_, host)| host);
        self.add_of(host, labels, reading);
    }

    /// Adds a series of `host`.
    pub fn add_of(&mut self, host: &str, labels: &[(&str, &str)], reading: Reading) {
        self.rows.push((Labels::series(labels.iter().copied()).expect("labels"), host.to_owned(), reading));
    }
}

impl Scores for FakeScores {
    fn series(&self) -> u64 {
        self.rows.len() as u64
    }

    fn page(&self, query: Arc<ScoreQuery>, cursor: Cursor) -> BoxFuture<'_, ScorePage> {
        let mut page = ScorePage::default();
        for (labels, host, reading) in self.rows.iter().skip(cursor.shard as usize).step_by(2) {
            if query.anomalous_only && !(reading.alarm || reading.score > 1.0) {
                continue;
            }
            let labels_at = page.labels.len() as u32;
            labels.write_canonical(&mut page.labels);
            let labels_len = page.labels.len() as u32 - labels_at;
            page.labels.extend_from_slice(host.as_bytes());
            let host_len = host.len() as u32;
            page.rows.push(ScoreRow { id: labels.id(), labels_at, labels_len, host_len, reading: *reading });
        }
        page.next = (cursor.shard == 0).then_some(Cursor { shard: 1, slot: 0 });
        Box::pin(async { page })
    }

    fn hosts(&self) -> BoxFuture<'_, Vec<HostReading>> {
        let hosts = self.hosts.clone();
        Box::pin(async { hosts })
    }
}

/// What a sink runs with.
#[derive(Debug)]
pub struct Sink {
    /// What the sink may reach.
    pub context: SinkContext,
    /// Ends it.
    pub stop: watch::Sender<bool>,
}

impl Sink {
    /// With these scores, at this time.
    #[must_use]
    pub fn new(scores: FakeScores, now_ms: i64) -> Self {
        let (stop, shutdown) = Shutdown::channel();
        let context = SinkContext {
            name: "nagios".into(),
            scores: Arc::new(scores),
            clock: Arc::new(Standing(now_ms)),
            shutdown,
            metrics: Metrics::default(),
            health: watchbell_adapter_api::Health::default(),
        };
        Self { context, stop }
    }
}

/// A result of the service `Anomaly`, found at second 7.
#[must_use]
pub fn result(host: &str, state: u8, text: &str) -> PassiveResult {
    let state = [State::Ok, State::Warning, State::Critical, State::Unknown][usize::from(state)];
    let (service, perfdata) = ("Anomaly".to_owned(), "watchbell_score=1".to_owned());
    PassiveResult { host: host.to_owned(), service, state, time_s: 7, text: text.to_owned(), perfdata }
}
