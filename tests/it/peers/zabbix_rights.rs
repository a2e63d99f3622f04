//! Zabbix 6.0: what happens while Watchbell polls when rights and tokens are taken away, and when they come back. The same is
//! done with newer ones in `newer/`.

use std::fs;

use serde_json::{Value, json};
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::wait;
use crate::support::watchbell::{Home, Watchbell};
use crate::support::zabbix::Zabbix;

const OPEN: &str = "open-1";
const CLOSED: &str = "closed-1";

#[test]
fn rights_and_tokens_come_and_go() {
    taken_away_and_given_back(&Zabbix::shared());
}

/// Sends one value a second of both hosts.
fn send(zabbix: &Zabbix, seconds: std::ops::Range<i64>) {
    let texts: Vec<(i64, String)> = seconds.map(|second| (second, format!("{}.5", second % 100))).collect();
    let both = [OPEN, CLOSED].into_iter().flat_map(|host| texts.iter().map(move |(second, text)| (host, second, text)));
    let values: Vec<_> = both.map(|(host, second, text)| (host, "level", text.as_str(), *second)).collect();
    zabbix.send_all(&values);
}

/// Waits until so many values were read, and no more: all of them were taken.
fn read(service: &Watchbell, count: f64) {
    let read = || service.metric("watchbell_zabbix_values_total", &[("source", "polled")]);
    wait::until("values", || wait::when(read() >= count, || format!("{} of {count}; {}", read(), service.log())));
    assert_eq!(read(), count);
    for reason in ["refused", "same_millisecond"] {
        let skipped = [("source", "polled"), ("reason", reason)];
        assert_eq!(service.metric("watchbell_zabbix_skipped_total", &skipped), 0.0, "{reason}: {}", service.log());
    }
}

fn said(service: &Watchbell, text: &str) {
    wait::until(text, || wait::when(service.log().contains(text), || service.log()));
}

/// A user loses the right to read one of two groups and gets it back; then his token is deleted, and another one is put
/// into the file. Everything of the time in between is read afterwards, once.
pub(crate) fn taken_away_and_given_back(zabbix: &Zabbix) {
    for (host, group) in [(OPEN, "Open"), (CLOSED, "Closed")] {
        let id = zabbix.host(host, group);
        zabbix.trapper(&id, "level", 0, json!({"units": "B"}));
    }
    let member = if zabbix.release.version >= (6, 2) { "hostgroup_rights" } else { "rights" };
    let rights = |groups: &[&str]| -> Value {
        groups.iter().map(|group| json!({"id": zabbix.group(group), "permission": 2})).collect()
    };
    let readers = zabbix.call("usergroup.create", json!({"name": "half", member: rights(&["Open", "Closed"])}));
    let readers = &readers["usrgrpids"][0];
    let user =
        json!({"username": "half", "passwd": "nobody-Knows-this-1", "roleid": "1", "usrgrps": [{"usrgrpid": readers}]});
    let user = &zabbix.call("user.create", user)["userids"][0];
    let token = |name: &str| {
        let made = zabbix.call("token.create", json!([{"name": name, "userid": user}]));
        let told = zabbix.call("token.generate", json!([made["tokenids"][0]]));
        (made["tokenids"][0].clone(), told[0]["token"].as_str().expect("a token").to_owned())
    };
    let (first, secret) = token("first");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    fs::write(&file, secret).expect("written");
    let home = Home::new(&format!(
        "detect: {{warmup: 5s}}\nsinks: [{{type: prometheus_exposition}}]\nsources:\n  - {{type: zabbix_history, name: polled, \
         api: {{url: '{}', token_file: '{}'}}, select: {{hosts: [{OPEN}, {CLOSED}]}}, interval: 1s, refresh: 10s}}\n",
        zabbix.url(),
        file.display()
    ));
    let service = home.start();
    let items = |count: f64| service.metric_until("watchbell_zabbix_items", &[("source", "polled")], |n| n == count);
    items(2.0);
    let level = |host: &'static str| [("metric", "zabbix_level"), ("host", host)];
    let value = |host, second: i64| {
        wait::until("the last value", || {
            let value = service.score("watchbell_value", &level(host));
            wait::when(value == Some((second % 100) as f64 + 0.5), || format!("{value:?}; {}", service.log()))
        });
    };
    // Values of seconds that are over: none of those that follow is of after the change.
    let begin_s = SystemClock.now_ms() / 1_000 - 60;
    send(zabbix, begin_s..begin_s + 20);
    read(&service, 40.0);

    // One group less: its series end, the others go on.
    zabbix.call("usergroup.update", json!({"usrgrpid": readers, member: rights(&["Open"])}));
    send(zabbix, begin_s + 20..begin_s + 30);
    said(&service, "lost the right to read their hosts; their series end");
    items(1.0);
    read(&service, 50.0);
    value(OPEN, begin_s + 29);
    let ended = [&level(CLOSED)[..], &[("reason", "stale")]].concat();
    assert_eq!(service.score("watchbell_series_ready", &ended), Some(0.0), "{}", service.get("/scores").text);

    // It is given back: read on from where it stood.
    zabbix.call("usergroup.update", json!({"usrgrpid": readers, member: rights(&["Open", "Closed"])}));
    items(2.0);
    read(&service, 60.0);
    value(CLOSED, begin_s + 29);

    // The token is deleted: said, and tried again.
    let failures = [("component", "polled"), ("reason", "credentials")];
    let failed = || service.metric("watchbell_zabbix_api_failures_total", &failures);
    assert_eq!(failed(), 0.0);
    zabbix.call("token.delete", json!([first]));
    send(zabbix, begin_s + 30..begin_s + 40);
    wait::until("failures", || wait::when(failed() >= 2.0, || service.log()));
    said(&service, "check that the token is valid");
    said(&service, "it is tried again, nothing is lost meanwhile");
    // Another one is taken from the file, without a restart.
    fs::write(&file, token("second").1).expect("written");
    read(&service, 80.0);
    said(&service, "Zabbix answers again");
    for host in [OPEN, CLOSED] {
        value(host, begin_s + 39);
    }
    assert!(service.stop().success());
}
