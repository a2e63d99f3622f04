//! Source `zabbix_maintenance`: maintenances of Zabbix as planned quiet.
//!
//! Alerts of hosts in maintenance are muted and their learning is protected, whether Zabbix goes on to collect data or
//! not. What is told is where periods are in force now and in the next half day, anew at each look.

mod periods;

use std::collections::HashMap;

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use watchbell_adapter_api::{
    BoxFuture, Clock, MetricDef, MetricKindDef, Problems, Source, SourceConfig, SourceContext, SourceError, Span,
};
use watchbell_series::{QuietWindow, Subject};

use self::periods::Period;
use crate::api::value::{id, integer, list};
use crate::api::{self, Api, ApiConfig, ApiError};
use crate::history::check_span;
use crate::select::{SelectConfig, hosts};
use crate::watch::{Look, watch};

/// Windows that begin later than so many seconds from now are not told yet.
const AHEAD_S: i64 = 12 * 3_600;

const WINDOWS: MetricDef = MetricDef {
    name: "watchbell_zabbix_maintenance_windows",
    kind: MetricKindDef::Gauge,
    help: "Windows of maintenance told of, one for each host and period around now.",
    labels: &["source"],
};

/// Maintenances as planned quiet.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceConfig {
    /// Where the API is, and who calls it.
    pub api: ApiConfig,
    /// Which hosts; of it only what is about hosts counts.
    #[serde(default)]
    pub select: SelectConfig,
    /// How often maintenances are asked for, at least 1s.
    #[serde(default = "default_interval")]
    pub interval: Span,
    /// Time zone of the Zabbix server, such as `Europe/Berlin`, in which recurring periods begin. The API does not tell.
    #[serde(default = "default_zone")]
    pub time_zone: String,
}

fn default_interval() -> Span {
    Span::seconds(30)
}

fn default_zone() -> String {
    "UTC".to_owned()
}

impl SourceConfig for MaintenanceConfig {
    const KIND: &'static str = "zabbix_maintenance";
    const SUMMARY: &'static str = "Maintenances of Zabbix: mute alerts of their hosts and protect what is learned.";
    const METRICS: &'static [MetricDef] = &METRICS;

    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>> {
        let before = problems.len();
        check_span("interval", self.interval, 1_000, problems);
        let zone = TimeZone::get(&self.time_zone);
        if zone.is_err() {
            problems.hint(
                "time_zone",
                format!("`{}` is no time zone", self.time_zone),
                "use a name as `Europe/Berlin`",
            );
        }
        let mut part = Problems::default();
        let api = self.api.prepare(&mut part);
        problems.within("api", part);
        if problems.len() > before {
            return None;
        }
        Some(Box::new(Maintenances { api: api?, zone: zone.ok()?, config: self }))
    }
}

const METRICS: [MetricDef; 6] = {
    let [requests, failures, seconds, logins, skew] = *api::METRICS else { panic!("five metrics of the API") };
    [WINDOWS, requests, failures, seconds, logins, skew]
};

struct Maintenances {
    api: Api,
    zone: TimeZone,
    config: MaintenanceConfig,
}

#[derive(Deserialize)]
struct Row {
    #[serde(deserialize_with = "id")]
    maintenanceid: u64,
    name: String,
    #[serde(deserialize_with = "integer")]
    active_since: i64,
    #[serde(deserialize_with = "integer")]
    active_till: i64,
    #[serde(default, deserialize_with = "integer")]
    maintenance_type: i64,
    #[serde(default, deserialize_with = "list")]
    timeperiods: Vec<Period>,
    #[serde(default, deserialize_with = "list")]
    hosts: Vec<HostId>,
    /// `hostgroups` from 6.2 on.
    #[serde(default, alias = "hostgroups", deserialize_with = "list")]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct HostId {
    #[serde(deserialize_with = "id")]
    hostid: u64,
}

#[derive(Deserialize)]
struct Group {
    #[serde(deserialize_with = "id")]
    groupid: u64,
    #[serde(default)]
    name: String,
}

/// Ids of `groups`, and of those within them by their names among `all`: `Linux/web` is in `Linux`.
fn nested(groups: &[Group], all: &[Group]) -> Vec<u64> {
    let name = |id| all.iter().find(|group| group.groupid == id).map(|group| format!("{}/", group.name));
    let outer: Vec<String> = groups.iter().filter_map(|group| name(group.groupid)).collect();
    let inner = all.iter().filter(|group| outer.iter().any(|outer| group.name.starts_with(outer)));
    let mut ids: Vec<u64> = groups.iter().chain(inner).map(|group| group.groupid).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl Source for Maintenances {
    fn run(self: Box<Self>, context: SourceContext) -> BoxFuture<'static, Result<(), SourceError>> {
        let api = self.api.counted(&context.metrics, &context.clock, &context.name);
        let interval = self.config.interval.0;
        Box::pin(async move {
            watch(api, interval, context, *self).await;
            Ok(())
        })
    }
}

