//! One host under the names of several sources: joined where that is certain, told where it is not, corrected by a file.

use std::fs;
use std::io::Write;

use serde_json::Value;
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::http;
use crate::support::load::Series;
use crate::support::wait;
use crate::support::watchbell::{Home, Watchbell};

fn listed(service: &Watchbell) -> Value {
    serde_json::from_str(&service.get("/api/v1/hosts").text).expect("JSON")
}

/// Name, source and series of each name of `host`.
fn names<'a>(listed: &'a Value, host: &str) -> Vec<(&'a str, &'a str, u64)> {
    let found = listed["data"].as_array().and_then(|all| all.iter().find(|row| row["host"] == host));
    let names = found.and_then(|row| row["names"].as_array()).into_iter().flatten();
    let name = |name: &'a Value| Some((name["name"].as_str()?, name["source"].as_str()?, name["series"].as_u64()?));
    names.filter_map(name).collect()
}

fn hosts(listed: &Value) -> Vec<&str> {
    listed["data"].as_array().into_iter().flatten().filter_map(|row| row["host"].as_str()).collect()
}

fn await_hosts(service: &Watchbell, want: &[&str]) -> Value {
    wait::until("the hosts", || {
        let listed = listed(service);
        wait::when(hosts(&listed) == want, || listed.to_string()).map(|()| listed)
    })
}

