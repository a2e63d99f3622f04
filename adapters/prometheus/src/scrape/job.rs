//! A checked scrape config: what all targets of one source share.

use std::collections::BTreeMap;

use watchbell_adapter_api::{HttpClient, Problems, Span};

use super::{Scheme, ScrapeConfig};
use crate::discovery::Provider;
use crate::relabel::{self, Rule};
use crate::text::Format;

/// The largest page there can be: positions in it are 32 bits wide.
const MAX_BODY: u64 = 1 << 30;
/// The most samples of one page, whatever the config says: bounds what one target can make us hold.
pub(crate) const MAX_SAMPLES: usize = 2_000_000;

/// What every scrape of a source goes by.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) interval: Span,
    pub(crate) timeout: Span,
    pub(crate) metrics_path: String,
    pub(crate) scheme: Scheme,
    pub(crate) params: BTreeMap<String, Vec<String>>,
    pub(crate) honor_labels: bool,
    pub(crate) honor_timestamps: bool,
    pub(crate) fallback: Option<Format>,
    pub(crate) body_limit: usize,
    pub(crate) target_limit: usize,
    pub(crate) limits: Limits,
    pub(crate) relabel: Vec<Rule>,
    pub(crate) metric_relabel: Vec<Rule>,
    pub(crate) client: HttpClient,
}

/// Limits of a page; going over one fails the whole scrape. 0 is no limit.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    pub(crate) samples: usize,
    pub(crate) labels: usize,
    pub(crate) name_length: usize,
    pub(crate) value_length: usize,
}

impl ScrapeConfig {
    /// The job and the providers of its targets; `None` if a problem was noted.
    pub(super) fn check(self, problems: &mut Problems) -> Option<(Job, Vec<Provider>)> {
        let before = problems.len();
        if self.job_name.is_empty() {
            problems.hint("job_name", "is empty", "name the job, for example `node`");
        }
        let interval = self.scrape_interval;
        let timeout = self.scrape_timeout.unwrap_or(Span::seconds(10).min(interval));
        if interval.0.is_zero() {
            problems.hint("scrape_interval", "is 0", "use `15s`");
        }
        if timeout.0.is_zero() {
            problems.hint("scrape_timeout", "is 0", "use `10s`");
        }
        if timeout > interval {
            let message = format!("`{timeout}` is longer than `scrape_interval` (`{interval}`)");
            problems.hint("scrape_timeout", message, "a scrape must end before the next one begins");
        }
        if !self.metrics_path.starts_with('/') {
            let message = format!("`{}` does not begin with `/`", self.metrics_path);
            problems.hint("metrics_path", message, "use `/metrics`");
        }
        let providers = self.providers(problems);
        if providers.is_empty() && problems.len() == before {
            let message = "no targets: none of `static_configs`, `file_sd_configs`, `http_sd_configs` is set";
            problems.hint("", message, "add `static_configs: [{targets: [\"localhost:9100\"]}]`");
        }
        let relabel = relabel::check(&self.relabel_configs, "relabel_configs", problems);
        let metric_relabel = relabel::check(&self.metric_relabel_configs, "metric_relabel_configs", problems);
        let mut part = Problems::default();
        let client = self.http.build(timeout.0, &mut part);
        problems.within("http", part);
        if problems.len() > before {
            return None;
        }
        let body = if self.body_size_limit.0 == 0 { MAX_BODY } else { self.body_size_limit.0.min(MAX_BODY) };
        let job = Job {
            name: self.job_name,
            interval,
            timeout,
            metrics_path: self.metrics_path,
            scheme: self.scheme,
            params: self.params,
            honor_labels: self.honor_labels,
            honor_timestamps: self.honor_timestamps,
            fallback: self.fallback_scrape_protocol.map(super::Protocol::format),
            body_limit: body as usize,
            target_limit: self.target_limit,
            limits: Limits {
                samples: self.sample_limit,
                labels: self.label_limit,
                name_length: self.label_name_length_limit,
                value_length: self.label_value_length_limit,
            },
            relabel,
            metric_relabel,
            client: client?,
        };
        Some((job, providers))
    }

    fn providers(&self, problems: &mut Problems) -> Vec<Provider> {
        let mut providers = Vec::new();
        for (i, group) in self.static_configs.iter().enumerate() {
            // With relabelling an address may be anything, such as the URL that a blackbox exporter probes.
            let plain = self.relabel_configs.is_empty();
            for (j, address) in group.targets.iter().enumerate().filter(|_| plain) {
                if address.is_empty() || address.contains('/') {
                    let message = format!("`{address}` is no address");
                    let hint = "write `host:port`; path and scheme are `metrics_path` and `scheme`";
                    problems.hint(format!("static_configs[{i}].targets[{j}]"), message, hint);
                }
            }
            if group.labels.keys().any(String::is_empty) {
                problems.add(format!("static_configs[{i}].labels"), "a label has no name");
            }
        }
        if !self.static_configs.is_empty() {
            providers.push(Provider::Fixed(self.static_configs.clone()));
        }
        for (i, files) in self.file_sd_configs.iter().enumerate() {
            let mut part = Problems::default();
            providers.extend(files.check(&mut part).map(Provider::Files));
            problems.within(&format!("file_sd_configs[{i}]"), part);
        }
        for (i, endpoint) in self.http_sd_configs.iter().enumerate() {
            let mut part = Problems::default();
            providers.extend(endpoint.check(&mut part).map(Provider::Http));
            problems.within(&format!("http_sd_configs[{i}]"), part);
        }
        providers
    }
}
