use std::sync::{Arc, Mutex, PoisonError};

use watchbell_adapter_api::{BoxFuture, HostReading, ToldName};
use watchbell_series::Reading;

use super::engine::Ledger;
use super::*;
use crate::testing::{FakeScores, Sink, reading};

fn plan(config: serde_json::Value) -> Plan {
    let config: ResultsConfig = serde_json::from_value(config).expect("the shape is right");
    let mut problems = Problems::default();
    config.check(&mut problems).unwrap_or_else(|| panic!("{:?}", problems.into_vec()))
}

fn host(name: &str, score: f32, anomalous: u32) -> HostReading {
    HostReading {
        host: name.to_owned(),
        series: 10,
        ready: if score.is_nan() { 0 } else { 8 },
        anomalous,
        score,
        ..HostReading::default()
    }
}

fn scores() -> FakeScores {
    let mut scores = FakeScores::default();
    scores.hosts =
        vec![host("web-1", 0.2, 0), host("web-2", 1.5, 2), host("web-3", 3.0, 8), host("web-4", f32::NAN, 0)];
    let load = [("__name__", "nagios_perfdata"), ("host", "web-2"), ("label", "load1"), ("service", "load")];
    scores.add(&load, reading(2.5));
    scores.add(
        &[
            ("__name__", "nagios_perfdata"),
            ("host", "web-2"),
            ("label", "C:\\ |x"),
            ("service", "disk"),
            ("unit", "bytes"),
        ],
        reading(3.5),
    );
    scores.add(
        &[("__name__", "node_load1"), ("host", "web-2"), ("instance", "web-2:9100"), ("job", "node"), ("mode", "x")],
        reading(1.1),
    );
    scores.add(&[("__name__", "node_load5"), ("host", "web-2")], reading(1.05));
    scores.add(
        &[("__name__", "nagios_perfdata"), ("host", "web-1"), ("label", "load1"), ("service", "load")],
        reading(0.4),
    );
    scores
}

#[tokio::test]
async fn one_result_for_each_host() {
    let sink = Sink::new(scores(), 1_000);
    let plan = plan(serde_json::json!({"host_names": {"web-3": "www 3"}, "hosts": "web-[1-4]"}));
    let (results, skipped) = super::collect::collect(&plan, &sink.context).await;
    assert_eq!(skipped, 0);
    let shown: Vec<String> =
        results.iter().map(|r| format!("{};{};{};{}", r.host, r.service, r.state as u8, r.output(4_000))).collect();
    assert_eq!(
        shown,
        [
            "web-1;Anomaly;0;ANOMALY OK - score 0.20, 0 of 8 series anomalous|watchbell_score=0.200;1;2;0 \
             watchbell_anomaly_rate=0.0%;;;0;100 watchbell_series=10;;;0",
            "web-2;Anomaly;1;ANOMALY WARNING - score 1.50, 2 of 8 series anomalous: \
             disk C:/ /x 35B (expected 26.25B, score 3.50), load load1 25 (expected 18.75, score 2.50), \
             node_load1{mode=x} 11 (expected 8.25, score 1.10)|watchbell_score=1.500;1;2;0 \
             watchbell_anomaly_rate=25.0%;;;0;100 watchbell_series=10;;;0",
            "www 3;Anomaly;2;ANOMALY CRITICAL - score 3.00, 8 of 8 series anomalous|watchbell_score=3.000;1;2;0 \
             watchbell_anomaly_rate=100.0%;;;0;100 watchbell_series=10;;;0",
            "web-4;Anomaly;0;ANOMALY OK - learning: none of 10 series has a score yet|watchbell_series=10;;;0",
        ]
    );
    assert_eq!(results[0].time_s, 1);
    let short = results[1].output(130);
    assert!(
        short.len() <= 130 && short.starts_with("ANOMALY WARN") && short.ends_with("watchbell_series=10;;;0"),
        "{short}"
    );
}

#[tokio::test]
async fn one_result_for_each_service() {
    let sink = Sink::new(scores(), 1_000);
    let plan = plan(serde_json::json!({"per_service": "{service} anomaly", "hosts": "web-2", "critical": null}));
    let (results, _) = super::collect::collect(&plan, &sink.context).await;
    let shown: Vec<String> =
        results.iter().skip(1).map(|r| format!("{};{};{:?}", r.host, r.service, r.state)).collect();
    assert_eq!(shown, ["web-2;disk anomaly;Warning", "web-2;load anomaly;Warning"]);
    assert!(results[2].perfdata.starts_with("watchbell_score=2.500;1;;0 "), "{:?}", results[2]);
}

