//! Bad bytes over the wire, against a running process: the answer that is documented, and held scores untouched.

mod clocks;
mod nagios;

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::http;
use crate::support::load::{self, Series};
use crate::support::server::Server;
use crate::support::wait;
use crate::support::watchbell::{Home, Watchbell};

const STEPS: usize = 40;

/// A service with scores of one machine. They lie ahead of the clock, so that no series is missed meanwhile.
fn learned(more: &str) -> (Home, Watchbell) {
    let home = Home::new(&format!(
        "sources: [{{type: prometheus_remote_write_in}}]\ndetect: {{warmup: 10s}}\nshards: 2\n{more}"
    ));
    let service = home.start();
    for batch in load::fleet(1, SystemClock.now_ms() + 120_000, STEPS) {
        assert_eq!(service.write(&batch).status, 204);
    }
    assert!(service.score("watchbell_anomaly_score", &[]).is_some());
    (home, service)
}

fn gauge(name: &str, labels: &[(&str, &str)], value: f64) -> Series {
    let labels: Vec<_> = [("__name__", name)].into_iter().chain(labels.iter().copied()).collect();
    Series::new(&labels, &[(SystemClock.now_ms(), value)])
}

#[test]
fn what_can_not_be_read_is_refused_whole() {
    let (_home, service) = learned("");
    let before = service.scores();
    let good = load::compressed(&load::request(&[gauge("it_new", &[], 1.0)]));
    // 4 GiB is what this snappy block says of itself; the bomb is 64 MiB indeed, more than is taken.
    let boast = [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &good[1..]].concat();
    let bomb = load::compressed(&vec![0; 64 << 20]);
    let json = [("content-type", "application/json"), ("content-encoding", "snappy")];
    let gzip = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
    let unknown = [("content-type", "application/x-protobuf;proto=x.Y"), ("content-encoding", "snappy")];
    for (what, headers, body, status, said) in [
        ("truncated snappy", load::HEADERS, good[..good.len() / 2].to_vec(), 400, "snappy"),
        ("no bytes", load::HEADERS, Vec::new(), 400, "empty"),
        ("a length that can not be", load::HEADERS, boast, 400, "4294967295"),
        ("a snappy bomb", load::HEADERS, bomb, 413, "33554432"),
        ("a content type of another kind", &json, good.clone(), 415, "application/json"),
        ("another message", &unknown, good.clone(), 415, "x.Y"),
        ("another encoding", &gzip, good.clone(), 415, "gzip"),
        ("bad protobuf", load::HEADERS, load::compressed(&[0x0a, 0xff, 0x01, 0x02]), 400, "protobuf"),
        ("text", load::HEADERS, load::compressed(b"hello"), 400, "protobuf"),
    ] {
        let answer = service.post(headers, body).expect("an answer");
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        assert!(answer.text.contains(said), "{what}: `{}` should say `{said}`", answer.text);
        assert!(!answer.text.contains('\n'), "{what}: senders log the first line: {}", answer.text);
        let counted = ("code", status.to_string());
        assert!(service.metric("watchbell_remote_write_in_requests_total", &[(counted.0, &counted.1)]) >= 1.0);
    }
    let answer = http::get(&service.url("/api/v1/write")).expect("an answer");
    assert_eq!((answer.status, answer.headers.get("allow").is_some()), (405, true));
    assert_eq!(service.scores(), before);
    assert_eq!(service.metric("watchbell_panics_total", &[]), 0.0);
}

