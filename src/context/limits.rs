//! Limits that people set in other tools, and the series each is about.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};
use watchbell_series::labels::NAME;
use watchbell_series::{KnownLimit, LimitRange, LimitSeverity, MatchOp, Matcher, Unit};

use super::subject::{Facts, Target, subject_json, subject_of};
use crate::words::quantity;

/// A limit of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesLimit {
    /// The source that tells of it.
    pub source: Arc<str>,
    /// For people.
    pub name: Arc<str>,
    /// How bad it is.
    pub severity: LimitSeverity,
    /// Where it is bad.
    pub range: LimitRange,
}

impl SeriesLimit {
    /// `critical above 90 % (zabbix: High CPU)`.
    #[must_use]
    pub fn words(&self, unit: Unit) -> String {
        let LimitRange { low, high, inside } = self.range;
        let q = |value: f64| quantity(value, unit);
        let range = match (low, high, inside) {
            (Some(low), Some(high), false) if low == high => format!("other than {}", q(low)),
            (Some(low), Some(high), true) if low == high => format!("at {}", q(low)),
            (Some(low), Some(high), false) => format!("outside {} to {}", q(low), q(high)),
            (Some(low), Some(high), true) => format!("from {} to {}", q(low), q(high)),
            (None, Some(high), false) => format!("above {}", q(high)),
            (Some(low), None, false) => format!("below {}", q(low)),
            (None, Some(high), true) => format!("up to {}", q(high)),
            (Some(low), None, true) => format!("from {} up", q(low)),
            (None, None, _) => "nowhere".to_owned(),
        };
        format!("{} {range} ({}: {})", self.severity.as_str(), self.source, self.name)
    }

    /// How far `value` is from where it is bad; 0 where it is.
    fn distance(&self, value: f64) -> f64 {
        if self.range.is_crossed(value) {
            return 0.0;
        }
        let ends = [self.range.low, self.range.high].into_iter().flatten();
        ends.map(|end| (value - end).abs()).fold(f64::INFINITY, f64::min)
    }
}

/// What people are told of the limits of a series at `value`: the worst that is crossed, else the nearest.
#[must_use]
pub fn nearest(limits: &[SeriesLimit], value: f64, unit: Unit) -> Option<String> {
    let set = limits.iter().filter(|limit| limit.severity != LimitSeverity::Legal);
    let nearest =
        set.min_by(|a, b| a.distance(value).total_cmp(&b.distance(value)).then_with(|| b.severity.cmp(&a.severity)))?;
    let stands = if nearest.range.is_crossed(value) {
        "past it".to_owned()
    } else {
        format!("{} from it", quantity(nearest.distance(value), unit))
    };
    Some(format!("{}; {stands}", nearest.words(unit)))
}

#[derive(Debug, PartialEq)]
struct Row {
    limit: SeriesLimit,
    target: Target,
}

/// All known limits, found by a label that each asks for.
#[derive(Debug, Default)]
pub struct Limits {
    rows: Vec<Row>,
    /// Rows that ask for this very label; each row stands under its rarest one.
    by_label: HashMap<(String, String), Vec<u32>>,
    /// Rows that ask for none.
    others: Vec<u32>,
}

impl PartialEq for Limits {
    /// The rest follows from the rows.
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

impl Limits {
    /// The limits of every source, with whom each is about.
    #[must_use]
    pub fn new(told: &BTreeMap<String, Arc<[KnownLimit]>>, resolve: impl Fn(&KnownLimit) -> Target) -> Self {
        let mut rows = Vec::new();
        for (source, limits) in told {
            let source: Arc<str> = source.as_str().into();
            rows.extend(limits.iter().map(|limit| Row {
                target: resolve(limit),
                limit: SeriesLimit {
                    source: Arc::clone(&source),
                    name: limit.name.as_str().into(),
                    severity: limit.severity,
                    range: limit.range,
                },
            }));
        }
        let mut count: HashMap<(&str, &str), usize> = HashMap::new();
        for row in &rows {
            wanted(&row.target).for_each(|label| *count.entry(label).or_default() += 1);
        }
        let (mut by_label, mut others) = (HashMap::<(String, String), Vec<u32>>::new(), Vec::new());
        for (at, row) in (0..).zip(&rows) {
            match &row.target {
                Target::Host(names) => {
                    for name in names {
                        by_label.entry(("host".to_owned(), name.clone())).or_default().push(at);
                    }
                }
                target => match wanted(target).min_by_key(|label| count[label]) {
                    Some((name, value)) => by_label.entry((name.to_owned(), value.to_owned())).or_default().push(at),
                    None => others.push(at),
                },
            }
        }
        Self { rows, by_label, others }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The limits of a series with these labels.
    #[must_use]
    pub fn of<'a>(&self, labels: impl Iterator<Item = (&'a str, &'a str)>, series: &Facts<'_>) -> Vec<SeriesLimit> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<u32> = self.others.clone();
        let mut look = |name: &str, value: &str| {
            if let Some(rows) = self.by_label.get(&(name.to_owned(), value.to_owned())) {
                found.extend(rows);
            }
        };
        labels.for_each(|(name, value)| look(name, value));
        look("host", series.host);
        look(NAME, &(series.mapped)());
        found.sort_unstable();
        found.dedup();
        let rows = found.into_iter().map(|at| &self.rows[at as usize]);
        rows.filter(|row| row.target.is_about(series)).map(|row| row.limit.clone()).collect()
    }
}

