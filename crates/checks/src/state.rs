//! What a monitoring server knows of its hosts and services: states become series, hard problems foreign problems, and
//! downtimes quiet windows. Which way it was asked makes no difference.

mod downtime;
mod problem;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use watchbell_series::labels::NAME;
use watchbell_series::{ForeignProblem, Labels, MatchOp, Matcher, MetricKind, RawBatch, RawSample, Subject};

pub use self::downtime::{Downtime, Windows};
use self::problem::{Before, Open};
use crate::feed::{OWN, Origin, text};
use crate::intake::Intake;

/// A host or service as its server has it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Check<'a> {
    /// Name of the host.
    pub host: &'a [u8],
    /// Name of the service; empty for the host itself.
    pub service: &'a [u8],
    /// Name of the check command; may be empty.
    pub command: &'a [u8],
    /// Host: 0 up, 1 down, 2 unreachable. Service: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    pub state: u8,
    /// Whether the state is a hard one, no more waiting to be confirmed.
    pub hard: bool,
    /// Whether there ever was a result.
    pub checked: bool,
    /// When the last check ran, milliseconds since the Unix epoch.
    pub last_check_ms: i64,
    /// How long it took, in seconds.
    pub execution_s: Option<f64>,
    /// How late it began, in seconds.
    pub latency_s: Option<f64>,
    /// Whether someone took the problem on.
    pub acknowledged: bool,
    /// Downtimes that hold now.
    pub downtime: u32,
    /// Whether the state changes all the time.
    pub flapping: bool,
    /// Since when the hard state is what it is, milliseconds since the Unix epoch; 0 where that is not known.
    pub hard_since_ms: i64,
    /// When it was last OK or up, milliseconds since the Unix epoch; 0 for never, or not known.
    pub last_ok_ms: i64,
    /// What the plugin said, its first line.
    pub output: &'a [u8],
    /// Performance data.
    pub perfdata: &'a [u8],
}

impl Check<'_> {
    /// Whether it is a service that Watchbell itself reports to: never read back.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.perfdata.windows(OWN.len()).any(|part| part == OWN.as_bytes())
    }
}

/// What was last known of all hosts and services of a server, so that only what is new is judged.
#[derive(Debug)]
pub struct States {
    labels: BTreeMap<String, String>,
    perfdata: bool,
    seen: HashMap<Name, Seen>,
    round: u32,
    before: Before,
    problems: Vec<ForeignProblem>,
}

/// A last check that is further in the future, in milliseconds, is not believed.
const AHEAD_MS: i64 = 60_000;

/// Host, and service or nothing.
type Name = (Box<[u8]>, Box<[u8]>);

#[derive(Debug)]
struct Seen {
    last_check_ms: i64,
    marks: Marks,
    last_ok_ms: i64,
    problem: Option<Open>,
    round: u32,
}

/// What people and the server say of it: acknowledged, downtimes, flapping.
type Marks = (bool, u32, bool);

impl States {
    /// With these further `labels` of all series; `perfdata` says whether performance data are judged too. Problems
    /// that are `open` since before the start go on, or end by what is noted of them and at the latest with the first
    /// whole round that says nothing of them.
    #[must_use]
    pub fn new(labels: BTreeMap<String, String>, perfdata: bool, open: Vec<ForeignProblem>) -> Self {
        let mut problems = Vec::new();
        let before = Before::of(open, &mut problems);
        Self { labels, perfdata, seen: HashMap::new(), round: 0, before, problems }
    }

    /// Appends what is new in `check` to `batch`. `now_ms` is the server's time.
    pub fn note(&mut self, check: &Check<'_>, now_ms: i64, intake: &Intake, batch: &mut RawBatch) {
        if check.is_own() {
            return self.forget(check.host, check.service, now_ms);
        }
        if !check.checked || check.last_check_ms <= 0 {
            return;
        }
        let marks = (check.acknowledged, check.downtime, check.flapping);
        let key = (Box::from(check.host), Box::from(check.service));
        let first = Seen { last_check_ms: i64::MIN, marks, last_ok_ms: 0, problem: None, round: self.round };
        let mut is_new = false;
        let before = &mut self.before;
        let seen = self.seen.entry(key).or_insert_with(|| {
            is_new = true;
            Seen { problem: before.take(check.host, check.service), ..first }
        });
        // A clock that was ahead for once must not keep out all that comes until then.
        let ahead = seen.last_check_ms > now_ms.saturating_add(AHEAD_MS) && check.last_check_ms < seen.last_check_ms;
        let ran = ahead || check.last_check_ms > seen.last_check_ms;
        let marked = is_new || seen.marks != marks;
        seen.round = self.round;
        // An answer that was on its way while an event came is older than what is known.
        if check.last_check_ms < seen.last_check_ms && !ahead {
            return;
        }
        (seen.last_check_ms, seen.marks) = (check.last_check_ms, marks);
        seen.last_ok_ms = if check.state == 0 { check.last_check_ms } else { seen.last_ok_ms.max(check.last_ok_ms) };
        seen.change(check, &self.labels, &mut self.problems);
        if ran {
            self.result(check, batch);
            if self.perfdata {
                let (ts_ms, command) = (check.last_check_ms, check.command);
                let origin = Origin { ts_ms, host: check.host, service: check.service, command };
                intake.write_perfdata(origin, check.perfdata, batch);
            }
        }
        if ran || marked {
            self.marks(check, now_ms, batch);
        }
    }

