//! Polling and history against a server that answers as Prometheus does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use watchbell_adapter_api::{
    BoxFuture, Clock, HistoryContext, HistoryDone, HistoryKind, HistoryRequest, Ingest, IngestError, Metrics, Receipt,
    Shutdown, SourceContext, SourceKind,
};
use watchbell_series::labels::read_canonical;
use watchbell_series::{Mode, RawBatch};

use super::*;

const NOW: i64 = 1_700_000_000_000;

#[derive(Default)]
struct Recorder(Mutex<Vec<RawBatch>>);

impl Ingest for Recorder {
    fn submit(&self, batch: RawBatch) -> BoxFuture<'_, Result<Receipt, IngestError>> {
        self.0.lock().expect("unpoisoned").push(batch);
        Box::pin(async { Ok(Receipt::default()) })
    }
}

impl Recorder {
    /// Times in seconds after [`NOW`] and mode of all samples of all series, as they came.
    fn samples(&self) -> Vec<(String, f64, Mode)> {
        let mut all = Vec::new();
        for batch in self.0.lock().expect("unpoisoned").iter() {
            for series in &batch.series {
                let labels = read_canonical(batch.label_bytes(series)).expect("labels").to_string();
                for sample in batch.samples_of(series) {
                    all.push((labels.clone(), (sample.ts_ms - NOW) as f64 / 1000.0, batch.mode));
                }
            }
        }
        all
    }
}

struct Hand(AtomicI64);

impl Clock for Hand {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

type Form = HashMap<String, String>;
type Reply = (u16, String);

/// A server on loopback that logs the forms it gets and answers by a function of path and form.
struct Server {
    url: String,
    forms: Arc<Mutex<Vec<Form>>>,
}

impl Server {
    async fn start(reply: impl Fn(&str, &Form) -> Reply + Clone + Send + Sync + 'static) -> Self {
        let forms: Arc<Mutex<Vec<Form>>> = Arc::default();
        let log = forms.clone();
        let answer = move |uri: axum::http::Uri, body: String| {
            let parsed = reqwest::Url::parse(&format!("http://x/?{body}")).expect("a form");
            let form: Form = parsed.query_pairs().into_owned().collect();
            let (status, text) = reply(uri.path(), &form);
            log.lock().expect("unpoisoned").push(form);
            async move { (StatusCode::from_u16(status).expect("a status"), text) }
        };
        let router = Router::new().route("/prefix/api/v1/{*path}", post(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/prefix/", listener.local_addr().expect("an address"));
        // Ends with the runtime of the test.
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, forms }
    }

    fn forms(&self) -> Vec<Form> {
        std::mem::take(&mut *self.forms.lock().expect("unpoisoned"))
    }
}

fn ms(form: &Form, key: &str) -> i64 {
    (form[key].parse::<f64>().expect("seconds") * 1000.0).round() as i64
}

fn rows(metric: &str, times: impl Iterator<Item = i64>) -> Reply {
    let values: Vec<String> = times.map(|ts| format!("[{},\"1\"]", ts as f64 / 1000.0)).collect();
    let row = format!(r#"{{"metric":{metric},"values":[{}]}}"#, values.join(","));
    (200, format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{row}]}}}}"#))
}

