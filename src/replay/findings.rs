//! The alerts that would have fired, counted.

use std::collections::{BTreeMap, BTreeSet};

use watchbell_series::Labels;

use super::player::Played;
use super::stages::Stages;
use crate::alerting::Episode;

const WEEK_MS: f64 = 7.0 * 86_400_000.0;
/// Unless said otherwise, alerts of the first day are not counted,
const WARM_UP_MS: i64 = 86_400_000;
/// or of this part of the history if that is shorter.
const WARM_UP_PART: i64 = 4;

/// What a replay shows.
#[derive(Debug, Default)]
pub struct Findings {
    /// Time of the first and of the last sample.
    pub span_ms: (i64, i64),
    /// Alerts that began before this are left out: series were young then.
    pub counted_from_ms: i64,
    /// Samples played.
    pub samples: u64,
    /// Series held, and those of them that are judged.
    pub series: (u64, u64),
    /// Hosts with a judged series.
    pub hosts: BTreeSet<String>,
    /// The alerts, in order of their begin.
    pub alerts: Vec<Episode>,
    /// Alerts that were left out.
    pub left_out: usize,
}

/// Alerts of one kind, host or series together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// How many.
    pub alerts: usize,
    /// How long each lasted, in milliseconds; those that fire at the end last until then.
    pub lasted_ms: Vec<i64>,
    /// The greatest score.
    pub peak: f32,
    /// Hosts that they are of.
    pub hosts: BTreeSet<String>,
    /// The severity of their rule.
    pub severity: String,
}

impl Group {
    /// The median of how long they lasted, in seconds.
    #[must_use]
    pub fn typical_s(&self) -> f64 {
        let mut sorted: Vec<f64> = self.lasted_ms.iter().map(|ms| *ms as f64 / 1000.0).collect();
        sorted.sort_by(f64::total_cmp);
        crate::bench::measure::quantile(&sorted, 0.5)
    }

    /// How long they lasted in all, in seconds.
    #[must_use]
    pub fn total_s(&self) -> f64 {
        self.lasted_ms.iter().sum::<i64>() as f64 / 1000.0
    }
}

impl Findings {
    /// Of what was played; `warm_up_ms` is the time left out, where it was said.
    #[must_use]
    pub fn of(played: &mut Played, stages: &Stages, warm_up_ms: Option<i64>) -> Option<Self> {
        let (first, last) = played.span_ms?;
        let warm_up = warm_up_ms.unwrap_or_else(|| WARM_UP_MS.min((last - first) / WARM_UP_PART));
        let counted_from_ms = first.saturating_add(warm_up);
        let (early, alerts): (Vec<Episode>, Vec<Episode>) =
            std::mem::take(&mut played.alerts).into_iter().partition(|alert| alert.starts_ms < counted_from_ms);
        let status = stages.status();
        let hosts = stages.hosts().iter().map(|host| host.host.clone());
        // A host whose series are all gone by the end was there, too.
        let hosts = hosts.chain(alerts.iter().map(|alert| alert.host.clone())).filter(|host| !host.is_empty());
        Some(Self {
            span_ms: (first, last),
            counted_from_ms,
            samples: played.samples,
            series: (status.raw, status.judged),
            hosts: hosts.collect(),
            left_out: early.len(),
            alerts,
        })
    }

    /// Weeks for which alerts are counted.
    #[must_use]
    pub fn weeks(&self) -> f64 {
        (self.span_ms.1 - self.counted_from_ms).max(0) as f64 / WEEK_MS
    }

    /// So many alerts in a week; NaN where no time is counted.
    #[must_use]
    pub fn per_week(&self, alerts: usize) -> f64 {
        let weeks = self.weeks();
        if weeks > 0.0 { alerts as f64 / weeks } else { f64::NAN }
    }

    /// How long an alert lasted; one that fires at the end until then.
    #[must_use]
    pub fn lasted_ms(&self, alert: &Episode) -> i64 {
        (alert.ends_ms.unwrap_or(self.span_ms.1) - alert.starts_ms).max(0)
    }

