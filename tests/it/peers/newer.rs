//! Newer peers than those of the oldest Debian that is supported. `make test-all` makes them by
//! `.ci/slow-peers` and runs these tests; `cargo test` leaves them out.

mod zabbix7;

use std::path::Path;

use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::alertmanager::Alertmanager;
use crate::support::icinga::Icinga;
use crate::support::load;
use crate::support::process::Process;
use crate::support::prom_api;
use crate::support::prometheus::{NodeExporter, Prometheus, Wanted};
use crate::support::wait;
use crate::support::watchbell::{Home, Watchbell};

/// The path of a peer that `.ci/slow-peers` made.
fn peer(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/slow-peers/bin").join(name);
    assert!(path.exists(), "`{}` is missing: `make test-all` makes it, or run .ci/slow-peers", path.display());
    path.display().to_string()
}

fn service(sinks: &str) -> Watchbell {
    let config = "sources: [{type: prometheus_remote_write_in}]\ndetect: {warmup: 10s}\nsinks:\n";
    Home::new(&format!("{config}  - {{type: prometheus_exposition}}\n{sinks}")).start()
}

#[test]
#[ignore = "needs Prometheus 3, see .ci/slow-peers"]
fn prometheus_3_sends_remote_write_2() {
    let (exporter, service) = (NodeExporter::start(), service(""));
    let prometheus = Prometheus::start_program(
        &peer("prometheus3"),
        &Wanted {
            jobs: &[
                ("node", format!("static_configs: [{{targets: ['{}']}}]", exporter.address())),
                (
                    "watchbell",
                    format!(
                        "metrics_path: /scores, honor_labels: true, static_configs: [{{targets: ['{}']}}]",
                        service.address()
                    ),
                ),
            ],
            remote_write: Some(format!(
                "url: '{}', protobuf_message: io.prometheus.write.v2.Request, send_native_histograms: true",
                service.url("/api/v1/write")
            )),
            rules: None,
            words: &["--enable-feature=metadata-wal-records,native-histograms"],
        },
    );
    wait::until("a score in Prometheus", || {
        prom_api::first(prometheus.url(), "watchbell_anomaly_score{metric=\"node_load1\",job=\"node\"}")
    });
    for code in ["400", "413", "415"] {
        let refused = service.metric("watchbell_remote_write_in_requests_total", &[("code", code)]);
        assert_eq!(refused, 0.0, "{}", service.get("/metrics").text);
    }
    // A sender of 2.0 that was not told what was written would count everything as failed.
    let failed = prom_api::query(prometheus.url(), "prometheus_remote_storage_samples_failed_total > 0");
    assert_eq!(failed, Ok(Vec::new()));
}

#[test]
#[ignore = "needs Prometheus 3, see .ci/slow-peers"]
fn prometheus_3_takes_scores() {
    let prometheus = Prometheus::start_program(&peer("prometheus3"), &Wanted::default());
    let sink =
        format!("  - {{type: prometheus_remote_write, url: '{}/api/v1/write', interval: 1s}}\n", prometheus.url());
    takes_scores(&service(&sink), prometheus.url());
}

#[test]
#[ignore = "needs VictoriaMetrics of Debian 13, see .ci/slow-peers"]
fn victoriametrics_takes_scores_and_gives_history() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = peer("victoria13");
    let (_victoria, port) = Process::peer(&program, "victoria-metrics", folder.path(), "/health", |command, port| {
        command.arg(format!("-httpListenAddr=127.0.0.1:{port}")).arg("-storageDataPath=data");
        // By default the newest 30 s are held back from queries.
        command.arg("-search.latencyOffset=0s");
    });
    let url = format!("http://127.0.0.1:{port}");
    let sink = format!("  - {{type: prometheus_remote_write, url: '{url}/api/v1/write', interval: 1s}}\n");
    takes_scores(&service(&sink), &url);

    let begin_ms = SystemClock.now_ms() - 100_000;
    for batch in load::fleet(2, begin_ms, 90) {
        let body = load::compressed(&load::request(&batch));
        let answer = crate::support::http::post(&format!("{url}/api/v1/write"), load::HEADERS, body);
        assert_eq!(answer.expect("an answer").status, 204);
    }
    wait::until("the past to be there", || prom_api::first(&url, "it_queue_length{instance=\"host-1:9100\"}"));
    let warmed = Home::new(&format!(
        "sources: [{{type: prometheus_remote_write_in}}]\ndetect: {{warmup: 10s}}\n\
         history: {{type: prometheus_query, url: '{url}', lookback: 1h}}\n"
    ))
    .start();
    let labels = [("metric", "it_queue_length"), ("instance", "host-1:9100")];
    wait::until("scores from the past", || {
        let ready = warmed.score("watchbell_series_ready", &labels);
        wait::when(ready == Some(1.0), || format!("{ready:?}: {}", warmed.log()))
    });
}

#[test]
#[ignore = "needs Alertmanager of Debian 13, see .ci/slow-peers"]
fn alertmanager_of_debian_13_takes_alerts() {
    let alertmanager = Alertmanager::start_program(&peer("alertmanager28"));
    let service = service(&format!("  - {{type: alertmanager, urls: ['{}']}}\n", alertmanager.url()));
    // Up to now: an alert that begins in the future is repaired.
    for batch in load::fleet(1, SystemClock.now_ms() - 240_000, 240) {
        assert_eq!(service.write(&batch).status, 204);
    }
    let labels = [("alertname", "MetricAnomalous"), ("metric", "it_queue_length")];
    wait::until("the alert", || alertmanager.told("firing", &labels));
    assert_eq!(service.metric("watchbell_alertmanager_repaired_total", &[]), 0.0);
}

#[test]
#[ignore = "needs Icinga 2.14 of Debian 13, see .ci/slow-peers"]
fn icinga_2_14_both_ways() {
    crate::peers::icinga::round_trip(Icinga::start_program(&[&peer("icinga214")]));
}

/// Scores of a load of `service` can be asked for at `url`.
fn takes_scores(service: &Watchbell, url: &str) {
    for batch in load::fleet(1, SystemClock.now_ms() + 1_000, 240) {
        assert_eq!(service.write(&batch).status, 204);
    }
    let expression = "watchbell_anomaly_score{metric=\"it_queue_length\"}";
    let point = wait::until("the score", || prom_api::first(url, expression));
    assert!(point.value > 1.0, "{point:?}");
    service.metric_until("watchbell_remote_write_pending_samples", &[], |pending| pending == 0.0);
    assert_eq!(service.metric("watchbell_remote_write_dropped_total", &[]), 0.0);
}
