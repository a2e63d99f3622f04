//! Polling: each query walks forward from the past to now, and then goes on with time.
//!
//! The past is gathered until it reaches the present and then submitted whole, as what comes of a query may also
//! come live from elsewhere.

use std::time::Duration;

use watchbell_adapter_api::metrics::{Counter, Gauge};
use watchbell_adapter_api::{BoxFuture, MetricDef, MetricKindDef, Source, SourceContext, SourceError};
use watchbell_series::{MetricKind, Mode};

use super::answer::Row;
use super::api::{Api, ApiError, Read};
use super::feed::{Feed, Stopped};
use super::gather::{Gathered, MOST};
use super::outage::Outage;
use super::window::Window;

const SAMPLES: MetricDef = MetricDef {
    name: "watchbell_prometheus_query_samples_total",
    kind: MetricKindDef::Counter,
    help: "Samples read by polled PromQL expressions.",
    labels: &["source", "query"],
};
const SKIPPED: MetricDef = MetricDef {
    name: "watchbell_prometheus_query_skipped_total",
    kind: MetricKindDef::Counter,
    help: "What polled PromQL expressions gave that is not taken, by reason: native_histogram (samples), \
           invalid_series (series), too_old (samples, where the past of a query does not fit into memory).",
    labels: &["source", "query", "reason"],
};
const FAILURES: MetricDef = MetricDef {
    name: "watchbell_prometheus_query_failures_total",
    kind: MetricKindDef::Counter,
    help: "Polled PromQL expressions that were not answered.",
    labels: &["source", "query"],
};
const LAG: MetricDef = MetricDef {
    name: "watchbell_prometheus_query_lag_seconds",
    kind: MetricKindDef::Gauge,
    help: "How far behind now a polled PromQL expression has been read, in seconds.",
    labels: &["source", "query"],
};

/// Own metrics of this kind.
pub(super) const METRICS: &[MetricDef] = &[SAMPLES, SKIPPED, FAILURES, LAG];

/// The youngest past that is read to learn from only. Younger samples are judged live, so that a short
/// pause costs no alert.
const LIVE_WITHIN_MS: i64 = 300_000;

/// A checked expression.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) name: String,
    pub(super) expr: String,
    /// Labels to add, `__name__` among them.
    pub(super) labels: Vec<(String, String)>,
    pub(super) kind: Option<MetricKind>,
}

/// The source, checked and ready.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) api: Api,
    pub(super) queries: Vec<Query>,
    pub(super) interval_ms: i64,
    pub(super) step_ms: i64,
    pub(super) delay_ms: i64,
    pub(super) lookback_ms: i64,
}

impl Source for Poll {
    fn run(self: Box<Self>, context: SourceContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(async move {
            self.poll(context).await;
            Ok(())
        })
    }
}

/// Where a query stands.
pub(super) struct Walk<'a> {
    query: &'a Query,
    /// Everything up to here has been read.
    left_ms: i64,
    window: Window,
    /// What was read and not submitted yet.
    past: Gathered,
    /// The last refusal, so that it is said once.
    refusal: Option<String>,
    samples: Counter,
    histograms: Counter,
    invalid: Counter,
    too_old: Counter,
    failures: Counter,
    lag: Gauge,
}

/// Why a walk did not reach now.
pub(super) enum Halt {
    Stopped,
    Unavailable(String),
}

impl From<Stopped> for Halt {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

impl Poll {
    async fn poll(&self, mut context: SourceContext) {
        let mut walks: Vec<Walk<'_>> = self.queries.iter().map(|query| self.walk(query, &context)).collect();
        let mut outage = Outage::default();
        loop {
            let mut wait = None;
            for walk in &mut walks {
                match self.advance(walk, &context).await {
                    Ok(()) => {
                        context.health.well("queries");
                        outage.answered(&context.name, self.api.url());
                    }
                    Err(Halt::Stopped) => return,
                    Err(Halt::Unavailable(error)) => {
                        context.health.failing(
                            "queries",
                            format_args!("{}: {error}", self.api.url()),
                            context.clock.now_ms(),
                        );
                        // The next query would meet the same silence.
                        wait = Some(outage.failed(&context.name, self.api.url(), &error));
                        break;
                    }
                }
            }
            let wait = wait.unwrap_or_else(|| self.until_next(context.clock.now_ms()));
            if !context.shutdown.sleep(wait).await {
                return;
            }
        }
    }

