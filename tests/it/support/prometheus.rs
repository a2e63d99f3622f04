//! A real Prometheus, and the node_exporter that it scrapes.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::http;
use super::load::{self, Series};
use super::process::Process;

/// A running Prometheus.
#[derive(Debug)]
pub(crate) struct Prometheus {
    url: String,
    process: Process,
    _folder: TempDir,
}

/// What a Prometheus is to do, beside taking remote writes.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// Targets and the rest of the fields of their jobs; the job has the name.
    pub(crate) jobs: &'a [(&'a str, String)],
    /// Where it sends samples, with further lines of `remote_write`.
    pub(crate) remote_write: Option<String>,
    /// Its alert rules: the rules of one group.
    pub(crate) rules: Option<&'a str>,
    /// Further words of the command line.
    pub(crate) words: &'a [&'a str],
}

impl Prometheus {
    /// Starts the one of the Debian package, with a scrape a second.
    pub(crate) fn start(wanted: &Wanted<'_>) -> Self {
        Self::start_program("prometheus", wanted)
    }

    /// Starts another program.
    pub(crate) fn start_program(program: &str, wanted: &Wanted<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut text = "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
        for (job, fields) in wanted.jobs {
            writeln!(text, "  - {{job_name: {job}, {fields}}}").expect("written");
        }
        if let Some(remote) = &wanted.remote_write {
            writeln!(text, "remote_write: [{{{remote}, queue_config: {{batch_send_deadline: 500ms}}}}]")
                .expect("written");
        }
        if let Some(rules) = wanted.rules {
            writeln!(text, "rule_files: [rules.yml]").expect("written");
            let group = format!("groups: [{{name: it, interval: 1s, rules: {rules}}}]\n");
            fs::write(folder.path().join("rules.yml"), group).expect("written");
        }
        fs::write(folder.path().join("prometheus.yml"), text).expect("written");
        let (process, port) = Process::peer(program, "prometheus", folder.path(), "/-/ready", |command, port| {
            command.arg("--config.file=prometheus.yml").arg("--storage.tsdb.path=tsdb").args(wanted.words);
            command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--web.enable-remote-write-receiver");
        });
        Self { url: format!("http://127.0.0.1:{port}"), process, _folder: folder }
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Stops it as it stands: it keeps its port and answers nobody.
    pub(crate) fn freeze(&self) {
        self.process.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.process.signal("CONT");
    }

    /// Writes samples into it.
    pub(crate) fn write(&self, series: &[Series]) {
        let body = load::compressed(&load::request(series));
        let answer = http::post(&format!("{}/api/v1/write", self.url), load::HEADERS, body).expect("an answer");
        assert_eq!(answer.status, 204, "{}", answer.text);
    }
}

/// A node_exporter that also serves what a test writes.
#[derive(Debug)]
pub(crate) struct NodeExporter {
    address: String,
    _process: Process,
    folder: TempDir,
}

impl NodeExporter {
    /// Starts the one of the Debian package, with few collectors.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (process, port) = Process::peer(
            "prometheus-node-exporter",
            "prometheus-node-exporter",
            folder.path(),
            "/",
            |command, port| {
                command.args(["--collector.disable-defaults", "--collector.cpu", "--collector.loadavg"]);
                command.args(["--collector.meminfo", "--collector.netdev", "--collector.netstat"]);
                command.args(["--collector.textfile", "--collector.textfile.directory=."]);
                command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
            },
        );
        Self { address: format!("127.0.0.1:{port}"), _process: process, folder }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Serves `text` from now on, all of it at once.
    pub(crate) fn serve(&self, text: &str) {
        serve(self.folder.path(), text);
    }
}

fn serve(folder: &Path, text: &str) {
    let new = folder.join("it.prom.new");
    fs::write(&new, text).expect("written");
    fs::rename(new, folder.join("it.prom")).expect("renamed");
}
