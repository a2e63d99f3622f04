//! Own metrics of the alerting stage.

use prometheus::{Counter, Gauge};
use watchbell_adapter_api::{MetricDef, MetricKindDef, Metrics};

use super::Counts;
use super::budget::{Budgets, Reason, Shown};

/// All of them.
pub const METRICS: &[MetricDef] = &[
    ALERTS,
    ALERTS_REFUSED,
    ALERTS_SUPPRESSED,
    BUDGET,
    ACTUAL,
    EDGE,
    DISCOVERY_EDGE,
    DISCOVERY_RATE,
    FEEDBACK,
    AGREEMENT,
];

/// Anomalies that did not become alerts.
pub const ALERTS_SUPPRESSED: MetricDef = MetricDef {
    name: "watchbell_alerts_suppressed_total",
    kind: MetricKindDef::Counter,
    help: "Anomalies that did not become alerts when they would have fired, by reason: budget, false_discovery, feedback, muted (by a quiet window).",
    labels: &["reason"],
};

/// What is accepted.
pub const BUDGET: MetricDef = MetricDef {
    name: "watchbell_alert_budget_per_week",
    kind: MetricKindDef::Gauge,
    help: "Alerts accepted in a week of each unit (host, series, service), by budget: that of the config (default) or of a rule.",
    labels: &["budget", "per"],
};

/// What happens.
pub const ACTUAL: MetricDef = MetricDef {
    name: "watchbell_alerts_actual_per_week",
    kind: MetricKindDef::Gauge,
    help: "Alerts that fired of each unit in the last week, in the mean over units; those of one incident count once, confirmed and expected ones not at all. Absent until a day was seen.",
    labels: &["budget", "per"],
};

/// What follows.
pub const EDGE: MetricDef = MetricDef {
    name: "watchbell_alert_edge",
    kind: MetricKindDef::Gauge,
    help: "Score that an anomaly must reach to become an alert within the budget, of the unit in the middle (median) and the highest (max).",
    labels: &["budget", "of"],
};

/// The same of the fleet.
pub const DISCOVERY_EDGE: MetricDef = MetricDef {
    name: "watchbell_alert_discovery_edge",
    kind: MetricKindDef::Gauge,
    help: "Score that an anomaly must reach so that the share of false alerts in the fleet stays within `alerting.false_discovery_rate`.",
    labels: &[],
};

/// The share that is left.
pub const DISCOVERY_RATE: MetricDef = MetricDef {
    name: "watchbell_alert_false_discovery_rate",
    kind: MetricKindDef::Gauge,
    help: "Share of false ones to be expected among the anomalies of the last day over that score.",
    labels: &[],
};

/// What people said.
pub const FEEDBACK: MetricDef = MetricDef {
    name: "watchbell_feedback_total",
    kind: MetricKindDef::Counter,
    help: "What people said of anomalies, by verdict: false_alarm, confirmed, expected.",
    labels: &["verdict"],
};

/// Whether others saw it, too.
pub const AGREEMENT: MetricDef = MetricDef {
    name: "watchbell_alert_agreement_total",
    kind: MetricKindDef::Counter,
    help: "Alerts that ended while other tools tell of problems, by whether one of the same host was near in time: yes, no.",
    labels: &["problem"],
};

/// Alerts by state.
pub const ALERTS: MetricDef = MetricDef {
    name: "watchbell_alerts",
    kind: MetricKindDef::Gauge,
    help: "Alerts now, by state: pending, firing, held (would fire, but a limit of alerts is reached), suppressed (under the edge of the budget, or muted).",
    labels: &["state"],
};

/// Anomalies that the book had no room for.
pub const ALERTS_REFUSED: MetricDef = MetricDef {
    name: "watchbell_alerts_refused_total",
    kind: MetricKindDef::Counter,
    help: "Anomalous samples that could not begin an alert because too many series are anomalous already.",
    labels: &[],
};

/// Shows budgets beside what happens.
pub fn show_budgets(metrics: &Metrics, budgets: &Budgets) {
    for Shown { budget, scope, per_week, actual, edges } in budgets.shown() {
        let labels = [budget.as_str(), scope.as_str()];
        metrics.gauge(&BUDGET, &labels).set(per_week);
        match actual {
            Some(actual) => metrics.gauge(&ACTUAL, &labels).set(actual),
            None => metrics.forget(&ACTUAL, &labels),
        }
        metrics.gauge(&EDGE, &[&budget, "median"]).set(f64::from(edges.0));
        metrics.gauge(&EDGE, &[&budget, "max"]).set(f64::from(edges.1));
    }
    let (edge, share) = budgets.discovery();
    metrics.gauge(&DISCOVERY_EDGE, &[]).set(f64::from(edge));
    metrics.gauge(&DISCOVERY_RATE, &[]).set(share);
}

/// Shows these budgets no longer: some may be gone, or count by another unit.
pub fn forget_budgets(metrics: &Metrics, shown: &[Shown]) {
    for Shown { budget, scope, .. } in shown {
        let labels = [budget.as_str(), scope.as_str()];
        metrics.forget(&BUDGET, &labels);
        metrics.forget(&ACTUAL, &labels);
        metrics.forget(&EDGE, &[budget, "median"]);
        metrics.forget(&EDGE, &[budget, "max"]);
    }
}

/// Shows how many anomalies did not become alerts.
pub fn show_suppressed(metrics: &Metrics, budgets: &Budgets) {
    for (reason, count) in Reason::ALL.into_iter().zip(budgets.suppressed()) {
        let counter = metrics.counter(&ALERTS_SUPPRESSED, &[reason.as_str()]);
        let new = count as f64 - counter.get();
        if new > 0.0 {
            counter.inc_by(new);
        }
    }
}

/// Handles of these metrics.
#[derive(Debug)]
pub struct AlertGauges {
    pending: Gauge,
    firing: Gauge,
    held: Gauge,
    suppressed: Gauge,
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
            suppressed: state("suppressed"),
            refused: metrics.counter(&ALERTS_REFUSED, &[]),
        }
    }

    /// Shows what the book counts.
    pub fn set(&self, counts: Counts) {
        self.pending.set(counts.pending as f64);
        self.firing.set(counts.firing as f64);
        self.held.set(counts.held as f64);
        self.suppressed.set(counts.suppressed as f64);
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
            Counts { pending: 9, firing: 9, held: 9, suppressed: 9, refused: 2 },
            Counts { pending: 1, firing: 2, held: 3, suppressed: 4, refused: 5 },
        ] {
            gauges.set(counts);
        }
        let shown =
            ["pending", "firing", "held", "suppressed"].map(|state| metrics.gauge(&ALERTS, &[state]).get() as u64);
        assert_eq!((shown, metrics.counter(&ALERTS_REFUSED, &[]).get() as u64), ([1, 2, 3, 4], 5));
    }
}
