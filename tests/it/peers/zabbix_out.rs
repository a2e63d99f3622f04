//! Zabbix 6.0: verdicts out, into items that its own low-level discovery makes. The same is done with newer ones in `newer/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

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

/// A level that is in a file of this machine, where its agent reads it; it moves a little all the time.
#[derive(Debug)]
struct Machine {
    level: Arc<AtomicU32>,
    ended: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Machine {
    fn start(file: PathBuf, level: u32) -> Self {
        let (level, ended) = (Arc::new(AtomicU32::new(level)), Arc::new(AtomicBool::new(false)));
        let (wanted, over) = (Arc::clone(&level), Arc::clone(&ended));
        let worker = std::thread::spawn(move || {
            let mut noise = Noise(23);
            while !over.load(Ordering::Relaxed) {
                write_level(&file, f64::from(wanted.load(Ordering::Relaxed)) + noise.next());
                wait::pause(Duration::from_millis(200));
            }
        });
        Self { level, ended, worker: Some(worker) }
    }

    fn set(&self, level: u32) {
        self.level.store(level, Ordering::Relaxed);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            // It panics where the folder is gone already, which a test that fails would hide behind.
            let _ = worker.join();
        }
    }
}

/// Never half a number: the agent may read at any time.
fn write_level(file: &Path, level: f64) {
    let new = file.with_extension("new");
    fs::write(&new, format!("{level:.3}\n")).expect("written");
    fs::rename(new, file).expect("renamed");
}

/// How verdicts go to Zabbix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the sender protocol.
    Trapper,
    /// By `history.push` of the API.
    Push,
}

