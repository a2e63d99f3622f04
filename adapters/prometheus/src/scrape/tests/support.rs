//! A target in this process, and a service that remembers what it was handed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::sync::watch;
use watchbell_adapter_api::{
    BoxFuture, Clock, Ingest, IngestError, Metrics, Problems, Receipt, Shutdown, SourceContext,
};
use watchbell_series::labels::read_canonical;
use watchbell_series::{RawBatch, is_stale};

use crate::scrape::ScrapeConfig;
use crate::scrape::job::Job;
use crate::scrape::runner::{Runner, Shared};
use crate::scrape::stats::Stats;
use crate::scrape::target::Target;

/// Serves `router` on a free port of the loopback for as long as the test runs.
pub(super) async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A target that answers with whatever stands in `page` now.
pub(super) async fn target(page: &Arc<Mutex<String>>, content_type: &'static str) -> SocketAddr {
    let page = Arc::clone(page);
    let answer = move || {
        let body = page.lock().expect("not poisoned").clone();
        async move { ([("content-type", content_type)], body).into_response() }
    };
    serve(Router::new().route("/metrics", get(answer))).await
}

pub(super) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
pub(super) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A clock that stands still until it is moved.
#[derive(Default)]
pub(super) struct FixedClock(AtomicI64);

impl Clock for FixedClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A clock that goes with the machine's.
pub(super) struct GoingClock(std::time::Instant);

impl Clock for GoingClock {
    fn now_ms(&self) -> i64 {
        1_800_000_000_000 + self.0.elapsed().as_millis() as i64
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's clock that goes")]
pub(super) fn going_clock() -> Arc<dyn Clock> {
    Arc::new(GoingClock(std::time::Instant::now()))
}

/// One sample as the service got it; a stale marker has no value.
pub(super) type Got = (String, i64, Option<f64>);

/// A service that knows series by their keys, as the real one does.
#[derive(Default)]
pub(super) struct FakeService {
    names: Mutex<HashMap<u64, String>>,
    got: Mutex<Vec<Got>>,
    /// Series that came with labels, over all batches.
    labelled: Mutex<usize>,
    batches: Mutex<usize>,
    pub(super) refuse: Mutex<VecDeque<IngestError>>,
    pub(super) forgetful: AtomicBool,
    changed: watch::Sender<()>,
}

impl Ingest for FakeService {
    fn submit(&self, batch: RawBatch) -> BoxFuture<'_, Result<Receipt, IngestError>> {
        Box::pin(async move {
            if let Some(error) = self.refuse.lock().expect("not poisoned").pop_front() {
                return Err(error);
            }
            *self.batches.lock().expect("not poisoned") += 1;
            let mut receipt = Receipt::default();
            let mut names = self.names.lock().expect("not poisoned");
            if self.forgetful.swap(false, Ordering::SeqCst) {
                names.clear();
            }
            for (at, series) in batch.series.iter().enumerate() {
                if series.labels_len > 0 {
                    let labels = read_canonical(batch.label_bytes(series)).expect("labels are canonical");
                    assert_eq!(labels.id().0, series.key, "the key is the id of {labels}");
                    names.insert(series.key, labels.to_string());
                    *self.labelled.lock().expect("not poisoned") += 1;
                }
                let Some(name) = names.get(&series.key) else {
                    receipt.unknown.push(at as u32);
                    continue;
                };
                for sample in batch.samples_of(series) {
                    let value = (!is_stale(sample.value)).then_some(sample.value);
                    self.got.lock().expect("not poisoned").push((name.clone(), sample.ts_ms, value));
                    receipt.samples += 1;
                }
            }
            self.changed.send_replace(());
            Ok(receipt)
        })
    }
}

impl FakeService {
    /// Takes what came since the last call, without the `scrape_*` series, in order of names.
    pub(super) fn take(&self) -> Vec<Got> {
        let mut got = std::mem::take(&mut *self.got.lock().expect("not poisoned"));
        got.retain(|(name, ..)| !name.starts_with("scrape_"));
        got.sort_by(|a, b| a.0.cmp(&b.0));
        got
    }

    /// What came and was not taken yet, with the `scrape_*` series.
    pub(super) fn all(&self) -> Vec<Got> {
        self.got.lock().expect("not poisoned").clone()
    }

