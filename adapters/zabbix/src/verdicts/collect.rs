//! From scores to values of items.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};
use watchbell_adapter_api::sink::in_a_window;
use watchbell_adapter_api::{Cursor, HostReading, ScorePage, ScoreQuery, ScoreRow, SinkContext};
use watchbell_series::labels::NAME;
use watchbell_series::{Reading, SeriesId};

use super::key::{self, Part};
use super::ledger::Ledger;
use super::words::{describe, float};
use super::{ItemValue, Plan};

/// The series that come from Zabbix, as rules/mappings/zabbix.yaml describes them.
pub(super) const OF_ZABBIX: [&str; 2] = ["{__name__=~\"zabbix_.*\",key!=\"\"}", "zabbix_item{item!=\"\"}"];
/// The sources of Zabbix that tell of series: what they call a host is its technical name.
const SOURCES: [&str; 2] = ["zabbix_history", "zabbix_export"];
/// Longest text of reasons, in bytes.
const MAX_TEXT: usize = 1_500;

/// Technical names by entity.
type Names = HashMap<String, BTreeSet<Arc<str>>>;

/// What is known of hosts before their series.
struct Hosts {
    /// What Zabbix sources call each, as far as they do.
    told: Names,
    /// Those that are in a quiet window now.
    quiet: HashSet<String>,
}

/// What a series is called in Zabbix.
struct Origin<'a> {
    /// The entity: its host in Watchbell.
    entity: &'a str,
    /// Technical name of its host, if it comes from Zabbix.
    technical: &'a str,
    key: Cow<'a, str>,
    units: &'a str,
}

impl<'a> Origin<'a> {
    fn of(page: &'a ScorePage, row: &ScoreRow) -> Self {
        let labels = page.labels_of(row);
        let get = |name: &str| labels.clone().find(|(n, _)| *n == name).map_or("", |(_, value)| value);
        let (metric, entity) = (get(NAME), page.host_of(row));
        // An export file tells no keys: there the name of the item stands for it.
        let key = if metric == "zabbix_item" { get("item") } else { get("key") };
        if key.is_empty() || !metric.starts_with("zabbix_") {
            let rest = labels.clone().filter(|(name, _)| !matches!(*name, NAME | "host" | "instance" | "job"));
            return Self { entity, technical: "", key: key::foreign(metric, rest).into(), units: "" };
        }
        Self { entity, technical: get("host"), key: key.into(), units: get("unit") }
    }
}

/// What was sent of a series.
struct Sent {
    ts_ms: i64,
    round: u32,
}

/// What was sent of a host.
#[derive(Default)]
struct HostSent {
    /// The values, in the order of their keys.
    values: Vec<(&'static str, String)>,
    at_ms: i64,
    /// Of the list for discovery: which series were in it, and when it was sent.
    listed: u64,
    listed_ms: Option<i64>,
}

/// Remembers what was sent, so that only news is.
pub(super) struct Collector {
    series: HashMap<SeriesId, Sent>,
    hosts: HashMap<Arc<str>, HostSent>,
    names: HashMap<String, Arc<str>>,
    round: u32,
    /// Samples up to here were sent before a restart, or are history.
    from_ms: i64,
}

/// What a round found of the selected series.
#[derive(Default)]
struct Found {
    values: Vec<ItemValue>,
    /// For each host in Zabbix a sum over its series that does not depend on their order.
    listed: HashMap<Arc<str>, u64>,
    /// Names in Zabbix of each entity, as the series have them.
    technical: Names,
}

impl Collector {
    pub(super) fn new(from_ms: i64) -> Self {
        Self { series: HashMap::new(), hosts: HashMap::new(), names: HashMap::new(), round: 0, from_ms }
    }

    /// All that is new, discovery first.
    pub(super) async fn collect(&mut self, plan: &Plan, context: &SinkContext, ledger: &Ledger) -> Vec<ItemValue> {
        let now_ms = context.clock.now_ms();
        // Hosts before their reasons: what makes the score of a host is then among them.
        let hosts = context.scores.hosts().await;
        let known = self.known(&hosts);
        let reasons = reasons(plan, context).await;
        let mut found = Found::default();
        let mut cursor = Some(Cursor::START);
        while let Some(at) = cursor {
            let page = context.scores.page(Arc::clone(&plan.query), at).await;
            // What came while the page was made is not from the future.
            let page_ms = context.clock.now_ms();
            for row in &page.rows {
                self.row((plan, &known), Origin::of(&page, row), row, page_ms, &mut found);
            }
            cursor = page.next;
        }
        let mut values = self.discovery((plan, &known), context, ledger, &found.listed, now_ms).await;
        for host in hosts {
            let names = [&known.told, &found.technical].into_iter().filter_map(|names| names.get(&host.host)).flatten();
            let mut names: BTreeSet<Arc<str>> = names.cloned().collect();
            if names.is_empty() {
                names.extend(plan.technical(&host.host, None).map(|name| self.name(name)));
            }
            for name in names {
                self.host(plan, &name, &host, &reasons, now_ms, &mut values);
            }
        }
        values.append(&mut found.values);
        self.series.retain(|_, sent| sent.round == self.round);
        self.round = self.round.wrapping_add(1);
        let kept = |sent: &HostSent| now_ms.saturating_sub(sent.at_ms) < plan.heartbeat_ms.saturating_mul(10);
        self.hosts.retain(|name, sent| kept(sent) || found.listed.contains_key(name));
        if self.names.len() > 2 * (self.hosts.len() + 1_000) {
            self.names.clear();
        }
        values
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = name.into();
        self.names.insert(name.to_owned(), Arc::clone(&new));
        new
    }

