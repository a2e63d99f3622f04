//! Zabbix 7.0 of Debian 13: all that is done with 6.0, `history.push`, and the connectors that it has by itself.

use std::path::Path;

use serde_json::json;
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use super::peer;
use crate::peers::zabbix::{items_and_context, maintenance};
use crate::peers::zabbix_out::{Way, verdicts};
use crate::peers::zabbix_rights::taken_away_and_given_back;
use crate::peers::zabbix_select::chosen_and_warm;
use crate::support::wait;
use crate::support::watchbell::Home;
use crate::support::zabbix::{PASSWORD, Release, USER, Zabbix};

/// What the connector shows.
const SECRET: &str = "only-for-connectors-1";

fn start() -> Zabbix {
    Zabbix::start_release(Release {
        version: (7, 0),
        server: peer("zabbix_server70").into(),
        agent: peer("zabbix_agentd70").into(),
        share: Path::new(env!("CARGO_MANIFEST_DIR")).join("target/slow-peers/zabbix-root/usr/share"),
    })
}

#[test]
#[ignore = "needs Zabbix 7.0 of Debian 13, see .ci/slow-peers"]
fn zabbix_7_items_are_polled_once_and_context_is_told() {
    items_and_context(&start());
}

#[test]
#[ignore = "needs Zabbix 7.0 of Debian 13, see .ci/slow-peers"]
fn zabbix_7_items_are_chosen_and_their_past_is_read() {
    chosen_and_warm(&start());
}

#[test]
#[ignore = "needs Zabbix 7.0 of Debian 13, see .ci/slow-peers"]
fn zabbix_7_rights_and_tokens_come_and_go() {
    taken_away_and_given_back(&start());
}

#[test]
#[ignore = "needs Zabbix 7.0 of Debian 13, see .ci/slow-peers"]
fn zabbix_7_maintenance_mutes_and_protects_until_it_is_taken_back() {
    maintenance(&start());
}

#[test]
#[ignore = "needs Zabbix 7.0 of Debian 13, see .ci/slow-peers"]
fn zabbix_7_scores_make_problems_by_the_trapper_port() {
    verdicts(&start(), Way::Trapper);
}

#[test]
#[ignore = "needs Zabbix 7.0 of Debian 13, see .ci/slow-peers"]
fn zabbix_7_scores_make_problems_by_history_push() {
    verdicts(&start(), Way::Push);
}

#[test]
#[ignore = "needs Zabbix 7.0 of Debian 13, see .ci/slow-peers"]
fn zabbix_7_posts_values_by_a_connector() {
    let zabbix = start();
    let host = zabbix.host("web-1", "Streamed");
    zabbix.trapper(&host, "level", 0, json!({"units": "B"}));
    zabbix.trapper(&host, "words", 4, json!({}));
    let home = Home::new(&format!(
        "detect: {{warmup: 5s}}\nsources:\n  - {{type: zabbix_export, name: streamed, connector: {{authorization: {{credentials: {SECRET}}}}}, \
         api: {{url: '{}', user: {USER}, password: {PASSWORD}}}, select: {{hosts: [web-1]}}, refresh: 10s}}\n\
         sinks: [{{type: prometheus_exposition}}]\n",
        zabbix.url()
    ));
    let service = home.start();
    let port = service.address().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let connector = json!({"name": "watchbell", "url": service.url("/api/v1/zabbix/history"), "authtype": 5,
                           "token": "wrong", "max_attempts": 5, "attempt_interval": "10s"});
    let made = zabbix.call("connector.create", connector);
    let send = |seconds: std::ops::Range<i64>| {
        let texts: Vec<(i64, String)> = seconds.map(|second| (second, format!("{}.5", second % 100))).collect();
        let values: Vec<_> = texts.iter().map(|(second, text)| ("web-1", "level", text.as_str(), *second)).collect();
        zabbix.send_all(&values);
    };
    let posts = |status: &'static str| [("source", "streamed"), ("status", status)];
    let lines = [("source", "streamed"), ("kind", "value")];

    // With a wrong token nothing is taken, and Zabbix says so.
    let now_s = SystemClock.now_ms() / 1_000;
    wait::until("the connector to be refused", || {
        zabbix.send(&[("web-1", "words", "x", now_s)]);
        let refused = service.metric("watchbell_zabbix_connector_requests_total", &posts("401"));
        wait::when(refused > 0.0, || zabbix.log())
    });
    zabbix.call("connector.update", json!({"connectorid": made["connectorids"][0], "token": SECRET}));
    wait::until("the connector to be let in", || {
        zabbix.send(&[("web-1", "words", "x", now_s)]);
        let taken = service.metric("watchbell_zabbix_connector_requests_total", &posts("200"));
        wait::when(taken > 0.0, || format!("{}; {}", zabbix.log(), service.log()))
    });
    send(now_s..now_s + 30);
    service.metric_until("watchbell_zabbix_export_lines_total", &lines, |n| n >= 30.0);
    assert_eq!(service.metric("watchbell_zabbix_export_lines_total", &lines), 30.0);
    let level = [("metric", "zabbix_level"), ("host", "web-1"), ("key", "level")];
    wait::until("the last value", || {
        let value = service.score("watchbell_value", &level);
        wait::when(value.is_some_and(|value| value % 1.0 == 0.5), || service.get("/scores").text)
    });

    // What is posted while Watchbell is away comes when it is back.
    assert!(service.stop().success());
    send(now_s + 30..now_s + 40);
    let service = home.start_on(port);
    service.metric_until("watchbell_zabbix_export_lines_total", &lines, |n| n >= 10.0);
    assert_eq!(service.metric("watchbell_zabbix_export_lines_total", &lines), 10.0);
    assert!(service.stop().success());
}
