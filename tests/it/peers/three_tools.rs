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
        for (key, units) in [("system.cpu.load[all,avg1]", ""), ("system.cpu.util[,idle]", "%")] {
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
detect: {{warmup: 10s, tick: 1s}}
alerting: {{max_per_host: 100}}
sinks: [{{type: prometheus_exposition}}, {{type: alertmanager, urls: ['{}']}}]
",
        path("service-perfdata"),
        path("spool"),
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
        let three = sources == BTreeSet::from(["nagios", "prometheus", "zabbix"]);
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

    // One quantity under one name.
    let loads = [
        &[("metric", "node_load1"), ("job", "node")][..],
        &[("metric", "zabbix_system_cpu_load"), ("p2", "avg1")],
        &[("metric", "nagios_perfdata"), ("label", "load1")],
    ];
    let told = wait::until("the same load in three tools", || {
        tools.turn(100.0);
        let values: Vec<f64> =
            loads.iter().map(|labels| service.score("watchbell_value", labels).unwrap_or(f64::NAN)).collect();
        let near = values.iter().all(|value| (value - values[0]).abs() <= NEAR);
        wait::when(near, || format!("{values:?}; {}", service.log())).map(|()| values)
    });
    eprintln!("load in Prometheus, Zabbix and Nagios: {told:?}");
    for name in ["node_load1", "zabbix_system_cpu_load", "{label=\"load1\"}"] {
        let selector: String = url_encoded(name);
        let answer = service.get(&format!("/api/v1/explain?match[]={selector}")).text;
        assert!(answer.contains("load.1m"), "{name}: {answer}");
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
