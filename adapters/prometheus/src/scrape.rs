//! Source `prometheus_scrape`: asks targets for their metrics page, as Prometheus does.
//!
//! The config speaks Prometheus's words. A pool holds the targets that discovery finds and a runner
//! for each; a runner fetches a page, reads it with [`crate::text`], names its series, and submits all
//! samples of one scrape as one batch, together with `up` and the `scrape_*` series. Known series go by
//! their id alone. Nothing a target does can hold up another target, or make a scrape unbounded.
//!
//! Semantics: "Configuration", section `<scrape_config>`, of the Prometheus documentation.

mod cache;
mod failure;
mod fetch;
mod job;
mod page;
mod page_reader;
mod pool;
mod report;
mod runner;
mod size;
mod stats;
mod target;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{
    BoxFuture, HttpClientConfig, MetricDef, Problems, Source, SourceConfig, SourceContext, SourceError, Span,
};

pub use page_reader::PageReader;
pub use size::ByteSize;

use crate::discovery::{FileSdConfig, HttpSdConfig, Provider, TargetGroup};
use crate::relabel::RelabelConfig;
use crate::text::Format;
use job::Job;

/// Config of the source: one `scrape_config` of Prometheus.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScrapeConfig {
    /// Value of the label `job`, unless a target sets another.
    pub job_name: String,
    /// Time between two scrapes of a target.
    #[serde(default = "interval")]
    pub scrape_interval: Span,
    /// Time that one scrape may take, the body included; `10s`, or the interval where that is shorter.
    pub scrape_timeout: Option<Span>,
    /// Path that is asked for.
    #[serde(default = "metrics_path")]
    pub metrics_path: String,
    /// `http` or `https`.
    #[serde(default)]
    pub scheme: Scheme,
    /// URL parameters.
    #[serde(default)]
    pub params: BTreeMap<String, Vec<String>>,
    /// Whether a label on the page wins over the target's label of the same name. Otherwise the label of
    /// the page is renamed to `exported_<name>`.
    #[serde(default)]
    pub honor_labels: bool,
    /// Whether timestamps on the page are used.
    #[serde(default = "yes")]
    pub honor_timestamps: bool,
    /// Format of pages whose content type is missing or unknown; without it such a scrape fails.
    pub fallback_scrape_protocol: Option<Protocol>,
    /// Most samples of a page, after `metric_relabel_configs`; more fail the scrape. 0: 2,000,000.
    #[serde(default)]
    pub sample_limit: usize,
    /// Most labels of a series; more fail the scrape. 0: no limit here.
    #[serde(default)]
    pub label_limit: usize,
    /// Longest label name in bytes; a longer one fails the scrape. 0: no limit here.
    #[serde(default)]
    pub label_name_length_limit: usize,
    /// Longest label value in bytes; a longer one fails the scrape. 0: no limit here.
    #[serde(default)]
    pub label_value_length_limit: usize,
    /// Largest page, decompressed; a larger one fails the scrape. 0: 1GB, the most there is.
    #[serde(default = "body_size")]
    pub body_size_limit: ByteSize,
    /// Most targets; while there are more, all scrapes fail. 0: no limit.
    #[serde(default)]
    pub target_limit: usize,
    /// Targets written here.
    #[serde(default)]
    pub static_configs: Vec<TargetGroup>,
    /// Targets listed in files.
    #[serde(default)]
    pub file_sd_configs: Vec<FileSdConfig>,
    /// Targets listed by HTTP endpoints.
    #[serde(default)]
    pub http_sd_configs: Vec<HttpSdConfig>,
    /// Rules that choose targets and change their labels.
    #[serde(default)]
    pub relabel_configs: Vec<RelabelConfig>,
    /// Rules that choose series and change their labels.
    #[serde(default)]
    pub metric_relabel_configs: Vec<RelabelConfig>,
    /// How to reach the targets: TLS, credentials, headers, proxy, redirects.
    #[serde(default)]
    pub http: HttpClientConfig,
}

fn interval() -> Span {
    Span::seconds(15)
}

fn metrics_path() -> String {
    "/metrics".to_owned()
}

fn yes() -> bool {
    true
}

fn body_size() -> ByteSize {
    ByteSize(64 << 20)
}

/// Scheme of the URL of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain HTTP.
    #[default]
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A format of pages, under Prometheus's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Protocol {
    /// Text format 0.0.4.
    #[serde(rename = "PrometheusText0.0.4")]
    PrometheusText0_0_4,
    /// Text format 1.0.0.
    #[serde(rename = "PrometheusText1.0.0")]
    PrometheusText1_0_0,
    /// OpenMetrics 0.0.1.
    #[serde(rename = "OpenMetricsText0.0.1")]
    OpenMetricsText0_0_1,
    /// OpenMetrics 1.0.0.
    #[serde(rename = "OpenMetricsText1.0.0")]
    OpenMetricsText1_0_0,
}

impl Protocol {
    fn format(self) -> Format {
        match self {
            Self::PrometheusText0_0_4 | Self::PrometheusText1_0_0 => Format::Text,
            Self::OpenMetricsText0_0_1 | Self::OpenMetricsText1_0_0 => Format::OpenMetrics,
        }
    }
}

impl SourceConfig for ScrapeConfig {
    const KIND: &'static str = "prometheus_scrape";
    const SUMMARY: &'static str = "Scrapes targets that expose metrics in a Prometheus format.";
    const METRICS: &'static [MetricDef] = stats::ALL;

    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>> {
        let (job, providers) = self.check(problems)?;
        Some(Box::new(Scrape { job, providers }))
    }
}

/// A checked source.
#[derive(Debug)]
struct Scrape {
    job: Job,
    providers: Vec<Provider>,
}

impl Source for Scrape {
    fn run(self: Box<Self>, context: SourceContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(pool::Pool::new(self.job, context).run(self.providers))
    }
}

#[cfg(test)]
mod tests;
