//! What goes wrong in the demo.

/// One incident: on one host, for a while, on some of its metrics.
#[derive(Debug, Clone, Copy)]
pub struct Incident {
    /// What people would call it.
    pub title: &'static str,
    /// Where.
    pub host: &'static str,
    /// Begin, seconds since the Unix epoch.
    pub start_s: i64,
    /// How long, in seconds.
    pub length_s: i64,
    effects: &'static [Effect],
}

#[derive(Debug, Clone, Copy)]
struct Effect {
    metric: &'static str,
    label: Option<&'static str>,
    change: Change,
}

#[derive(Debug, Clone, Copy)]
enum Change {
    /// The usual value times this.
    Times(f64),
    /// Falls (or climbs) by this share of the usual value in an hour.
    PerHour(f64),
    /// Stays at this.
    Stuck(f64),
}

const fn times(metric: &'static str, label: Option<&'static str>, factor: f64) -> Effect {
    Effect { metric, label, change: Change::Times(factor) }
}

const RUNAWAY: &[Effect] = &[times("node_load1", None, 6.0), times("node_cpu_seconds_total", Some("user"), 3.2)];
const ERRORS: &[Effect] = &[
    times("http_requests_total", Some("500"), 40.0),
    times("http_requests_total", Some("200"), 0.7),
    times("http_request_duration_p99_seconds", None, 4.0),
];
const FILLING: &[Effect] =
    &[Effect { metric: "node_filesystem_avail_bytes", label: None, change: Change::PerHour(-0.35) }];
const REPLICATION: &[Effect] = &[
    times("pg_replication_lag_seconds", None, 60.0),
    times("node_disk_io_time_seconds_total", None, 4.0),
    times("node_cpu_seconds_total", Some("iowait"), 8.0),
];
const SILENT: &[Effect] =
    &[times("node_network_receive_bytes_total", None, 0.02), times("node_network_transmit_bytes_total", None, 0.02)];
const STUCK: &[Effect] =
    &[Effect { metric: "http_request_duration_p99_seconds", label: None, change: Change::Stuck(0.183) }];

const PLAN: &[(&str, &str, i64, i64, &[Effect])] = &[
    ("runaway process", "batch-1", 10 * 3_600, 30 * 60, RUNAWAY),
    ("errors after a release", "web-2", 8 * 3_600, 25 * 60, ERRORS),
    ("disk filling up", "mail-1", 6 * 3_600, 2 * 3_600, FILLING),
    ("replication falls behind", "db-2", 4 * 3_600, 40 * 60, REPLICATION),
    ("network all but gone", "cache-1", 2 * 3_600, 15 * 60, SILENT),
    ("sensor stuck", "web-3", 3 * 3_600, 90 * 60, STUCK),
];

/// The incidents of the replay, in the last hours before `end_s`.
#[must_use]
pub fn before(end_s: i64) -> Vec<Incident> {
    let mut all: Vec<Incident> = PLAN
        .iter()
        .map(|&(title, host, ago, length_s, effects)| Incident { title, host, start_s: end_s - ago, length_s, effects })
        .collect();
    all.sort_by_key(|incident| incident.start_s);
    all
}

/// What goes wrong again and again once the demo runs in real time: two minutes of errors in each ten.
#[must_use]
pub fn live(now_s: i64) -> Incident {
    let start_s = now_s - now_s.rem_euclid(600) + 60;
    Incident { title: "errors after a release", host: "web-1", start_s, length_s: 120, effects: ERRORS }
}

impl Incident {
    /// Whether it goes on at `ts_s`.
    #[must_use]
    pub fn active(&self, ts_s: i64) -> bool {
        (self.start_s..self.start_s + self.length_s).contains(&ts_s)
    }

    /// What becomes of the value of a metric.
    #[must_use]
    pub fn apply(&self, metric: &str, label: Option<(&str, &str)>, value: f64, ts_s: i64) -> f64 {
        let touched = |e: &&Effect| e.metric == metric && e.label.is_none_or(|l| label.is_some_and(|(_, v)| v == l));
        match self.effects.iter().find(touched).map(|e| e.change) {
            None => value,
            Some(Change::Times(factor)) => value * factor,
            Some(Change::Stuck(at)) => at,
            Some(Change::PerHour(share)) => value * (1.0 + share * (ts_s - self.start_s) as f64 / 3_600.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_metrics_and_time() {
        let all = before(1_000_000);
        assert!(all.is_sorted_by_key(|i| i.start_s));
        let errors = all.iter().find(|i| i.host == "web-2").expect("planned");
        assert!(errors.active(errors.start_s) && !errors.active(errors.start_s + errors.length_s));
        assert_eq!(errors.apply("http_requests_total", Some(("code", "500")), 2.0, errors.start_s), 80.0);
        assert_eq!(errors.apply("node_load1", None, 2.0, errors.start_s), 2.0);
    }
}
