//! The page that people look at, and what the service answers where there is nothing.

use serde_json::{Value, json};
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::load::{Noise, Series};
use crate::support::watchbell::{Home, Watchbell};
use crate::support::{http, wait};

const PUSHED: &str = "sources:\n  - {type: prometheus_remote_write_in}\nsinks:\n  - {type: prometheus_exposition}\n";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

fn page(service: &Watchbell) -> String {
    service.get("/").ok().expect("a page")
}

/// The part of the page with this id.
fn section(page: &str, id: &str) -> String {
    let (_, from) = page.split_once(&format!("<section id={id}>")).unwrap_or_else(|| panic!("no {id} in {page}"));
    from.split_once("</section>").expect("an end").0.to_owned()
}

fn plan(service: &Watchbell, window: &Value) {
    let body = window.to_string().into_bytes();
    http::post(&service.url("/api/v1/windows"), JSON, body).expect("an answer").ok().expect("taken");
}

#[test]
fn the_page_shows_what_fires_and_what_is_kept_back_and_why() {
    let service = Home::new(&format!("{PUSHED}detect: {{warmup: 10s, tick: 1h}}\n")).start();
    let empty = page(&service);
    for (id, line) in [
        ("alerts", "No alert fires."),
        ("suppressed", "No anomaly is kept back"),
        ("problems", "No other tool tells of a problem."),
        ("windows", "No quiet window is in force or planned."),
        ("hosts", "No host yet"),
        ("series", "No series has a score yet"),
        ("conflicts", "No names of hosts are in conflict."),
    ] {
        let section = section(&empty, id);
        assert!(section.contains(line) && !section.contains("<table"), "{section}");
    }

    let (now_s, mut noise) = (SystemClock.now_ms() / 1_000, Noise(7));
    plan(&service, &json!({"host": "db-1", "start": now_s - 60, "reason": "<kernel>"}));
    plan(&service, &json!({"match": "{job=\"x\"}", "start": "2100-01-01T00:00:00Z", "end": "2100-01-02T00:00:00Z"}));
    let people = [("source", "people"), ("state", "active")];
    service.metric_until("watchbell_quiet_windows", &people, |count| count == 1.0);
    let names = ["web-1:9100", "db-1:9100", "mail.a.example.org:9100", "mail.b.example.org:9100"];
    for second in now_s - 700..now_s {
        let more = if second < now_s - 60 { 0.0 } else { 400.0 };
        let send = |(at, name): (usize, &&str)| {
            let labels = [("__name__", "it_gauge"), ("instance", name), ("job", "it")];
            let more = if at < 2 { more } else { 0.0 };
            Series::new(&labels, &[(second * 1_000, 100.0 + noise.next() + more)])
        };
        let all: Vec<Series> = names.iter().enumerate().map(send).collect();
        assert!(service.write(&all).status < 300);
    }
    let full = wait::until("alerts on the page", || {
        let page = page(&service);
        let done = section(&page, "alerts").contains("<table") && section(&page, "suppressed").contains("<table");
        wait::when(done && section(&page, "conflicts").contains("<table"), || page.clone()).map(|()| page)
    });
    let has = |id: &str, words: &[&str]| {
        let section = section(&full, id);
        words.iter().for_each(|word| assert!(section.contains(word), "`{word}` is not in {section}"));
    };
    has("alerts", &["<b>it_gauge of web-1 is anomalous", ", expected ", "MetricAnomalous", " ago<small>"]);
    has("suppressed", &["<b>it_gauge of db-1", "kept back by a quiet window: &lt;kernel&gt; (people)"]);
    has("windows", &["<b>&lt;kernel&gt;</b><small>in force", "db-1", "planned", "{job=&quot;x&quot;}", "2100-01-02"]);
    has("hosts", &["<b>web-1</b>"]);
    has("series", &["instance=&quot;web-1:9100&quot;"]);
    has("conflicts", &["<b>mail</b>", "mail.a.example.org<br>mail.b.example.org", "keep: true"]);
    assert!(full.contains("<a href=\"#alerts\">Alerts: 1</a>"), "{full}");
    let firing: Value = serde_json::from_str(&service.get("/api/v1/alerts?state=firing").text).expect("JSON");
    assert_eq!(firing["data"].as_array().map(|all| (all.len(), all[0]["host"].clone())), Some((1, json!("web-1"))));
    assert!(service.stop().success());
}

#[test]
fn what_is_not_there_is_answered_in_json() {
    let service = Home::new(PUSHED).start();
    let ask = |answer: http::Answer| {
        let allow = answer.headers.get("allow").map_or("", |allow| allow.to_str().expect("text")).to_owned();
        let body: Value = serde_json::from_str(&answer.text).unwrap_or_else(|e| panic!("{e}: {}", answer.text));
        (answer.status, allow, body["error"].as_str().unwrap_or_default().to_owned())
    };
    let (status, _, error) = ask(service.get("/api/v1/problem"));
    assert_eq!(
        (status, error.as_str()),
        (404, "nothing is served at `/api/v1/problem`; did you mean `/api/v1/problems`?")
    );
    let (status, allow, error) = ask(service.get("/-/reload"));
    assert_eq!(
        (status, allow.as_str(), error.as_str()),
        (405, "POST", "`GET` is not answered at `/-/reload`; use POST")
    );
    let (status, allow, _) = ask(http::delete(&service.url("/api/v1/feedback")).expect("an answer"));
    assert_eq!((status, allow.as_str()), (405, "GET,HEAD,POST"));
    let (status, _, error) = ask(service.get("/api/v1/strikes?limit=3"));
    assert!(status == 400 && error.contains("unknown field `limit`"), "{status} {error}");
    assert!(service.stop().success());
}
