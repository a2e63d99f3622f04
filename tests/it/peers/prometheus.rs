//! Prometheus and its family: remote write in and out, scores scraped back, alerts, warm start, vmagent.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::alertmanager::Alertmanager;
use crate::support::load::{self, Noise, Series};
use crate::support::process::Process;
use crate::support::prom_api;
use crate::support::prometheus::{NodeExporter, Prometheus, Wanted};
use crate::support::wait;
use crate::support::watchbell::{Home, Watchbell, command};

/// The metric of the tests that bring their own samples.
const QUEUE: &str = "it_queue_length";

/// Datagrams that this machine receives, as its kernel counts them and node_exporter tells it. Of all that it tells
/// this is the most certain: whatever else runs beside the test sends next to none, and a flood of them stands out
/// however little of a core the test gets.
const LOAD: &str = "node_netstat_Udp_InDatagrams";
/// Bytes of a datagram.
const DATAGRAM: usize = 1_024;

/// Traffic from this machine to itself, by a thread of its own: some at first, and as much as a core can do while it
/// is a flood.
#[derive(Debug, Default)]
struct Traffic {
    flood: AtomicBool,
    done: AtomicBool,
}

impl Traffic {
    /// Sends until the test is over, for whatever reason.
    fn run(&self) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        // Nothing is lost on this way; should it be, the next one goes.
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("set");
        let to = socket.local_addr().expect("an address");
        let mut bytes = [7; DATAGRAM];
        while !self.done.load(Ordering::Relaxed) {
            socket.send_to(&bytes, to).expect("sent");
            let _ = socket.recv(&mut bytes);
            if !self.flood.load(Ordering::Relaxed) {
                wait::pause(Duration::from_millis(20));
            }
        }
    }

    fn flood(&self, on: bool) {
        self.flood.store(on, Ordering::Relaxed);
    }
}

/// Ends the threads of a test when it ends, also when it fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn ready(service: &Watchbell, labels: &[(&str, &str)]) {
    wait::until("the series to be ready", || {
        let ready = service.score("watchbell_series_ready", labels);
        wait::when(ready == Some(1.0), || format!("{labels:?}: {ready:?}; {}", service.log()))
    });
}

/// An alert ends soon after its series is normal again, so that a test sees the end of it.
fn quick_rules(folder: &Path) -> String {
    let rules = folder.join("rules");
    fs::create_dir_all(rules.join("detect")).expect("a folder");
    let text = "alerts:\n  - {alert: MetricAnomalous, keep_firing_for: 2s}\n";
    fs::write(rules.join("detect/quick.yaml"), text).expect("written");
    rules.display().to_string()
}

#[test]
fn a_load_shows_in_prometheus_and_fires_in_alertmanager() {
    let (alertmanager, exporter) = (Alertmanager::start(), NodeExporter::start());
    let home = Home::new("");
    home.configure(&format!(
        "sources: [{{type: prometheus_remote_write_in}}]\nsinks:\n  - {{type: prometheus_exposition}}\n  \
         - {{type: alertmanager, urls: ['{}']}}\ndetect: {{warmup: 10s}}\nrules_dir: {}\n\
         alerting: {{max_per_host: 100}}\n",
        alertmanager.url(),
        quick_rules(home.path())
    ));
    let service = home.start();
    let traffic = Traffic::default();
    let over = Ending(&traffic.done);
    std::thread::scope(|scope| {
        // Moved in, so that a failure in here ends the thread before the scope waits for it.
        let _over = over;
        scope.spawn(|| traffic.run());
        let prometheus = Prometheus::start(&Wanted {
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
            remote_write: Some(format!("url: '{}'", service.url("/api/v1/write"))),
            rules: None,
            words: &[],
        });
        let labels = [("metric", LOAD), ("job", "node"), ("instance", exporter.address())];
        ready(&service, &labels);
        let score = format!("watchbell_anomaly_score{{metric=\"{LOAD}\",job=\"node\"}}");
        let calm = wait::until("a score in Prometheus", || prom_api::first(prometheus.url(), &score));
        assert!(calm.value < 1.0, "{calm:?}");
        assert_eq!(calm.label("instance"), exporter.address(), "labels of the input are honoured: {calm:?}");
        assert_eq!(service.metric("watchbell_samples_dropped_total", &[("reason", "conflict")]), 0.0);

        traffic.flood(true);
        let loud = wait::within(Duration::from_secs(30), "a score over 1", || {
            let point = prom_api::first(prometheus.url(), &score)?;
            wait::when(point.value > 1.0, || format!("{point:?}")).map(|()| point)
        });
        let labels = [("alertname", "MetricAnomalous"), ("metric", LOAD), ("job", "node")];
        let fired = wait::until("the alert", || alertmanager.told("firing", &labels));
        assert_eq!(alertmanager.firing(&labels).expect("answers").len(), 1);
        assert_eq!(fired["labels"]["instance"], exporter.address(), "{fired}");
        assert!(fired["annotations"]["summary"].as_str().is_some_and(|text| text.contains(LOAD)), "{fired}");
        let others = "topk(5, max by (metric) (watchbell_anomaly_score{metric=~\"node_.*\"}))";
        eprintln!("{LOAD} {}; the machine: {:?}", loud.value, prom_api::query(prometheus.url(), others));

        traffic.flood(false);
        wait::until("the end of the alert", || alertmanager.told("resolved", &labels));
        drop(prometheus);
    });
}