fn told(kind: &'static str, name: &str) -> ToldName {
    ToldName { kind, name: name.into() }
}

#[tokio::test]
async fn a_joined_host_is_called_as_nagios_calls_it() {
    let mut scores = FakeScores::default();
    let names = [told("zabbix_history", "Zabbix server"), told("nagios_status", "localhost")];
    let names = [&names[..], &[told("nagios_perfdata", "localhost"), told("nagios_perfdata", "mon")]].concat();
    let foreign = [told("zabbix_history", "Web 1")];
    scores.hosts = vec![
        HostReading { told: names.into(), ..host("monitor1", 1.5, 1) },
        HostReading { told: foreign.into(), ..host("web-1", 0.5, 0) },
    ];
    let load = [("__name__", "nagios_perfdata"), ("host", "localhost"), ("label", "load1"), ("service", "load")];
    scores.add_of("monitor1", &load, reading(1.5));
    let sink = Sink::new(scores, 1_000);
    let shown = async |config| {
        let (results, skipped) = super::collect::collect(&plan(config), &sink.context).await;
        assert_eq!(skipped, 0);
        results.iter().map(|r| format!("{};{};{}", r.host, r.service, r.text)).collect::<Vec<_>>()
    };
    let text = "ANOMALY WARNING - score 1.50, 1 of 8 series anomalous: load load1 15 (expected 11.25, score 1.50)";
    let web = "ANOMALY OK - score 0.50, 0 of 8 series anomalous";
    assert_eq!(
        shown(serde_json::json!({})).await,
        [format!("localhost;Anomaly;{text}"), format!("mon;Anomaly;{text}"), format!("web-1;Anomaly;{web}")]
    );
    // What the config says goes before, and `hosts` is about the name here.
    let of_service = text.replace("1 of 8", "1 of 1");
    let config = serde_json::json!({"hosts": "monitor1", "per_service": "{service} anomaly"});
    let told = shown(config).await;
    assert_eq!(told[1..], [format!("mon;Anomaly;{text}"), format!("localhost;load anomaly;{of_service}")]);
    let config = serde_json::json!({"host_names": {"monitor1": "m"}, "per_service": "{service} anomaly"});
    let said = shown(config).await;
    assert_eq!((&said[0], &said[2]), (&format!("m;Anomaly;{text}"), &format!("m;load anomaly;{of_service}")));
}

