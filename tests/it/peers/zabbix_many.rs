//! Zabbix with very many items: what polling them costs.

use serde_json::json;
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::load::Noise;
use crate::support::wait;
use crate::support::watchbell::Home;
use crate::support::zabbix::{PASSWORD, USER, Zabbix};

/// How many items the poller is to keep up with, on how many hosts.
const MANY: usize = 50_000;
const HOSTS: usize = 50;

fn now_s() -> i64 {
    SystemClock.now_ms() / 1_000
}

/// Seconds of processor time that a process has used.
fn cpu_s(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

/// How many requests a second are allowed on average: 2 for 10,000 items.
const MOST_REQUESTS: f64 = 2.0 * MANY as f64 / 10_000.0;

/// Prints requests a second and the share of a core, which is to be 0.2 at most of a release build.
#[test]
#[ignore = "takes minutes"]
fn fifty_thousand_items_a_minute() {
    let zabbix = Zabbix::start();
    let hosts: Vec<String> = (0..HOSTS).map(|n| format!("many-{n}")).collect();
    let keys: Vec<String> = (0..MANY / HOSTS).map(|n| format!("level[{n}]")).collect();
    for host in &hosts {
        let id = zabbix.host(host, "Many");
        zabbix.trapper(&id, "first", 0, json!({}));
    }
    // By the API this takes minutes.
    zabbix.sql(&format!(
        "INSERT INTO items (itemid, type, hostid, name, key_, delay, value_type)
         SELECT first.itemid * 100000 + n, 2, first.hostid, 'level ' || n, 'level[' || n || ']', '0', 0
         FROM items AS first, generate_series(0, {}) AS n WHERE first.key_ = 'first';
         INSERT INTO item_rtdata (itemid) SELECT itemid FROM items WHERE name LIKE 'level %';
         DELETE FROM items WHERE key_ = 'first'",
        MANY / HOSTS - 1
    ));
    let home = Home::new(&format!(
        "sources:\n  - {{type: zabbix_history, name: polled, api: {{url: '{}', user: {USER}, password: {PASSWORD}}}, \
         select: {{groups: [Many]}}, interval: 60s}}\n",
        zabbix.url()
    ));
    let service = home.start();
    service.metric_until("watchbell_zabbix_items", &[("source", "polled")], |n| n == MANY as f64);
    let requests = || service.metric("watchbell_zabbix_api_requests_total", &[("component", "polled")]);
    let mut noise = Noise(5);
    for minute in 0..3 {
        let (began_s, before, cpu) = (now_s(), requests(), cpu_s(service.pid()));
        let texts: Vec<String> = (0..MANY).map(|_| format!("{:.3}", 100.0 + noise.next())).collect();
        let named = hosts.iter().flat_map(|host| keys.iter().map(move |key| (host.as_str(), key.as_str())));
        let rows: Vec<_> = named.zip(&texts).map(|((host, key), text)| (host, key, text.as_str(), began_s)).collect();
        zabbix.send_all(&rows);
        let taken = now_s() - began_s;
        wait::within(std::time::Duration::from_secs(70), "a minute", || {
            wait::when(now_s() >= began_s + 60, String::new)
        });
        let seconds = (now_s() - began_s) as f64;
        let requests_s = (requests() - before) / seconds;
        assert!(requests_s <= MOST_REQUESTS, "{requests_s} requests a second");
        println!(
            "minute {minute}: {requests_s:.2} requests/s, {:.3} of a core, {} values in all, round {:.1} s; sent in {taken} s",
            (cpu_s(service.pid()) - cpu) / seconds,
            service.metric("watchbell_zabbix_values_total", &[("source", "polled")]),
            service.metric("watchbell_zabbix_round_seconds", &[("source", "polled")]),
        );
    }
    // The last round may still be on its way; nothing is lost and nothing comes twice.
    service.metric_until("watchbell_zabbix_values_total", &[("source", "polled")], |n| n >= 3.0 * MANY as f64);
    assert_eq!(service.metric("watchbell_zabbix_values_total", &[("source", "polled")]), 3.0 * MANY as f64);
    assert!(service.stop().success());
}
