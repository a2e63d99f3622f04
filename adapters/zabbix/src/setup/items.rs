//! Items and triggers made one by one, for whom the template does not do: `anomaly.<key>` for each judged item.

use std::collections::BTreeSet;

use regex::Regex;
use serde::Deserialize;
use serde_json::json;

use super::{Step, call};
use crate::api::{Api, Version};
use crate::key::Key;
use crate::verdicts::key::{HOST_RATE, HOST_REASONS, HOST_SCORE, HOST_SERIES, KeyStyle, Part};

/// Value types of Zabbix.
const FLOAT: &str = "0";
const UNSIGNED: &str = "3";
const TEXT: &str = "4";

#[derive(Debug, Deserialize)]
struct Item {
    key_: String,
    value_type: String,
    status: String,
    #[serde(default)]
    units: String,
}

#[derive(Debug, Deserialize)]
struct Trigger {
    description: String,
}

/// What one host lacks; whether it has an item that is meant, or none that could be: then it gets what is its own.
pub(super) async fn missing(
    api: &Api,
    version: Version,
    (host, id): (&str, &str),
    keys: &Regex,
    parts: &[Part],
    steps: &mut Vec<Step>,
) -> Result<bool, String> {
    let output = json!(["key_", "value_type", "status", "units"]);
    let items: Vec<Item> = call(api, "item.get", json!({"output": output, "hostids": [id]})).await?;
    let params = json!({"output": ["description"], "hostids": [id]});
    let triggers: Vec<Trigger> = call(api, "trigger.get", params).await?;
    let known: BTreeSet<&str> = items.iter().map(|item| item.key_.as_str()).collect();
    let told: BTreeSet<&str> = triggers.iter().map(|trigger| trigger.description.as_str()).collect();
    let (mut new_items, mut new_triggers) = (Vec::new(), Vec::new());
    let mut item = |key: String, name: String, value_type: &str, units: &str| {
        if known.contains(key.as_str()) {
            return;
        }
        let mut item = json!({"hostid": id, "key_": key, "name": name, "type": 2, "value_type": value_type,
                              "units": units, "history": "31d"});
        if version.has_item_tags() {
            item["tags"] = json!([{"tag": "component", "value": "anomaly"}]);
        }
        new_items.push(Step::Item { host: host.to_owned(), item });
    };
    let mut trigger = |description: String, key: &str, function: &str, is: &str, priority: u8| {
        if told.contains(description.as_str()) {
            return;
        }
        let (name, argument) = function.split_once(' ').map_or((function, ""), |(name, argument)| (name, argument));
        let expression = if version.has_new_expressions() {
            let comma = if argument.is_empty() { "" } else { "," };
            format!("{name}(/{host}/{key}{comma}{argument}){is}")
        } else {
            format!("{{{host}:{key}.{name}({argument})}}{is}")
        };
        let trigger = json!({"description": description, "expression": expression, "priority": priority});
        new_triggers.push(Step::Trigger { host: host.to_owned(), trigger });
    };
    item(HOST_SCORE.to_owned(), "Anomaly: score of the host".to_owned(), FLOAT, "");
    item(HOST_RATE.to_owned(), "Anomaly: share of series that are anomalous".to_owned(), FLOAT, "%");
    item(HOST_SERIES.to_owned(), "Anomaly: series judged".to_owned(), UNSIGNED, "");
    item(HOST_REASONS.to_owned(), "Anomaly: what stands out".to_owned(), TEXT, "");
    trigger("Anomaly: the host is unusual as a whole".to_owned(), HOST_SCORE, "last", ">=1", 3);
    trigger("Anomaly: no verdicts from Watchbell".to_owned(), HOST_SERIES, "nodata 5m", "=1", 2);
    let (mut judged_any, mut matched) = (false, false);
    for judged in &items {
        let numeric = matches!(judged.value_type.as_str(), FLOAT | UNSIGNED);
        let own = Key::read(&judged.key_).is_own();
        if !numeric || own || judged.status != "0" {
            continue;
        }
        judged_any = true;
        if !keys.is_match(&judged.key_) {
            continue;
        }
        matched = true;
        // As the series of the item has it.
        let judged_key = Key::read(&judged.key_).to_string();
        for part in parts {
            let key = KeyStyle::Plain.key(*part, &judged_key);
            let (name, units) = match part {
                Part::Score => (format!("Anomaly score of {}", judged.key_), ""),
                Part::Value => (format!("Judged value of {}", judged.key_), judged.units.as_str()),
                Part::Expected => (format!("Expected value of {}", judged.key_), judged.units.as_str()),
                Part::Lower => (format!("Lower end of the band of {}", judged.key_), judged.units.as_str()),
                Part::Upper => (format!("Upper end of the band of {}", judged.key_), judged.units.as_str()),
            };
            if *part == Part::Score {
                trigger(format!("Anomaly: {} is unusual", judged.key_), &key, "last", ">=1", 2);
            }
            item(key, name.chars().take(255).collect(), FLOAT, units);
        }
    }
    steps.append(&mut new_items);
    steps.append(&mut new_triggers);
    Ok(matched || !judged_any)
}
