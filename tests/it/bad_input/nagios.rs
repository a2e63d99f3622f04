//! What Nagios and its plugins write wrong: each is named with its host or line, and nothing beside it is lost.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::wait;
use crate::support::watchbell::{Home, Watchbell};

fn line(perfdata: &[u8]) -> Vec<u8> {
    let now_s = SystemClock.now_ms() / 1_000;
    [format!("[SERVICEPERFDATA]\t{now_s}\tweb-1\tall\t0.1\t0.1\tOK\t").as_bytes(), perfdata, b"\n"].concat()
}

/// Waits for a line of the log with all of these in it.
fn said(service: &Watchbell, parts: &[&str]) {
    wait::until("a line of the log", || {
        let log = service.log();
        let found = log.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        wait::when(found, || format!("{parts:?} in {log}"))
    });
}

fn known(service: &Watchbell, label: &str) {
    wait::until("a series", || {
        let found = service.score("watchbell_series_ready", &[("metric", "nagios_perfdata"), ("label", label)]);
        found.map(drop).ok_or_else(|| format!("{label}; {}", service.log()))
    });
}

#[test]
fn what_nagios_writes_wrong_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (perfdata, pipe) = (folder.path().join("service-perfdata"), folder.path().join("nagios.cmd"));
    // A pipe that nobody reads, and one whose reader never reads, which the test fills.
    let full = folder.path().join("full.cmd");
    for path in [&pipe, &full] {
        assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
    }
    let mut held = File::options().read(true).write(true).open(&full).expect("opened");
    held.write_all(&[b'\n'; 65_536]).expect("filled");
    let mut file = File::options().create(true).append(true).open(&perfdata).expect("a file");
    file.write_all(&line(b"before=1 stra\xdfe=2 junk after=3")).expect("written");
    file.write_all(b"no line of Nagios\n").expect("written");
    let whole = line(b"halved=4");
    file.write_all(&whole[..20]).expect("written");

    let results = "results: {interval: 1s, heartbeat: 1s}";
    let service = Home::new(&format!(
        "sources: [{{type: nagios_perfdata, files: ['{}'], interval: 100ms}}]\ndetect: {{warmup: 10s}}\nsinks:\n  \
         - {{type: prometheus_exposition}}\n  - {{type: nagios_command_file, name: nobody, path: '{}', {results}}}\n  \
         - {{type: nagios_command_file, name: full, path: '{}', {results}}}\n",
        perfdata.display(),
        pipe.display(),
        full.display()
    ))
    .start();
    for label in ["before", "straße", "after"] {
        known(&service, label);
    }
    said(&service, &["WARN", "web-1", "all", "junk"]);
    said(&service, &["WARN", "service-perfdata", "at_byte", "no line of Nagios"]);
    // The rest of the line comes: it was waited for.
    file.write_all(&whole[20..]).expect("written");
    known(&service, "halved");
    assert_eq!(service.metric("watchbell_nagios_bad_lines_total", &[]), 1.0, "{}", service.log());

    // Truncated under the reader, with half a line lost.
    file.write_all(b"[SERVICEPERFDATA]\t17").expect("written");
    fs::write(&perfdata, line(b"anew=5")).expect("written");
    known(&service, "anew");
    said(&service, &["service-perfdata", "truncated"]);

    // Neither pipe holds anything up, and each is named.
    said(&service, &["WARN", "nagios.cmd", "nobody reads"]);
    said(&service, &["WARN", "full.cmd", "full"]);
    for sink in ["nobody", "full"] {
        service.metric_until("watchbell_nagios_result_failures_total", &[("sink", sink)], |n| n > 1.0);
    }
    assert!(service.stop().success());
}
