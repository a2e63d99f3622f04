//! Source `zabbix_export`: values as Zabbix writes or posts them by itself, the moment they are stored.
//!
//! By files (`ExportDir` in zabbix_server.conf), followed through rotation to `.old`; by HTTP (connectors of 6.4 and
//! later) at `POST /api/v1/zabbix/history`. Lines name the item, not its key: with `api` keys and units are asked for,
//! and series are those of `zabbix_history`; without, they are `zabbix_item`.

mod connector;
mod files;
mod intake;
mod line;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::guard::Guard;
use watchbell_adapter_api::http::{Authorization, BasicAuth};
use watchbell_adapter_api::{
    BoxFuture, MetricDef, MetricKindDef, Problems, Resource, Source, SourceConfig, SourceContext, SourceError, Span,
};

use self::intake::Intake;
use crate::api::{self, Api, ApiConfig};
use crate::history::check_span;
use crate::select::{SelectConfig, check_labels};

const LINES: MetricDef = MetricDef {
    name: "watchbell_zabbix_export_lines_total",
    kind: MetricKindDef::Counter,
    help: "Lines of Zabbix's export by what they are: value, text, other (trends and events), own (of Watchbell itself), \
           unknown_item (not on the list of the API), bad, cut_off, too_long; refused are values, counted as such too, that are too \
           far in the future or behind newer ones of their series.",
    labels: &["source", "kind"],
};
const REQUESTS: MetricDef = MetricDef {
    name: "watchbell_zabbix_connector_requests_total",
    kind: MetricKindDef::Counter,
    help: "Requests of Zabbix's connectors by status of the answer.",
    labels: &["source", "status"],
};
const FILES: MetricDef = MetricDef {
    name: "watchbell_zabbix_export_files_total",
    kind: MetricKindDef::Counter,
    help: "What happened to files of Zabbix's export: rotated, truncated, or failed to be read.",
    labels: &["source", "event"],
};
const LAG: MetricDef = MetricDef {
    name: "watchbell_zabbix_export_lag_seconds",
    kind: MetricKindDef::Gauge,
    help: "Age of the newest value of the lines read last, in seconds; negative where the clock of Zabbix is ahead.",
    labels: &["source"],
};

/// Whether `bytes` are a line of the export, whatever it tells: for fuzzing.
#[must_use]
pub fn is_line(bytes: &[u8]) -> bool {
    line::read(bytes).is_ok()
}

/// Where connectors post to.
const PATH: &str = "/api/v1/zabbix/history";

/// Zabbix's export of values.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportConfig {
    /// Folders of the export (`ExportDir`): each `history-*.ndjson` in them is followed.
    #[serde(default)]
    #[schemars(extend("items" = {"type": "string", "format": "path"}))]
    pub folders: Vec<PathBuf>,
    /// Whether a file that was never seen is read from its beginning. What is old in it is learned from.
    #[serde(default)]
    pub from_start: bool,
    /// How often files are looked at, at least 100ms.
    #[serde(default = "default_interval")]
    pub interval: Span,
    /// Takes what connectors of Zabbix (6.4 and later) post to `/api/v1/zabbix/history`. One source may have it.
    pub connector: Option<ConnectorConfig>,
    /// Asks the API for keys and units of items, so that series are those of `zabbix_history`.
    pub api: Option<ApiConfig>,
    /// Which hosts and items, with `api`; without it everything that comes is taken.
    #[serde(default)]
    pub select: SelectConfig,
    /// How often the list of items is asked for, with `api`; at least 10s.
    #[serde(default = "default_refresh")]
    pub refresh: Span,
    /// Tags of items that become labels, with `api`; as in `zabbix_history`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Further labels of all series.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What connectors must show, and how much they may post. Without credentials anybody may.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectorConfig {
    /// User name and password that the connector sends (HTTP authentication `Basic`).
    pub basic_auth: Option<BasicAuth>,
    /// Token that the connector sends (HTTP authentication `Bearer`).
    pub authorization: Option<Authorization>,
    /// The longest body, in bytes.
    #[serde(default = "default_max_body_bytes")]
    pub max_body_bytes: usize,
}

