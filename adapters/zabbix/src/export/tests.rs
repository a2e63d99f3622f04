//! Files that grow and are rotated, and posts of connectors.

use std::fs;
use std::io::Write;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;
use watchbell_series::Mode;

use super::*;
use crate::testing::{Frontend, Running, Tables, host, item, prepared};

const NOW_S: i64 = 1_795_190_460;

fn line(item: u64, second: i64, value: &str) -> String {
    format!(
        "{{\"host\":{{\"host\":\"web-1\",\"name\":\"Web\"}},\"groups\":[],\"item_tags\":[],\"itemid\":{item},\"name\":\"load\",\
         \"clock\":{second},\"ns\":0,\"value\":{value},\"type\":0}}\n"
    )
}

fn append(path: &std::path::Path, text: &str) {
    let mut file = fs::File::options().append(true).create(true).open(path).expect("opened");
    file.write_all(text.as_bytes()).expect("written");
}

#[tokio::test]
async fn files_are_followed_over_rotation_and_restart() {
    let (folder, state) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("history-history-syncer-1.ndjson");
    append(&path, &line(7, NOW_S - 9, "1.5"));
    let half = line(7, NOW_S - 8, "2");
    append(&path, &half[..40]);
    fs::write(folder.path().join("trends-history-syncer-1.ndjson"), "no line of ours\n").expect("written");
    let config = json!({"folders": [folder.path()], "interval": "100ms", "from_start": true});
    let start = || Running::start::<ExportConfig>(config.clone(), Some(state.path().to_owned()), NOW_S);
    let running = start();
    running.until("a line", |r| r.recorder.lines().len() == 1).await;
    append(&path, &half[40..]);
    running.until("the other half", |r| r.recorder.lines().len() == 2).await;
    let lines = running.stop().await;
    assert_eq!(
        lines[0],
        format!("zabbix_item{{host=\"web-1\",item=\"load\",itemid=\"7\"}} unknown 1.5 @{}", (NOW_S - 9) * 1_000)
    );

    // Rotated while nobody looked: the rest of the old file first.
    append(&path, &line(7, NOW_S - 7, "3"));
    fs::rename(&path, folder.path().join("history-history-syncer-1.ndjson.old")).expect("renamed");
    append(&path, &format!("{}nonsense\n{}", line(7, NOW_S - 6, "4"), line(8, NOW_S - 5, "\"text\"")));
    let running = start();
    running.until("both", |r| r.recorder.lines().len() == 2).await;
    running.until("a bad line", |r| r.metrics.counter(&LINES, &["zabbix", "bad"]).get() == 1.0).await;
    assert_eq!(running.metrics.counter(&LINES, &["zabbix", "text"]).get(), 1.0);
    let values: Vec<String> =
        running.stop().await.iter().map(|line| line.split(' ').rev().nth(1).unwrap_or("").to_owned()).collect();
    assert_eq!(values, ["3", "4"]);
}

#[test]
fn the_service_hears_whether_credentials_are_asked_for() {
    let asks = |config| prepared::<ExportConfig>(config).expect("right").asks_for_credentials();
    assert!(asks(json!({"connector": {"authorization": {"credentials": "t0ken"}}})));
    assert!(!asks(json!({"connector": {}})));
    assert!(!asks(json!({"folders": ["/nowhere"]})));
}