#[test]
fn one_host_under_all_its_names_and_conflicts_are_told() {
    let home = Home::new("");
    let path = |name: &str| home.path().join(name).display().to_string();
    home.configure(&format!(
        "sources:\n  - {{type: prometheus_remote_write_in, name: prometheus}}\n  - {{type: nagios_perfdata, name: nagios, \
         files: ['{}'], interval: 200ms}}\nrules_dir: '{}'\ndetect: {{warmup: 1s}}\n\
         sinks:\n  - {{type: prometheus_exposition}}\n  - {{type: nagios_check_results, path: '{}', \
         results: {{interval: 1s, heartbeat: 1s}}}}\n",
        path("perfdata"),
        path("rules"),
        path("results"),
    ));
    fs::create_dir_all(home.path().join("results")).expect("a folder");
    fs::create_dir_all(home.path().join("rules/mappings")).expect("a folder");
    let mut perfdata = fs::File::create(home.path().join("perfdata")).expect("a file");
    let service = home.start();
    let send = |instance: &str, count: i64| {
        let now_ms = SystemClock.now_ms();
        let samples: Vec<(i64, f64)> = (0..count).map(|i| (now_ms - 1_000 * (count - i), (i % 7) as f64)).collect();
        let labels = [("__name__", "node_load1"), ("instance", instance), ("job", "node")];
        assert_eq!(service.write(&[Series::new(&labels, &samples)]).status, 204);
    };
    send("web1.eu.example.org:9100", 200);
    await_hosts(&service, &["web1.eu.example.org"]);
    let (eu, ready) = ([("instance", "web1.eu.example.org:9100")], "watchbell_series_ready");
    wait::until("a score", || wait::when(service.score(ready, &eu) == Some(1.0), || service.get("/scores").text));

    // Nagios knows it without the domain.
    let seconds = SystemClock.now_ms() / 1_000;
    writeln!(
        perfdata,
        "DATATYPE::SERVICEPERFDATA\tTIMET::{seconds}\tHOSTNAME::WEB1\tSERVICEDESC::Load\tSERVICEPERFDATA::load1=1.5;;;0;\t\
         SERVICECHECKCOMMAND::check_load"
    )
    .expect("written");
    let one = await_hosts(&service, &["WEB1"]);
    assert_eq!(names(&one, "WEB1"), [("WEB1", "nagios", 1), ("web1.eu.example.org:9100", "prometheus", 1)]);
    assert_eq!(one["conflicts"], serde_json::json!([]));
    assert_eq!(service.score(ready, &eu), Some(1.0), "what was learned stays");
    assert_eq!(service.metric("watchbell_hosts", &[]), 1.0);

    // Another machine of that name: none of them is certain any more.
    send("web1.us.example.org:9100", 3);
    let apart = await_hosts(&service, &["WEB1", "web1.eu.example.org", "web1.us.example.org"]);
    let conflict = &apart["conflicts"][0];
    assert_eq!((&conflict["name"], conflict["hosts"].as_array().map(Vec::len)), (&"web1".into(), Some(3)), "{apart}");
    assert!(service.log().contains("hosts kept apart") && service.log().contains("keep: true"), "{}", service.log());
    assert_eq!(service.metric("watchbell_host_conflicts", &[]), 1.0);

    // A file settles it.
    let file = home.path().join("rules/mappings/entities.yaml");
    let text = "hosts: {names: [{host: shop, names: [web1.eu.example.org, web1]}, {names: [web1.us.example.org], keep: true}]}";
    fs::write(&file, text).expect("written");
    assert_eq!(service.reload().status, 200);
    let settled = await_hosts(&service, &["shop", "web1.us.example.org"]);
    assert_eq!(names(&settled, "shop").len(), 2);
    let rule = settled["data"][0]["names"][0]["rule"].as_str().unwrap_or_default();
    assert!(rule.contains("rules/mappings/entities.yaml:1"), "{rule}");
    assert_eq!(settled["conflicts"], serde_json::json!([]));
    assert_eq!(service.score(ready, &eu), Some(1.0), "what was learned stays");
    fs::write(&file, "hosts: {names: [{host: shop}]}").expect("written");
    let refused = service.reload();
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("entities.yaml:1: hosts.names[0]: "), "{}", refused.text);

    // A restart knows the same hosts at once, and Nagios is told of them by its own names.
    fs::write(&file, text).expect("written");
    assert!(service.stop().success());
    told(&home);
    let service = home.start();
    assert_eq!(hosts(&listed(&service)), ["shop", "web1.us.example.org"]);
    let first = wait::until("results for Nagios", || {
        Some(told(&home)).filter(|told| told.len() > 1).ok_or_else(|| service.log())
    });
    assert_eq!(first.iter().filter(|line| *line == "host_name=shop").count(), 0, "{first:#?}");
    let of = |name: &str| first.iter().filter(|line| **line == format!("host_name={name}")).count();
    assert!(of("WEB1") > 0 && of("web1.us.example.org") > 0, "{first:#?}");

    // In a quiet window it says so, under any name of the host.
    let window = r#"{"host": "web1.eu.example.org", "reason": "kernel update"}"#;
    let json = [("content-type", "application/json")];
    let stated = http::post(&service.url("/api/v1/windows"), &json, window.as_bytes().to_vec()).expect("an answer");
    assert!((200..300).contains(&stated.status), "{}", stated.text);
    let words = "output=ANOMALY OK - in a quiet window: kernel update";
    let results = wait::until("a result in the window", || {
        let told = told(&home);
        wait::when(told.iter().any(|line| line.starts_with(words)), || told.join("\n")).map(|()| told)
    });
    let at = results.iter().position(|line| line.starts_with(words)).unwrap_or_default();
    assert_eq!(results[at - 1], "host_name=WEB1");
}

/// Hosts and texts of the results that wait for Nagios, which takes them up.
fn told(home: &Home) -> Vec<String> {
    let mut lines = Vec::new();
    let files = fs::read_dir(home.path().join("results")).expect("the folder").flatten().map(|file| file.path());
    for ok in files.filter(|path| path.extension().is_some_and(|extension| extension == "ok")) {
        let text = fs::read_to_string(ok.with_extension("")).expect("a file of results");
        let wanted = |line: &&str| line.starts_with("host_name=") || line.starts_with("output=");
        lines.extend(text.lines().filter(wanted).map(str::to_owned));
        fs::remove_file(ok.with_extension("")).and_then(|()| fs::remove_file(ok)).expect("taken up");
    }
    lines
}
