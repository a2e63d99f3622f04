//! People tell a running service which alerts were right and wrong, and which windows to forget.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use watchbell::clock::SystemClock;
use watchbell::config::{Config, Named, Overrides};
use watchbell::pipeline::service::{Origin, Service};
use watchbell_adapter_api::history::{HistoryContext, HistoryDone, HistoryError};
use watchbell_adapter_api::sink::{Cursor, ScoreQuery};
use watchbell_adapter_api::{BoxFuture, Clock, History, HistoryRequest};
use watchbell_series::{Labels, MetricKind, Mode, RawBatch, RawSample, Reading};

use crate::support::load::{Noise, Series};
use crate::support::watchbell::{Home, Watchbell};
use crate::support::{http, wait};

const PUSHED: &str = "sources:\n  - {type: prometheus_remote_write_in}\n";
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

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

fn say(service: &Watchbell, path: &str, body: &Value) -> Result<Value, String> {
    told(http::post(&service.url(path), JSON, body.to_string().into_bytes())?)
}

/// A quiet gauge for ten minutes, and from then on a jump of it.
fn jump(service: &Watchbell, name: &str) {
    let (begin_ms, mut noise) = (SystemClock.now_ms() - 700_000, Noise(11));
    let labels = [("__name__", name), ("instance", "web-1:9100"), ("job", "it")];
    for i in 0..700 {
        let value = 100.0 + noise.next() + if i >= 690 { 500.0 } else { 0.0 };
        let answer = service.write(&[Series::new(&labels, &[(begin_ms + i * 1_000, value)])]);
        assert!(answer.status < 300, "{}", answer.text);
    }
}