impl Look for Maintenances {
    async fn look(&mut self, api: &Api, context: &SourceContext) -> Result<(), ApiError> {
        let known = hosts(api, &self.config.select).await?;
        let groups = if api.version().await?.has_host_groups() { "selectHostGroups" } else { "selectGroups" };
        let params = json!({
            "output": ["maintenanceid", "name", "active_since", "active_till", "maintenance_type"],
            "selectTimeperiods": "extend", "selectHosts": ["hostid"], groups: ["groupid"],
        });
        let rows: Vec<Row> = api.call("maintenance.get", &params).await?;
        let now_s = context.clock.now_ms() / 1_000;
        let all: Vec<Group> = if rows.iter().all(|row| row.groups.is_empty()) {
            Vec::new()
        } else {
            api.call("hostgroup.get", &json!({"output": ["groupid", "name"]})).await?
        };
        let mut windows = Vec::new();
        for row in rows {
            let mut ids: Vec<u64> = row.hosts.iter().map(|host| host.hostid).collect();
            if !row.groups.is_empty() {
                let params = json!({"output": ["hostid"], "groupids": nested(&row.groups, &all)});
                ids.extend(api.call::<Vec<HostId>>("host.get", &params).await?.iter().map(|host| host.hostid));
            }
            ids.sort_unstable();
            ids.dedup();
            row.windows(&ids, &known, now_s, &self.zone, &mut windows);
        }
        context.metrics.gauge(&WINDOWS, &[&context.name]).set(windows.len() as f64);
        context.context.windows(windows);
        Ok(())
    }
}

impl Row {
    fn windows(
        &self,
        ids: &[u64],
        known: &HashMap<u64, String>,
        now_s: i64,
        zone: &TimeZone,
        windows: &mut Vec<QuietWindow>,
    ) {
        let data = if self.maintenance_type == 1 { "no data collected" } else { "data collected" };
        for period in &self.timeperiods {
            let found = period.around(now_s, (self.active_since, self.active_till), zone).into_iter();
            for (begin, end) in found.filter(|(begin, end)| *end > now_s && *begin <= now_s + AHEAD_S) {
                for (host, name) in ids.iter().filter_map(|id| Some((id, known.get(id)?))) {
                    windows.push(QuietWindow {
                        id: format!("{}/{begin}/{host}", self.maintenanceid),
                        subject: Subject::Host(name.as_str().into()),
                        starts_ms: begin * 1_000,
                        // Both ends of a window belong to it.
                        ends_ms: Some(end * 1_000 - 1),
                        reason: format!("maintenance `{}` in Zabbix ({data})", self.name),
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Frontend, Running, Tables, host, prepared};

    const NOW_S: i64 = 1_795_190_460;

    #[tokio::test]
    async fn windows_of_the_hosts_that_are_read() {
        let maintenance = json!({"maintenanceid": "3", "name": "disks", "active_since": (NOW_S - 500).to_string(),
            "active_till": (NOW_S + 500).to_string(), "maintenance_type": "1", "hosts": [{"hostid": "1"}, {"hostid": "9"}],
            "groups": [], "timeperiods": [{"timeperiod_type": "0", "every": "1", "month": "0", "dayofweek": "0", "day": "1",
            "start_time": "0", "period": "3600", "start_date": (NOW_S - 60).to_string()}]});
        let lists = [("host.get", json!([host(1, "web-1")])), ("maintenance.get", json!([maintenance]))].into();
        let frontend = Frontend::start(Tables { version: "6.0.14", lists, ..Tables::default() }).await;
        let running = Running::start::<MaintenanceConfig>(json!({"api": frontend.api()}), None, NOW_S);
        running.until("a window", |r| !r.told.windows.lock().expect("ok").is_empty()).await;
        let windows = running.told.windows.lock().expect("ok").clone();
        running.stop().await;
        let window = QuietWindow {
            id: format!("3/{}/1", NOW_S - 60),
            subject: Subject::Host("web-1".into()),
            starts_ms: (NOW_S - 60) * 1_000,
            ends_ms: Some((NOW_S + 500) * 1_000 - 1),
            reason: "maintenance `disks` in Zabbix (no data collected)".to_owned(),
        };
        assert_eq!(windows, [window]);
    }

    #[tokio::test]
    async fn only_what_is_near_and_hosts_of_nested_groups() {
        let period =
            |begin_s: i64| json!({"timeperiod_type": "0", "start_date": begin_s.to_string(), "period": "3600"});
        let periods = [period(NOW_S - 3_600), period(NOW_S - 3_599), period(NOW_S + 43_200), period(NOW_S + 43_201)];
        let maintenance = json!({"maintenanceid": "3", "name": "disks", "active_since": "0", "active_till": "2147464800",
            "hosts": [], "groups": [{"groupid": "5"}], "timeperiods": periods});
        let group = |id: &str, name: &str| json!({"groupid": id, "name": name});
        let groups =
            json!([group("5", "Linux"), group("6", "Linux/web"), group("7", "Linux2"), group("8", "Linux/web/a")]);
        let lists = [
            ("host.get", json!([host(1, "web-1")])),
            ("hostgroup.get", groups),
            ("maintenance.get", json!([maintenance])),
        ];
        let frontend = Frontend::start(Tables { version: "6.0.14", lists: lists.into(), ..Tables::default() }).await;
        let running = Running::start::<MaintenanceConfig>(json!({"api": frontend.api()}), None, NOW_S);
        running.until("windows", |r| !r.told.windows.lock().expect("ok").is_empty()).await;
        let windows = running.told.windows.lock().expect("ok").clone();
        running.stop().await;
        let begins: Vec<i64> = windows.iter().map(|window| window.starts_ms / 1_000 - NOW_S).collect();
        assert_eq!(begins, [-3_599, 43_200]);
        let asked: Vec<_> =
            frontend.tables().requests.iter().map(|request| request["params"]["groupids"].clone()).collect();
        assert!(asked.contains(&json!([5, 6, 8])), "{asked:?}");
    }

    #[test]
    fn a_zone_that_is_none() {
        let config = json!({"api": {"url": "http://z", "token": "t"}, "time_zone": "Mars/Olympus"});
        let problems = prepared::<MaintenanceConfig>(config).err().expect("wrong");
        assert!(problems[0].contains("`Mars/Olympus` is no time zone"), "{problems:?}");
    }
}
