//! Zabbix 6.0: items in, by polling and by export files; problems, limits and maintenance as context. The same is done with
//! newer ones in `newer/`.

use std::fmt::Write;

use serde_json::{Value, json};
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::load::Noise;
use crate::support::wait;
use crate::support::watchbell::{Home, Watchbell};
use crate::support::zabbix::{PASSWORD, USER, Zabbix};

/// A user who may read one group only.
const READER: &str = "reader";
const SECRET: &str = "only-for-reading-1";
/// The host with a maintenance.
const QUIET: &str = "quiet-1";

fn now_s() -> i64 {
    SystemClock.now_ms() / 1_000
}

fn reader_of(zabbix: &Zabbix, group: &str) {
    let rights = json!([{"id": zabbix.group(group), "permission": 2}]);
    let member = if zabbix.release.version >= (6, 2) { "hostgroup_rights" } else { "rights" };
    let made = zabbix.call("usergroup.create", json!({"name": "readers", member: rights}));
    let groups = json!([{"usrgrpid": made["usrgrpids"][0]}]);
    zabbix.call("user.create", json!({"username": READER, "passwd": SECRET, "roleid": "1", "usrgrps": groups}));
}

/// `count` values of `level` and `total` on the host, one a second up to `last_s`.
fn send(zabbix: &Zabbix, host: &str, count: i64, last_s: i64) {
    let texts: Vec<(i64, String)> =
        (0..count).rev().map(|ago| (last_s - ago, format!("{}.5", (last_s - ago) % 100))).collect();
    let mut values = Vec::new();
    for (second, text) in &texts {
        values.push((host, "level", text.as_str(), *second));
        values.push((host, "total", "18446744073709551615", *second));
    }
    zabbix.send_all(&values);
}

fn values(service: &Watchbell, expected: i64) {
    service.metric_until("watchbell_zabbix_values_total", &[("source", "polled")], |n| n >= expected as f64);
    assert_eq!(service.metric("watchbell_zabbix_values_total", &[("source", "polled")]), expected as f64);
    assert_eq!(service.metric("watchbell_zabbix_skipped_total", &[("source", "polled"), ("reason", "refused")]), 0.0);
}

/// Waits for a text in the log, which comes a moment after what is counted.
fn said(service: &Watchbell, text: &str) {
    wait::until(text, || wait::when(service.log().contains(text), || service.log()));
}

fn listed(service: &Watchbell, path: &str, found: impl Fn(&Value) -> bool) -> Value {
    wait::until(path, || {
        let answer: Value = serde_json::from_str(&service.get(path).text).map_err(|error| error.to_string())?;
        let all = answer["data"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|one| found(one)).ok_or_else(|| format!("{answer}; {}", service.log()))
    })
}

#[test]
fn items_are_polled_once_and_context_is_told() {
    items_and_context(&Zabbix::start());
}

