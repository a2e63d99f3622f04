//! Zabbix 6.0: verdicts out, into items that its own low-level discovery makes.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::load::{Noise, Series};
use crate::support::wait;
use crate::support::watchbell::{Home, Watchbell, command};
use crate::support::zabbix::{PASSWORD, USER, Zabbix};

const KEY: &str = "test.level[a,\"b,c\"]";
/// As low-level discovery quotes it.
const SCORE: &str = r#"anomaly.score["test.level[a,\"b,c\"]"]"#;
const CALM: &str = "anomaly.score[test.calm]";

fn series<'a>(host: &'a str, key: &'a str) -> [(&'a str, &'a str); 4] {
    [("__name__", "zabbix_test"), ("host", host), ("key", key), ("unit", "%")]
}

/// Sends one sample of each series of each host, as if a source had read them; gives their time in milliseconds.
fn turn(service: &Watchbell, hosts: &[&str], level: f64, noise: &mut Noise) -> i64 {
    turn_at(service, hosts, level, noise, SystemClock.now_ms())
}

fn turn_at(service: &Watchbell, hosts: &[&str], level: f64, noise: &mut Noise, now_ms: i64) -> i64 {
    let mut batch = Vec::new();
    for host in hosts {
        // One of them is unusual in all it has.
        let calm = if *host == "out-2" { level } else { 50.0 };
        for (key, value) in [(KEY, level), ("test.calm", calm)] {
            batch.push(Series::new(&series(host, key), &[(now_ms, value + noise.next())]));
        }
    }
    assert_eq!(service.write(&batch).status, 204, "{}", service.log());
    now_ms
}

/// Values of the item of `out-3`, one for each second.
fn measured(zabbix: &Zabbix, seconds: std::ops::Range<i64>, level: f64, noise: &mut Noise) {
    let texts: Vec<(i64, String)> = seconds.map(|second| (second, (level + noise.next()).to_string())).collect();
    let values: Vec<_> = texts.iter().map(|(second, text)| ("out-3", KEY, text.as_str(), *second)).collect();
    zabbix.send_all(&values);
}

