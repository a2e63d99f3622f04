//! `GET /scores`: the scores of all judged series, for Prometheus to scrape (with `honor_labels: true`).
//!
//! Reads [`Scores`](watchbell_adapter_api::Scores) page by page and answers in the Prometheus text format
//! or OpenMetrics, gzipped where accepted. `match[]=<selector>` (repeatable, any may match) selects by the
//! labels of the *input* series, `node_load1{host="web-1"}`; host roll-ups are matched by their own name
//! and `host`. Without `match[]` a service with more than `max_series` series gives only the anomalous ones
//! and the roll-ups, and says so by `watchbell_scores_limited 1`. A series without a sample for five
//! minutes (or five of its cadences) is left out. Nothing is kept from request to request.

mod accept;
mod render;
mod spool;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY};
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{Semaphore, oneshot};
use watchbell_adapter_api::metrics::SECONDS;
use watchbell_adapter_api::source::{Resource, SourceError};
use watchbell_adapter_api::{
    BoxFuture, MetricDef, MetricKindDef, Prepared, Problems, ScoreQuery, ScoreSink, SinkConfig, SinkContext,
};
use watchbell_series::Selector;

use self::render::{Order, render};
use crate::naming::{Family, Naming};

const REQUESTS: MetricDef = MetricDef {
    name: "watchbell_exposition_requests_total",
    kind: MetricKindDef::Counter,
    help: "Requests for scores, by status code.",
    labels: &["sink", "code"],
};
const DURATION: MetricDef = MetricDef {
    name: "watchbell_exposition_seconds",
    kind: MetricKindDef::Histogram(SECONDS),
    help: "Time it took to write a page of scores, in seconds.",
    labels: &["sink"],
};
const SERIES: MetricDef = MetricDef {
    name: "watchbell_exposition_series",
    kind: MetricKindDef::Gauge,
    help: "Judged series in the last page of scores.",
    labels: &["sink"],
};

/// Pages written at the same time; more requests wait, so that scrapers can not take all CPU and memory.
const AT_ONCE: usize = 2;
const DEFAULT_PATH: &str = "/scores";

/// Settings of the score exposition.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpositionConfig {
    /// Path on the service's HTTP server.
    pub path: String,
    /// Names and labels of the exported series.
    pub naming: Naming,
    /// The families to export; all of the naming mode if absent.
    pub families: Option<Vec<Family>>,
    /// Whether value, expected value and band are exported beside the score (six series for each judged
    /// one instead of two).
    pub expected: bool,
    /// Above so many judged series a request without `match[]` gets only the anomalous ones.
    pub max_series: u64,
}

impl Default for ExpositionConfig {
    fn default() -> Self {
        Self {
            path: DEFAULT_PATH.to_owned(),
            naming: Naming::default(),
            families: None,
            expected: true,
            max_series: 100_000,
        }
    }
}

impl SinkConfig for ExpositionConfig {
    const KIND: &'static str = "prometheus_exposition";
    const SUMMARY: &'static str = "Serves the scores of all series for Prometheus to scrape.";
    const METRICS: &'static [MetricDef] = &[REQUESTS, DURATION, SERIES];

    fn prepare(self, problems: &mut Problems) -> Option<Prepared> {
        let before = problems.len();
        let families = self.naming.choose(self.families, self.expected, problems);
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
        if !self.path.starts_with('/') || self.path.len() < 2 || !self.path.chars().all(legal) {
            let message = format!("`{}` is no path such as `{DEFAULT_PATH}`", self.path);
            problems.hint("path", message, "begin with `/` and use letters, digits, `-`, `_` and `.`");
        }
        // A route's path lives as long as the process. Only a config with another path pays for it.
        let path = if self.path == DEFAULT_PATH { DEFAULT_PATH } else { self.path.leak() };
        (problems.len() == before).then(|| {
            let (naming, families, max_series) = (self.naming, families.into(), self.max_series);
            Prepared::Scores(Box::new(Exposition { path, naming, families, max_series }))
        })
    }
}

