//! Reading the past back from a server that keeps a few series.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use watchbell_adapter_api::metrics::Counter;
use watchbell_adapter_api::{
    History, HistoryContext, HistoryDone, HistoryKind, HistoryRequest, HttpClientConfig, Ingest, Metrics, Problems,
    Shutdown,
};
use watchbell_series::labels::read_canonical;
use watchbell_series::{Labels, MetricKind, Mode, RawBatch, RawSample, Selector};

use super::support::{Form, Hand, NOW, Recorder, Reply, Server, error, is_whole, ms, rows, tls};
use crate::query::QueryHistoryConfig;
use crate::query::api::{Api, Read};
use crate::query::history::QueryHistory;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Series with a sample at each multiple of `every_ms`, without begin or end.
#[derive(Clone)]
struct Store {
    series: Vec<Labels>,
    every_ms: i64,
}

impl Store {
    fn new(series: impl IntoIterator<Item = Vec<(&'static str, String)>>, every_ms: i64) -> Self {
        Self { series: series.into_iter().map(|pairs| Labels::series(pairs).expect("valid")).collect(), every_ms }
    }

    fn selected(&self, selectors: &str) -> Vec<&Labels> {
        let selectors: Vec<Selector> = selectors.lines().map(|text| text.parse().expect("a selector")).collect();
        self.series.iter().filter(|labels| selectors.iter().any(|selector| selector.matches(labels))).collect()
    }

    /// As Prometheus answers; ranges are closed at both ends, as before Prometheus 3.
    fn answer(&self, path: &str, form: &Form) -> Reply {
        let api = path.strip_prefix("/prefix/api/v1/").expect("the prefix");
        if let Some(label) = api.strip_prefix("label/").and_then(|rest| rest.strip_suffix("/values")) {
            let found = self.selected(&form["match[]"]);
            let values: BTreeSet<&str> = found.into_iter().filter_map(|labels| labels.get(label)).collect();
            return success(&serde_json::json!(values));
        }
        if api == "series" {
            let found: Vec<_> = self.selected(&form["match[]"]).into_iter().map(metric).collect();
            return success(&serde_json::json!(found));
        }
        let (selector, span) = form["query"].rsplit_once('[').expect("a range");
        let span: i64 = span.strip_suffix("ms]").and_then(|span| span.parse().ok()).expect("milliseconds");
        let right = ms(form, "time");
        let first = (right - span).div_euclid(self.every_ms) * self.every_ms;
        let times = (first..=right).step_by(self.every_ms as usize).filter(|ts| *ts >= right - span);
        let values: Vec<_> = times.map(|ts| (ts as f64 / 1000.0, "1")).collect();
        let found = self.selected(selector);
        let result = found.into_iter().map(|labels| serde_json::json!({"metric": metric(labels), "values": values}));
        success(&serde_json::json!({"resultType": "matrix", "result": result.collect::<Vec<_>>()}))
    }
}

fn metric(labels: &Labels) -> BTreeMap<&str, &str> {
    labels.iter().collect()
}

fn success(data: &serde_json::Value) -> Reply {
    (200, serde_json::json!({"status": "success", "data": data}).to_string())
}

/// One series with a sample every 15 s, of which no more than two hours are answered at once.
fn up(path: &str, form: &Form) -> Reply {
    let store = Store::new([vec![("__name__", "up".to_owned()), ("instance", "web-1:9100".to_owned())]], 15_000);
    match form.get("query").and_then(|query| query.rsplit_once('[')) {
        Some((_, span)) if span.trim_end_matches("ms]").parse::<i64>().expect("milliseconds") > 2 * HOUR => {
            error(422, "the query exceeded the maximum number of chunks")
        }
        _ => store.answer(path, form),
    }
}

fn history(config: serde_json::Value) -> Arc<dyn History> {
    tls();
    let mut problems = Problems::default();
    let history = (HistoryKind::of::<QueryHistoryConfig>().prepare)(config, &mut problems);
    history.unwrap_or_else(|| panic!("{problems:?}"))
}

/// A read under way and what it did.
struct Bench {
    recorder: Arc<Recorder>,
    clock: Arc<Hand>,
    metrics: Metrics,
    shares: Arc<Mutex<Vec<f64>>>,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(Hand(AtomicI64::new(NOW)));
        Self { recorder: Arc::default(), clock, metrics: Metrics::default(), shares: Arc::default() }
    }

