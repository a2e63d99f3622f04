//! The labels of an alert: its identity at every sink, so nothing in them ever changes while it lives.
//!
//! `alertname`, `severity`, `host` and `metric`, the labels of the rule, and the labels of the series. A
//! label of the series whose name is taken gets the prefix `exported_`, as Prometheus does.

use std::collections::BTreeMap;

use watchbell_series::Labels;
use watchbell_series::labels::NAME;

use super::About;
use super::rules::Rule;

/// Name given to a label of the series that collides.
pub(crate) const PREFIX: &str = "exported_";

/// Identity of the alert of `rule` about one series.
#[must_use]
pub fn series_alert(rule: &Rule, about: &About) -> Labels {
    let mut all = own(rule, &about.entity);
    all.insert("metric".to_owned(), about.labels.name().to_owned());
    for (name, value) in about.labels.iter() {
        // The host is said once; a label of the same name with another value is kept beside it.
        if name == NAME || (name == "host" && value == about.entity) {
            continue;
        }
        if all.len() + 1 == Labels::MAX_LABELS {
            // Too many for one label set: the id of the series keeps the identity unique.
            all.insert("series_id".to_owned(), about.labels.id().to_string());
            break;
        }
        let mut name = name.to_owned();
        while all.contains_key(&name) {
            name.insert_str(0, PREFIX);
        }
        all.insert(name, value.to_owned());
    }
    Labels::new(all).unwrap_or_else(|_| {
        // A prefix made a name too long: the id of the series keeps the identity unique without its labels.
        let mut few = own(rule, &about.entity);
        few.insert("series_id".to_owned(), about.labels.id().to_string());
        labels(few)
    })
}

/// Identity of the alert of `rule` about a host.
#[must_use]
pub fn host_alert(rule: &Rule, host: &str) -> Labels {
    labels(own(rule, host))
}

fn own(rule: &Rule, host: &str) -> BTreeMap<String, String> {
    // Rules refuse labels with these names, and hold far fewer labels than a set may.
    let own = [("alertname", rule.name.as_str()), ("severity", &rule.severity), ("host", host)];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    own.into_iter().chain(rule.labels.iter().cloned()).filter(|(_, value)| !value.is_empty()).collect()
}

fn labels(all: BTreeMap<String, String>) -> Labels {
    // Names are unique, and `alertname` is never empty. Should a label of the rule be too long, the alert is better
    // without it than not sent.
    let name = all.get("alertname").cloned().unwrap_or_default();
    Labels::new(all).or_else(|_| Labels::new([("alertname", name)])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchbell_series::Unit;

    fn rule() -> Rule {
        let mut rule = super::super::rules::Rules::builtin().series.swap_remove(0);
        rule.labels = vec![("team".to_owned(), "infra".to_owned())];
        rule
    }

    fn text(labels: &Labels) -> String {
        labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    fn about(pairs: &[(&str, &str)]) -> About {
        let labels = Labels::series(pairs.iter().copied()).expect("labels");
        About {
            labels,
            common: String::new(),
            entity: "web-1".to_owned(),
            unit: Unit::None,
            limits: Default::default(),
        }
    }

    #[test]
    fn collisions_are_prefixed_and_nothing_is_lost() {
        let about = about(&[
            ("__name__", "node_load1"),
            ("instance", "web-1:9100"),
            ("host", "other"),
            ("severity", "page"),
            ("metric", "m"),
            ("exported_metric", "e"),
            ("team", "web"),
        ]);
        assert_eq!(
            text(&series_alert(&rule(), &about)),
            "alertname=MetricAnomalous exported_exported_metric=m exported_host=other exported_metric=e exported_severity=page \
             exported_team=web host=web-1 instance=web-1:9100 metric=node_load1 severity=warning team=infra"
        );
    }

    #[test]
    fn the_host_is_said_once() {
        let about = about(&[("__name__", "up"), ("host", "web-1")]);
        let labels = text(&series_alert(&rule(), &about));
        assert_eq!(labels, "alertname=MetricAnomalous host=web-1 metric=up severity=warning team=infra");
        assert_eq!(text(&host_alert(&rule(), "db")), "alertname=MetricAnomalous host=db severity=warning team=infra");
    }

    #[test]
    fn a_series_with_all_the_labels_there_can_be_is_still_told_apart() {
        let pairs: Vec<(String, String)> = (0..127).map(|i| (format!("l{i:03}"), "x".to_owned())).collect();
        let make = |last: &str| {
            let mut pairs = pairs.clone();
            pairs.extend([("__name__".to_owned(), "m".to_owned())]);
            pairs[126].1 = last.to_owned();
            About {
                labels: Labels::series(pairs).expect("labels"),
                common: String::new(),
                entity: "h".to_owned(),
                unit: Unit::None,
                limits: Default::default(),
            }
        };
        let (a, b) = (series_alert(&rule(), &make("a")), series_alert(&rule(), &make("b")));
        assert_eq!((a.len(), a.get("metric")), (128, Some("m")));
        assert_ne!(a, b);
    }

    #[test]
    fn a_series_whose_label_gets_too_long_a_name_is_still_told_apart() {
        // The rule takes the longest name there can be, and a prefix is one letter too many.
        let long = "l".repeat(Labels::MAX_VALUE_BYTES);
        let mut rule = rule();
        rule.labels = vec![(long.clone(), "x".to_owned())];
        let make = |value: &str| series_alert(&rule, &about(&[("__name__", "m"), (&long, value)]));
        let (a, b) = (make("a"), make("b"));
        assert_eq!(
            (a.get("alertname"), a.get("host"), a.get("severity")),
            (Some("MetricAnomalous"), Some("web-1"), Some("warning"))
        );
        assert!(a != b && a.get("series_id").is_some());
    }
}