async fn post(routes: &axum::Router, token: Option<&str>, body: String) -> (u16, Value) {
    let mut request = Request::post(PATH).header("content-type", "application/x-ndjson");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let response = routes.clone().oneshot(request.body(Body::from(body)).expect("a request")).await.expect("an answer");
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    (status, serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test]
async fn connectors_post_what_the_api_names() {
    let lists = [
        ("host.get", json!([host(1, "web-1")])),
        ("item.get", json!([item(7, 1, "system.cpu.load[all,avg1]", 0, json!({"units": "!load"}))])),
    ];
    let frontend = Frontend::start(Tables { version: "7.0.1", lists: lists.into(), ..Tables::default() }).await;
    let connector = json!({"authorization": {"credentials": "s3cret"}, "max_body_bytes": 2_000});
    let running = Running::start::<ExportConfig>(json!({"connector": connector, "api": frontend.api()}), None, NOW_S);
    let routes = running.routes.clone().expect("a route");
    let body = format!("{}{}", line(7, NOW_S, "2"), line(9, NOW_S, "1"));
    assert_eq!(post(&routes, None, body.clone()).await.0, 401);
    assert_eq!(post(&routes, Some("s3cret"), "x".repeat(3_000)).await.0, 413);
    let mut answer = (503, Value::Null);
    for _ in 0..3_000 {
        answer = post(&routes, Some("s3cret"), body.clone()).await;
        if answer.0 != 503 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(answer, (200, json!({"response": "success"})));
    assert_eq!(running.metrics.counter(&LINES, &["zabbix", "unknown_item"]).get(), 1.0);
    let labels = "host=\"web-1\",key=\"system.cpu.load[all,avg1]\",p1=\"all\",p2=\"avg1\",unit=\"load\"";
    let lines = running.stop().await;
    assert_eq!(lines, [format!("zabbix_system_cpu_load{{{labels}}} gauge 2 @{}", NOW_S * 1_000)]);
}

#[test]
fn something_must_be_read() {
    let problems = prepared::<ExportConfig>(json!({"folders": []})).err().expect("wrong");
    assert!(problems[0].contains("nothing to read"), "{problems:?}");
}

#[tokio::test]
async fn a_clock_that_is_ten_minutes_off_costs_no_value_where_the_api_tells_it() {
    let lists = [("host.get", json!([host(1, "web-1")])), ("item.get", json!([item(7, 1, "k", 0, json!({}))]))];
    for skew_s in [-660, 660] {
        let now_s = NOW_S + skew_s;
        let tables = Tables { version: "6.0.14", lists: lists.clone().into(), now_s, ..Tables::default() };
        let frontend = Frontend::start(tables).await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("history-history-syncer-1.ndjson");
        append(&path, &(line(7, now_s - 1, "1") + &line(7, now_s, "2")));
        let config =
            json!({"folders": [folder.path()], "interval": "100ms", "from_start": true, "api": frontend.api()});
        let running = Running::start::<ExportConfig>(config, None, NOW_S);
        running.until("both", |r| r.recorder.lines().len() == 2).await;
        assert_eq!(running.metrics.counter(&LINES, &["zabbix", "refused"]).get(), 0.0);
        assert_eq!(running.metrics.gauge(&LAG, &["zabbix"]).get(), 0.0);
        assert_eq!(running.recorder.modes(), [Mode::Live, Mode::Live]);
        running.stop().await;
    }
}

#[tokio::test]
async fn without_the_api_values_of_the_future_are_refused_and_counted_and_those_after_them_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history-history-syncer-1.ndjson");
    append(&path, &(line(7, NOW_S + 660, "1") + &line(8, NOW_S - 660, "2")));
    let config = json!({"folders": [folder.path()], "interval": "100ms", "from_start": true});
    let running = Running::start::<ExportConfig>(config, None, NOW_S);
    running.until("the old one", |r| r.recorder.modes() == [Mode::Backfill]).await;
    running.until("a refusal", |r| r.metrics.counter(&LINES, &["zabbix", "refused"]).get() == 1.0).await;
    append(&path, &line(7, NOW_S, "3"));
    running.until("one of the right time", |r| r.recorder.modes() == [Mode::Backfill, Mode::Live]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_file_that_is_cut_is_read_from_its_beginning() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("history-history-syncer-1.ndjson");
    append(&path, &(line(7, NOW_S - 9, "1") + &line(7, NOW_S - 8, "2") + "{\"host\":"));
    let config = json!({"folders": [folder.path()], "interval": "100ms", "from_start": true});
    let running = Running::start::<ExportConfig>(config, None, NOW_S);
    running.until("two lines", |r| r.recorder.lines().len() == 2).await;
    fs::write(&path, line(7, NOW_S - 7, "3")).expect("written");
    running.until("a third", |r| r.recorder.lines().len() == 3).await;
    assert_eq!(running.metrics.counter(&FILES, &["zabbix", "truncated"]).get(), 1.0);
    assert_eq!(running.metrics.counter(&LINES, &["zabbix", "bad"]).get(), 0.0);
    running.stop().await;
}