/// Runs `watchbell zabbix setup` and gives what it says.
fn set_up(zabbix: &Zabbix, home: &Home, words: &[&str]) -> Result<String, String> {
    let file = home.path().join("token");
    if !file.exists() {
        fs::write(&file, zabbix.token("setup")).expect("written");
    }
    let (url, file) = (zabbix.url(), file.display().to_string());
    let done = command(&[&["zabbix", "setup", "--url", &url, "--token-file", &file], words].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
}

fn item(zabbix: &Zabbix, hostid: &str, key: &str) -> Result<String, String> {
    let found = zabbix.call("item.get", json!({"output": ["itemid"], "hostids": [hostid], "filter": {"key_": key}}));
    found[0]["itemid"].as_str().map(str::to_owned).ok_or_else(|| format!("no item `{key}`: {}", zabbix.log()))
}

/// The history of an item: (milliseconds, value).
fn history(zabbix: &Zabbix, itemid: &str) -> Vec<(i64, f64)> {
    let params = json!({"history": 0, "itemids": [itemid], "sortfield": "clock", "sortorder": "ASC"});
    let rows = zabbix.call("history.get", params);
    let number =
        |row: &Value, name: &str| row[name].as_str().and_then(|text| text.parse::<f64>().ok()).expect("a number");
    let row = |row| (number(row, "clock") as i64 * 1_000 + number(row, "ns") as i64 / 1_000_000, number(row, "value"));
    rows.as_array().expect("rows").iter().map(row).collect()
}

/// Names of the problems of a host.
fn problems(zabbix: &Zabbix, hostid: &str) -> Vec<String> {
    let found = zabbix.call("problem.get", json!({"output": ["name"], "hostids": [hostid]}));
    found.as_array().expect("rows").iter().filter_map(|row| Some(row["name"].as_str()?.to_owned())).collect()
}

#[test]
fn scores_make_problems_in_zabbix() {
    let zabbix = Zabbix::start();
    let ids = ["out-1", "out-2", "out-3"].map(|name| zabbix.host(name, "Verdicts"));
    // Of one host single items are to be told of: they are silent while the host is unusual as a whole.
    zabbix.call("usermacro.create", json!({"hostid": ids[0], "macro": "{$ANOMALY.HOST.SCORE}", "value": "1000000"}));
    zabbix.trapper(&ids[2], KEY, 0, json!({"units": "%"}));
    let (address, url) = (format!("127.0.0.1:{}", zabbix.server_port), zabbix.url());
    let home = Home::new(&format!(
        "sources:
  - type: prometheus_remote_write_in
  - {{type: zabbix_history, name: polled, api: {{url: '{url}', user: {USER}, password: {PASSWORD}}}, select: {{hosts: [out-3]}}, interval: 1s, refresh: 10s}}
detect: {{warmup: 30s, tick: 1s, joint: {{warmup: 30s}}}}
sinks:
  - {{type: prometheus_exposition}}
  - {{type: zabbix_trapper, name: packed, servers: ['{address}'], items: {{hosts: 'out-1|out-2|nowhere', interval: 1s, heartbeat: 2s}}}}
  - {{type: zabbix_trapper, name: plain, servers: ['{address}'], compress: false, items: {{hosts: out-3, keys: plain, interval: 1s}}}}
"
    ));

    // First it says what it would do; then it does it; then nothing is left to do.
    let linked = ["--host", "out-1", "--host", "out-2"];
    let said = set_up(&zabbix, &home, &linked).expect("asked");
    assert!(said.contains("import template") && said.contains("link template to host `out-2`"), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    assert!(item(&zabbix, &ids[0], "anomaly.host.score").is_err());
    let said = set_up(&zabbix, &home, &[&linked[..], &["--apply"]].concat()).expect("done");
    assert!(said.contains("3 of 3 steps done"), "{said}");
    item(&zabbix, &ids[0], "anomaly.host.score").expect("made by the template");
    let said = set_up(&zabbix, &home, &["--group", "Verdicts", "--host", "out-1"]).expect("asked");
    assert!(said.contains("out-3") && !said.contains("out-1"), "{said}");
    let plain = ["--plain", "--host", "out-3", "--keys", "test.*"];
    let said = set_up(&zabbix, &home, &[&plain[..], &["--apply"]].concat()).expect("done");
    assert!(said.contains("create item `anomaly.lower.test.level[a,\"b,c\"]`"), "{said}");
    assert!(set_up(&zabbix, &home, &plain).expect("asked").contains("nothing is missing"));
    let error = set_up(&zabbix, &home, &["--host", "OUT-1"]).expect_err("unknown");
    assert!(error.contains("no host `OUT-1`"), "{error}");

    // Discovery makes the items, and scores come into them.
    let service = home.start();
    let (hosts, mut noise) = (["out-1", "out-2", "nowhere"], Noise(7));
    // What Zabbix has by itself is polled from it.
    let begin_s = SystemClock.now_ms() / 1_000;
    measured(&zabbix, begin_s - 500..begin_s, 50.0, &mut noise);
    // The tail of a young series is heavy: a verdict takes some minutes of the usual.
    for second in begin_s - 500..begin_s {
        turn_at(&service, &hosts, 50.0, &mut noise, second * 1_000);
    }
    let score = wait::until("items made by low-level discovery", || {
        turn(&service, &hosts, 50.0, &mut noise);
        item(&zabbix, &ids[0], SCORE).map_err(|error| format!("{error}; {}", service.log()))
    });
    let calm = item(&zabbix, &ids[0], CALM).expect("made too");
    let mut sent = BTreeSet::new();
    wait::until("scores in the history of Zabbix", || {
        sent.insert(turn(&service, &hosts, 50.0, &mut noise));
        wait::when(history(&zabbix, &score).len() > 3, || service.log())
    });
    assert_eq!(problems(&zabbix, &ids[0]), [""; 0]);

    // The unknown host is named, and costs the others nothing.
    service.metric_until("watchbell_zabbix_refused_hosts", &[("sink", "packed")], |hosts| hosts == 1.0);
    assert!(service.log().contains("Zabbix takes nothing of host `nowhere`"), "{}", service.log());

    // The server restarts: nothing is lost or doubled.
    let failures = || service.metric("watchbell_zabbix_send_failures_total", &[("sink", "packed")]);
    zabbix.stop_server();
    let before = failures();
    let during = wait::until("failures while Zabbix is away", || {
        let during = turn(&service, &hosts, 50.0, &mut noise);
        sent.insert(during);
        wait::pause(std::time::Duration::from_secs(2));
        wait::when(failures() > before, || service.log()).map(|()| during)
    });
    zabbix.start_server();
    wait::until("what was judged while Zabbix was away", || {
        sent.insert(turn(&service, &hosts, 50.0, &mut noise));
        let rows = history(&zabbix, &score);
        wait::when(rows.iter().any(|(ms, _)| *ms == during), || format!("{during} in {rows:?}; {}", service.log()))
    });
    let times: Vec<i64> = history(&zabbix, &score).iter().map(|(ms, _)| *ms).collect();
    let unique: BTreeSet<i64> = times.iter().copied().collect();
    assert_eq!(times.len(), unique.len(), "nothing is doubled");

    // Something happens: the score is seen, and its trigger.
    wait::until("a problem of the item", || {
        turn(&service, &hosts, 500.0, &mut noise);
        let found = problems(&zabbix, &ids[0]);
        let wanted = format!("Anomaly: {KEY} is unusual");
        wait::when(found.contains(&wanted), || format!("{found:?}; {:?}; {}", history(&zabbix, &score), service.log()))
    });
    assert!(history(&zabbix, &score).iter().any(|(_, score)| *score >= 1.0));
    assert!(history(&zabbix, &calm).iter().all(|(_, score)| *score < 1.0), "{:?}", history(&zabbix, &calm));

    // The other host is unusual as a whole, with its reasons in the name of the problem.
    wait::until("a problem of the host", || {
        turn(&service, &hosts, 500.0, &mut noise);
        let found = problems(&zabbix, &ids[1]);
        let named =
            |name: &String| name.contains("unusual as a whole: ") && name.contains("2 of 2 series anomalous: test.");
        wait::when(found.iter().any(named), || {
            let scores = item(&zabbix, &ids[1], "anomaly.host.score").map(|id| history(&zabbix, &id));
            format!("{found:?}; {scores:?}")
        })
    });

    // Items made one by one are filled too, and have their own triggers.
    let plain = item(&zabbix, &ids[2], &format!("anomaly.{KEY}")).expect("made by the command");
    let mut sent_s = begin_s;
    let mut measure = |level: f64| {
        let now_s = SystemClock.now_ms() / 1_000;
        if now_s > sent_s {
            measured(&zabbix, now_s..now_s + 1, level, &mut noise);
            sent_s = now_s;
        }
    };
    wait::until("scores in an item made by itself", || {
        measure(50.0);
        wait::when(!history(&zabbix, &plain).is_empty(), || service.log())
    });
    wait::until("a problem of an item made by itself", || {
        measure(500.0);
        let found = problems(&zabbix, &ids[2]);
        wait::when(found.contains(&format!("Anomaly: {KEY} is unusual")), || format!("{found:?}"))
    });
    assert!(service.stop().success());
}
