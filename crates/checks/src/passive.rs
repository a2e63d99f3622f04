//! Passive check results: what every way into Nagios is given, whichever way it takes.
//!
//! Each interval the roll-ups of all hosts are read and made into one result for each: state by configurable
//! edges, the series that stand out most in the text, score and share of anomalous series as performance data. A
//! result is sent at once when its state changed, and again after `heartbeat` when not, so that freshness checks
//! hold. Nothing queues up: what could not be sent is made anew, from what is true then.

mod collect;
mod engine;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{MetricDef, MetricKindDef, Problems, Span};

pub use engine::{Sent, Way, run};
pub use words::cut;

/// Own metrics of all sinks of passive results.
pub const METRICS: &[MetricDef] = &[RESULTS, FAILURES, SKIPPED];

/// Own metric: results handed on.
pub const RESULTS: MetricDef = MetricDef {
    name: "watchbell_nagios_results_total",
    kind: MetricKindDef::Counter,
    help: "Passive check results handed to Nagios.",
    labels: &["sink"],
};
/// Own metric: rounds that failed.
pub const FAILURES: MetricDef = MetricDef {
    name: "watchbell_nagios_result_failures_total",
    kind: MetricKindDef::Counter,
    help: "Rounds in which not all passive check results could be handed to Nagios.",
    labels: &["sink"],
};
/// Own metric: names that can not be used.
pub const SKIPPED: MetricDef = MetricDef {
    name: "watchbell_nagios_results_skipped_total",
    kind: MetricKindDef::Counter,
    help: "Hosts and services that Nagios can have no result of, because of `;`, line breaks or their length.",
    labels: &["sink"],
};

/// What becomes a result, and in which state.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResultsConfig {
    /// Name of the service that each host must have in Nagios for its result.
    pub service: String,
    /// Hosts that are reported: a regular expression on the name in Watchbell, anchored at both ends. Nagios
    /// ignores results of hosts it does not know, and logs each.
    pub hosts: String,
    /// Names of hosts in Nagios, `{web-1.example.org: web-1}`, where they are not those that sources of Nagios and
    /// Icinga tell for the host, or its name in Watchbell where these tell none.
    pub host_names: BTreeMap<String, String>,
    /// Also one result for each service whose performance data are judged, as a service of this name;
    /// `{service}` stands for its own, as in `{service} anomaly`. Its score is that of its worst series.
    pub per_service: Option<String>,
    /// Score from which the state is WARNING. 1 is the edge of what is normal.
    pub warning: f64,
    /// Score from which the state is CRITICAL; leave it empty for never.
    pub critical: Option<f64>,
    /// State while there is no score yet.
    pub not_ready: NotReadyState,
    /// How often scores are looked at, at least 1s.
    pub interval: Span,
    /// How often a result is sent again although its state did not change. Must be shorter than the
    /// `freshness_threshold` of the services.
    pub heartbeat: Span,
    /// How many series that stand out are named in the text.
    pub reasons: usize,
}

impl Default for ResultsConfig {
    fn default() -> Self {
        Self {
            service: "Anomaly".to_owned(),
            hosts: ".*".to_owned(),
            host_names: BTreeMap::new(),
            per_service: None,
            warning: 1.0,
            critical: Some(2.0),
            not_ready: NotReadyState::Ok,
            interval: Span::seconds(10),
            heartbeat: Span::seconds(60),
            reasons: 3,
        }
    }
}

/// A state that means "not known yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NotReadyState {
    /// OK: learning is no trouble.
    Ok,
    /// UNKNOWN.
    Unknown,
}

/// Checked [`ResultsConfig`].
#[derive(Debug, Clone)]
pub struct Plan {
    service: String,
    hosts: Regex,
    host_names: BTreeMap<String, String>,
    per_service: Option<String>,
    edges: Edges,
    interval: Duration,
    heartbeat_ms: i64,
    reasons: usize,
}

/// From a score to a state.
#[derive(Debug, Clone, Copy)]
struct Edges {
    warning: f64,
    critical: Option<f64>,
    not_ready: State,
}

impl Edges {
    fn state(&self, score: f32) -> State {
        let score = f64::from(score);
        if score.is_nan() {
            self.not_ready
        } else if self.critical.is_some_and(|edge| score >= edge) {
            State::Critical
        } else if score >= self.warning {
            State::Warning
        } else {
            State::Ok
        }
    }
}

/// State of a service, with Nagios's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// What is normal.
    Ok = 0,
    /// Somebody should look.
    Warning = 1,
    /// Somebody should look now.
    Critical = 2,
    /// Nothing can be said.
    Unknown = 3,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// One result. Names hold no `;` and no line break, texts no `|`, backslash or line break.
#[derive(Debug, Clone, PartialEq)]
pub struct PassiveResult {
    /// Name of the host there.
    pub host: String,
    /// Name of the service there.
    pub service: String,
    /// Its state.
    pub state: State,
    /// When it was found, seconds since the Unix epoch.
    pub time_s: i64,
    /// What it says.
    pub text: String,
    /// Its performance data.
    pub perfdata: String,
}

impl PassiveResult {
    /// Text and performance data in at most `max` bytes; the text is cut, the performance data are kept.
    pub fn output(&self, max: usize) -> String {
        let room = max.saturating_sub(self.perfdata.len() + 1);
        format!("{}|{}", cut(&self.text, room), self.perfdata)
    }
}

impl ResultsConfig {
    /// Checks the meaning; problems are noted under `results`.
    pub fn check(self, problems: &mut Problems) -> Option<Plan> {
        let mut part = Problems::default();
        if !words::is_name(&self.service) {
            part.hint(
                "service",
                format!("`{}` is no name of a service", self.service),
                "no `;`, no line break, at most 127 bytes",
            );
        }
        let hosts = part.take("hosts", Regex::new(&format!("^(?:{})$", self.hosts)));
        for (host, name) in &self.host_names {
            if !words::is_name(name) {
                part.add(format!("host_names.{host}"), format!("`{name}` is no name of a host"));
            }
        }
        if let Some(name) =
            self.per_service.as_deref().filter(|name| !name.contains("{service}") || *name == "{service}")
        {
            let hint =
                "write it as `{service} anomaly`: a result under the service's own name would overwrite its check";
            part.hint("per_service", format!("`{name}` does not make a name from that of the service"), hint);
        }
        if !(self.warning > 0.0 && self.warning.is_finite()) {
            part.hint("warning", format!("`{}` is no edge", self.warning), "1 is the edge of what is normal");
        }
        if let Some(critical) = self.critical.filter(|critical| critical.is_nan() || *critical < self.warning) {
            part.hint("critical", format!("`{critical}` is below `warning`"), "leave it empty for no CRITICAL");
        }
        if self.interval < Span::seconds(1) {
            part.hint("interval", format!("`{}` is too short", self.interval), "use at least `1s`");
        }
        if self.heartbeat < self.interval {
            part.hint("heartbeat", format!("`{}` is shorter than `interval`", self.heartbeat), "`1m` is usual");
        }
        let hosts = hosts.filter(|_| part.is_empty());
        problems.within("results", part);
        let not_ready = match self.not_ready {
            NotReadyState::Ok => State::Ok,
            NotReadyState::Unknown => State::Unknown,
        };
        Some(Plan {
            service: self.service,
            hosts: hosts?,
            host_names: self.host_names,
            per_service: self.per_service,
            edges: Edges { warning: self.warning, critical: self.critical, not_ready },
            interval: self.interval.0,
            heartbeat_ms: self.heartbeat.millis(),
            reasons: self.reasons.min(20),
        })
    }
}
