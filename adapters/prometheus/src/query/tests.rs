//! Polling against a server that answers as Prometheus does.

mod history;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use watchbell_adapter_api::{HistoryKind, Metrics, Shutdown, SourceContext, SourceKind};
use watchbell_series::Mode;

use self::support::{Form, Hand, NOW, Recorder, Reply, Server, error, is_whole, ms, rows, tls};
use super::*;

/// Every step of a range query, ends included.
fn steps(form: &Form) -> Reply {
    let (start, end, step) = (ms(form, "start"), ms(form, "end"), ms(form, "step"));
    if (end - start) / step > 11_000 {
        return error(400, "exceeded maximum resolution of 11,000 points per timeseries");
    }
    rows(r#"{"job":"node"}"#, (start..=end).step_by(step as usize))
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
        context: Arc::<watchbell_adapter_api::context::Told>::default(),
        clock: clock.clone(),
        shutdown,
        metrics: Metrics::default(),
        health: watchbell_adapter_api::Health::default(),
        state: None,
    };
    Bench { poll, clock, recorder, context, stop }
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
    let past = bench.recorder.batches().into_iter().filter(|batch| batch.mode == Mode::Backfill);
    assert_eq!(past.count(), 1, "the past of a series is one batch");
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
    let (said, mut heard) = tokio::sync::mpsc::channel(1);
    let server = Server::start(move |_, form| {
        let _ = said.try_send(());
        steps(form)
    })
    .await;
    let bench = bench(&server.url, |_| ());
    let running = tokio::spawn(Box::new(bench.poll).run(bench.context));
    heard.recv().await.expect("a query");
    bench.stop.send(true).expect("listening");
    assert!(running.await.expect("no panic").is_ok());
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
