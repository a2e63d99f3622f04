//! Whom a piece of context is about: its words resolved, and compared with series and alerts.

use serde_json::{Value, json};
use watchbell_normalize::Rules as Mapping;
use watchbell_normalize::hosts::HostTable;
use watchbell_series::labels::NAME;
use watchbell_series::{Labels, MatchOp, Matcher, Subject};

use crate::alerting::Rules as AlertRules;
use crate::alerting::identity::PREFIX;

/// Labels that the alerts of this service have and no series.
const OF_ALERTS: [&str; 2] = ["alertname", "severity"];
/// The label of alerts that names the metric of their series.
pub(super) const METRIC: &str = "metric";
/// The label of series and alerts that names the host.
pub(super) const HOST: &str = "host";

/// A subject whose words are resolved.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Everything.
    All,
    /// A host, by any of these names.
    Host(Vec<String>),
    /// Series and alerts.
    Matching {
        /// All hold, on the labels of a series or on those of an alert.
        matchers: Vec<Matcher>,
        /// All of one of these hold on the labels of a series that an alert which the matchers select is about.
        of_alerts: Vec<Vec<Matcher>>,
    },
}

/// A series as subjects are compared with it.
pub struct Facts<'a> {
    /// The value of a label; empty for none.
    pub label: &'a dyn Fn(&str) -> &'a str,
    /// Its name in common words.
    pub mapped: &'a dyn Fn() -> String,
    /// Its host; empty for none.
    pub host: &'a str,
}

impl Target {
    /// Resolves `subject`: names of hosts by the rules of `mapping` and what is known of all names in `table`, labels
    /// of alerts by the rules of `alerts`.
    #[must_use]
    pub fn of(subject: &Subject, (mapping, table): (&Mapping, &HostTable), alerts: &AlertRules) -> Self {
        match subject {
            Subject::All => Self::All,
            Subject::Host(name) => Self::Host(host_names(name, mapping, table)),
            Subject::Series(matchers) => {
                let of_alerts = alerts.series.iter().filter_map(|rule| {
                    let known = |name: &str| match name {
                        "alertname" => Some(rule.name.as_str()),
                        "severity" => Some(rule.severity.as_str()),
                        other => rule.labels.iter().find(|(label, _)| label == other).map(|(_, value)| value.as_str()),
                    };
                    let (fixed, left): (Vec<&Matcher>, Vec<&Matcher>) =
                        matchers.iter().partition(|matcher| known(matcher.name()).is_some());
                    let selected = fixed.iter().all(|m| known(m.name()).is_some_and(|value| m.matches(value)));
                    (!fixed.is_empty() && selected).then(|| left.into_iter().cloned().collect())
                });
                Self::Matching { of_alerts: of_alerts.collect(), matchers: matchers.clone() }
            }
        }
    }

    /// Whether it is about the series.
    #[must_use]
    pub fn is_about(&self, series: &Facts<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Host(names) => names.iter().any(|name| name == series.host),
            Self::Matching { matchers, of_alerts } => {
                let of_alert = |matchers: &Vec<Matcher>| matchers.iter().all(|matcher| series.alert_passes(matcher));
                matchers.iter().all(|matcher| series.passes(matcher)) || of_alerts.iter().any(of_alert)
            }
        }
    }

    /// Whether it is about the alert with these labels, of this host, about the series with these labels and this
    /// common name if it is about one.
    #[must_use]
    pub fn is_about_alert(&self, alert: &Labels, host: &str, series: Option<(&Labels, &str)>) -> bool {
        match self {
            Self::All => true,
            Self::Host(names) => !host.is_empty() && names.iter().any(|name| name == host),
            Self::Matching { matchers, .. } => {
                let common = series.map_or("", |(_, common)| common);
                let carried = series.and_then(|(labels, _)| labels.get(HOST)).unwrap_or_default();
                let metric = alert.get(NAME).or(alert.get(METRIC)).unwrap_or_default();
                let of_alert = |matcher: &Matcher| match (matcher.name(), alert.get(matcher.name())) {
                    (NAME | METRIC, _) => is_either(matcher, metric, common),
                    (HOST, value) if is_positive(matcher) => matcher.matches(value.unwrap_or(host)),
                    (HOST, value) => is_either(matcher, value.unwrap_or(host), carried),
                    (_, value) => matcher.matches(value.unwrap_or_default()),
                };
                let of_series = |(labels, common): (&Labels, &str)| {
                    let label = |name: &str| labels.get(name).unwrap_or_default();
                    let facts = Facts { label: &label, mapped: &|| common.to_owned(), host };
                    matchers.iter().all(|matcher| facts.passes(matcher))
                };
                matchers.iter().all(of_alert) || series.is_some_and(of_series)
            }
        }
    }

    /// In a form that can be kept.
    #[must_use]
    pub fn json(&self) -> Value {
        let shown = |matchers: &[Matcher]| matchers.iter().map(matcher_json).collect::<Vec<_>>();
        match self {
            Self::All => json!("all"),
            Self::Host(names) => json!({"host": names}),
            Self::Matching { matchers, of_alerts } => json!({
                "match": shown(matchers), "alerts": of_alerts.iter().map(|m| shown(m)).collect::<Vec<_>>(),
            }),
        }
    }

    /// Takes back what [`Target::json`] gave.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        if value == "all" {
            return Some(Self::All);
        }
        if let Some(names) = value.get("host") {
            return Some(Self::Host(names.as_array()?.iter().filter_map(Value::as_str).map(Into::into).collect()));
        }
        let matchers = |value: &Value| value.as_array()?.iter().map(matcher_of).collect::<Option<Vec<_>>>();
        let of_alerts = value.get("alerts")?.as_array()?.iter().map(matchers).collect::<Option<_>>()?;
        Some(Self::Matching { matchers: matchers(value.get("match")?)?, of_alerts })
    }
}

