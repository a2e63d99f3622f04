use serde_json::{Value, json};
use watchbell_checks::testing::{Running, problems_of};
use watchbell_series::Subject;

use super::*;
use crate::testing::{Reply, Server};

const EVENTS_SEEN: &str = include_str!("../../testdata/events.ndjson");
const SERVICES: &str = include_str!("../../testdata/services.json");
const NOW: i64 = 1_795_191_230;

fn config(url: &str) -> Value {
    let _ = rustls::crypto::ring::default_provider().install_default();
    json!({
        "url": url, "http": {"basic_auth": {"username": "u", "password": "hunter2"}}, "refresh": "1h",
        "labels": {"site": "x"}
    })
}

fn host(state: u8) -> String {
    json!({"results": [{"attrs": {
        "name": "localhost", "check_command": "hostalive", "state": state, "state_type": 1, "last_reachable": true,
        "last_hard_state_change": 1_795_191_000.5, "last_state_up": 1_795_190_000.0,
        "last_check_result": {"state": 2 * state, "execution_start": 1_795_191_200.0, "execution_end": 1_795_191_200.25,
            "active": true, "output": "PING", "performance_data": ["rta=3ms;100;500;0"]}
    }}]})
    .to_string()
}

fn objects(first: &str) -> Option<Reply> {
    let path = first.split(' ').nth(1).unwrap_or_default();
    Some(match path.split('?').next().unwrap_or_default() {
        "/v1/objects/hosts" => Reply::json(200, &host(1)),
        "/v1/objects/services" => Reply::json(200, SERVICES),
        "/v1/objects/downtimes" => Reply::json(
            200,
            r#"{"results":[{"attrs":{"__name":"localhost!7","host_name":"localhost","service_name":"","start_time":5.0,
                "end_time":9.5,"fixed":true,"author":"ada","comment":"swap"}}]}"#,
        ),
        _ => Reply::json(404, r#"{"error":404,"status":"No objects found."}"#),
    })
}

#[tokio::test]
async fn objects_first_and_then_events() {
    let server = Server::answering(|first| {
        if first.starts_with("POST /v1/events ") { Some(Reply::stream(EVENTS_SEEN)) } else { objects(first) }
    })
    .await;
    let source = Running::start::<EventsConfig>(config(&server.url), None, NOW);
    let lines = EVENTS_SEEN.lines().count() as f64;
    source
        .until("the events", |source| {
            let of = |kind| source.metrics.counter(&EVENTS, &["nagios", kind]).get();
            of("CheckResult") + of("StateChange") == lines
        })
        .await;
    // The last event's samples are handed over after it was counted.
    source.until("the last", |source| source.recorder.lines().iter().any(|l| l.contains("@1795191217"))).await;
    let subscribed = server.requests().iter().find(|request| request.starts_with("POST /v1/events")).cloned();
    assert!(subscribed.expect("there").contains("\"queue\":\"watchbell\""));
    let problems = source.told.problems.lock().expect("free").clone();
    let windows = source.told.windows.lock().expect("free").clone();
    assert_eq!(source.metrics.gauge(&CONNECTED, &["nagios"]).get(), 1.0);
    let found = source.stop().await;
    for wanted in [
        "nagios_host_state{host=\"localhost\",site=\"x\"} gauge 1 @1795191200",
        "nagios_perfdata{command=\"hostalive\",host=\"localhost\",label=\"rta\",site=\"x\",unit=\"seconds\"} gauge 0.003 @1795191200",
        // The command of a service is known from its object, the rest from the event.
        "nagios_perfdata{command=\"load\",host=\"localhost\",label=\"load1\",service=\"load\",site=\"x\"} gauge 7.14 @1795191211",
        "nagios_service_state{host=\"localhost\",service=\"load\",site=\"x\"} gauge 2 @1795191211",
        "nagios_perfdata{command=\"disk\",host=\"localhost\",label=\"/\",service=\"disk\",site=\"x\",unit=\"bytes\"} gauge 26593984512 @1795191217",
        "nagios_service_acknowledged{host=\"localhost\",service=\"load\",site=\"x\"} gauge 0 @1795191230",
    ] {
        assert!(found.iter().any(|line| line == wanted), "{wanted} in {found:#?}");
    }
    // A state change repeats its check result; nothing comes twice.
    let mut once: Vec<_> = found.iter().filter(|line| !line.ends_with("@1795191230")).collect();
    once.sort();
    let all = once.len();
    once.dedup();
    assert_eq!(once.len(), all, "{found:#?}");
    // The host was down until its first event, the load is critical since its own.
    let hosts: Vec<_> = problems.iter().filter(|p| p.subject == Subject::Host("localhost".into())).collect();
    assert_eq!((hosts.len(), hosts[0].severity, hosts[0].starts_ms), (2, 5, 1_795_191_000_500));
    assert_eq!((&hosts[1].id, hosts[1].ends_ms), (&hosts[0].id, Some(1_795_191_210_970)));
    assert!(problems.iter().any(|p| p.name.starts_with("load: LOAD CRITICAL")), "{problems:#?}");
    assert_eq!(windows.len(), 1);
    assert_eq!((windows[0].starts_ms, windows[0].ends_ms), (5_000, Some(9_500)));
}