    async fn read(&self, history: &dyn History, labels: &[(&str, &str)], from_ms: i64) -> Result<HistoryDone, String> {
        let (_stop, shutdown) = Shutdown::channel();
        let shares = self.shares.clone();
        let context = HistoryContext {
            ingest: self.recorder.clone(),
            clock: self.clock.clone(),
            shutdown,
            metrics: self.metrics.clone(),
            patient: true,
            progress: Arc::new(move |share| shares.lock().expect("unpoisoned").push(share)),
        };
        let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let done = history.read(HistoryRequest { labels, from_ms, to_ms: NOW }, context).await;
        done.map_err(|e| e.to_string())
    }

    fn skipped(&self, reason: &str) -> Counter {
        self.metrics.counter(&crate::query::history::SKIPPED, &[reason])
    }

    /// For each series the times of its backfill; each must have come in one batch, with all parts of its
    /// histogram.
    fn whole(&self) -> BTreeMap<Labels, Vec<i64>> {
        let mut all = BTreeMap::new();
        let mut batch_of = BTreeMap::new();
        for (i, batch) in self.recorder.batches().into_iter().enumerate().filter(|(_, b)| b.mode == Mode::Backfill) {
            for series in &batch.series {
                let labels = read_canonical(batch.label_bytes(series)).expect("labels");
                let family = labels.name().trim_end_matches("_bucket").trim_end_matches("_sum");
                let histogram = labels.with("le", "").with("__name__", family.trim_end_matches("_count"));
                assert_eq!(*batch_of.entry(histogram).or_insert(i), i, "{labels} is apart from its histogram");
                let times: Vec<i64> = batch.samples_of(series).iter().map(|sample| sample.ts_ms).collect();
                assert!(all.insert(labels.clone(), times).is_none(), "{labels} came twice");
            }
        }
        all
    }
}