#[test]
fn bad_series_cost_themselves_only() {
    let (_home, service) = learned("");
    let before = service.scores();
    let huge = "x".repeat(1 << 20);
    let bad = [
        ("labels twice", gauge("it_bad", &[("a", "1"), ("a", "2")], 1.0)),
        ("an empty name of a label", gauge("it_bad", &[("", "1")], 1.0)),
        ("a value of 1 MB", gauge("it_bad", &[("a", &huge)], 1.0)),
        ("no name", Series::new(&[("job", "it")], &[(SystemClock.now_ms(), 1.0)])),
        ("no labels", Series::new(&[], &[(SystemClock.now_ms(), 1.0)])),
        ("far in the future", Series::new(&[("__name__", "it_bad")], &[(SystemClock.now_ms() + 86_400_000, 1.0)])),
    ];
    for (n, (what, series)) in bad.into_iter().enumerate() {
        let name = format!("it_good_{n}");
        let answer = service.write(&[series, gauge(&name, &[], 1.0)]);
        assert_eq!(answer.status, 400, "{what}: {}", answer.text);
        assert!(!answer.text.is_empty() && answer.text.len() < 600, "{what}: {}", answer.text);
        let held = service.score("watchbell_series_ready", &[("metric", &name)]);
        assert_eq!(held, Some(0.0), "{what}: the series beside it is taken");
    }
    // Unsorted and empty values are no harm: the same series however it is written.
    let now_ms = SystemClock.now_ms();
    let labels = |pairs: &[(&str, &str)], at: i64| Series::new(pairs, &[(now_ms + at, 1.0)]);
    assert_eq!(service.write(&[labels(&[("z", "1"), ("__name__", "it_same"), ("empty", "")], 0)]).status, 204);
    assert_eq!(service.write(&[labels(&[("__name__", "it_same"), ("z", "1")], 1)]).status, 204);
    let page = service.get("/scores").text;
    let same = page.lines().filter(|line| line.starts_with("watchbell_series_ready{") && line.contains("it_same"));
    assert_eq!(same.count(), 1, "{page}");
    // Late is no error, another value for the same time is.
    assert_eq!(service.write(&[labels(&[("__name__", "it_same"), ("z", "1")], -1)]).status, 204);
    let other = Series::new(&[("__name__", "it_same"), ("z", "1")], &[(now_ms + 1, 2.0)]);
    assert_eq!(service.write(&[other]).status, 400);

    let after = service.scores();
    // The roll-up of all series without a host may move; what was learned may not.
    let lost: Vec<_> = before.iter().filter(|line| !after.contains(*line)).collect();
    assert!(lost.is_empty(), "{lost:#?}");
    assert_eq!(service.metric("watchbell_panics_total", &[]), 0.0);
}

#[test]
fn beyond_the_limit_of_series_what_is_known_goes_on() {
    let (_home, service) = learned("series: {max_series: 1000}\n");
    let before = service.scores();
    for chunk in 0..10 {
        let names: Vec<String> = (0..2_000).map(|n| format!("{chunk}-{n}")).collect();
        let flood: Vec<Series> = names.iter().map(|name| gauge("it_flood", &[("id", name)], 1.0)).collect();
        assert_eq!(service.write(&flood).status, 204, "a sender could do nothing about it");
    }
    service.metric_until("watchbell_limit_reached", &[("limit", "max_series")], |reached| reached == 1.0);
    let held = service.metric("watchbell_series", &[("state", "held")]);
    // Each shard has its share of the limit and a twentieth more.
    assert!((900.0..=1_050.0).contains(&held), "{held} held");
    service.metric_until("watchbell_series_refused_total", &[], |refused| refused > 18_000.0);
    let after = service.scores();
    let lost: Vec<_> = before.iter().filter(|line| !after.contains(*line)).collect();
    assert!(lost.is_empty(), "{lost:#?}");
    let next = load::fleet(1, SystemClock.now_ms() + 120_000 + STEPS as i64 * 1_000, 1);
    assert_eq!(service.write(&next[0]).status, 204);
    assert_ne!(service.scores(), after, "known series are judged on");
}

#[test]
fn a_source_at_its_limit_takes_no_room_from_others() {
    let target = Server::start(Router::new().route(
        "/metrics",
        get(async || ([(CONTENT_TYPE, "text/plain; version=0.0.4")], "it_scraped{n=\"1\"} 1\nit_scraped{n=\"2\"} 2\n")),
    ));
    let config = format!(
        "sources:\n  - {{type: prometheus_remote_write_in, name: push, max_series: 200}}\n  \
         - {{type: prometheus_scrape, name: node, job_name: node, scrape_interval: 1s, \
         static_configs: [{{targets: ['{}']}}]}}\nshards: 2\n",
        target.address()
    );
    let home = Home::new(&config);
    let service = home.start();
    let flood = |service: &Watchbell, chunk: usize| {
        let names: Vec<String> = (0..1_000).map(|n| format!("{chunk}-{n}")).collect();
        let series: Vec<Series> = names.iter().map(|name| gauge("it_flood", &[("id", name)], 1.0)).collect();
        assert_eq!(service.write(&series).status, 204, "a sender could do nothing about it");
    };
    flood(&service, 0);
    flood(&service, 1);
    let of = |service: &Watchbell, metric: &str, source: &str| service.metric(metric, &[("source", source)]);
    let refused = "watchbell_source_limited_samples_total";
    service.metric_until(refused, &[("source", "push")], |refused| refused >= 1_780.0);
    let held = of(&service, "watchbell_source_series", "push");
    // Each shard has its share of the limit and a twentieth more.
    assert!((180.0..=212.0).contains(&held), "{held} held");
    assert_eq!(of(&service, "watchbell_source_series_limit", "push"), 200.0);
    // Its two series, and `up` and the other series of the scrape itself.
    service.metric_until("watchbell_source_series", &[("source", "node")], |held| held >= 3.0);
    assert_eq!(of(&service, refused, "node"), 0.0);
    let scraped =
        |service: &Watchbell| service.score("watchbell_series_ready", &[("metric", "it_scraped"), ("n", "2")]);
    assert!(scraped(&service).is_some());

    // What a source holds is known after a kill, too: it gets no second helping.
    service.kill();
    let service = home.start();
    service.metric_until("watchbell_source_series", &[("source", "push")], |now| now == held);
    flood(&service, 2);
    service.metric_until(refused, &[("source", "push")], |refused| refused == 1_000.0);
    assert_eq!(of(&service, "watchbell_source_series", "push"), held);

    // A higher limit holds after a reload, without a restart of the source.
    home.configure(&config.replace("max_series: 200", "max_series: 100000"));
    assert_eq!(service.reload().status, 200);
    flood(&service, 3);
    service.metric_until("watchbell_source_series", &[("source", "push")], |now| now == held + 1_000.0);
}

