//! From scores to results.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

use watchbell_adapter_api::sink::in_a_window;
use watchbell_adapter_api::{Cursor, HostReading, ScoreQuery, Scores, SinkContext};
use watchbell_series::Reading;
use watchbell_series::labels::NAME;

use super::words::{is_name, number, plain};
use super::{PassiveResult, Plan, State};
use crate::feed::METRIC;

/// The sources of Nagios and Icinga: what they call a host is its name there.
const SOURCES: [&str; 4] = ["nagios_perfdata", "nagios_status", "nagios_livestatus", "icinga_events"];
/// Longest text of a result, in bytes.
const MAX_TEXT: usize = 1_500;

/// A series that stands out.
struct Reason {
    score: f32,
    text: String,
}

/// What is known of one service of a host.
#[derive(Default)]
struct OfService {
    series: u32,
    ready: u32,
    anomalous: u32,
    score: f32,
    /// The worst score of the series that rest in no quiet window.
    awake: f32,
    /// The reason of the window that others rest in.
    quiet: Option<Arc<str>>,
    reasons: Vec<Reason>,
}

/// All results as of now, hosts in order, and how many names Nagios can not have.
pub(super) async fn collect(plan: &Plan, context: &SinkContext) -> (Vec<PassiveResult>, u64) {
    let time_s = context.clock.now_ms().div_euclid(1_000);
    let hosts = context.scores.hosts().await;
    let quiet = hosts.iter().filter_map(|host| Some((host.host.clone(), host.quiet.clone()?))).collect();
    let mut found = Found { plan, quiet, reasons: HashMap::new(), services: BTreeMap::new() };
    found.read(&*context.scores).await;
    let (mut results, mut skipped) = (Vec::new(), 0);
    for host in hosts {
        let reasons = found.reasons.remove(&host.host).unwrap_or_default();
        for name in plan.names(&host) {
            if is_name(name) {
                results.push(of_host(plan, name, &host, &reasons, time_s));
            } else {
                skipped += 1;
            }
        }
    }
    for ((host, service), of) in found.services {
        if is_name(&service) && is_name(&host) {
            results.push(of_service(plan, &host, service, &of, time_s));
        } else {
            skipped += 1;
        }
    }
    (results, skipped)
}

impl Plan {
    /// The names of a host in Nagios, if it is to be reported: what the config says, else what the sources of Nagios
    /// have, else its name here.
    fn names<'a>(&'a self, host: &'a HostReading) -> Vec<&'a str> {
        if !self.hosts.is_match(&host.host) {
            return Vec::new();
        }
        if let Some(name) = self.host_names.get(&host.host) {
            return vec![name];
        }
        let told = host.told_by(&SOURCES);
        if told.is_empty() { vec![&host.host] } else { told }
    }

    /// The name in Nagios of a host whose performance data call it `told`, if it is to be reported.
    fn name<'a>(&'a self, host: &str, told: &'a str) -> Option<&'a str> {
        self.hosts.is_match(host).then(|| self.host_names.get(host).map_or(told, String::as_str))
    }
}

struct Found<'a> {
    plan: &'a Plan,
    /// Reasons of the windows that hosts are in.
    quiet: HashMap<String, Arc<str>>,
    reasons: HashMap<String, Vec<Reason>>,
    /// By the names of host and service there.
    services: BTreeMap<(String, String), OfService>,
}

impl Found<'_> {
    /// Reads what is anomalous, and all performance data where services have results too.
    async fn read(&mut self, scores: &dyn Scores) {
        let all = self.plan.per_service.is_some();
        let query = Arc::new(ScoreQuery { selectors: Vec::new(), anomalous_only: !all });
        let mut cursor = Some(Cursor::START);
        while let Some(at) = cursor {
            let page = scores.page(Arc::clone(&query), at).await;
            for row in &page.rows {
                self.row(page.labels_of(row), page.host_of(row), &row.reading);
            }
            cursor = page.next;
        }
    }

    fn row<'a>(&mut self, labels: impl Iterator<Item = (&'a str, &'a str)> + Clone, host: &str, reading: &Reading) {
        let get = |name: &str| labels.clone().find(|(n, _)| *n == name).map_or("", |(_, value)| value);
        let anomalous = reading.alarm || reading.score > 1.0;
        let reason = || Reason { score: reading.score, text: describe(labels.clone(), reading) };
        if anomalous && !host.is_empty() {
            self.plan.keep(self.reasons.entry(host.to_owned()).or_default(), reason());
        }
        let service = get("service");
        let Some(pattern) = &self.plan.per_service else { return };
        if get(NAME) == METRIC && !service.is_empty() {
            let Some(name) = self.plan.name(host, get("host")) else { return };
            let key = (name.to_owned(), pattern.replace("{service}", service));
            let of = self.services.entry(key).or_default();
            of.series += 1;
            // A series that no sample came of since is not in the window of its host yet.
            let quiet = self.quiet.get(host).cloned().or_else(|| reading.quiet.then(Arc::default));
            if reading.score.is_finite() {
                of.ready += 1;
                of.score = of.score.max(reading.score);
                if quiet.is_none() {
                    of.awake = of.awake.max(reading.score);
                }
            }
            of.anomalous += u32::from(anomalous);
            if quiet.is_some() {
                of.quiet = quiet.or(of.quiet.take());
            } else if anomalous {
                self.plan.keep(&mut of.reasons, reason());
            }
        }
    }
}

