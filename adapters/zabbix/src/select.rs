//! Which hosts and items are read, and what the API tells of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_adapter_api::Problems;
use watchbell_series::MetricKind;

use crate::api::value::{id, integer, list};
use crate::api::{Api, ApiError, ErrorKind};
use crate::item::{Discard, Item, Naming, is_free};
use crate::key::Key;
use crate::macros::Macros;
use crate::{number, pattern};

/// Hosts whose items are asked for in one request.
const HOSTS: usize = 100;

/// Which hosts and items. A host or item must fit every list that is not empty, by one of its patterns; `*` stands for
/// any text. Items of Watchbell's own (`anomaly.*`, `watchbell.*`) are never read.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SelectConfig {
    /// Host groups.
    pub groups: Vec<String>,
    /// Technical or visible names of hosts.
    pub hosts: Vec<String>,
    /// Names of templates that are linked to the host itself.
    pub templates: Vec<String>,
    /// Tags of hosts with a pattern of their value: `{env: prod*}`. All must be there.
    pub host_tags: BTreeMap<String, String>,
    /// Keys of items, in their shortest form: `net.if.in[eth0]`.
    pub keys: Vec<String>,
    /// Names of items.
    pub names: Vec<String>,
    /// Tags of items (Zabbix 5.4 and later) with a pattern of their value. All must be there.
    pub item_tags: BTreeMap<String, String>,
    /// What is left out of these.
    pub exclude: ExcludeConfig,
}

/// Hosts and items that are left out: those that fit any pattern.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExcludeConfig {
    /// Host groups.
    pub groups: Vec<String>,
    /// Technical or visible names of hosts.
    pub hosts: Vec<String>,
    /// Names of templates that are linked to the host itself.
    pub templates: Vec<String>,
    /// Tags of hosts with a pattern of their value.
    pub host_tags: BTreeMap<String, String>,
    /// Keys of items.
    pub keys: Vec<String>,
    /// Names of items.
    pub names: Vec<String>,
    /// Tags of items with a pattern of their value.
    pub item_tags: BTreeMap<String, String>,
}

/// Labels that a user may add.
pub(crate) fn check_labels(labels: &BTreeMap<String, String>, problems: &mut Problems) {
    for name in labels.keys().filter(|name| !is_free(name)) {
        let message = format!("`{name}` can not be added as a label");
        problems.hint(format!("labels.{name}"), message, "use another name, of letters, digits and `_`");
    }
}

/// What is read, with the labels of each item.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) items: Vec<Item>,
    /// Technical names by id, also of hosts without numeric items.
    pub(crate) hosts: HashMap<u64, String>,
    /// Items whose labels are no series.
    pub(crate) invalid: usize,
    /// What could not be read beside, in words; said once.
    pub(crate) remark: Option<String>,
}

#[derive(Deserialize)]
struct NamedId {
    #[serde(alias = "groupid", alias = "templateid", deserialize_with = "id")]
    hostid: u64,
    name: String,
}

#[derive(Deserialize)]
struct HostRow {
    #[serde(deserialize_with = "id")]
    hostid: u64,
    host: String,
    #[serde(default)]
    name: String,
    #[serde(default, deserialize_with = "list")]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    tag: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct ItemRow {
    #[serde(deserialize_with = "id")]
    itemid: u64,
    #[serde(deserialize_with = "id")]
    hostid: u64,
    #[serde(default)]
    name: String,
    key_: String,
    #[serde(deserialize_with = "integer")]
    value_type: i64,
    #[serde(default)]
    delay: String,
    #[serde(default)]
    units: String,
    #[serde(default, deserialize_with = "list")]
    preprocessing: Vec<Step>,
    #[serde(default, deserialize_with = "list")]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(rename = "type", deserialize_with = "integer")]
    kind: i64,
    #[serde(default)]
    params: Value,
}

