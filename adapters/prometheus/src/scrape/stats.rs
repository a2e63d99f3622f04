//! Own metrics of scraping. Never by target: a source may have tens of thousands.

use std::sync::Arc;

use prometheus::{Counter, Gauge, Histogram};
use watchbell_adapter_api::metrics::SECONDS;
use watchbell_adapter_api::{MetricDef, MetricKindDef, Metrics, Receipt};

use super::failure::Failure;
use super::page::Page;
use crate::text::BadLine;

const fn def(
    name: &'static str,
    kind: MetricKindDef,
    help: &'static str,
    labels: &'static [&'static str],
) -> MetricDef {
    MetricDef { name, kind, help, labels }
}

use MetricKindDef::{Counter as C, Gauge as G, Histogram as H};

const TARGETS: MetricDef = def(
    "watchbell_scrape_targets",
    G,
    "Targets by state: new (not scraped yet), up, down, dropped (by relabelling), invalid (no usable address).",
    &["source", "state"],
);
const SECONDS_OF: MetricDef =
    def("watchbell_scrape_duration_seconds", H(SECONDS), "Time from the request to the page being read.", &["source"]);
const SAMPLES: MetricDef =
    def("watchbell_scrape_samples_total", C, "Samples on scraped pages, before relabelling.", &["source"]);
const KEPT: MetricDef =
    def("watchbell_scrape_samples_kept_total", C, "Samples of scraped pages that were handed on.", &["source"]);
const DUPLICATES: MetricDef = def(
    "watchbell_scrape_duplicate_samples_total",
    C,
    "Samples of a series that stood on the page already: the first wins.",
    &["source"],
);
const ENDED: MetricDef =
    def("watchbell_scrape_series_ended_total", C, "Series ended because a page no longer lists them.", &["source"]);
const BYTES: MetricDef = def("watchbell_scrape_bytes_total", C, "Bytes of scraped pages, decompressed.", &["source"]);
const ERRORS: MetricDef =
    def("watchbell_scrape_errors_total", C, "Scrapes that failed, by reason.", &["source", "reason"]);
const BAD_LINES: MetricDef =
    def("watchbell_scrape_bad_lines_total", C, "Lines of pages that were skipped, by reason.", &["source", "reason"]);
const REFUSED: MetricDef = def(
    "watchbell_scrape_refused_total",
    C,
    "What was refused of scraped pages, by reason: samples (out_of_order, conflict, future), series (invalid, limited), \
     whole scrapes (busy).",
    &["source", "reason"],
);
const PANICS: MetricDef =
    def("watchbell_scrape_panics_total", C, "Scrape loops that broke off and were started anew.", &["source"]);

/// All of them, for the table of kinds.
pub(super) const ALL: &[MetricDef] = &[
    TARGETS,
    SECONDS_OF,
    SAMPLES,
    KEPT,
    DUPLICATES,
    ENDED,
    BYTES,
    ERRORS,
    BAD_LINES,
    REFUSED,
    PANICS,
    crate::discovery::ERRORS,
];

/// Handles of one source, made once.
#[derive(Debug)]
pub(crate) struct Stats {
    source: Arc<str>,
    metrics: Metrics,
    states: [Gauge; 3],
    dropped: Gauge,
    invalid: Gauge,
    seconds: Histogram,
    samples: Counter,
    kept: Counter,
    duplicates: Counter,
    ended: Counter,
    bytes: Counter,
}

/// How a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Not scraped yet.
    New,
    /// The last scrape succeeded.
    Up,
    /// The last scrape failed.
    Down,
}

impl Stats {
    pub(crate) fn new(source: Arc<str>, metrics: Metrics) -> Self {
        let state = |name| metrics.gauge(&TARGETS, &[&source, name]);
        let counter = |def| metrics.counter(def, &[&source]);
        Self {
            states: [state("new"), state("up"), state("down")],
            dropped: state("dropped"),
            invalid: state("invalid"),
            seconds: metrics.histogram(&SECONDS_OF, &[&source]),
            samples: counter(&SAMPLES),
            kept: counter(&KEPT),
            duplicates: counter(&DUPLICATES),
            ended: counter(&ENDED),
            bytes: counter(&BYTES),
            source,
            metrics,
        }
    }

    /// Notes how many addresses became no target.
    pub(crate) fn no_targets(&self, dropped: usize, invalid: usize) {
        self.dropped.set(dropped as f64);
        self.invalid.set(invalid as f64);
    }

    /// Notes a page that was read.
    pub(crate) fn page(&self, page: &Page, bytes: usize) {
        self.samples.inc_by(page.scraped as f64);
        self.kept.inc_by(page.lines.len() as f64);
        self.duplicates.inc_by(page.duplicates as f64);
        self.ended.inc_by(page.ended.len() as f64);
        self.bytes.inc_by(bytes as f64);
        for (reason, count) in BadLine::ALL.iter().zip(page.bad).filter(|(_, count)| *count > 0) {
            self.metrics.counter(&BAD_LINES, &[&self.source, reason.as_str()]).inc_by(count as f64);
        }
    }

    /// Notes a scrape that failed.
    pub(crate) fn failed(&self, failure: &Failure) {
        self.metrics.counter(&ERRORS, &[&self.source, failure.reason()]).inc();
    }

    /// Notes how long a scrape took.
    pub(crate) fn took(&self, seconds: f64) {
        self.seconds.observe(seconds);
    }

    /// Notes what was refused of a batch.
    pub(crate) fn receipt(&self, receipt: &Receipt) {
        for (reason, count) in [
            ("out_of_order", receipt.out_of_order),
            ("conflict", receipt.conflicts),
            ("future", receipt.future),
            ("invalid", receipt.invalid),
            ("limited", receipt.limited),
        ] {
            if count > 0 {
                self.metrics.counter(&REFUSED, &[&self.source, reason]).inc_by(count as f64);
            }
        }
    }

    /// Notes a scrape that could not be handed on in time.
    pub(crate) fn not_taken(&self) {
        self.metrics.counter(&REFUSED, &[&self.source, "busy"]).inc();
    }

    /// Notes a loop that broke off.
    pub(crate) fn panicked(&self) {
        self.metrics.counter(&PANICS, &[&self.source]).inc();
    }
}

/// The state of one target, counted as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted {
    stats: Arc<Stats>,
    state: State,
}

impl Counted {
    pub(crate) fn new(stats: Arc<Stats>) -> Self {
        stats.states[State::New as usize].inc();
        Self { stats, state: State::New }
    }

    /// Changes the state; gives the one before.
    pub(crate) fn change(&mut self, state: State) -> State {
        self.stats.states[self.state as usize].dec();
        self.stats.states[state as usize].inc();
        std::mem::replace(&mut self.state, state)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.stats.states[self.state as usize].dec();
    }
}
