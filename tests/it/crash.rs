//! Kill -9 in the middle of a load: afterwards every score is, to the bit, what it would have been.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;
use watchbell_series::Labels;

use crate::support::load::{self, Series};
use crate::support::process::free_port;
use crate::support::wait;
use crate::support::watchbell::{Home, Watchbell, sum};

const HOSTS: usize = 12;
/// Seconds of load. They lie ahead of the clock, but less than the ten minutes at which samples are refused:
/// nothing that the clock does (a series that is missed) then depends on how fast the machine is.
const STEPS: usize = 300;
/// Steps that are sent before a checkpoint is waited for.
const EARLY: usize = 150;
/// Steps that are held back until after the kill.
const HELD: usize = 40;

fn config(shards: usize) -> String {
    format!(
        "sources: [{{type: prometheus_remote_write_in}}]\ndetect: {{warmup: 10s, tick: 1h}}\nshards: {shards}\n\
         checkpoint: {{interval: 5s}}\n"
    )
}

/// Sends the steps from `done` up to `upto`, each until it is acknowledged.
fn send(
    load: &[Vec<Series>],
    done: &AtomicUsize,
    upto: &AtomicUsize,
    service: impl Fn(&[Series]) -> Result<u16, String>,
) {
    while done.load(Ordering::SeqCst) < load.len() {
        let step = done.load(Ordering::SeqCst);
        wait::until("leave to send", || wait::when(step < upto.load(Ordering::SeqCst), || format!("at {step}")));
        wait::until("a write to be taken", || {
            let status = service(&load[step])?;
            wait::when(status == 204, || format!("answered {status}"))
        });
        done.store(step + 1, Ordering::SeqCst);
        wait::pause(std::time::Duration::from_millis(5));
    }
}

fn uninterrupted(load: &[Vec<Series>]) -> BTreeSet<String> {
    let service = Home::new(&config(2)).start();
    for batch in load {
        assert_eq!(service.write(batch).status, 204);
    }
    service.scores()
}

fn checkpoints(service: &Watchbell) -> f64 {
    service.metric("watchbell_checkpoint_seconds_count", &[])
}

/// The same load with a kill in the middle of it, and other settings afterwards. Gives the scores.
fn interrupted(load: &[Vec<Series>], shards_after: usize) -> BTreeSet<String> {
    let (home, port) = (Home::new(&config(2)), free_port());
    let service = home.start_on(port);
    let url = service.url("/api/v1/write");
    let write = |series: &[Series]| {
        let body = load::compressed(&load::request(series));
        crate::support::http::post(&url, load::HEADERS, body).map(|answer| answer.status)
    };
    let (done, upto) = (AtomicUsize::new(0), AtomicUsize::new(EARLY));
    std::thread::scope(|scope| {
        scope.spawn(|| send(load, &done, &upto, write));
        let sent = |steps: usize| {
            wait::until("the load to go on", || {
                let done = done.load(Ordering::SeqCst);
                wait::when(done >= steps, || format!("{done} steps"))
            });
        };
        sent(EARLY);
        let before = checkpoints(&service);
        service.metric_until("watchbell_checkpoint_seconds_count", &[], |count| count > before);
        upto.store(STEPS - HELD, Ordering::SeqCst);
        sent(EARLY + 20);
        service.kill();
        home.configure(&config(shards_after));
        let service = home.start_on(port);
        upto.store(STEPS, Ordering::SeqCst);
        sent(STEPS);
        let log = service.log();
        let mut from_log =
            log.split("samples_from_log=").skip(1).map(|rest| rest.starts_with(|c| ('1'..='9').contains(&c)));
        assert!(log.contains("state restored") && from_log.any(|some| some), "both came back: {log}");
        service.scores()
    })
}

#[test]
fn scores_after_a_kill_are_those_of_a_run_without_one() {
    let load = load::fleet(HOSTS, SystemClock.now_ms(), STEPS);
    let expected = uninterrupted(&load);
    let page = expected.iter().cloned().collect::<Vec<_>>().join("\n");
    let scores = page.lines().filter(|line| line.starts_with("watchbell_anomaly_score{")).count();
    // Two gauges, the counter and five numbers of the histogram; some of these may be constant.
    assert!(scores >= HOSTS * 5, "{scores} scores: {page}");
    let jumped = [("metric", "it_queue_length"), ("instance", "host-0:9100")];
    assert!(sum(&page, "watchbell_anomaly_score", &jumped) > Some(1.0), "{page}");
    for shards_after in [2, 3] {
        let found = interrupted(&load, shards_after);
        let lost: Vec<_> = expected.difference(&found).collect();
        let new: Vec<_> = found.difference(&expected).collect();
        assert!(lost.is_empty() && new.is_empty(), "{shards_after} shards: instead of {lost:#?} stand {new:#?}");
    }
}

#[test]
fn a_damaged_segment_costs_its_own_series_only() {
    const SHARDS: usize = 3;
    let load = load::fleet(HOSTS, SystemClock.now_ms(), 62);
    let home = Home::new(&config(SHARDS));
    let service = home.start();
    for batch in &load[..60] {
        assert_eq!(service.write(batch).status, 204);
    }
    let before = service.get("/scores").text;
    assert!(service.stop().success());

    let segment = segment(&home, "shard-1-0.wbc");
    let mut bytes = fs::read(&segment).expect("a segment");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).expect("written");

    let service = home.start();
    assert!(service.log().contains("shard-1-0.wbc"), "the log names the file: {}", service.log());
    assert_eq!(service.metric("watchbell_checkpoint_set_aside_total", &[]), 1.0);
    let aside = fs::read_dir(home.data().join("set-aside")).expect("a folder").count();
    assert_eq!(aside, 1, "nothing is deleted");

    let after = service.get("/scores").text;
    // A counter is known by the difference of two samples.
    for batch in &load[60..] {
        assert_eq!(service.write(batch).status, 204);
    }
    let later = service.get("/scores").text;
    let (mut kept, mut lost) = (0, 0);
    for host in 0..HOSTS {
        let instance = format!("host-{host}:9100");
        for name in ["it_queue_length", "it_temperature", "it_requests_total"] {
            let id = Labels::series([("__name__", name), ("instance", &instance), ("job", "it")]).expect("valid").id();
            let labels = [("metric", name), ("instance", instance.as_str())];
            let score = |page: &str| sum(page, "watchbell_anomaly_score", &labels).map(f64::to_bits);
            assert!(score(&before).is_some(), "{labels:?} was learned");
            if id.0 % SHARDS as u64 == 1 {
                lost += 1;
                assert_eq!(score(&after), None, "{labels:?} is in the damaged segment");
                assert_eq!(sum(&later, "watchbell_series_ready", &labels), Some(0.0), "{labels:?} learns anew");
            } else {
                kept += 1;
                assert_eq!(score(&after), score(&before), "{labels:?}");
                assert!(score(&later).is_some(), "{labels:?} goes on");
            }
        }
    }
    assert!(kept > 0 && lost > 0, "{kept} kept, {lost} lost");
}

/// A file of the complete checkpoint.
fn segment(home: &Home, name: &str) -> PathBuf {
    let folder = home.data().join("checkpoint");
    let current = fs::read_to_string(folder.join("CURRENT")).expect("a checkpoint");
    folder.join(current.trim()).join(name)
}
