//! Why a series does or does not alert, asked of the running service, and rules tested from the command line.

use std::fs;

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use serde_json::{Value, json};
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::http::Answer;
use crate::support::load::Series;
use crate::support::server::Server;
use crate::support::wait;
use crate::support::watchbell::{Home, Watchbell, command};

const STEP_MS: i64 = 15_000;
const PUSHED: &str = "sources: [{type: prometheus_remote_write_in}]\n";
const LABELS: [(&str, &str); 2] = [("__name__", "shop_load"), ("instance", "shop-1:80")];

/// A server that keeps one gauge: a little noise, and a spike of five minutes that begins at `spike_ms`.
fn prometheus(spike_ms: i64) -> Server {
    let success = |data: Value| json!({"status": "success", "data": data}).to_string();
    let metric = || json!({"__name__": LABELS[0].1, "instance": LABELS[1].1});
    let value = move |ts_ms: i64| {
        let spike = (spike_ms..spike_ms + 300_000).contains(&ts_ms);
        if spike { 900 } else { 100 + (ts_ms / STEP_MS * 7919).rem_euclid(13) }
    };
    let query = move |body: String| {
        let form = format!("http://x/?{body}").parse::<reqwest::Url>().expect("a form");
        let field = |name: &str| form.query_pairs().find(|(n, _)| n == name).expect("given").1.into_owned();
        let right = (field("time").parse::<f64>().expect("a time") * 1_000.0) as i64;
        let span = field("query").rsplit_once('[').and_then(|(_, span)| span.trim_end_matches("ms]").parse().ok());
        let left = right - span.unwrap_or(0_i64);
        let times = (left / STEP_MS + 1..=right / STEP_MS).map(|step| step * STEP_MS);
        let values: Vec<Value> = times.map(|ts| json!([ts as f64 / 1_000.0, value(ts).to_string()])).collect();
        success(json!({"resultType": "matrix", "result": [{"metric": metric(), "values": values}]}))
    };
    let values = move |Path(label): Path<String>| {
        let value = LABELS.iter().find(|(name, _)| *name == label).map(|(_, value)| *value);
        std::future::ready(success(json!(value.into_iter().collect::<Vec<_>>())))
    };
    let routes = Router::new()
        .route("/api/v1/label/{name}/values", get(values))
        .route("/api/v1/series", post(async move || success(json!([metric()]))))
        .route("/api/v1/query", post(move |body: String| std::future::ready(query(body))));
    Server::start(routes)
}

fn ask(service: &Watchbell, selector: &str, time: Option<i64>) -> Answer {
    let mut url = service.url("/api/v1/explain").parse::<reqwest::Url>().expect("an address");
    url.query_pairs_mut().append_pair("match[]", selector);
    if let Some(ms) = time {
        url.query_pairs_mut().append_pair("time", &(ms as f64 / 1_000.0).to_string());
    }
    crate::support::http::get(url.as_str()).expect("an answer")
}

/// The one series of an answer.
fn told(service: &Watchbell, selector: &str, time: Option<i64>) -> (Value, Value) {
    let text = ask(service, selector, time).ok().expect("explained");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&answer["status"], &answer["data"]["matched"]), (&json!("success"), &json!(1)), "{text}");
    (answer["data"]["series"][0].clone(), answer["data"].clone())
}

