//! What the tick stage counts of itself.

use prometheus::{Counter, Gauge, Histogram};
use watchbell_adapter_api::Metrics;

use super::fleet::Counts;
use crate::telemetry::metrics;

/// Handles of the stage's own metrics.
pub(super) struct Published {
    pub(super) ticks: Counter,
    pub(super) seconds: Histogram,
    pub(super) fit_seconds: Histogram,
    pub(super) seeded: Counter,
    pub(super) hosts: Gauge,
    pub(super) channels: Gauge,
    pub(super) groups: Gauge,
    pub(super) outliers: Gauge,
    pub(super) limited: Gauge,
    pub(super) panics: Counter,
    pub(super) failures: Counter,
    pub(super) set_aside: Counter,
}

impl Published {
    pub(super) fn new(own: &Metrics) -> Self {
        Self {
            ticks: own.counter(&metrics::TICKS, &[]),
            seconds: own.histogram(&metrics::TICK_SECONDS, &[]),
            fit_seconds: own.histogram(&metrics::FIT_SECONDS, &[]),
            seeded: own.counter(&metrics::SERIES_INHERITED, &[]),
            hosts: own.gauge(&metrics::JOINT_MODELS, &["hosts"]),
            channels: own.gauge(&metrics::JOINT_MODELS, &["channels"]),
            groups: own.gauge(&metrics::PEER_GROUPS, &[]),
            outliers: own.gauge(&metrics::PEER_OUTLIERS, &[]),
            limited: own.gauge(&metrics::LIMIT_REACHED, &["joint_hosts"]),
            panics: own.counter(&metrics::PANICS, &["hosts"]),
            failures: own.counter(&metrics::CHECKPOINT_FAILURES, &[]),
            set_aside: own.counter(&metrics::CHECKPOINT_SET_ASIDE, &[]),
        }
    }

    /// Shows the numbers of a tick.
    pub(super) fn set(&self, counts: Counts) {
        self.hosts.set(counts.hosts as f64);
        self.channels.set(counts.channels as f64);
        self.groups.set(counts.groups as f64);
        self.outliers.set(counts.outliers as f64);
        self.limited.set(f64::from(u8::from(counts.limited)));
    }
}
