//! From scores to results.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

use watchbell_adapter_api::{Cursor, HostReading, ScoreQuery, Scores, SinkContext};
use watchbell_series::Reading;
use watchbell_series::labels::NAME;

use super::words::{is_name, number, plain};
use super::{PassiveResult, Plan};
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
    reasons: Vec<Reason>,
}

/// All results as of now, hosts in order, and how many names Nagios can not have.
pub(super) async fn collect(plan: &Plan, context: &SinkContext) -> (Vec<PassiveResult>, u64) {
    let time_s = context.clock.now_ms().div_euclid(1_000);
    let mut found = Found { plan, reasons: HashMap::new(), services: BTreeMap::new() };
    found.read(&*context.scores).await;
    let (mut results, mut skipped) = (Vec::new(), 0);
    for host in context.scores.hosts().await {
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
            if reading.score.is_finite() {
                of.ready += 1;
                of.score = of.score.max(reading.score);
            }
            if anomalous {
                of.anomalous += 1;
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
    let state = plan.edges.state(host.score);
    let text = if host.score.is_nan() {
        format!("ANOMALY {} - learning: none of {} series has a score yet", state.word(), host.series)
    } else {
        let (score, word) = (host.score, state.word());
        format!("ANOMALY {word} - score {score:.2}, {} of {} series anomalous", host.anomalous, host.ready)
    };
    let mut perfdata = score_perfdata(plan, host.score);
    if host.ready > 0 {
        let rate = 100.0 * f64::from(host.anomalous) / f64::from(host.ready);
        let _ = write!(perfdata, "watchbell_anomaly_rate={rate:.1}%;;;0;100 ");
    }
    let _ = write!(perfdata, "watchbell_series={};;;0", host.series);
    let (host, service) = (name.to_owned(), plan.service.clone());
    finished(PassiveResult { host, service, state, time_s, text: with_reasons(text, reasons), perfdata })
}

fn of_service(plan: &Plan, host: &str, service: String, of: &OfService, time_s: i64) -> PassiveResult {
    let score = if of.ready == 0 { f32::NAN } else { of.score };
    let state = plan.edges.state(score);
    let text = if score.is_nan() {
        format!("ANOMALY {} - learning: none of {} series has a score yet", state.word(), of.series)
    } else {
        format!("ANOMALY {} - score {score:.2}, {} of {} series anomalous", state.word(), of.anomalous, of.ready)
    };
    let perfdata = format!("{}watchbell_series={};;;0", score_perfdata(plan, score), of.series);
    let (host, text) = (host.to_owned(), with_reasons(text, &of.reasons));
    finished(PassiveResult { host, service, state, time_s, text, perfdata })
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
