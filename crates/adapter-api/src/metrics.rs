//! Own metrics: every name stands in a table, handles are made once and held.
//!
//! An adapter lists its metrics in a `const METRICS: &[MetricDef]`, which its kind rows carry; the
//! service registers all tables at start and documents are generated from them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
pub use prometheus::{Counter, Gauge, Histogram};
use prometheus::{CounterVec, GaugeVec, HistogramOpts, HistogramVec, Opts, Registry};

/// Kind of an own metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricKindDef {
    /// Only grows; the name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations or sizes in these buckets.
    Histogram(&'static [f64]),
}

/// One own metric: the only place where its name is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricDef {
    /// Full name, beginning `watchbell_`.
    pub name: &'static str,
    /// Kind.
    pub kind: MetricKindDef,
    /// One sentence: what it counts and its unit.
    pub help: &'static str,
    /// Label names.
    pub labels: &'static [&'static str],
}

/// Buckets for durations in seconds, 1 ms to 30 s.
pub const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

enum Family {
    Counter(CounterVec),
    Gauge(GaugeVec),
    Histogram(HistogramVec),
}

/// Makes handles of own metrics. Cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    registry: Registry,
    families: Mutex<HashMap<&'static str, Family>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// The registry behind it, to be gathered for `/metrics`.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// The counter `def` with these label values, in the order of `def.labels`.
    ///
    /// # Panics
    /// When `def` is no counter, or the number of values is not that of its labels: a mistake in code.
    #[must_use]
    pub fn counter(&self, def: &'static MetricDef, values: &[&str]) -> Counter {
        self.family(def, |family| match family {
            Family::Counter(vec) => vec.with_label_values(values),
            _ => panic!("{} is no counter", def.name),
        })
    }

    /// The gauge `def` with these label values.
    ///
    /// # Panics
    /// As [`Metrics::counter`].
    #[must_use]
    pub fn gauge(&self, def: &'static MetricDef, values: &[&str]) -> Gauge {
        self.family(def, |family| match family {
            Family::Gauge(vec) => vec.with_label_values(values),
            _ => panic!("{} is no gauge", def.name),
        })
    }

    /// The histogram `def` with these label values.
    ///
    /// # Panics
    /// As [`Metrics::counter`].
    #[must_use]
    pub fn histogram(&self, def: &'static MetricDef, values: &[&str]) -> Histogram {
        self.family(def, |family| match family {
            Family::Histogram(vec) => vec.with_label_values(values),
            _ => panic!("{} is no histogram", def.name),
        })
    }

    /// Drops the series of `def` with these label values, when what they tell of is gone.
    pub fn forget(&self, def: &'static MetricDef, values: &[&str]) {
        self.family(def, |family| {
            // The only error is that there was none.
            let _ = match family {
                Family::Counter(vec) => vec.remove_label_values(values),
                Family::Gauge(vec) => vec.remove_label_values(values),
                Family::Histogram(vec) => vec.remove_label_values(values),
            };
        });
    }

    fn family<T>(&self, def: &'static MetricDef, with: impl FnOnce(&Family) -> T) -> T {
        let mut families = self.inner.families.lock().unwrap_or_else(PoisonError::into_inner);
        let family = families.entry(def.name).or_insert_with(|| self.register(def));
        with(family)
    }

    fn register(&self, def: &'static MetricDef) -> Family {
        let opts = Opts::new(def.name, def.help);
        let (family, collector): (Family, Box<dyn Collector>) = match def.kind {
            MetricKindDef::Counter => {
                let vec = CounterVec::new(opts, def.labels).expect("a name and labels from a table are valid");
                (Family::Counter(vec.clone()), Box::new(vec))
            }
            MetricKindDef::Gauge => {
                let vec = GaugeVec::new(opts, def.labels).expect("a name and labels from a table are valid");
                (Family::Gauge(vec.clone()), Box::new(vec))
            }
            MetricKindDef::Histogram(buckets) => {
                let opts = HistogramOpts::from(opts).buckets(buckets.to_vec());
                let vec = HistogramVec::new(opts, def.labels).expect("a name and labels from a table are valid");
                (Family::Histogram(vec.clone()), Box::new(vec))
            }
        };
        self.inner.registry.register(collector).expect("a name stands in one table only");
        family
    }
}
