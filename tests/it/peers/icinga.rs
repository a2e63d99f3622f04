//! Icinga 2: the event stream, PerfdataWriter and Livestatus in, verdicts back by its API and its command file.

use std::time::Duration;

use serde_json::json;
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::icinga::{HOST, Icinga, PASSWORD};
use crate::support::load::Noise;
use crate::support::nagios::ODD_LABELS;
use crate::support::wait;
use crate::support::watchbell::{Home, Watchbell};

#[test]
fn events_come_in_and_verdicts_go_back() {
    round_trip(Icinga::start());
}

/// One turn of the level that Icinga checks, with some noise.
fn turn(icinga: &Icinga, level: f64, noise: &mut Noise) {
    icinga.level(level + 2.0 * noise.next());
}

fn ready(service: &Watchbell, labels: &[(&str, &str)]) -> Option<f64> {
    service.score("watchbell_series_ready", labels)
}

/// Waits until an entry of `/api/v1/<what>` has all of these in it.
pub(crate) fn told(service: &Watchbell, what: &str, parts: &[&str]) {
    wait::until(what, || {
        let text = service.get(&format!("/api/v1/{what}?source={}&limit=10000", parts[0])).text;
        let all: serde_json::Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        let entries = all["data"].as_array().cloned().unwrap_or_default();
        let found = entries.iter().any(|entry| parts.iter().all(|part| entry.to_string().contains(part)));
        wait::when(found, || format!("{parts:?} in {text}; {}", service.log()))
    });
}

