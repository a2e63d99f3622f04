//! Against a frontend made of tables, with rows as Zabbix 6.0 gave them.

use serde_json::json;
use watchbell_series::{LimitRange, LimitSeverity};

use super::*;
use crate::testing::{Frontend, Running, Tables, host};

const NOW_S: i64 = 1_795_191_100;

#[tokio::test]
async fn problems_are_told_when_they_begin_change_and_end() {
    let recorded: Value = serde_json::from_slice(include_bytes!("../../testdata/problem.get.json")).expect("rows");
    let (lasting, resolved) = (recorded[0].clone(), recorded[1].clone());
    let trigger = |id: &str, items: Value| {
        json!({"triggerid": id, "description": "x", "expression": "last(/web-host/k)>{$MAX}",
        "priority": "4", "hosts": [{"hostid": "1"}], "items": items})
    };
    let lists = [
        ("host.get", json!([host(1, "web-host")])),
        ("problem.get", json!([lasting, resolved])),
        ("usermacro.get", json!([{"hostid": "1", "macro": "{$MAX}", "value": "2K"}])),
        (
            "trigger.get",
            json!([
                trigger("22391", json!([{"key_": "k"}, {"key_": "j"}])),
                trigger("23133", json!([{"key_": "web.number[\"a\"]"}])),
                {"triggerid": "5", "description": "y", "expression": "nodata(/web-host/k,5m)=1", "priority": "1"},
            ]),
        ),
    ];
    let frontend = Frontend::start(Tables { version: "6.0.14", lists: lists.into(), ..Tables::default() }).await;
    let config = json!({"api": frontend.api(), "interval": "1s"});
    let running = Running::start::<ProblemsConfig>(config, None, NOW_S);
    running.until("limits", |r| !r.told.limits.lock().expect("ok").is_empty()).await;
    let problems = running.told.problems.lock().expect("ok").clone();
    assert_eq!(problems.len(), 1, "one that ended before the start is no news: {problems:#?}");
    assert_eq!((problems[0].id.as_str(), problems[0].severity, problems[0].ends_ms), ("25/1", 3, None));
    assert_eq!(problems[0].subject, Subject::Host("web-host".into()), "its trigger has two items");
    let limits = running.told.limits.lock().expect("ok").clone();
    assert_eq!(limits.len(), 2);
    assert_eq!((limits[0].range, limits[0].severity), (LimitRange::above(2_048.0), LimitSeverity::Critical));
    assert_eq!(limits[0].subject, item_subject("web-host", &Key::read("k")));
    assert_eq!(running.metrics.gauge(&UNREAD, &["zabbix", "function"]).get(), 1.0);

    // Somebody acknowledges it, and another begins; then the first is gone.
    let mut acknowledged = recorded[0].clone();
    acknowledged["acknowledged"] = json!("1");
    let mut other = recorded[1].clone();
    (other["r_clock"], other["r_eventid"]) = (json!("0"), json!("0"));
    frontend.tables().lists.insert("problem.get", json!([acknowledged, other]));
    running.until("two more", |r| r.told.problems.lock().expect("ok").len() == 3).await;
    frontend.tables().lists.insert("problem.get", json!([recorded[1]]));
    running.until("two ends", |r| r.told.problems.lock().expect("ok").len() == 5).await;
    let problems = running.told.problems.lock().expect("ok").clone();
    assert!(problems[1].acknowledged && problems[2].ends_ms.is_none());
    assert_eq!(problems[2].subject, item_subject("web-host", &Key::read("web.number[a]")));
    let ends: Vec<_> = problems[3..].iter().map(|problem| (problem.id.as_str(), problem.ends_ms)).collect();
    assert_eq!(ends, [("24/1", Some(1_795_191_064_000)), ("25/1", Some(NOW_S * 1_000))]);
    running.stop().await;
}

