//! Alerts sent to Alertmanager (API v2, releases 0.16 and later).
//!
//! Each URL is an instance of its own: Alertmanagers of a cluster share silences, not alerts, so every
//! one is told everything. Takes [`Alert`]s from the service's queue, posts them as one JSON array and
//! says how it went; it never waits, retries or remembers. What would make Alertmanager refuse a whole
//! request is put right before: a bad label name is written with underscores, a bad link left out, an
//! alert without labels dropped; each is counted. Firing alerts are wanted again and again.

mod body;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use prometheus::Counter;
use reqwest::{Method, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{
    AlertSink, BoxFuture, DeliveryError, HttpClient, HttpClientConfig, MetricDef, MetricKindDef, Metrics, Prepared,
    Problems, SinkConfig, Span,
};
use watchbell_series::Alert;

use crate::retry_after::retry_after;

const SENT: MetricDef = MetricDef {
    name: "watchbell_alertmanager_alerts_total",
    kind: MetricKindDef::Counter,
    help: "Alerts that an Alertmanager took, each time they were sent.",
    labels: &["sink", "instance"],
};
const REPAIRED: MetricDef = MetricDef {
    name: "watchbell_alertmanager_repaired_total",
    kind: MetricKindDef::Counter,
    help: "Labels, annotations, times and links of alerts that Alertmanager would not take and were changed.",
    labels: &["sink", "instance"],
};
const DROPPED: MetricDef = MetricDef {
    name: "watchbell_alertmanager_dropped_total",
    kind: MetricKindDef::Counter,
    help: "Alerts that can not be sent because they have no label.",
    labels: &["sink", "instance"],
};

const API: &str = "api/v2/alerts";
/// Most bytes of a refusal that are passed on in a message.
const REFUSAL_BYTES: usize = 512;

/// Settings of the Alertmanager sink.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// Addresses of all instances of the cluster, with the path prefix if there is one:
    /// `http://alertmanager:9093`. Never a load balancer.
    pub urls: Vec<String>,
    /// How a request is made. Redirects are never followed.
    #[serde(default)]
    pub http: HttpClientConfig,
    /// How long a request may take.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// How often a firing alert is sent again.
    #[serde(default = "resend_interval")]
    pub resend_interval: Span,
}

fn timeout() -> Span {
    Span::seconds(10)
}

fn resend_interval() -> Span {
    Span::seconds(60)
}

impl SinkConfig for AlertmanagerConfig {
    const KIND: &'static str = "alertmanager";
    const SUMMARY: &'static str = "Sends alerts to one or several Alertmanagers.";
    const METRICS: &'static [MetricDef] = &[SENT, REPAIRED, DROPPED];

    fn prepare(self, problems: &mut Problems) -> Option<Prepared> {
        let before = problems.len();
        if self.urls.is_empty() {
            problems.hint("urls", "no Alertmanager is named", "write `urls: [http://alertmanager:9093]`");
        }
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for (i, text) in self.urls.iter().enumerate() {
            let Some(endpoint) = problems.take(format!("urls[{i}]"), Endpoint::of(text)) else { continue };
            if endpoints.iter().any(|other| other.post == endpoint.post) {
                problems.add(format!("urls[{i}]"), format!("`{}` stands twice", endpoint.instance));
            }
            endpoints.push(endpoint);
        }
        for (name, span) in [("timeout", self.timeout), ("resend_interval", self.resend_interval)] {
            if span.0 < Duration::from_secs(1) {
                problems.hint(name, format!("`{span}` is too short"), "use at least 1s");
            }
        }
        let mut http = Problems::default();
        // A followed redirect would turn the POST into a GET, which Alertmanager answers with 200.
        let client = HttpClientConfig { follow_redirects: Some(false), ..self.http }.build(self.timeout.0, &mut http);
        problems.within("http", http);
        let client = client.filter(|_| problems.len() == before)?;
        let resend = self.resend_interval.0;
        let sink = |endpoint| {
            let (client, counters) = (client.clone(), OnceLock::new());
            Arc::new(Alertmanager { endpoint, client, resend, counters }) as Arc<dyn AlertSink>
        };
        Some(Prepared::Alerts(endpoints.into_iter().map(sink).collect()))
    }
}

