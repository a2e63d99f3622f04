//! Targets that hang, never end, lie about their format, or answer nonsense.

use std::io::Write;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};

use super::support::{OPENMETRICS, TEXT, bench, serve, up};

/// Scrapes a target that is `router` once; gives the reason of the failure.
async fn failure(router: Router, settings: Value) -> String {
    let mut bench = bench(serve(router).await, settings);
    assert_eq!(bench.scrape(1000).await, [up(1000, 0.0)]);
    let reasons = bench.counts("watchbell_scrape_errors_total");
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert_eq!(bench.counts("watchbell_scrape_targets"), [("down".to_owned(), 1.0)].into());
    reasons.into_keys().next().expect("one reason")
}

fn answering(content_type: &'static str, body: impl Into<Bytes>) -> Router {
    let body: Bytes = body.into();
    Router::new()
        .route("/metrics", get(move || async move { ([("content-type", content_type)], body).into_response() }))
}

#[tokio::test]
async fn nobody_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let mut bench = bench(address, json!({}));
    assert_eq!(bench.scrape(1000).await, [up(1000, 0.0)]);
    assert_eq!(bench.counts("watchbell_scrape_errors_total")["http"], 1.0);
}

#[tokio::test]
async fn hangs_before_the_answer_or_within_it() {
    let short = json!({"scrape_timeout": "150ms"});
    let silent = Router::new().route("/metrics", get(std::future::pending::<String>));
    assert_eq!(failure(silent, short.clone()).await, "timeout");
    let stuck = || async {
        let first = stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"a 1\n")) });
        let never = stream::pending();
        ([("content-type", TEXT)], Body::from_stream(futures_util::StreamExt::chain(first, never))).into_response()
    };
    assert_eq!(failure(Router::new().route("/metrics", get(stuck)), short).await, "timeout");
}

#[tokio::test]
async fn never_ends() {
    let endless = || async {
        let lines = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b'a'; 16 << 10])));
        ([("content-type", TEXT)], Body::from_stream(lines)).into_response()
    };
    let router = Router::new().route("/metrics", get(endless));
    assert_eq!(failure(router, json!({"body_size_limit": "1MB"})).await, "body_size_limit");
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("written");
    encoder.finish().expect("finished")
}

fn answering_gzip(body: Vec<u8>) -> Router {
    let answer = move || async move { ([("content-type", TEXT), ("content-encoding", "gzip")], body).into_response() };
    Router::new().route("/metrics", get(answer))
}

#[tokio::test]
async fn compressed_pages() {
    let mut good = bench(serve(answering_gzip(gzipped(b"a 1\n"))).await, json!({}));
    assert_eq!(good.scrape(1000).await.len(), 2);
    let bomb = gzipped(&vec![b'\n'; 8 << 20]);
    assert!(bomb.len() < 100_000);
    assert_eq!(failure(answering_gzip(bomb), json!({"body_size_limit": "1MB"})).await, "body_size_limit");
    let mut cut = gzipped(&(0..1000).map(|i| format!("a{i} {i}\n")).collect::<String>().into_bytes());
    cut.truncate(cut.len() - 12);
    assert_eq!(failure(answering_gzip(cut), json!({})).await, "http");
    assert_eq!(failure(answering_gzip(b"a 1\n".to_vec()), json!({})).await, "http");
}

#[tokio::test]
async fn other_statuses() {
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        let answer = move || async move { (status, [("content-type", TEXT)], "a 1\n").into_response() };
        assert_eq!(failure(Router::new().route("/metrics", get(answer)), json!({})).await, "status");
    }
}

#[tokio::test]
async fn redirects() {
    let moved = || {
        Router::new()
            .route("/metrics", get(|| async { Redirect::temporary("/there") }))
            .route("/there", get(|| async { ([("content-type", TEXT)], "a 1\n") }))
    };
    assert_eq!(bench(serve(moved()).await, json!({})).scrape(1000).await.len(), 2);
    assert_eq!(failure(moved(), json!({"http": {"follow_redirects": false}})).await, "status");
    let round = Router::new().route("/metrics", get(|| async { Redirect::temporary("/metrics") }));
    assert_eq!(failure(round, json!({})).await, "http");
}

#[tokio::test]
async fn formats() {
    assert_eq!(failure(answering("text/html", "<html></html>"), json!({})).await, "content_type");
    assert_eq!(failure(answering(TEXT, "<html>\n<p>hello\n"), json!({})).await, "garbage");
    assert_eq!(failure(answering(TEXT, vec![0xff, 0xfe, 0, b'\n', 0x80]), json!({})).await, "garbage");
    assert_eq!(failure(answering(OPENMETRICS, "a 1\n"), json!({})).await, "no_end");
    let fallback = json!({"fallback_scrape_protocol": "PrometheusText0.0.4"});
    assert_eq!(bench(serve(answering("x/y", "a 1\n")).await, fallback).scrape(1000).await.len(), 2);
    // An empty page is a page.
    assert_eq!(bench(serve(answering(TEXT, "")).await, json!({})).scrape(1000).await, [up(1000, 1.0)]);
}

#[tokio::test]
async fn large_pages_are_read_elsewhere() {
    let page: String = (0..60_000).map(|i| format!("metric_{i}{{a=\"b\"}} {i}\n")).collect();
    assert!(page.len() > 1 << 20);
    let mut bench = bench(serve(answering(TEXT, page)).await, json!({}));
    assert_eq!(bench.scrape(1000).await.len(), 60_001);
    bench.service.take_labelled();
    assert_eq!(bench.scrape(2000).await.len(), 60_001);
    assert_eq!(bench.service.take_labelled(), 5);
    assert!(tokio::time::timeout(Duration::from_secs(20), bench.scrape(3000)).await.is_ok());
}