    pub(super) fn walk<'a>(&self, query: &'a Query, context: &SourceContext) -> Walk<'a> {
        let (metrics, labels) = (&context.metrics, [&*context.name, query.name.as_str()]);
        let skipped = |reason| metrics.counter(&SKIPPED, &[labels[0], labels[1], reason]);
        Walk {
            query,
            left_ms: context.clock.now_ms() - self.lookback_ms,
            window: Window::new(Read::Step(self.step_ms)),
            past: Gathered::default(),
            refusal: None,
            samples: metrics.counter(&SAMPLES, &labels),
            histograms: skipped("native_histogram"),
            invalid: skipped("invalid_series"),
            too_old: skipped("too_old"),
            failures: metrics.counter(&FAILURES, &labels),
            lag: metrics.gauge(&LAG, &labels),
        }
    }

    /// Time to the next poll: polls keep to multiples of the interval, the delay later.
    fn until_next(&self, now_ms: i64) -> Duration {
        let since = (now_ms - self.delay_ms).rem_euclid(self.interval_ms);
        Duration::from_millis((self.interval_ms - since) as u64)
    }

    /// Reads everything between what was read and the last step that is complete.
    pub(super) async fn advance(&self, walk: &mut Walk<'_>, context: &SourceContext) -> Result<(), Halt> {
        loop {
            if context.shutdown.is_set() {
                return Err(Halt::Stopped);
            }
            let now = context.clock.now_ms();
            let to = (now - self.delay_ms).div_euclid(self.step_ms) * self.step_ms;
            walk.left_ms = walk.left_ms.max(now - self.lookback_ms);
            walk.lag.set((now - walk.left_ms) as f64 / 1000.0);
            let live_within = self.delay_ms + LIVE_WITHIN_MS.max(5 * self.interval_ms);
            let live_from = (now - live_within).div_euclid(self.step_ms) * self.step_ms;
            let (left, mut right, mut mode) = (walk.left_ms, walk.window.end(walk.left_ms, to), Mode::Live);
            if left < live_from {
                (right, mode) = (right.min(live_from), Mode::Backfill);
            } else if walk.past.samples() > 0 {
                self.submit(walk, Mode::Backfill, now, context).await?;
            }
            if left >= to {
                return Ok(());
            }
            match self.api.fetch(&walk.query.expr, Read::Step(self.step_ms), left, right).await {
                Ok(rows) => {
                    walk.window.held(rows.iter().map(|row| row.samples.len()).sum());
                    walk.gather(rows, &context.name);
                    if mode == Mode::Live {
                        self.submit(walk, mode, now, context).await?;
                    }
                    walk.left_ms = right;
                    walk.refusal = None;
                }
                Err(ApiError::TooMuch(_)) if walk.window.too_much(right - left) => walk.failures.inc(),
                Err(ApiError::Unavailable(error)) => {
                    walk.failures.inc();
                    return Err(Halt::Unavailable(error));
                }
                Err(ApiError::TooMuch(error) | ApiError::Refused(error)) => {
                    walk.failures.inc();
                    if walk.refusal.as_ref() != Some(&error) {
                        let (source, query, url) = (&*context.name, walk.query.name.as_str(), self.api.url());
                        tracing::warn!(source, query, url, error, "query refused; check its `expr`");
                        walk.refusal = Some(error);
                    }
                    return Ok(());
                }
            }
        }
    }

    async fn submit(
        &self,
        walk: &mut Walk<'_>,
        mode: Mode,
        now_ms: i64,
        context: &SourceContext,
    ) -> Result<(), Stopped> {
        let mut feed = Feed::new(context.ingest.clone(), context.shutdown.clone(), mode, now_ms);
        walk.past.hand_over(&mut feed).await?;
        walk.samples.inc_by(feed.samples as f64);
        Ok(())
    }
}

impl Walk<'_> {
    fn gather(&mut self, rows: Vec<Row>, source: &str) {
        for row in rows {
            self.histograms.inc_by(row.histograms as f64);
            let Ok(labels) = row.series(&self.query.labels) else {
                self.invalid.inc();
                continue;
            };
            let kind = if row.is_named() { MetricKind::Unknown } else { MetricKind::Gauge };
            self.past.add(labels, self.query.kind.unwrap_or(kind), row.samples);
        }
        if self.past.samples() > MOST {
            let dropped = self.past.drop_older_half();
            self.too_old.inc_by(dropped as f64);
            let query = self.query.name.as_str();
            tracing::warn!(source, query, dropped, "more past than fits into memory; its oldest part is not taken");
        }
    }
}
