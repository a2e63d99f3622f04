use serde_json::json;
use watchbell_adapter_api::{HostReading, ToldName};
use watchbell_series::Reading;

use super::fake::{FakeZabbix, Running, plan, reading};
use super::*;

const CPU: &[(&str, &str)] =
    &[("__name__", "zabbix_system_cpu_util"), ("host", "Web-1"), ("key", "system.cpu.util[,user]"), ("unit", "%")];

fn host(name: &str, score: f32, anomalous: u32) -> HostReading {
    HostReading { host: name.to_owned(), series: 10, ready: 8, anomalous, score, ..HostReading::default() }
}

const HOST_KEYS: [&str; 4] = [key::HOST_SCORE, key::HOST_RATE, key::HOST_SERIES, key::HOST_REASONS];

/// Starts the sink against one server.
fn start(running: &Running, config: serde_json::Value) -> (Arc<FakeZabbix>, tokio::task::JoinHandle<()>) {
    let zabbix = Arc::new(FakeZabbix::default());
    let (way, context) = (Arc::clone(&zabbix), running.context.clone());
    let task = tokio::spawn(async move { run(plan(config), vec![way], "advice", context).await.expect("runs") });
    (zabbix, task)
}

#[tokio::test(start_paused = true)]
async fn discovery_then_scores_and_hosts() {
    let running = Running::new();
    let (zabbix, task) = start(&running, json!({}));
    zabbix.knows("Web-1", &HOST_KEYS);
    zabbix.knows("Web-1", &["anomaly.discovery"]);
    running.pass(1).await;
    running.scores.set(CPU, reading(1_500, 1.5));
    running.scores.set(&[("__name__", "node_load1"), ("host", "web-1")], reading(1_500, 2.0));
    running.scores.set_host(host("web-1", 1.25, 2));
    running.pass(3).await;
    assert_eq!(
        zabbix.took(),
        [
            r#"Web-1 anomaly.discovery [{"{#KEY}":"system.cpu.util[,user]","{#UNITS}":"%"}] @2"#,
            "Web-1 anomaly.host.reasons 2 of 8 series anomalous: node_load1 20 (expected 15, score 2.00), \
             system.cpu.util[,user] 15 (expected 11.25, score 1.50) @2",
            "Web-1 anomaly.host.score 1.25 @2",
            "Web-1 anomaly.host.rate 25.00 @2",
            "Web-1 anomaly.host.series 10 @2",
        ]
    );
    // Zabbix made the items meanwhile: their next values are taken after a short wait, and no list is sent again.
    for part in ["score", "expected", "lower", "upper"] {
        zabbix.knows("Web-1", &[&format!("anomaly.{part}[\"system.cpu.util[,user]\"]")]);
    }
    running.pass(16).await;
    running.scores.set(CPU, reading(20_000, 1.5));
    running.pass(3).await;
    assert_eq!(
        zabbix.took(),
        [
            "Web-1 anomaly.score[\"system.cpu.util[,user]\"] 1.5 @20",
            "Web-1 anomaly.expected[\"system.cpu.util[,user]\"] 11.25 @20",
            "Web-1 anomaly.lower[\"system.cpu.util[,user]\"] 7.5 @20",
            "Web-1 anomaly.upper[\"system.cpu.util[,user]\"] 22.5 @20",
        ]
    );
    // Nothing new: the heartbeat of the host only.
    running.pass(60).await;
    let took = zabbix.took();
    assert_eq!(took.len(), 4, "{took:#?}");
    assert!(took.iter().all(|line| line.starts_with("Web-1 anomaly.host.")), "{took:#?}");
    // Another series changes the list.
    running.scores.set(&[("__name__", "zabbix_x"), ("host", "Web-1"), ("key", "agent.ping")], reading(0, 0.0));
    running.pass(3).await;
    assert!(zabbix.took()[0].contains("agent.ping"));
    running.stop.send_replace(true);
    task.await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_doubled_while_zabbix_is_down() {
    let running = Running::new();
    let (zabbix, task) = start(&running, json!({"values": ["score"], "keys": "plain", "hosts": "Web-1"}));
    zabbix.knows("Web-1", &["anomaly.system.cpu.util[,user]"]);
    let mut expected = Vec::new();
    let mut took = Vec::new();
    for minute in 1..20 {
        let down = (5..10).contains(&minute);
        zabbix.down(down);
        running.pass(50).await;
        running.scores.set(CPU, reading(minute * 60_000 - 10_000, 0.5));
        running.scores.set(&[("__name__", "zabbix_x"), ("host", "db"), ("key", "a")], reading(minute * 60_000, 0.5));
        running.pass(10).await;
        let now = zabbix.took();
        assert!(!down || now.is_empty());
        took.extend(now);
        expected.push(format!("Web-1 anomaly.system.cpu.util[,user] 0.5 @{}", minute * 60 - 10));
    }
    assert_eq!(took, expected);
    let failures = running.context.metrics.counter(&FAILURES, &["zabbix"]).get();
    assert!((1.0..40.0).contains(&failures), "{failures}: a server that is down is left alone for a while");
    running.stop.send_replace(true);
    task.await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn a_host_behind_a_proxy_loses_nothing_on_the_way_there() {
    let running = Running::new();
    let (server, proxy) = (Arc::new(FakeZabbix::default()), Arc::new(FakeZabbix::default()));
    proxy.knows("Web-1", &["anomaly.discovery", "anomaly.score[\"system.cpu.util[,user]\"]"]);
    let (ways, context) = (vec![Arc::clone(&server), Arc::clone(&proxy)], running.context.clone());
    let config = json!({"values": ["score"]});
    let task = tokio::spawn(async move { run(plan(config), ways, "advice", context).await.expect("runs") });
    running.pass(1).await;
    running.scores.set(CPU, reading(1_000, 1.5));
    running.pass(5).await;
    let took: Vec<String> = proxy.took().iter().map(|line| line.chars().take(40).collect()).collect();
    assert_eq!(took, ["Web-1 anomaly.discovery [{\"{#KEY}\":\"syst", "Web-1 anomaly.score[\"system.cpu.util[,us"]);
    assert_eq!(server.took(), [""; 0]);
    running.stop.send_replace(true);
    task.await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_the_oldest() {
    let running = Running::new();
    let (zabbix, task) = start(&running, json!({"values": ["score"], "keys": "plain", "batch": 3, "queue_values": 3}));
    zabbix.knows("Web-1", &["anomaly.system.cpu.util[,user]"]);
    zabbix.down(true);
    for minute in 1..10 {
        running.pass(60).await;
        running.scores.set(CPU, reading(minute * 60_000, 0.5));
    }
    running.pass(20).await;
    zabbix.down(false);
    running.pass(20).await;
    let times: Vec<String> = zabbix.took().iter().filter_map(|line| Some(line.split_once('@')?.1.to_owned())).collect();
    assert_eq!(times, ["420", "480", "540"]);
    assert_eq!(running.context.metrics.counter(&DROPPED, &["zabbix", "queue_full"]).get(), 6.0);
    running.stop.send_replace(true);
    task.await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_keeps_discovery() {
    let running = Running::new();
    let (zabbix, task) = start(&running, json!({"values": ["score"], "batch": 3, "queue_values": 3}));
    zabbix.knows("Web-1", &["anomaly.discovery", "anomaly.score[\"system.cpu.util[,user]\"]"]);
    zabbix.down(true);
    for minute in 1..10 {
        running.pass(60).await;
        running.scores.set(CPU, reading(minute * 60_000, 0.5));
    }
    running.pass(20).await;
    zabbix.down(false);
    running.pass(20).await;
    let took = zabbix.took();
    assert!(took.len() == 3 && took[0].starts_with("Web-1 anomaly.discovery "), "{took:?}");
    assert!(took[1].ends_with("@480") && took[2].ends_with("@540"), "{took:?}");
    running.stop.send_replace(true);
    task.await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn series_of_other_tools_go_to_the_host_of_that_name() {
    let running = Running::new();
    let config = json!({
        "match": ["{}"], "values": ["value"], "host_names": {"db.example.org": "Database 1"}, "hosts": "Data.*"
    });
    let (zabbix, task) = start(&running, config);
    zabbix.knows("Database 1", &["anomaly.discovery", "anomaly.value[\"node_cpu[\\\"mode=user\\\"]\"]"]);
    let labels = [("__name__", "node_cpu"), ("host", "db.example.org"), ("job", "node"), ("mode", "user")];
    running.scores.set(&labels, reading(500, 0.25));
    running.scores.set(&[("__name__", "node_cpu"), ("host", "web")], reading(500, 0.25));
    running.pass(3).await;
    let discovery = r#"Database 1 anomaly.discovery [{"{#KEY}":"node_cpu[\"mode=user\"]","{#UNITS}":""}] @0"#;
    let value = r#"Database 1 anomaly.value["node_cpu[\"mode=user\"]"] 2.5 @0"#;
    assert_eq!(zabbix.took(), [discovery, value]);
    running.stop.send_replace(true);
    task.await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_a_joined_host_goes_to_its_name_in_zabbix() {
    let running = Running::new();
    // None of the series of Zabbix itself is sent: its sources have told the name all the same.
    let (zabbix, task) = start(&running, json!({"match": ["{job=\"node\"}"], "values": ["score"], "keys": "plain"}));
    zabbix.knows("Zabbix server", &[&HOST_KEYS[..], &["anomaly.node_load1"]].concat());
    zabbix.knows("monitor1", &HOST_KEYS);
    running.pass(1).await;
    running.scores.set(&[("__name__", "node_load1"), ("host", "monitor1"), ("job", "node")], reading(1_500, 1.5));
    let told = |kind, name: &str| ToldName { kind, name: name.into() };
    let told = [told("nagios_perfdata", "localhost"), told("zabbix_history", "Zabbix server")];
    running.scores.set_host(HostReading { told: told.into(), ..host("monitor1", 1.25, 2) });
    running.pass(3).await;
    let took = zabbix.took();
    let keys: Vec<&str> = took.iter().map(|line| &line[..line.len().min(38)]).collect();
    assert_eq!(
        keys,
        [
            "Zabbix server anomaly.host.reasons 2 o",
            "Zabbix server anomaly.host.score 1.25 ",
            "Zabbix server anomaly.host.rate 25.00 ",
            "Zabbix server anomaly.host.series 10 @",
            "Zabbix server anomaly.node_load1 1.5 @",
        ]
    );
    assert_eq!(running.context.metrics.counter(&REFUSED, &["zabbix"]).get(), 0.0);
    running.stop.send_replace(true);
    task.await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_a_quiet_window_gives_no_score() {
    let running = Running::new();
    let (zabbix, task) = start(&running, json!({"values": ["score", "value"], "keys": "plain"}));
    let keys = ["anomaly.a", "anomaly.value.a", "anomaly.b", "anomaly.value.b"];
    for host in ["web-1", "web-2"] {
        zabbix.knows(host, &[&HOST_KEYS[..], &keys].concat());
    }
    let series = |host, key| [("__name__", "zabbix_x"), ("host", host), ("key", key)];
    running.pass(1).await;
    // A window about a series, and one about a host.
    running.scores.set(&series("web-1", "a"), Reading { quiet: true, ..reading(1_500, 3.0) });
    running.scores.set(&series("web-1", "b"), reading(1_500, 3.0));
    running.scores.set(&series("web-2", "a"), reading(1_500, 3.0));
    running.scores.set_host(host("web-1", 0.5, 0));
    let resting = HostReading { quiet: Some("kernel update".into()), ..host("web-2", 3.0, 8) };
    running.scores.set_host(resting.clone());
    running.pass(3).await;
    let mut took = zabbix.took();
    took.retain(|line| !line.starts_with("web-1 anomaly.host."));
    took.sort();
    assert_eq!(
        took,
        [
            "web-1 anomaly.b 3.0 @1",
            "web-1 anomaly.value.a 30.0 @1",
            "web-1 anomaly.value.b 30.0 @1",
            "web-2 anomaly.host.reasons in a quiet window: kernel update @2",
            "web-2 anomaly.host.series 10 @2",
            "web-2 anomaly.value.a 30.0 @1",
        ]
    );
    // After it the next sample has its score, and the host too; what was judged in the window is not sent late.
    running.scores.set_host(HostReading { quiet: None, ..resting });
    running.pass(3).await;
    running.scores.set(&series("web-2", "a"), reading(6_000, 0.5));
    running.pass(3).await;
    let took: Vec<String> = zabbix.took().into_iter().filter(|line| line.starts_with("web-2 ")).collect();
    let scores: Vec<&str> = took.iter().filter_map(|line| line.split_once(" @")).map(|(line, _)| line).collect();
    assert!(scores.contains(&"web-2 anomaly.host.score 3.0") && scores.contains(&"web-2 anomaly.a 0.5"), "{took:#?}");
    assert!(!scores.contains(&"web-2 anomaly.a 3.0"), "{took:#?}");
    running.stop.send_replace(true);
    task.await.expect("ends");
}

#[tokio::test(start_paused = true)]
async fn what_was_judged_before_the_start_and_what_has_no_score_is_not_sent() {
    let running = Running::new();
    running.pass(100).await;
    let (zabbix, task) = start(&running, json!({"values": ["score"], "keys": "plain"}));
    zabbix.knows("web-1", &["anomaly.a", "anomaly.b"]);
    let series = |key| [("__name__", "zabbix_x"), ("host", "web-1"), ("key", key)];
    running.scores.set(&series("a"), reading(99_000, 0.5));
    running.scores.set(&series("b"), reading(101_000, f32::NAN));
    running.pass(5).await;
    assert_eq!(zabbix.took(), [""; 0]);
    // From the future it is as of now, and once.
    running.scores.set(&series("b"), reading(999_000, 0.5));
    running.pass(10).await;
    let took = zabbix.took();
    assert!(took.len() == 1 && took[0].starts_with("web-1 anomaly.b 0.5 @10"), "{took:?}");
    running.stop.send_replace(true);
    task.await.expect("ends");
}

#[test]
fn bad_settings() {
    let config = json!({
        "match": ["{"], "hosts": "(", "host_names": {"a": " x"}, "interval": "0", "heartbeat": "0",
        "discovery_interval": "0", "batch": 0
    });
    let config: ItemsConfig = serde_json::from_value(config).expect("the shape is right");
    let mut problems = Problems::default();
    assert!(config.check(&mut problems).is_none());
    let found: Vec<String> = problems.into_vec().iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(found.iter().all(|problem| problem.starts_with("items.")), "{found:#?}");
}
