//! The sink against a receiver in this process.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use watchbell_adapter_api::{Clock, HostReading, Metrics, Shutdown, SinkKind};
use watchbell_series::labels::iter_canonical;
use watchbell_series::{Labels, NotReady, Reading, is_stale};

use super::*;
use crate::fake_scores::{FakeScores, reading};

const START: i64 = 1_800_000_000_000;

struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// One received sample: `name{labels}`, milliseconds since the start, value.
type Received = (String, i64, f64);

struct Bench {
    requests: mpsc::UnboundedReceiver<(HeaderMap, Vec<Received>)>,
    scores: Arc<FakeScores>,
    clock: Arc<SetClock>,
    metrics: Metrics,
    stop: watch::Sender<bool>,
    running: JoinHandle<Result<(), SourceError>>,
}

fn decode(body: &[u8]) -> Vec<Received> {
    let raw = snap::raw::Decoder::new().decompress_vec(body).expect("snappy");
    let (mut rest, mut samples) = (&raw[..], Vec::new());
    while let Some((0x0a, after)) = rest.split_first() {
        let (len, used) = varint(after);
        let (series, after) = after[used..].split_at(len as usize);
        rest = after;
        let labels = Labels::series(iter_canonical(series)).expect("valid labels");
        let names: Vec<_> = iter_canonical(series).map(|(name, _)| name).collect();
        assert!(names.is_sorted(), "{names:?}");
        let mut bytes = Vec::new();
        labels.write_canonical(&mut bytes);
        let sample = &series[bytes.len()..];
        assert_eq!((sample[0], sample[2], sample[11]), (0x12, 0x09, 0x10));
        let value = f64::from_bits(u64::from_le_bytes(sample[3..11].try_into().expect("eight bytes")));
        samples.push((labels.to_string(), varint(&sample[12..]).0 as i64 - START, value));
    }
    assert!(rest.is_empty());
    samples
}

fn varint(bytes: &[u8]) -> (u64, usize) {
    let len = bytes.iter().position(|b| *b < 0x80).expect("an end") + 1;
    (bytes[..len].iter().rev().fold(0, |n, b| (n << 7) | u64::from(b & 0x7f)), len)
}

/// A running sink, whose receiver gives `answers` first and then 204.
async fn bench(config: Value, answers: Vec<Response>) -> Bench {
    // A second installation is refused and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    #[expect(clippy::disallowed_methods, reason = "a test reads all that is sent")]
    let (sent, requests) = mpsc::unbounded_channel();
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let take = move |headers: HeaderMap, body: Bytes| async move {
        // The test may be over while the sink still sends.
        let _ = sent.send((headers, decode(&body)));
        let next = answers.lock().expect("no test panics with it").next();
        next.unwrap_or_else(|| StatusCode::NO_CONTENT.into_response())
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/write", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/write", post(take))).await });

    let mut all = json!({"url": url, "interval": "5ms", "families": ["score", "ready"], "shards": 1});
    all.as_object_mut().expect("an object").extend(config.as_object().cloned().expect("an object"));
    let mut problems = Problems::default();
    let Some(Prepared::Scores(sink)) = (SinkKind::of::<RemoteWriteConfig>().prepare)(all, &mut problems) else {
        panic!("{:?}", problems.into_vec())
    };
    let (stop, shutdown) = Shutdown::channel();
    let (scores, clock) = (Arc::new(FakeScores::default()), Arc::new(SetClock(AtomicI64::new(START))));
    let metrics = Metrics::default();
    let context = SinkContext {
        name: "rw".into(),
        scores: Arc::clone(&scores) as _,
        clock: Arc::clone(&clock) as _,
        shutdown,
        metrics: metrics.clone(),
        health: watchbell_adapter_api::Health::default(),
    };
    let mut run = sink.run(context);
    // Once polled it has taken the time of its start.
    assert!((&mut run).now_or_never().is_none());
    Bench { requests, scores, clock, metrics, stop, running: tokio::spawn(run) }
}

impl Bench {
    /// Sets the time and the readings at that time.
    fn at(&self, ms: i64, rows: &[(&str, Reading)]) {
        self.clock.0.store(START + ms, Ordering::SeqCst);
        let labels = |name: &str| Labels::series([("__name__", name), ("A", "b")]).expect("valid");
        self.scores.set(rows.iter().map(|(name, reading)| (labels(name), *reading)).collect());
    }

    async fn request(&mut self) -> (HeaderMap, Vec<Received>) {
        self.requests.recv().await.expect("a request")
    }