impl Way {
    /// A sink of that kind.
    fn sink(self, zabbix: &Zabbix, name: &str, items: &str) -> String {
        match self {
            Self::Trapper => format!(
                "{{type: zabbix_trapper, name: {name}, servers: ['127.0.0.1:{}'], compress: {}, items: {items}}}",
                zabbix.server_port,
                name == "first"
            ),
            Self::Push => format!(
                "{{type: zabbix_push, name: {name}, api: {{url: '{}', user: {USER}, password: {PASSWORD}}}, items: {items}}}",
                zabbix.url()
            ),
        }
    }
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

/// How many values Zabbix has of the verdicts on a host.
fn held(zabbix: &Zabbix, hostid: &str) -> usize {
    let params = json!({"output": ["itemid", "value_type"], "hostids": [hostid], "search": {"key_": "anomaly."}});
    let items = zabbix.call("item.get", params);
    let of_type = |value_type: &str| {
        let of_type = items.as_array().expect("rows").iter().filter(|item| item["value_type"] == value_type);
        let ids: Vec<&Value> = of_type.map(|item| &item["itemid"]).collect();
        let params = json!({"output": ["itemid"], "history": value_type, "itemids": ids});
        zabbix.call("history.get", params).as_array().expect("rows").len()
    };
    ["0", "3", "4"].map(of_type).iter().sum()
}

/// Names of the problems of a host.
fn problems(zabbix: &Zabbix, hostid: &str) -> Vec<String> {
    let found = zabbix.call("problem.get", json!({"output": ["name"], "hostids": [hostid]}));
    found.as_array().expect("rows").iter().filter_map(|row| Some(row["name"].as_str()?.to_owned())).collect()
}

#[test]
fn scores_make_problems_in_zabbix() {
    verdicts(&Zabbix::start(), Way::Trapper);
}

/// What the agent measures and what others tell is judged; scores come into Zabbix and make problems there. Its server is
/// restarted in between: nothing is lost, nothing comes twice.
pub(crate) fn verdicts(zabbix: &Zabbix, way: Way) {
    let ids = ["out-1", "out-2", "out-3"].map(|name| zabbix.host(name, "Verdicts"));
    // Of one host single items are to be told of: they are silent while the host is unusual as a whole.
    zabbix.call("usermacro.create", json!({"hostid": ids[0], "macro": "{$ANOMALY.HOST.SCORE}", "value": "1000000"}));
    // A comma must be quoted in a key.
    let file = zabbix.path("level,1");
    let key = format!("vfs.file.contents[\"{}\"]", file.display());
    let machine = Machine::start(file, 50);
    let measured = zabbix.measured(&ids[2], &key, "%");
    let mut noise = Noise(7);
    let begin_s = SystemClock.now_ms() / 1_000;
    let past: Vec<String> =
        (begin_s - 700..begin_s).map(|second| format!("({measured},{second},{},0)", 50.0 + noise.next())).collect();
    zabbix.sql(&format!("INSERT INTO history (itemid, clock, value, ns) VALUES {}", past.join(",")));
    let home = Home::new(&format!(
        "sources:
  - type: prometheus_remote_write_in
  - {{type: zabbix_history, name: polled, api: {{url: '{url}', user: {USER}, password: {PASSWORD}}}, select: {{hosts: [out-3]}}, interval: 1s, refresh: 10s, lookback: 20m}}
detect: {{warmup: 30s, tick: 1s, joint: {{warmup: 30s}}}}
sinks:
  - {{type: prometheus_exposition}}
  - {first}
  - {second}
",
        url = zabbix.url(),
        first = way.sink(zabbix, "first", "{hosts: 'out-1|out-2|nowhere', interval: 1s, heartbeat: 2s}"),
        second = way.sink(zabbix, "second", "{hosts: out-3, keys: plain, interval: 1s}"),
    ));

    // First it says what it would do; then it does it; then nothing is left to do.
    let linked = ["--host", "out-1", "--host", "out-2"];
    let said = set_up(zabbix, &home, &linked).expect("asked");
    assert!(said.contains("import template") && said.contains("link template to host `out-2`"), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    assert!(item(zabbix, &ids[0], "anomaly.host.score").is_err());
    let said = set_up(zabbix, &home, &[&linked[..], &["--apply"]].concat()).expect("done");
    assert!(said.contains("3 of 3 steps done"), "{said}");
    item(zabbix, &ids[0], "anomaly.host.score").expect("made by the template");
    let said = set_up(zabbix, &home, &["--group", "Verdicts", "--host", "out-1"]).expect("asked");
    assert!(said.contains("out-3") && !said.contains("out-1") && !said.contains("date template"), "{said}");
    let plain = ["--plain", "--host", "out-3", "--keys", r"vfs\..*"];
    let said = set_up(zabbix, &home, &[&plain[..], &["--apply"]].concat()).expect("done");
    assert!(said.contains(&format!("create item `anomaly.lower.{key}`")), "{said}");
    assert!(set_up(zabbix, &home, &plain).expect("asked").contains("nothing is missing"));
    let error = set_up(zabbix, &home, &["--host", "OUT-1"]).expect_err("unknown");
    assert!(error.contains("no host `OUT-1`"), "{error}");

    // Discovery makes the items, and scores come into them.
    let service = home.start();
    let hosts = ["out-1", "out-2", "nowhere"];
    let begin_s = SystemClock.now_ms() / 1_000;
    // The tail of a young series is heavy: a verdict takes some minutes of the usual.
    for second in begin_s - 500..begin_s {
        turn_at(&service, &hosts, 50.0, &mut noise, second * 1_000);
    }
    let mut sent = BTreeSet::new();
    let score = wait::until("items made by low-level discovery", || {
        sent.insert(turn(&service, &hosts, 50.0, &mut noise));
        item(zabbix, &ids[0], SCORE).map_err(|error| format!("{error}; {}", service.log()))
    });
    let calm = item(zabbix, &ids[0], CALM).expect("made too");
    wait::until("scores in the history of Zabbix", || {
        sent.insert(turn(&service, &hosts, 50.0, &mut noise));
        wait::when(history(zabbix, &score).len() > 3, || service.log())
    });
    assert_eq!(problems(zabbix, &ids[0]), [""; 0]);

    // The unknown host is named, and costs the others nothing.
    service.metric_until("watchbell_zabbix_refused_hosts", &[("sink", "first")], |hosts| hosts == 1.0);
    assert!(service.log().contains("Zabbix takes nothing of host `nowhere`"), "{}", service.log());

    // The server restarts: nothing is lost or doubled.
    let failures = || service.metric("watchbell_zabbix_send_failures_total", &[("sink", "first")]);
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
        let rows = history(zabbix, &score);
        wait::when(rows.iter().any(|(ms, _)| *ms == during), || format!("{during} in {rows:?}; {}", service.log()))
    });
    let times: Vec<i64> = history(zabbix, &score).iter().map(|(ms, _)| *ms).collect();
    let unique: BTreeSet<i64> = times.iter().copied().collect();
    assert_eq!(times.len(), unique.len(), "nothing is doubled");
    assert!(unique.is_subset(&sent), "at the times of the samples: {unique:?} of {sent:?}");