/// A gauge with noise, a sample every 15 s over `minutes` up to now, and a spike in the middle of it.
fn past(minutes: i64) -> (i64, Vec<Series>) {
    let (mut noise, now_ms) = (Noise(3), SystemClock.now_ms());
    let begin_ms = now_ms - minutes * 60_000;
    let sample = |n: i64| {
        let spike = if n == minutes * 2 { 500.0 } else { 0.0 };
        (begin_ms + n * 15_000, 100.0 + spike + 2.0 * noise.next())
    };
    let samples: Vec<_> = (0..minutes * 4).map(sample).collect();
    let labels = [("__name__", QUEUE), ("instance", "past:1"), ("job", "past")];
    (now_ms, samples.chunks(20).map(|chunk| Series::new(&labels, chunk)).collect())
}

#[test]
fn history_is_read_back_once_prometheus_answers() {
    let prometheus = Prometheus::start(&Wanted::default());
    let (now_ms, past) = past(40);
    past.into_iter().for_each(|series| prometheus.write(&[series]));
    let home = Home::new(&format!(
        "sources: [{{type: prometheus_remote_write_in}}]\n\
         history: {{type: prometheus_query, url: '{}', lookback: 2h, timeout: 1s}}\n",
        prometheus.url()
    ));
    prometheus.freeze();
    let service = home.start();
    service.metric_until("watchbell_prometheus_history_failures_total", &[], |failures| failures >= 1.0);
    assert_eq!(service.metric("watchbell_warm_start_samples_total", &[]), 0.0);
    prometheus.thaw();
    service.metric_until("watchbell_warm_start_progress", &[], |share| share == 1.0);
    service.metric_until("watchbell_warm_start_samples_total", &[], |samples| samples >= 160.0);
    let labels = [("metric", QUEUE), ("job", "past")];
    assert_eq!(service.score("watchbell_series_ready", &labels), Some(1.0), "ready without a single live sample");
    let pairs = [("__name__", QUEUE), ("instance", "past:1"), ("job", "past")];
    let series = |at: i64, value: f64| [Series::new(&pairs, &[(now_ms + at * 15_000, value)])];
    assert_eq!(service.write(&series(0, 100.5)).status, 204);
    let calm = service.score("watchbell_anomaly_score", &labels);
    assert!(calm < Some(1.0), "{calm:?}");
    assert_eq!(service.write(&series(1, 900.0)).status, 204);
    let loud = service.score("watchbell_anomaly_score", &labels);
    assert!(loud > Some(1.0), "{loud:?}");
    assert!(!service.log().contains("change=\"firing\""), "the past is no news: {}", service.log());
}

