//! What Alertmanager and Prometheus know: a silence mutes and protects, rules become limits, alerts problems.

use serde_json::{Value, json};
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::alertmanager::Alertmanager;
use crate::support::load::{Noise, Series};
use crate::support::prometheus::{Prometheus, Wanted};
use crate::support::watchbell::{Home, Watchbell};
use crate::support::{http, wait};

const GAUGE: &str = "it_queue_length";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// A sample each second in `at_s`: 100 with noise, and `more`.
fn send(service: &Watchbell, noise: &mut Noise, at_s: std::ops::Range<i64>, more: f64) {
    let labels = [("__name__", GAUGE), ("instance", "web-1:9100"), ("job", "it")];
    for second in at_s {
        let answer = service.write(&[Series::new(&labels, &[(second * 1_000, 100.0 + noise.next() + more)])]);
        assert!(answer.status < 300, "{}", answer.text);
    }
}

fn data(service: &Watchbell, path: &str) -> Result<Value, String> {
    let answer = service.get(path).ok()?;
    let body: Value = serde_json::from_str(&answer).map_err(|e| e.to_string())?;
    Ok(body["data"].clone())
}

#[test]
fn a_silence_of_alertmanager_mutes_and_protects_until_it_is_expired() {
    let alertmanager = Alertmanager::start();
    let home = Home::new(&format!(
        "sources:\n  - {{type: prometheus_remote_write_in}}\n  \
         - {{type: alertmanager_silences, name: silences, urls: ['{url}'], interval: 1s}}\nsinks:\n  \
         - {{type: prometheus_exposition}}\n  - {{type: alertmanager, urls: ['{url}']}}\ndetect: {{warmup: 10s}}\n",
        url = alertmanager.url()
    ));
    let service = home.start();
    let (now_s, mut noise) = (SystemClock.now_ms() / 1_000, Noise(3));
    send(&service, &mut noise, now_s - 700..now_s, 0.0);

    // As a person makes it from one of our alerts.
    let silence = json!({
        "matchers": [
            {"name": "alertname", "value": "MetricAnomalous", "isRegex": false, "isEqual": true},
            {"name": "host", "value": "web-.*", "isRegex": true, "isEqual": true},
            {"name": "metric", "value": GAUGE, "isRegex": false, "isEqual": true},
        ],
        "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2100-01-01T00:00:00Z", "createdBy": "ann", "comment": "kernel",
    });
    let url = format!("{}/api/v2/silences", alertmanager.url());
    let made = http::post(&url, JSON, silence.to_string().into_bytes()).expect("an answer").ok().expect("made");
    let made: Value = serde_json::from_str(&made).expect("an id");
    let active = [("source", "silences"), ("state", "active")];
    service.metric_until("watchbell_quiet_windows", &active, |count| count == 1.0);
    let begun_s = SystemClock.now_ms() / 1_000 + 1;
    wait::until("the silence to have begun", || wait::when(SystemClock.now_ms() / 1_000 > begun_s, String::new));

    send(&service, &mut noise, begun_s..begun_s + 30, 400.0);
    let labels = [("metric", GAUGE)];
    wait::until("an alert that is muted", || {
        let alerts = data(&service, "/api/v1/alerts?state=suppressed")?;
        wait::when(alerts[0]["annotations"]["muted"] == "kernel, by ann (silences)", || alerts.to_string())
    });
    assert_eq!(service.score("watchbell_series_ready", &[("metric", GAUGE), ("reason", "quiet")]), Some(1.0));
    assert!(service.score("watchbell_anomaly_score", &labels).is_some_and(|score| score > 1.0));
    assert_eq!(alertmanager.firing(&labels), Ok(Vec::new()), "Alertmanager is told of nothing");
    let expected = service.score("watchbell_expected", &labels).expect("a value");
    assert!((expected - 100.0).abs() < 20.0, "nothing of it was learned: {expected}");

    let id = made["silenceID"].as_str().expect("an id");
    http::delete(&format!("{}/api/v2/silence/{id}", alertmanager.url())).expect("an answer").ok().expect("expired");
    service.metric_until("watchbell_quiet_windows", &active, |count| count == 0.0);
    let now_s = (SystemClock.now_ms() / 1_000 + 2).max(begun_s + 30);
    send(&service, &mut noise, now_s..now_s + 5, 400.0);
    wait::until("what still stands to fire", || {
        let alerts = alertmanager.firing(&labels)?;
        wait::when(!alerts.is_empty(), || service.log())
    });
    assert!(service.stop().success());
}