impl std::fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Facts<'_> {
    fn passes(&self, matcher: &Matcher) -> bool {
        let own = (self.label)(matcher.name());
        match matcher.name() {
            NAME => self.is_named(matcher),
            METRIC if own.is_empty() => self.is_named(matcher),
            HOST => is_either(matcher, self.host, own),
            name if OF_ALERTS.contains(&name) && own.is_empty() && matcher.matches("") => false,
            _ => matcher.matches(own),
        }
    }

    /// The same on the labels of an alert about the series: there a name that was taken got a prefix.
    fn alert_passes(&self, matcher: &Matcher) -> bool {
        let mut name = matcher.name();
        if name == HOST {
            return matcher.matches(self.host);
        }
        while let Some(bare) = name.strip_prefix(PREFIX).filter(|_| (self.label)(name).is_empty()) {
            name = bare;
        }
        if name == matcher.name() { self.passes(matcher) } else { matcher.matches((self.label)(name)) }
    }

    /// By its own name or the common one.
    fn is_named(&self, matcher: &Matcher) -> bool {
        let own = (self.label)(NAME);
        // The common one takes work.
        if matcher.matches(own) == is_positive(matcher) {
            return is_positive(matcher);
        }
        is_either(matcher, own, &(self.mapped)())
    }
}

fn is_positive(matcher: &Matcher) -> bool {
    matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex)
}

/// Compares what goes by two names, the second of which may be empty: to be something, one of them is it; not to be
/// something, none of them is.
pub(crate) fn is_either(matcher: &Matcher, one: &str, other: &str) -> bool {
    if other.is_empty() {
        matcher.matches(one)
    } else if is_positive(matcher) {
        matcher.matches(one) || matcher.matches(other)
    } else {
        matcher.matches(one) && matcher.matches(other)
    }
}

/// A host's name as it was told, as the rules of `mapping` make it from the labels that usually carry it, and the host
/// that all of them mean.
#[must_use]
pub fn host_names(name: &str, mapping: &Mapping, table: &HostTable) -> Vec<String> {
    let mut all = vec![name.to_owned()];
    for label in ["instance", HOST] {
        let given = mapping.host(|asked| if asked == label { name } else { "" });
        let resolved = given.map(|given| given.name.into_owned()).unwrap_or_default();
        if !resolved.is_empty() && !all.contains(&resolved) {
            all.push(resolved);
        }
    }
    for known in all.clone() {
        let host = table.host_alike(&known);
        if !all.iter().any(|name| name == host) {
            all.push(host.to_owned());
        }
    }
    all
}

/// The names of the one host that a subject is about, all that the resolver has for it: named as a host, or by a label
/// of its series that carries a host. None for what is about no host, or about many.
#[must_use]
pub fn host_of_subject(subject: &Subject, mapping: &Mapping, table: &HostTable) -> Vec<String> {
    let name = match subject {
        Subject::All => None,
        Subject::Host(name) => Some(&**name),
        Subject::Series(matchers) => {
            let carried = |label: &str| matchers.iter().find(|m| m.name() == label && m.op() == MatchOp::Equal);
            carried(HOST).or_else(|| carried("instance")).map(Matcher::value)
        }
    };
    name.map(|name| host_names(name, mapping, table)).unwrap_or_default()
}

