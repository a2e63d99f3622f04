//! Source `zabbix_problems`: problems and acknowledgements, and the limits that triggers set on single items.
//!
//! Problems become weak labels of what was bad, limits are kept with their series. Triggers that are no limit of one item
//! are counted by why.

mod limits;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use watchbell_adapter_api::{
    BoxFuture, Clock, MetricDef, MetricKindDef, Problems, Source, SourceConfig, SourceContext, SourceError, Span,
};
use watchbell_series::{ForeignProblem, MatchOp, Matcher, Subject};

use crate::api::value::{flag, id, integer, list};
use crate::api::{self, Api, ApiConfig, ApiError};
use crate::history::check_span;
use crate::key::Key;
use crate::select::{SelectConfig, hosts};
use crate::watch::{Look, watch};

const PROBLEMS: MetricDef = MetricDef {
    name: "watchbell_zabbix_problems",
    kind: MetricKindDef::Gauge,
    help: "Problems of Zabbix that last now, on the hosts that are read.",
    labels: &["source"],
};
const LIMITS: MetricDef = MetricDef {
    name: "watchbell_zabbix_limits",
    kind: MetricKindDef::Gauge,
    help: "Limits known from triggers on one item.",
    labels: &["source"],
};
const UNREAD: MetricDef = MetricDef {
    name: "watchbell_zabbix_triggers_unread",
    kind: MetricKindDef::Gauge,
    help: "Triggers that give no limit, by reason: compound (several functions), function (not in the item's unit), \
           operator (= and <>), macro (value not known), form.",
    labels: &["source", "reason"],
};

/// Problems asked for at once, the newest.
const MOST: usize = 10_000;
/// Events or triggers asked for in one request.
const AT_ONCE: usize = 1_000;

/// Problems and limits.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProblemsConfig {
    /// Where the API is, and who calls it.
    pub api: ApiConfig,
    /// Which hosts; of it only what is about hosts counts.
    #[serde(default)]
    pub select: SelectConfig,
    /// How often problems are asked for, at least 1s.
    #[serde(default = "default_interval")]
    pub interval: Span,
    /// How much of past problems is read at start; `0` for none.
    #[serde(default = "default_lookback")]
    pub lookback: Span,
    /// Whether the limits that triggers set are read too.
    #[serde(default = "yes")]
    pub limits: bool,
    /// How often triggers are asked for, at least 10s.
    #[serde(default = "default_refresh")]
    pub refresh: Span,
}

fn default_interval() -> Span {
    Span::seconds(30)
}

fn default_lookback() -> Span {
    Span::seconds(7 * 86_400)
}

fn default_refresh() -> Span {
    Span::seconds(300)
}

fn yes() -> bool {
    true
}

impl SourceConfig for ProblemsConfig {
    const KIND: &'static str = "zabbix_problems";
    const SUMMARY: &'static str = "Problems and acknowledgements of Zabbix, and limits that its triggers set.";
    const METRICS: &'static [MetricDef] = &METRICS;

    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>> {
        let before = problems.len();
        check_span("interval", self.interval, 1_000, problems);
        check_span("refresh", self.refresh, 10_000, problems);
        check_span("lookback", self.lookback, 0, problems);
        let mut part = Problems::default();
        let api = self.api.prepare(&mut part);
        problems.within("api", part);
        if problems.len() > before {
            return None;
        }
        Some(Box::new(Watch { api: api?, config: self, known: HashMap::new(), begun: false, limits_at: None }))
    }
}

const METRICS: [MetricDef; 8] = {
    let [requests, failures, seconds, logins, skew] = *api::METRICS else { panic!("five metrics of the API") };
    [PROBLEMS, LIMITS, UNREAD, requests, failures, seconds, logins, skew]
};

struct Watch {
    api: Api,
    config: ProblemsConfig,
    /// Problems that were told and last, by id.
    known: HashMap<String, ForeignProblem>,
    begun: bool,
    limits_at: Option<Instant>,
}

#[derive(Debug, Deserialize)]
struct Row {
    #[serde(deserialize_with = "id")]
    eventid: u64,
    #[serde(deserialize_with = "id")]
    objectid: u64,
    #[serde(deserialize_with = "integer")]
    clock: i64,
    #[serde(default, deserialize_with = "integer")]
    r_clock: i64,
    #[serde(default, deserialize_with = "id")]
    r_eventid: u64,
    name: String,
    #[serde(default, deserialize_with = "integer")]
    severity: i64,
    #[serde(default, deserialize_with = "flag")]
    acknowledged: bool,
}

#[derive(Debug, Deserialize)]
struct TriggerRow {
    #[serde(deserialize_with = "id")]
    triggerid: u64,
    #[serde(default, deserialize_with = "list")]
    hosts: Vec<HostId>,
    #[serde(default, deserialize_with = "list")]
    items: Vec<ItemKey>,
}