    // Something happens: the score is seen, and its trigger.
    wait::until("a problem of the item", || {
        turn(&service, &hosts, 500.0, &mut noise);
        let found = problems(zabbix, &ids[0]);
        let wanted = format!("Anomaly: {KEY} is unusual");
        wait::when(found.contains(&wanted), || format!("{found:?}; {:?}; {}", history(zabbix, &score), service.log()))
    });
    assert!(history(zabbix, &score).iter().any(|(_, score)| *score >= 1.0));
    assert!(history(zabbix, &calm).iter().all(|(_, score)| *score < 1.0), "{:?}", history(zabbix, &calm));

    // The other host is unusual as a whole, with its reasons in the name of the problem.
    wait::until("a problem of the host", || {
        turn(&service, &hosts, 500.0, &mut noise);
        let found = problems(zabbix, &ids[1]);
        let named =
            |name: &String| name.contains("unusual as a whole: ") && name.contains("2 of 2 series anomalous: test.");
        wait::when(found.iter().any(named), || {
            let scores = item(zabbix, &ids[1], "anomaly.host.score").map(|id| history(zabbix, &id));
            format!("{found:?}; {scores:?}")
        })
    });

    // What the agent measures on the machine: items made one by one are filled too, and have their own triggers.
    let plain = item(zabbix, &ids[2], &format!("anomaly.{key}")).expect("made by the command");
    wait::until("scores in an item made by itself", || {
        wait::when(!history(zabbix, &plain).is_empty(), || service.log())
    });
    assert!(!problems(zabbix, &ids[2]).iter().any(|name| name.contains(&key)), "{:?}", history(zabbix, &plain));
    machine.set(500);
    wait::until("a problem of an item made by itself", || {
        let found = problems(zabbix, &ids[2]);
        let wanted = format!("Anomaly: {key} is unusual");
        wait::when(found.contains(&wanted), || format!("{found:?}; {:?}", history(zabbix, &plain)))
    });
    assert!(history(zabbix, &plain).iter().any(|(_, score)| *score >= 1.0));

    // All that Zabbix ever had of it was read, once.
    zabbix.stop_agent();
    wait::until("all values to be read", || {
        let (held, read) = (
            history(zabbix, &measured).len() as f64,
            service.metric("watchbell_zabbix_values_total", &[("source", "polled")]),
        );
        wait::when(held == read, || format!("{held} held, {read} read; {}", service.log()))
    });
    // And it has all that it was sent, once.
    wait::until("all values to be sent", || {
        let (held, sent) =
            (held(zabbix, &ids[2]), service.metric("watchbell_zabbix_sent_values_total", &[("sink", "second")]));
        wait::when(held as f64 == sent, || format!("{held} held, {sent} sent; {}", service.log()))
    });
    assert_eq!(service.metric("watchbell_zabbix_dropped_values_total", &[("reason", "queue_full")]), 0.0);
    assert!(service.stop().success());
}
