//! Zabbix 6.0: which items are read, and their past. The same is done with newer ones in `newer/`.

use std::fmt::Write;

use serde_json::json;
use watchbell::clock::SystemClock;
use watchbell_adapter_api::Clock;

use crate::support::wait;
use crate::support::watchbell::Home;
use crate::support::zabbix::{PASSWORD, USER, Zabbix};

#[test]
fn items_are_chosen_and_their_past_is_read() {
    chosen_and_warm(&Zabbix::shared());
}

/// Hosts and items chosen in every way that there is; and a warm start from trends and values.
pub(crate) fn chosen_and_warm(zabbix: &Zabbix) {
    let template = template(zabbix, "Chosen by template");
    let [first, second, third] =
        [("chosen-1", "Chosen"), ("chosen-2", "Chosen"), ("chosen-3", "Chosen/less")].map(|(host, group)| {
            let id = zabbix.host(host, group);
            for (key, tag) in [("test.level[\"a\"]", "cpu"), ("test.other", "disk"), ("anomaly.test.other", "cpu")] {
                zabbix.trapper(&id, key, 0, json!({"tags": [{"tag": "part", "value": tag}]}));
            }
            zabbix.trapper(&id, "test.words", 4, json!({}));
            id
        });
    zabbix.call("host.update", json!({"hostid": first, "tags": [{"tag": "env", "value": "production"}]}));
    zabbix.call("host.update", json!({"hostid": second, "name": "Shop", "templates": [{"templateid": template}]}));
    // What is disabled is not read.
    zabbix.trapper(&third, "test.disabled", 0, json!({"status": 1}));

    // A past of three days: hourly means, and the values of the last hours.
    let items = json!({"output": ["itemid"], "hostids": [third], "filter": {"key_": "test.other"}});
    let item = zabbix.call("item.get", items)[0]["itemid"].as_str().expect("an item").to_owned();
    let hour_s = SystemClock.now_ms() / 3_600_000 * 3_600;
    let rows = |columns: &dyn Fn(i64) -> String, seconds: &mut dyn Iterator<Item = i64>| -> String {
        seconds.map(columns).collect::<Vec<_>>().join(",")
    };
    let trends = rows(
        &|clock| format!("({item},{clock},60,1,{}.5,9)", clock / 3_600 % 5),
        &mut (4..76).map(|n| hour_s - n * 3_600),
    );
    let values =
        rows(&|clock| format!("({item},{clock},{}.25,7)", clock / 60 % 5), &mut (1..121).map(|n| hour_s - n * 60));
    zabbix.sql(&format!(
        "INSERT INTO trends (itemid, clock, num, value_min, value_avg, value_max) VALUES {trends};
         INSERT INTO history (itemid, clock, value, ns) VALUES {values}"
    ));

    let api = format!("{{url: '{}', user: {USER}, password: {PASSWORD}}}", zabbix.url());
    let ways = [
        ("group", "{groups: ['Chos*']}", 7.0),
        ("inner", "{groups: ['Chosen/*']}", 2.0),
        ("visible", "{hosts: ['Sho*']}", 3.0),
        ("tag", "{host_tags: {env: 'prod*'}}", 2.0),
        ("template", "{templates: ['Chosen by *']}", 3.0),
        ("key", "{groups: [Chosen], keys: ['test.level[a]']}", 2.0),
        ("name", "{groups: ['Chos*'], names: ['*other']}", 3.0),
        ("part", "{groups: ['Chos*'], item_tags: {part: cpu}}", 3.0),
        (
            "without",
            "{groups: ['Chos*'], exclude: {templates: ['Chosen by*'], host_tags: {env: '*'}, keys: ['*.other']}}",
            1.0,
        ),
        ("nothing", "{groups: ['Nobody*']}", 0.0),
    ];
    let mut sources = String::new();
    for (name, select, _) in &ways {
        let way = format!(
            "{{type: zabbix_history, name: {name}, api: {api}, labels: {{way: {name}}}, interval: 5s, select: {select}}}"
        );
        writeln!(sources, "  - {way}").expect("written");
    }
    let past = format!(
        "{{type: zabbix_history, api: {api}, select: {{hosts: [chosen-3]}}, labels: {{way: inner}}, lookback: 3d, values: 2h}}"
    );
    let home = Home::new(&format!(
        "detect: {{warmup: 1h}}\nhistory: {past}\nsinks: [{{type: prometheus_exposition}}]\nsources:\n{sources}"
    ));
    let service = home.start();
    for (name, select, count) in ways {
        let source = [("source", name)];
        let reads = [("component", name), ("method", "item.get")];
        wait::until(select, || {
            let (found, asked) = (
                service.metric("watchbell_zabbix_items", &source),
                service.metric("watchbell_zabbix_api_requests_total", &reads),
            );
            let known = found == count && (asked > 0.0 || count == 0.0);
            wait::when(known, || format!("{name}: {found} items, {asked} requests; {}", service.log()))
        });
    }
    wait::until("a hint", || wait::when(service.log().contains("does `select` fit"), || service.log()));

    // Ready with the first value that is polled.
    let labels = [("metric", "zabbix_test_other"), ("host", "chosen-3"), ("way", "inner")];
    zabbix.send_all(&[("chosen-3", "test.other", "2.25", SystemClock.now_ms() / 1_000)]);
    wait::until("a score with the first value", || {
        let ready = service.score("watchbell_series_ready", &labels);
        wait::when(ready == Some(1.0), || format!("{ready:?}: {}", service.log()))
    });
    let read = |kind| service.metric("watchbell_zabbix_past_samples_total", &[("from", kind)]);
    assert!(read("trends") >= 60.0 && read("values") >= 60.0, "{} {}", read("trends"), read("values"));
    assert!(!service.get("/scores").text.contains("disabled"));
    assert!(service.stop().success());
}

/// A template with one item. Gives its id.
fn template(zabbix: &Zabbix, name: &str) -> String {
    let method = if zabbix.release.version >= (6, 2) { "templategroup.create" } else { "hostgroup.create" };
    let group = zabbix.call(method, json!({"name": "Templates of tests"}));
    let made = zabbix.call("template.create", json!({"host": name, "groups": [{"groupid": group["groupids"][0]}]}));
    let id = made["templateids"][0].as_str().expect("an id").to_owned();
    zabbix.trapper(&id, "test.of.template", 3, json!({}));
    id
}
