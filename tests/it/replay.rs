//! `watchbell replay`: which alerts would have fired, from CSV files.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use crate::support::load::Noise;
use crate::support::watchbell::command;

/// Two days at a minute.
const ROWS: i64 = 2 * 1_440;
/// When the load rises, for 20 minutes.
const RISE: i64 = 2_000;
const START: i64 = 1_700_000_000;

/// A machine with a load that rises, and a queue that does not.
fn csv() -> String {
    let mut noise = Noise(11);
    let mut text = "timestamp,load,queue\n".to_owned();
    for row in 0..ROWS {
        let up = if (RISE..RISE + 20).contains(&row) { 60.0 } else { 0.0 };
        let (load, queue) = (10.0 + noise.next() + up, 100.0 + 5.0 * noise.next());
        writeln!(text, "{},{load},{queue}", START + 60 * row).expect("written");
    }
    text
}

#[test]
fn the_alerts_of_a_file_are_those_of_the_rules() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir_all(path("data")).expect("a folder");
    fs::write(path("data/web-1.csv"), csv()).expect("written");
    let replay = |more: &[&str]| {
        let done = command(&[&["replay", &path("data")], more].concat());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let said = replay(&["--out", &path("out"), "--warmup", "1d"]);
    assert!(said.contains("2 are judged, on 1 host.") && said.contains("Would have fired:"), "{said}");

    let text = fs::read_to_string(path("out/replay.json")).expect("a file");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let of_load: Vec<&Value> = json["alerts"]
        .as_array()
        .expect("alerts")
        .iter()
        .filter(|alert| alert["labels"]["metric"] == "load" && alert["rule"] == "MetricAnomalous")
        .collect();
    let starts: Vec<i64> = of_load.iter().filter_map(|alert| alert["starts_ms"].as_i64()).collect();
    // Two of three samples must be hits, so the second fires it, whenever this test runs.
    assert_eq!(starts, [(START + 60 * (RISE + 1)) * 1_000], "{text}");
    assert_eq!(of_load[0]["host"], "web-1");
    let end = of_load[0]["ends_ms"].as_i64().expect("it ended");
    assert!(end >= (START + 60 * (RISE + 20)) * 1_000, "{text}");
    assert_eq!(json["counted_from_ms"], (START + 86_400) * 1_000);
    let listed = fs::read_to_string(path("out/alerts.csv")).expect("a file");
    assert_eq!(Some(listed.lines().count() - 1), json["alerts"].as_array().map(Vec::len));
    let page = fs::read_to_string(path("out/index.html")).expect("a file");
    assert!(page.contains("class='alarm'") && page.contains("load{host=") && !page.contains("http"));

    // Rules of a config hold as they do for `run`.
    fs::create_dir_all(path("rules/detect")).expect("a folder");
    fs::write(path("rules/detect/mine.yaml"), "alerts:\n  - {alert: MetricAnomalous, for: 1h}\n").expect("written");
    let config = format!("sources: [{{type: prometheus_remote_write_in}}]\nrules_dir: {}\n", path("rules"));
    fs::write(path("watchbell.yaml"), config).expect("written");
    let said = replay(&["--config", &path("watchbell.yaml"), "--warmup", "1d"]);
    assert!(!said.contains("MetricAnomalous"), "twenty minutes are less than an hour: {said}");
}

#[test]
fn what_can_not_be_replayed_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("good.csv"), csv()).expect("written");
    fs::write(path("bad.csv"), "timestamp,a\n1,2\nx,3\n").expect("written");
    for (words, code, want) in [
        (&["replay"][..], 1, "--prometheus URL"),
        (&["replay", &path("none.csv")], 1, "cannot read"),
        (&["replay", &path("bad.csv")], 1, "bad.csv:3"),
        (
            &["replay", &path("good.csv"), "--start", "2020-01-01T00:00:00Z", "--end", "2019-01-01T00:00:00Z"],
            1,
            "--start",
        ),
        (&["replay", &path("good.csv"), "--start", "soon"], 1, "`soon` is no time"),
        (&["replay", &path("good.csv"), "--end", "2019-01-01T00:00:00Z"], 1, "no samples between"),
        (&["replay", "--prometheus", "nowhere"], 2, "is no address"),
        (&["replay", "--prometheus", "http://127.0.0.1:1"], 1, "http://127.0.0.1:1"),
        (&["replay", &path("good.csv"), "--prometheus", "http://x"], 2, "cannot be used with"),
    ] {
        let done = command(words);
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(code), "{words:?}: {told}");
        assert!(told.contains(want), "{want}: {told}");
    }
}
