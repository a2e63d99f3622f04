//! The receiver as senders meet it: requests through its router, against an ingest that records.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use tower::ServiceExt;
use watchbell_adapter_api::{
    BoxFuture, Clock, Ingest, IngestError, Metrics, Problems, Receipt, Resource, Shutdown, SourceContext, SourceKind,
};
use watchbell_series::{MetricKind, RawBatch};

use super::RemoteWriteInConfig;
use crate::proto::encode::*;

const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
const KIND: SourceKind = SourceKind::of::<RemoteWriteInConfig>();

struct Fixed;

impl Clock for Fixed {
    fn now_ms(&self) -> i64 {
        1_700_000_000_000
    }
}

/// Keeps what is submitted, and answers as it was told, else that all was taken.
#[derive(Default)]
struct Recorder {
    batches: Mutex<Vec<RawBatch>>,
    answers: Mutex<VecDeque<Result<Receipt, IngestError>>>,
}

impl Ingest for Recorder {
    fn submit(&self, batch: RawBatch) -> BoxFuture<'_, Result<Receipt, IngestError>> {
        let all = Receipt {
            samples: batch.samples.len() as u64,
            histograms: batch.histograms.len() as u64,
            ..Receipt::default()
        };
        let answer = self.answers.lock().expect("unpoisoned").pop_front().unwrap_or(Ok(all));
        self.batches.lock().expect("unpoisoned").push(batch);
        Box::pin(async move { answer })
    }
}

struct Peer {
    router: Router,
    recorder: Arc<Recorder>,
    metrics: Metrics,
    /// Dropping it is a shutdown.
    _stop: tokio::sync::watch::Sender<bool>,
}

struct Answer {
    status: StatusCode,
    response: Response<Body>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.response.headers().get(name).map_or("", |value| value.to_str().expect("text"))
    }

    fn written(&self) -> [&str; 3] {
        ["samples", "histograms", "exemplars"]
            .map(|what| self.header(&format!("x-prometheus-remote-write-{what}-written")))
    }

    async fn text(self) -> String {
        let bytes = axum::body::to_bytes(self.response.into_body(), 10_000).await.expect("a body");
        String::from_utf8(bytes.to_vec()).expect("text")
    }
}

impl Peer {
    fn new(config: serde_json::Value) -> Self {
        let mut problems = Problems::default();
        let mut source = (KIND.prepare)(config, &mut problems).expect("a good config");
        let (stop, shutdown) = Shutdown::channel();
        let (recorder, metrics) = (Arc::new(Recorder::default()), Metrics::default());
        let context = SourceContext {
            name: "rw".into(),
            ingest: recorder.clone(),
            context: Arc::<watchbell_adapter_api::context::Told>::default(),
            clock: Arc::new(Fixed),
            shutdown,
            metrics: metrics.clone(),
            health: watchbell_adapter_api::Health::default(),
            state: None,
        };
        Self { router: source.routes(&context).expect("routes"), recorder, metrics, _stop: stop }
    }

    fn plain() -> Self {
        Self::new(serde_json::json!({}))
    }

    fn next(&self, answer: Result<Receipt, IngestError>) {
        self.recorder.answers.lock().expect("unpoisoned").push_back(answer);
    }

    async fn send(&self, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::post("/api/v1/write");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        Answer { status: response.status(), response }
    }

    async fn write(&self, content_type: &str, message: &Message) -> Answer {
        self.send(&[("content-type", content_type), ("content-encoding", "snappy")], message.snappy()).await
    }

    fn batches(&self) -> Vec<RawBatch> {
        std::mem::take(&mut *self.recorder.batches.lock().expect("unpoisoned"))
    }