    /// Groups of alerts by what `key` says of each, those with most alerts first.
    #[must_use]
    pub fn groups(&self, key: impl Fn(&Episode) -> Option<String>) -> Vec<(String, Group)> {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for alert in &self.alerts {
            let Some(key) = key(alert) else { continue };
            let group = groups.entry(key).or_default();
            group.alerts += 1;
            group.lasted_ms.push(self.lasted_ms(alert));
            group.peak = group.peak.max(alert.peak_score);
            group.hosts.extend((!alert.host.is_empty()).then(|| alert.host.clone()));
            alert.labels.get("severity").unwrap_or_default().clone_into(&mut group.severity);
        }
        let mut groups: Vec<(String, Group)> = groups.into_iter().collect();
        groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.alerts));
        groups
    }

    /// Groups by rule.
    #[must_use]
    pub fn by_rule(&self) -> Vec<(String, Group)> {
        self.groups(|alert| Some(alert.rule.clone()))
    }

    /// Groups by host.
    #[must_use]
    pub fn by_host(&self) -> Vec<(String, Group)> {
        self.groups(|alert| (!alert.host.is_empty()).then(|| alert.host.clone()))
    }

    /// Groups by series.
    #[must_use]
    pub fn by_series(&self) -> Vec<(String, Group)> {
        self.groups(|alert| alert.series.is_some().then(|| subject(alert)))
    }
}

/// What an alert is about: the series, or the host.
#[must_use]
pub fn subject(alert: &Episode) -> String {
    if alert.series.is_none() {
        return alert.host.clone();
    }
    const OWN: [&str; 3] = ["alertname", "severity", "metric"];
    let metric = alert.labels.get("metric").unwrap_or_default();
    let rest = alert.labels.iter().filter(|(name, _)| !OWN.contains(name));
    Labels::new(rest.chain([("__name__", metric)])).map_or_else(|_| metric.to_owned(), |labels| labels.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use watchbell_series::{Pattern, SeriesId};

    use super::*;

    const HOUR: i64 = 3_600_000;

    /// An alert of a series (or of the host) that began at an hour and lasted so many.
    pub(in crate::replay) fn alert(rule: &str, host: &str, metric: &str, hour: i64, lasted: Option<i64>) -> Episode {
        let mut pairs = vec![("alertname", rule), ("host", host), ("severity", "warning")];
        pairs.extend((!metric.is_empty()).then_some(("metric", metric)));
        let labels = Labels::new(pairs).expect("valid");
        Episode {
            rule: rule.to_owned(),
            series: (!metric.is_empty()).then_some(SeriesId(7)),
            host: host.to_owned(),
            labels,
            annotations: Vec::new(),
            generator_url: String::new(),
            starts_ms: hour * HOUR,
            ends_ms: lasted.map(|hours| (hour + hours) * HOUR),
            peak_score: hour as f32,
            pattern: Pattern::Spike,
        }
    }

    /// Two weeks of which the first day is left out.
    pub(in crate::replay) fn findings(alerts: Vec<Episode>) -> Findings {
        Findings {
            span_ms: (0, 15 * 24 * HOUR),
            counted_from_ms: 24 * HOUR,
            samples: 1_000,
            series: (12, 10),
            hosts: ["a", "b"].map(str::to_owned).into(),
            alerts,
            left_out: 2,
        }
    }

    #[test]
    fn alerts_are_counted_by_what_they_are_of() {
        let found = findings(vec![
            alert("R", "a", "cpu", 30, Some(1)),
            alert("R", "a", "cpu", 40, Some(3)),
            alert("R", "b", "mem", 50, Some(2)),
            alert("H", "a", "", 60, None),
        ]);
        assert_eq!((found.weeks(), found.per_week(4)), (2.0, 2.0));
        let rules = found.by_rule();
        assert_eq!((rules[0].0.as_str(), rules[0].1.alerts, rules[0].1.typical_s()), ("R", 3, 7_200.0));
        assert_eq!((rules[0].1.hosts.len(), rules[0].1.peak, rules[0].1.severity.as_str()), (2, 50.0, "warning"));
        let hosts = found.by_host();
        assert_eq!((hosts[0].0.as_str(), hosts[0].1.alerts), ("a", 3));
        let series = found.by_series();
        assert_eq!((series.len(), series[0].0.as_str(), series[0].1.alerts), (2, r#"cpu{host="a"}"#, 2));
        assert_eq!(series[0].1.total_s(), 4.0 * 3_600.0);
        // The alert that fires at the end lasts until then.
        assert_eq!(found.lasted_ms(&found.alerts[3]), (15 * 24 - 60) * HOUR);
        assert_eq!(subject(&found.alerts[3]), "a");
    }

    #[test]
    fn no_counted_time_is_no_rate() {
        let none = Findings { counted_from_ms: 100, span_ms: (0, 50), ..Findings::default() };
        assert!(none.per_week(3).is_nan() && none.weeks() == 0.0);
    }
}
