//! The sink against a server in this process.

use std::sync::Mutex;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use watchbell_series::{AlertState, Labels};

use super::*;

/// A server that answers with what is next in `answers`, and what it is sent.
async fn server(answers: Vec<Response>) -> (String, mpsc::UnboundedReceiver<(http::HeaderMap, Value)>) {
    #[expect(clippy::disallowed_methods, reason = "a test reads all that is sent")]
    let (sent, received) = mpsc::unbounded_channel();
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let take = move |headers: http::HeaderMap, body: axum::Json<Value>| async move {
        sent.send((headers, body.0)).expect("the test listens");
        answers.lock().expect("no test panics with it").next().expect("no more requests than answers")
    };
    let app = Router::new().route("/prefix/api/v2/alerts", post(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    (format!("http://user:hunter2@{address}/prefix/"), received)
}

fn prepared(config: Value) -> Result<Vec<Arc<dyn AlertSink>>, Vec<String>> {
    // A second installation is refused and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut problems = Problems::default();
    let kind = watchbell_adapter_api::SinkKind::of::<AlertmanagerConfig>();
    match (kind.prepare)(config, &mut problems) {
        Some(Prepared::Alerts(sinks)) => Ok(sinks),
        _ => Err(problems.into_vec().iter().map(ToString::to_string).collect()),
    }
}

fn one(url: &str) -> Arc<dyn AlertSink> {
    prepared(json!({"urls": [url]})).expect("a valid config").remove(0)
}

fn alert(name: &str) -> Alert {
    Alert {
        labels: Labels::new([("alertname", name)]).expect("valid"),
        annotations: Vec::new(),
        state: AlertState::Firing,
        starts_ms: 1_000,
        ends_ms: 2_000,
        generator_url: String::new(),
    }
}

#[tokio::test]
async fn sends_and_counts() {
    let (url, mut received) = server(vec![StatusCode::OK.into_response()]).await;
    let (sink, metrics) = (one(&url), Metrics::default());
    sink.attach("am", &metrics);
    assert_eq!(sink.resend(), Some(Duration::from_secs(60)));
    assert!(!sink.instance().contains("hunter2") && sink.instance().ends_with("/prefix"), "{}", sink.instance());
    let bad = Alert { labels: Labels::default(), ..alert("x") };
    assert_eq!(sink.deliver(&[alert("a"), bad, alert("b")]).await, Ok(()));
    let (headers, body) = received.recv().await.expect("a request");
    assert_eq!(headers["content-type"], "application/json");
    assert!(headers["authorization"].to_str().expect("ASCII").starts_with("Basic "));
    assert_eq!(body.as_array().map(Vec::len), Some(2));
    let counted = |def| metrics.counter(def, &["am", sink.instance()]).get() as u64;
    assert_eq!((counted(&SENT), counted(&DROPPED)), (2, 1));
}

#[tokio::test]
async fn nothing_to_send_is_no_request() {
    let (url, mut received) = server(Vec::new()).await;
    assert_eq!(one(&url).deliver(&[]).await, Ok(()));
    assert!(received.try_recv().is_err());
}

#[tokio::test]
async fn says_whether_to_try_again() {
    let answers = vec![
        (StatusCode::INTERNAL_SERVER_ERROR, "out of\n memory").into_response(),
        (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], "slow down").into_response(),
        (StatusCode::BAD_REQUEST, "\"invalid label\"").into_response(),
        (StatusCode::UNAUTHORIZED, "x".repeat(10_000)).into_response(),
        (StatusCode::MOVED_PERMANENTLY, [("location", "https://am/api/v2/alerts")]).into_response(),
    ];
    let (url, _received) = server(answers).await;
    let (sink, alerts) = (one(&url), [alert("a")]);
    let Err(DeliveryError::Retry { message, after: None }) = sink.deliver(&alerts).await else { panic!("500") };
    assert!(message.contains("500 Internal Server Error: out of memory"), "{message}");
    let Err(DeliveryError::Retry { after, .. }) = sink.deliver(&alerts).await else { panic!("429") };
    assert_eq!(after, Some(Duration::from_secs(7)));
    let Err(DeliveryError::Rejected(message)) = sink.deliver(&alerts).await else { panic!("400") };
    assert!(message.contains("invalid label"), "{message}");
    let Err(DeliveryError::Rejected(message)) = sink.deliver(&alerts).await else { panic!("401") };
    assert!(message.len() < 700, "{}", message.len());
    let Err(DeliveryError::Rejected(message)) = sink.deliver(&alerts).await else { panic!("301") };
    assert!(message.contains("https://am/api/v2/alerts"), "{message}");
}

#[tokio::test]
async fn a_dead_peer_is_tried_again_and_named_without_secrets() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let sink = one(&format!("http://user:hunter2@{address}"));
    let Err(DeliveryError::Retry { message, .. }) = sink.deliver(&[alert("a")]).await else { panic!("refused") };
    assert!(message.contains(&address.to_string()) && !message.contains("hunter2"), "{message}");
}

#[test]
fn config_problems_are_named() {
    let problems = |config| prepared(config).err().expect("a problem");
    assert!(problems(json!({"urls": []}))[0].contains("no Alertmanager is named"));
    assert!(problems(json!({}))[0].contains("urls"));
    assert!(problems(json!({"urls": ["http://a"], "url": "x"}))[0].contains("unknown field"));
    let all = problems(json!({
        "urls": ["am:9093", "http://a/", "http://a", "http://b/api/v2/alerts", "ftp://c"],
        "timeout": "10ms",
        "http": {"tls": {"cert_file": "/nonexistent"}},
    }));
    let want = ["urls[0]", "urls[2]", "urls[3]", "urls[4]", "timeout", "http.tls.cert_file", "http.tls"];
    assert_eq!(all.len(), want.len(), "{all:#?}");
    assert!(all.iter().zip(want).all(|(got, want)| got.starts_with(want)), "{all:#?}");
    assert_eq!(prepared(json!({"urls": ["http://a", "http://b"]})).expect("valid").len(), 2);
}
