//! Alerts as the JSON array of `POST /api/v2/alerts`.
//!
//! Makes only what every release takes: label names as in Prometheus 2, at least one label, links that are
//! URIs, an end that is not before the start. Source: Alertmanager's `api/v2/openapi.yaml` and the checks
//! of its alert type (0.25 to 0.34).

use jiff::Timestamp;
use reqwest::Url;
use serde_json::{Map, Value};
use watchbell_series::{Alert, AlertState};

use crate::naming::{is_label_name, legal_label_name};

/// A request body and what was done to the alerts to get it.
pub(super) struct Body {
    pub(super) json: Vec<u8>,
    /// Alerts in it.
    pub(super) alerts: usize,
    /// Names, times and links that were changed or left out.
    pub(super) repaired: u64,
    /// Alerts that are not in it.
    pub(super) dropped: u64,
}

pub(super) fn write(alerts: &[Alert]) -> Body {
    let mut repaired = 0;
    let written: Vec<Value> = alerts.iter().filter_map(|alert| one(alert, &mut repaired)).collect();
    let (count, dropped) = (written.len(), (alerts.len() - written.len()) as u64);
    Body { json: Value::Array(written).to_string().into_bytes(), alerts: count, repaired, dropped }
}

fn one(alert: &Alert, repaired: &mut u64) -> Option<Value> {
    let labels = names(alert.labels.iter(), repaired);
    if labels.is_empty() {
        return None;
    }
    let annotations = alert.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut fields = Map::new();
    fields.insert("labels".to_owned(), labels.into());
    fields.insert("annotations".to_owned(), names(annotations, repaired).into());
    fields.insert("startsAt".to_owned(), time(alert.starts_ms).into());
    match alert.state {
        // Without an end Alertmanager gives it its own, five minutes unless configured.
        AlertState::Firing if alert.ends_ms <= alert.starts_ms => *repaired += 1,
        AlertState::Resolved if alert.ends_ms < alert.starts_ms => {
            *repaired += 1;
            fields.insert("endsAt".to_owned(), time(alert.starts_ms).into());
        }
        _ => drop(fields.insert("endsAt".to_owned(), time(alert.ends_ms).into())),
    }
    if !alert.generator_url.is_empty() {
        match link(&alert.generator_url) {
            Some(url) => drop(fields.insert("generatorURL".to_owned(), url.into())),
            None => *repaired += 1,
        }
    }
    Some(fields.into())
}

/// Pairs under legal names; without a value they mean nothing and are left out.
fn names<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, repaired: &mut u64) -> Map<String, Value> {
    let mut map = Map::new();
    for (name, value) in pairs.filter(|(_, value)| !value.is_empty()) {
        let mut name = name.to_owned();
        if !is_label_name(&name) {
            *repaired += 1;
            name = legal_label_name(&name);
        }
        while map.contains_key(&name) {
            name.insert_str(0, "exported_");
        }
        map.insert(name, value.into());
    }
    map
}

/// RFC 3339 in UTC. A time out of range, which no clock gives, is the end of the range.
fn time(ms: i64) -> String {
    let range = (Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
    Timestamp::from_millisecond(ms.clamp(range.0, range.1)).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// The link in a form that Go's URL parser takes, which is stricter than a browser's on `%`.
fn link(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let escapes_are_hex = url
        .as_str()
        .split('%')
        .skip(1)
        .all(|after| after.len() >= 2 && after.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit));
    escapes_are_hex.then(|| url.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use watchbell_series::Labels;

    fn alert(state: AlertState, ends_ms: i64, generator_url: &str) -> Alert {
        Alert {
            labels: Labels::new([("alertname", "Anomaly"), ("a.b", "ü\n\"")]).expect("valid"),
            annotations: vec![("summary".into(), "s".into()), ("empty".into(), String::new())],
            state,
            starts_ms: 1_714_557_600_000,
            ends_ms,
            generator_url: generator_url.into(),
        }
    }

    fn parsed(alerts: &[Alert]) -> (Value, u64, u64) {
        let body = write(alerts);
        (serde_json::from_slice(&body.json).expect("JSON"), body.repaired, body.dropped)
    }

    #[test]
    fn writes_what_alertmanager_reads() {
        let (json, repaired, dropped) = parsed(&[alert(AlertState::Firing, 1_714_557_840_500, "http://w:1/a?b=c d")]);
        assert_eq!((repaired, dropped), (1, 0));
        assert_eq!(
            json,
            json!([{
                "labels": {"a_b": "ü\n\"", "alertname": "Anomaly"},
                "annotations": {"summary": "s"},
                "startsAt": "2024-05-01T10:00:00Z",
                "endsAt": "2024-05-01T10:04:00.5Z",
                "generatorURL": "http://w:1/a?b=c%20d",
            }])
        );
    }

    #[test]
    fn puts_right_what_would_lose_the_request() {
        let (json, repaired, _) = parsed(&[alert(AlertState::Resolved, 0, "not a link")]);
        assert_eq!(repaired, 3);
        assert_eq!(json[0]["endsAt"], json[0]["startsAt"]);
        assert_eq!(json[0].get("generatorURL"), None);
        let (json, ..) = parsed(&[alert(AlertState::Firing, 0, "http://w/%zz")]);
        assert_eq!((json[0].get("endsAt"), json[0].get("generatorURL")), (None, None));
        let none = Alert { labels: Labels::default(), ..alert(AlertState::Firing, i64::MAX, "") };
        let (json, _, dropped) = parsed(&[none, alert(AlertState::Firing, i64::MAX, "")]);
        assert_eq!((json.as_array().map(Vec::len), dropped), (Some(1), 1));
    }

    proptest! {
        #[test]
        fn any_alert_is_survived(name in ".{1,20}", value in ".{0,20}", url in ".{0,40}", starts: i64, ends: i64) {
            let labels = Labels::new([(name.as_str(), value.as_str()), ("alertname", "x")]).expect("valid");
            let annotations = vec![(name, value)];
            let state = AlertState::Firing;
            let alert = Alert { labels, annotations, state, starts_ms: starts, ends_ms: ends, generator_url: url };
            let (json, _, dropped) = parsed(&[alert]);
            prop_assert_eq!(dropped, 0);
            prop_assert!(json[0]["labels"].as_object().is_some_and(|l| l.keys().all(|name| is_label_name(name))));
        }
    }
}
