//! The route against made-up scores.

use std::collections::HashSet;
use std::io::Read;

use axum::http::Request;
use tower::ServiceExt;
use watchbell_adapter_api::{Clock, Metrics, Scores, Shutdown};
use watchbell_series::{Labels, NotReady, Reading};

use super::*;
use crate::fake_scores::{FakeScores, reading};

const NOW: i64 = 1_800_000_000_000;

struct Noon;

impl Clock for Noon {
    fn now_ms(&self) -> i64 {
        NOW
    }
}

fn router(config: serde_json::Value, scores: impl Scores + 'static) -> Router {
    let mut problems = Problems::default();
    let prepared = (watchbell_adapter_api::SinkKind::of::<ExpositionConfig>().prepare)(config, &mut problems);
    let Some(Prepared::Scores(mut sink)) = prepared else { panic!("{:?}", problems.into_vec()) };
    let context = SinkContext {
        name: "scores".into(),
        scores: Arc::new(scores),
        clock: Arc::new(Noon),
        shutdown: Shutdown::channel().1,
        metrics: Metrics::default(),
        health: watchbell_adapter_api::Health::default(),
    };
    sink.routes(&context).expect("it has a route")
}

async fn get(router: &Router, uri: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a valid request");
    let response = router.clone().oneshot(request).await.expect("routes do not fail");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
    (parts.status, parts.headers, body.into())
}

async fn text(router: &Router, uri: &str) -> String {
    let (status, _, body) = get(router, uri, &[]).await;
    let text = String::from_utf8(body).expect("UTF-8");
    assert_eq!(status, StatusCode::OK, "{text}");
    text
}

fn count(page: &str, name: &str) -> usize {
    page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'))).count()
}