#[test]
fn rules_of_prometheus_become_limits_and_its_alerts_problems() {
    let rules = "[{alert: Long, expr: 'it_queue_length{job=\"it\"} > 250', labels: {severity: critical}}, \
                 {alert: Sum, expr: 'sum(it_queue_length) > 1'}, \
                 {alert: Here, expr: 'it_here == 1', labels: {severity: warning}}]";
    let prometheus = Prometheus::start(&Wanted { jobs: &[], remote_write: None, rules: Some(rules), words: &[] });
    let here = [("__name__", "it_here"), ("instance", "web-1:9100")];
    prometheus.write(&[Series::new(&here, &[(SystemClock.now_ms(), 1.0)])]);
    let home = Home::new(&format!(
        "sources:\n  - {{type: prometheus_remote_write_in}}\n  \
         - {{type: prometheus_rules, name: prometheus, url: '{}', interval: 1s}}\nsinks:\n  \
         - {{type: prometheus_exposition}}\ndetect: {{warmup: 10s}}\n",
        prometheus.url()
    ));
    let service = home.start();
    let (now_s, mut noise) = (SystemClock.now_ms() / 1_000, Noise(5));
    send(&service, &mut noise, now_s - 700..now_s - 60, 0.0);
    service.metric_until("watchbell_known_limits", &[("source", "prometheus")], |count| count == 2.0);
    service.metric_until("watchbell_limited_series", &[], |count| count == 1.0);
    assert_eq!(service.metric("watchbell_prometheus_rules", &[("source", "prometheus"), ("form", "other")]), 1.0);
    let problem = wait::until("a problem", || {
        let problems = data(&service, "/api/v1/problems?host=web-1:9100")?;
        wait::when(problems[0]["name"] == "Here", || problems.to_string()).map(|()| problems[0].clone())
    });
    assert_eq!((&problem["severity"], &problem["end"]), (&json!("warning"), &Value::Null));

    send(&service, &mut noise, now_s - 60..now_s - 50, 400.0);
    let alert = wait::until("an alert", || {
        let alerts = data(&service, "/api/v1/alerts?state=fired")?;
        wait::when(alerts[0]["labels"]["metric"] == GAUGE, || alerts.to_string()).map(|()| alerts[0].clone())
    });
    let limit = "critical above 250 (prometheus: Long)";
    assert_eq!(alert["annotations"]["limit"], json!(format!("{limit}; past it")), "{alert}");
    let explained = data(&service, &format!("/api/v1/explain?match%5B%5D={GAUGE}")).expect("explained");
    let series = &explained["series"][0];
    assert_eq!(series["limits"], json!([limit]), "{series}");
    assert!(series["problems"][0].as_str().is_some_and(|text| text.starts_with("prometheus: Here since ")), "{series}");
    service.kill();

    // The alert ends while nobody follows it.
    prometheus.write(&[Series::new(&here, &[(SystemClock.now_ms(), 0.0)])]);
    wait::until("Prometheus to know that the alert is over", || {
        let alerts = http::get(&format!("{}/api/v1/alerts", prometheus.url()))?.ok()?;
        wait::when(!alerts.contains("\"Here\""), || alerts)
    });
    let service = home.start();
    wait::until("the end of the problem", || {
        let problems = data(&service, "/api/v1/problems?host=web-1:9100")?;
        wait::when(problems[0]["id"] == problem["id"] && problems[0]["end"] != Value::Null, || problems.to_string())
    });
    wait::until("the limit to be known from before the restart", || {
        let explained = data(&service, &format!("/api/v1/explain?match%5B%5D={GAUGE}"))?;
        wait::when(explained["series"][0]["limits"] == json!([limit]), || explained.to_string())
    });
    assert!(service.stop().success());
}