#[tokio::test]
async fn problems_that_ended_while_nobody_looked_get_their_ends() {
    let event = |id: u64, clock: i64, recovery: u64| {
        json!({"eventid": id.to_string(), "objectid": "1", "clock": clock.to_string(), "name": "x", "severity": "3",
               "acknowledged": "0", "r_eventid": recovery.to_string(), "r_clock": "0"})
    };
    let lists = [
        ("host.get", json!([host(1, "web-host")])),
        ("problem.get", json!([event(40, NOW_S - 9_000, 0)])),
        ("trigger.get", json!([{"triggerid": "1", "hosts": [{"hostid": "1"}], "items": []}])),
        // 30 ended and has its event still, 20 is open in Zabbix and its host is watched no more.
        ("event.get", json!([event(20, NOW_S - 9_000, 0), event(30, NOW_S - 9_000, 31), event(31, NOW_S - 5_000, 0)])),
    ];
    let frontend = Frontend::start(Tables { version: "6.0.14", lists: lists.into(), ..Tables::default() }).await;
    let open = |id: &str| ForeignProblem {
        id: id.to_owned(),
        subject: Subject::Host("web-host".into()),
        starts_ms: (NOW_S - 9_000) * 1_000,
        ends_ms: None,
        name: "x".to_owned(),
        severity: 3,
        acknowledged: false,
    };
    let told = watchbell_adapter_api::context::Told::default();
    *told.open.lock().expect("ok") = ["10/1", "20/1", "30/1", "30/2", "40/1"].map(open).into();
    // Without a look back, as for problems that are older than it.
    let config = json!({"api": frontend.api(), "interval": "1s", "lookback": "0s", "limits": false});
    let running = Running::start_with::<ProblemsConfig>(config, None, NOW_S, told);
    running.until("their ends", |r| r.told.problems.lock().expect("ok").len() == 4).await;
    running
        .until("a second look", |_| {
            frontend.tables().requests.iter().filter(|r| r["method"] == "problem.get").count() > 1
        })
        .await;
    let mut ends: Vec<_> =
        running.told.problems.lock().expect("ok").iter().map(|it| (it.id.clone(), it.ends_ms)).collect();
    ends.sort();
    let (then, now) = (Some((NOW_S - 5_000) * 1_000), Some(NOW_S * 1_000));
    let wanted = [("10/1", now), ("20/1", now), ("30/1", then), ("30/2", then)];
    assert_eq!(ends, wanted.map(|(id, ends_ms)| (id.to_owned(), ends_ms)));
    running.stop().await;
}

#[tokio::test]
async fn triggers_on_own_scores_are_nobody_elses_word() {
    let event = |id: u64, trigger: &str| {
        json!({"eventid": id.to_string(), "objectid": trigger, "clock": NOW_S.to_string(), "name": "x", "severity": "3",
               "acknowledged": "0", "r_eventid": "0", "r_clock": "0"})
    };
    let trigger = |id: &str, key: &str| {
        json!({"triggerid": id, "description": "x", "expression": format!("last(/web-host/{key})>=1"), "priority": "2",
               "hosts": [{"hostid": "1"}], "items": [{"key_": key}]})
    };
    let lists = [
        ("host.get", json!([host(1, "web-host")])),
        ("problem.get", json!([event(41, "2"), event(40, "1")])),
        ("event.get", json!([])),
        ("trigger.get", json!([trigger("1", "anomaly.score[k]"), trigger("2", "k")])),
    ];
    let frontend = Frontend::start(Tables { version: "6.0.14", lists: lists.into(), ..Tables::default() }).await;
    let running = Running::start::<ProblemsConfig>(json!({"api": frontend.api(), "interval": "1s"}), None, NOW_S);
    running.until("limits", |r| !r.told.limits.lock().expect("ok").is_empty()).await;
    let problems: Vec<_> = running.told.problems.lock().expect("ok").iter().map(|it| it.id.clone()).collect();
    let limits: Vec<_> = running.told.limits.lock().expect("ok").iter().map(|it| it.id.clone()).collect();
    assert_eq!((problems, limits), (vec!["41/1".to_owned()], vec!["2".to_owned()]));
    running.stop().await;
}
