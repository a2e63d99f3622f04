//! The series that a scrape makes up about itself: `up` and `scrape_*`, with the labels of the target.

use watchbell_series::labels::NAME;
use watchbell_series::{MetricKind, RawBatch, RawSample};

use super::page::push;
use crate::text::LabelSet;

/// Names, in the order of [`Outcome::values`].
const NAMES: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// What there is to tell of a scrape.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// Whether it succeeded.
    pub(crate) up: bool,
    /// How long it took, in seconds.
    pub(crate) seconds: f64,
    /// Samples on the page.
    pub(crate) scraped: u64,
    /// Samples left after `metric_relabel_configs`.
    pub(crate) kept: u64,
    /// Series seen for the first time.
    pub(crate) added: u64,
}

impl Outcome {
    fn values(&self) -> [f64; NAMES.len()] {
        [f64::from(u8::from(self.up)), self.seconds, self.scraped as f64, self.kept as f64, self.added as f64]
    }
}

/// The series about one target, ready to be sent.
#[derive(Debug)]
pub(crate) struct Report {
    keys: [u64; NAMES.len()],
    labels: [Vec<u8>; NAMES.len()],
}

impl Report {
    /// The report of a target with these labels.
    pub(crate) fn new(target: &LabelSet<'_>) -> Self {
        let mut report = Self { keys: [0; NAMES.len()], labels: Default::default() };
        for (i, name) in NAMES.into_iter().enumerate() {
            let mut labels: LabelSet<'_> = target.iter().collect();
            labels.set(NAME, name);
            report.keys[i] = labels.write_canonical(&mut report.labels[i]);
        }
        report
    }

    /// Appends the series with the values of `outcome`.
    pub(crate) fn push(&self, batch: &mut RawBatch, outcome: &Outcome, ts_ms: i64) {
        for (i, value) in outcome.values().into_iter().enumerate() {
            let start = batch.labels.len();
            batch.labels.extend_from_slice(&self.labels[i]);
            let labels = start..batch.labels.len();
            push(batch, self.keys[i], labels, RawSample { ts_ms, value }, MetricKind::Gauge);
        }
    }

    /// Ids of the series.
    pub(crate) fn ids(&self) -> &[u64] {
        &self.keys
    }
}
