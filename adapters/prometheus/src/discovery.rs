//! Service discovery: where the addresses of targets come from.
//!
//! A provider (a fixed list, files, or an HTTP endpoint) runs as a task and hands over its *whole* list of
//! groups whenever it changed. A provider in trouble hands over nothing, so the targets known so far stay.
//! What becomes of an address (relabelling, URL) is decided by the scrape, not here.

pub(crate) mod body;
pub(crate) mod file;
pub(crate) mod http;

pub use file::FileSdConfig;
pub use http::HttpSdConfig;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::mpsc;
use watchbell_adapter_api::{MetricDef, MetricKindDef, Metrics, Shutdown};

/// Addresses with labels that they share, as in `static_configs`, `file_sd` and `http_sd`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetGroup {
    /// Addresses, `host:port`.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Labels of all of them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl TargetGroup {
    /// Adds a label that tells where the group was found.
    fn found_at(mut self, name: &str, place: &str) -> Self {
        self.labels.insert(name.to_owned(), place.to_owned());
        self
    }
}

/// The whole list of one provider.
#[derive(Debug)]
pub(crate) struct Found {
    /// Which provider.
    pub(crate) provider: usize,
    /// Its groups.
    pub(crate) groups: Vec<TargetGroup>,
}

/// A checked provider, ready to run.
#[derive(Debug)]
pub(crate) enum Provider {
    /// Targets written in the config itself.
    Fixed(Vec<TargetGroup>),
    /// Targets in files.
    Files(file::Files),
    /// Targets from an endpoint.
    Http(http::Endpoint),
}

pub(crate) const ERRORS: MetricDef = MetricDef {
    name: "watchbell_discovery_errors_total",
    kind: MetricKindDef::Counter,
    help: "Lists of targets that could not be read, by kind of discovery; the targets known before stay.",
    labels: &["source", "discovery"],
};

/// What a provider needs to run.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// Name of the source, for logs and metrics.
    pub(crate) source: Arc<str>,
    /// Own metrics.
    pub(crate) metrics: Metrics,
    /// When to stop.
    pub(crate) shutdown: Shutdown,
    /// Where lists go.
    pub(crate) found: mpsc::Sender<Found>,
}

impl Surroundings {
    /// Hands over a list; `false` if nobody wants it any more.
    async fn hand_over(&self, provider: usize, groups: Vec<TargetGroup>) -> bool {
        self.found.send(Found { provider, groups }).await.is_ok()
    }

    fn failed(&self, discovery: &'static str, place: &str, error: &str) {
        self.metrics.counter(&ERRORS, &[&self.source, discovery]).inc();
        tracing::warn!(source = &*self.source, place, error, "discovery failed; the targets known so far stay");
    }
}

impl Provider {
    /// Runs until the shutdown.
    pub(crate) async fn run(self, index: usize, surroundings: Surroundings) {
        match self {
            Self::Fixed(groups) => {
                surroundings.hand_over(index, groups).await;
            }
            Self::Files(files) => files.run(index, surroundings).await,
            Self::Http(endpoint) => endpoint.run(index, surroundings).await,
        }
    }
}