#[test]
fn why_a_series_does_or_does_not_alert() {
    let now_ms = SystemClock.now_ms();
    let spike_ms = (now_ms - 2 * 3_600_000) / STEP_MS * STEP_MS;
    let server = prometheus(spike_ms);
    let history = format!("history: {{type: prometheus_query, url: '{}', lookback: 6h}}\n", server.url(""));
    let home = Home::new(&format!("{PUSHED}{history}"));
    let service = home.start();
    service.metric_until("watchbell_warm_start_samples_total", &[], |samples| samples > 1_000.0);

    let (series, data) = told(&service, "shop_load", None);
    assert_eq!((&series["outcome"], &data["basis"]), (&json!("under_edge"), &json!("live")), "{data:#}");
    assert_eq!((&series["host"], &series["metric"]), (&json!("shop-1"), &json!("shop_load")));
    let from = series["detector"]["alarms_from"].as_f64().expect("a value that would alert");
    assert!(from > 112.0 && from < 900.0, "{data:#}");
    let seen = series["detector"]["last_seen"].clone();
    assert!(seen.is_null() || seen.is_string());

    // The spike of two hours ago, of which the running service only learned.
    let (series, data) = told(&service, "shop_load", Some(spike_ms + 60_000));
    assert_eq!((&series["outcome"], &data["basis"]), (&json!("alerting"), &json!("recomputed")), "{data:#}");
    assert!(data["text"].as_str().is_some_and(|text| text.contains("judged again")), "{data:#}");
    let (series, _) = told(&service, "shop_load{instance=\"shop-1:80\"}", Some(spike_ms - 600_000));
    assert_eq!(series["outcome"], json!("under_edge"), "{series:#}");

    // A spike now: the first sample is pending, the second fires.
    let first_ms = SystemClock.now_ms() + STEP_MS;
    for (i, outcome) in ["pending", "alerting"].into_iter().enumerate() {
        let sample = (first_ms + i as i64 * STEP_MS, 900.0);
        assert!(service.write(&[Series::new(&LABELS, &[sample])]).status < 300);
        wait::until(outcome, || {
            let (series, data) = told(&service, "{instance=\"shop-1:80\"}", None);
            wait::when(series["outcome"] == json!(outcome), || format!("{data:#}"))
        });
    }
    let (series, _) = told(&service, "{host=\"shop-1\"}", None);
    assert!(series["text"].as_str().is_some_and(|text| text.contains("`MetricAnomalous` fires since")), "{series:#}");

    let done = command(&["explain", "--url", &service.url(""), "shop_load"]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.contains("does alert"), "{said}");
    let done = command(&["explain", "--url", &service.url(""), "nothing_like_this"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.code() == Some(1) && said.contains("no judged series is selected"), "{said}");
    assert!(service.metric("watchbell_explanations_total", &[("result", "recomputed")]) >= 2.0);
}

#[test]
fn what_is_not_judged_and_what_can_not_be_answered() {
    let home = Home::new(&format!("{PUSHED}series: {{ignore: ['{{job=\"batch\"}}']}}\n"));
    let service = home.start();
    let now_ms = SystemClock.now_ms();
    let batch = [("__name__", "shop_load"), ("job", "batch")];
    assert!(
        service.write(&[Series::new(&batch, &[(now_ms, 1.0)]), Series::new(&LABELS, &[(now_ms, 1.0)])]).status < 300
    );

    let (series, _) = told(&service, "shop_load{job=\"batch\"}", None);
    let text = series["text"].as_str().unwrap_or_default();
    assert_eq!(series["outcome"], json!("not_watched"));
    assert!(text.contains("`ignore` names it") && text.contains("samples of it come"), "{text}");
    let (series, _) = told(&service, "node_boot_time_seconds", None);
    assert!(series["rule"].as_str().is_some_and(|rule| rule.contains("prometheus.yaml")), "{series:#}");
    let (series, _) = told(&service, "shop_load{instance=\"shop-1:80\"}", None);
    assert_eq!(series["outcome"], json!("warming"), "{series:#}");

    for (selector, time, status, word) in [
        ("{job=", None, 400, "`match[]`"),
        ("shop_load", Some(now_ms + 86_400_000), 400, "in the future"),
        ("shop_lod", None, 404, "`{__name__=\"shop_lod\"}`"),
        ("shop_load", Some(now_ms - 86_400_000), 503, "configure `history`"),
    ] {
        let answer = ask(&service, selector, time);
        assert_eq!(answer.status, status, "{}", answer.text);
        let body: Value = serde_json::from_str(&answer.text).expect("JSON");
        assert!(body["error"].as_str().is_some_and(|text| text.contains(word)), "{word}: {body:#}");
    }
    let answer = service.get("/api/v1/explain");
    assert!(answer.status == 400 && answer.text.contains("`match[]` is missing"), "{}", answer.text);
}

#[test]
fn rules_are_tested_by_exit_codes() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let good = write(
        "good.yaml",
        "rules_dir: mine\ntests:\n  - name: small jobs\n    series: [{series: node_load1, values: '1x9'}]\n    \
         mapping: [{name: load.1m, bad: up, min_deviation: 4}]\n",
    );
    let rules = write("mine/detect/load.yaml", "metrics:\n  - {name: load.1m, min_deviation: 4}\n");
    let bad = write(
        "bad.yaml",
        "tests:\n  - name: wrong\n    series: [{series: node_load1, values: '1x9'}]\n    mapping: [{bad: down}]\n",
    );
    let broken =
        write("broken.yaml", "tests:\n  - name: x\n    series: [{series: up, values: '1y'}]\n    scores: []\n");
    let run = |paths: &[&str]| {
        let done = command(&[&["rules", "test"], paths].concat());
        let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (done.status.code(), said.concat())
    };
    let (code, said) = run(&[&good]);
    assert!(code == Some(0) && said.contains("1 passed, 0 failed"), "{said}");
    let (code, said) = run(&[&good, &bad]);
    assert!(code == Some(1) && said.contains("FAIL") && said.contains("want: bad: down"), "{said}");
    let (code, said) = run(&[&bad, &broken]);
    assert!(code == Some(2) && said.contains(&format!("{broken}:3: `1y` is no value")), "{said}");
    fs::write(&rules, "metrics:\n  - {name: load.1m, min_deviation: much}\n  - {name: x, colour: red}\n")
        .expect("written");
    let (code, said) = run(&[&good]);
    assert!(code == Some(2) && said.contains("load.yaml:2:") && said.contains("load.yaml:3:"), "{said}");
    assert_eq!(run(&["/no/such/folder"]).0, Some(2));
}
