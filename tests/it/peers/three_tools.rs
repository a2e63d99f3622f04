//! One machine in a real Prometheus with node_exporter, a real Zabbix with its agent, and a real Nagios: one host, one
//! quantity under one name, one roll-up, one story.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::load::Noise;
use crate::support::nagios::{HOST, Nagios};
use crate::support::prometheus::{NodeExporter, Prometheus, Wanted};
use crate::support::server::Inbox;
use crate::support::wait;
use crate::support::watchbell::{Home, Watchbell};
use crate::support::zabbix::{PASSWORD, USER, Zabbix};

/// What the test itself tells through each tool.
const LEVEL: &str = "it_level";
/// Loads that are this near are one: they are looked at a second or two apart.
const NEAR: f64 = 0.4;
/// Shares of memory that differ by so little are one, for the same reason.
const ALIKE: f64 = 0.2;

/// The three tools, each with a level that the test sets.
struct Tools {
    exporter: NodeExporter,
    zabbix: std::sync::Arc<Zabbix>,
    nagios: Nagios,
    noise: Noise,
    /// Zabbix takes one value a second.
    sent_s: i64,
}

impl Tools {
    fn start() -> Self {
        let (exporter, nagios) = (NodeExporter::start(), Nagios::start(&[]));
        let zabbix = Zabbix::shared();
        let host = zabbix.host(HOST, "Three tools");
        let items =
            [("system.cpu.load[all,avg1]", ""), ("system.cpu.util[,idle]", "%"), ("vm.memory.size[available]", "B")];
        for (key, units) in items {
            zabbix.measured(&host, key, units);
        }
        zabbix.trapper(&host, LEVEL, 0, json!({}));
        Self { exporter, zabbix, nagios, noise: Noise(17), sent_s: 0 }
    }

    /// One turn of the level in each of them.
    fn turn(&mut self, level: f64) {
        let mut next = || level + 2.0 * self.noise.next();
        self.nagios.level(next());
        self.exporter.serve(&format!("# TYPE {LEVEL} gauge\n{LEVEL} {}\n", next()));
        let now_s = SystemClock.now_ms() / 1_000;
        if now_s > self.sent_s {
            let value = next().to_string();
            self.zabbix.send(&[(HOST, LEVEL, value.as_str(), now_s)]);
            self.sent_s = now_s;
        }
    }
}

/// The row of the host, and the names of all hosts.
fn host(service: &Watchbell) -> Result<(Value, Vec<String>), String> {
    let listed: Value = serde_json::from_str(&service.get("/api/v1/hosts").text).map_err(|e| e.to_string())?;
    let rows = listed["data"].as_array().cloned().unwrap_or_default();
    let all = rows.iter().filter_map(|row| row["host"].as_str().map(str::to_owned)).collect();
    let found = rows.into_iter().find(|row| row["host"] == HOST).ok_or_else(|| listed.to_string())?;
    Ok((found, all))
}

