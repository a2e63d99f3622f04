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

use prometheus::Counter;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{
    AlertSink, BoxFuture, DeliveryError, HttpClient, HttpClientConfig, MetricDef, MetricKindDef, Metrics, Prepared,
    Problems, SinkConfig, Span,
};
use watchbell_series::Alert;

use crate::peer::{self, Address};

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
        let mut endpoints: Vec<(Address, String)> = Vec::new();
        for (i, text) in self.urls.iter().enumerate() {
            let Some((address, instance)) = problems.take(format!("urls[{i}]"), endpoint(text)) else { continue };
            if endpoints.iter().any(|(_, other)| *other == instance) {
                problems.add(format!("urls[{i}]"), format!("`{instance}` stands twice"));
            }
            endpoints.push((address, instance));
        }
        for (name, span) in [("timeout", self.timeout), ("resend_interval", self.resend_interval)] {
            if span.0 < Duration::from_secs(1) {
                problems.hint(name, format!("`{span}` is too short"), "use at least 1s");
            }
        }
        let client = peer::client(self.http, self.timeout.0, problems).filter(|_| problems.len() == before)?;
        let resend = self.resend_interval.0;
        let sink = |(address, instance)| {
            let (client, counters) = (client.clone(), OnceLock::new());
            Arc::new(Alertmanager { address, instance, client, resend, counters }) as Arc<dyn AlertSink>
        };
        Some(Prepared::Alerts(endpoints.into_iter().map(sink).collect()))
    }
}

/// The address that alerts are posted to, from that of the Alertmanager.
fn endpoint(text: &str) -> Result<(Address, String), String> {
    let address = Address::of(text)?;
    let url = address.url();
    if url.query().is_some() || url.fragment().is_some() || url.path().contains("/api/v") {
        return Err(format!("`{}` must end with the path prefix; `/{API}` is added to it", address.shown()));
    }
    Ok((address.below(API), address.shown()))
}

struct Alertmanager {
    /// Where alerts are posted.
    address: Address,
    /// The Alertmanager as it is shown.
    instance: String,
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
        let labels = [name, &self.instance];
        self.counters.get_or_init(|| Counters {
            sent: metrics.counter(&SENT, &labels),
            repaired: metrics.counter(&REPAIRED, &labels),
            dropped: metrics.counter(&DROPPED, &labels),
        });
    }

    fn instance(&self) -> &str {
        &self.instance
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
            tracing::warn!(instance = self.instance, dropped = body.dropped, "alerts without labels dropped");
        }
        if body.alerts == 0 {
            return Ok(());
        }
        let who = format!("alertmanager `{}`", self.instance);
        let headers = [("content-type", "application/json")];
        peer::post(&self.client, &self.address, &headers, body.json.into(), &who).await?;
        if let Some(counters) = self.counters.get() {
            counters.sent.inc_by(body.alerts as f64);
        }
        Ok(())
    }
}
