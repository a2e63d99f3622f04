//! Own metrics of the alerting stage.

use prometheus::{Counter, Gauge};
use watchbell_adapter_api::{MetricDef, MetricKindDef, Metrics};

use super::Counts;

/// All of them.
pub const METRICS: &[MetricDef] = &[ALERTS, ALERTS_REFUSED];

/// Alerts by state.
pub const ALERTS: MetricDef = MetricDef {
    name: "watchbell_alerts",
    kind: MetricKindDef::Gauge,
    help: "Alerts now, by state: pending, firing, held (would fire, but a limit of alerts is reached).",
    labels: &["state"],
};

/// Anomalies that the book had no room for.
pub const ALERTS_REFUSED: MetricDef = MetricDef {
    name: "watchbell_alerts_refused_total",
    kind: MetricKindDef::Counter,
    help: "Anomalous samples that could not begin an alert because too many series are anomalous already.",
    labels: &[],
};

/// Handles of these metrics.
#[derive(Debug)]
pub struct AlertGauges {
    pending: Gauge,
    firing: Gauge,
    held: Gauge,
    refused: Counter,
}

impl AlertGauges {
    /// Makes the handles.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let state = |state| metrics.gauge(&ALERTS, &[state]);
        Self {
            pending: state("pending"),
            firing: state("firing"),
            held: state("held"),
            refused: metrics.counter(&ALERTS_REFUSED, &[]),
        }
    }

    /// Shows what the book counts.
    pub fn set(&self, counts: Counts) {
        self.pending.set(counts.pending as f64);
        self.firing.set(counts.firing as f64);
        self.held.set(counts.held as f64);
        let new = counts.refused as f64 - self.refused.get();
        if new > 0.0 {
            self.refused.inc_by(new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_is_counted() {
        let metrics = Metrics::default();
        let gauges = AlertGauges::new(&metrics);
        for counts in [
            Counts { pending: 9, firing: 9, held: 9, refused: 2 },
            Counts { pending: 1, firing: 2, held: 3, refused: 5 },
        ] {
            gauges.set(counts);
        }
        let shown = ["pending", "firing", "held"].map(|state| metrics.gauge(&ALERTS, &[state]).get() as u64);
        assert_eq!((shown, metrics.counter(&ALERTS_REFUSED, &[]).get() as u64), ([1, 2, 3], 5));
    }
}
