//! From addresses to targets, and how targets come and go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::RawQuery;
use axum::routing::get;
use serde_json::json;
use watchbell_adapter_api::{Problems, SourceConfig};

use super::support::{FakeService, TEXT, context, going_clock, job, serve, target};
use crate::scrape::ScrapeConfig;
use crate::scrape::target::{NoTarget, Target};

fn group(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

fn text(target: &Target) -> String {
    watchbell_series::Labels::new(target.labels.iter()).expect("valid").to_string()
}

#[test]
fn labels_and_url() {
    let plain = Target::new(&job(json!({})).expect("valid"), "web:9100", &group(&[("env", "prod")])).expect("a target");
    assert_eq!(text(&plain), r#"{env="prod",instance="web:9100",job="j"}"#);
    assert_eq!(plain.url, "http://web:9100/metrics");

    // The way a blackbox exporter is asked: the address becomes a parameter.
    let blackbox = job(json!({
        "scheme": "https",
        "metrics_path": "/probe",
        "params": {"module": ["http_2xx", "second"]},
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"source_labels": ["__param_target"], "target_label": "instance"},
            {"target_label": "__address__", "replacement": "exporter:9115"},
            {"source_labels": ["__meta_x"], "target_label": "x"},
            {"target_label": "__scrape_interval__", "replacement": "1m"},
        ],
    }))
    .expect("valid");
    let probe = Target::new(&blackbox, "a.example/x y", &group(&[("__meta_x", "1")])).expect("a target");
    assert_eq!(text(&probe), r#"{instance="a.example/x y",job="j",x="1"}"#);
    assert_eq!(probe.url, "https://exporter:9115/probe?module=http_2xx&module=second&target=a.example%2Fx+y");
    assert_eq!(probe.interval_ms(), 60_000);
}

#[test]
fn addresses_that_give_no_target() {
    let plain = job(json!({})).expect("valid");
    for address in ["", "http://a:1/metrics", "a:99999", "user:pass@host:1", "a b"] {
        let made = Target::new(&plain, address, &group(&[]));
        assert!(matches!(made, Err(NoTarget::Invalid(_))), "{address}: {made:?}");
    }
    for (label, value) in [
        ("", "x"),
        ("__scrape_interval__", "soon"),
        ("__scrape_timeout__", "1h"),
        ("__scrape_interval__", "0"),
        ("__scheme__", "gopher"),
    ] {
        let made = Target::new(&plain, "a:1", &group(&[(label, value)]));
        assert!(matches!(made, Err(NoTarget::Invalid(_))), "{label}={value}: {made:?}");
    }
    let choosy = job(json!({"relabel_configs": [{"action": "keep", "source_labels": ["env"], "regex": "prod"}]}));
    assert_eq!(Target::new(&choosy.expect("valid"), "a:1", &group(&[])).expect_err("dropped"), NoTarget::Dropped);
}

#[test]
fn turns_are_spread_and_regular() {
    let job = job(json!({})).expect("valid");
    let targets: Vec<Target> =
        (0..200).map(|i| Target::new(&job, &format!("web{i}:1"), &group(&[])).expect("a target")).collect();
    let mut in_seconds = [0; 15];
    for target in &targets {
        let due = target.next_after(1_000_000);
        assert!(due > 1_000_000 && due <= 1_015_000);
        assert_eq!(target.next_after(due), due + 15_000);
        assert_eq!(target.next_after(due - 1), due);
        in_seconds[((due - 1_000_001) / 1000) as usize] += 1;
    }
    assert!(in_seconds.iter().all(|n| (3..40).contains(n)), "{in_seconds:?}");
}

#[tokio::test]
async fn asks_with_the_headers_of_a_scraper() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let record = Arc::clone(&seen);
    let answer = move |RawQuery(query): RawQuery, headers: axum::http::HeaderMap| {
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let line = [
            query.unwrap_or_default(),
            text("accept"),
            text("accept-encoding"),
            text("x-prometheus-scrape-timeout-seconds"),
            text("authorization"),
        ];
        record.lock().expect("not poisoned").extend(line);
        async { ([("content-type", TEXT)], "a 1\n") }
    };
    let address = serve(Router::new().route("/metrics", get(answer))).await;
    let settings = json!({
        "params": {"collect[]": ["cpu", "disk"]},
        "scrape_timeout": "2500ms",
        "http": {"authorization": {"credentials": "token"}},
    });
    super::support::bench(address, settings).scrape(1000).await;
    let seen = seen.lock().expect("not poisoned");
    assert_eq!(seen[0], "collect%5B%5D=cpu&collect%5B%5D=disk");
    assert!(seen[1].starts_with("application/openmetrics-text;version=1.0.0;"));
    assert_eq!(seen[2..], ["gzip", "2.5", "Bearer token"]);
}

