//! A real Alertmanager that tells a test's inbox of every alert.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use super::http;
use super::process::Process;
use super::server::Inbox;

/// A running Alertmanager.
#[derive(Debug)]
pub(crate) struct Alertmanager {
    url: String,
    inbox: Inbox,
    _process: Process,
    _folder: TempDir,
}

impl Alertmanager {
    /// Starts the one of the Debian package.
    pub(crate) fn start() -> Self {
        Self::start_program("prometheus-alertmanager")
    }

    /// Starts another program.
    pub(crate) fn start_program(program: &str) -> Self {
        let (folder, inbox) = (tempfile::tempdir().expect("a folder"), Inbox::start());
        let config = folder.path().join("alertmanager.yml");
        let text = format!(
            "route: {{receiver: it, group_by: ['...'], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}\n\
             receivers: [{{name: it, webhook_configs: [{{url: '{}', send_resolved: true}}]}}]\n",
            inbox.url()
        );
        fs::write(&config, text).expect("written");
        let (process, port) =
            Process::peer(program, "prometheus-alertmanager", folder.path(), "/-/ready", |command, port| {
                command.arg("--config.file=alertmanager.yml").arg("--storage.path=data");
                // An empty cluster address turns gossip off; it would listen on every address.
                command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--cluster.listen-address=");
            });
        Self { url: format!("http://127.0.0.1:{port}"), inbox, _process: process, _folder: folder }
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The alerts that fire now and carry these labels.
    pub(crate) fn firing(&self, labels: &[(&str, &str)]) -> Result<Vec<Value>, String> {
        let text = http::get(&format!("{}/api/v2/alerts", self.url))?.ok()?;
        let alerts: Vec<Value> = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        Ok(alerts.into_iter().filter(|alert| carries(alert, labels)).collect())
    }

    /// The first alert with these labels that was told with this status, or all that were told.
    pub(crate) fn told(&self, status: &str, labels: &[(&str, &str)]) -> Result<Value, String> {
        let documents = self.inbox.documents();
        let alerts = || documents.iter().filter_map(|document| document["alerts"].as_array()).flatten();
        let found = alerts().find(|alert| alert["status"] == status && carries(alert, labels));
        let short = |alert: &Value| format!("{} {}", alert["status"], alert["labels"]);
        found.cloned().ok_or_else(|| format!("told: {:?}", alerts().map(short).collect::<Vec<_>>()))
    }
}

fn carries(alert: &Value, labels: &[(&str, &str)]) -> bool {
    labels.iter().all(|(name, value)| alert["labels"][name] == *value)
}
