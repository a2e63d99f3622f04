//! The program under test, as a process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::http::{self, Answer};
use super::load::{self, Series};
use super::process::Process;
use super::wait;

/// The program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_watchbell");

/// Runs a command of the program to its end, from the root of the repository.
pub(crate) fn command(words: &[&str]) -> Output {
    prepared(words).output().expect("runs")
}

/// The same, to be run by the caller.
pub(crate) fn prepared(words: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(words).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// A folder with a config and what Watchbell learned; it goes with the last of the processes that use it.
#[derive(Debug)]
pub(crate) struct Home {
    folder: Arc<TempDir>,
}

impl Home {
    /// A home with this config.
    pub(crate) fn new(config: &str) -> Self {
        let home = Self { folder: Arc::new(tempfile::tempdir().expect("a folder")) };
        home.configure(config);
        home
    }

    /// Writes another config.
    pub(crate) fn configure(&self, config: &str) {
        std::fs::write(self.config(), config).expect("written");
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("watchbell.yaml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Starts the service on a port that the kernel gives, and waits until it takes samples.
    pub(crate) fn start(&self) -> Watchbell {
        self.start_on(0)
    }

    /// The same on a port that others know.
    pub(crate) fn start_on(&self, port: u16) -> Watchbell {
        let service = Watchbell::start(&["--config", &self.config().display().to_string()], self.path(), port);
        Watchbell { home: Some(Arc::clone(&self.folder)), ..service }
    }
}

/// A running service.
#[derive(Debug)]
pub(crate) struct Watchbell {
    process: Process,
    url: String,
    #[expect(dead_code, reason = "holds the folder")]
    home: Option<Arc<TempDir>>,
}

impl Watchbell {
    /// Starts `watchbell run` with `words`, data and log in `folder`.
    pub(crate) fn start(words: &[&str], folder: &Path, port: u16) -> Self {
        let log = folder.join("watchbell.log");
        // The log of an earlier process stays in its own file.
        for n in 1.. {
            let old = folder.join(format!("watchbell-{n}.log"));
            if !log.exists() || (!old.exists() && std::fs::rename(&log, &old).is_ok()) {
                break;
            }
        }
        let mut command = Command::new(PROGRAM);
        command.arg("run").args(words).args(["--listen", &format!("127.0.0.1:{port}")]);
        command.arg("--data-dir").arg(folder.join("data")).current_dir(folder).env_remove("WATCHBELL_LOG");
        let mut process = Process::start("watchbell", &mut command, &log).expect("starts");
        let url = wait::until("watchbell to listen", || {
            let said = process.log();
            let address = said.split("listens on ").nth(1).and_then(|rest| rest.split_whitespace().next());
            match (address, process.ended()) {
                (Some(address), _) => Ok(address.to_owned()),
                (None, Some(status)) => panic!("watchbell ended ({status}): {said}"),
                (None, None) => Err(said),
            }
        });
        Self { process, url, home: None }
    }

    /// Its address with `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        http::get(&self.url(path)).expect("watchbell answers")
    }

    /// Asks for a reload.
    pub(crate) fn reload(&self) -> Answer {
        http::post(&self.url("/-/reload"), &[], Vec::new()).expect("watchbell answers")
    }

    /// Sends samples by remote write 1.0.
    pub(crate) fn write(&self, series: &[Series]) -> Answer {
        self.try_write(series).expect("watchbell answers")
    }

    /// The same, where it may be gone.
    pub(crate) fn try_write(&self, series: &[Series]) -> Result<Answer, String> {
        self.post(load::HEADERS, load::compressed(&load::request(series)))
    }

    /// Posts any bytes to the receiver.
    pub(crate) fn post(&self, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Answer, String> {
        http::post(&self.url("/api/v1/write"), headers, body)
    }

    /// The lines of `/scores` that are no comments, as a set: their order is no promise.
    pub(crate) fn scores(&self) -> BTreeSet<String> {
        let answer = self.get("/scores");
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    /// Sum of the series of `name` in `/scores` that carry these labels; none if there is no such series.
    pub(crate) fn score(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        sum(&self.get("/scores").text, name, labels)
    }

    /// The same in `/metrics`, where what is missing counts 0.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        sum(&self.get("/metrics").text, name, labels).unwrap_or(0.0)
    }

    /// Waits until a metric of its own passes `holds`.
    pub(crate) fn metric_until(&self, name: &str, labels: &[(&str, &str)], holds: impl Fn(f64) -> bool) {
        wait::until(name, || {
            let value = self.metric(name, labels);
            wait::when(holds(value), || format!("{name} {labels:?} is {value}"))
        });
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.process.kill();
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.process.signal("TERM");
        self.process.wait(Duration::from_secs(60))
    }

    /// All it said.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }
}

/// Sum of the series of `name` with `labels` on a page of Prometheus text.
pub(crate) fn sum(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let values = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        let named = labels.is_empty() || labels.starts_with('{');
        (named && wanted.iter().all(|label| labels.contains(label))).then(|| value.parse::<f64>().ok())?
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}