/// Half of the hosts may be read; credentials go bad, both sides restart, items change and go. Nothing is lost, nothing
/// comes twice.
pub(crate) fn items_and_context(zabbix: &Zabbix) {
    let [host, hidden, brief] = [("web-1", "Watched"), ("db-1", "Hidden"), ("brief-1", "Watched")]
        .map(|(host, group)| zabbix.host(host, group));
    let [[renamed, retyped], _, [_, to_text]] = [&host, &hidden, &brief].map(|host| {
        zabbix.trapper(host, "words", 4, json!({}));
        [zabbix.trapper(host, "level", 0, json!({"units": "B"})), zabbix.trapper(host, "total", 3, json!({}))]
    });
    let trigger = json!({"description": "level is high", "priority": 4, "expression": "last(/web-1/level)>1000"});
    zabbix.call("trigger.create", trigger);
    reader_of(zabbix, "Watched");
    let token = zabbix.token("revoked later");

    let api = |user: &str, password: &str| format!("{{url: '{}', user: {user}, password: {password}}}", zabbix.url());
    let reader = api(READER, SECRET);
    let mut config = format!(
        "detect: {{warmup: 5s}}\nsinks: [{{type: prometheus_exposition}}]\nsources:\n  \
         - {{type: zabbix_history, name: polled, api: {reader}, interval: 1s, refresh: 10s, \
         labels: {{by: password}}}}\n  \
         - {{type: zabbix_problems, name: problems, api: {reader}, interval: 1s, refresh: 10s}}\n  \
         - {{type: zabbix_maintenance, name: maintenance, api: {reader}, interval: 1s}}\n"
    );
    writeln!(config, "  - {{type: zabbix_export, name: exported, folders: ['{}']}}", zabbix.path("export").display())
        .expect("written");
    let wrong = api(READER, "wrong");
    writeln!(config, "  - {{type: zabbix_history, name: wrong, api: {wrong}, interval: 1s}}").expect("written");
    writeln!(
        config,
        "  - {{type: zabbix_history, name: revoked, api: {{url: '{}', token: {token}}}, interval: 1s, \
         select: {{hosts: [web-1]}}, labels: {{by: token}}}}",
        zabbix.url()
    )
    .expect("written");
    let home = Home::new(&config);
    let service = home.start();

    // The half of the hosts that the user may read, and of these what is a number.
    service.metric_until("watchbell_zabbix_items", &[("source", "polled")], |n| n == 4.0);
    let mut last_s = now_s();
    send(zabbix, "web-1", 30, last_s);
    values(&service, 60);
    let level = [("metric", "zabbix_level"), ("host", "web-1"), ("key", "level"), ("by", "password")];
    wait::until("the last value", || {
        let value = service.score("watchbell_value", &level);
        wait::when(value.is_some_and(|value| value % 1.0 == 0.5), || {
            format!("{value:?}; {}", service.get("/scores").text)
        })
    });
    service.metric_until("watchbell_zabbix_export_lines_total", &[("source", "exported"), ("kind", "value")], |n| {
        n >= 60.0
    });

    // A wrong password and a token that was withdrawn: said, counted, and everything else goes on.
    service.metric_until(
        "watchbell_zabbix_api_failures_total",
        &[("component", "wrong"), ("reason", "credentials")],
        |n| n > 0.0,
    );
    said(&service, "check `user` and `password`");
    service.metric_until("watchbell_zabbix_values_total", &[("source", "revoked")], |n| n >= 60.0);
    let tokens = zabbix.call("token.get", json!({"output": ["tokenid"], "filter": {"name": "revoked later"}}));
    zabbix.call("token.delete", json!([tokens[0]["tokenid"]]));
    service.metric_until(
        "watchbell_zabbix_api_failures_total",
        &[("component", "revoked"), ("reason", "credentials")],
        |n| n > 0.0,
    );
    // What to do is said; it is more where the token went by header.
    said(&service, "check that the token is valid");
    assert_eq!(service.log().contains("CGIPassAuth"), zabbix.takes_header(), "{}", service.log());

    // The trigger is a limit; its problem, and the maintenance of the host, are told.
    let limit = listed(&service, "/api/v1/limits", |limit| limit["high"] == 1_000.0);
    assert_eq!((&limit["severity"], &limit["name"]), (&json!("critical"), &json!("level is high")));
    last_s = now_s();
    zabbix.send_all(&[("web-1", "level", "2000", last_s)]);
    let problem = listed(&service, "/api/v1/problems", |problem| problem["name"] == "level is high");
    assert_eq!((&problem["acknowledged"], &problem["severity"]), (&json!(false), &json!("high")));
    let event = problem["id"].as_str().and_then(|id| id.split('/').next()).expect("an event").to_owned();
    zabbix.call("event.acknowledge", json!({"eventids": [event], "action": 2}));
    listed(&service, "/api/v1/problems", |problem| {
        problem["name"] == "level is high" && problem["acknowledged"] == true
    });
    let period = json!({"timeperiod_type": 0, "period": 3_600, "start_date": last_s - last_s % 60});
    let maintenance = json!({"name": "disks", "active_since": last_s - 600, "active_till": last_s + 7_200,
                             "hosts": [{"hostid": host}], "timeperiods": [period]});
    let maintenance = zabbix.call("maintenance.create", maintenance);
    let window = listed(&service, "/api/v1/windows", |window| window["subject"]["host"] == "web-1");
    assert!(window["reason"].as_str().is_some_and(|reason| reason.contains("`disks`")), "{window}");

    // The server and its frontend are away; then Watchbell is. Nothing is lost, nothing comes twice.
    values(&service, 61);
    zabbix.stop_server();
    zabbix.stop_web();
    service.metric_until(
        "watchbell_zabbix_api_failures_total",
        &[("component", "polled"), ("reason", "unreachable")],
        |n| n > 0.0,
    );
    zabbix.start_server();
    zabbix.start_web();
    let begin_s = last_s;
    wait::until("time to pass", || wait::when(now_s() >= begin_s + 11, String::new));
    last_s = now_s();
    send(zabbix, "web-1", 10, last_s);
    values(&service, 81);
    assert!(service.stop().success());
    wait::until("time to pass", || wait::when(now_s() >= last_s + 6, String::new));
    send(zabbix, "web-1", 5, last_s + 5);
    let service = home.start();
    values(&service, 10);

    // A series that is new in a maintenance is not begun before its end.
    zabbix.call("maintenance.delete", json!([maintenance["maintenanceids"][0]]));
    let active = [("source", "maintenance"), ("state", "active")];
    service.metric_until("watchbell_quiet_windows", &active, |count| count == 0.0);
    // Another unit and another type, text in place of a number, and a host that is deleted: said, and no value is lost.
    zabbix.call("item.update", json!([{"itemid": renamed, "units": "s"}, {"itemid": retyped, "value_type": 0}]));
    zabbix.call("item.update", json!({"itemid": to_text, "value_type": 4}));
    zabbix.call("host.delete", json!([brief]));
    for (change, count) in [("renamed", 1.0), ("retyped", 1.0), ("gone", 2.0)] {
        let labels = [("source", "polled"), ("change", change)];
        service.metric_until("watchbell_zabbix_item_changes_total", &labels, |n| n == count);
    }
    said(&service, "items are gone: deleted, disabled");
    let begin_s = now_s() + 1;
    wait::until("time to pass", || wait::when(now_s() >= begin_s + 6, String::new));
    send(zabbix, "web-1", 5, begin_s + 5);
    values(&service, 20);
    let renamed = [("metric", "zabbix_level"), ("host", "web-1"), ("unit", "s"), ("by", "password")];
    wait::until("the series of the new unit", || {
        let ready = service.score("watchbell_series_ready", &renamed);
        wait::when(ready.is_some(), || service.get("/scores").text)
    });
    let ended = [("metric", "zabbix_level"), ("host", "web-1"), ("unit", "B"), ("by", "password"), ("reason", "stale")];
    assert_eq!(service.score("watchbell_series_ready", &ended), Some(0.0));
    assert!(service.stop().success());
}

