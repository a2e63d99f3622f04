//! Scores sent by Prometheus remote write 1.0: to Prometheus, VictoriaMetrics, Mimir, Thanos and others.
//!
//! Every `interval` the scores of all series are read page by page; those with a new sample go, at the time
//! of that sample, to one of `shards` senders, each with its own queue and one request in flight, so that
//! a series arrives in order. A series that ends or loses its score is ended for the receiver too, by a
//! stale marker. Nothing is kept on disk: scores that can not be sent for `retry_for` are dropped and
//! counted, and a restart sends from its own start on. On shutdown what is left has five seconds. Into one
//! Prometheus scores go either this way or by a scrape of the exposition: both would be the same series.

mod pages;
mod queue;
mod request;
mod send;
#[cfg(test)]
mod tests;
mod track;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Sleep, sleep};
use watchbell_adapter_api::metrics::SECONDS;
use watchbell_adapter_api::source::SourceError;
use watchbell_adapter_api::{
    BoxFuture, Cursor, HttpClient, HttpClientConfig, MetricDef, MetricKindDef, Prepared, Problems, ScoreQuery,
    ScoreSink, Shutdown, SinkConfig, SinkContext, Span,
};
use watchbell_series::Selector;

use self::pages::{Batches, Output, Pages};
use self::queue::Queue;
use self::send::{Counters, Sender};
use crate::naming::{Family, Naming, is_label_name};
use crate::peer::{self, Address};

const SENT: MetricDef = MetricDef {
    name: "watchbell_remote_write_samples_total",
    kind: MetricKindDef::Counter,
    help: "Samples of scores that the receiver took.",
    labels: &["sink"],
};
const DROPPED: MetricDef = MetricDef {
    name: "watchbell_remote_write_dropped_total",
    kind: MetricKindDef::Counter,
    help: "Samples of scores that were not sent: refused, gave_up, queue_full or shutdown.",
    labels: &["sink", "reason"],
};
const RETRIES: MetricDef = MetricDef {
    name: "watchbell_remote_write_retries_total",
    kind: MetricKindDef::Counter,
    help: "Requests that were sent again.",
    labels: &["sink"],
};
const PENDING: MetricDef = MetricDef {
    name: "watchbell_remote_write_pending_samples",
    kind: MetricKindDef::Gauge,
    help: "Samples of scores that wait or are being sent.",
    labels: &["sink"],
};
const REQUEST: MetricDef = MetricDef {
    name: "watchbell_remote_write_request_seconds",
    kind: MetricKindDef::Histogram(SECONDS),
    help: "Time a request took, in seconds.",
    labels: &["sink"],
};

/// How long what is queued may take to be sent at a shutdown.
const FLUSH: Duration = Duration::from_secs(5);

/// Settings of the remote write sink.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoteWriteConfig {
    /// Where to send, for example `http://prometheus:9090/api/v1/write`.
    pub url: String,
    /// How a request is made. Redirects are never followed.
    #[serde(default)]
    pub http: HttpClientConfig,
    /// How long a request may take.
    #[serde(default = "remote_timeout")]
    pub remote_timeout: Span,
    /// How often scores are sent.
    #[serde(default = "interval")]
    pub interval: Span,
    /// Names and labels of the series sent.
    #[serde(default)]
    pub naming: Naming,
    /// The families to send; all of the naming mode if absent.
    #[serde(default)]
    pub families: Option<Vec<Family>>,
    /// Whether value, expected value and band are sent beside the score.
    #[serde(default = "yes")]
    pub expected: bool,
    /// Selectors of input series, `{job="node"}`; any may match. All series if absent.
    #[serde(default, rename = "match")]
    pub selectors: Vec<String>,
    /// Labels added to all series that do not have them.
    #[serde(default)]
    pub external_labels: BTreeMap<String, String>,
    /// Connections that send at the same time.
    #[serde(default = "shards")]
    pub shards: usize,
    /// Most samples in one request.
    #[serde(default = "max_samples_per_send")]
    pub max_samples_per_send: usize,
    /// Most samples that wait for each connection; beyond that the oldest are dropped.
    #[serde(default = "queue_samples")]
    pub queue_samples: usize,
    /// How long a request is tried before its samples are dropped.
    #[serde(default = "retry_for")]
    pub retry_for: Span,
}