/// A matcher in a form that can be kept: name, operator, value.
#[must_use]
pub fn matcher_json(matcher: &Matcher) -> Value {
    let op = match matcher.op() {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    };
    json!([matcher.name(), op, matcher.value()])
}

/// Takes back what [`matcher_json`] gave.
#[must_use]
pub fn matcher_of(value: &Value) -> Option<Matcher> {
    let op = match value.get(1)?.as_str()? {
        "=" => MatchOp::Equal,
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        "!~" => MatchOp::NotRegex,
        _ => return None,
    };
    Matcher::new(value.get(0)?.as_str()?, op, value.get(2)?.as_str()?).ok()
}

/// A subject in a form that can be kept.
#[must_use]
pub fn subject_json(subject: &Subject) -> Value {
    match subject {
        Subject::All => json!("all"),
        Subject::Host(name) => json!({"host": name}),
        Subject::Series(matchers) => json!({"match": matchers.iter().map(matcher_json).collect::<Vec<_>>()}),
    }
}

/// Takes back what [`subject_json`] gave.
#[must_use]
pub fn subject_of(value: &Value) -> Option<Subject> {
    if value == "all" {
        return Some(Subject::All);
    }
    if let Some(name) = value.get("host") {
        return Some(Subject::Host(name.as_str()?.into()));
    }
    let matchers = value.get("match")?.as_array()?.iter().map(matcher_of).collect::<Option<_>>()?;
    Some(Subject::Series(matchers))
}

#[cfg(test)]
mod tests {
    use watchbell_normalize::hosts::{Guesses, HostName, resolve};

    use super::*;

    fn mapping() -> Mapping {
        let file = r#"{"entity": [{"label": "instance", "address": true}, {"label": "host"}]}"#;
        Mapping::load(&[("test", file)], &[]).expect("valid")
    }

    fn target(subject: &Subject) -> Target {
        let target = Target::of(subject, (&mapping(), &HostTable::default()), &AlertRules::builtin());
        assert_eq!(Target::from_json(&target.json()), Some(target.clone()));
        assert_eq!(subject_of(&subject_json(subject)).as_ref(), Some(subject));
        target
    }

    fn matching(all: &[(&str, MatchOp, &str)]) -> Target {
        let matchers = all.iter().map(|(name, op, value)| Matcher::new(name, *op, value).expect("a matcher"));
        target(&Subject::Series(matchers.collect()))
    }