    async fn stop(self) -> Metrics {
        self.stop.send(true).expect("it runs");
        self.running.await.expect("no panic").expect("a clean end");
        self.metrics
    }
}

fn dropped(metrics: &Metrics, reason: &str) -> u64 {
    metrics.counter(&DROPPED, &["rw", reason]).get() as u64
}

fn score(name: &str) -> String {
    format!("watchbell_anomaly_score{{A=\"b\",metric=\"{name}\"}}")
}

fn ready(name: &str) -> String {
    format!("watchbell_series_ready{{A=\"b\",metric=\"{name}\"}}")
}

fn at(ms: i64, score: f32) -> Reading {
    reading(START + ms, score)
}

#[tokio::test]
async fn sends_new_samples_at_their_own_time() {
    let mut bench = bench(json!({"external_labels": {"zone": "z"}, "match": ["load"]}), Vec::new()).await;
    bench.at(100, &[("load", at(90, 0.5)), ("other", at(90, 0.5)), ("old", at(-1, 0.5))]);
    let (headers, samples) = bench.request().await;
    assert_eq!(headers["content-encoding"], "snappy");
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert_eq!(headers["x-prometheus-remote-write-version"], "0.1.0");
    assert!(headers["user-agent"].to_str().expect("ASCII").starts_with("watchbell/"));
    assert!(!headers.contains_key("retry-attempt"));
    let named = |name: &str| format!("{name}{{A=\"b\",metric=\"load\",zone=\"z\"}}");
    let want = [(named("watchbell_anomaly_score"), 90, 0.5), (named("watchbell_series_ready"), 90, 1.0)];
    assert_eq!(samples, want);
    bench.at(200, &[("load", at(190, 1.5))]);
    let (_, samples) = bench.request().await;
    assert_eq!(samples[0], (named("watchbell_anomaly_score"), 190, 1.5));
    assert_eq!(bench.stop().await.counter(&SENT, &["rw"]).get() as u64, 4);
}

#[tokio::test]
async fn tries_again_and_says_so() {
    let answers = vec![StatusCode::INTERNAL_SERVER_ERROR.into_response(), StatusCode::BAD_GATEWAY.into_response()];
    let mut bench = bench(json!({}), answers).await;
    bench.at(100, &[("load", at(90, 0.5))]);
    let first = bench.request().await;
    let second = bench.request().await;
    let third = bench.request().await;
    assert_eq!((&first.1, &first.1), (&second.1, &third.1));
    assert_eq!(
        (&second.0["retry-attempt"], &third.0["retry-attempt"]),
        (&"1".parse().expect("a header"), &"2".parse().expect("a header"))
    );
    let metrics = bench.stop().await;
    assert_eq!(metrics.counter(&RETRIES, &["rw"]).get() as u64, 2);
    assert_eq!(metrics.counter(&SENT, &["rw"]).get() as u64, 2);
}

