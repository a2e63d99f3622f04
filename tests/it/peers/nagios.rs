//! Nagios 4 and NSCA: performance data by file and spool, states, and verdicts back by every way in.

use std::fmt::Write;
use std::time::Duration;

use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use super::icinga::told;
use crate::support::load::Noise;
use crate::support::nagios::{HOST, Nagios, ODD_LABELS};
use crate::support::wait;
use crate::support::watchbell::{Home, Watchbell};

/// Methods of NSCA by the words of the config.
const METHODS: [(u8, &str); 8] = [
    (0, "none"),
    (1, "xor"),
    (2, "des"),
    (3, "3des"),
    (4, "cast128"),
    (8, "blowfish"),
    (9, "twofish"),
    (14, "rijndael128"),
];

/// One turn of the level that Nagios checks, with some noise.
fn turn(nagios: &Nagios, level: f64, noise: &mut Noise) {
    nagios.level(level + 2.0 * noise.next());
}

fn ready(service: &Watchbell, labels: &[(&str, &str)]) -> Option<f64> {
    service.score("watchbell_series_ready", labels)
}

#[test]
fn performance_data_come_in_and_verdicts_go_back() {
    let mut passive: Vec<String> = ["by command", "by file", "level anomaly"].map(str::to_owned).to_vec();
    passive.extend(METHODS.iter().map(|(_, word)| format!("nsca {word}")));
    passive.push("nsca wrong".to_owned());
    let mut nagios = Nagios::start(&passive);
    let path = |name: &str| nagios.path(name).display().to_string();
    let mut config = format!(
        "sources:
  - {{type: nagios_perfdata, files: ['{}'], spools: ['{}'], interval: 200ms}}
  - {{type: nagios_status, path: '{}', interval: 1s}}
detect: {{warmup: 10s}}
sinks:
  - {{type: prometheus_exposition}}
  - type: nagios_command_file
    name: command
    path: '{}'
    results: {{service: by command, per_service: '{{service}} anomaly', interval: 1s, heartbeat: 5s}}
  - {{type: nagios_check_results, path: '{}', results: {{service: by file, interval: 1s, heartbeat: 5s}}}}
",
        path("service-perfdata"),
        path("spool"),
        path("status.dat"),
        path("rw/nagios.cmd"),
        path("results"),
    );
    let mut daemons = Vec::new();
    for (method, word) in METHODS {
        let (daemon, address) = nagios.nsca(method, "s3cret pass");
        if word == "xor" {
            let results = "{service: nsca wrong, interval: 1s, heartbeat: 1s}";
            writeln!(
                config,
                "  - {{type: nagios_nsca, name: wrong, address: '{address}', password: other, results: {results}}}"
            )
            .expect("written");
        }
        let results = format!("{{service: nsca {word}, interval: 1s, heartbeat: 5s}}");
        writeln!(
            config,
            "  - {{type: nagios_nsca, name: nsca-{word}, address: '{address}', encryption: {word}, \
             password: s3cret pass, results: {results}}}"
        )
        .expect("written");
        daemons.push(daemon);
    }
    let home = Home::new(&config);
    let service = home.start();
    let mut noise = Noise(11);

    // By file, by spool, and by the status file.
    for labels in [
        &[("metric", "nagios_perfdata"), ("service", "load"), ("label", "load1")][..],
        &[("metric", "nagios_perfdata"), ("service", "disk /"), ("label", "/"), ("unit", "bytes")],
        &[("metric", "nagios_perfdata"), ("label", "rta"), ("command", "check_alive"), ("unit", "seconds")],
        &[("metric", "nagios_service_state"), ("service", "level")],
        &[("metric", "nagios_host_state")],
    ] {
        wait::until("series of Nagios", || {
            turn(&nagios, 100.0, &mut noise);
            let labels: Vec<_> = labels.iter().copied().chain([("host", HOST)]).collect();
            ready(&service, &labels).map(drop).ok_or_else(|| format!("{labels:?}; {}", service.log()))
        });
    }

    // All that a plugin printed on several lines, in odd words.
    for labels in ODD_LABELS {
        wait::until("what an odd plugin printed", || {
            let odd = [("metric", "nagios_perfdata"), ("service", "odd"), ("host", HOST)];
            let labels = [&odd[..], labels].concat();
            ready(&service, &labels).map(drop).ok_or_else(|| format!("{labels:?} in {}", service.get("/scores").text))
        });
    }

    // A result by every way: nothing is unusual, or nothing is known yet.
    for name in passive.iter().filter(|name| *name != "nsca wrong") {
        let (state, output) = wait::until("a result in the status file", || {
            turn(&nagios, 100.0, &mut noise);
            nagios.service(name)
        });
        assert!(state == 0 && output.starts_with("ANOMALY OK - "), "{name}: {state} {output}");
        assert!(output.contains("watchbell_series="), "{name}: {output}");
    }
    service.metric_until("watchbell_nagios_result_failures_total", &[("sink", "wrong")], |n| n > 0.0);
    assert!(nagios.service("nsca wrong").is_err());
    assert!(service.log().contains("password"), "{}", service.log());

    // Something happens, and Nagios is told.
    let level = [("metric", "nagios_perfdata"), ("service", "level"), ("label", "level")];
    wait::until("the level to be ready", || {
        turn(&nagios, 100.0, &mut noise);
        let ready = ready(&service, &level);
        wait::when(ready == Some(1.0), || format!("{ready:?}; {}", service.log()))
    });
    let (_, output) = wait::within(Duration::from_secs(60), "an anomaly in the status file", || {
        turn(&nagios, 1_000.0, &mut noise);
        nagios.service("level anomaly").and_then(|(state, output)| {
            wait::when(matches!(state, 1 | 2), || format!("{state} {output}"))?;
            Ok((state, output))
        })
    });
    assert!(output.contains("level level ") && output.contains("watchbell_score="), "{output}");

    // Results of Watchbell's own are never read back, and nothing of Nagios was refused.
    let scores = service.get("/scores").text;
    assert!(!scores.contains("by command") && !scores.contains("level anomaly"), "{scores}");
    assert_eq!(service.metric("watchbell_nagios_bad_lines_total", &[]), 0.0);
    assert_eq!(service.metric("watchbell_nagios_bad_perfdata_total", &[]), 0.0);

    // What people say in Nagios is told: a downtime, an acknowledged problem, thresholds.
    let now_s = SystemClock.now_ms() / 1_000;
    nagios.command(&format!("SCHEDULE_HOST_DOWNTIME;{HOST};{now_s};{};1;0;60;ada;disk swap", now_s + 3_600));
    nagios.command(&format!("ACKNOWLEDGE_SVC_PROBLEM;{HOST};broken;1;0;0;ada;known"));
    told(&service, "windows", &["nagios_status", HOST, "downtime by ada: disk swap", "active"]);
    told(&service, "problems", &["nagios_status", "broken: CRITICAL: BROKEN", "\"acknowledged\":true"]);
    told(&service, "limits", &["nagios_perfdata", "load load1 warn", "50"]);

    // Nagios is away for a while: nobody waits, and everything goes on afterwards.
    let failures = || service.metric("watchbell_nagios_result_failures_total", &[("sink", "command")]);
    let (before, sent) = (failures(), service.metric("watchbell_nagios_results_total", &[("sink", "command")]));
    nagios.stop();
    wait::until("failures while Nagios is away", || wait::when(failures() > before, || service.log()));
    nagios.run();
    service.metric_until("watchbell_nagios_results_total", &[("sink", "command")], |n| n > sent);
    assert!(service.stop().success());
    drop(daemons);
}
