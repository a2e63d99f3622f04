//! History `prometheus_query`: reads the past back from a server that answers PromQL.
//!
//! Raw samples with their own times unless a step is set: a range selector in an instant query gives them
//! as they were stored, where a range query would repeat old values up to five minutes. Reads forward in
//! windows that are as long as keeps answers small, one selector after the other, so that each series comes
//! oldest first.

use std::collections::HashSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::metrics::Counter;
use watchbell_adapter_api::{
    BoxFuture, History, HistoryConfig, HistoryContext, HistoryDone, HistoryError, HistoryRequest, HttpClientConfig,
    MetricDef, MetricKindDef, Problems, Span,
};
use watchbell_series::{MatchOp, MetricKind, Mode, Selector};

use super::api::{Api, ApiError, Read};
use super::feed::{Feed, Stopped};
use super::outage::Outage;
use super::window::Window;
use super::{check_span, default_lookback, default_max_response_bytes, default_timeout};

const SAMPLES: MetricDef = MetricDef {
    name: "watchbell_prometheus_history_samples_total",
    kind: MetricKindDef::Counter,
    help: "Samples of the past read back by PromQL.",
    labels: &[],
};
const SKIPPED: MetricDef = MetricDef {
    name: "watchbell_prometheus_history_skipped_total",
    kind: MetricKindDef::Counter,
    help: "What of the past read back by PromQL is not taken, by reason: native_histogram (samples), \
           invalid_series (series).",
    labels: &["reason"],
};
const FAILURES: MetricDef = MetricDef {
    name: "watchbell_prometheus_history_failures_total",
    kind: MetricKindDef::Counter,
    help: "Queries for the past that were not answered.",
    labels: &[],
};

/// Failures in a row after which a read is given up: about eight minutes.
const PATIENCE: u32 = 13;

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
    /// Which series to read. A large server is read faster by several narrow selectors.
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
    vec!["{__name__!=\"\"}".to_owned()]
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
        Some(Arc::new(QueryHistory { api: api?, selectors, read, lookback_ms: self.lookback.millis() }))
    }
}

/// The history, checked and ready.
#[derive(Debug)]
struct QueryHistory {
    api: Api,
    selectors: Vec<Selector>,
    read: Read,
    lookback_ms: i64,
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
        Box::pin(self.read_all(request, context))
    }
}

/// One read under way.
struct Reading {
    context: HistoryContext,
    feed: Feed,
    keys: HashSet<u64>,
    samples: Counter,
    histograms: Counter,
    invalid: Counter,
    failures: Counter,
    outage: Outage,
}

impl QueryHistory {
    async fn read_all(&self, request: HistoryRequest, context: HistoryContext) -> Result<HistoryDone, HistoryError> {
        let metrics = &context.metrics;
        let mut reading = Reading {
            feed: Feed::new(context.ingest.clone(), context.shutdown.clone(), Mode::Backfill, request.to_ms),
            keys: HashSet::new(),
            samples: metrics.counter(&SAMPLES, &[]),
            histograms: metrics.counter(&SKIPPED, &["native_histogram"]),
            invalid: metrics.counter(&SKIPPED, &["invalid_series"]),
            failures: metrics.counter(&FAILURES, &[]),
            outage: Outage::default(),
            context: context.clone(),
        };
        for (i, selector) in self.selectors.iter().enumerate() {
            let expression = promql(selector, &request.labels);
            let part = |share: f64| (i as f64 + share) / self.selectors.len() as f64;
            self.read_one(&expression, &request, &mut reading, part).await?;
        }
        Ok(HistoryDone { series: reading.keys.len() as u64, samples: reading.feed.samples })
    }

    async fn read_one(
        &self,
        expression: &str,
        request: &HistoryRequest,
        reading: &mut Reading,
        part: impl Fn(f64) -> f64,
    ) -> Result<(), HistoryError> {
        let begin = request.from_ms.saturating_sub(1);
        let whole = (request.to_ms - begin).max(1) as f64;
        let (mut left, mut window) = (begin, Window::new(self.read));
        while left < request.to_ms {
            if reading.context.shutdown.is_set() {
                return Err(stopped());
            }
            let right = window.end(left, request.to_ms);
            let error = match self.api.fetch(expression, self.read, left, right).await {
                Ok(rows) => {
                    reading.outage.answered("history", self.api.url());
                    let held = rows.iter().map(|row| row.samples.len()).sum();
                    reading.hand_over(rows).await.map_err(|Stopped| stopped())?;
                    window.held(held);
                    left = right;
                    (reading.context.progress)(part((left - begin) as f64 / whole));
                    continue;
                }
                Err(error) => error,
            };
            reading.failures.inc();
            match error {
                ApiError::TooMuch(_) if window.too_much(right - left) => {}
                ApiError::Unavailable(error) if reading.outage.failures() < PATIENCE => {
                    let wait = reading.outage.failed("history", self.api.url(), &error);
                    if !reading.context.shutdown.sleep(wait).await {
                        return Err(stopped());
                    }
                }
                error => return Err(HistoryError(format!("`{}`: query `{expression}`: {error}", self.api.url()))),
            }
        }
        Ok(())
    }
}

impl Reading {
    async fn hand_over(&mut self, rows: Vec<super::answer::Row>) -> Result<(), Stopped> {
        let before = self.feed.samples;
        for row in rows {
            self.histograms.inc_by(row.histograms as f64);
            match row.series(&[]) {
                Ok(labels) => {
                    self.keys.insert(labels.id().0);
                    self.feed.push(&labels, MetricKind::Unknown, &row.samples).await?;
                }
                Err(_) => self.invalid.inc(),
            }
        }
        self.feed.flush().await?;
        self.samples.inc_by((self.feed.samples - before) as f64);
        Ok(())
    }
}

fn stopped() -> HistoryError {
    HistoryError("the service is stopping".to_owned())
}

/// The selector as PromQL, narrowed to `labels`.
fn promql(selector: &Selector, labels: &[(String, String)]) -> String {
    let own = selector.matchers().iter().map(|matcher| {
        let op = match matcher.op() {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        };
        (matcher.name(), op, matcher.value())
    });
    let more = labels.iter().map(|(name, value)| (name.as_str(), "=", value.as_str()));
    let mut text = String::from("{");
    for (name, op, value) in own.chain(more) {
        if text.len() > 1 {
            text.push(',');
        }
        let word = name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
        if word && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) {
            text.push_str(name);
        } else {
            quote(name, &mut text);
        }
        text.push_str(op);
        quote(value, &mut text);
    }
    text.push('}');
    text
}

fn quote(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_narrowed() {
        let selector: Selector = r#"up{job=~"a|b",path!="C:\\"}"#.parse().expect("valid");
        let labels = [("instance".to_owned(), "web \"1\"".to_owned()), ("a.b".to_owned(), "é".to_owned())];
        let expected = r#"{__name__="up",job=~"a|b",path!="C:\\",instance="web \"1\"","a.b"="é"}"#;
        assert_eq!(promql(&selector, &labels), expected);
    }
}