#[derive(Debug, Deserialize)]
struct HostId {
    #[serde(deserialize_with = "id")]
    hostid: u64,
}

#[derive(Debug, Deserialize)]
struct ItemKey {
    key_: String,
}

#[derive(Debug, Deserialize)]
struct Recovered {
    #[serde(deserialize_with = "id")]
    eventid: u64,
    #[serde(default, deserialize_with = "id")]
    r_eventid: u64,
}

#[derive(Debug, Deserialize)]
struct Ended {
    #[serde(deserialize_with = "id")]
    eventid: u64,
    #[serde(deserialize_with = "integer")]
    clock: i64,
}

impl Source for Watch {
    fn run(self: Box<Self>, context: SourceContext) -> BoxFuture<'static, Result<(), SourceError>> {
        let api = self.api.counted(&context.metrics, &context.clock, &context.name);
        let interval = self.config.interval.0;
        Box::pin(async move {
            watch(api, interval, context, *self).await;
            Ok(())
        })
    }
}

impl Look for Watch {
    async fn look(&mut self, api: &Api, context: &SourceContext) -> Result<(), ApiError> {
        let known = hosts(api, &self.config.select).await?;
        let now_s = context.clock.now_ms() / 1_000;
        if !self.begun {
            // Those from before a restart: what became of them while nobody looked is told now.
            let open = context.context.open_problems();
            self.known = open.into_iter().map(|problem| (problem.id.clone(), problem)).collect();
        }
        if !self.begun && self.config.lookback.0 > Duration::ZERO {
            let since = now_s - self.config.lookback.millis() / 1_000;
            let rows = past(api, since).await?;
            self.tell(api, rows, &known, None, context).await?;
        }
        let params = json!({
            "output": ["eventid", "objectid", "clock", "r_eventid", "r_clock", "name", "severity", "acknowledged"],
            "source": 0, "object": 0, "recent": true, "sortfield": "eventid", "sortorder": "DESC", "limit": MOST,
        });
        let rows: Vec<Row> = api.call("problem.get", &params).await?;
        if !self.begun {
            self.tell_ends(api, &rows, context).await?;
            self.begun = true;
        }
        let whole = (rows.len() < MOST).then_some(now_s);
        self.tell(api, rows, &known, whole, context).await?;
        context.metrics.gauge(&PROBLEMS, &[&context.name]).set(self.known.len() as f64);
        if self.config.limits && self.limits_at.is_none_or(|at| at.elapsed() >= self.config.refresh.0) {
            limits::tell(api, &known, context).await?;
            self.limits_at = Some(Instant::now());
        }
        Ok(())
    }
}

/// Problems that began after `since`, with their ends.
async fn past(api: &Api, since: i64) -> Result<Vec<Row>, ApiError> {
    let params = json!({
        "output": ["eventid", "objectid", "clock", "r_eventid", "name", "severity", "acknowledged"],
        "source": 0, "object": 0, "value": 1, "time_from": since, "sortfield": "eventid", "sortorder": "DESC", "limit": MOST,
    });
    let mut rows: Vec<Row> = api.call("event.get", &params).await?;
    let clocks = clocks(api, rows.iter().map(|row| row.r_eventid)).await?;
    for row in &mut rows {
        row.r_clock = clocks.get(&row.r_eventid).copied().unwrap_or(0);
    }
    Ok(rows)
}

/// When events were, by id.
async fn clocks(api: &Api, ids: impl Iterator<Item = u64>) -> Result<HashMap<u64, i64>, ApiError> {
    let ids: Vec<u64> = ids.filter(|id| *id > 0).collect();
    let mut clocks = HashMap::new();
    for ids in ids.chunks(AT_ONCE) {
        let params = json!({"output": ["eventid", "clock"], "eventids": ids});
        clocks.extend(api.call::<Vec<Ended>>("event.get", &params).await?.iter().map(|end| (end.eventid, end.clock)));
    }
    Ok(clocks)
}

