//! A made-up fleet: hosts, their series, and what these are worth at a time. All from a seed.

use watchbell_series::{Labels, MetricKind};

use super::incidents::Incident;

/// Seconds between two samples.
pub const STEP_S: i64 = 15;
const DAY_S: f64 = 86_400.0;

/// How a series behaves when nothing is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Mean value; per second for counters.
    pub base: f64,
    /// How far the daily season swings, relative to `base`.
    pub season: f64,
    /// Standard deviation of the noise, relative to `base`.
    pub noise: f64,
    /// Least value.
    pub min: f64,
}

/// One metric that every host of a role has.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name.
    pub name: &'static str,
    /// A further label.
    pub label: Option<(&'static str, &'static str)>,
    /// Gauge or counter.
    pub kind: MetricKind,
    /// Behaviour.
    pub shape: Shape,
}

const fn gauge(name: &'static str, base: f64, season: f64, noise: f64) -> Metric {
    Metric { name, label: None, kind: MetricKind::Gauge, shape: Shape { base, season, noise, min: 0.0 } }
}

const fn counter(
    name: &'static str,
    label: Option<(&'static str, &'static str)>,
    base: f64,
    season: f64,
    noise: f64,
) -> Metric {
    Metric { name, label, kind: MetricKind::Counter, shape: Shape { base, season, noise, min: 0.0 } }
}

/// What every host has.
const COMMON: &[Metric] = &[
    gauge("node_load1", 1.2, 0.5, 0.10),
    gauge("node_memory_MemAvailable_bytes", 9e9, 0.1, 0.01),
    Metric { label: Some(("mountpoint", "/")), ..gauge("node_filesystem_avail_bytes", 4e10, 0.0, 0.0005) },
    counter("node_cpu_seconds_total", Some(("mode", "user")), 1.1, 0.5, 0.08),
    counter("node_cpu_seconds_total", Some(("mode", "iowait")), 0.05, 0.2, 0.25),
    counter("node_network_receive_bytes_total", Some(("device", "eth0")), 3e6, 0.3, 0.04),
    counter("node_network_transmit_bytes_total", Some(("device", "eth0")), 5e6, 0.3, 0.04),
    counter("node_disk_io_time_seconds_total", Some(("device", "sda")), 0.12, 0.3, 0.15),
];

/// What web hosts have beside that.
const WEB: &[Metric] = &[
    counter("http_requests_total", Some(("code", "200")), 140.0, 0.7, 0.06),
    counter("http_requests_total", Some(("code", "500")), 0.4, 0.4, 0.30),
    gauge("http_request_duration_p99_seconds", 0.18, 0.15, 0.06),
];

/// What databases have beside that.
const DB: &[Metric] = &[
    gauge("pg_stat_activity_count", 42.0, 0.4, 0.06),
    counter("pg_stat_database_xact_commit", Some(("datname", "shop")), 310.0, 0.6, 0.06),
    gauge("pg_replication_lag_seconds", 0.4, 0.1, 0.20),
];

const HOSTS: &[(&str, &[Metric])] = &[
    ("web-1", WEB),
    ("web-2", WEB),
    ("web-3", WEB),
    ("db-1", DB),
    ("db-2", DB),
    ("cache-1", &[]),
    ("batch-1", &[]),
    ("mail-1", &[]),
];

/// One series of the fleet.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its host.
    pub host: &'static str,
    /// Its metric.
    pub metric: &'static Metric,
    /// Its labels.
    pub labels: Labels,
    /// Differs from host to host, so that no two are alike.
    factor: f64,
    total: f64,
    noise: Noise,
}

/// All series of the fleet.
#[must_use]
pub fn fleet() -> Vec<Series> {
    let mut all = Vec::new();
    for (n, (host, own)) in HOSTS.iter().enumerate() {
        for metric in COMMON.iter().chain(*own) {
            let mut pairs = vec![("__name__", metric.name), ("job", "demo"), ("demo", "true")];
            let instance = format!("{host}:9100");
            pairs.push(("instance", &instance));
            pairs.extend(metric.label);
            let labels = Labels::series(pairs).unwrap_or_default();
            let factor = 0.8 + 0.4 * (n as f64 / HOSTS.len() as f64);
            let noise = Noise(labels.id().0 | 1);
            all.push(Series { host, metric, labels, factor, total: 1e6, noise });
        }
    }
    all
}

impl Series {
    /// The raw value at `ts_s`, to be called once for each step: counters add up.
    pub fn next(&mut self, ts_s: i64, incidents: &[Incident]) -> f64 {
        let shape = self.metric.shape;
        // The day is busiest at 15:00 UTC; each host a little off.
        let phase = (ts_s as f64 / DAY_S + 0.1 * self.factor - 0.375) * std::f64::consts::TAU;
        let usual = shape.base * self.factor * (1.0 + shape.season * phase.sin());
        let noise = shape.base * self.factor * shape.noise * self.noise.normal();
        let mut value = usual + noise;
        for incident in incidents.iter().filter(|i| i.host == self.host && i.active(ts_s)) {
            value = incident.apply(self.metric.name, self.metric.label, value, ts_s);
        }
        let value = value.max(shape.min);
        if self.metric.kind == MetricKind::Counter {
            self.total += value * STEP_S as f64;
            self.total
        } else {
            value
        }
    }
}

/// A small deterministic source of noise (xorshift64*, Vigna 2016).
#[derive(Debug, Clone)]
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal: the sum of twelve uniform numbers.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_same_each_time_and_counters_grow() {
        let (mut a, mut b) = (fleet(), fleet());
        assert_eq!(a.len(), HOSTS.len() * COMMON.len() + 3 * WEB.len() + 2 * DB.len());
        let mut last = vec![f64::MIN; a.len()];
        for step in 0..200 {
            for (i, (a, b)) in a.iter_mut().zip(&mut b).enumerate() {
                let (x, y) = (a.next(step * STEP_S, &[]), b.next(step * STEP_S, &[]));
                assert_eq!(x.to_bits(), y.to_bits());
                if a.metric.kind == MetricKind::Counter {
                    assert!(x >= last[i]);
                    last[i] = x;
                }
            }
        }
    }
}