struct Endpoint {
    /// Where alerts are posted.
    post: Url,
    /// The address as shown: without user, password and query.
    instance: String,
}

impl Endpoint {
    fn of(text: &str) -> Result<Self, String> {
        let mut post = Url::parse(text).map_err(|e| format!("`{text}` is no URL: {e}"))?;
        if !matches!(post.scheme(), "http" | "https") {
            return Err(format!("`{text}` is no URL of http or https"));
        }
        if post.query().is_some() || post.fragment().is_some() || post.path().contains("/api/v") {
            return Err(format!("`{text}` must end with the path prefix; `/{API}` is added to it"));
        }
        let mut shown = post.clone();
        // Both fail only for URLs that can have no user; these have none to show.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        let instance = shown.as_str().trim_end_matches('/').to_owned();
        post.set_path(&format!("{}/{API}", post.path().trim_end_matches('/')));
        Ok(Self { post, instance })
    }
}

struct Alertmanager {
    endpoint: Endpoint,
    client: HttpClient,
    resend: Duration,
    counters: OnceLock<Counters>,
}

struct Counters {
    sent: Counter,
    repaired: Counter,
    dropped: Counter,
}

impl AlertSink for Alertmanager {
    fn attach(&self, name: &str, metrics: &Metrics) {
        let labels = [name, &self.endpoint.instance];
        self.counters.get_or_init(|| Counters {
            sent: metrics.counter(&SENT, &labels),
            repaired: metrics.counter(&REPAIRED, &labels),
            dropped: metrics.counter(&DROPPED, &labels),
        });
    }

    fn instance(&self) -> &str {
        &self.endpoint.instance
    }

    fn resend(&self) -> Option<Duration> {
        Some(self.resend)
    }

    fn deliver<'a>(&'a self, alerts: &'a [Alert]) -> BoxFuture<'a, Result<(), DeliveryError>> {
        Box::pin(self.post(alerts))
    }
}

impl Alertmanager {
    async fn post(&self, alerts: &[Alert]) -> Result<(), DeliveryError> {
        let body = body::write(alerts);
        if let Some(counters) = self.counters.get() {
            counters.repaired.inc_by(body.repaired as f64);
            counters.dropped.inc_by(body.dropped as f64);
        }
        if body.dropped > 0 {
            tracing::warn!(instance = self.endpoint.instance, dropped = body.dropped, "alerts without labels dropped");
        }
        if body.alerts == 0 {
            return Ok(());
        }
        let retry = |message: String, after| DeliveryError::Retry {
            message: format!("alertmanager `{}`: {message}", self.endpoint.instance),
            after,
        };
        let request = self.client.request(Method::POST, self.endpoint.post.as_str()).map_err(|e| retry(e, None))?;
        let request = request.header(CONTENT_TYPE, "application/json").body(body.json);
        // The error's own text may name the URL with its password.
        let response = request.send().await.map_err(|e| retry(cause(&e.without_url()), None))?;
        let status = response.status();
        if status.is_success() {
            if let Some(counters) = self.counters.get() {
                counters.sent.inc_by(body.alerts as f64);
            }
            return Ok(());
        }
        let after = retry_after(response.headers());
        let message = if status.is_redirection() {
            let to = response.headers().get(http::header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("");
            format!("{status}, redirects are not followed; put the address behind `{to}` in `urls`")
        } else {
            format!("{status}: {}", refusal(response).await)
        };
        Err(match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                retry(message, after)
            }
            _ if status.is_server_error() => retry(message, after),
            _ => DeliveryError::Rejected(format!("alertmanager `{}`: {message}", self.endpoint.instance)),
        })
    }
}

/// An error with its causes: reqwest's own text hides them.
fn cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

/// The beginning of a refusal's text, on one line.
async fn refusal(mut response: reqwest::Response) -> String {
    let mut text = Vec::new();
    while text.len() < REFUSAL_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        text.extend_from_slice(&chunk[..chunk.len().min(REFUSAL_BYTES - text.len())]);
    }
    String::from_utf8_lossy(&text).split_whitespace().collect::<Vec<_>>().join(" ")
}