/// Asks for hosts and their items. `tags` are those that become labels, `more` further labels.
pub(crate) async fn discover(
    api: &Api,
    select: &SelectConfig,
    tags: &[String],
    more: &BTreeMap<String, String>,
) -> Result<Catalog, ApiError> {
    let version = api.version().await?;
    let mut catalog = Catalog { hosts: hosts(api, select).await?, ..Catalog::default() };
    let mut ids: Vec<u64> = catalog.hosts.keys().copied().collect();
    ids.sort_unstable();
    let mut rows = Vec::new();
    for ids in ids.chunks(HOSTS) {
        let mut params = json!({
            "output": ["itemid", "hostid", "name", "key_", "value_type", "delay", "units"],
            "hostids": ids, "filter": {"value_type": [0, 3], "status": 0}, "webitems": true,
            "selectPreprocessing": ["type", "params"],
        });
        if version.has_item_tags() {
            params["selectTags"] = json!(["tag", "value"]);
        }
        rows.extend(api.call::<Vec<ItemRow>>("item.get", &params).await?);
    }
    let mut macros = Macros::default();
    if rows.iter().any(|row| row.delay.contains("{$")) {
        macros = match Macros::read(api).await {
            Ok(macros) => macros,
            Err(error) if error.kind == ErrorKind::Refused => {
                catalog.remark = Some(format!("intervals that are macros are not known: {error}"));
                macros
            }
            Err(error) => return Err(error),
        };
    }
    for row in rows {
        let Some(host) = catalog.hosts.get(&row.hostid) else { continue };
        let key = Key::read(&row.key_);
        if !select.takes_item(&row, &key) {
            continue;
        }
        let told = row.tags.iter().filter(|tag| pattern::any(tags, &tag.tag));
        let told: Vec<(String, String)> = told.map(|tag| (tag.tag.clone(), tag.value.clone())).collect();
        match (Naming { host, key: &key, units: &row.units, tags: &told, more }).labels() {
            Ok(labels) => catalog.items.push(row.item(labels, &macros)),
            Err(_) => catalog.invalid += 1,
        }
    }
    Ok(catalog)
}

/// The hosts that are read, by id.
pub(crate) async fn hosts(api: &Api, select: &SelectConfig) -> Result<HashMap<u64, String>, ApiError> {
    let mut params =
        json!({"output": ["hostid", "host", "name"], "monitored_hosts": true, "selectTags": ["tag", "value"]});
    if !select.groups.is_empty() {
        params["groupids"] = json!(ids_of(api, "hostgroup.get", "groupid", &select.groups).await?);
    }
    if !select.templates.is_empty() {
        params["templateids"] = json!(ids_of(api, "template.get", "templateid", &select.templates).await?);
    }
    let rows: Vec<HostRow> = api.call("host.get", &params).await?;
    let mut left_out = HashSet::new();
    for (method, member, patterns) in [
        ("hostgroup.get", "groupid", &select.exclude.groups),
        ("template.get", "templateid", &select.exclude.templates),
    ] {
        if !patterns.is_empty() {
            let ids = ids_of(api, method, member, patterns).await?;
            let params = json!({"output": ["hostid", "host"], format!("{member}s"): ids});
            left_out.extend(api.call::<Vec<HostRow>>("host.get", &params).await?.into_iter().map(|row| row.hostid));
        }
    }
    let taken = rows.into_iter().filter(|row| !left_out.contains(&row.hostid) && select.takes_host(row));
    Ok(taken.map(|row| (row.hostid, row.host)).collect())
}

/// Ids of the groups or templates that fit one of `patterns`.
async fn ids_of(api: &Api, method: &str, member: &str, patterns: &[String]) -> Result<Vec<u64>, ApiError> {
    let rows: Vec<NamedId> = api.call(method, &json!({"output": [member, "name"]})).await?;
    Ok(rows.into_iter().filter(|row| pattern::any(patterns, &row.name)).map(|row| row.hostid).collect())
}

impl SelectConfig {
    fn takes_host(&self, row: &HostRow) -> bool {
        let named = |patterns: &[String]| pattern::any(patterns, &row.host) || pattern::any(patterns, &row.name);
        (self.hosts.is_empty() || named(&self.hosts))
            && !named(&self.exclude.hosts)
            && self.host_tags.iter().all(|wanted| has(&row.tags, wanted))
            && !self.exclude.host_tags.iter().any(|wanted| has(&row.tags, wanted))
    }

    fn takes_item(&self, row: &ItemRow, key: &Key) -> bool {
        let form = key.to_string();
        !key.is_own()
            && (self.keys.is_empty() || pattern::any(&self.keys, &form))
            && (self.names.is_empty() || pattern::any(&self.names, &row.name))
            && !pattern::any(&self.exclude.keys, &form)
            && !pattern::any(&self.exclude.names, &row.name)
            && self.item_tags.iter().all(|wanted| has(&row.tags, wanted))
            && !self.exclude.item_tags.iter().any(|wanted| has(&row.tags, wanted))
    }
}