    /// The value of an own metric; `labels` as in `code="204"`.
    fn metric(&self, name: &str, label: Option<(&str, &str)>) -> f64 {
        let families = self.metrics.registry().gather();
        let family = families.iter().find(|family| family.name() == name).expect("known");
        let metric = family.get_metric().iter().find(|metric| {
            label.is_none_or(|(name, value)| {
                metric.get_label().iter().any(|pair| pair.name() == name && pair.value() == value)
            })
        });
        metric.expect("a series").get_counter().get_value()
    }
}

fn up() -> Message {
    v1_request(&[v1_series(&[("__name__", "up"), ("job", "node")], &[(1, 1.0), (2, 0.0)])])
}

fn up_v2() -> Message {
    let series = Message::new().packed_varint(1, &[1, 2]).message(2, &sample(1, 1.0));
    let histogram = Message::new().packed_varint(1, &[1, 3]).message(3, &integer_histogram(1));
    v2_symbols(&["", "__name__", "up", "h"])
        .message(5, &series.message(5, &Message::new().varint(1, 2)))
        .message(5, &histogram.message(4, &Message::new()))
}

#[tokio::test]
async fn a_write_is_judged_and_then_acknowledged() {
    let peer = Peer::plain();
    let answer = peer.write("application/x-protobuf", &up()).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::NO_CONTENT, ["", "", ""]));
    let batches = peer.batches();
    assert_eq!((batches[0].samples.len(), batches[0].received_ms), (2, 1_700_000_000_000));
    assert_eq!(peer.metric("watchbell_remote_write_in_samples_total", None), 2.0);
    assert_eq!(peer.metric("watchbell_remote_write_in_requests_total", Some(("code", "204"))), 1.0);
}

#[tokio::test]
async fn no_headers_mean_version_1_and_snappy() {
    let peer = Peer::plain();
    assert_eq!(peer.send(&[], up().snappy()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(peer.batches()[0].series.len(), 1);
}

#[tokio::test]
async fn version_2_is_told_what_was_written() {
    let peer = Peer::plain();
    let answer = peer.write(V2, &up_v2()).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::NO_CONTENT, ["1", "1", "0"]));
    assert_eq!(peer.batches()[0].series[0].kind, MetricKind::Gauge);
    assert_eq!(peer.metric("watchbell_remote_write_in_exemplars_dropped_total", None), 1.0);
    // On errors too, or the sender takes this for a receiver of version 1.
    let broken = peer.write(V2, &Message(vec![0x2a, 0x7f])).await;
    assert_eq!((broken.status, broken.written()), (StatusCode::BAD_REQUEST, ["0", "0", "0"]));
    peer.next(Err(IngestError::Busy { retry_after: Duration::from_millis(1500) }));
    let busy = peer.write(V2, &up_v2()).await;
    assert_eq!((busy.status, busy.written()), (StatusCode::SERVICE_UNAVAILABLE, ["0", "0", "0"]));
    assert_eq!(busy.header("retry-after"), "2");
}