    /// Takes the number of series that came with labels.
    pub(super) fn take_labelled(&self) -> usize {
        std::mem::take(&mut *self.labelled.lock().expect("not poisoned"))
    }

    pub(super) fn take_batches(&self) -> usize {
        std::mem::take(&mut *self.batches.lock().expect("not poisoned"))
    }

    /// Waits until what came satisfies `enough`.
    pub(super) async fn wait(&self, enough: impl Fn(&[Got]) -> bool) {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            while !enough(&self.all()) {
                changed.changed().await.expect("the service lives");
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it comes within 20 s");
    }
}

/// A runner with what it reports to.
pub(super) struct Bench {
    pub(super) runner: Runner,
    pub(super) service: Arc<FakeService>,
    pub(super) metrics: Metrics,
}

/// The config `settings` over a minimal one, checked.
pub(super) fn job(settings: Value) -> Result<Job, Vec<String>> {
    // Without a provider the HTTP client can not be built; a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = json!({"job_name": "j", "static_configs": [{"targets": ["a:1"]}]});
    for (name, value) in settings.as_object().expect("an object") {
        config[name] = value.clone();
    }
    let config: ScrapeConfig = serde_json::from_value(config).expect("the shape is right");
    let mut problems = Problems::default();
    let checked = config.check(&mut problems);
    checked.map(|(job, _)| job).ok_or_else(|| problems.into_vec().iter().map(ToString::to_string).collect())
}

pub(super) fn context(service: &Arc<FakeService>, clock: Arc<dyn Clock>) -> (SourceContext, watch::Sender<bool>) {
    let (stop, shutdown) = Shutdown::channel();
    let context = SourceContext {
        name: "test".into(),
        ingest: Arc::clone(service) as Arc<dyn Ingest>,
        context: Arc::<watchbell_adapter_api::context::Told>::default(),
        clock,
        shutdown,
        metrics: Metrics::default(),
        health: watchbell_adapter_api::Health::default(),
        state: None,
    };
    (context, stop)
}

/// A runner of the target at `address`.
pub(super) fn bench(address: SocketAddr, settings: Value) -> Bench {
    let job = Arc::new(job(settings).expect("the config is valid"));
    let target = Target::new(&job, &address.to_string(), &BTreeMap::from([("instance".into(), "i".into())]));
    let service = Arc::new(FakeService::default());
    let (context, _) = context(&service, Arc::new(FixedClock::default()));
    let metrics = context.metrics.clone();
    let shared = Shared {
        job,
        stats: Arc::new(Stats::new("test".into(), metrics.clone())),
        context,
        too_many_targets: AtomicBool::new(false),
    };
    Bench { runner: Runner::new(Arc::new(shared), target.expect("a target")), service, metrics }
}

impl Bench {
    /// Scrapes at `at_ms` and gives what the service got.
    pub(super) async fn scrape(&mut self, at_ms: i64) -> Vec<Got> {
        self.runner.scrape(at_ms).await;
        self.service.take()
    }

    /// Counts of the metric `name` by their last label.
    pub(super) fn counts(&self, name: &str) -> BTreeMap<String, f64> {
        let families = self.metrics.registry().gather();
        let family = families.iter().filter(|family| family.name() == name);
        family
            .flat_map(|family| family.get_metric())
            .map(|metric| {
                let last = metric.get_label().iter().find(|l| l.name() != "source").map_or("", |l| l.value());
                (last.to_owned(), metric.get_counter().get_value() + metric.get_gauge().get_value())
            })
            .filter(|(_, value)| *value != 0.0)
            .collect()
    }
}

/// A sample as [`FakeService::take`] gives it.
pub(super) fn got(name: &str, ts_ms: i64, value: f64) -> Got {
    (name.to_owned(), ts_ms, Some(value))
}

/// A stale marker as [`FakeService::take`] gives it.
pub(super) fn end(name: &str, ts_ms: i64) -> Got {
    (name.to_owned(), ts_ms, None)
}

pub(super) fn up(ts_ms: i64, value: f64) -> Got {
    got(r#"up{instance="i",job="j"}"#, ts_ms, value)
}