/// All ways in and out of one Icinga.
pub(crate) fn round_trip(mut icinga: Icinga) {
    let path = |name: &str| icinga.path(name).display().to_string();
    let (url, certs) = (icinga.url(), path("lib/certs"));
    let pinned = icinga.fingerprint();
    let auth = |user: &str, password: &str| format!("basic_auth: {{username: {user}, password: {password}}}");
    let ca = format!("tls: {{ca_file: '{certs}/ca.crt'}}");
    let by_certificate = format!(
        "tls: {{pinned_sha256: '{pinned}', cert_file: '{certs}/watchbell.crt', key_file: '{certs}/watchbell.key'}}"
    );
    let other_pin = format!("tls: {{pinned_sha256: '{}'}}", "0f".repeat(32));
    let home = Home::new(&format!(
        "sources:
  - {{type: icinga_events, url: '{url}', http: {{{watchbell}, {ca}}}, refresh: 10s}}
  - {{type: icinga_events, name: certificate, url: '{url}', http: {{{by_certificate}}}, queue: second, labels: {{way: certificate}}}}
  - {{type: icinga_events, name: wrong, url: '{url}', http: {{{wrong}, {ca}}}, labels: {{way: wrong}}}}
  - {{type: icinga_events, name: poor, url: '{url}', http: {{{poor}, {ca}}}, labels: {{way: poor}}}}
  - {{type: icinga_events, name: other, url: '{url}', http: {{{watchbell}, {other_pin}}}, labels: {{way: other}}}}
  - {{type: nagios_perfdata, spools: ['{spool}'], interval: 200ms, labels: {{way: spool}}}}
  - {{type: nagios_livestatus, socket: '{live}', interval: 1s, refresh: 2s, labels: {{way: livestatus}}}}
detect: {{warmup: 10s}}
sinks:
  - {{type: prometheus_exposition}}
  - type: icinga_api
    name: api
    url: '{url}'
    http: {{{watchbell}, {ca}}}
    results: {{per_service: 'anomaly {{service}}', interval: 1s, heartbeat: 5s}}
  - type: icinga_api
    name: closed
    url: '{url}'
    http: {{{watchbell}, {ca}}}
    results: {{service: closed, interval: 1s, heartbeat: 5s}}
  - type: nagios_command_file
    path: '{command}'
    results: {{service: by command, interval: 1s, heartbeat: 5s}}
",
        watchbell = auth("watchbell", PASSWORD),
        wrong = auth("watchbell", "hunter2"),
        poor = auth("poor", PASSWORD),
        spool = path("spool/perfdata"),
        live = path("cmd/livestatus"),
        command = path("cmd/icinga2.cmd"),
    ));
    let service = home.start();
    let mut noise = Noise(17);

    // By the stream, twice, by the files of PerfdataWriter, and by Livestatus.
    for labels in [
        &[("metric", "nagios_perfdata"), ("service", "load"), ("label", "load1"), ("command", "load")][..],
        &[("metric", "nagios_perfdata"), ("service", "level"), ("way", "certificate")],
        &[("metric", "nagios_perfdata"), ("service", "icinga"), ("label", "avg_execution_time")],
        &[("metric", "nagios_service_state"), ("service", "level"), ("way", "livestatus")],
        &[("metric", "nagios_perfdata"), ("service", "level"), ("label", "level"), ("way", "livestatus")],
        &[("metric", "nagios_perfdata"), ("service", "level"), ("label", "level"), ("way", "spool")],
        &[("metric", "nagios_service_state"), ("service", "level")],
        &[("metric", "nagios_host_state")],
    ] {
        wait::until("series of Icinga", || {
            turn(&icinga, 100.0, &mut noise);
            let labels: Vec<_> = labels.iter().copied().chain([("host", HOST)]).collect();
            ready(&service, &labels).map(drop).ok_or_else(|| format!("{labels:?}; {}", service.log()))
        });
    }
    // All of them have what a plugin printed on a later line; to Icinga what follows it without a `|` is text.
    for way in ["livestatus", "spool", "certificate"] {
        wait::until("what an odd plugin printed", || {
            let odd = [("metric", "nagios_perfdata"), ("service", "odd"), ("host", HOST), ("way", way)];
            let labels = [&odd[..], ODD_LABELS[0]].concat();
            ready(&service, &labels).map(drop).ok_or_else(|| format!("{labels:?} in {}", service.get("/scores").text))
        });
    }
    // Who is not let in is told why, and no password shows.
    for wanted in [
        "`http.basic_auth` is wrong",
        "has the ApiUser the permission?",
        "is not the one that `tls.pinned_sha256` names",
    ] {
        wait::until("a refusal", || {
            wait::when(service.log().contains(wanted), || format!("{wanted}; {}", service.log()))
        });
    }
    assert!(!service.log().contains("hunter2"));

    // A result by both ways: nothing is unusual, or nothing is known yet.
    for name in ["Anomaly", "anomaly level", "by command"] {
        let (state, output) = wait::until("a result in Icinga", || {
            turn(&icinga, 100.0, &mut noise);
            icinga.service(name).map_err(|error| format!("{error}; {}", service.log()))
        });
        assert!(state == 0 && output.starts_with("ANOMALY OK - "), "{name}: {state} {output}");
        assert!(output.contains("watchbell_series="), "{name}: {output}");
    }
    let refused = |reason: &str, sink: &str| {
        service.metric("watchbell_icinga_refused_results_total", &[("sink", sink), ("reason", reason)])
    };
    wait::until("a refused result", || wait::when(refused("refused", "closed") > 0.0, || service.log()));
    // The other services of the host have none of the name.
    wait::until("unknown services", || wait::when(refused("unknown", "api") > 0.0, || service.log()));
    assert!(service.log().contains("`web-1!anomaly "), "{}", service.log());

    // Something happens, and Icinga is told.
    let level = [("metric", "nagios_perfdata"), ("service", "level"), ("label", "level"), ("command", "level")];
    wait::until("the level to be ready", || {
        turn(&icinga, 100.0, &mut noise);
        let (all, ready) = (service.score("watchbell_series_ready", &level), service.log());
        wait::when(all.is_some_and(|all| all >= 1.0), || format!("{all:?}; {ready}"))
    });
    let (_, output) = wait::within(Duration::from_secs(60), "an anomaly in Icinga", || {
        turn(&icinga, 1_000.0, &mut noise);
        icinga.service("anomaly level").and_then(|(state, output)| {
            wait::when(matches!(state, 1 | 2), || format!("{state} {output}"))?;
            Ok((state, output))
        })
    });
    assert!(output.contains("level level ") && output.contains("watchbell_score="), "{output}");
    // Results of Watchbell's own are never read back.
    let scores = service.get("/scores").text;
    assert!(!scores.contains("by command") && !scores.contains("anomaly level"), "{scores}");

    // Acknowledged and in a downtime: both are told, by the stream and by Livestatus.
    let now_s = SystemClock.now_ms() / 1_000;
    let about = json!({
        "type": "Service", "service": format!("{HOST}!broken"), "author": "ada", "comment": "known", "start_time": now_s - 5,
        "end_time": now_s + 3_600
    });
    for action in ["acknowledge-problem", "schedule-downtime"] {
        icinga.api("POST", &format!("/v1/actions/{action}"), Some(&about)).expect(action);
    }
    for kind in ["AcknowledgementSet", "DowntimeAdded"] {
        service
            .metric_until("watchbell_icinga_events_total", &[("source", "icinga_events"), ("type", kind)], |n| n > 0.0);
    }
    for source in ["icinga_events", "nagios_livestatus"] {
        told(&service, "windows", &[source, "broken", "downtime by ada: known", "active"]);
        told(&service, "problems", &[source, "broken", "\"acknowledged\":true"]);
        told(&service, "limits", &[source, "level level warn", "900"]);
    }
    told(&service, "limits", &["nagios_perfdata", "level level crit", "5000"]);

    // Icinga is away for a while: nobody waits, and everything goes on afterwards.
    let failures = || service.metric("watchbell_nagios_result_failures_total", &[("sink", "api")]);
    let sent = service.metric("watchbell_nagios_results_total", &[("sink", "api")]);
    let reads = service.metric("watchbell_icinga_reads_total", &[("source", "icinga_events")]);
    let before = failures();
    icinga.stop();
    wait::until("failures while Icinga is away", || wait::when(failures() > before, || service.log()));
    service.metric_until("watchbell_icinga_connected", &[("source", "icinga_events")], |n| n == 0.0);
    icinga.run();
    service.metric_until("watchbell_nagios_results_total", &[("sink", "api")], |n| n > sent);
    service.metric_until("watchbell_icinga_connected", &[("source", "icinga_events")], |n| n == 1.0);
    service.metric_until("watchbell_icinga_reads_total", &[("source", "icinga_events")], |n| n > reads);
    assert!(service.stop().success());
}