#[test]
fn bad_targets_fail_alone() {
    async fn endless() -> Body {
        let line = Bytes::from_static(b"it_endless 1\n");
        Body::from_stream(futures_util::stream::unfold((), move |()| {
            let line = line.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                Some((Ok::<_, Infallible>(line), ()))
            }
        }))
    }
    async fn flood() -> Body {
        let line = Bytes::from("it_flood 1\n".repeat(10_000));
        Body::from_stream(futures_util::stream::repeat(Ok::<_, Infallible>(line)))
    }
    let text = |page: &'static str| get(async move || ([(CONTENT_TYPE, "text/plain; version=0.0.4")], page));
    let typed = |handler: axum::routing::MethodRouter| {
        handler.layer(axum::middleware::map_response(async |mut response: axum::response::Response| {
            response.headers_mut().insert(CONTENT_TYPE, http_value("text/plain; version=0.0.4"));
            response
        }))
    };
    let routes = Router::new()
        .route("/good", text("it_good 1\n"))
        .route("/broken", text("it_ok 1\n{{{ nonsense\nit_ok_too 2\n"))
        .route("/garbage", text("<html>\n"))
        .route("/page", get(async || axum::response::Html("<html>")))
        .route("/endless", typed(get(endless)))
        .route("/flood", typed(get(flood)));
    let server = Server::start(routes);
    let mut config = "sources:\n  - {type: prometheus_remote_write_in}\n".to_owned();
    for path in ["good", "broken", "garbage", "page", "endless", "flood", "gone"] {
        config += &format!(
            "  - {{type: prometheus_scrape, name: {path}, job_name: {path}, metrics_path: /{path}, scrape_interval: 1s, \
             body_size_limit: 1MB, static_configs: [{{targets: ['{}']}}]}}\n",
            server.address()
        );
    }
    let service = Home::new(&config).start();
    let up = |path: &str| service.score("watchbell_series_ready", &[("metric", "up"), ("job", path)]);
    for (path, reason) in [
        ("garbage", "garbage"),
        ("page", "content_type"),
        ("endless", "timeout"),
        ("flood", "body_size_limit"),
        ("gone", "status"),
    ] {
        let labels = [("source", path), ("reason", reason)];
        service.metric_until("watchbell_scrape_errors_total", &labels, |errors| errors >= 2.0);
        assert!(up(path).is_some(), "`up` of {path} is there, as in Prometheus");
    }
    for metric in ["it_good", "it_ok", "it_ok_too"] {
        let held = service.score("watchbell_series_ready", &[("metric", metric)]);
        assert!(held.is_some(), "{metric}: a broken line costs itself");
    }
    let page = service.get("/scores").text;
    assert!(!page.contains("it_endless") && !page.contains("it_flood"), "half a page is no page: {page}");
    wait::until("good scrapes go on", || {
        let good = service.metric("watchbell_scrape_samples_total", &[("source", "good")]);
        wait::when(good >= 3.0, || format!("{good}"))
    });
    assert_eq!(service.metric("watchbell_panics_total", &[]), 0.0);
}

fn http_value(text: &'static str) -> axum::http::HeaderValue {
    axum::http::HeaderValue::from_static(text)
}
