//! Source `zabbix_history`: values of items, polled from the API; and the history of the same name.
//!
//! There is no cursor in the API, so each item has a position of its own: the last value that was judged. Items that
//! are due are sorted by it and asked for some hundred at a time, from the oldest position among them on. What comes is
//! told apart by (itemid, clock, ns), so a value is judged once, and what a proxy delivers hours late is found, as its
//! item stayed behind. Positions move when values were judged, and are kept over restarts.

mod discard;
mod fetch;
mod late;
mod past;
mod poll;
mod positions;
mod round;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{
    BoxFuture, MetricDef, MetricKindDef, Problems, Source, SourceConfig, SourceContext, SourceError, Span,
};

pub use self::past::PastConfig;
use crate::api::{self, Api, ApiConfig};
use crate::select::{SelectConfig, check_labels};

const ITEMS: MetricDef = MetricDef {
    name: "watchbell_zabbix_items",
    kind: MetricKindDef::Gauge,
    help: "Numeric items that are read now.",
    labels: &["source"],
};
const VALUES: MetricDef = MetricDef {
    name: "watchbell_zabbix_values_total",
    kind: MetricKindDef::Counter,
    help: "Values of items handed on.",
    labels: &["source"],
};
const SKIPPED: MetricDef = MetricDef {
    name: "watchbell_zabbix_skipped_total",
    kind: MetricKindDef::Counter,
    help: "Values that are not taken, by reason: known (read before), late (arrived after a newer value of their item \
           was read), text (no number), same_millisecond (as the one before), refused (too far in the future or too old for their series), invalid (items that are no series).",
    labels: &["source", "reason"],
};
const CARRIED: MetricDef = MetricDef {
    name: "watchbell_zabbix_carried_total",
    kind: MetricKindDef::Counter,
    help: "Values repeated for items whose preprocessing discards what is unchanged: silence is no absence there.",
    labels: &["source"],
};
const LAG: MetricDef = MetricDef {
    name: "watchbell_zabbix_lag_seconds",
    kind: MetricKindDef::Gauge,
    help: "Age of the newest value that was read last, in seconds, by the clock of the frontend.",
    labels: &["source"],
};
const ROUND: MetricDef = MetricDef {
    name: "watchbell_zabbix_round_seconds",
    kind: MetricKindDef::Gauge,
    help: "How long the last round over all items took, in seconds; above the interval the poller does not keep up.",
    labels: &["source"],
};
const DISCOVERIES: MetricDef = MetricDef {
    name: "watchbell_zabbix_item_changes_total",
    kind: MetricKindDef::Counter,
    help: "Items that changed between two looks at the list: new, gone, renamed (other host, key or unit), retyped.",
    labels: &["source", "change"],
};

/// Numeric items of Zabbix, polled.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryConfig {
    /// Where the API is, and who calls it.
    pub api: ApiConfig,
    /// Which hosts and items; all that the user may see unless set.
    #[serde(default)]
    pub select: SelectConfig,
    /// How often items are asked for, at least 1s.
    #[serde(default = "default_interval")]
    pub interval: Span,
    /// How often the list of hosts and items is read again, at least 10s.
    #[serde(default = "default_refresh")]
    pub refresh: Span,
    /// Items of one request at most; fewer are asked for while the frontend is slow.
    #[serde(default = "default_items_per_request")]
    pub items_per_request: usize,
    /// How far back an item that was never seen is read. What is older comes from `history:`.
    #[serde(default = "default_lookback")]
    pub lookback: Span,
    /// The most that is read afterwards when the server or Watchbell was away.
    #[serde(default = "default_catch_up")]
    pub catch_up: Span,
    /// Tags of items that become labels `tag_<name>`, as patterns. An item whose tags change is a new series, so name
    /// only those that stay.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Further labels of all series, for example `{site: berlin}` where there are several servers.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

fn default_interval() -> Span {
    Span::seconds(60)
}

fn default_refresh() -> Span {
    Span::seconds(300)
}

fn default_items_per_request() -> usize {
    500
}

fn default_lookback() -> Span {
    Span::seconds(600)
}

fn default_catch_up() -> Span {
    Span::seconds(86_400)
}

/// Notes a span that is out of range.
pub(crate) fn check_span(name: &str, span: Span, least_ms: i64, problems: &mut Problems) {
    if !(least_ms..=10 * 366 * 86_400_000).contains(&span.millis()) {
        problems.hint(name, format!("`{span}` is out of range"), "leave it out for the default");
    }
}

impl SourceConfig for HistoryConfig {
    const KIND: &'static str = "zabbix_history";
    const SUMMARY: &'static str = "Polls the numeric items of Zabbix 5.0 to 7.4 by its API.";
    const METRICS: &'static [MetricDef] = &METRICS;

    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>> {
        let before = problems.len();
        for (name, span, least) in [
            ("interval", self.interval, 1_000),
            ("refresh", self.refresh, 10_000),
            ("lookback", self.lookback, 1_000),
            ("catch_up", self.catch_up, 60_000),
        ] {
            check_span(name, span, least, problems);
        }
        if !(1..=5_000).contains(&self.items_per_request) {
            let message = format!("`{}` is out of range", self.items_per_request);
            problems.hint("items_per_request", message, "use 1 to 5000; 500 is the default");
        }
        check_labels(&self.labels, problems);
        let mut part = Problems::default();
        let api = self.api.prepare(&mut part);
        problems.within("api", part);
        if problems.len() > before {
            return None;
        }
        Some(Box::new(Poller { api: api?, config: self }))
    }
}

const METRICS: [MetricDef; 12] = {
    let [requests, failures, seconds, logins, skew] = *api::METRICS else { panic!("five metrics of the API") };
    [ITEMS, VALUES, SKIPPED, CARRIED, LAG, ROUND, DISCOVERIES, requests, failures, seconds, logins, skew]
};

struct Poller {
    api: Api,
    config: HistoryConfig,
}

impl Source for Poller {
    fn run(self: Box<Self>, context: SourceContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(async move {
            poll::run(self.api, self.config, context).await;
            Ok(())
        })
    }
}
