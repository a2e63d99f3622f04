//! Source `prometheus_query`: PromQL expressions, polled; and the history of the same name.
//!
//! Works against everything that answers Prometheus's HTTP API: Prometheus, VictoriaMetrics, Thanos,
//! Mimir (the tenant goes into `http.headers`). Each expression is evaluated at the multiples of its
//! step, each of them once, in order of time: first the lookback, to learn from, then live. What was
//! missed while the server or Watchbell was away is asked for afterwards, at most the lookback.

mod answer;
mod api;
mod feed;
mod gather;
mod history;
mod outage;
mod poll;
mod selector;
#[cfg(test)]
mod tests;
mod window;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{HttpClientConfig, MetricDef, Problems, Source, SourceConfig, Span};
use watchbell_series::labels::NAME;
use watchbell_series::{Labels, MetricKind};

use self::api::Api;
pub use self::history::QueryHistoryConfig;
use self::poll::{Poll, Query};

/// PromQL expressions to poll.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryConfig {
    /// Address of the server with the prefix of its API, such as `http://prometheus:9090` or
    /// `https://mimir/prometheus`.
    pub url: String,
    /// What to ask.
    pub queries: Vec<QuerySpec>,
    /// How often to ask.
    #[serde(default = "default_interval")]
    pub interval: Span,
    /// Distance of the points; the interval unless set.
    pub step: Option<Span>,
    /// How far behind now to ask, so that what was scraped has been stored and is shown. VictoriaMetrics
    /// holds samples back for 30 s (its `-search.latencyOffset`); 5 s are enough for Prometheus itself.
    #[serde(default = "default_delay")]
    pub delay: Span,
    /// How much of the past is read at start, to learn from, and the most that is caught up; at least
    /// two intervals.
    #[serde(default = "default_lookback")]
    pub lookback: Span,
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

/// One expression.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuerySpec {
    /// Metric name of the series that come out, where the expression does not keep one.
    pub name: String,
    /// PromQL.
    pub expr: String,
    /// Labels to add where the result does not have them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Kind of the values: `gauge`, `counter`, ... Unless set, a gauge where the expression computes
    /// something, and told by name and values where it selects series.
    pub kind: Option<String>,
}

fn default_interval() -> Span {
    Span::seconds(60)
}

fn default_delay() -> Span {
    Span::seconds(35)
}

fn default_lookback() -> Span {
    Span::seconds(14 * 86_400)
}

fn default_timeout() -> Span {
    Span::seconds(60)
}

fn default_max_response_bytes() -> usize {
    64 << 20
}

/// Notes a span of less than `least` milliseconds or more than ten years.
fn check_span(name: &str, span: Span, least: i64, problems: &mut Problems) {
    if !(least..=10 * 366 * 86_400_000).contains(&span.millis()) {
        problems.hint(name, format!("`{span}` is out of range"), "leave it out for the default");
    }
}

impl SourceConfig for QueryConfig {
    const KIND: &'static str = "prometheus_query";
    const SUMMARY: &'static str =
        "Polls PromQL expressions from Prometheus, VictoriaMetrics, Thanos or Mimir, after reading their past.";
    const METRICS: &'static [MetricDef] = poll::METRICS;

    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>> {
        let before = problems.len();
        let step = self.step.unwrap_or(self.interval);
        for (name, span) in [("interval", self.interval), ("step", step), ("timeout", self.timeout)] {
            check_span(name, span, 1, problems);
        }
        for (name, span) in [("delay", self.delay), ("lookback", self.lookback)] {
            check_span(name, span, 0, problems);
        }
        if self.queries.is_empty() {
            problems.hint("queries", "no query", "add at least one `name` and `expr`");
        }
        let mut queries = Vec::new();
        for (i, spec) in self.queries.iter().enumerate() {
            if self.queries[..i].iter().any(|other| other.name == spec.name) {
                problems.add(format!("queries[{i}].name"), format!("`{}` stands twice", spec.name));
            }
            let mut part = Problems::default();
            queries.extend(spec.prepare(&mut part));
            problems.within(&format!("queries[{i}]"), part);
        }
        let api = Api::new(&self.url, &self.http, self.timeout.into(), self.max_response_bytes, problems);
        if problems.len() > before {
            return None;
        }
        Some(Box::new(Poll {
            api: api?,
            queries,
            interval_ms: self.interval.millis(),
            step_ms: step.millis(),
            delay_ms: self.delay.millis(),
            // Less would leave nothing to read when a poll is a little late.
            lookback_ms: self.lookback.millis().max(2 * self.interval.millis() + self.delay.millis()),
        }))
    }
}

impl QuerySpec {
    fn prepare(&self, problems: &mut Problems) -> Option<Query> {
        let before = problems.len();
        if self.name.is_empty() {
            problems.add("name", "is empty");
        }
        if self.expr.trim().is_empty() {
            problems.add("expr", "is empty");
        }
        if self.labels.contains_key(NAME) {
            problems.hint("labels", format!("`{NAME}` is no label to set"), "use `name`");
        }
        let all = self.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).chain([(NAME, "x")]);
        problems.take("labels", Labels::new(all));
        let kind = self.kind.as_ref().and_then(|word| problems.take("kind", word.parse::<MetricKind>()));
        if problems.len() > before {
            return None;
        }
        let name = [(NAME.to_owned(), self.name.clone())];
        let labels = self.labels.iter().map(|(n, v)| (n.clone(), v.clone())).chain(name).collect();
        Some(Query { name: self.name.clone(), expr: self.expr.clone(), labels, kind })
    }
}