impl Plan {
    /// Keeps the worst.
    fn keep(&self, reasons: &mut Vec<Reason>, reason: Reason) {
        let rank = |reason: &Reason| if reason.score.is_nan() { 0.0 } else { reason.score };
        let at = reasons.partition_point(|other| rank(other) >= rank(&reason));
        if at < self.reasons {
            reasons.insert(at, reason);
            reasons.truncate(self.reasons);
        }
    }
}

/// `load load1 7.9 (expected 1.2, score 3.4)`.
fn describe<'a>(labels: impl Iterator<Item = (&'a str, &'a str)> + Clone, reading: &Reading) -> String {
    let get = |name: &str| labels.clone().find(|(n, _)| *n == name).map_or("", |(_, value)| value);
    let mut text = String::new();
    if get(NAME) == METRIC {
        for part in [get("service"), get("child"), get("label")].iter().filter(|part| !part.is_empty()) {
            text.push_str(if text.is_empty() { "" } else { " " });
            text.push_str(part);
        }
    } else {
        text.push_str(get(NAME));
        let known = |name: &str| matches!(name, NAME | "host" | "instance" | "job");
        let rest: Vec<String> =
            labels.clone().filter(|(n, _)| !known(n)).map(|(name, value)| format!("{name}={value}")).collect();
        if !rest.is_empty() {
            // Writing to a String can not fail.
            let _ = write!(text, "{{{}}}", rest.join(","));
        }
    }
    let unit = match get("unit") {
        "seconds" => "s",
        "bytes" => "B",
        "percent" => "%",
        _ => "",
    };
    let _ = write!(text, " {}{unit} (expected {}{unit}", number(reading.value), number(reading.expected));
    if reading.score.is_finite() {
        let _ = write!(text, ", score {:.2}", reading.score);
    }
    text.push(')');
    text
}

fn of_host(plan: &Plan, name: &str, host: &HostReading, reasons: &[Reason], time_s: i64) -> PassiveResult {
    let counts = (host.anomalous, host.ready, host.series);
    let (state, text) = said(plan, host.score, counts, host.quiet.as_deref(), reasons);
    let mut perfdata = score_perfdata(plan, host.score);
    if host.ready > 0 {
        let rate = 100.0 * f64::from(host.anomalous) / f64::from(host.ready);
        let _ = write!(perfdata, "watchbell_anomaly_rate={rate:.1}%;;;0;100 ");
    }
    let _ = write!(perfdata, "watchbell_series={};;;0", host.series);
    let (host, service) = (name.to_owned(), plan.service.clone());
    finished(PassiveResult { host, service, state, time_s, text, perfdata })
}

fn of_service(plan: &Plan, host: &str, service: String, of: &OfService, time_s: i64) -> PassiveResult {
    // Where only a part of its series rest, the others alarm as ever.
    let quiet = of.quiet.as_deref().filter(|_| plan.edges.state(of.awake) == State::Ok);
    let score = match (of.ready, quiet) {
        (0, _) => f32::NAN,
        (_, Some(_)) => of.score,
        (_, None) => of.awake,
    };
    let (state, text) = said(plan, score, (of.anomalous, of.ready, of.series), quiet, &of.reasons);
    let perfdata = format!("{}watchbell_series={};;;0", score_perfdata(plan, score), of.series);
    finished(PassiveResult { host: host.to_owned(), service, state, time_s, text, perfdata })
}

/// State and text for a score and how many series are anomalous, have a score, and are judged: OK in a quiet window,
/// whatever the score, for the reason `quiet`.
fn said(
    plan: &Plan,
    score: f32,
    (anomalous, ready, series): (u32, u32, u32),
    quiet: Option<&str>,
    reasons: &[Reason],
) -> (State, String) {
    let state = if quiet.is_some() { State::Ok } else { plan.edges.state(score) };
    let mut parts = vec![format!("ANOMALY {}", state.word())];
    parts.extend(quiet.map(in_a_window));
    if !score.is_nan() {
        parts.push(format!("score {score:.2}, {anomalous} of {ready} series anomalous"));
    } else if quiet.is_none() {
        parts.push(format!("learning: none of {series} series has a score yet"));
    }
    (state, with_reasons(parts.join(" - "), if quiet.is_some() { &[] } else { reasons }))
}

/// The score with its edges, and a blank; nothing while there is no score.
fn score_perfdata(plan: &Plan, score: f32) -> String {
    if score.is_nan() {
        return String::new();
    }
    let critical = plan.edges.critical.map(|edge| edge.to_string()).unwrap_or_default();
    format!("watchbell_score={score:.3};{};{critical};0 ", plan.edges.warning)
}

fn with_reasons(mut text: String, reasons: &[Reason]) -> String {
    for (i, reason) in reasons.iter().enumerate() {
        text.push_str(if i == 0 { ": " } else { ", " });
        text.push_str(&reason.text);
    }
    text
}

fn finished(mut result: PassiveResult) -> PassiveResult {
    result.text = super::cut(&plain(&result.text), MAX_TEXT).to_owned();
    result
}
