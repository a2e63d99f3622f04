//! Own metrics of the receiver.

use watchbell_adapter_api::metrics::{Counter, Histogram, SECONDS};
use watchbell_adapter_api::{MetricDef, MetricKindDef, Metrics, Receipt};

const fn counter(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> MetricDef {
    MetricDef { name, kind: MetricKindDef::Counter, help, labels }
}

const REQUESTS: MetricDef = counter(
    "watchbell_remote_write_in_requests_total",
    "Remote-write requests answered, by status code.",
    &["source", "code"],
);
const SAMPLES: MetricDef =
    counter("watchbell_remote_write_in_samples_total", "Samples taken from remote write.", &["source"]);
const HISTOGRAMS: MetricDef =
    counter("watchbell_remote_write_in_histograms_total", "Native histograms taken from remote write.", &["source"]);
const EXEMPLARS: MetricDef = counter(
    "watchbell_remote_write_in_exemplars_dropped_total",
    "Exemplars that came by remote write; they are not kept.",
    &["source"],
);
const METADATA: MetricDef =
    counter("watchbell_remote_write_in_metadata_total", "Metadata entries that came by remote write.", &["source"]);
const BYTES: MetricDef = counter(
    "watchbell_remote_write_in_bytes_total",
    "Bytes of remote-write bodies, as sent (compressed).",
    &["source"],
);
const REFUSED: MetricDef = counter(
    "watchbell_remote_write_in_refused_total",
    "What was refused of remote write, by reason: samples (out_of_order, conflict, future), series (invalid_series, \
     limited), native histograms (invalid_histogram).",
    &["source", "reason"],
);
const REPLICA: MetricDef = counter(
    "watchbell_remote_write_in_replica_samples_total",
    "Samples of the servers of highly available pairs that are not the elected ones; they are repeats, and dropped.",
    &["source"],
);
const REQUEST_SECONDS: MetricDef = MetricDef {
    name: "watchbell_remote_write_in_request_seconds",
    kind: MetricKindDef::Histogram(SECONDS),
    help: "Time from the head of a remote-write request to its answer.",
    labels: &["source"],
};

/// All of them, for the table of kinds.
pub(super) const ALL: &[MetricDef] =
    &[REQUESTS, SAMPLES, HISTOGRAMS, EXEMPLARS, METADATA, BYTES, REFUSED, REPLICA, REQUEST_SECONDS];

/// Status codes that the receiver answers.
const CODES: [u16; 8] = [200, 204, 400, 401, 405, 413, 415, 503];

/// Handles, made once.
pub(super) struct Handles {
    requests: [Counter; CODES.len()],
    samples: Counter,
    histograms: Counter,
    exemplars: Counter,
    metadata: Counter,
    bytes: Counter,
    out_of_order: Counter,
    conflict: Counter,
    future: Counter,
    invalid_series: Counter,
    invalid_histogram: Counter,
    limited: Counter,
    replica: Counter,
    /// Time of a request.
    pub(super) request_seconds: Histogram,
}

/// What a request brought beside its receipt.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Brought {
    pub(super) exemplars: u64,
    pub(super) metadata: u64,
    pub(super) invalid_series: u64,
    pub(super) invalid_histograms: u64,
}

impl Handles {
    pub(super) fn new(metrics: &Metrics, source: &str) -> Self {
        let of = |def: &'static MetricDef| metrics.counter(def, &[source]);
        let refused = |reason: &str| metrics.counter(&REFUSED, &[source, reason]);
        Self {
            requests: CODES.map(|code| metrics.counter(&REQUESTS, &[source, &code.to_string()])),
            samples: of(&SAMPLES),
            histograms: of(&HISTOGRAMS),
            exemplars: of(&EXEMPLARS),
            metadata: of(&METADATA),
            bytes: of(&BYTES),
            out_of_order: refused("out_of_order"),
            conflict: refused("conflict"),
            future: refused("future"),
            invalid_series: refused("invalid_series"),
            invalid_histogram: refused("invalid_histogram"),
            limited: refused("limited"),
            replica: of(&REPLICA),
            request_seconds: metrics.histogram(&REQUEST_SECONDS, &[source]),
        }
    }

    pub(super) fn answered(&self, code: u16) {
        if let Some(at) = CODES.iter().position(|known| *known == code) {
            self.requests[at].inc();
        }
    }

    pub(super) fn body(&self, bytes: usize) {
        self.bytes.inc_by(bytes as f64);
    }

    pub(super) fn replica(&self, samples: u64) {
        self.replica.inc_by(samples as f64);
    }

    pub(super) fn taken(&self, receipt: &Receipt, brought: Brought) {
        for (counter, number) in [
            (&self.samples, receipt.samples),
            (&self.histograms, receipt.histograms),
            (&self.exemplars, brought.exemplars),
            (&self.metadata, brought.metadata),
            (&self.out_of_order, receipt.out_of_order),
            (&self.conflict, receipt.conflicts),
            (&self.future, receipt.future),
            (&self.invalid_series, receipt.invalid + brought.invalid_series),
            (&self.invalid_histogram, brought.invalid_histograms),
            (&self.limited, receipt.limited),
        ] {
            if number > 0 {
                counter.inc_by(number as f64);
            }
        }
    }
}
