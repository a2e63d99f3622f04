//! Verdicts as values of Zabbix's trapper items: what both ways into Zabbix hand over.
//!
//! Each `interval` the readings of the selected series are looked at. Every new sample of a series gives one value of each
//! of its items, at the time of the sample; hosts give theirs when something changed and as a heartbeat. A host's
//! list of items for low-level discovery goes when it changes and once in a while. Values wait in a bounded queue while
//! Zabbix is down; when it is full the oldest make room.

mod collect;
mod engine;
#[cfg(test)]
mod fake;
pub mod key;
mod ledger;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::metrics::SECONDS;
use watchbell_adapter_api::{BoxFuture, MetricDef, MetricKindDef, Problems, ScoreQuery, Span};
use watchbell_series::Selector;

pub(crate) use self::engine::run;
use self::key::{KeyStyle, Part};

/// Own metrics of both sinks.
pub(crate) const METRICS: &[MetricDef] =
    &[TAKEN, REFUSED, DROPPED, PENDING, REFUSED_ITEMS, REFUSED_HOSTS, FAILURES, REQUEST];

const TAKEN: MetricDef = MetricDef {
    name: "watchbell_zabbix_sent_values_total",
    kind: MetricKindDef::Counter,
    help: "Values of anomaly items that Zabbix took.",
    labels: &["sink"],
};
const REFUSED: MetricDef = MetricDef {
    name: "watchbell_zabbix_refused_values_total",
    kind: MetricKindDef::Counter,
    help: "Values that Zabbix refused: no such host or item, or not allowed; the log names them.",
    labels: &["sink"],
};
const DROPPED: MetricDef = MetricDef {
    name: "watchbell_zabbix_dropped_values_total",
    kind: MetricKindDef::Counter,
    help: "Values that were not sent: refused_before (their item was refused, and its next try is not due), queue_full.",
    labels: &["sink", "reason"],
};
const PENDING: MetricDef = MetricDef {
    name: "watchbell_zabbix_pending_values",
    kind: MetricKindDef::Gauge,
    help: "Values that wait for Zabbix.",
    labels: &["sink"],
};
const REFUSED_ITEMS: MetricDef = MetricDef {
    name: "watchbell_zabbix_refused_items",
    kind: MetricKindDef::Gauge,
    help: "Items of which Zabbix refused the last value.",
    labels: &["sink"],
};
const REFUSED_HOSTS: MetricDef = MetricDef {
    name: "watchbell_zabbix_refused_hosts",
    kind: MetricKindDef::Gauge,
    help: "Hosts of which Zabbix takes nothing.",
    labels: &["sink"],
};
const FAILURES: MetricDef = MetricDef {
    name: "watchbell_zabbix_send_failures_total",
    kind: MetricKindDef::Counter,
    help: "Requests with values that failed as a whole, to be sent again.",
    labels: &["sink"],
};
const REQUEST: MetricDef = MetricDef {
    name: "watchbell_zabbix_send_seconds",
    kind: MetricKindDef::Histogram(SECONDS),
    help: "Time a request with values took, in seconds.",
    labels: &["sink"],
};

/// One value of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemValue {
    /// Technical name of the host in Zabbix.
    pub host: Arc<str>,
    /// Key of the item.
    pub key: Box<str>,
    /// The value as text.
    pub value: String,
    /// Time of the value, milliseconds since the Unix epoch.
    pub time_ms: i64,
}

/// What became of the values of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// So many were refused, and nobody says which.
    Refused(usize),
    /// For each value in order, why it was refused.
    Each(Vec<Option<String>>),
}

/// A way into one Zabbix server or proxy.
pub(crate) trait Way: Send {
    /// How it is called in messages.
    fn name(&self) -> String;

    /// Hands over `values`. Must come back within seconds whatever the peer does; an error means that all of them are
    /// to be sent again.
    fn send<'a>(&'a mut self, values: &'a [ItemValue], now_ms: i64) -> BoxFuture<'a, Result<Answer, String>>;
}

