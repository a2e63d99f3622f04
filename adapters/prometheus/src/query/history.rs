//! History `prometheus_query`: reads the past back from a server that answers PromQL.
//!
//! Raw samples with their own times unless a step is set: a range selector in an instant query gives them
//! as they were stored, where a range query would repeat old values up to five minutes. Lists the series,
//! reads a few of them at a time over the whole span, and submits each of them whole; see `reading`.

mod plan;
mod reading;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{
    BoxFuture, History, HistoryConfig, HistoryContext, HistoryDone, HistoryError, HistoryRequest, HttpClientConfig,
    MetricDef, MetricKindDef, Problems, Span,
};
use watchbell_series::Selector;

use self::reading::Reading;
use super::api::{Api, Read};
use super::gather::MOST;
use super::{check_span, default_lookback, default_max_response_bytes, default_timeout};

const SAMPLES: MetricDef = MetricDef {
    name: "watchbell_prometheus_history_samples_total",
    kind: MetricKindDef::Counter,
    help: "Samples of the past read back by PromQL.",
    labels: &[],
};
pub(super) const SKIPPED: MetricDef = MetricDef {
    name: "watchbell_prometheus_history_skipped_total",
    kind: MetricKindDef::Counter,
    help: "What of the past read back by PromQL is not taken, by reason: native_histogram (samples), \
           invalid_series (series), too_old (samples of a histogram with more than fit into memory), \
           too_large (metrics of a host with more series than are listed).",
    labels: &["reason"],
};
const FAILURES: MetricDef = MetricDef {
    name: "watchbell_prometheus_history_failures_total",
    kind: MetricKindDef::Counter,
    help: "Queries for the past that were not answered.",
    labels: &[],
};

/// Where the past is read back from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryHistoryConfig {
    /// Address of the server with the prefix of its API, such as `http://prometheus:9090` or
    /// `https://mimir/prometheus`.
    pub url: String,
    /// How much of the past is read at start.
    #[serde(default = "default_lookback")]
    pub lookback: Span,
    /// Which series to read: those that one of these selects.
    #[serde(default = "default_selectors")]
    pub selectors: Vec<String>,
    /// Distance of the points; raw samples unless set. A step of minutes makes a long past cheaper.
    pub step: Option<Span>,
    /// The longest time for one answer.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// The longest answer, in bytes; less time is asked for when one is longer.
    #[serde(default = "default_max_response_bytes")]
    pub max_response_bytes: usize,
    /// How to reach the server.
    #[serde(default)]
    pub http: HttpClientConfig,
}

fn default_selectors() -> Vec<String> {
    // Not what has no name, and not what Watchbell itself wrote there.
    vec!["{__name__!~\"(watchbell_.*)?\"}".to_owned()]
}

impl HistoryConfig for QueryHistoryConfig {
    const KIND: &'static str = "prometheus_query";
    const SUMMARY: &'static str = "Reads the past back from Prometheus, VictoriaMetrics, Thanos or Mimir.";
    const METRICS: &'static [MetricDef] = &[SAMPLES, SKIPPED, FAILURES];

    fn prepare(self, problems: &mut Problems) -> Option<Arc<dyn History>> {
        let before = problems.len();
        if self.selectors.is_empty() {
            problems.hint("selectors", "no selector", "leave it out to read every series");
        }
        let mut selectors = Vec::new();
        for (i, text) in self.selectors.iter().enumerate() {
            let path = format!("selectors[{i}]");
            let selector = problems.take(&*path, text.parse::<Selector>());
            if selector.as_ref().is_some_and(|selector| selector.matches_by(|_| "")) {
                problems.hint(path, format!("`{text}` also selects what has no name"), "add `__name__!=\"\"`");
            }
            selectors.extend(selector);
        }
        for (name, span) in [("lookback", Some(self.lookback)), ("step", self.step), ("timeout", Some(self.timeout))] {
            span.into_iter().for_each(|span| check_span(name, span, 1, problems));
        }
        let api = Api::new(&self.url, &self.http, self.timeout.into(), self.max_response_bytes, problems);
        if problems.len() > before {
            return None;
        }
        let read = self.step.map_or(Read::Raw, |step| Read::Step(step.millis()));
        let lookback_ms = self.lookback.millis();
        Some(Arc::new(QueryHistory { api: api?, selectors, read, lookback_ms, most_samples: MOST }))
    }
}

/// The history, checked and ready.
#[derive(Debug)]
pub(super) struct QueryHistory {
    pub(super) api: Api,
    pub(super) selectors: Vec<Selector>,
    pub(super) read: Read,
    pub(super) lookback_ms: i64,
    /// The most samples that are held at once.
    pub(super) most_samples: usize,
}

impl History for QueryHistory {
    fn lookback_ms(&self) -> i64 {
        self.lookback_ms
    }

    fn read(
        &self,
        request: HistoryRequest,
        context: HistoryContext,
    ) -> BoxFuture<'_, Result<HistoryDone, HistoryError>> {
        Box::pin(async move { Reading::new(self, request, context).read_all().await })
    }
}