    fn known(&mut self, hosts: &[HostReading]) -> Hosts {
        let mut told = Names::new();
        for host in hosts {
            let names = host.told_by(&SOURCES);
            if !names.is_empty() {
                told.insert(host.host.clone(), names.into_iter().map(|name| self.name(name)).collect());
            }
        }
        let quiet = hosts.iter().filter(|host| host.quiet.is_some()).map(|host| host.host.clone()).collect();
        Hosts { told, quiet }
    }

    fn row(
        &mut self,
        (plan, known): (&Plan, &Hosts),
        origin: Origin<'_>,
        row: &ScoreRow,
        now_ms: i64,
        found: &mut Found,
    ) {
        let Some(name) = plan.host_of(&origin, &known.told) else { return };
        let host = self.name(name);
        let listed = found.listed.entry(Arc::clone(&host)).or_default();
        *listed = listed.wrapping_add(row.id.0 | 1);
        if !origin.technical.is_empty()
            && !found.technical.get(origin.entity).is_some_and(|names| names.contains(&host))
        {
            found.technical.entry(origin.entity.to_owned()).or_default().insert(Arc::clone(&host));
        }
        let ts_ms = row.reading.ts_ms;
        let ready = row.reading.not_ready.is_none() && row.reading.score.is_finite();
        match self.series.entry(row.id) {
            Entry::Occupied(mut sent) => {
                let sent = sent.get_mut();
                sent.round = self.round;
                if ts_ms <= sent.ts_ms || !ready {
                    return;
                }
                sent.ts_ms = ts_ms;
            }
            Entry::Vacant(new) => {
                let fresh = ready && ts_ms > self.from_ms;
                new.insert(Sent { ts_ms: if fresh { ts_ms } else { self.from_ms }, round: self.round });
                if !fresh {
                    return;
                }
            }
        }
        // A source whose clock is ahead: the item would else lead its host.
        let time_ms = ts_ms.min(now_ms);
        // No trigger is to fire by what rests; the band goes on.
        let rests = row.reading.quiet || known.quiet.contains(origin.entity);
        for part in plan.values.iter().filter(|part| !(rests && **part == Part::Score)) {
            if let Some(value) = part.of(&row.reading).and_then(float) {
                let key = plan.keys.key(*part, &origin.key).into();
                found.values.push(ItemValue { host: Arc::clone(&host), key, value, time_ms });
            }
        }
    }

    /// Lists of the hosts whose series changed, whose list is due, or was refused and may be tried again.
    async fn discovery(
        &mut self,
        (plan, known): (&Plan, &Hosts),
        context: &SinkContext,
        ledger: &Ledger,
        listed: &HashMap<Arc<str>, u64>,
        now_ms: i64,
    ) -> Vec<ItemValue> {
        if plan.keys == key::KeyStyle::Plain {
            return Vec::new();
        }
        let mut due: BTreeMap<Arc<str>, BTreeMap<String, Value>> = BTreeMap::new();
        for (host, sum) in listed {
            let sent = self.hosts.entry(Arc::clone(host)).or_default();
            let is_due = match (ledger.retry_ms(host, key::DISCOVERY), sent.listed_ms) {
                (Some(retry_ms), _) => now_ms >= retry_ms,
                (None, None) => true,
                (None, Some(at_ms)) => sent.listed != *sum || now_ms.saturating_sub(at_ms) >= plan.discovery_ms,
            };
            if is_due {
                (sent.listed, sent.listed_ms) = (*sum, Some(now_ms));
                due.insert(Arc::clone(host), BTreeMap::new());
            }
        }
        let mut cursor = (!due.is_empty()).then_some(Cursor::START);
        while let Some(at) = cursor {
            let page = context.scores.page(Arc::clone(&plan.query), at).await;
            for row in &page.rows {
                let origin = Origin::of(&page, row);
                let rows = plan.host_of(&origin, &known.told).and_then(|host| due.get_mut(host));
                if let Some(rows) = rows {
                    let row = json!({"{#KEY}": origin.key, "{#UNITS}": origin.units});
                    rows.insert(origin.key.into_owned(), row);
                }
            }
            cursor = page.next;
        }
        let value = |(host, rows): (Arc<str>, BTreeMap<String, Value>)| ItemValue {
            host,
            key: key::DISCOVERY.into(),
            value: Value::Array(rows.into_values().collect()).to_string(),
            time_ms: now_ms,
        };
        due.into_iter().map(value).collect()
    }

