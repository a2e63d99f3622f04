//! Zabbix 6.0: items in.

use serde_json::json;

use crate::support::wait;
use crate::support::zabbix::Zabbix;

#[test]
fn a_real_zabbix_takes_values_and_gives_them_back() {
    let zabbix = Zabbix::shared();
    let host = zabbix.host("given back", "Watchbell");
    let item = zabbix.trapper(&host, "level", 0, json!({}));
    zabbix.send_all(&[("\"given back\"", "level", "4.5", 1_795_190_400)]);
    wait::until("a value in the history", || {
        let rows = zabbix.call("history.get", json!({"history": 0, "itemids": [item], "time_from": 0}));
        wait::when(rows[0]["value"] == "4.5", || format!("{rows}; {}", zabbix.log()))
    });
}