/// Which series and hosts give items, under which keys, and how often.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ItemsConfig {
    /// Selectors of series, `{host="web-1"}`; any may match. All series that come from Zabbix if absent; `{}` is all
    /// series of all sources.
    #[serde(rename = "match")]
    pub selectors: Option<Vec<String>>,
    /// What is sent of each series. Each is an item of its own.
    pub values: Vec<Part>,
    /// How keys are made from those of the judged items: `template` for the template's low-level discovery,
    /// `anomaly.score[<key>]`; `plain` for items made one by one, `anomaly.<key>`.
    pub keys: KeyStyle,
    /// Hosts whose verdicts are sent: a regular expression on their technical name in Zabbix, anchored at both ends.
    pub hosts: String,
    /// Technical names in Zabbix of hosts that no Zabbix source tells, `{web-1.example.org: Web server 1}`.
    pub host_names: BTreeMap<String, String>,
    /// How often scores are looked at, at least 1s.
    pub interval: Span,
    /// How often a host's items are sent again although nothing changed. Must be shorter than the template's macro
    /// `{$ANOMALY.NODATA}`.
    pub heartbeat: Span,
    /// How often the list for low-level discovery is sent again although it did not change.
    pub discovery_interval: Span,
    /// How many series that stand out are named in `anomaly.host.reasons`.
    pub reasons: usize,
    /// Most values in one request.
    pub batch: usize,
    /// Most values that wait while Zabbix is down; beyond that the oldest are dropped.
    pub queue_values: usize,
}

impl Default for ItemsConfig {
    fn default() -> Self {
        Self {
            selectors: None,
            values: vec![Part::Score, Part::Expected, Part::Lower, Part::Upper],
            keys: KeyStyle::Template,
            hosts: ".*".to_owned(),
            host_names: BTreeMap::new(),
            interval: Span::seconds(2),
            heartbeat: Span::seconds(60),
            discovery_interval: Span::seconds(3_600),
            reasons: 3,
            batch: 250,
            queue_values: 50_000,
        }
    }
}

/// Checked [`ItemsConfig`].
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    query: Arc<ScoreQuery>,
    values: Vec<Part>,
    keys: KeyStyle,
    hosts: Regex,
    host_names: BTreeMap<String, String>,
    interval: Duration,
    heartbeat_ms: i64,
    discovery_ms: i64,
    reasons: usize,
    batch: usize,
    queue_values: usize,
}

impl ItemsConfig {
    /// Checks the meaning; problems are noted under `items`.
    pub(crate) fn check(self, problems: &mut Problems) -> Option<Plan> {
        let mut part = Problems::default();
        let texts = self.selectors.unwrap_or_else(|| collect::OF_ZABBIX.map(str::to_owned).to_vec());
        let mut selectors = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            selectors.extend(part.take(format!("match[{i}]"), text.parse::<Selector>()));
        }
        let mut values = self.values;
        values.sort_unstable();
        values.dedup();
        let hosts = part.take("hosts", Regex::new(&format!("^(?:{})$", self.hosts)));
        for (host, name) in &self.host_names {
            if name.trim() != name || name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
                part.add(format!("host_names.{host}"), format!("`{name}` is no technical name of a host"));
            }
        }
        if self.interval < Span::seconds(1) {
            part.hint("interval", format!("`{}` is too short", self.interval), "use at least `1s`");
        }
        for (name, span) in [("heartbeat", self.heartbeat), ("discovery_interval", self.discovery_interval)] {
            if span < self.interval {
                part.add(name, format!("`{span}` is shorter than `interval`"));
            }
        }
        if !(1..=10_000).contains(&self.batch) {
            part.hint("batch", format!("`{}` is not between 1 and 10000", self.batch), "`250` is usual");
        }
        if self.queue_values < self.batch {
            part.add("queue_values", format!("`{}` is less than `batch`", self.queue_values));
        }
        let sound = part.is_empty();
        problems.within("items", part);
        let plan = Plan {
            query: Arc::new(ScoreQuery { selectors, anomalous_only: false }),
            values,
            keys: self.keys,
            hosts: hosts?,
            host_names: self.host_names,
            interval: self.interval.0,
            heartbeat_ms: self.heartbeat.millis(),
            discovery_ms: self.discovery_interval.millis(),
            reasons: self.reasons.min(20),
            batch: self.batch,
            queue_values: self.queue_values,
        };
        sound.then_some(plan)
    }
}
