//! What versions of Zabbix refuse that others want, from the appendices "Changes" of its manual: frontends of tests answer by
//! it, and every source is tried against each.

use axum::http::HeaderMap;
use serde_json::{Value, json};

use crate::api::Version;

/// Parameters of methods with the versions that know them: from the first on, and before the second.
const PARAMETERS: [(&str, &str, Version, Option<Version>); 8] = [
    ("user.login", "user", Version::new(5, 0), Some(Version::new(6, 4))),
    ("user.login", "username", Version::new(5, 4), None),
    ("item.get", "selectApplications", Version::new(5, 0), Some(Version::new(5, 4))),
    ("item.get", "selectTags", Version::new(5, 4), None),
    ("host.get", "selectGroups", Version::new(5, 0), Some(Version::new(7, 2))),
    ("maintenance.get", "selectGroups", Version::new(5, 0), Some(Version::new(7, 2))),
    ("maintenance.get", "selectHostGroups", Version::new(6, 2), None),
    ("event.get", "select_acknowledges", Version::new(5, 0), Some(Version::new(7, 2))),
];
/// Methods that must be called without a session.
const OPEN: [&str; 2] = ["apiinfo.version", "user.login"];

/// The error that a frontend of `version` answers a request with, if it refuses it. `get` methods of old versions pass over what
/// they do not know; nothing is to be asked for in vain.
pub(crate) fn refusal(version: &str, headers: &HeaderMap, request: &Value) -> Option<Value> {
    let version: Version = version.parse().ok()?;
    let method = request["method"].as_str()?;
    let error = |code: i64, data: String| Some(json!({"code": code, "message": "Invalid params.", "data": data}));
    let unexpected = |name: &str| error(-32_602, format!("Invalid parameter \"/\": unexpected parameter \"{name}\"."));
    let (header, member) = (headers.contains_key("authorization"), request.get("auth").is_some());
    if member && version >= Version::new(7, 2) {
        return unexpected("auth");
    }
    if OPEN.contains(&method) == (header || member) || (header && version < Version::new(6, 4)) {
        return error(-32_602, "Not authorised.".to_owned());
    }
    if method == "history.push" && version < Version::new(7, 0) {
        return error(-32_601, "Incorrect API \"history\".".to_owned());
    }
    let known = |(_, _, first, end): &(&str, &str, Version, Option<Version>)| {
        version >= *first && end.is_none_or(|end| version < end)
    };
    let asked = |(of, name, ..): &&(&str, &str, Version, Option<Version>)| {
        *of == method && request["params"].get(name).is_some()
    };
    let refused = PARAMETERS.iter().filter(asked).find(|row| !known(row));
    refused.and_then(|(_, name, ..)| unexpected(name))
}

/// Rows as the answer to `params` has them: groups of hosts have another name where they are asked for by the new one.
pub(crate) fn answer(params: &Value, mut rows: Value) -> Value {
    if params.get("selectHostGroups").is_some() {
        for row in rows.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            if let Some(groups) = row.remove("groups") {
                row.insert("hostgroups".to_owned(), groups);
            }
        }
    }
    rows
}

mod tests {
    use super::*;
    use crate::history::HistoryConfig;
    use crate::maintenance::MaintenanceConfig;
    use crate::problems::ProblemsConfig;
    use crate::testing::{Frontend, Running, Tables, host, item};

    const NOW_S: i64 = 1_795_190_460;

    fn tables(version: &'static str) -> Tables {
        let old = version < "5.4";
        let mut level = item(11, 1, "level", 0, json!({"tags": [{"tag": "part", "value": "cpu"}], "applications": []}));
        if old {
            level.as_object_mut().expect("a map").remove("tags");
        }
        let expression = if old { "{web-1:level.last()}>5" } else { "last(/web-1/level)>5" };
        let lists = [
            ("host.get", json!([host(1, "web-1")])),
            ("hostgroup.get", json!([{"groupid": "5", "name": "Linux"}])),
            ("template.get", json!([{"templateid": "9", "name": "Linux by agent"}])),
            ("item.get", json!([level])),
            (
                "trigger.get",
                json!([{"triggerid": "3", "description": "high", "expression": expression, "priority": "4",
                        "hosts": [{"hostid": "1"}], "items": [{"key_": "level"}]}]),
            ),
            (
                "problem.get",
                json!([{"eventid": "7", "objectid": "3", "clock": "1795190000", "r_eventid": "0", "r_clock": "0",
                        "name": "high", "severity": "4", "acknowledged": "0"}]),
            ),
            (
                "maintenance.get",
                json!([{"maintenanceid": "2", "name": "disks", "active_since": "0", "active_till": "2147464800",
                        "maintenance_type": "0", "hosts": [], "groups": [{"groupid": "5", "name": "Linux"}],
                        "timeperiods": [{"timeperiod_type": "0", "start_date": "1795190400", "period": "3600"}]}]),
            ),
        ];
        let values = vec![(0, 11, NOW_S - 5, 0, "1")];
        Tables { version, lists: lists.into(), values, now_s: NOW_S, ..Tables::default() }
    }

    #[tokio::test]
    async fn every_source_asks_each_version_for_what_it_knows() {
        for version in ["5.0.46", "5.2.7", "5.4.12", "6.0.14", "6.2.9", "6.4.21", "7.0.22", "7.2.15", "7.4.6"] {
            let frontend = Frontend::start(tables(version)).await;
            let refused = |running: &Running| {
                ["refused", "credentials", "failing"]
                    .map(|reason| running.metrics.counter(&crate::api::METRICS[1], &["zabbix", reason]).get())
            };
            let select = json!({"groups": ["Lin*"], "templates": ["*agent"], "exclude": {"hosts": ["db*"]}});
            let config = json!({"api": frontend.api_by_password(), "interval": "1s", "select": select, "tags": ["*"]});
            let running = Running::start::<HistoryConfig>(config.clone(), None, NOW_S);
            running.until("a value", |r| !r.recorder.lines().is_empty() || refused(r) != [0.0; 3]).await;
            assert_eq!(refused(&running), [0.0; 3], "{version}");
            let lines = running.stop().await;
            assert_eq!(lines[0].contains("tag_part=\"cpu\""), version >= "5.4", "{version}: {lines:?}");

            let mut config = config;
            config.as_object_mut().expect("a map").remove("tags");
            let running = Running::start::<ProblemsConfig>(config.clone(), None, NOW_S);
            running.until("a limit", |r| !r.told.limits.lock().expect("ok").is_empty() || refused(r) != [0.0; 3]).await;
            assert_eq!(
                (refused(&running), running.told.problems.lock().expect("ok").len()),
                ([0.0; 3], 1),
                "{version}"
            );
            running.stop().await;

            let running = Running::start::<MaintenanceConfig>(config, None, NOW_S);
            running
                .until("a window", |r| !r.told.windows.lock().expect("ok").is_empty() || refused(r) != [0.0; 3])
                .await;
            assert_eq!(refused(&running), [0.0; 3], "{version}");
            running.stop().await;
            let methods: Vec<String> = frontend
                .tables()
                .requests
                .iter()
                .filter_map(|body| Some(body["method"].as_str()?.to_owned()))
                .collect();
            assert!(methods.iter().any(|method| method == "user.logout"), "{version}: {methods:?}");
        }
    }
}
