//! The source as the service sees it: checked config, batches, stale markers, behaviour under pressure.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use watchbell_adapter_api::{Clock, Ingest, Metrics, Receipt, Shutdown};
use watchbell_series::labels::read_canonical;
use watchbell_series::{MetricKind, is_stale};

use super::*;

struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now_ms(&self) -> i64 {
        self.0.fetch_add(1_000, Ordering::Relaxed)
    }
}

/// Passes each batch on; answers with what `answer` gives for the batch's number.
struct Recorder {
    batches: mpsc::Sender<RawBatch>,
    seen: AtomicI64,
    answer: fn(i64) -> Result<Receipt, IngestError>,
}

impl Ingest for Recorder {
    fn submit(&self, batch: RawBatch) -> BoxFuture<'_, Result<Receipt, IngestError>> {
        let number = self.seen.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            // The test may have seen enough.
            let _ = self.batches.send(batch).await;
            (self.answer)(number)
        })
    }
}

fn prepared(json: serde_json::Value) -> Result<Box<dyn Source>, Vec<String>> {
    let mut problems = Problems::default();
    let source = (crate::SOURCES[0].prepare)(json, &mut problems);
    source.ok_or_else(|| problems.into_vec().iter().map(ToString::to_string).collect())
}

/// A source that reads faster than a config may ask for, so that tests need not wait.
fn quick(procfs: &str, disable: &[Group]) -> Box<dyn Source> {
    let config =
        HostConfig { interval: Span(Duration::from_millis(10)), procfs: procfs.into(), ..HostConfig::default() };
    let (roots, filters) = config.parts().expect("the defaults are valid");
    let groups = Group::ALL.iter().copied().filter(|group| !disable.contains(group)).collect();
    Box::new(Host { config, reader: Arc::new(Reader { roots, filters, groups, state: Mutex::default() }) })
}

struct Running {
    batches: mpsc::Receiver<RawBatch>,
    stop: tokio::sync::watch::Sender<bool>,
    task: tokio::task::JoinHandle<Result<(), SourceError>>,
    metrics: Metrics,
}

fn start(source: Box<dyn Source>, answer: fn(i64) -> Result<Receipt, IngestError>) -> Running {
    let (sender, batches) = mpsc::channel(1);
    let (stop, shutdown) = Shutdown::channel();
    let metrics = Metrics::default();
    let context = SourceContext {
        name: "host".into(),
        ingest: Arc::new(Recorder { batches: sender, seen: AtomicI64::new(0), answer }),
        context: Arc::<watchbell_adapter_api::context::Told>::default(),
        clock: Arc::new(Ticking(AtomicI64::new(1_763_660_000_000))),
        shutdown,
        metrics: metrics.clone(),
        health: watchbell_adapter_api::Health::default(),
        state: None,
    };
    Running { batches, stop, task: tokio::spawn(source.run(context)), metrics }
}

async fn next(running: &mut Running) -> RawBatch {
    let batch = tokio::time::timeout(Duration::from_secs(20), running.batches.recv()).await;
    batch.expect("a reading in time").expect("the source runs")
}

fn names(batch: &RawBatch) -> Vec<String> {
    let labels = |s| read_canonical(batch.label_bytes(s)).expect("valid").to_string();
    batch.series.iter().map(labels).collect()
}

#[test]
fn bad_settings_are_all_reported() {
    let all = ["cpu", "load", "memory", "disk", "network", "pressure", "kernel", "filesystem"];
    let json =
        serde_json::json!({"interval": "10ms", "job": "", "disk_exclude": "(", "network_exclude": "[", "disable": all});
    let problems = prepared(json).err().expect("problems");
    for field in ["interval: `10ms`", "job: ", "disk_exclude: ", "network_exclude: ", "disable: "] {
        assert!(problems.iter().any(|p| p.starts_with(field)), "{field} not in {problems:?}");
    }
    assert!(prepared(serde_json::json!({"intervall": "15s"})).is_err());
    assert!(prepared(serde_json::json!({"disable": ["gpu"]})).is_err());
}

#[tokio::test]
async fn reads_this_machine_and_stops() {
    let source = prepared(serde_json::json!({"instance": "web1"})).expect("valid");
    let mut running = start(source, |_| Ok(Receipt::default()));
    let batch = next(&mut running).await;
    assert_eq!(batch.received_ms, 1_763_660_000_000);
    assert!(batch.samples.iter().all(|s| s.ts_ms == batch.received_ms && s.value.is_finite()));
    let names = names(&batch);
    assert!(names.iter().all(|name| name.contains("instance=\"web1\"") && name.contains("job=\"host\"")));
    for name in
        ["node_cpu_seconds_total{cpu=\"0\"", "node_load1{", "node_memory_MemAvailable_bytes{", "node_filesystem_"]
    {
        assert!(names.iter().any(|n| n.starts_with(name)), "{name} not in {names:#?}");
    }
    assert!(batch.series.iter().all(|s| matches!(s.kind, MetricKind::Counter | MetricKind::Gauge)));
    running.stop.send(true).expect("it listens");
    running.task.await.expect("no panic").expect("a clean end");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_is_gone_is_ended_and_what_fails_is_counted() {
    let proc = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(proc.path().join("net")).expect("a folder");
    std::fs::write(proc.path().join("loadavg"), "nonsense\n").expect("written");
    // Replaced in one step: a reader sees the old text or the new one.
    let write = |disks: &str| {
        std::fs::write(proc.path().join("new"), disks).expect("written");
        std::fs::rename(proc.path().join("new"), proc.path().join("diskstats")).expect("replaced");
    };
    write(" 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n 8 1 sdb 1 2 3 4 5 6 7 8 9 10 11\n");
    let source = quick(proc.path().to_str().expect("text"), &[]);
    let mut running = start(source, |_| Ok(Receipt::default()));
    let first = next(&mut running).await;
    assert_eq!(first.series.len(), 22, "files that are absent are no error");
    write(" 8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n");
    // Readings taken before the change may still be on their way.
    let mut ended = Vec::new();
    while ended.is_empty() {
        let batch = next(&mut running).await;
        let stale = batch.series.iter().filter(|s| is_stale(batch.samples_of(s)[0].value));
        ended = stale.map(|s| read_canonical(batch.label_bytes(s)).expect("valid").to_string()).collect();
    }
    assert_eq!(ended.len(), 11);
    assert!(ended.iter().all(|name| name.contains("device=\"sdb\"")));
    assert!(running.metrics.counter(&READ_ERRORS, &["host", "load"]).get() >= 2.0);
    assert_eq!(running.metrics.counter(&READ_ERRORS, &["host", "memory"]).get(), 0.0);
}

#[tokio::test]
async fn a_busy_service_is_asked_again_later() {
    let source = quick("/proc", &[Group::Filesystem]);
    let busy = |number| match number {
        0 => Err(IngestError::Starting { retry_after: Duration::from_millis(1) }),
        1 => Ok(Receipt::default()),
        _ => Err(IngestError::Stopping),
    };
    let mut running = start(source, busy);
    for _ in 0..3 {
        next(&mut running).await;
    }
    assert_eq!(running.metrics.counter(&SKIPPED, &["host"]).get(), 1.0);
    running.stop.send(true).expect("it listens");
    running.task.await.expect("no panic").expect("a clean end");
}