    /// The items of a host, if they changed or their heartbeat is due.
    fn host(
        &mut self,
        plan: &Plan,
        name: &Arc<str>,
        host: &HostReading,
        reasons: &HashMap<String, Vec<Reason>>,
        now_ms: i64,
        values: &mut Vec<ItemValue>,
    ) {
        if !plan.hosts.is_match(name) {
            return;
        }
        // Reasons first: the problem that the score makes has them in its name.
        let mut items = vec![(key::HOST_REASONS, text(host, reasons.get(&host.host).map_or(&[], Vec::as_slice)))];
        // In a quiet window no trigger is to fire: the heartbeat alone goes on.
        let awake = host.quiet.is_none();
        let score = float((f64::from(host.score) * 1_000.0).round() / 1_000.0).filter(|_| awake);
        items.extend(score.map(|value| (key::HOST_SCORE, value)));
        if host.ready > 0 && awake {
            let rate = 100.0 * f64::from(host.anomalous) / f64::from(host.ready);
            items.push((key::HOST_RATE, format!("{rate:.2}")));
        }
        items.push((key::HOST_SERIES, host.series.to_string()));
        let sent = self.hosts.entry(Arc::clone(name)).or_default();
        // A clock that was set back must not silence the heartbeat.
        let since = now_ms.saturating_sub(sent.at_ms);
        if sent.values == items && (0..plan.heartbeat_ms).contains(&since) {
            return;
        }
        let value = |(key, value): &(&str, String)| ItemValue {
            host: Arc::clone(name),
            key: (*key).into(),
            value: value.clone(),
            time_ms: now_ms,
        };
        values.extend(items.iter().map(value));
        (sent.values, sent.at_ms) = (items, now_ms);
    }
}

impl Part {
    fn of(self, reading: &Reading) -> Option<f64> {
        let value = match self {
            Self::Score => f64::from((reading.score * 1_000.0).round()) / 1_000.0,
            Self::Value => reading.value,
            Self::Expected => reading.expected,
            Self::Lower => reading.lower,
            Self::Upper => reading.upper,
        };
        Some(value).filter(|value| value.is_finite())
    }
}

impl Plan {
    /// The technical name of an entity, if it is to be sent: what the config says, else what Zabbix sources have if
    /// they have one, else its name here.
    fn technical<'a>(&'a self, entity: &'a str, told: Option<&'a str>) -> Option<&'a str> {
        let name = self.host_names.get(entity).map_or(told.unwrap_or(entity), String::as_str);
        (!name.is_empty() && self.hosts.is_match(name)).then_some(name)
    }

    /// The host in Zabbix that a series belongs to, if it is to be sent.
    fn host_of<'a>(&'a self, origin: &Origin<'a>, told: &'a Names) -> Option<&'a str> {
        if origin.technical.is_empty() {
            let told = told.get(origin.entity).and_then(BTreeSet::first);
            return self.technical(origin.entity, told.map(|name| &**name));
        }
        self.hosts.is_match(origin.technical).then_some(origin.technical)
    }
}

/// A series that stands out.
struct Reason {
    score: f32,
    text: String,
}

/// The series of all sources that stand out, worst first, for each entity.
async fn reasons(plan: &Plan, context: &SinkContext) -> HashMap<String, Vec<Reason>> {
    let query = Arc::new(ScoreQuery { selectors: Vec::new(), anomalous_only: true });
    let mut reasons: HashMap<String, Vec<Reason>> = HashMap::new();
    let rank = |reason: &Reason| if reason.score.is_nan() { 0.0 } else { reason.score };
    let mut cursor = Some(Cursor::START);
    while let Some(at) = cursor {
        let page = context.scores.page(Arc::clone(&query), at).await;
        for row in &page.rows {
            let origin = Origin::of(&page, row);
            if origin.entity.is_empty() {
                continue;
            }
            let of = reasons.entry(origin.entity.to_owned()).or_default();
            let reason = Reason { score: row.reading.score, text: describe(&origin.key, row) };
            let at = of.partition_point(|other| rank(other) >= rank(&reason));
            if at < plan.reasons {
                of.insert(at, reason);
                of.truncate(plan.reasons);
            }
        }
        cursor = page.next;
    }
    reasons
}

fn text(host: &HostReading, reasons: &[Reason]) -> String {
    if host.score.is_nan() && host.quiet.is_none() {
        return "learning: nothing has a score yet".to_owned();
    }
    let counts = || format!("{} of {} series anomalous", host.anomalous, host.ready);
    let mut text = host.quiet.as_deref().map_or_else(counts, in_a_window);
    for (i, reason) in reasons.iter().filter(|_| host.quiet.is_none()).enumerate() {
        text.push_str(if i == 0 { ": " } else { ", " });
        text.push_str(&reason.text);
    }
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}