/// Values of the item `steady`, one for each second: 100 with noise, and `more`.
fn send_steady(zabbix: &Zabbix, noise: &mut Noise, seconds: std::ops::Range<i64>, more: f64) {
    let texts: Vec<(i64, String)> =
        seconds.map(|second| (second, format!("{:.3}", 100.0 + noise.next() + more))).collect();
    let values: Vec<_> = texts.iter().map(|(second, text)| (QUIET, "steady", text.as_str(), *second)).collect();
    zabbix.send_all(&values);
}

#[test]
fn a_maintenance_mutes_and_protects_until_it_is_taken_back() {
    maintenance(&Zabbix::shared());
}

/// A maintenance mutes an alert and protects what is learned.
pub(crate) fn maintenance(zabbix: &Zabbix) {
    let host = zabbix.host(QUIET, "Maintained");
    zabbix.trapper(&host, "steady", 0, json!({}));
    let api = format!("{{url: '{}', user: {USER}, password: {PASSWORD}}}, select: {{hosts: [{QUIET}]}}", zabbix.url());
    let home = Home::new(&format!(
        "detect: {{warmup: 10s}}\nsinks: [{{type: prometheus_exposition}}]\nsources:\n  \
         - {{type: zabbix_history, name: polled, api: {api}, interval: 1s, refresh: 10s}}\n  \
         - {{type: zabbix_maintenance, name: maintenance, api: {api}, interval: 1s}}\n"
    ));
    let service = home.start();
    service.metric_until("watchbell_zabbix_items", &[("source", "polled")], |n| n == 1.0);
    let (minute_s, mut noise) = (now_s() / 60 * 60, Noise(11));
    send_steady(zabbix, &mut noise, minute_s - 530..minute_s - 60, 0.0);
    values(&service, 470);

    let period = json!({"timeperiod_type": 0, "period": 3_600, "start_date": minute_s - 60});
    // Of the host's group: that of a host is tried with the problems.
    let groups = json!([{"groupid": zabbix.group("Maintained")}]);
    let maintenance = json!({"name": "disks of quiet-1", "active_since": minute_s - 600, "active_till": minute_s + 7_200,
                             "groups": groups, "timeperiods": [period]});
    let made = zabbix.call("maintenance.create", maintenance);
    let active = [("source", "maintenance"), ("state", "active")];
    service.metric_until("watchbell_quiet_windows", &active, |count| count == 1.0);
    send_steady(zabbix, &mut noise, minute_s - 50..minute_s, 400.0);
    let alert = wait::until("an alert that is muted", || {
        let answer: Value = serde_json::from_str(&service.get("/api/v1/alerts?state=suppressed").text)
            .map_err(|error| error.to_string())?;
        let found = answer["data"].as_array().and_then(|all| all.iter().find(|one| one["labels"]["host"] == QUIET));
        found.cloned().ok_or_else(|| format!("{answer}; {}", service.log()))
    });
    let muted = alert["annotations"]["muted"].as_str().unwrap_or_default();
    assert!(muted.contains("maintenance `disks of quiet-1` in Zabbix"), "{alert}");
    let fired = || service.get("/api/v1/alerts?state=fired").text;
    assert!(!fired().contains("zabbix_steady"), "{}", fired());
    let labels = [("metric", "zabbix_steady"), ("host", QUIET)];
    let quiet = [&labels[..], &[("reason", "quiet")]].concat();
    assert_eq!(service.score("watchbell_series_ready", &quiet), Some(1.0));
    assert!(service.score("watchbell_anomaly_score", &labels).is_some_and(|score| score > 1.0));
    let expected = service.score("watchbell_expected", &labels).expect("a value");
    assert!((expected - 100.0).abs() < 20.0, "nothing of the maintenance was learned: {expected}");

    // It is taken back; what is still wrong is told.
    zabbix.call("maintenance.delete", json!([made["maintenanceids"][0]]));
    service.metric_until("watchbell_quiet_windows", &active, |count| count == 0.0);
    let end_s = now_s() + 1;
    wait::until("time to pass", || wait::when(now_s() >= end_s + 6, String::new));
    send_steady(zabbix, &mut noise, end_s..end_s + 6, 400.0);
    wait::until("what still stands to fire", || {
        wait::when(fired().contains("zabbix_steady"), || format!("{}; {}", fired(), service.log()))
    });
    assert!(service.stop().success());
}
