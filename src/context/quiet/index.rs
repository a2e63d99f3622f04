//! Windows found by what series have: of thousands only some are tried on a series.

use std::collections::HashMap;
use std::sync::Arc;

use watchbell_series::labels::NAME;
use watchbell_series::{Labels, MatchOp, Matcher};

use super::Window;
use crate::alerting::identity::PREFIX;
use crate::context::subject::{Facts, HOST, METRIC, Target};

/// Places of windows by a word that they ask for.
type Places = HashMap<Box<str>, Vec<u32>>;

/// Places of windows in a list, by what they ask for.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// Those about a host, by each of its names.
    by_host: Places,
    /// Those that ask for a label, by its name and value: each stands under its rarest one.
    by_label: Vec<(Box<str>, Places)>,
    /// Those about everything.
    all: Vec<u32>,
    /// Those that no label tells apart.
    others: Vec<u32>,
}

impl Index {
    pub(super) fn of(windows: &[Arc<Window>]) -> Self {
        let mut index = Self::default();
        let mut count: HashMap<(&str, &str), usize> = HashMap::new();
        for window in windows {
            lists(&window.target).for_each(|(list, of_alert)| {
                wanted(list, of_alert).for_each(|label| *count.entry(label).or_default() += 1);
            });
        }
        for (at, window) in (0..).zip(windows) {
            match &window.target {
                Target::All => index.all.push(at),
                Target::Host(names) => {
                    for name in names {
                        index.by_host.entry(name.as_str().into()).or_default().push(at);
                    }
                }
                Target::Matching { .. } => {
                    let rarest = |(list, of_alert)| wanted(list, of_alert).min_by_key(|label| count[label]);
                    match lists(&window.target).map(rarest).collect::<Option<Vec<_>>>() {
                        Some(labels) => labels.into_iter().for_each(|label| index.add(label, at)),
                        None => index.others.push(at),
                    }
                }
            }
        }
        index
    }

    fn add(&mut self, (name, value): (&str, &str), at: u32) {
        let known = self.by_label.iter().position(|(known, _)| **known == *name);
        let known = known.unwrap_or_else(|| {
            self.by_label.push((name.into(), Places::new()));
            self.by_label.len() - 1
        });
        self.by_label[known].1.entry(value.into()).or_default().push(at);
    }

    /// Windows about everything, or about the host.
    pub(super) fn of_host(&self, host: &str) -> impl Iterator<Item = u32> {
        self.all.iter().chain(self.by_host.get(host).into_iter().flatten()).copied()
    }

    /// Whether a window asks for more than a host.
    pub(super) fn asks_for_labels(&self) -> bool {
        !(self.by_label.is_empty() && self.others.is_empty())
    }

    /// Windows that may be about the series, in order: all others are not.
    pub(super) fn near(&self, series: &Facts<'_>) -> Vec<u32> {
        let mut found: Vec<u32> = self.of_host(series.host).chain(self.others.iter().copied()).collect();
        for (name, values) in &self.by_label {
            let mut look = |value: &str| found.extend(values.get(value).into_iter().flatten());
            look((series.label)(name));
            match &**name {
                HOST => look(series.host),
                NAME => look(&(series.mapped)()),
                _ => {}
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Windows that may be about an alert, see [`Target::is_about_alert`]: those about its host first, then the others in
    /// order. All that are left out are not.
    pub(super) fn near_alert(&self, alert: &Labels, host: &str, series: Option<(&Labels, &str)>) -> Vec<u32> {
        let mut found = self.others.clone();
        for (name, values) in &self.by_label {
            let mut look = |value: Option<&str>| {
                found.extend(value.and_then(|value| values.get(value)).into_iter().flatten());
            };
            look(alert.get(name));
            look(series.and_then(|(labels, _)| labels.get(name)));
            match &**name {
                HOST => look(Some(host)),
                NAME => {
                    look(alert.get(METRIC));
                    look(series.map(|(_, common)| common));
                }
                _ => {}
            }
        }
        found.sort_unstable();
        found.dedup();
        self.of_host(host).chain(found).collect()
    }
}

/// The lists of matchers of which all of one must hold, and whether it is about the labels of an alert.
fn lists(target: &Target) -> impl Iterator<Item = (&[Matcher], bool)> {
    let (matchers, of_alerts): (&[Matcher], &[Vec<Matcher>]) = match target {
        Target::Matching { matchers, of_alerts } => (matchers, of_alerts),
        Target::All | Target::Host(_) => (&[], &[]),
    };
    std::iter::once((matchers, false)).chain(of_alerts.iter().map(|list| (&list[..], true)))
}

/// Labels that every series has on which the list holds. A name that alerts have with a prefix may be that of a series
/// without it.
fn wanted(list: &[Matcher], of_alert: bool) -> impl Iterator<Item = (&str, &str)> {
    let equal = list.iter().filter(|m| m.op() == MatchOp::Equal && !m.value().is_empty() && m.name() != METRIC);
    let equal = equal.filter(move |matcher| !(of_alert && matcher.name().starts_with(PREFIX)));
    equal.map(|matcher| (matcher.name(), matcher.value()))
}