#[test]
fn feedback_is_kept_and_raises_an_edge() {
    let home = Home::new(&format!("{PUSHED}detect: {{warmup: 10s}}\n"));
    let service = home.start();
    jump(&service, "it_gauge");
    let alert = wait::until("an alert", || {
        let alerts = ask(&service, "/api/v1/alerts?state=fired")?;
        alerts.get(0).cloned().ok_or_else(|| format!("{alerts}"))
    });
    assert_eq!((&alert["labels"]["metric"], &alert["state"]), (&json!("it_gauge"), &json!("firing")));
    assert_eq!(alert["feedback"], Value::Null);
    let id = alert["id"].as_str().expect("an id");

    for (body, problem) in [
        (json!({"alert": "0-0", "verdict": "confirmed"}), "404 \"there is no alert `0-0`"),
        (json!({"alert": id, "verdict": "maybe"}), "known: false_alarm, confirmed, expected"),
        (json!({"verdict": "confirmed"}), "name either `alert`"),
        (json!({"alert": id, "verdict": "confirmed", "colour": 1}), "unknown field `colour`"),
        (json!({"series": {"__name__": "x"}, "time": "soon", "verdict": "confirmed"}), "`time`: `soon` is no time"),
        (
            json!({"series": {"__name__": "x"}, "time": 1, "verdict": "confirmed", "comment": "x".repeat(3_000)}),
            "longer than",
        ),
    ] {
        let error = say(&service, "/api/v1/feedback", &body).expect_err("refused");
        assert!(error.contains(problem), "{body}: {error}");
    }
    let said = say(&service, "/api/v1/feedback", &json!({"alert": id, "verdict": "false_alarm", "comment": "a test"}));
    let said = said.expect("taken");
    assert_eq!((&said["raisesEdge"], &said["alert"]), (&json!(true), &json!(id)));
    let again = say(&service, "/api/v1/feedback", &json!({"alert": id, "verdict": "false_alarm"})).expect("taken");
    assert_eq!(again["raisesEdge"], json!(false), "said twice it counts once");
    let labels = json!({"__name__": "it_gauge", "instance": "web-1:9100", "job": "it"});
    let by_series = json!({"series": labels.clone(), "time": alert["startsAt"], "verdict": "false_alarm"});
    assert_eq!(say(&service, "/api/v1/feedback", &by_series).expect("taken")["alert"], json!(id));
    let quiet_s = (SystemClock.now_ms() - 300_000) / 1_000;
    let nothing = json!({"series": labels, "time": quiet_s, "verdict": "expected"});
    assert_eq!(say(&service, "/api/v1/feedback", &nothing).expect("kept all the same")["alert"], Value::Null);
    for (series, at, problem) in [
        (json!({"__name__": "it_gauge"}), quiet_s, "404 \"no series with exactly these labels"),
        (labels.clone(), quiet_s + 86_400, "400 \"`time` is in the future"),
        (labels, 1_000, "400 \"`time` is more than 240 days ago"),
    ] {
        let body = json!({"series": series, "time": at, "verdict": "expected"});
        let error = say(&service, "/api/v1/feedback", &body).expect_err("refused");
        assert!(error.starts_with(problem), "{body}: {error}");
    }
    for (path, problem) in [
        ("alerts?limit=many", "limit: invalid digit"),
        ("alerts?stat=fired", "unknown field `stat`, expected one of `state`, `before`, `limit`"),
        ("feedback?limit=-1", "limit: invalid digit"),
        ("hosts?anomalous=perhaps", "anomalous: provided string was not"),
    ] {
        let error = ask(&service, &format!("/api/v1/{path}")).expect_err("refused");
        assert!(error.starts_with("400 \"the query string: ") && error.contains(problem), "{path}: {error}");
    }
    assert_eq!(service.metric("watchbell_feedback_total", &[("verdict", "false_alarm")]), 1.0);
    assert!(service.stop().success());

    let service = home.start();
    let alerts = ask(&service, "/api/v1/alerts").expect("listed");
    assert_eq!((&alerts[0]["id"], &alerts[0]["feedback"]), (&json!(id), &json!("false_alarm")));
    let said = ask(&service, "/api/v1/feedback").expect("listed");
    assert_eq!(said.as_array().map(Vec::len), Some(4), "{said}");
    assert_eq!(said[3]["comment"], json!("a test"));
    let limited = ask(&service, "/api/v1/feedback?limit=1").expect("listed");
    assert_eq!(limited.as_array().map(Vec::len), Some(1));
    assert!(service.stop().success());
}

#[test]
fn what_is_over_the_budget_is_kept_and_not_fired() {
    let home = Home::new(&format!(
        "{PUSHED}detect: {{warmup: 10s}}\nalerting: {{alert_budget: 0.0000000001 per series per month}}\n"
    ));
    let service = home.start();
    jump(&service, "it_gauge");
    let alert = wait::until("a suppressed alert", || {
        let alerts = ask(&service, "/api/v1/alerts?state=suppressed")?;
        alerts.get(0).cloned().ok_or_else(|| format!("{alerts}"))
    });
    assert_eq!((&alert["labels"]["metric"], &alert["state"]), (&json!("it_gauge"), &json!("suppressed: budget")));
    assert_eq!(ask(&service, "/api/v1/alerts?state=fired"), Ok(json!([])));
    assert!(
        ask(&service, "/api/v1/alerts?state=red")
            .expect_err("refused")
            .contains("known: all, fired, firing, suppressed")
    );
    service.metric_until("watchbell_alerts_suppressed_total", &[("reason", "budget")], |count| count >= 1.0);
    let labels = [("budget", "default"), ("per", "series")];
    service.metric_until("watchbell_alert_budget_per_week", &labels, |budget| budget > 0.0);
    assert_eq!(service.metric("watchbell_alerts_actual_per_week", &labels), 0.0);
    assert_eq!(service.metric("watchbell_alerts", &[("state", "suppressed")]), 1.0);
    assert!(service.stop().success());
    let service = home.start();
    let alerts = ask(&service, "/api/v1/alerts").expect("listed");
    assert_eq!(alerts[0]["state"], json!("suppressed: budget"));
    assert!(alerts[0]["endsAt"].is_string(), "it does not go on over a restart: {alerts}");
    assert_eq!(service.metric("watchbell_alerts", &[("state", "firing")]), 0.0);
    assert!(service.stop().success());
}

