//! A target: one URL to scrape, the labels of its series, and when it is its turn.
//!
//! Targets are made from discovered addresses by the rules of Prometheus: defaults as hidden labels
//! (`__scheme__`, `__metrics_path__`, `__param_x`, ...), then `relabel_configs`, then what is left decides.

use std::collections::BTreeMap;
use std::time::Duration;

use watchbell_adapter_api::Span;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::job::Job;
use crate::relabel;
use crate::text::LabelSet;

/// Something to scrape.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The same for the same labels and URL, also after a restart.
    pub(crate) id: u64,
    /// Where to ask. May hold credentials: never log it.
    pub(crate) url: String,
    /// The URL as it may be shown.
    pub(crate) place: String,
    /// Labels that its series get.
    pub(crate) labels: LabelSet<'static>,
    /// Time between two scrapes.
    pub(crate) interval: Duration,
    /// Time that a scrape may take.
    pub(crate) timeout: Duration,
}

/// Why an address gives no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoTarget {
    /// `relabel_configs` dropped it.
    #[error("dropped by relabelling")]
    Dropped,
    /// It can not be scraped.
    #[error("{0}")]
    Invalid(String),
}

impl Target {
    /// The target at `address`, with the labels of its group.
    pub(crate) fn new(job: &Job, address: &str, group: &BTreeMap<String, String>) -> Result<Self, NoTarget> {
        let mut labels: LabelSet<'static> = group.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
        labels.set("__address__", address.to_owned());
        let mut default = |name: String, value: String| {
            if labels.get(&name).is_empty() {
                labels.set(name, value);
            }
        };
        default("job".to_owned(), job.name.clone());
        default("__scheme__".to_owned(), job.scheme.as_str().to_owned());
        default("__metrics_path__".to_owned(), job.metrics_path.clone());
        default("__scrape_interval__".to_owned(), job.interval.to_string());
        default("__scrape_timeout__".to_owned(), job.timeout.to_string());
        for (name, values) in &job.params {
            default(format!("__param_{name}"), values.first().cloned().unwrap_or_default());
        }
        if !relabel::apply(&job.relabel, &mut labels) {
            return Err(NoTarget::Dropped);
        }
        let span = |name: &str| -> Result<Duration, NoTarget> {
            let text = labels.get(name);
            let span: Span = text.parse().map_err(|e| NoTarget::Invalid(format!("label `{name}`: {e}")))?;
            if span.0.is_zero() { Err(NoTarget::Invalid(format!("label `{name}` is 0"))) } else { Ok(span.0) }
        };
        let (interval, timeout) = (span("__scrape_interval__")?, span("__scrape_timeout__")?);
        if timeout > interval {
            return Err(NoTarget::Invalid("`__scrape_timeout__` is longer than `__scrape_interval__`".to_owned()));
        }
        if labels.iter().any(|(name, _)| name.is_empty()) {
            return Err(NoTarget::Invalid("a label has no name".to_owned()));
        }
        let url = url_of(job, &labels).map_err(NoTarget::Invalid)?;
        if labels.get("instance").is_empty() {
            let address = labels.get("__address__").to_owned();
            labels.set("instance", address);
        }
        labels.retain(|name| !name.starts_with("__"));
        let place = crate::discovery::http::without_credentials(&url);
        let id = identity(&url, interval, timeout, &mut labels);
        Ok(Self { id, url, place, labels, interval, timeout })
    }

    /// How far into each interval its scrapes are, in milliseconds: spreads the load of many targets, and
    /// is the same after a restart.
    pub(crate) fn offset_ms(&self) -> i64 {
        (self.id % (self.interval_ms() as u64)) as i64
    }

    /// The interval in milliseconds, at least 1.
    pub(crate) fn interval_ms(&self) -> i64 {
        Span(self.interval).millis().max(1)
    }

    /// When it is its turn for the first time after `now_ms`.
    pub(crate) fn next_after(&self, now_ms: i64) -> i64 {
        let interval = self.interval_ms();
        now_ms + interval - (now_ms - self.offset_ms()).rem_euclid(interval)
    }
}

fn identity(url: &str, interval: Duration, timeout: Duration, labels: &mut LabelSet<'_>) -> u64 {
    let mut bytes = Vec::with_capacity(256);
    let labels = labels.write_canonical(&mut bytes);
    let mut hash = Xxh3::new();
    hash.update(&labels.to_le_bytes());
    hash.update(&xxh3_64(url.as_bytes()).to_le_bytes());
    hash.update(&interval.as_nanos().to_le_bytes());
    hash.update(&timeout.as_nanos().to_le_bytes());
    hash.digest()
}

fn url_of(job: &Job, labels: &LabelSet<'_>) -> Result<String, String> {
    let address = labels.get("__address__");
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains(['/', '?', '#', '@']) {
        return Err(format!("`{address}` is no address, write it as `host:port`"));
    }
    let (scheme, path) = (labels.get("__scheme__"), labels.get("__metrics_path__"));
    if !matches!(scheme, "http" | "https") {
        return Err(format!("scheme `{scheme}` is neither `http` nor `https`"));
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut url = reqwest::Url::parse(&format!("{scheme}://{address}{slash}{path}"))
        .map_err(|e| format!("`{address}` is no address: {e}"))?;
    let mut params = job.params.clone();
    for (name, value) in labels.iter().filter_map(|(name, value)| Some((name.strip_prefix("__param_")?, value))) {
        // The label stands for the first value of the parameter.
        match params.entry(name.to_owned()).or_default().first_mut() {
            Some(first) => value.clone_into(first),
            None => drop(params.insert(name.to_owned(), vec![value.to_owned()])),
        }
    }
    if params.values().any(|values| !values.is_empty()) {
        let pairs = params.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        url.query_pairs_mut().extend_pairs(pairs);
    }
    Ok(url.into())
}