    /// `node_load1{instance="web-1:9100"}` of host `web-1`, whose common name is `load`.
    fn is_about(target: &Target) -> bool {
        let labels = [(NAME, "node_load1"), ("instance", "web-1:9100")];
        let label = |name: &str| labels.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| *value);
        target.is_about(&Facts { label: &label, mapped: &|| "load".to_owned(), host: "web-1" })
    }

    #[test]
    fn hosts_are_found_by_the_name_that_a_tool_has_for_them() {
        for (name, about) in [("web-1", true), ("web-1:9100", true), ("web-2", false)] {
            assert_eq!(is_about(&target(&Subject::Host(name.into()))), about, "{name}");
        }
        assert!(is_about(&target(&Subject::All)));
    }

    #[test]
    fn what_is_said_of_a_check_is_said_of_its_host() {
        let of = |all: &[(&str, MatchOp, &str)]| {
            let matchers = all.iter().map(|(name, op, value)| Matcher::new(name, *op, value).expect("a matcher"));
            host_of_subject(&Subject::Series(matchers.collect()), &mapping(), &HostTable::default())
        };
        assert_eq!(of(&[("service", MatchOp::Equal, "HTTP"), ("host", MatchOp::Equal, "web-1")]), ["web-1"]);
        assert_eq!(of(&[("instance", MatchOp::Equal, "web-1:9100")]), ["web-1:9100", "web-1"]);
        assert_eq!(of(&[("host", MatchOp::Regex, "web-.*")]), [""; 0]);
        assert_eq!(host_of_subject(&Subject::All, &mapping(), &HostTable::default()), [""; 0]);
    }

    #[test]
    fn a_host_is_found_by_a_name_that_another_source_has_for_it() {
        let name = |name: &str, source| HostName {
            name: name.into(),
            source,
            label: "host".into(),
            carried: name.into(),
            address: false,
            decided: false,
            rule: "test".into(),
        };
        let guesses = Guesses { join_domains: true, ..Guesses::default() };
        let table = resolve(&[name("web-1", 1), name("web-1.example.org", 2)], &guesses);
        let of = |table: &HostTable| {
            let subject = Subject::Host("web-1.example.org".into());
            Target::of(&subject, (&mapping(), table), &AlertRules::builtin())
        };
        assert!(is_about(&of(&table)));
        assert!(!is_about(&of(&HostTable::default())));
    }

    #[test]
    fn series_are_found_by_foreign_and_common_names() {
        use MatchOp::{Equal, NotEqual, Regex};
        assert!(is_about(&matching(&[(NAME, Equal, "node_load1")])));
        assert!(is_about(&matching(&[(NAME, Equal, "load"), ("host", Regex, "web-.*")])));
        assert!(is_about(&matching(&[("metric", Equal, "node_load1"), ("job", Equal, "")])));
        assert!(!is_about(&matching(&[(NAME, NotEqual, "load")])));
        assert!(!is_about(&matching(&[(NAME, Equal, "node_load5")])));
    }

    #[test]
    fn a_silence_of_an_own_alert_is_about_its_series_and_that_of_another_tools_alert_is_not() {
        use MatchOp::Equal;
        let own = matching(&[("alertname", Equal, "MetricAnomalous"), ("host", Equal, "web-1")]);
        assert!(is_about(&own));
        assert!(!is_about(&matching(&[("alertname", Equal, "MetricAnomalous"), ("host", Equal, "web-2")])));
        assert!(!is_about(&matching(&[("alertname", Equal, "TargetDown"), ("host", Equal, "web-1")])));
        assert!(!is_about(&matching(&[("alertname", Equal, "HostAnomalous"), ("host", Equal, "web-1")])));
        assert!(!is_about(&matching(&[("alertname", Equal, "")])), "it names what is no alert");
        let labels = |name: &str| Labels::new([("alertname", name), ("host", "web-1")]).expect("labels");
        assert!(own.is_about_alert(&labels("MetricAnomalous"), "web-1", None));
        assert!(!own.is_about_alert(&labels("HostAnomalous"), "web-1", None));
        assert!(target(&Subject::Host("web-1".into())).is_about_alert(&labels("HostAnomalous"), "web-1", None));
    }

    #[test]
    fn alerts_are_found_as_their_series_are() {
        use MatchOp::{Equal, NotEqual};
        let alert = Labels::new([("alertname", "MetricAnomalous"), ("host", "web-1"), ("metric", "node_load1")]);
        let series = Labels::series([(NAME, "node_load1"), ("host", "web-01"), ("instance", "web-1:9100")]);
        let (alert, series) = (alert.expect("labels"), series.expect("labels"));
        for (all, wanted) in [
            (&[(NAME, Equal, "load")][..], true),
            (&[("metric", Equal, "load")], true),
            (&[(NAME, NotEqual, "load")], false),
            (&[("metric", NotEqual, "node_load1")], false),
            (&[("host", Equal, "web-01")], true),
            (&[("host", Equal, "web-1")], true),
            (&[("host", NotEqual, "web-01")], false),
            (&[("host", NotEqual, "web-1")], false),
            (&[("host", NotEqual, "web-2")], true),
            (&[("alertname", Equal, "MetricAnomalous"), ("exported_host", Equal, "web-01")], true),
            (&[("alertname", Equal, "MetricAnomalous"), ("exported_host", Equal, "web-02")], false),
            (&[("alertname", Equal, "MetricAnomalous"), ("host", Equal, "web-01")], false),
        ] {
            let target = matching(all);
            let label = |name: &str| series.get(name).unwrap_or_default();
            let facts = Facts { label: &label, mapped: &|| "load".to_owned(), host: "web-1" };
            assert_eq!(target.is_about(&facts), wanted, "{all:?} of the series");
            let mut words = alert.iter().collect::<Vec<_>>();
            words.push(("exported_host", "web-01"));
            let alert = Labels::new(words).expect("labels");
            assert_eq!(target.is_about_alert(&alert, "web-1", Some((&series, "load"))), wanted, "{all:?} of the alert");
        }
    }
}