#[tokio::test]
async fn a_source_scrapes_what_files_list_and_ends_what_they_drop() {
    let page = Arc::new(Mutex::new("a 1\n".to_owned()));
    let address = target(&page, TEXT).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("targets.json");
    let list = |labels: &str| format!(r#"[{{"targets": ["{address}"], "labels": {{{labels}}}}}]"#);
    std::fs::write(&file, list("\"instance\": \"i\"")).expect("written");
    let config: ScrapeConfig = serde_json::from_value(json!({
        "job_name": "j",
        "scrape_interval": "50ms",
        "file_sd_configs": [{"files": [folder.path().join("*.json")], "refresh_interval": "20ms"}],
    }))
    .expect("the shape is right");
    // Also installs what the HTTP client needs.
    job(json!({})).expect("valid");
    let source = config.prepare(&mut Problems::default()).expect("valid");
    let service = Arc::new(FakeService::default());
    let (context, stop) = context(&service, going_clock());
    let running = tokio::spawn(source.run(context));

    let a = r#"a{instance="i",job="j"}"#;
    let samples = |got: &[super::support::Got]| got.iter().filter(|g| g.0 == a && g.2.is_some()).count();
    service.wait(|got| samples(got) >= 3).await;
    let times: Vec<i64> = service.all().iter().filter(|g| g.0 == a).map(|g| g.1).collect();
    assert!(times.windows(2).all(|w| w[0] < w[1]), "{times:?}");

    std::fs::write(&file, "[]").expect("written");
    let up = r#"up{instance="i",job="j"}"#;
    service.wait(|got| got.iter().any(|g| g.0 == up && g.2.is_none())).await;
    let got = service.all();
    for name in [a, up] {
        let last = got.iter().rfind(|g| g.0 == name && g.2.is_some()).expect("a sample").1;
        let end = got.iter().rfind(|g| g.0 == name && g.2.is_none()).expect("the end").1;
        assert!(end > last, "the end of {name} at {end} is behind its last sample at {last}");
    }

    stop.send(true).expect("the source listens");
    assert!(running.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn too_many_targets_fail_all() {
    let page = Arc::new(Mutex::new("a 1\n".to_owned()));
    let address = target(&page, TEXT).await;
    job(json!({})).expect("valid");
    let config: ScrapeConfig = serde_json::from_value(json!({
        "job_name": "j",
        "scrape_interval": "50ms",
        "target_limit": 1,
        "static_configs": [{"targets": [address.to_string()]}, {"targets": [address.to_string()], "labels": {"x": "y"}}],
    }))
    .expect("the shape is right");
    let source = config.prepare(&mut Problems::default()).expect("valid");
    let service = Arc::new(FakeService::default());
    let (context, stop) = context(&service, going_clock());
    let running = tokio::spawn(source.run(context));
    let down = |got: &[super::support::Got]| got.iter().filter(|g| g.0.starts_with("up{") && g.2 == Some(0.0)).count();
    service.wait(|got| down(got) >= 2).await;
    assert!(!service.all().iter().any(|g| g.0.starts_with("a{")));
    stop.send(true).expect("the source listens");
    assert!(running.await.expect("no panic").is_ok());
}