fn default_interval() -> Span {
    Span::seconds(1)
}

fn default_refresh() -> Span {
    Span::seconds(300)
}

fn default_max_body_bytes() -> usize {
    32 << 20
}

impl SourceConfig for ExportConfig {
    const KIND: &'static str = "zabbix_export";
    const SUMMARY: &'static str = "Values that Zabbix exports by itself: NDJSON files, and posts of its connectors.";
    const METRICS: &'static [MetricDef] = &METRICS;

    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>> {
        let before = problems.len();
        if self.folders.is_empty() && self.connector.is_none() {
            let hint = "name the `ExportDir` of zabbix_server.conf under `folders`, or write `connector: {}`";
            problems.hint("", "nothing to read: neither `folders` nor `connector` is set", hint);
        }
        let mut seen = BTreeSet::new();
        for (i, folder) in self.folders.iter().enumerate().filter(|(_, folder)| !seen.insert(*folder)) {
            problems.add(format!("folders[{i}]"), format!("`{}` stands twice", folder.display()));
        }
        check_span("interval", self.interval, 100, problems);
        check_span("refresh", self.refresh, 10_000, problems);
        check_labels(&self.labels, problems);
        let guard = self.connector.as_ref().map(|connector| {
            let mut part = Problems::default();
            let guard = Guard::new(connector.basic_auth.as_ref(), connector.authorization.as_ref(), &mut part);
            problems.within("connector", part);
            guard
        });
        let mut part = Problems::default();
        let api = self.api.as_ref().map(|api| api.prepare(&mut part));
        problems.within("api", part);
        if problems.len() > before {
            return None;
        }
        Some(Box::new(Export { api: api.flatten(), guard, config: Arc::new(self), intake: None }))
    }
}

const METRICS: [MetricDef; 9] = {
    let [requests, failures, seconds, logins, skew] = *api::METRICS else { panic!("five metrics of the API") };
    [LINES, REQUESTS, FILES, LAG, requests, failures, seconds, logins, skew]
};

struct Export {
    api: Option<Api>,
    guard: Option<Guard>,
    config: Arc<ExportConfig>,
    /// Shared with the route, where there is one.
    intake: Option<Arc<Intake>>,
}

impl Source for Export {
    fn resources(&self) -> Vec<Resource> {
        let route = self.config.connector.as_ref().map(|_| Resource::Route(PATH));
        self.config.folders.iter().cloned().map(Resource::File).chain(route).collect()
    }

    fn warnings(&self) -> Problems {
        let mut problems = Problems::default();
        for (i, folder) in self.config.folders.iter().enumerate() {
            problems.absent(format!("folders[{i}]"), folder, "is it the `ExportDir` of zabbix_server.conf?");
        }
        problems
    }

    fn asks_for_credentials(&self) -> bool {
        self.guard.as_ref().is_some_and(Guard::asks)
    }

    fn routes(&mut self, context: &SourceContext) -> Option<axum::Router> {
        let (guard, connector) = (self.guard.take()?, self.config.connector.as_ref()?);
        let intake = Arc::new(Intake::new(context.clone(), Arc::clone(&self.config), self.api.clone()));
        self.intake = Some(Arc::clone(&intake));
        Some(connector::router(PATH, intake, guard, connector.max_body_bytes))
    }

    fn run(self: Box<Self>, context: SourceContext) -> BoxFuture<'static, Result<(), SourceError>> {
        let api = self.api.map(|api| api.counted(&context.metrics, &context.clock, &context.name));
        let config = Arc::clone(&self.config);
        let intake = self.intake.unwrap_or_else(|| Arc::new(Intake::new(context, config, api.clone())));
        Box::pin(files::run(api, self.config, intake))
    }
}
