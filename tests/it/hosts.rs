//! Whole hosts: one whose series change together is told of with the series it comes from, and what was
//! learned of hosts survives a kill.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::load::{Noise, Series};
use crate::support::server::Inbox;
use crate::support::wait;
use crate::support::watchbell::{Home, Watchbell, sum};

const HOSTS: usize = 6;
const METRICS: [&str; 6] = ["it_cpu", "it_load", "it_requests", "it_connections", "it_fan", "it_humidity"];
/// Metrics of host 2 that change together.
const MAD: usize = 4;
const STEP: Duration = Duration::from_millis(100);

/// What all hosts show now.
fn step(noise: &mut Noise, mad: bool) -> Vec<Series> {
    let now_ms = SystemClock.now_ms();
    let mut batch = Vec::new();
    for host in 0..HOSTS {
        for (at, metric) in METRICS.iter().enumerate() {
            let usual = 50.0 + 10.0 * at as f64 + 2.0 * noise.next();
            let value = if mad && host == 2 && at < MAD { 3.0 * usual } else { usual };
            let instance = format!("host-{host}:9100");
            let labels = [("__name__", *metric), ("instance", instance.as_str()), ("job", "it")];
            batch.push(Series::new(&labels, &[(now_ms, value)]));
        }
    }
    batch
}

/// Sends all the time while `act` runs, and gives what it gives; `mad` says what is sent.
fn under_load<T>(service: &Watchbell, mad: &AtomicBool, act: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut noise = Noise(7);
            while !done.load(Ordering::SeqCst) {
                // It may be gone: it is killed under load.
                let _ = service.try_write(&step(&mut noise, mad.load(Ordering::SeqCst)));
                wait::pause(STEP);
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        done.store(true, Ordering::SeqCst);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn host(service: &Watchbell, name: &str) -> Result<Value, String> {
    let hosts: Value = serde_json::from_str(&service.get("/api/v1/hosts").text).map_err(|e| e.to_string())?;
    let found = hosts["data"].as_array().and_then(|all| all.iter().find(|host| host["host"] == name)).cloned();
    found.ok_or_else(|| hosts.to_string())
}

/// The joint score of `name`, once there is one.
fn joint_score(service: &Watchbell, name: &str) -> f64 {
    wait::until("a joint score", || {
        let host = host(service, name)?;
        host["parts"]["singles"].as_f64().ok_or_else(|| host.to_string())
    })
}

#[test]
fn a_host_is_judged_as_a_whole_and_its_model_survives_a_kill() {
    let inbox = Inbox::start();
    let home = Home::new(&format!(
        "sources: [{{type: prometheus_remote_write_in}}]\n\
         sinks: [{{type: prometheus_exposition}}, {{type: alertmanager, urls: ['{}']}}]\n\
         detect: {{warmup: 2s, tick: 100ms, joint: {{warmup: 4s}}}}\ncheckpoint: {{interval: 5s}}\n",
        inbox.base()
    ));
    let service = home.start();
    let mad = AtomicBool::new(false);
    under_load(&service, &mad, || {
        joint_score(&service, "host-2");
        assert_eq!(service.metric("watchbell_joint_models", &[("of", "hosts")]), HOSTS as f64);
        // A while of normal life, and a save of it.
        wait::until("models to be saved", || {
            let files = std::fs::read_dir(home.data().join("hosts")).map_err(|e| e.to_string())?.count();
            wait::when(files > 0, || "no file".to_owned())
        });
        service.metric_until("watchbell_ticks_total", &[], |ticks| ticks > 150.0);

        mad.store(true, Ordering::SeqCst);
        let found = wait::until("the host to stand out", || {
            let found = host(&service, "host-2")?;
            let named = found["contributors"].as_array().map_or(0, Vec::len);
            wait::when(found["score"].as_f64() >= Some(1.0) && named >= MAD, || found.to_string()).map(|()| found)
        });
        let top: Vec<&str> = found["contributors"]
            .as_array()
            .into_iter()
            .flatten()
            .take(MAD)
            .filter_map(|c| c["series"].as_str())
            .collect();
        assert!(METRICS[..MAD].iter().all(|metric| top.contains(metric)), "{found}");
        let page = service.get("/scores").text;
        let labels = [("host", "host-2"), ("series", "it_cpu")];
        assert!(sum(&page, "watchbell_host_contribution", &labels) > Some(0.0), "{page}");
        assert_eq!(sum(&page, "watchbell_host_confidence", &[("host", "host-2")]), Some(1.0));
        assert!(host(&service, "host-4").is_ok_and(|host| host["score"].as_f64() < Some(1.0)));

        let alert = wait::until("the alert", || {
            let told: Vec<Value> = inbox.documents().iter().filter_map(Value::as_array).flatten().cloned().collect();
            let about =
                |alert: &&Value| alert["labels"]["alertname"] == "HostAnomalous" && alert["labels"]["host"] == "host-2";
            told.iter().find(about).cloned().ok_or_else(|| format!("{told:?}"))
        });
        let texts = &alert["annotations"];
        let named = texts["top_contributors"].as_str().unwrap_or_default();
        assert!(METRICS[..MAD].iter().any(|metric| named.contains(metric)), "{texts}");
        assert!(texts["parts"].as_str().is_some_and(|parts| parts.contains("rollup")), "{texts}");
        let labels: Vec<&String> =
            alert["labels"].as_object().map(|labels| labels.keys().collect()).unwrap_or_default();
        assert_eq!(labels, ["alertname", "host", "severity"], "the same whatever the score is made of");
    });
    mad.store(false, Ordering::SeqCst);
    service.kill();

    // Another warm-up would take until long after this test.
    let service = home.start();
    assert!(service.log().contains("hosts and groups restored"), "{}", service.log());
    under_load(&service, &mad, || {
        let first = wait::until("a look at the host", || {
            let found = host(&service, "host-0")?;
            wait::when(found["confidence"].is_number(), || found.to_string()).map(|()| found)
        });
        assert!(first["parts"]["singles"].is_number(), "it has its joint score at the first look: {first}");
    });
    assert!(service.stop().success());
}

#[test]
fn damaged_models_are_set_aside_and_learned_anew() {
    let home = Home::new("sources: [{type: prometheus_remote_write_in}]\ndetect: {tick: 100ms}\n");
    let service = home.start();
    under_load(&service, &AtomicBool::new(false), || {
        service.metric_until("watchbell_joint_models", &[("of", "hosts")], |hosts| hosts == HOSTS as f64);
    });
    assert!(service.stop().success());
    let files: Vec<_> = std::fs::read_dir(home.data().join("hosts")).expect("saved").filter_map(Result::ok).collect();
    assert!(!files.is_empty());
    let file = files[0].path();
    let mut bytes = std::fs::read(&file).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("written");

    let service = home.start();
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(service.log().contains(&name) && service.log().contains("models of hosts set aside"), "{}", service.log());
    assert_eq!(service.metric("watchbell_checkpoint_set_aside_total", &[]), 1.0);
    under_load(&service, &AtomicBool::new(false), || {
        service.metric_until("watchbell_joint_models", &[("of", "hosts")], |hosts| hosts == HOSTS as f64);
    });
}
