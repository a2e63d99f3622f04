//! Quiet windows that people state to a running service: they mute, protect, and outlast a kill.

use serde_json::{Value, json};
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::load::{Noise, Series};
use crate::support::watchbell::{Home, Watchbell};
use crate::support::{http, wait};

const PUSHED: &str = "sources:\n  - {type: prometheus_remote_write_in}\nsinks:\n  - {type: prometheus_exposition}\n";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const GAUGE: &str = "it_gauge";

fn told(answer: http::Answer) -> Result<Value, String> {
    let body: Value = serde_json::from_str(&answer.text).map_err(|e| format!("{e}: {}", answer.text))?;
    if body["status"] == "success" {
        Ok(body["data"].clone())
    } else {
        Err(format!("{} {}", answer.status, body["error"]))
    }
}

fn ask(service: &Watchbell, path: &str) -> Result<Value, String> {
    told(service.get(path))
}

fn state(service: &Watchbell, body: &Value) -> Result<Value, String> {
    told(http::post(&service.url("/api/v1/windows"), JSON, body.to_string().into_bytes())?)
}

/// Sends one sample a second from `at_s` on: 100 with noise, and `more`.
fn send(service: &Watchbell, noise: &mut Noise, at_s: std::ops::Range<i64>, more: f64) {
    send_as(service, &[("__name__", GAUGE), ("instance", "web-1:9100"), ("job", "it")], noise, at_s, more);
}

fn send_as(service: &Watchbell, labels: &[(&str, &str)], noise: &mut Noise, at_s: std::ops::Range<i64>, more: f64) {
    for second in at_s {
        let answer = service.write(&[Series::new(labels, &[(second * 1_000, 100.0 + noise.next() + more)])]);
        assert!(answer.status < 300, "{}", answer.text);
    }
}

fn muted(service: &Watchbell) -> Result<Value, String> {
    let alerts = ask(service, "/api/v1/alerts?state=suppressed")?;
    let found = alerts.as_array().and_then(|all| all.iter().find(|alert| alert["labels"]["metric"] == GAUGE).cloned());
    found.filter(|alert| alert["state"] == "suppressed: muted").ok_or_else(|| alerts.to_string())
}

#[test]
fn a_window_mutes_and_protects_over_a_kill_and_what_comes_after_it_fires() {
    let home = Home::new(&format!("{PUSHED}detect: {{warmup: 10s, tick: 1h}}\n"));
    let service = home.start();
    let (now_s, mut noise) = (SystemClock.now_ms() / 1_000, Noise(7));
    send(&service, &mut noise, now_s - 700..now_s - 60, 0.0);
    let window = state(&service, &json!({"host": "web-1", "start": now_s - 60, "reason": "kernel"})).expect("taken");
    assert_eq!((&window["state"], &window["end"], &window["id"]), (&json!("active"), &Value::Null, &json!("1")));
    let people = [("source", "people"), ("state", "active")];
    service.metric_until("watchbell_quiet_windows", &people, |count| count == 1.0);

    send(&service, &mut noise, now_s - 60..now_s, 400.0);
    let alert = wait::until("an alert that is muted", || muted(&service));
    assert_eq!(alert["annotations"]["muted"], json!("kernel (people)"), "{alert}");
    assert_eq!(ask(&service, "/api/v1/alerts?state=fired"), Ok(json!([])));
    let labels = [("metric", GAUGE)];
    assert_eq!(service.score("watchbell_series_ready", &[("metric", GAUGE), ("reason", "quiet")]), Some(1.0));
    assert!(service.score("watchbell_anomaly_score", &labels).is_some_and(|score| score > 1.0));
    let explained = ask(&service, &format!("/api/v1/explain?match%5B%5D={GAUGE}")).expect("explained");
    assert_eq!(explained["series"][0]["quiet"], json!(true), "{explained}");

    let before = service.scores();
    service.kill();
    let service = home.start();
    assert_eq!(service.scores(), before, "the log is judged again under the same window");

    let end = told(http::delete(&service.url("/api/v1/windows/1")).expect("an answer")).expect("ended");
    assert_ne!(end["end"], Value::Null);
    service.metric_until("watchbell_quiet_windows", &people, |count| count == 0.0);
    // The window ended at this moment; samples may be ahead of the clock.
    let now_s = SystemClock.now_ms() / 1_000 + 5;
    send(&service, &mut noise, now_s..now_s + 30, 0.0);
    let expected = service.score("watchbell_expected", &labels).expect("a value");
    assert!((expected - 100.0).abs() < 20.0, "nothing of the window was learned: {expected}");
    assert_eq!(ask(&service, "/api/v1/alerts?state=fired"), Ok(json!([])));
    send(&service, &mut noise, now_s + 30..now_s + 40, 400.0);
    wait::until("an alert", || {
        let alerts = ask(&service, "/api/v1/alerts?state=fired")?;
        wait::when(alerts[0]["labels"]["metric"] == GAUGE, || alerts.to_string())
    });
    assert!(service.stop().success());
}