#[test]
fn a_strike_needs_history() {
    let home = Home::new(PUSHED);
    let service = home.start();
    let strike = |body: Value| say(&service, "/api/v1/strikes", &body).expect_err("refused");
    let window = json!({"match[]": ["{job=\"it\"}"], "start": 1_000, "end": 2_000, "reason": "a test"});
    let error = strike(window);
    assert!(error.starts_with("409") && error.contains("configure `history:`"), "{error}");
    for (body, problem) in [
        (json!({"match[]": [], "start": 1, "end": 2}), "wants 1 to 32 selectors"),
        (json!({"match[]": ["{job="], "start": 1, "end": 2}), "`match[]`: `{job=`"),
        (json!({"match[]": ["a"], "start": 3, "end": 2}), "`end` is before `start`"),
        (json!({"match[]": ["a"], "start": 3, "end": 99_999_999_999_i64}), "`end` is in the future"),
        (json!({"match[]": ["a"], "start": "x", "end": 2}), "`start`: `x` is no time"),
        (json!({"start": 1, "end": 2}), "missing field `match[]`"),
    ] {
        let error = strike(body.clone());
        assert!(error.starts_with("400") && error.contains(problem), "{body}: {error}");
    }
    assert_eq!(ask(&service, "/api/v1/strikes"), Ok(json!([])));
    assert!(service.stop().success());
}

/// Two weeks of a gauge and of a counter each five minutes; on a day of them both are far off.
struct Archive {
    now_ms: i64,
}

const STEP_MS: i64 = 300_000;
const DAY_MS: i64 = 86_400_000;

impl Archive {
    fn incident(&self) -> (i64, i64) {
        (self.now_ms - 4 * DAY_MS, self.now_ms - 3 * DAY_MS)
    }

    fn batch(&self, name: &str, instance: &str) -> RawBatch {
        let (mut noise, mut total, mut samples) = (Noise(5), 0.0, Vec::new());
        let (start, end) = self.incident();
        for ts_ms in (self.now_ms - 14 * DAY_MS..self.now_ms).step_by(STEP_MS as usize) {
            // What an instance called sane never had.
            let off = (start..=end).contains(&ts_ms) && instance != "sane";
            let value = 100.0 + noise.next() + if off { 4_000.0 } else { 0.0 };
            total += value;
            samples.push(RawSample { ts_ms, value: if name == "it_total" { total } else { value } });
        }
        let mut batch = RawBatch { mode: Mode::Backfill, received_ms: self.now_ms, ..RawBatch::default() };
        let labels = Labels::series([("__name__", name), ("instance", instance), ("job", "it")]).expect("labels");
        let kind = if name == "it_total" { MetricKind::Counter } else { MetricKind::Gauge };
        batch.push(&labels, kind, &samples);
        batch
    }
}

impl History for Archive {
    fn lookback_ms(&self) -> i64 {
        14 * DAY_MS
    }

    fn read(
        &self,
        request: HistoryRequest,
        context: HistoryContext,
    ) -> BoxFuture<'_, Result<HistoryDone, HistoryError>> {
        Box::pin(async move {
            let wanted = |label: &str, value: &str| request.labels.iter().all(|(l, v)| l != label || v == value);
            let mut done = HistoryDone::default();
            for name in ["it_gauge", "it_total"] {
                for instance in ["a", "b", "sane"] {
                    if wanted("__name__", name) && wanted("instance", instance) {
                        let batch = self.batch(name, instance);
                        (done.series, done.samples) = (done.series + 1, done.samples + batch.samples.len() as u64);
                        context.ingest.submit(batch).await.map_err(|e| HistoryError(e.to_string()))?;
                    }
                }
            }
            Ok(done)
        })
    }
}

