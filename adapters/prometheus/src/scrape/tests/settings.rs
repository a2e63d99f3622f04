//! What a config may say, and what is said about one that is wrong.

use serde_json::json;
use watchbell_adapter_api::Span;

use super::support::job;

#[test]
fn defaults() {
    let checked = job(json!({})).expect("valid");
    assert_eq!((checked.interval, checked.timeout), (Span::seconds(15), Span::seconds(10)));
    let quick = job(json!({"scrape_interval": "5s"})).expect("valid");
    assert_eq!(quick.timeout, Span::seconds(5), "the default timeout gives way to the interval");
    assert_eq!(job(json!({"body_size_limit": "0"})).expect("valid").body_limit, 1 << 30);
}

#[test]
fn reports_all_mistakes_at_once() {
    let problems = job(json!({
        "job_name": "",
        "scrape_timeout": "1m",
        "metrics_path": "metrics",
        "static_configs": [{"targets": ["good:1", "http://bad/metrics"], "labels": {"": "x"}}],
        "file_sd_configs": [{"files": ["x.txt", "a.json"]}, {"files": []}],
        "http_sd_configs": [{"url": "ftp://x"}, {"url": "nonsense"}],
        "metric_relabel_configs": [{"action": "hashmod", "target_label": "x"}],
        "http": {"basic_auth": {"username": "u", "password_file": "/nonexistent"}},
    }))
    .expect_err("not valid");
    let places: Vec<&str> = problems.iter().map(|p| p.split(": ").next().unwrap_or_default()).collect();
    assert_eq!(
        places,
        [
            "job_name",
            "scrape_timeout",
            "metrics_path",
            "static_configs[0].targets[1]",
            "static_configs[0].labels",
            "file_sd_configs[0].files[0]",
            "file_sd_configs[1].files",
            "http_sd_configs[0].url",
            "http_sd_configs[1].url",
            "metric_relabel_configs[0].modulus",
            "http.basic_auth.password_file",
        ],
        "{problems:#?}"
    );
    let urls = json!({
        "static_configs": [{"targets": ["https://probed.example/path"]}],
        "relabel_configs": [{"source_labels": ["__address__"], "target_label": "__param_target"}],
    });
    assert!(job(urls).is_ok(), "relabelling may make an address of anything");
    let rules = job(json!({"relabel_configs": [{"regex": "("}]})).expect_err("not valid");
    assert_eq!(rules.len(), 2, "{rules:?}");
    let none = job(json!({"static_configs": []})).expect_err("no targets");
    assert!(none[0].starts_with("no targets"), "{none:?}");
}