/// Labels that all series of the target have.
fn wanted(target: &Target) -> impl Iterator<Item = (&str, &str)> {
    let matchers: &[Matcher] = match target {
        Target::Matching { matchers, of_alerts } if of_alerts.is_empty() => matchers,
        _ => &[],
    };
    let equal = matchers.iter().filter(|m| m.op() == MatchOp::Equal && !m.value().is_empty() && m.name() != "metric");
    equal.map(|matcher| (matcher.name(), matcher.value()))
}

/// Limits of one source in a form that can be kept.
#[must_use]
pub fn keep(limits: &[KnownLimit]) -> Vec<u8> {
    let shown = |l: &KnownLimit| {
        let LimitRange { low, high, inside } = l.range;
        json!([l.id, subject_json(&l.subject), l.severity.as_str(), low, high, inside, l.name, l.unseen_since_ms])
    };
    Value::Array(limits.iter().map(shown).collect()).to_string().into_bytes()
}

/// Takes back what [`keep`] gave; what makes no sense is left out.
#[must_use]
pub fn kept(bytes: &[u8]) -> Vec<KnownLimit> {
    let all: Vec<Value> = serde_json::from_slice(bytes).unwrap_or_default();
    let limit = |value: &Value| {
        let text = |at: usize| value.get(at)?.as_str().map(ToOwned::to_owned);
        let number = |at: usize| value.get(at).and_then(Value::as_f64);
        Some(KnownLimit {
            id: text(0)?,
            subject: subject_of(value.get(1)?)?,
            severity: LimitSeverity::ALL.into_iter().find(|severity| Some(severity.as_str()) == value[2].as_str())?,
            range: LimitRange { low: number(3), high: number(4), inside: value.get(5)?.as_bool()? },
            name: text(6)?,
            unseen_since_ms: value.get(7).and_then(Value::as_i64),
        })
    };
    all.iter().filter_map(limit).collect()
}

#[cfg(test)]
mod tests {
    use watchbell_series::Subject;

    use super::*;

    fn limit(name: &str, matchers: &[(&str, &str)], severity: LimitSeverity, range: LimitRange) -> KnownLimit {
        let matcher = |(name, value): &(&str, &str)| Matcher::new(name, MatchOp::Equal, value).expect("a matcher");
        let subject = Subject::Series(matchers.iter().map(matcher).collect());
        let (id, name) = (name.to_owned(), name.to_owned());
        KnownLimit { id, subject, severity, range, name, unseen_since_ms: None }
    }

    fn found(limits: &[KnownLimit], labels: &[(&str, &str)], host: &str) -> Vec<String> {
        let told = BTreeMap::from([("zabbix".to_owned(), limits.to_vec().into())]);
        let resolve = |limit: &KnownLimit| match &limit.subject {
            Subject::All => Target::All,
            Subject::Host(name) => Target::Host(vec![name.to_string()]),
            Subject::Series(matchers) => Target::Matching { matchers: matchers.clone(), of_alerts: Vec::new() },
        };
        let limits = Limits::new(&told, resolve);
        let label = |name: &str| labels.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| *value);
        let series = Facts { label: &label, mapped: &|| "cpu".to_owned(), host };
        limits.of(labels.iter().copied(), &series).into_iter().map(|limit| limit.name.to_string()).collect()
    }

    #[test]
    fn each_series_finds_its_limits() {
        let above = LimitRange::above(90.0);
        let all = [
            KnownLimit {
                unseen_since_ms: Some(5),
                ..limit("by item", &[("itemid", "7"), ("host", "web-1")], LimitSeverity::Critical, above)
            },
            limit("by common name", &[(NAME, "cpu"), ("host", "web-1")], LimitSeverity::Warning, above),
            limit("of another host", &[(NAME, "cpu"), ("host", "web-2")], LimitSeverity::Warning, above),
            KnownLimit { subject: Subject::All, ..limit("of all", &[], LimitSeverity::Warning, above) },
            KnownLimit {
                subject: Subject::Host("web-1".into()),
                ..limit("of host", &[], LimitSeverity::Warning, above)
            },
        ];
        let labels = [(NAME, "system.cpu.util"), ("itemid", "7")];
        assert_eq!(found(&all, &labels, "web-1"), ["by item", "by common name", "of all", "of host"]);
        assert_eq!(found(&all, &labels, "web-3"), ["of all"]);
        assert_eq!(kept(&keep(&all)), all);
    }

    #[test]
    fn the_worst_crossed_limit_is_told_else_the_nearest() {
        let limit = |severity, high| SeriesLimit {
            source: "zabbix".into(),
            name: "High CPU".into(),
            severity,
            range: LimitRange::above(high),
        };
        let all = [
            limit(LimitSeverity::Warning, 80.0),
            limit(LimitSeverity::Critical, 90.0),
            SeriesLimit { range: LimitRange::below(0.0), ..limit(LimitSeverity::Legal, 0.0) },
        ];
        let told = |value| nearest(&all, value, Unit::Percent).expect("limits");
        assert_eq!(told(95.0), "critical above 90 % (zabbix: High CPU); past it");
        assert_eq!(told(85.0), "warning above 80 % (zabbix: High CPU); past it");
        assert_eq!(told(70.0), "warning above 80 % (zabbix: High CPU); 10 % from it");
        assert_eq!(nearest(&all[2..], 1.0, Unit::Percent), None);
    }
}