#[tokio::test]
async fn problems_that_ended_while_the_stream_was_closed_get_their_ends() {
    let server =
        Server::answering(
            |first| {
                if first.starts_with("POST /v1/events ") { Some(Reply::stream("")) } else { objects(first) }
            },
        )
        .await;
    let open = [("localhost", "disk"), ("localhost", "gone")];
    let source = Running::start_again::<EventsConfig>(config(&server.url), NOW, &open);
    source.until("two ends", |source| source.ends().len() == 2).await;
    // It has been well since then, as the recorded objects have it.
    let since_ms = 1_795_190_617_749;
    let wanted = [("localhost!disk@0".to_owned(), since_ms), ("localhost!gone@0".to_owned(), NOW * 1_000)];
    assert_eq!(source.ends(), wanted);
    source.stop().await;
}

#[tokio::test]
async fn refusals_name_icinga_and_what_to_do() {
    for (status, body, wanted) in [
        (401, "<h1>Unauthorized</h1>", "`http.basic_auth` is wrong"),
        (403, r#"{"error":403,"status":"Missing permission: events/checkresult"}"#, "give the ApiUser this permission"),
        (503, r#"{"error":503,"status":"Shutting down."}"#, "starting or reloading"),
    ] {
        let server = Server::answering(move |_| Some(Reply::json(status, body))).await;
        let peer = crate::testing::peer(&server.url);
        let error = peer.stream("/v1/events", &json!({})).await.expect_err("refused");
        assert!(error.contains(wanted) && error.contains("127.0.0.1") && !error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_opened_again_and_what_was_missed_is_read() {
    // The first stream ends at once, and objects can not be read at first.
    let turns = std::sync::atomic::AtomicU32::new(0);
    let server = Server::answering(move |first| {
        if !first.starts_with("POST /v1/events ") {
            return objects(first);
        }
        match turns.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => None,
            1 => Some(Reply::json(200, "{\"type\":\"CheckResult\"}\nnot json\n")),
            _ => Some(Reply::stream(EVENTS_SEEN)),
        }
    })
    .await;
    let source = Running::start::<EventsConfig>(config(&server.url), None, NOW);
    source.until("an event", |source| source.recorder.lines().iter().any(|l| l.contains("@1795191217"))).await;
    assert!(source.metrics.counter(&CONNECTIONS, &["nagios", "failed"]).get() >= 2.0);
    assert_eq!(source.metrics.counter(&CONNECTIONS, &["nagios", "opened"]).get(), 2.0);
    assert_eq!(source.metrics.counter(&EVENTS, &["nagios", "bad"]).get(), 2.0);
    source.stop().await;
}

#[tokio::test]
async fn a_downtime_of_a_group_is_read_by_few_requests() {
    let event = |service: &str, kind: &str| {
        let downtime = json!({"host_name": "localhost", "service_name": service});
        json!({"type": kind, "downtime": downtime}).to_string()
    };
    let services: Vec<String> = (0..250).map(|n| format!("s{n}")).chain(["load".to_owned()]).collect();
    let both = ["DowntimeAdded", "DowntimeStarted"];
    let lines = services.iter().flat_map(|service| both.map(|kind| event(service, kind) + "\n"));
    let stream: String = lines.chain([event("", "DowntimeAdded") + "\n"]).collect();
    let server = Server::answering(move |first| {
        if first.starts_with("POST /v1/events ") { Some(Reply::stream(&stream)) } else { objects(first) }
    })
    .await;
    let source = Running::start::<EventsConfig>(config(&server.url), None, NOW);
    let asked = |path: &str| server.requests().iter().filter(|request| request.starts_with(path)).count();
    // Those of the start, and those that the events ask for.
    source.until("downtimes twice", |_| asked("GET /v1/objects/downtimes ") == 2).await;
    assert_eq!((asked("POST /v1/objects/services "), asked("GET /v1/objects/hosts/localhost?")), (2, 1));
    let all = server.requests();
    let queries: Vec<_> = all.iter().filter(|request| request.starts_with("POST /v1/objects/services ")).collect();
    assert!(queries.iter().all(|request| request.to_lowercase().contains("x-http-method-override: get")));
    let names = |request: &&String| {
        let body: Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap_or_default()).expect("JSON");
        assert_eq!(body["filter"], "service.__name in names");
        assert!(body["attrs"].as_array().is_some_and(|attrs| attrs.contains(&json!("last_state_ok"))));
        body["filter_vars"]["names"].as_array().cloned().unwrap_or_default()
    };
    let names: Vec<Value> = queries.iter().flat_map(names).collect();
    assert_eq!(names.len(), services.len());
    assert!(names.contains(&json!("localhost!load")));
    assert_eq!(all.len(), 1 + 3 + 4, "no request for each: {all:#?}");
    source.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    let server = Server::answering(|_| Some(Reply::json(200, &"x".repeat(2_000_000)))).await;
    let peer = crate::testing::peer(&server.url);
    let error = peer.get("/v1/objects/hosts", 1 << 20).await.expect_err("too large");
    assert!(error.contains("more than 1 MiB: let the ApiUser see fewer objects") && error.contains("127.0.0.1"));
}

#[test]
fn problems() {
    assert_eq!(problems_of::<EventsConfig>(config("https://icinga:5665")), Vec::<String>::new());
    let bad = json!({
        "url": "icinga:5665", "queue": "a b", "refresh": "1s", "silence": "1s", "labels": {"host": "x"}
    });
    let found = problems_of::<EventsConfig>(bad);
    assert_eq!(found.len(), 6, "{found:#?}");
}
