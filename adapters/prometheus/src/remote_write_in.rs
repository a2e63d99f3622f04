//! Source `prometheus_remote_write_in`: the remote-write receiver.
//!
//! Takes remote write 1.0 and 2.0 from Prometheus, its agents, vmagent, Alloy, the OpenTelemetry
//! collector and others at one path of the service's HTTP server. A request is decompressed, decoded into
//! a batch and judged before it is answered, so what is acknowledged is visible. Nothing is buffered: a
//! service that can not keep up says 503 and the sender's own queue holds the data.
//!
//! Series of a highly available pair of Prometheus servers arrive as two sets that differ in the
//! replica label. With `replica_label` one of the pair is taken, see [`replicas`]; without they are judged as two.

mod answer;
mod body;
mod metrics;
mod negotiate;
mod receiver;
mod replicas;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::guard::Guard;
use watchbell_adapter_api::http::{Authorization, BasicAuth};
use watchbell_adapter_api::{
    BoxFuture, MetricDef, Problems, Resource, Source, SourceConfig, SourceContext, SourceError, Span,
};

use self::receiver::Receiver;
use self::replicas::Replicas;
use crate::proto::Limits;

/// The remote-write receiver.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteWriteInConfig {
    /// Path on the service's HTTP server.
    pub path: String,
    /// The longest request body, in bytes as sent.
    pub max_body_bytes: usize,
    /// The longest request body, in bytes after decompression.
    pub max_decompressed_bytes: usize,
    /// The most samples of one request. A native histogram counts as 16 and one for each bucket.
    pub max_samples: usize,
    /// The most bytes of labels of one series; a series with more is left out.
    pub max_label_bytes: usize,
    /// How many requests are worked on at once; more wait, up to `read_timeout`.
    pub max_concurrent_requests: usize,
    /// The longest time for a request body to arrive.
    pub read_timeout: Span,
    /// Label by which the servers of a highly available pair differ, such as `__replica__`: one of them is taken, the
    /// label dropped. Unset, each of them is judged.
    pub replica_label: Option<String>,
    /// Label that tells such pairs apart.
    pub cluster_label: String,
    /// The other server of a pair is taken when the one before sent nothing for so long.
    pub replica_timeout: Span,
    /// User name and password that senders must give.
    pub basic_auth: Option<BasicAuth>,
    /// Credentials that senders must give in the `Authorization` header; the type is `Bearer` unless set.
    pub authorization: Option<Authorization>,
}

impl Default for RemoteWriteInConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            path: "/api/v1/write".to_owned(),
            max_body_bytes: limits.body_bytes,
            max_decompressed_bytes: limits.body_bytes,
            max_samples: limits.samples,
            max_label_bytes: limits.label_bytes,
            max_concurrent_requests: 32,
            read_timeout: Span::seconds(30),
            replica_label: None,
            cluster_label: "cluster".to_owned(),
            replica_timeout: Span::seconds(30),
            basic_auth: None,
            authorization: None,
        }
    }
}

/// Positions in a batch are 32 bits wide.
const MOST_BYTES: usize = 1 << 30;

impl SourceConfig for RemoteWriteInConfig {
    const KIND: &'static str = "prometheus_remote_write_in";
    const SUMMARY: &'static str =
        "Receives Prometheus remote write 1.0 and 2.0 and judges every sample before it answers.";
    const METRICS: &'static [MetricDef] = metrics::ALL;

    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>> {
        let before = problems.len();
        if !self.path.starts_with('/') || self.path.contains(['{', '}', '*', ':', '?', '#', ' ']) {
            let message = format!("`{}` is no path", self.path);
            problems.hint("path", message, "write it as `/api/v1/write`, without parameters");
        }
        for (name, bytes) in
            [("max_body_bytes", self.max_body_bytes), ("max_decompressed_bytes", self.max_decompressed_bytes)]
        {
            if !(1..=MOST_BYTES).contains(&bytes) {
                problems.hint(name, format!("{bytes} is out of range"), "set 1 to 1073741824, or leave the default");
            }
        }
        for (name, value) in [
            ("max_samples", self.max_samples),
            ("max_label_bytes", self.max_label_bytes),
            ("max_concurrent_requests", self.max_concurrent_requests),
            ("read_timeout", usize::try_from(self.read_timeout.millis()).unwrap_or(0)),
        ] {
            if value == 0 {
                problems.hint(name, "0 would refuse every request", "set more, or leave the default");
            }
        }
        if self.replica_label.as_ref().is_some_and(|label| label.is_empty() || *label == self.cluster_label) {
            let hint = "name the label by which the servers of a pair differ, such as `__replica__`, or leave it out";
            problems.hint("replica_label", "is empty or the same as `cluster_label`", hint);
        }
        let replicas = self
            .replica_label
            .as_ref()
            .map(|label| Replicas::new(label, &self.cluster_label, self.replica_timeout.millis()));
        let guard = Guard::new(self.basic_auth.as_ref(), self.authorization.as_ref(), problems);
        if problems.len() > before {
            return None;
        }
        Some(Box::new(RemoteWriteIn {
            // The contract names routes by static text: one short text for each receiver and load of the
            // config is what this costs.
            path: self.path.leak(),
            settings: Arc::new(Settings {
                max_body_bytes: self.max_body_bytes,
                limits: Limits {
                    body_bytes: self.max_decompressed_bytes,
                    label_bytes: self.max_label_bytes,
                    samples: self.max_samples,
                },
                concurrent: self.max_concurrent_requests,
                read_timeout: self.read_timeout.into(),
                replicas,
                guard,
            }),
        }))
    }
}

/// Checked settings of the receiver.
#[derive(Debug)]
struct Settings {
    max_body_bytes: usize,
    limits: Limits,
    concurrent: usize,
    read_timeout: Duration,
    replicas: Option<Replicas>,
    guard: Guard,
}

/// The receiver, checked and ready.
#[derive(Debug)]
struct RemoteWriteIn {
    path: &'static str,
    settings: Arc<Settings>,
}

impl Source for RemoteWriteIn {
    fn resources(&self) -> Vec<Resource> {
        vec![Resource::Route(self.path)]
    }

    fn asks_for_credentials(&self) -> bool {
        self.settings.guard.asks()
    }

    fn routes(&mut self, context: &SourceContext) -> Option<axum::Router> {
        let receiver = Receiver::new(self.settings.clone(), context);
        Some(receiver::router(self.path, receiver))
    }

    fn run(self: Box<Self>, mut context: SourceContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(async move {
            context.shutdown.wait().await;
            Ok(())
        })
    }
}