#[test]
fn history_of_prometheus_is_replayed() {
    let prometheus = Prometheus::start(&Wanted::default());
    let (mut noise, end_ms) = (Noise(4), SystemClock.now_ms());
    let begin_ms = end_ms - 40 * 60_000;
    let mut series = |name: &str, up: f64| {
        let sample = |n: i64| {
            let up = if (120..128).contains(&n) { up } else { 0.0 };
            (begin_ms + n * 15_000, 100.0 + up + 2.0 * noise.next())
        };
        let samples: Vec<_> = (0..160).map(sample).collect();
        Series::new(&[("__name__", name), ("instance", "past:1"), ("job", "past")], &samples)
    };
    prometheus.write(&[series(QUEUE, 500.0), series("it_other", 500.0)]);
    let out = tempfile::tempdir().expect("a folder");
    let (folder, selector) = (out.path().display().to_string(), format!("{{__name__=\"{QUEUE}\"}}"));
    let words = ["replay", "--prometheus", prometheus.url(), "--match", &selector, "--start", "1h", "--out", &folder];
    let done = command(&words);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(said.contains("1 is judged, on 1 host.") && said.contains("160 samples"), "{said}");
    let text = fs::read_to_string(out.path().join("replay.json")).expect("a file");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let alerts = json["alerts"].as_array().expect("alerts");
    let rise = alerts.iter().find(|alert| alert["labels"]["metric"] == QUEUE).expect("the rise fires an alert");
    assert_eq!((&rise["rule"], &rise["host"]), (&"MetricAnomalous".into(), &"past".into()), "{text}");
    let start = rise["starts_ms"].as_i64().expect("a time");
    assert_eq!(start, begin_ms + 121 * 15_000, "its second sample, in the time of the samples");
}

#[test]
fn scores_are_written_into_prometheus() {
    let prometheus = Prometheus::start(&Wanted::default());
    let service = Home::new(&format!(
        "sources: [{{type: prometheus_remote_write_in}}]\ndetect: {{warmup: 10s}}\n\
         sinks:\n  - {{type: prometheus_exposition}}\n  \
         - {{type: prometheus_remote_write, url: '{}/api/v1/write', interval: 1s, external_labels: {{by: it}}}}\n",
        prometheus.url()
    ))
    .start();
    // What is older than the sink was sent by the one before it.
    let begin_ms = SystemClock.now_ms() + 1_000;
    for batch in load::fleet(1, begin_ms, 240) {
        assert_eq!(service.write(&batch).status, 204);
    }
    let expression = format!("watchbell_anomaly_score{{metric=\"{QUEUE}\"}}");
    let point = wait::until("the score", || prom_api::first(prometheus.url(), &expression));
    assert_eq!((point.label("instance"), point.label("by")), ("host-0:9100", "it"));
    let here = service.score("watchbell_anomaly_score", &[("metric", QUEUE)]);
    assert_eq!(Some(point.value as f32), here.map(|score| score as f32));
    assert!(point.value > 1.0, "{point:?}");
    service.metric_until("watchbell_remote_write_pending_samples", &[], |pending| pending == 0.0);
    assert_eq!(service.metric("watchbell_remote_write_dropped_total", &[]), 0.0);

    // The marker by which a series ends, after the last sample.
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let pairs = [("__name__", QUEUE), ("instance", "host-0:9100"), ("job", "it")];
    assert_eq!(service.write(&[Series::new(&pairs, &[(begin_ms + 241_000, stale)])]).status, 204);
    wait::until("the end of the score", || {
        let points = prom_api::query(prometheus.url(), &expression)?;
        wait::when(points.is_empty(), || format!("{points:?}"))
    });
}

#[test]
fn vmagent_sends_too() {
    let exporter = NodeExporter::start();
    let service = Home::new("sources: [{type: prometheus_remote_write_in}]\ndetect: {warmup: 5s}\n").start();
    exporter.serve(&format!("# TYPE {QUEUE} gauge\n{QUEUE} 1\n"));
    let folder = tempfile::tempdir().expect("a folder");
    let scrape = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs: [{{job_name: node, static_configs: [{{targets: ['{}']}}]}}]\n",
        exporter.address()
    );
    fs::write(folder.path().join("scrape.yml"), scrape).expect("written");
    let to = service.url("/api/v1/write");
    let (_vmagent, _) = Process::peer("vmagent", "victoria-metrics", folder.path(), "/health", |command, port| {
        command.arg(format!("-httpListenAddr=127.0.0.1:{port}")).arg("-promscrape.config=scrape.yml");
        command.arg(format!("-remoteWrite.url={to}")).arg("-remoteWrite.tmpDataPath=queue");
        command.args(["-remoteWrite.label=agent=vmagent", "-remoteWrite.flushInterval=1s"]);
    });
    wait::until("series of vmagent", || {
        let labels = [("metric", "node_load1"), ("agent", "vmagent")];
        let series = service.score("watchbell_series_ready", &labels);
        wait::when(series.is_some(), || service.get("/metrics").text)
    });
    let refused = service.metric("watchbell_remote_write_in_requests_total", &[("code", "400")]);
    assert_eq!(refused, 0.0, "{}", service.get("/metrics").text);
}