fn remote_timeout() -> Span {
    Span::seconds(30)
}
fn interval() -> Span {
    Span::seconds(15)
}
fn yes() -> bool {
    true
}
fn shards() -> usize {
    2
}
fn max_samples_per_send() -> usize {
    2_000
}
fn queue_samples() -> usize {
    100_000
}
fn retry_for() -> Span {
    Span::seconds(300)
}

impl SinkConfig for RemoteWriteConfig {
    const KIND: &'static str = "prometheus_remote_write";
    const SUMMARY: &'static str = "Sends the scores of all series to a remote write receiver.";
    const METRICS: &'static [MetricDef] = &[SENT, DROPPED, RETRIES, PENDING, REQUEST];

    fn prepare(self, problems: &mut Problems) -> Option<Prepared> {
        let before = problems.len();
        let families = self.naming.choose(self.families, self.expected, problems);
        let mut selectors = Vec::new();
        for (i, text) in self.selectors.iter().enumerate() {
            selectors.extend(problems.take(format!("match[{i}]"), text.parse::<Selector>()));
        }
        for name in self.external_labels.keys() {
            if !is_label_name(name) || name.starts_with("__") || self.naming.reserves(name) || name == "host" {
                let message = format!("`{name}` can not be added as a label");
                problems.hint(format!("external_labels.{name}"), message, "use another name");
            }
        }
        for (name, span) in [("interval", self.interval), ("remote_timeout", self.remote_timeout)] {
            if span.0.is_zero() {
                problems.hint(name, "`0s` is too short", "use at least 1s");
            }
        }
        let limits = [("shards", self.shards, 64), ("max_samples_per_send", self.max_samples_per_send, 50_000)];
        for (name, value, most) in limits {
            if !(1..=most).contains(&value) {
                problems.add(name, format!("`{value}` is not between 1 and {most}"));
            }
        }
        let address = problems.take("url", Address::of(&self.url));
        let client = peer::client(self.http, self.remote_timeout.0, problems);
        let (address, client) = (address?, client?);
        let query = Arc::new(ScoreQuery { selectors, anomalous_only: false });
        let external = self.external_labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        (problems.len() == before).then(|| {
            Prepared::Scores(Box::new(RemoteWrite {
                address,
                client,
                output: Output { naming: self.naming, families, external, query },
                interval: self.interval.0,
                shards: self.shards,
                max_samples: self.max_samples_per_send,
                queue_samples: self.queue_samples,
                retry_for: self.retry_for.0,
            }))
        })
    }
}

struct RemoteWrite {
    address: Address,
    client: HttpClient,
    output: Output,
    interval: Duration,
    shards: usize,
    max_samples: usize,
    queue_samples: usize,
    retry_for: Duration,
}

impl ScoreSink for RemoteWrite {
    fn run(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(run(*self, context))
    }
}

async fn run(sink: RemoteWrite, context: SinkContext) -> Result<(), SourceError> {
    let counters = counters(&context);
    // Left over if this runs again after a failure.
    counters.pending.set(0.0);
    let queues: Arc<[_]> = (0..sink.shards).map(|_| Arc::new(Queue::new(sink.queue_samples))).collect();
    let mut senders = JoinSet::new();
    for queue in &*queues {
        let sender = Sender {
            queue: Arc::clone(queue),
            client: sink.client.clone(),
            address: sink.address.clone(),
            who: format!("remote write to `{}`", sink.address.shown()),
            retry_for: sink.retry_for,
            clock: Arc::clone(&context.clock),
            counters: counters.clone(),
        };
        senders.spawn(sender.run());
    }
    let pages = Pages::new(sink.output.clone(), sink.shards, sink.max_samples, context.clock.now_ms());
    let query = Arc::clone(&sink.output.query);
    let reader = Reader { pages: Some(pages), query, queues: Arc::clone(&queues), counters, context: context.clone() };
    let counters = reader.counters.clone();
    let mut shutdown = context.shutdown.clone();
    let too_late = async move {
        shutdown.wait().await;
        sleep(FLUSH).await;
    };
    let work = async {
        tokio::select! {
            result = reader.run(sink.interval, context.shutdown) => result?,
            _ = senders.join_next() => return Err(SourceError("a sender of scores broke off".to_owned())),
        }
        queues.iter().for_each(|queue| queue.close());
        while senders.join_next().await.is_some() {}
        Ok(())
    };
    tokio::select! {
        result = work => return result,
        () = too_late => {}
    }
    let left = counters.pending.get();
    tracing::warn!(samples = left, "scores dropped at shutdown: the receiver did not take them in time");
    counters.shutdown.inc_by(left);
    counters.pending.set(0.0);
    Ok(())
}