#[test]
fn a_window_is_about_a_host_under_each_of_its_names_once_they_are_joined_and_after_a_kill() {
    let home = Home::new(&format!("{PUSHED}detect: {{warmup: 10s, tick: 1h}}\n"));
    let service = home.start();
    let (now_s, mut noise) = (SystemClock.now_ms() / 1_000, Noise(11));
    let long = [("__name__", GAUGE), ("instance", "web-1.example.org:9100"), ("job", "it")];
    send_as(&service, &long, &mut noise, now_s - 700..now_s - 60, 0.0);
    // The last sample is in it.
    let body = json!({"host": "web-1", "start": now_s - 61, "reason": "kernel"}).to_string().into_bytes();
    let answer = http::post(&service.url("/api/v1/windows"), JSON, body).expect("an answer");
    let answer: Value = serde_json::from_str(&answer.text).expect("JSON");
    assert_eq!((&answer["data"]["series"], &answer["data"]["hosts"]), (&json!(0), &json!(0)), "{answer}");
    assert_eq!(answer["warnings"], json!(["no series matches now; the window will apply when one appears"]));

    // Another tool calls it so, and by that one learns that both are one host.
    let short = [("__name__", "it_other"), ("host", "web-1")];
    send_as(&service, &short, &mut noise, now_s - 59..now_s - 58, 0.0);
    service.metric_until("watchbell_quiet_series", &[], |count| count == 2.0);
    for host in ["web-1", "web-1.example.org"] {
        let windows = ask(&service, &format!("/api/v1/windows?host={host}")).expect("listed");
        assert_eq!((&windows[0]["series"], &windows[0]["hosts"]), (&json!(2), &json!(1)), "{windows}");
    }
    assert_eq!(ask(&service, "/api/v1/windows?host=web-2"), Ok(json!([])));

    send_as(&service, &long, &mut noise, now_s - 60..now_s, 400.0);
    let explained = ask(&service, &format!("/api/v1/explain?match%5B%5D={GAUGE}")).expect("explained");
    assert_eq!((&explained["series"][0]["quiet"], &explained["series"][0]["host"]), (&json!(true), &json!("web-1")));
    let expected = service.score("watchbell_expected", &[("metric", GAUGE)]).expect("a value");
    assert!((expected - 100.0).abs() < 20.0, "nothing of the window was learned: {expected}");
    let before = service.scores();
    service.kill();
    let service = home.start();
    assert_eq!(service.scores(), before, "whom a window is about is in the log");
    assert!(service.stop().success());
}

#[test]
fn windows_that_make_no_sense_are_refused_and_planned_ones_taken_back() {
    let service = Home::new(PUSHED).start();
    for (body, problem) in [
        (json!({}), "exactly one of `host`"),
        (json!({"host": "a", "everything": true}), "exactly one of `host`"),
        (json!({"match": "{}"}), "say `everything: true`"),
        (json!({"match": "{a=", "reason": "x"}), "`match`: selector `{a=`"),
        (json!({"host": "a", "start": "soon"}), "`start`: `soon` is no time"),
        (json!({"host": "a", "start": 20, "end": 10}), "`end` is before `start`"),
        (json!({"host": "a", "start": 10, "end": 20}), "`end` is in the past"),
        (json!({"host": "a", "end": 20}), "`end` is in the past"),
        (json!({"host": "a", "colour": 1}), "unknown field `colour`"),
        (json!([]), "is to be one JSON object with its fields by name"),
        (json!("a"), "is to be one JSON object with its fields by name"),
        (json!({"host": ["a"]}), "invalid type: sequence, expected a string"),
    ] {
        let error = state(&service, &body).expect_err("refused");
        assert!(error.contains(problem), "{body}: {error}");
    }
    let planned = json!({"match": "{job=\"db\"}", "start": "2100-01-01T00:00:00Z", "end": "2100-01-02T00:00:00Z"});
    let window = state(&service, &planned).expect("taken");
    assert_eq!((&window["state"], &window["subject"]["match"]), (&json!("planned"), &json!("{job=\"db\"}")));
    let listed = ask(&service, "/api/v1/windows").expect("listed");
    assert_eq!((&listed[0]["id"], &listed[0]["series"]), (&window["id"], &json!(0)));
    assert_eq!(ask(&service, "/api/v1/windows?state=planned&source=people&limit=1"), Ok(listed));
    for other in ["state=over", "source=zabbix", "host=web-1"] {
        assert_eq!(ask(&service, &format!("/api/v1/windows?{other}")), Ok(json!([])), "{other}");
    }
    for (path, problem) in [
        ("windows?colour=1", "unknown field `colour`"),
        ("windows?state=soon", "unknown `state` `soon`; known: active, planned, over"),
        ("windows?limit=many", "limit"),
        ("limits?since=10", "unknown field `since`"),
        ("problems?state=over", "unknown field `state`"),
    ] {
        let error = ask(&service, &format!("/api/v1/{path}")).expect_err(path);
        assert!(error.starts_with("400") && error.contains(problem), "{path}: {error}");
    }
    let path = format!("/api/v1/windows/{}", window["id"].as_str().expect("an id"));
    told(http::delete(&service.url(&path)).expect("an answer")).expect("taken back");
    assert_eq!(ask(&service, "/api/v1/windows"), Ok(json!([])));
    let again = told(http::delete(&service.url(&path)).expect("an answer")).expect_err("it is gone");
    assert!(again.contains("404 \"there is no window"), "{again}");
    assert!(service.stop().success());
}