#[tokio::test]
async fn what_is_in_a_quiet_window_is_ok() {
    let mut scores = scores();
    for (name, reason) in [("web-2", "kernel update"), ("web-4", "")] {
        let host = scores.hosts.iter_mut().find(|host| host.host == name).expect("known");
        host.quiet = Some(reason.into());
    }
    // Of the services of web-1 one rests, and of the other a part.
    let of_web =
        |service, label| [("__name__", "nagios_perfdata"), ("host", "web-1"), ("label", label), ("service", service)];
    scores.add(&of_web("disk", "/"), Reading { quiet: true, ..reading(3.5) });
    scores.add(&of_web("net", "in"), Reading { quiet: true, ..reading(3.5) });
    scores.add(&of_web("net", "out"), reading(1.5));
    let sink = Sink::new(scores, 1_000);
    let config = serde_json::json!({"per_service": "{service} anomaly", "hosts": "web-[124]", "not_ready": "unknown"});
    let (results, _) = super::collect::collect(&plan(config), &sink.context).await;
    let shown: Vec<String> = results.iter().map(|r| format!("{};{}", r.host, r.output(4_000))).collect();
    assert_eq!(
        shown[1..],
        [
            "web-2;ANOMALY OK - in a quiet window: kernel update - score 1.50, 2 of 8 series anomalous|\
             watchbell_score=1.500;1;2;0 watchbell_anomaly_rate=25.0%;;;0;100 watchbell_series=10;;;0",
            "web-4;ANOMALY OK - in a quiet window|watchbell_series=10;;;0",
            "web-1;ANOMALY OK - in a quiet window - score 3.50, 1 of 1 series anomalous|\
             watchbell_score=3.500;1;2;0 watchbell_series=1;;;0",
            "web-1;ANOMALY OK - score 0.40, 0 of 1 series anomalous|watchbell_score=0.400;1;2;0 watchbell_series=1;;;0",
            "web-1;ANOMALY WARNING - score 1.50, 2 of 2 series anomalous: net out 15 (expected 11.25, score 1.50)|\
             watchbell_score=1.500;1;2;0 watchbell_series=2;;;0",
            "web-2;ANOMALY OK - in a quiet window: kernel update - score 3.50, 1 of 1 series anomalous|\
             watchbell_score=3.500;1;2;0 watchbell_series=1;;;0",
            "web-2;ANOMALY OK - in a quiet window: kernel update - score 2.50, 1 of 1 series anomalous|\
             watchbell_score=2.500;1;2;0 watchbell_series=1;;;0",
        ]
    );
    let states: Vec<u8> = results.iter().map(|r| r.state as u8).collect();
    assert_eq!(states, [0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn changes_first_then_heartbeats() {
    let result = |host: &str, state| PassiveResult {
        host: host.to_owned(),
        service: "Anomaly".to_owned(),
        state,
        time_s: 0,
        text: String::new(),
        perfdata: String::new(),
    };
    let names = |due: &[PassiveResult]| due.iter().map(|r| r.host.clone()).collect::<String>();
    let all = |b| vec![result("a", State::Ok), result("b", b), result("c", State::Ok)];
    let mut ledger = Ledger::default();
    let due = ledger.due(all(State::Ok), 0, 60);
    assert_eq!(names(&due), "abc");
    ledger.note(&due[..2], 0);
    // What was not taken is due again; the others only when they change.
    assert_eq!(names(&ledger.due(all(State::Ok), 10, 60)), "c");
    let due = ledger.due(all(State::Warning), 20, 60);
    assert_eq!(names(&due), "bc");
    ledger.note(&due, 20);
    assert_eq!(names(&ledger.due(all(State::Warning), 59, 60)), "");
    assert_eq!(names(&ledger.due(all(State::Warning), 60, 60)), "a");
    assert_eq!(names(&ledger.due(all(State::Ok), 81, 60)), "bac");
    assert_eq!(names(&ledger.due(all(State::Warning), -5, 60)), "abc");
}

/// Takes `room` results at once, then says that it is full.
struct Narrow {
    room: usize,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Way for Narrow {
    fn send<'a>(&'a mut self, results: &'a [PassiveResult]) -> BoxFuture<'a, Sent> {
        let taken = results.len().min(self.room);
        let hosts = results[..taken].iter().map(|r| r.host.clone());
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).extend(hosts);
        let sent = if taken < results.len() { Sent::failed(taken, "full") } else { Sent::all(results) };
        Box::pin(async { sent })
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_is_tried_again() {
    let sink = Sink::new(scores(), 1_000);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let way = Narrow { room: 3, seen: Arc::clone(&seen) };
    let task = tokio::spawn(run(plan(serde_json::json!({})), way, sink.context.clone()));
    tokio::time::sleep(Duration::from_secs(15)).await;
    sink.stop.send_replace(true);
    task.await.expect("ends").expect("well");
    assert_eq!(*seen.lock().unwrap_or_else(PoisonError::into_inner), ["web-1", "web-2", "web-3", "web-4"]);
    let metric = |def| sink.context.metrics.counter(def, &["nagios"]).get();
    assert_eq!((metric(&RESULTS), metric(&FAILURES)), (4.0, 1.0));
}

#[test]
fn bad_settings() {
    let config = serde_json::json!({
        "service": "a;b", "hosts": "(", "host_names": {"a": ""}, "per_service": "x", "warning": 0, "critical": -1,
        "interval": "0", "heartbeat": "0"
    });
    let config: ResultsConfig = serde_json::from_value(config).expect("the shape is right");
    let mut problems = Problems::default();
    assert!(config.check(&mut problems).is_none());
    let found: Vec<String> = problems.into_vec().iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 7, "{found:#?}");
    assert!(found.iter().all(|problem| problem.starts_with("results.")), "{found:#?}");
}