#[tokio::test]
async fn metadata_alone_is_a_request() {
    let peer = Peer::plain();
    let body = include_bytes!("../../testdata/remote_write/metadata.body");
    assert_eq!(peer.send(&[], body.to_vec()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(peer.batches()[0].metadata.len(), 461);
    assert_eq!(peer.write("application/x-protobuf", &Message::new()).await.status, StatusCode::NO_CONTENT);
    assert!(peer.batches().is_empty(), "nothing to judge");
}

#[tokio::test]
async fn what_is_not_remote_write_is_named() {
    let peer = Peer::plain();
    type Case<'a> = (&'a [(&'a str, &'a str)], Vec<u8>, u16, &'a str);
    let cases: [Case<'_>; 8] = [
        (&[("content-type", "application/json")], up().snappy(), 415, "content type"),
        (&[("content-type", "application/x-protobuf;proto=x.Y")], up().snappy(), 415, "unknown message `x.Y`"),
        (&[("content-encoding", "gzip")], up().snappy(), 415, "`gzip` is not supported"),
        (&[], Vec::new(), 400, "the body is empty"),
        (&[], b"\x1f\x8b\x08\0\0\0".to_vec(), 400, "gzip"),
        (&[], b"\xff\x06\x00\x00sNaPpY".to_vec(), 400, "block format"),
        (&[], Message(vec![0x0a, 0x7f]).snappy(), 400, "protobuf: a field is longer than what is left, at byte 1"),
        (&[("content-length", "99999999999")], up().snappy(), 413, "bytes long"),
    ];
    for (headers, body, status, text) in cases {
        let answer = peer.send(headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{text}");
        let found = answer.text().await;
        assert!(found.contains(text), "{found:?} / {text:?}");
    }
    assert!(peer.batches().is_empty(), "nothing was stored");
    assert_eq!(peer.metric("watchbell_remote_write_in_requests_total", Some(("code", "400"))), 4.0);
}

#[tokio::test]
async fn part_of_a_request_can_be_refused() {
    let peer = Peer::plain();
    peer.next(Ok(Receipt {
        samples: 1,
        conflicts: 1,
        problem: Some("series `up`: two\nvalues".into()),
        ..Receipt::default()
    }));
    let answer = peer.write("application/x-protobuf", &up()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.text().await, "series `up`: two values");
    // Found here rather than by the judge; the rest is stored.
    let unnamed = v1_series(&[], &[(1, 1.0)]);
    let mixed = up().message(1, &unnamed);
    peer.batches();
    let answer = peer.write("application/x-protobuf", &mixed).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.text().await, "series ``: no labels");
    assert_eq!(peer.batches()[0].samples.len(), 2);
    let refused = |reason| peer.metric("watchbell_remote_write_in_refused_total", Some(("reason", reason)));
    assert_eq!((refused("conflict"), refused("invalid_series")), (1.0, 1.0));
}

#[tokio::test]
async fn late_samples_are_counted_and_no_error() {
    let peer = Peer::plain();
    peer.next(Ok(Receipt { samples: 1, out_of_order: 1, limited: 1, ..Receipt::default() }));
    let answer = peer.write(V2, &up_v2()).await;
    assert_eq!((answer.status, answer.written()), (StatusCode::NO_CONTENT, ["1", "0", "0"]));
    let refused = |reason| peer.metric("watchbell_remote_write_in_refused_total", Some(("reason", reason)));
    assert_eq!((refused("out_of_order"), refused("limited")), (1.0, 1.0));
}

#[tokio::test]
async fn agents_of_victoriametrics_are_served() {
    let peer = Peer::plain();
    let probe = |query: &str| Request::get(format!("/api/v1/write{query}")).body(Body::empty()).expect("a request");
    let yes = peer.router.clone().oneshot(probe("?get_vm_proto_version=1")).await.expect("infallible");
    assert_eq!(yes.status(), StatusCode::OK);
    assert_eq!(Answer { status: yes.status(), response: yes }.text().await, "1");
    let no = peer.router.clone().oneshot(probe("")).await.expect("infallible");
    assert_eq!(no.status(), StatusCode::METHOD_NOT_ALLOWED);
    let zstd = zstd::encode_all(&up().0[..], 1).expect("compresses");
    for encoding in ["zstd", "snappy"] {
        let answer = peer.send(&[("content-encoding", encoding)], zstd.clone()).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{encoding}");
    }
    assert_eq!(peer.batches().len(), 2);
}

#[tokio::test]
async fn bodies_in_pieces_are_put_together_and_bounded() {
    let peer = Peer::new(serde_json::json!({"max_body_bytes": 100, "max_decompressed_bytes": 200}));
    let pieces = |body: Vec<u8>| {
        let pieces: Vec<Result<Vec<u8>, std::io::Error>> = body.chunks(7).map(|piece| Ok(piece.to_vec())).collect();
        Body::from_stream(futures_util::stream::iter(pieces))
    };
    assert_eq!(peer.send(&[], pieces(up().snappy())).await.status, StatusCode::NO_CONTENT);
    assert_eq!(peer.send(&[], pieces(vec![1; 101])).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let bomb = snap::raw::Encoder::new().compress_vec(&[0; 1000]).expect("compresses");
    assert_eq!(peer.send(&[], bomb).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let peer = Peer::new(serde_json::json!({"read_timeout": "20ms", "max_concurrent_requests": 1}));
    let never = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let answer = peer.send(&[], never).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.text().await, "the body did not arrive in time; is the network slow?");
    assert_eq!(peer.send(&[], up().snappy()).await.status, StatusCode::NO_CONTENT, "its place is free again");
}

#[tokio::test]
async fn slow_senders_do_not_keep_others_out() {
    let peer = Peer::new(serde_json::json!({"read_timeout": "10s", "max_concurrent_requests": 1}));
    let never = || Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let slow = futures_util::future::join(peer.send(&[], never()), peer.send(&[], never()));
    let quick = peer.send(&[], up().snappy());
    tokio::select! {
        biased;
        _ = slow => panic!("a body that never ends was answered"),
        answer = quick => assert_eq!(answer.status, StatusCode::NO_CONTENT),
    }
}

#[tokio::test]
async fn credentials_come_first() {
    let peer = Peer::new(serde_json::json!({"authorization": {"credentials": "t0ken"}}));
    let answer = peer.send(&[("content-type", "x")], up().snappy()).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"watchbell\"");
    let answer = peer.send(&[("authorization", "Bearer t0ken")], up().snappy()).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[test]
fn the_service_hears_whether_credentials_are_asked_for() {
    let asks = |config| {
        let source = (KIND.prepare)(config, &mut Problems::default()).expect("right");
        source.asks_for_credentials()
    };
    assert!(asks(serde_json::json!({"authorization": {"credentials": "t0ken"}})));
    assert!(!asks(serde_json::json!({})));
}

#[test]
fn configs_are_checked_at_once() {
    let mut problems = Problems::default();
    let bad = serde_json::json!({
        "path": "write", "max_body_bytes": 0, "max_decompressed_bytes": 5_000_000_000u64, "read_timeout": "0s",
        "replica_label": "cluster", "basic_auth": {"username": "u"},
    });
    assert!((KIND.prepare)(bad, &mut problems).is_none());
    let paths: Vec<String> = problems.into_vec().into_iter().map(|problem| problem.path).collect();
    assert_eq!(
        paths,
        ["path", "max_body_bytes", "max_decompressed_bytes", "read_timeout", "replica_label", "basic_auth"]
    );
    let mut problems = Problems::default();
    assert!((KIND.prepare)(serde_json::json!({"paht": "/x"}), &mut problems).is_none());
    assert!(problems.into_vec()[0].message.contains("paht"));
    let mut problems = Problems::default();
    let source = (KIND.prepare)(serde_json::json!({"path": "/push"}), &mut problems).expect("good");
    assert_eq!(source.resources(), [Resource::Route("/push")]);
}

#[tokio::test]
async fn one_of_a_pair_is_judged_and_both_are_acknowledged() {
    let peer = Peer::new(serde_json::json!({"replica_label": "__replica__"}));
    let of = |replica| v1_request(&[v1_series(&[("__name__", "up"), ("__replica__", replica)], &[(1, 1.0), (2, 0.0)])]);
    for replica in ["a", "b", "a"] {
        let answer = peer.write("application/x-protobuf", &of(replica)).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{replica}");
    }
    let batches = peer.batches();
    assert_eq!(batches.len(), 2);
    let labels: Vec<_> =
        watchbell_series::labels::iter_canonical(batches[0].label_bytes(&batches[0].series[0])).collect();
    assert_eq!(labels, [("__name__", "up")]);
    assert_eq!(peer.metric("watchbell_remote_write_in_samples_total", None), 4.0);
    assert_eq!(peer.metric("watchbell_remote_write_in_replica_samples_total", None), 2.0);
}