/// A service in this process with that history.
struct Running {
    stop: mpsc::Sender<()>,
    task: tokio::task::JoinHandle<()>,
    scores: Arc<dyn watchbell_adapter_api::Scores>,
    base: String,
}

impl Running {
    fn start(data_dir: &Path, now_ms: i64) -> Self {
        Self::start_with(data_dir, Some(now_ms))
    }

    fn start_with(data_dir: &Path, history: Option<i64>) -> Self {
        http::RUNTIME.block_on(async {
            let overrides = Overrides { listen: Some(([127, 0, 0, 1], 0).into()), data_dir: Some(data_dir.to_owned()) };
            let text = format!("{PUSHED}shards: 2\n");
            let mut checked = Config::from_text("test", &text, &overrides).expect("a config");
            checked.history = history.map(|now_ms| Named {
                name: "archive".into(),
                kind: "archive",
                path: "history".to_owned(),
                item: Arc::new(Archive { now_ms }) as Arc<dyn History>,
                fingerprint: Value::Null,
                max_series: None,
            });
            let service =
                Service::start(Origin::default(), checked, Arc::new(SystemClock), None).await.expect("starts");
            let (base, scores) = (format!("http://{}", service.address()), service.scores());
            let (stop, mut stopped) = mpsc::channel::<()>(1);
            let (_, hangup) = mpsc::channel(1);
            let task = tokio::spawn(service.run(
                async move {
                    let _ = stopped.recv().await;
                },
                hangup,
            ));
            Self { stop, task, scores, base }
        })
    }

    fn readings(&self) -> Vec<(String, Reading)> {
        let query = Arc::new(ScoreQuery { selectors: Vec::new(), anomalous_only: false });
        http::RUNTIME.block_on(async {
            let (mut all, mut cursor) = (Vec::new(), Some(Cursor::START));
            while let Some(at) = cursor {
                let page = self.scores.page(Arc::clone(&query), at).await;
                for row in &page.rows {
                    let labels = Labels::new(page.labels_of(row)).expect("labels");
                    let name = format!("{} {}", labels.name(), labels.get("instance").unwrap_or_default());
                    all.push((name, row.reading));
                }
                cursor = page.next;
            }
            all
        })
    }

    fn band(&self, name: &str) -> Result<(f64, f64), String> {
        let all = self.readings();
        let found = all.iter().find(|(n, reading)| n == name && reading.upper.is_finite());
        found.map(|(_, r)| (r.upper, r.lower)).ok_or_else(|| format!("{all:?}"))
    }

    fn applied(&self) -> Value {
        wait::until("the strikes to be applied", || {
            let strikes = told(http::get(&format!("{}/api/v1/strikes", self.base))?)?;
            let settled = strikes.as_array().is_some_and(|all| all.iter().all(|s| s["state"] == "applied"));
            if settled { Ok(strikes) } else { Err(strikes.to_string()) }
        })
    }

    /// Takes strike `id`, the only one, back.
    fn take_back(&self, id: i64) {
        let url = format!("{}/api/v1/strikes/{id}", self.base);
        let deleted = http::RUNTIME.block_on(async {
            let client = reqwest::Client::builder().no_proxy().build().expect("a client");
            client.delete(&url).send().await.expect("asked").status().as_u16()
        });
        assert_eq!(deleted, 202);
        wait::until("the strike to be gone", || {
            let strikes = told(http::get(&format!("{}/api/v1/strikes", self.base))?)?;
            if strikes == json!([]) { Ok(()) } else { Err(strikes.to_string()) }
        });
    }

    fn stop(self) {
        let Self { stop, task, scores, .. } = self;
        drop((stop, scores));
        http::RUNTIME.block_on(async {
            tokio::time::timeout(Duration::from_secs(60), task).await.expect("in time").expect("no panic")
        });
    }
}