#[tokio::test]
async fn waits_as_long_as_it_is_asked_to() {
    let answers = vec![(StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response()];
    let mut bench = bench(json!({}), answers).await;
    bench.at(100, &[("load", at(90, 0.5))]);
    bench.request().await;
    assert!(tokio::time::timeout(Duration::from_millis(900), bench.request()).await.is_err(), "came too early");
    assert_eq!(bench.request().await.0["retry-attempt"], "1");
    bench.stop().await;
}

#[tokio::test]
async fn drops_what_is_refused_and_goes_on() {
    let mut bench = bench(json!({}), vec![(StatusCode::BAD_REQUEST, "out of bounds").into_response()]).await;
    bench.at(100, &[("load", at(90, 0.5))]);
    bench.request().await;
    bench.at(200, &[("load", at(190, 0.5))]);
    assert_eq!(bench.request().await.1[0].1, 190);
    let metrics = bench.stop().await;
    assert_eq!((dropped(&metrics, "refused"), metrics.counter(&SENT, &["rw"]).get() as u64), (2, 2));
}

#[tokio::test]
async fn gives_up_in_the_end() {
    let answers = vec![StatusCode::SERVICE_UNAVAILABLE.into_response()];
    let mut bench = bench(json!({"retry_for": "0"}), answers).await;
    bench.at(100, &[("load", at(90, 0.5))]);
    bench.request().await;
    bench.at(200, &[("load", at(190, 0.5))]);
    assert_eq!(bench.request().await.1[0].1, 190);
    assert_eq!(dropped(&bench.stop().await, "gave_up"), 2);
}

#[tokio::test]
async fn ends_series_by_stale_markers() {
    let mut bench = bench(json!({}), Vec::new()).await;
    bench.at(100, &[("load", at(90, 0.5))]);
    bench.request().await;

    bench.at(200, &[("load", Reading { not_ready: Some(NotReady::Stale), ..at(90, 0.5) })]);
    let (_, samples) = bench.request().await;
    let stale = "watchbell_series_ready{A=\"b\",metric=\"load\",reason=\"stale\"}".to_owned();
    let names: Vec<_> = samples.iter().map(|(name, ms, value)| (name.clone(), *ms, is_stale(*value))).collect();
    assert_eq!(names, [(score("load"), 200, true), (ready("load"), 200, true), (stale.clone(), 200, false)]);

    bench.clock.0.store(START + 400_000, Ordering::SeqCst);
    let (_, samples) = bench.request().await;
    assert_eq!((samples.len(), &samples[0].0, samples[0].1, is_stale(samples[0].2)), (1, &stale, 400_000, true));
    bench.stop().await;
}

#[tokio::test]
async fn sends_hosts_and_ends_them() {
    let mut bench = bench(json!({"match": ["watchbell_host_score"]}), Vec::new()).await;
    bench.at(100, &[]);
    let host = HostReading { host: "web-1".into(), series: 3, score: 1.25, ..HostReading::default() };
    bench.scores.set_hosts(vec![host]);
    let name = "watchbell_host_score{host=\"web-1\"}".to_owned();
    assert_eq!(bench.request().await.1, [(name.clone(), 100, 1.25)]);
    bench.scores.set_hosts(Vec::new());
    let ended = loop {
        let (_, samples) = bench.request().await;
        assert_eq!((samples.len(), &samples[0].0), (1, &name));
        if is_stale(samples[0].2) {
            break samples[0].1;
        }
    };
    assert!(ended > 100);
    bench.stop().await;
}

#[tokio::test]
async fn splits_by_samples_and_over_shards() {
    let mut bench = bench(json!({"shards": 3, "max_samples_per_send": 7}), Vec::new()).await;
    let names: Vec<String> = (0..50).map(|i| format!("m{i}")).collect();
    bench.at(100, &names.iter().map(|name| (name.as_str(), at(90, 0.5))).collect::<Vec<_>>());
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let (_, samples) = bench.request().await;
        assert!(samples.len() <= 7);
        seen.extend(samples.into_iter().map(|(name, ..)| name));
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 100);
    bench.stop().await;
}

#[tokio::test]
async fn sends_what_is_queued_before_it_stops() {
    let answers = vec![(StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1")]).into_response()];
    let mut bench = bench(json!({"max_samples_per_send": 2}), answers).await;
    bench.at(100, &[("a", at(90, 0.5)), ("b", at(90, 0.5)), ("c", at(90, 0.5))]);
    // The first of three requests has failed and waits for a second; nothing is sent yet.
    bench.request().await;
    let pending = bench.metrics.gauge(&PENDING, &["rw"]);
    while pending.get() < 6.0 {
        tokio::task::yield_now().await;
    }
    let metrics = bench.stop().await;
    assert_eq!((metrics.counter(&SENT, &["rw"]).get() as u64, pending.get() as i64), (6, 0));
}

#[tokio::test]
async fn sends_the_last_scores_when_it_stops() {
    let mut bench = bench(json!({"interval": "1h"}), Vec::new()).await;
    bench.at(100, &[("load", at(90, 0.5))]);
    bench.stop.send(true).expect("it runs");
    assert_eq!(bench.request().await.1[0], (score("load"), 90, 0.5));
    bench.running.await.expect("no panic").expect("a clean end");
}

#[test]
fn config_problems_are_named() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = json!({
        "url": "prometheus:9090",
        "interval": "0",
        "match": ["{", "up"],
        "shards": 0,
        "max_samples_per_send": 1_000_000,
        "external_labels": {"metric": "x", "__a": "y", "a.b": "z", "cluster": "fine"},
        "http": {"proxy_url": "::"},
    });
    let mut problems = Problems::default();
    assert!((SinkKind::of::<RemoteWriteConfig>().prepare)(config, &mut problems).is_none());
    let places: Vec<_> = problems.into_vec().into_iter().map(|problem| problem.path).collect();
    let want = [
        "match[0]",
        "external_labels.__a",
        "external_labels.a.b",
        "external_labels.metric",
        "interval",
        "shards",
        "max_samples_per_send",
        "url",
        "http.proxy_url",
    ];
    assert_eq!(places, want);
}