#[tokio::test]
async fn gives_each_stored_sample_once() {
    let server = Server::start(up).await;
    let history = history(serde_json::json!({"url": server.url}));
    assert_eq!(history.lookback_ms(), 14 * DAY);
    let bench = Bench::new();
    let done = bench.read(&*history, &[("instance", "web-1:9100")], NOW - DAY).await;
    let samples = bench.recorder.samples();
    assert_eq!(done, Ok(HistoryDone { series: 1, samples: samples.len() as u64 }));
    assert!(is_whole(&samples));
    assert!(samples.iter().all(|sample| sample.2 == Mode::Backfill));
    // Stored at the multiples of 15 s, of which now is 5 s past one.
    assert_eq!((samples[0].1, samples.last().expect("samples").1), (-86_390.0, -5.0));
    let shares = bench.shares.lock().expect("unpoisoned");
    assert!(shares.is_sorted() && shares.last() == Some(&1.0));
    for form in server.forms() {
        let selector = form.get("query").unwrap_or_else(|| &form["match[]"]);
        assert!(selector.starts_with(r#"{__name__!~"(watchbell_.*)?",instance="web-1:9100""#), "{selector}");
    }
}

/// Hosts with a histogram, a gauge by core, and one without an instance.
fn fleet() -> Store {
    let mut all = Vec::new();
    let mut add = |name: &str, instance: &str, label: &'static str, value: &str| {
        let instance = ("instance", instance.to_owned());
        all.push(vec![("__name__", name.to_owned()), instance, (label, value.to_owned())]);
    };
    for host in 0..12 {
        let instance = format!("10.0.0.{host}:9100");
        for le in ["0.1", "1", "10", "+Inf"] {
            add("latency_seconds_bucket", &instance, "le", le);
        }
        for name in ["latency_seconds_count", "latency_seconds_sum", "load1", "up"] {
            add(name, &instance, "job", "node");
        }
        for core in 0..30 {
            add("cpu", &instance, "core", &core.to_string());
        }
    }
    for queue in 0..70 {
        add("queue_length", "", "queue", &format!("jobs|{queue}"));
    }
    Store::new(all, 6 * HOUR)
}

fn times(every_ms: i64, from_ms: i64, to_ms: i64) -> Vec<i64> {
    let first = (from_ms + every_ms - 1).div_euclid(every_ms) * every_ms;
    (first..=to_ms).step_by(every_ms as usize).collect()
}

#[tokio::test]
async fn live_samples_between_two_answers_leave_no_hole() {
    let (store, bench) = (fleet(), Bench::new());
    let (live, labels) = (bench.recorder.clone(), store.series.clone());
    let answers = store.clone();
    let server = Server::start(move |path, form| {
        if path.ends_with("/query") {
            // Windows of three days, and live samples of all series between any two of them.
            let span = form["query"].rsplit_once('[').and_then(|(_, span)| span.strip_suffix("ms]")?.parse().ok());
            if span > Some(3 * DAY) {
                return error(422, "query processing would load too many samples into memory in query execution");
            }
            let mut batch = RawBatch { received_ms: NOW, ..RawBatch::default() };
            for labels in &labels {
                batch.push(labels, MetricKind::Unknown, &[RawSample { ts_ms: NOW, value: 1.0 }]);
            }
            // Recorded when it is called.
            drop(live.submit(batch));
        }
        answers.answer(path, form)
    })
    .await;
    let done = bench.read(&*history(serde_json::json!({"url": server.url})), &[], NOW - 14 * DAY).await;
    let all = bench.whole();
    assert_eq!(done, Ok(HistoryDone { series: all.len() as u64, samples: 56 * all.len() as u64 }));
    assert_eq!(
        all.keys().collect::<Vec<_>>(),
        store.series.iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    );
    let expected = times(6 * HOUR, NOW - 14 * DAY, NOW);
    assert!(all.values().all(|times| *times == expected));
    let live = bench.recorder.batches().iter().filter(|batch| batch.mode == Mode::Live).count();
    assert!(live > 50, "there was something to mix with: {live}");
    let shares = bench.shares.lock().expect("unpoisoned");
    assert!(shares.is_sorted() && shares.len() > 10 && shares.last() == Some(&1.0), "{shares:?}");
}

#[tokio::test]
async fn overlapping_selectors_give_each_series_once() {
    let store = fleet();
    let answers = store.clone();
    let server = Server::start(move |path, form| answers.answer(path, form)).await;
    let selectors = ["{job=\"node\"}", "up", "latency_seconds_bucket", "{__name__=~\"latency.*\"}"];
    let bench = Bench::new();
    let config = serde_json::json!({"url": server.url, "selectors": selectors});
    assert!(bench.read(&*history(config), &[], NOW - DAY).await.is_ok());
    let all = bench.whole();
    let expected = times(6 * HOUR, NOW - DAY, NOW);
    assert!(all.len() == 12 * 8 && all.values().all(|times| *times == expected), "{}", all.len());
}

#[tokio::test]
async fn chunks_that_a_server_refuses_are_taken_apart() {
    let store = fleet();
    let answers = store.clone();
    let server = Server::start(move |path, form| match form.get("query").and_then(|query| query.rsplit_once('[')) {
        Some((selector, _)) if answers.selected(selector).len() > 7 => error(422, "too many time series"),
        _ => answers.answer(path, form),
    })
    .await;
    let bench = Bench::new();
    let done = bench.read(&*history(serde_json::json!({"url": server.url})), &[], NOW - DAY).await;
    assert_eq!(done.map(|done| done.series), Ok(store.series.len() as u64));
    let expected = times(6 * HOUR, NOW - DAY, NOW);
    assert!(bench.whole().values().all(|times| *times == expected));
}

#[tokio::test]
async fn lists_that_are_too_long_are_asked_for_by_host() {
    let store = fleet();
    let answers = store.clone();
    let server = Server::start(move |path, form| {
        if path.ends_with("/series") && answers.selected(&form["match[]"]).len() > 60 {
            return error(422, "the number of matching timeseries exceeds 60");
        }
        answers.answer(path, form)
    })
    .await;
    let bench = Bench::new();
    let done = bench.read(&*history(serde_json::json!({"url": server.url})), &[], NOW - DAY).await;
    // All but the queues, of which there are 70 without a host.
    assert_eq!(done.map(|done| done.series), Ok(12 * 38));
    assert_eq!(bench.skipped("too_large").get(), 1.0);
    assert!(bench.whole().keys().all(|labels| labels.name() != "queue_length"));
    let shares = bench.shares.lock().expect("unpoisoned");
    assert!(shares.is_sorted() && shares.last() == Some(&1.0), "{shares:?}");
}

#[tokio::test]
async fn what_does_not_fit_is_taken_apart_and_a_histogram_loses_its_oldest() {
    let store = fleet();
    let answers = store.clone();
    let server = Server::start(move |path, form| answers.answer(path, form)).await;
    tls();
    let mut problems = Problems::default();
    let http = HttpClientConfig::default();
    let api = Api::new(&server.url, &http, std::time::Duration::from_secs(5), 1 << 20, &mut problems).expect("good");
    let selectors = vec!["{__name__=~\"latency.*|up\"}".parse().expect("valid")];
    let history = QueryHistory { api, selectors, read: Read::Raw, lookback_ms: DAY, most_samples: 100 };
    let bench = Bench::new();
    assert!(bench.read(&history, &[], NOW - 14 * DAY).await.is_ok());
    let (all, expected) = (bench.whole(), times(6 * HOUR, NOW - 14 * DAY, NOW));
    assert_eq!(all.len(), 12 * 7);
    let mut dropped = 0;
    for (labels, times) in &all {
        dropped += expected.len() - times.len();
        if labels.name() == "up" {
            assert_eq!(*times, expected, "56 samples fit");
        } else {
            assert!(!times.is_empty() && times.len() < 30 && expected.ends_with(times), "{labels}: {times:?}");
            let other = all.iter().find(|(other, _)| other.get("instance") == labels.get("instance"));
            assert_eq!(other.map(|(_, times)| times.len()), Some(times.len()), "{labels}: parts are cut alike");
        }
    }
    assert_eq!(bench.skipped("too_old").get(), dropped as f64);
}

#[tokio::test]
async fn a_long_read_goes_on_to_the_present() {
    let (store, bench) = (fleet(), Bench::new());
    let clock = bench.clock.clone();
    let server = Server::start(move |path, form| {
        clock.0.fetch_add(HOUR, Ordering::Relaxed);
        store.answer(path, form)
    })
    .await;
    assert!(bench.read(&*history(serde_json::json!({"url": server.url})), &[], NOW - 14 * DAY).await.is_ok());
    let ends: BTreeSet<i64> = bench.whole().values().filter_map(|times| times.last().copied()).collect();
    let now = bench.clock.0.load(Ordering::Relaxed);
    assert!(ends.len() > 2 && ends.iter().all(|end| *end > NOW), "{ends:?}");
    assert!(ends.last().is_some_and(|end| now - end < 8 * HOUR));
    let late = |batch: &RawBatch| batch.samples.iter().all(|sample| sample.ts_ms <= batch.received_ms);
    assert!(bench.recorder.batches().iter().all(late), "nothing may seem to be from the future");
}

#[tokio::test]
async fn by_steps() {
    let server = Server::start(|path, form| match path {
        "/prefix/api/v1/query_range" => {
            rows(r#"{"__name__":"up"}"#, (ms(form, "start")..=ms(form, "end")).step_by(ms(form, "step") as usize))
        }
        _ => Store::new([vec![("__name__", "up".to_owned())]], 15_000).answer(path, form),
    })
    .await;
    let bench = Bench::new();
    let history = history(serde_json::json!({"url": server.url, "step": "15s"}));
    let done = bench.read(&*history, &[], NOW - DAY).await;
    assert_eq!(done, Ok(HistoryDone { series: 1, samples: 5760 }));
    assert!(is_whole(&bench.recorder.samples()));
}

#[tokio::test]
async fn says_why_it_can_not_be_read() {
    let server = Server::start(|_, _| error(400, "parse error")).await;
    let bench = Bench::new();
    let done = bench.read(&*history(serde_json::json!({"url": server.url, "selectors": ["up"]})), &[], NOW - DAY).await;
    let message = done.expect_err("refused");
    assert!(message.contains(r#"query `{__name__="up"}`: status 400: parse error"#), "{message}");
    assert!(bench.recorder.samples().is_empty());
}

#[tokio::test]
async fn survives_a_server_that_restarts() {
    let asked = Arc::new(AtomicI64::new(0));
    let server = Server::start(move |path, form| match asked.fetch_add(1, Ordering::Relaxed) {
        6 => (502, "<html>Bad Gateway</html>".to_owned()),
        _ => up(path, form),
    })
    .await;
    let bench = Bench::new();
    let done = bench.read(&*history(serde_json::json!({"url": server.url})), &[], NOW - DAY).await;
    assert_eq!(done.map(|done| done.samples), Ok(5760));
    assert!(is_whole(&bench.recorder.samples()));
}