#[test]
fn struck_windows_are_unlearned_and_stay_out() {
    let (temp, now_ms) = (tempfile::tempdir().expect("a folder"), SystemClock.now_ms() - 60_000);
    let data = temp.path().join("data");
    let running = Running::start(&data, now_ms);
    let near = |a: (f64, f64), b: (f64, f64), by: f64| (a.0 - b.0).abs() < by && (a.1 - b.1).abs() < by;
    let (sane, sane_rate) = wait::until("the warm start", || {
        ["a", "b"].iter().try_for_each(|at| running.band(&format!("it_total {at}")).map(drop))?;
        Ok((running.band("it_gauge sane")?, running.band("it_total sane")?))
    });
    let (spoilt, other) = (running.band("it_gauge a").expect("ready"), running.band("it_gauge b").expect("ready"));
    let spoilt_rate = running.band("it_total a").expect("ready");
    assert!(
        !near(spoilt, sane, 0.5) && !near(spoilt_rate, sane_rate, 0.002),
        "{spoilt:?} {sane:?} {spoilt_rate:?} {sane_rate:?}"
    );

    let (start, end) = (Archive { now_ms }).incident();
    let body = json!({
        "match[]": ["{instance=\"a\"}"], "start": start as f64 / 1000.0, "end": end as f64 / 1000.0, "reason": "a test",
    });
    let url = format!("{}/api/v1/strikes", running.base);
    let strike = told(http::post(&url, JSON, body.to_string().into_bytes()).expect("asked")).expect("taken");
    assert_eq!((&strike["id"], &strike["state"]), (&json!(1), &json!("pending")));
    let strikes = running.applied();
    assert_eq!((&strikes[0]["series"], &strikes[0]["problem"]), (&json!(2), &Value::Null), "{strikes}");
    let after = running.band("it_gauge a").expect("ready");
    assert!(near(after, sane, 0.5), "{after:?} {sane:?}");
    let after_rate = running.band("it_total a").expect("ready");
    assert!(near(after_rate, sane_rate, 0.002), "{after_rate:?} {sane_rate:?}");
    assert_eq!(running.band("it_gauge b"), Ok(other), "the others keep what they learned");
    running.stop();

    // What was learned anew is saved, and the strike stands.
    let running = Running::start(&data, now_ms);
    assert_eq!(running.applied()[0]["reason"], json!("a test"));
    let restored = running.band("it_gauge a").expect("ready");
    assert!(near(restored, after, 0.2), "{restored:?} {after:?}");
    running.stop();

    // A warm start from nothing leaves the window out as well.
    for entry in std::fs::read_dir(&data).expect("a folder") {
        let entry = entry.expect("an entry");
        let kept = entry.file_name().to_string_lossy().starts_with("watchbell.db");
        if !kept {
            let path = entry.path();
            if path.is_dir() {
                std::fs::remove_dir_all(path).expect("removed")
            } else {
                std::fs::remove_file(path).expect("removed")
            }
        }
    }
    let running = Running::start(&data, now_ms);
    let anew = wait::until("the warm start", || running.band("it_gauge a"));
    assert!(near(anew, sane, 0.5), "{anew:?} {sane:?}");

    // Taken back, the window is learned again.
    running.take_back(1);
    let spoilt_again = running.band("it_gauge a").expect("ready");
    assert!(near(spoilt_again, spoilt, 0.2), "{spoilt_again:?} {spoilt:?}");

    // Where there is no history any more, a strike goes all the same; its series keep what they learned.
    let url = format!("{}/api/v1/strikes", running.base);
    let strike = told(http::post(&url, JSON, body.to_string().into_bytes()).expect("asked")).expect("taken");
    running.applied();
    running.stop();
    let running = Running::start_with(&data, None);
    running.take_back(strike["id"].as_i64().expect("an id"));
    running.stop();
}