impl Watch {
    /// Tells the ends of problems that are known and not among those that last (`rows`), as far as Zabbix still has
    /// their events; what it has not ends with the whole list.
    async fn tell_ends(&mut self, api: &Api, rows: &[Row], context: &SourceContext) -> Result<(), ApiError> {
        let lasting: HashSet<u64> = rows.iter().map(|row| row.eventid).collect();
        let event = |problem: &str| problem.split('/').next().and_then(|id| id.parse::<u64>().ok());
        let ids: BTreeSet<u64> =
            self.known.keys().filter_map(|id| event(id)).filter(|id| !lasting.contains(id)).collect();
        let mut recovered = HashMap::new();
        for ids in ids.into_iter().collect::<Vec<_>>().chunks(AT_ONCE) {
            let params = json!({"output": ["eventid", "r_eventid"], "eventids": ids});
            let rows = api.call::<Vec<Recovered>>("event.get", &params).await?;
            recovered.extend(rows.iter().map(|row| (row.eventid, row.r_eventid)));
        }
        let clocks = clocks(api, recovered.values().copied()).await?;
        let mut changed = Vec::new();
        self.known.retain(|id, problem| {
            let ended = event(id).and_then(|id| clocks.get(recovered.get(&id)?));
            let ended_ms = ended.map(|clock| (clock * 1_000).max(problem.starts_ms));
            changed.extend(ended_ms.map(|ends_ms| ForeignProblem { ends_ms: Some(ends_ms), ..problem.clone() }));
            ended_ms.is_none()
        });
        if !changed.is_empty() {
            context.context.problems(changed);
        }
        Ok(())
    }

    /// Tells what is new or changed. `whole` is the time of a list that names every problem that lasts: what is not in
    /// it has ended.
    async fn tell(
        &mut self,
        api: &Api,
        rows: Vec<Row>,
        hosts: &HashMap<u64, String>,
        whole: Option<i64>,
        context: &SourceContext,
    ) -> Result<(), ApiError> {
        let subjects = subjects(api, &rows, hosts).await?;
        let (mut changed, mut seen) = (Vec::new(), HashSet::new());
        for row in &rows {
            for (host, subject) in subjects.get(&row.objectid).into_iter().flatten() {
                let problem = row.problem(*host, subject.clone());
                seen.insert(problem.id.clone());
                let lasts = problem.ends_ms.is_none();
                let known = self.known.get(&problem.id);
                // One that has ended and was told so is not known any more.
                if known != Some(&problem) && (lasts || known.is_some() || whole.is_none()) {
                    changed.push(problem.clone());
                }
                match lasts {
                    true => self.known.insert(problem.id.clone(), problem),
                    false => self.known.remove(&problem.id),
                };
            }
        }
        if let Some(now_s) = whole {
            // It ended between two looks.
            let over: Vec<String> = self.known.keys().filter(|id| !seen.contains(*id)).cloned().collect();
            changed.extend(
                over.iter()
                    .filter_map(|id| self.known.remove(id))
                    .map(|problem| ForeignProblem { ends_ms: Some((now_s * 1_000).max(problem.starts_ms)), ..problem }),
            );
        }
        if !changed.is_empty() {
            context.context.problems(changed);
        }
        Ok(())
    }
}

/// Whom triggers are about: the series of their item where they have one, else their hosts. Those on items of Watchbell's
/// own are left out.
async fn subjects(
    api: &Api,
    rows: &[Row],
    hosts: &HashMap<u64, String>,
) -> Result<HashMap<u64, Vec<(u64, Subject)>>, ApiError> {
    let mut ids: Vec<u64> = rows.iter().map(|row| row.objectid).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut subjects = HashMap::new();
    for ids in ids.chunks(AT_ONCE) {
        let params: Value =
            json!({"output": ["triggerid"], "triggerids": ids, "selectHosts": ["hostid"], "selectItems": ["key_"]});
        for row in api.call::<Vec<TriggerRow>>("trigger.get", &params).await? {
            // On scores of Watchbell's: it would agree with itself.
            if row.items.iter().any(|item| Key::read(&item.key_).is_own()) {
                continue;
            }
            let named = row.hosts.iter().filter_map(|host| Some((host.hostid, hosts.get(&host.hostid)?)));
            let of = named.map(|(id, name)| match &row.items[..] {
                [item] => (id, item_subject(name, &Key::read(&item.key_))),
                _ => (id, Subject::Host(name.as_str().into())),
            });
            subjects.insert(row.triggerid, of.collect());
        }
    }
    Ok(subjects)
}

/// The series of an item.
pub(crate) fn item_subject(host: &str, key: &Key) -> Subject {
    let equal = |name: &str, value: &str| Matcher::new(name, MatchOp::Equal, value).ok();
    let matchers: Vec<Matcher> = [equal("host", host), equal("key", &key.to_string())].into_iter().flatten().collect();
    // Only a regular expression can be refused.
    if matchers.len() == 2 { Subject::Series(matchers) } else { Subject::Host(host.into()) }
}

impl Row {
    fn problem(&self, host: u64, subject: Subject) -> ForeignProblem {
        ForeignProblem {
            id: format!("{}/{host}", self.eventid),
            subject,
            starts_ms: self.clock * 1_000,
            ends_ms: (self.r_clock > 0).then_some(self.r_clock * 1_000),
            name: self.name.clone(),
            severity: self.severity.clamp(0, 5) as u8,
            acknowledged: self.acknowledged,
        }
    }
}