    /// Forgets a host or service; its problem is over. For services of Watchbell's own: while it was down they said so
    /// themselves, which is nobody's problem any more.
    pub fn forget(&mut self, host: &[u8], service: &[u8], now_ms: i64) {
        let seen = self.seen.remove(&(Box::from(host), Box::from(service)));
        let open = seen.and_then(|seen| seen.problem).or_else(|| self.before.take(host, service));
        self.problems.extend(open.map(|open| open.ended(now_ms)));
    }

    /// Begins a round in which everything there is is noted.
    pub fn begin(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// Ends it: what was not noted since [`States::begin`] is gone, and its problem over.
    pub fn end(&mut self, now_ms: i64) {
        let Self { seen, round, problems, before, .. } = self;
        problems.extend(before.rest().map(|open| open.ended(now_ms)));
        seen.retain(|_, seen| {
            let there = seen.round == *round;
            if !there {
                problems.extend(seen.problem.take().map(|open| open.ended(now_ms)));
            }
            there
        });
    }

    /// Downtimes of a host or service that hold now, as far as is known.
    #[must_use]
    pub fn downtimes(&self, host: &[u8], service: &[u8]) -> u32 {
        self.seen.get(&(Box::from(host), Box::from(service))).map_or(0, |seen| seen.marks.1)
    }

    /// Problems that are new or changed since this was last asked.
    pub fn problems(&mut self) -> Vec<ForeignProblem> {
        std::mem::take(&mut self.problems)
    }

    fn result(&self, check: &Check<'_>, batch: &mut RawBatch) {
        let name = if check.service.is_empty() { "nagios_host_state" } else { "nagios_service_state" };
        self.push(name, f64::from(check.state), check, check.last_check_ms, batch);
        for (name, value) in
            [("nagios_check_execution_seconds", check.execution_s), ("nagios_check_latency_seconds", check.latency_s)]
        {
            if let Some(value) = value {
                self.push(name, value, check, check.last_check_ms, batch);
            }
        }
    }

    fn marks(&self, check: &Check<'_>, ts_ms: i64, batch: &mut RawBatch) {
        let of_host = check.service.is_empty();
        for (host, service, value) in [
            ("nagios_host_acknowledged", "nagios_service_acknowledged", u32::from(check.acknowledged)),
            ("nagios_host_downtime", "nagios_service_downtime", check.downtime),
            ("nagios_host_flapping", "nagios_service_flapping", u32::from(check.flapping)),
        ] {
            self.push(if of_host { host } else { service }, f64::from(value), check, ts_ms, batch);
        }
    }

    fn push(&self, name: &str, value: f64, check: &Check<'_>, ts_ms: i64, batch: &mut RawBatch) {
        let (host, service) = (text(check.host), text(check.service));
        let own = [(NAME, name), ("host", &host), ("service", &service)];
        let labels = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        // Names are checked and differ; a text that is too long for a label can not be kept.
        if let Ok(labels) = Labels::series(own.into_iter().chain(labels)) {
            batch.push(&labels, MetricKind::Gauge, &[RawSample { ts_ms, value }]);
        }
    }
}

/// Whom something of a host or, if `service` is not empty, of a service is about. `labels` are those of the config.
#[must_use]
pub fn subject(host: &[u8], service: &[u8], labels: &BTreeMap<String, String>) -> Subject {
    let (host, service) = (text(host), text(service));
    if service.is_empty() {
        return Subject::Host(Box::from(&*host));
    }
    let own = [("host", &*host), ("service", &*service)].into_iter();
    let all = own.chain(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    // Only a regular expression can be wrong.
    Subject::Series(all.filter_map(|(name, value)| Matcher::new(name, MatchOp::Equal, value).ok()).collect())
}