fn counters(context: &SinkContext) -> Counters {
    let (metrics, name) = (&context.metrics, &*context.name);
    let dropped = |reason| metrics.counter(&DROPPED, &[name, reason]);
    Counters {
        sent: metrics.counter(&SENT, &[name]),
        refused: dropped("refused"),
        gave_up: dropped("gave_up"),
        queue_full: dropped("queue_full"),
        shutdown: dropped("shutdown"),
        retries: metrics.counter(&RETRIES, &[name]),
        pending: metrics.gauge(&PENDING, &[name]),
        request_seconds: metrics.histogram(&REQUEST, &[name]),
        health: context.health.clone(),
    }
}

/// Reads the scores, round after round, and fills the queues.
struct Reader {
    /// Away while a page is written, which is done on a thread for blocking work.
    pages: Option<Pages>,
    query: Arc<ScoreQuery>,
    queues: Arc<[Arc<Queue>]>,
    counters: Counters,
    context: SinkContext,
}

impl Reader {
    /// Runs until the shutdown; what was judged until then is still read.
    async fn run(mut self, interval: Duration, mut shutdown: Shutdown) -> Result<(), SourceError> {
        loop {
            let last = shutdown.is_set();
            // The end of a round is also the end of the patience with full queues.
            let mut end = Box::pin(sleep(interval));
            self.round(&mut end).await?;
            if last {
                return Ok(());
            }
            if !end.is_elapsed() {
                tokio::select! {
                    () = shutdown.wait() => {}
                    () = end => {}
                }
            }
        }
    }

    async fn round(&mut self, end: &mut std::pin::Pin<Box<Sleep>>) -> Result<(), SourceError> {
        let scores = Arc::clone(&self.context.scores);
        let mut cursor = Some(Cursor::START);
        while let Some(at) = cursor {
            let page = scores.page(Arc::clone(&self.query), at).await;
            cursor = page.next;
            let batches = self.write(move |pages, now_ms| pages.page(&page, now_ms)).await?;
            self.queue(batches, end).await;
        }
        let hosts = scores.hosts().await;
        let batches = self.write(move |pages, now_ms| pages.end_round(&hosts, now_ms)).await?;
        self.queue(batches, end).await;
        Ok(())
    }

    async fn write(
        &mut self,
        work: impl FnOnce(&mut Pages, i64) -> Batches + Send + 'static,
    ) -> Result<Batches, SourceError> {
        let broken = || SourceError("writing scores broke off".to_owned());
        let (mut pages, now_ms) = (self.pages.take().ok_or_else(broken)?, self.context.clock.now_ms());
        let done = spawn_blocking(move || (work(&mut pages, now_ms), pages)).await;
        let (batches, pages) = done.map_err(|_| broken())?;
        self.pages = Some(pages);
        Ok(batches)
    }

    async fn queue(&self, batches: Batches, end: &mut std::pin::Pin<Box<Sleep>>) {
        for (sender, batch) in batches {
            self.counters.pending.add(batch.samples as f64);
            let patience = async {
                if !end.is_elapsed() {
                    end.as_mut().await;
                }
            };
            let dropped = self.queues[sender].push(batch, patience).await as f64;
            self.counters.queue_full.inc_by(dropped);
            self.counters.pending.sub(dropped);
        }
    }
}