fn has(tags: &[Tag], (name, value): (&String, &String)) -> bool {
    tags.iter().any(|tag| tag.tag == *name && pattern::fits(value, &tag.value))
}

impl ItemRow {
    fn item(&self, labels: watchbell_series::Labels, macros: &Macros) -> Item {
        let (mut kind, mut discard) = (MetricKind::Unknown, Discard::No);
        if self.value_type == 0 {
            // A total is whole.
            kind = MetricKind::Gauge;
        }
        for step in &self.preprocessing {
            match step.kind {
                // Simple change, and change per second.
                9 | 10 => kind = MetricKind::Gauge,
                19 => discard = Discard::Unchanged,
                20 => {
                    let text = step.params.as_str().unwrap_or_default();
                    let seconds = macros.expand(self.hostid, text).and_then(|text| number::interval_s(&text));
                    discard = seconds.map_or(Discard::Unchanged, Discard::Heartbeat);
                }
                _ => {}
            }
        }
        let delay = macros.expand(self.hostid, &self.delay);
        Item {
            id: self.itemid,
            host_id: self.hostid,
            value_type: self.value_type as u8,
            kind,
            labels,
            interval_s: delay.and_then(|delay| number::interval_s(&delay)),
            discard,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(json: Value) -> ItemRow {
        serde_json::from_value(json).expect("an item")
    }

    fn select(json: Value) -> SelectConfig {
        serde_json::from_value(json).expect("a selection")
    }

    #[test]
    fn items_are_chosen_by_key_name_and_tag() {
        let row = item(json!({"itemid": "1", "hostid": "2", "name": "CPU idle", "key_": "system.cpu.util[ ,\"idle\"]",
                              "value_type": "0", "tags": [{"tag": "component", "value": "cpu"}]}));
        let takes = |json: Value| select(json).takes_item(&row, &Key::read(&row.key_));
        assert!(takes(json!({})));
        assert!(takes(json!({"keys": ["system.cpu.util[,idle]"], "names": ["CPU*"], "item_tags": {"component": "*"}})));
        assert!(!takes(json!({"keys": ["system.cpu.load*"]})));
        assert!(!takes(json!({"exclude": {"item_tags": {"component": "cpu"}}})));
        assert!(!takes(json!({"exclude": {"names": ["*idle"]}})));
        let own = item(json!({"itemid": "1", "hostid": "2", "key_": "anomaly.system.cpu.util", "value_type": "0"}));
        assert!(!select(json!({})).takes_item(&own, &Key::read(&own.key_)));
    }

    #[test]
    fn hosts_are_chosen_by_either_name_and_by_tag() {
        let row: HostRow = serde_json::from_value(
            json!({"hostid": "1", "host": "web-1", "name": "Shop", "tags": [{"tag": "env", "value": "prod"}]}),
        )
        .expect("a host");
        let takes = |json: Value| select(json).takes_host(&row);
        assert!(takes(json!({"hosts": ["Sh*"], "host_tags": {"env": "prod"}})) && takes(json!({"hosts": ["web*"]})));
        assert!(!takes(json!({"hosts": ["db*"]})) && !takes(json!({"exclude": {"host_tags": {"env": "*"}}})));
    }

    #[test]
    fn preprocessing_tells_kind_and_silence() {
        let labels = || watchbell_series::Labels::series([("__name__", "x")]).expect("labels");
        let read = |value_type: u8, steps: Value| {
            item(
                json!({"itemid": "1", "hostid": "2", "key_": "k", "value_type": value_type.to_string(), "delay": "30s",
                        "preprocessing": steps}),
            )
            .item(labels(), &Macros::default())
        };
        assert_eq!(read(3, json!([])).kind, MetricKind::Unknown);
        assert_eq!(read(0, json!([])).kind, MetricKind::Gauge);
        assert_eq!(
            read(3, json!([{"type": "10", "params": ""}, {"type": "1", "params": "8"}])).kind,
            MetricKind::Gauge
        );
        let held = read(3, json!([{"type": "20", "params": "10m"}]));
        assert_eq!(
            (held.discard, held.discard.holds_s(), held.interval_s),
            (Discard::Heartbeat(600), Some(1_200), Some(30))
        );
        assert_eq!(read(3, json!([{"type": "19", "params": ""}])).discard, Discard::Unchanged);
    }
}