struct Exposition {
    path: &'static str,
    naming: Naming,
    families: Arc<[(Family, &'static str)]>,
    max_series: u64,
}

impl ScoreSink for Exposition {
    fn resources(&self) -> Vec<Resource> {
        vec![Resource::Route(self.path)]
    }

    fn routes(&mut self, context: &SinkContext) -> Option<Router> {
        let server = Server {
            naming: self.naming,
            families: Arc::clone(&self.families),
            max_series: self.max_series,
            context: context.clone(),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            duration: context.metrics.histogram(&DURATION, &[&context.name]),
            series: context.metrics.gauge(&SERIES, &[&context.name]),
        };
        Some(Router::new().route(self.path, get(serve)).with_state(Arc::new(server)))
    }

    fn run(self: Box<Self>, mut context: SinkContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(async move {
            context.shutdown.wait().await;
            Ok(())
        })
    }
}

struct Server {
    naming: Naming,
    families: Arc<[(Family, &'static str)]>,
    max_series: u64,
    context: SinkContext,
    permits: Arc<Semaphore>,
    duration: prometheus::Histogram,
    series: prometheus::Gauge,
}

type Parameters = Query<Vec<(String, String)>>;

async fn serve(State(server): State<Arc<Server>>, parameters: Parameters, headers: HeaderMap) -> Response {
    let response = server.answer(&parameters.0, &headers).await.unwrap_or_else(IntoResponse::into_response);
    let code = response.status();
    server.context.metrics.counter(&REQUESTS, &[&server.context.name, code.as_str()]).inc();
    response
}

impl Server {
    async fn answer(&self, parameters: &[(String, String)], headers: &HeaderMap) -> Result<Response, Refusal> {
        let selectors = selectors(parameters).map_err(|message| Refusal(StatusCode::BAD_REQUEST, message))?;
        let format = accept::format(headers);
        let (page, series) = self.page(selectors, format).await?;
        self.series.set(series as f64);
        let head = [(CONTENT_TYPE, format.content_type()), (VARY, "Accept, Accept-Encoding")];
        Ok(if accept::gzip(headers) {
            (head, [(CONTENT_ENCODING, "gzip")], page.into_gzip()).into_response()
        } else {
            (head, Body::from_stream(futures_util::stream::iter(page.into_plain()))).into_response()
        })
    }

    async fn page(&self, selectors: Vec<Selector>, format: accept::Format) -> Result<(spool::Page, u64), Refusal> {
        let busy = |_| Refusal(StatusCode::SERVICE_UNAVAILABLE, "the service is stopping".to_owned());
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(busy)?;
        let scores = Arc::clone(&self.context.scores);
        let limited = selectors.is_empty() && scores.series() > self.max_series;
        let now_ms = self.context.clock.now_ms();
        let order = Order {
            query: Arc::new(ScoreQuery { selectors, anomalous_only: limited }),
            naming: self.naming,
            families: Arc::clone(&self.families),
            format,
            now_ms,
        };
        // When the client goes away this future is dropped, `done` closes, and the thread stops.
        let (done, result) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let page = render(&runtime, &*scores, &order, || done.is_closed());
            drop(permit);
            // Only fails when nobody waits for the page any more.
            let _ = done.send(page);
        });
        let broken = |message: String| Refusal(StatusCode::INTERNAL_SERVER_ERROR, message);
        let page = result.await.map_err(|_| broken("writing the page broke off".to_owned()))?;
        let page = page.map_err(|e| broken(e.to_string()))?;
        let took = self.context.clock.now_ms().saturating_sub(now_ms) as f64 / 1_000.0;
        self.duration.observe(took.max(0.0));
        page.ok_or_else(|| broken("writing the page was cancelled".to_owned()))
    }
}

fn selectors(parameters: &[(String, String)]) -> Result<Vec<Selector>, String> {
    let one = |(name, value): &(String, String)| match name.as_str() {
        "match[]" => value.parse::<Selector>().map_err(|e| e.to_string()),
        _ => Err(format!("unknown parameter `{name}`; known: `match[]`")),
    };
    parameters.iter().map(one).collect()
}

/// A status and one line that says why.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.0, format!("{}\n", self.1)).into_response();
        if self.0 == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, http::HeaderValue::from_static("5"));
        }
        response
    }
}