#[tokio::test]
async fn a_fleet_in_every_format() {
    let router = router(serde_json::json!({}), FakeScores::fleet(10_000, NOW));
    let (_, headers, plain) = get(&router, "/scores", &[]).await;
    assert_eq!(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let plain = String::from_utf8(plain).expect("UTF-8");
    assert_eq!(count(&plain, "watchbell_anomaly_score"), 10_000);
    assert_eq!(count(&plain, "watchbell_host_score"), 20);
    assert!(plain.ends_with("watchbell_scores_limited 0\n"));
    let line = "watchbell_anomaly_score{cpu=\"0\",host=\"web-000.example.org\",instance=\"web-000.example.org:9100\",\
                job=\"node\",metric=\"node_cpu_seconds_total_0\",mode=\"user\"} 0.0\n";
    assert!(plain.contains(line));

    let (mut seen, mut last) = (HashSet::new(), "");
    for line in plain.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            last = rest.strip_suffix(" gauge").expect("all are gauges");
            assert!(seen.insert(last), "family {last} stands twice");
        } else if !line.starts_with("# HELP ") {
            let name = line.split(['{', ' ']).next();
            assert_eq!(name, Some(last), "a line outside its family");
        }
    }

    let gzip = get(&router, "/scores", &[("accept-encoding", "gzip")]).await;
    assert_eq!((&gzip.1["content-encoding"], &gzip.1["vary"]), (&"gzip".parse().expect("valid"), &headers["vary"]));
    let mut unzipped = String::new();
    flate2::read::GzDecoder::new(&gzip.2[..]).read_to_string(&mut unzipped).expect("valid gzip");
    assert!(unzipped == plain && gzip.2.len() * 10 < plain.len());

    let open = get(&router, "/scores", &[("accept", "application/openmetrics-text;version=1.0.0")]).await;
    assert_eq!(open.1["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.2 == [plain.as_bytes(), b"# EOF\n"].concat());
}

#[tokio::test]
async fn selects_by_input_labels() {
    let router = router(serde_json::json!({}), FakeScores::fleet(1_000, NOW));
    let page = text(&router, "/scores?match%5B%5D=node_cpu_seconds_total_3&match[]=%7Bcpu%3D%220%22%7D").await;
    assert_eq!(count(&page, "watchbell_value"), 40 + 2 * 24);
    assert_eq!(count(&page, "watchbell_host_score"), 0);
    let page = text(&router, "/scores?match[]=%7Bhost%3D%22web-001.example.org%22%7D").await;
    assert_eq!((count(&page, "watchbell_series_ready"), count(&page, "watchbell_host_series")), (500, 1));
    let page = text(&router, "/scores?match[]=watchbell_host_anomaly_rate").await;
    assert_eq!((count(&page, "watchbell_series_ready"), count(&page, "watchbell_host_anomaly_rate")), (0, 2));
}

#[tokio::test]
async fn refuses_what_it_does_not_understand() {
    let router = router(serde_json::json!({}), FakeScores::fleet(10, NOW));
    for (uri, want) in [
        ("/scores?match[]=%7Ba%3Db%7D", "selector `{a=b}`: a quoted value is missing"),
        ("/scores?match[]=", "empty"),
        ("/scores?match=up", "unknown parameter `match`; known: `match[]`"),
    ] {
        let (status, _, body) = get(&router, uri, &[]).await;
        let body = String::from_utf8(body).expect("UTF-8");
        assert_eq!(status, StatusCode::BAD_REQUEST, "{uri}");
        assert!(body.contains(want) && body.ends_with('\n'), "{uri}: {body}");
    }
}

#[tokio::test]
async fn many_series_give_the_anomalous_ones_only() {
    let router = router(serde_json::json!({"max_series": 999, "path": "/s"}), FakeScores::fleet(1_000, NOW));
    let page = text(&router, "/s").await;
    assert_eq!((count(&page, "watchbell_anomaly_score"), count(&page, "watchbell_host_score")), (10, 2));
    assert!(page.contains("\nwatchbell_scores_limited 1\n"));
    let page = text(&router, "/s?match[]=%7B%7D").await;
    assert_eq!(count(&page, "watchbell_anomaly_score"), 1_000);
    assert!(page.contains("\nwatchbell_scores_limited 0\n"));
}

#[tokio::test]
async fn a_score_only_while_there_is_one() {
    let series = |name: &str| Labels::series([("__name__", name)]).expect("valid");
    let warm = Reading { not_ready: Some(NotReady::Warming), score: f32::NAN, ..reading(NOW, 0.5) };
    let scores = FakeScores::default();
    scores.set(vec![
        (series("good"), reading(NOW - 300_000, 0.5)),
        (series("old"), reading(NOW - 300_001, 0.5)),
        (series("warm"), warm),
        (series("ended"), Reading { not_ready: Some(NotReady::Stale), ..warm }),
        (series("open"), Reading { lower: f64::NEG_INFINITY, upper: f64::NAN, ..reading(NOW, 2.0) }),
    ]);
    let page = text(&router(serde_json::json!({}), scores), "/scores").await;
    let lines: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
    let want = [
        "watchbell_anomaly_score{metric=\"good\"} 0.5",
        "watchbell_anomaly_score{metric=\"open\"} 2.0",
        "watchbell_value{metric=\"good\"} 5.0",
        "watchbell_value{metric=\"open\"} 20.0",
        "watchbell_expected{metric=\"good\"} 3.75",
        "watchbell_expected{metric=\"open\"} 15.0",
        "watchbell_expected_lower{metric=\"good\"} 2.5",
        "watchbell_expected_lower{metric=\"open\"} -Inf",
        "watchbell_expected_upper{metric=\"good\"} 7.5",
        "watchbell_series_ready{metric=\"good\"} 1.0",
        "watchbell_series_ready{metric=\"warm\",reason=\"warming\"} 0.0",
        "watchbell_series_ready{metric=\"ended\",reason=\"stale\"} 0.0",
        "watchbell_series_ready{metric=\"open\"} 1.0",
        "watchbell_scores_limited 0",
    ];
    assert_eq!(lines, want);
}

#[tokio::test]
async fn other_names() {
    let config = serde_json::json!({"naming": "vmanomaly", "expected": false});
    let page = text(&router(config, FakeScores::fleet(10, NOW)), "/scores").await;
    assert_eq!(
        (count(&page, "anomaly_score"), count(&page, "yhat"), count(&page, "watchbell_series_ready")),
        (10, 0, 10)
    );
    let config = serde_json::json!({"naming": "promql"});
    let page = text(&router(config, FakeScores::fleet(10, NOW)), "/scores").await;
    assert_eq!((count(&page, "anomaly:level"), count(&page, "anomaly:upper_band")), (10, 10));
}

#[tokio::test]
async fn nothing_judged_is_a_valid_page() {
    let page = text(&router(serde_json::json!({}), FakeScores::default()), "/scores").await;
    assert!(page.lines().all(|line| line.starts_with("# ") || line == "watchbell_scores_limited 0"), "{page}");
}

#[test]
fn config_problems_are_named() {
    for (config, want) in [
        (serde_json::json!({"path": "scores"}), "path: `scores` is no path"),
        (serde_json::json!({"path": "/a/{b}"}), "path: `/a/{b}`"),
        (serde_json::json!({"families": []}), "families: no family"),
        (serde_json::json!({"families": ["score"], "naming": "promql"}), "no family for `score`"),
        (serde_json::json!({"naming": "other"}), "unknown variant"),
        (serde_json::json!({"max": 1}), "unknown field"),
    ] {
        let mut problems = Problems::default();
        let kind = watchbell_adapter_api::SinkKind::of::<ExpositionConfig>();
        assert!((kind.prepare)(config, &mut problems).is_none());
        let all: Vec<_> = problems.into_vec().iter().map(ToString::to_string).collect();
        assert!(all[0].contains(want), "{all:?}");
    }
}