/// Every step of a range query, ends included.
fn steps(form: &Form) -> Reply {
    let (start, end, step) = (ms(form, "start"), ms(form, "end"), ms(form, "step"));
    if (end - start) / step > 11_000 {
        return error(400, "exceeded maximum resolution of 11,000 points per timeseries");
    }
    rows(r#"{"job":"node"}"#, (start..=end).step_by(step as usize))
}

fn error(status: u16, message: &str) -> Reply {
    (status, format!(r#"{{"status":"error","errorType":"execution","error":"{message}"}}"#))
}

/// Without a provider of TLS no client can be made; a second installation is refused and changes nothing.
fn tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

struct Bench {
    poll: Poll,
    clock: Arc<Hand>,
    recorder: Arc<Recorder>,
    context: SourceContext,
    stop: tokio::sync::watch::Sender<bool>,
}

fn bench(url: &str, change: impl FnOnce(&mut Poll)) -> Bench {
    tls();
    let mut problems = Problems::default();
    let http = HttpClientConfig::default();
    let api = Api::new(url, &http, std::time::Duration::from_secs(5), 1 << 20, &mut problems).expect("good");
    let spec: QuerySpec =
        serde_json::from_value(serde_json::json!({"name": "busy", "expr": "rate(x[1m])", "labels": {"site": "a"}}))
            .expect("good");
    let mut poll = Poll {
        api,
        queries: vec![spec.prepare(&mut problems).expect("good")],
        interval_ms: 60_000,
        step_ms: 15_000,
        delay_ms: 5_000,
        lookback_ms: 3_600_000,
    };
    change(&mut poll);
    let (stop, shutdown) = Shutdown::channel();
    let (clock, recorder) = (Arc::new(Hand(AtomicI64::new(NOW))), Arc::new(Recorder::default()));
    let context = SourceContext {
        name: "q".into(),
        ingest: recorder.clone(),
        clock: clock.clone(),
        shutdown,
        metrics: Metrics::default(),
    };
    Bench { poll, clock, recorder, context, stop }
}

/// Whether times follow each other by 15 s without a gap or a repeat.
fn is_whole(samples: &[(String, f64, Mode)]) -> bool {
    samples.windows(2).all(|pair| pair[1].1 - pair[0].1 == 15.0)
}

#[tokio::test]
async fn polls_without_gaps_or_repeats() {
    let server = Server::start(|_, form| steps(form)).await;
    let bench = bench(&server.url, |_| ());
    let mut walk = bench.poll.walk(&bench.poll.queries[0], &bench.context);
    assert!(bench.poll.advance(&mut walk, &bench.context).await.is_ok());
    let first = bench.recorder.samples();
    assert_eq!(first[0].0, r#"busy{job="node",site="a"}"#);
    // The lookback is an hour; the last whole step is 5 s ago, just old enough.
    assert_eq!((first[0].1, first.last().expect("samples").1), (-3590.0, -5.0));
    let (past, live): (Vec<_>, Vec<_>) = first.iter().partition(|sample| sample.2 == Mode::Backfill);
    assert_eq!((past.last().map(|s| s.1), live[0].1, live.len()), (Some(-305.0), -290.0, 20));
    for pause in [61_000, 1_000, 7_000, 14_999, 600_000] {
        bench.clock.0.fetch_add(pause, Ordering::Relaxed);
        assert!(bench.poll.advance(&mut walk, &bench.context).await.is_ok());
    }
    let all = bench.recorder.samples();
    assert!(is_whole(&all), "{all:?}");
    assert_eq!(all.last().expect("samples").1, 670.0, "684 s later, less the delay, down to a step");
    let forms = server.forms();
    assert_eq!((forms[0]["nocache"].as_str(), forms[0]["query"].as_str()), ("1", "rate(x[1m])"));
}

#[tokio::test]
async fn a_long_past_is_read_in_allowed_pieces() {
    let server = Server::start(|_, form| steps(form)).await;
    let bench = bench(&server.url, |poll| poll.lookback_ms = 14 * 86_400_000);
    let mut walk = bench.poll.walk(&bench.poll.queries[0], &bench.context);
    assert!(bench.poll.advance(&mut walk, &bench.context).await.is_ok());
    let all = bench.recorder.samples();
    assert!(is_whole(&all));
    assert_eq!(all.len(), 14 * 86_400 / 15);
    for form in server.forms() {
        assert!((ms(&form, "end") - ms(&form, "start")) / 15_000 < 11_000, "{form:?}");
    }
}

#[tokio::test]
async fn what_was_missed_in_an_outage_is_caught_up() {
    let down = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let switch = down.clone();
    let server = Server::start(
        move |_, form| {
            if switch.load(Ordering::Relaxed) { error(503, "shutting down") } else { steps(form) }
        },
    )
    .await;
    let bench = bench(&server.url, |_| ());
    let mut walk = bench.poll.walk(&bench.poll.queries[0], &bench.context);
    assert!(bench.poll.advance(&mut walk, &bench.context).await.is_ok());
    down.store(true, Ordering::Relaxed);
    bench.clock.0.fetch_add(1_800_000, Ordering::Relaxed);
    let Err(poll::Halt::Unavailable(message)) = bench.poll.advance(&mut walk, &bench.context).await else {
        panic!("unavailable")
    };
    assert_eq!(message, "status 503: shutting down");
    down.store(false, Ordering::Relaxed);
    assert!(bench.poll.advance(&mut walk, &bench.context).await.is_ok());
    let all = bench.recorder.samples();
    assert!(is_whole(&all));
    let late = all.iter().find(|sample| sample.1 > 0.0).expect("caught up");
    assert_eq!(late.2, Mode::Backfill, "half an hour late raises no alert");
    // Longer than the lookback: the rest is gone for good.
    bench.clock.0.fetch_add(7_200_000, Ordering::Relaxed);
    assert!(bench.poll.advance(&mut walk, &bench.context).await.is_ok());
    let after = bench.recorder.samples();
    assert_eq!(after[all.len()].1, 5410.0, "an hour before 9000 s, the next step");
}

#[tokio::test]
async fn asks_for_less_when_it_is_too_much() {
    let server = Server::start(|_, form| match ms(form, "end") - ms(form, "start") {
        ..=300_000 => steps(form),
        _ => error(422, "query processing would load too many samples into memory in query execution"),
    })
    .await;
    let bench = bench(&server.url, |_| ());
    let mut walk = bench.poll.walk(&bench.poll.queries[0], &bench.context);
    assert!(bench.poll.advance(&mut walk, &bench.context).await.is_ok());
    let all = bench.recorder.samples();
    assert!(is_whole(&all) && all.len() == 240, "{}", all.len());
}

#[tokio::test]
async fn runs_until_told_to_stop() {
    #[expect(clippy::disallowed_methods, reason = "a test reads all that is sent")]
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |_, form| {
        let _ = said.send(());
        steps(form)
    })
    .await;
    let bench = bench(&server.url, |_| ());
    let running = tokio::spawn(Box::new(bench.poll).run(bench.context));
    heard.recv().await.expect("a query");
    bench.stop.send(true).expect("listening");
    assert!(running.await.expect("no panic").is_ok());
}

fn history(config: serde_json::Value) -> Arc<dyn watchbell_adapter_api::History> {
    tls();
    let mut problems = Problems::default();
    let history = (HistoryKind::of::<QueryHistoryConfig>().prepare)(config, &mut problems);
    history.unwrap_or_else(|| panic!("{problems:?}"))
}

async fn read(
    history: &dyn watchbell_adapter_api::History,
    labels: &[(&str, &str)],
) -> (Result<HistoryDone, String>, Vec<(String, f64, Mode)>, Vec<f64>) {
    let (recorder, shares) = (Arc::new(Recorder::default()), Arc::new(Mutex::new(Vec::new())));
    let (stop, shutdown) = Shutdown::channel();
    let noted = shares.clone();
    let context = HistoryContext {
        ingest: recorder.clone(),
        shutdown,
        metrics: Metrics::default(),
        progress: Arc::new(move |share| noted.lock().expect("unpoisoned").push(share)),
    };
    let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let done = history.read(HistoryRequest { labels, from_ms: NOW - 86_400_000, to_ms: NOW }, context).await;
    drop(stop);
    let shares = shares.lock().expect("unpoisoned").clone();
    (done.map_err(|e| e.to_string()), recorder.samples(), shares)
}

/// A sample every 15 s at odd times; a range is closed at both ends, as before Prometheus 3.
fn stored(form: &Form) -> Reply {
    let query = &form["query"];
    let span = query.rsplit_once('[').and_then(|(_, rest)| rest.strip_suffix("ms]")).expect("a range");
    let (right, span): (i64, i64) = (ms(form, "time"), span.parse().expect("milliseconds"));
    if span > 7_200_000 {
        return error(422, "the query exceeded the maximum number of chunks");
    }
    let first = (right - span).div_euclid(15_000) * 15_000;
    rows(r#"{"__name__":"up","job":"node"}"#, (first..=right).step_by(15_000).filter(|ts| *ts >= right - span))
}

#[tokio::test]
async fn history_gives_each_stored_sample_once() {
    let server = Server::start(|_, form| stored(form)).await;
    let history = history(serde_json::json!({"url": server.url}));
    assert_eq!(history.lookback_ms(), 14 * 86_400_000);
    let (done, samples, shares) = read(&*history, &[("instance", "web-1:9100")]).await;
    assert_eq!(done, Ok(HistoryDone { series: 1, samples: samples.len() as u64 }));
    assert!(is_whole(&samples));
    assert!(samples.iter().all(|sample| sample.2 == Mode::Backfill));
    // Stored at the multiples of 15 s, of which now is 5 s past one.
    assert_eq!((samples[0].1, samples.last().expect("samples").1), (-86_390.0, -5.0));
    assert!(shares.is_sorted() && shares.last() == Some(&1.0));
    let forms = server.forms();
    let selector = r#"{__name__!="",instance="web-1:9100"}["#;
    assert!(forms.iter().all(|form| form["query"].starts_with(selector)), "{:?}", forms[0]);
}

#[tokio::test]
async fn history_by_steps() {
    let server = Server::start(|path, form| {
        assert_eq!(path, "/prefix/api/v1/query_range");
        rows(r#"{"__name__":"up"}"#, (ms(form, "start")..=ms(form, "end")).step_by(ms(form, "step") as usize))
    })
    .await;
    let (done, samples, _) = read(&*history(serde_json::json!({"url": server.url, "step": "15s"})), &[]).await;
    assert_eq!(done, Ok(HistoryDone { series: 1, samples: 5760 }));
    assert!(is_whole(&samples));
}

#[tokio::test]
async fn history_says_why_it_can_not_be_read() {
    let server = Server::start(|_, _| error(400, "parse error")).await;
    let (done, samples, _) = read(&*history(serde_json::json!({"url": server.url, "selectors": ["up"]})), &[]).await;
    let message = done.expect_err("refused");
    assert!(message.contains(r#"query `{__name__="up"}`: status 400: parse error"#), "{message}");
    assert!(samples.is_empty());
}

#[tokio::test]
async fn history_survives_a_server_that_restarts() {
    let asked = Arc::new(AtomicI64::new(0));
    let server = Server::start(move |_, form| match asked.fetch_add(1, Ordering::Relaxed) {
        2 => (502, "<html>Bad Gateway</html>".to_owned()),
        _ => stored(form),
    })
    .await;
    let (done, samples, _) = read(&*history(serde_json::json!({"url": server.url})), &[]).await;
    assert_eq!(done.map(|done| done.samples), Ok(5760));
    assert!(is_whole(&samples));
}

#[test]
fn configs_are_checked_at_once() {
    tls();
    let mut problems = Problems::default();
    let bad = serde_json::json!({
        "url": "prometheus:9090", "interval": "0s",
        "queries": [
            {"name": "a", "expr": " ", "labels": {"__name__": "x"}},
            {"name": "a", "expr": "up", "kind": "gage"},
        ],
        "http": {"basic_auth": {"username": "u", "password_file": "/nonexistent/p"}},
    });
    assert!((SourceKind::of::<QueryConfig>().prepare)(bad, &mut problems).is_none());
    let paths: Vec<String> = problems.into_vec().into_iter().map(|problem| problem.path).collect();
    let expected = [
        "interval",
        "step",
        "queries[0].expr",
        "queries[0].labels",
        "queries[0].labels",
        "queries[1].name",
        "queries[1].kind",
        "url",
        "http.basic_auth.password_file",
    ];
    assert_eq!(paths, expected);
    let mut problems = Problems::default();
    let bad = serde_json::json!({"url": "http://p", "selectors": ["{", r#"{job=~".*"}"#], "lookback": "0s"});
    assert!((HistoryKind::of::<QueryHistoryConfig>().prepare)(bad, &mut problems).is_none());
    let paths: Vec<String> = problems.into_vec().into_iter().map(|problem| problem.path).collect();
    assert_eq!(paths, ["selectors[0]", "selectors[1]", "lookback"]);
}