#[test]
fn a_machine_in_three_tools_is_one_host_with_one_story() {
    let mut tools = Tools::start();
    let inbox = Inbox::start();
    let path = |name: &str| tools.nagios.path(name).display().to_string();
    let home = Home::new(&format!(
        "sources:
  - {{type: prometheus_remote_write_in, name: prometheus}}
  - {{type: zabbix_history, name: zabbix, api: {{url: '{zabbix}', user: {USER}, password: {PASSWORD}}}, select: {{hosts: [{HOST}]}}, \
     interval: 1s, refresh: 10s}}
  - {{type: nagios_perfdata, name: nagios, files: ['{}'], spools: ['{}'], interval: 200ms}}
  - {{type: nagios_status, name: states, path: '{}'}}
detect: {{warmup: 10s, tick: 1s}}
alerting: {{max_per_host: 100}}
sinks: [{{type: prometheus_exposition}}, {{type: alertmanager, urls: ['{}']}}]
",
        path("service-perfdata"),
        path("spool"),
        path("status.dat"),
        inbox.base(),
        zabbix = tools.zabbix.url(),
    ));
    let service = home.start();
    // Prometheus calls the machine by its full name, the others do not.
    let prometheus = Prometheus::start(&Wanted {
        jobs: &[(
            "node",
            format!(
                "static_configs: [{{targets: ['{}'], labels: {{instance: '{HOST}.example.org:9100'}}}}]",
                tools.exporter.address()
            ),
        )],
        remote_write: Some(format!("url: '{}'", service.url("/api/v1/write"))),
        rules: None,
        words: &[],
    });

    // One host with three sources.
    let (row, all) = wait::until("one host with three sources", || {
        tools.turn(100.0);
        let (row, all) = host(&service)?;
        let names = row["names"].as_array().into_iter().flatten();
        let sources: BTreeSet<&str> = names.filter_map(|name| name["source"].as_str()).collect();
        // And what Nagios says of its checks.
        let three = sources == BTreeSet::from(["nagios", "prometheus", "states", "zabbix"]);
        wait::when(three && all == [HOST], || format!("{row} {all:?}; {}", service.log())).map(|()| (row, all))
    });
    assert_eq!(all, [HOST]);
    let carried = |source: &str| {
        let of_source = |name: &&Value| name["source"] == source;
        let name = row["names"].as_array().and_then(|all| all.iter().find(of_source)).cloned();
        name.and_then(|name| name["name"].as_str().map(str::to_owned)).unwrap_or_default()
    };
    assert_eq!(carried("prometheus"), format!("{HOST}.example.org:9100"));
    assert_eq!((carried("zabbix").as_str(), carried("nagios").as_str()), (HOST, HOST));

    // What a tool says of one of its checks is said of the host.
    wait::until("a problem of Nagios", || {
        tools.turn(100.0);
        let (row, _) = host(&service)?;
        let told = |problem: &Value| problem.as_str().is_some_and(|text| text.starts_with("states: broken: CRITICAL"));
        wait::when(row["problems"].as_array().into_iter().flatten().any(told), || format!("{row}; {}", service.log()))
    });

    // One quantity under one name.
    let loads = [
        &[("metric", "node_load1"), ("job", "node")][..],
        &[("metric", "zabbix_system_cpu_load"), ("p2", "avg1")],
        &[("metric", "nagios_perfdata"), ("label", "load1")],
    ];
    let memories = [
        &[("metric", "node_memory_MemAvailable_bytes")][..],
        &[("metric", "zabbix_vm_memory_size"), ("p1", "available")],
        &[("metric", "nagios_perfdata"), ("label", "mem_available")],
    ];
    let told = wait::until("the same load and memory in three tools", || {
        tools.turn(100.0);
        let values = |all: &[&[(&str, &str)]]| -> Vec<f64> {
            all.iter().map(|labels| service.score("watchbell_value", labels).unwrap_or(f64::NAN)).collect()
        };
        let (load, memory) = (values(&loads), values(&memories));
        let near = load.iter().all(|value| (value - load[0]).abs() <= NEAR);
        let near = near && memory.iter().all(|value| (value / memory[0] - 1.0).abs() <= ALIKE);
        wait::when(near, || format!("{load:?} {memory:?}; {}", service.log())).map(|()| (load, memory))
    });
    eprintln!("load and memory in Prometheus, Zabbix and Nagios: {told:?}");
    for (selector, metric, unit) in [
        ("node_load1", "load.1m", "none"),
        ("zabbix_system_cpu_load{p2=\"avg1\"}", "load.1m", "none"),
        ("{label=\"load1\"}", "load.1m", "none"),
        ("node_memory_MemAvailable_bytes", "memory.available", "bytes"),
        ("zabbix_vm_memory_size{p1=\"available\"}", "memory.available", "bytes"),
        ("{label=\"mem_available\"}", "memory.available", "bytes"),
    ] {
        let answer = service.get(&format!("/api/v1/explain?match[]={}", url_encoded(selector))).text;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let series = &answer["data"]["series"][0];
        let found = (&series["metric"], &series["unit"], &series["host"]);
        assert_eq!(found, (&json!(metric), &json!(unit), &json!(HOST)), "{selector}: {answer}");
    }

    // One roll-up.
    let levels = [
        &[("metric", LEVEL), ("job", "node")][..],
        &[("metric", "zabbix_it_level")],
        &[("metric", "nagios_perfdata"), ("label", "level")],
    ];
    wait::until("the levels to be ready", || {
        tools.turn(100.0);
        let ready: Vec<_> = levels.iter().map(|labels| service.score("watchbell_series_ready", labels)).collect();
        wait::when(ready.iter().all(|ready| *ready == Some(1.0)), || format!("{ready:?}; {}", service.log()))
    });
    let page = service.get("/scores").text;
    let rolled_up = page.lines().filter(|line| line.starts_with("watchbell_host_score{")).count();
    assert_eq!(rolled_up, 1, "{page}");

    // Something happens: whoever tells it, it is told of the one host.
    let alerts = wait::until("alerts by all three", || {
        tools.turn(1_000.0);
        let told: Vec<Value> = inbox.documents().iter().filter_map(Value::as_array).flatten().cloned().collect();
        let by = |metric: &str| told.iter().any(|alert| alert["labels"]["metric"] == metric);
        let three = by(LEVEL) && by("zabbix_it_level") && by("nagios_perfdata");
        wait::when(three, || format!("{told:?}; {}", service.log())).map(|()| told)
    });
    assert!(alerts.iter().all(|alert| alert["labels"]["host"] == HOST), "{alerts:?}");
    drop(prometheus);
    assert!(service.stop().success());
}

fn url_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
