//! A monitoring server whose clock is more than ten minutes off: it is said and counted, nothing stops, and once the clock
//! is set right everything goes on.

use std::fs::File;
use std::io::Write;

use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::wait;
use crate::support::watchbell::Home;

/// More than ten minutes.
const OFF_S: i64 = 660;

#[test]
fn a_clock_that_is_eleven_minutes_off_is_said_and_stops_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (perfdata, export) = (folder.path().join("perfdata"), folder.path().join("history-1.ndjson"));
    let service = Home::new(&format!(
        "detect: {{warmup: 5s}}\nsinks: [{{type: prometheus_exposition}}]\nsources:\n  \
         - {{type: nagios_perfdata, files: ['{}'], interval: 100ms}}\n  \
         - {{type: zabbix_export, folders: ['{}'], from_start: true, interval: 100ms}}\n",
        perfdata.display(),
        folder.path().display()
    ))
    .start();
    let write = |label: &str, off_s: i64, value: i64| {
        let at_s = SystemClock.now_ms() / 1_000 + off_s;
        let nagios = format!("[SERVICEPERFDATA]\t{at_s}\tweb-1\tall\t0.1\t0.1\tOK\t{label}={value}\n");
        let zabbix = format!(
            "{{\"host\":{{\"host\":\"web-2\",\"name\":\"\"}},\"itemid\":{},\"name\":\"{label}\",\"clock\":{at_s},\"ns\":0,\"value\":{value},\"type\":0}}\n",
            label.len()
        );
        for (path, line) in [(&perfdata, nagios), (&export, zabbix)] {
            let mut file = File::options().create(true).append(true).open(path).expect("opened");
            file.write_all(line.as_bytes()).expect("written");
        }
    };
    // All of these in one line of the log.
    let said = |parts: &[&str]| {
        wait::until("a line of the log", || {
            let log = service.log();
            let found = log.lines().any(|line| parts.iter().all(|part| line.contains(part)));
            wait::when(found, || format!("{parts:?} in {log}"))
        });
    };
    let value = |metric: &str, label: (&str, &str)| service.score("watchbell_value", &[("metric", metric), label]);

    write("ahead", OFF_S, 1);
    for host in ["web-1", "web-2"] {
        said(&["WARN", "too far in the future", host, "ahead", "set both by NTP"]);
    }
    service.metric_until("watchbell_samples_dropped_total", &[("reason", "future")], |n| n == 2.0);
    write("behind", -OFF_S, 2);
    said(&["INFO", "values of long ago", "the clock of the monitoring server is behind"]);
    said(&["INFO", "values of long ago", "the clock of Zabbix is behind"]);

    // Set right.
    for label in ["ahead", "behind"] {
        (0..30).rev().for_each(|ago| write(label, -ago, ago + 3));
        for (metric, named) in [("nagios_perfdata", "label"), ("zabbix_item", "item")] {
            wait::until("the value of now", || {
                let value = value(metric, (named, label));
                wait::when(value == Some(3.0), || format!("{metric} {label}: {value:?}; {}", service.log()))
            });
        }
    }
    assert_eq!(service.metric("watchbell_samples_dropped_total", &[("reason", "future")]), 2.0);
    assert_eq!(service.metric("watchbell_panics_total", &[]), 0.0);
    assert!(service.stop().success());
}
