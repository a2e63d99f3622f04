//! What rules say of metrics. Mappings say what a metric is: whether it is watched, its name in common words,
//! its kind and unit, and which label names the entity. Rules of `detect/` say what matters about it, by that
//! name: the direction that is bad, the least deviation worth reporting, the legal range.
//!
//! Read from the files of `rules/mappings` and `rules/detect/<subject>.yaml`, which are compiled in, and from
//! files of the user's that are laid over them: rows are asked in order, the user's first, and for each
//! property the first row that gives it wins. Rules are asked at first sight of a series only, and by metric
//! name once for many series.

mod aside;
mod at;
mod contradict;
mod detect;
mod file;
mod hosts;
mod vocabulary;

pub use aside::SetAside;
pub use at::At;
pub use detect::{BUILT_IN_DETECT, detect_schema};
pub use file::mapping_schema;
pub use hosts::GivenHost;
pub use vocabulary::Word;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use regex::RegexSet;
use watchbell_series::labels::NAME;
use watchbell_series::{Direction, Matcher, MetricKind, Selector, SeriesSpec, Unit};

use crate::hosts::Guesses;

/// The mappings that are compiled in: the file, as it is named in problems, and its text.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("rules/mappings/entities.yaml (built in)", include_str!("../../../rules/mappings/entities.yaml")),
    ("rules/mappings/prometheus.yaml (built in)", include_str!("../../../rules/mappings/prometheus.yaml")),
    ("rules/mappings/nagios.yaml (built in)", include_str!("../../../rules/mappings/nagios.yaml")),
    ("rules/mappings/zabbix.yaml (built in)", include_str!("../../../rules/mappings/zabbix.yaml")),
];

/// Something wrong in a file of rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RuleProblem {
    /// The file, as it was named.
    pub file: String,
    /// Line in the file, from 1; 0 where it is not known.
    pub line: usize,
    /// The field, such as `metrics[3].unit`; empty where the file itself is wrong.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        // One problem is one line, whatever words a library found for it.
        let message: Vec<&str> = self.message.lines().map(str::trim).collect();
        write!(f, ": {}", message.join(" "))?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\n  hint: {}", self.hint) }
    }
}

/// Compiled rules.
#[derive(Debug)]
pub struct Rules {
    /// Names of the files, for places.
    files: Vec<Box<str>>,
    hosts: hosts::HostRules,
    watch: Vec<Placed>,
    ignore: Vec<Placed>,
    keep: Vec<Placed>,
    rows: Vec<Row>,
    exact: HashMap<Box<str>, Vec<u32>>,
    patterns: RegexSet,
    /// Row of each pattern.
    pattern_rows: Vec<u32>,
    /// The same of rows that go by the name in common words.
    detect_exact: HashMap<Box<str>, Vec<u32>>,
    detect_patterns: RegexSet,
    detect_pattern_rows: Vec<u32>,
}

/// A line of a file.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// Index in [`Rules::files`].
    file: u16,
    line: u32,
}

/// A selector and where it stands.
#[derive(Debug, Default)]
struct Placed {
    selector: Selector,
    place: Place,
}

/// Where the rules of one series stand that judge it, each as `file:line`; `None` where none says anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The rule of the direction that is bad.
    pub direction: Option<String>,
    /// The rule of the least deviation.
    pub min_deviation: Option<String>,
    /// The rule of the least relative deviation.
    pub min_relative_deviation: Option<String>,
    /// The rule of the legal range.
    pub legal: Option<String>,
    /// The rule of the sensitivity.
    pub sensitivity: Option<String>,
}

/// One row; what is `None` is left to later rows.
#[derive(Debug, Default)]
struct Row {
    place: Place,
    /// Further conditions on labels.
    labels: Option<Selector>,
    /// Holds only for values that are judged in this unit.
    when_unit: Option<Unit>,
    name: Option<Arc<str>>,
    unit: Option<Unit>,
    /// The unit that values of this name have in common words, and what makes one of ours out of one of theirs.
    common_unit: Option<Unit>,
    factor: Option<f64>,
    kind: Option<MetricKind>,
    direction: Option<Direction>,
    min_deviation: Option<f64>,
    min_relative_deviation: Option<f64>,
    legal_min: Option<f64>,
    legal_max: Option<f64>,
    sensitivity: Option<f64>,
    flatline: Option<bool>,
    missing: Option<bool>,
    watch: Option<bool>,
}

/// What rules can say of a metric by its name alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    rows: Vec<u32>,
    watch: Vec<Selector>,
    ignore: Vec<Selector>,
    keep: Vec<Selector>,
}

/// What rules say of one series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Meaning {
    /// Name in common words, if a rule gives one.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) kind: MetricKind,
    pub(crate) spec: Arc<SeriesSpec>,
    /// The unit in common words, and what a value is to be multiplied by to be in it.
    pub(crate) common_unit: Unit,
    pub(crate) factor: f64,
    /// The rows that say so.
    pub(crate) rows: Box<[u32]>,
}

impl Rules {
    /// The built-in rules alone.
    ///
    /// # Errors
    /// What is wrong with them, which tests rule out.
    pub fn built_in() -> Result<Self, Vec<RuleProblem>> {
        Self::load::<&str, &str>(&[], &[])
    }

    /// The built-in rules with files (name and text) laid over them: `mappings`, and `detect`, which is about
    /// names in common words. Keys of mappings that it does not know it overlooks, see [`mapping_schema`].
    /// Earlier files go first. Mappings may judge, too, and have the last word then.
    ///
    /// # Errors
    /// All problems of all files.
    pub fn load<N: AsRef<str>, T: AsRef<str>>(
        mappings: &[(N, T)],
        detect: &[(N, T)],
    ) -> Result<Self, Vec<RuleProblem>> {
        let mut loader = file::Loader::default();
        for (name, text) in mappings {
            loader.add(name.as_ref(), text.as_ref());
        }
        for (name, text) in detect {
            loader.add_detect(name.as_ref(), text.as_ref());
        }
        for (name, text) in BUILT_IN {
            loader.add(name, text);
        }
        for (name, text) in BUILT_IN_DETECT {
            loader.add_detect(name, text);
        }
        loader.finish()
    }

    /// Number of rows, for logs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What can be said by metric name alone, to be kept for other series of that name.
    pub(crate) fn facts(&self, name: &str) -> Facts {
        let mut rows: Vec<u32> = self.exact.get(name).cloned().unwrap_or_default();
        rows.extend(self.patterns.matches(name).into_iter().map(|i| self.pattern_rows[i]));
        rows.sort_unstable();
        Facts {
            rows,
            watch: by_name(&self.watch, name),
            ignore: by_name(&self.ignore, name),
            keep: by_name(&self.keep, name),
        }
    }

    /// The rows that apply to a series with these label values (empty if absent), in order.
    pub(crate) fn rows<'a>(&self, facts: &Facts, get: impl Fn(&str) -> &'a str + Copy, out: &mut Vec<u32>) {
        out.clear();
        out.extend(facts.rows.iter().copied().filter(|row| {
            let labels = &self.rows[*row as usize].labels;
            labels.as_ref().is_none_or(|selector| selector.matches_by(get))
        }));
    }

    /// What is said of series with this name in common words (or of its own where mappings give none), to be
    /// kept for others of that name.
    pub(crate) fn named(&self, name: &str) -> Vec<u32> {
        let mut rows: Vec<u32> = self.detect_exact.get(name).cloned().unwrap_or_default();
        rows.extend(self.detect_patterns.matches(name).into_iter().map(|i| self.detect_pattern_rows[i]));
        rows.sort_unstable();
        rows
    }

    /// Adds those of the rows `named` to `out` that apply to a series with these label values, judged in `unit`.
    pub(crate) fn judging<'a>(
        &self,
        named: &[u32],
        unit: Unit,
        get: impl Fn(&str) -> &'a str + Copy,
        out: &mut Vec<u32>,
    ) {
        out.extend(named.iter().copied().filter(|row| {
            let row = &self.rows[*row as usize];
            row.when_unit.is_none_or(|when| when == unit) && row.labels.as_ref().is_none_or(|s| s.matches_by(get))
        }));
        out.sort_unstable();
    }

    /// The name in common words that rows give.
    pub(crate) fn name(&self, rows: &[u32]) -> Option<Arc<str>> {
        self.first(rows, |row| row.name.clone())
    }

    /// Where `rows` say what judges a series.
    pub(crate) fn provenance(&self, rows: &[u32]) -> Provenance {
        let by = |gives: &dyn Fn(&Row) -> bool| {
            let row = rows.iter().map(|row| &self.rows[*row as usize]).find(|row| gives(row))?;
            Some(self.place(row.place))
        };
        Provenance {
            direction: by(&|row| row.direction.is_some()),
            min_deviation: by(&|row| row.min_deviation.is_some()),
            min_relative_deviation: by(&|row| row.min_relative_deviation.is_some()),
            legal: by(&|row| row.legal_min.is_some() || row.legal_max.is_some()),
            sensitivity: by(&|row| row.sensitivity.is_some()),
        }
    }

    fn place(&self, place: Place) -> String {
        let file = self.files.get(usize::from(place.file)).map_or("", |name| name);
        if place.line == 0 { file.to_owned() } else { format!("{file}:{}", place.line) }
    }

    /// Whether the series is watched.
    pub(crate) fn watched<'a>(&self, facts: &Facts, rows: &[u32], get: impl Fn(&str) -> &'a str + Copy) -> bool {
        let any = |selectors: &[Selector]| selectors.iter().any(|s| s.matches_by(get));
        if !any(&facts.watch) {
            return false;
        }
        match self.first(rows, |row| row.watch) {
            Some(watch) => watch,
            None => !any(&facts.ignore) || any(&facts.keep),
        }
    }

    /// The kind that rows give.
    pub(crate) fn kind(&self, rows: &[u32]) -> Option<MetricKind> {
        self.first(rows, |row| row.kind)
    }

    /// The unit of the metric itself that rows give.
    pub(crate) fn unit(&self, rows: &[u32]) -> Option<Unit> {
        self.first(rows, |row| row.unit)
    }

    /// The unit that values of this name have in common words, where `rows` give one that is not their own.
    pub(crate) fn common_unit(&self, rows: &[u32]) -> Option<Unit> {
        self.first(rows, |row| row.common_unit)
    }

    /// What `rows` say of a series of this kind, the values of which come in `unit`; `missing` holds where no row
    /// says otherwise. Rules tell distances and bounds in the unit of common words; a series is judged in its own, so
    /// they are converted here, once, and its values and bands stay as its source shows them.
    pub(crate) fn meaning(&self, rows: &[u32], kind: MetricKind, unit: Unit, missing: bool) -> Meaning {
        // Rates of what only grows, and observed times and sizes, can not be negative.
        let grows = kind == MetricKind::Counter;
        let observed = matches!(kind, MetricKind::Histogram | MetricKind::Summary);
        let positive = grows || (observed && matches!(unit, Unit::Seconds | Unit::Bytes));
        let legal_min = if positive { 0.0 } else { f64::NEG_INFINITY };
        let default = SeriesSpec { missing, legal_min, ..SeriesSpec::default() };
        let factor = self.first(rows, |row| row.factor).unwrap_or(1.0);
        let ruled = |get: fn(&Row) -> Option<f64>| self.first(rows, get).map(|value| value / factor);
        let spec = SeriesSpec {
            direction: self.first(rows, |r| r.direction).unwrap_or(default.direction),
            unit,
            min_deviation: ruled(|r| r.min_deviation).unwrap_or(default.min_deviation),
            min_relative_deviation: self
                .first(rows, |r| r.min_relative_deviation)
                .unwrap_or(default.min_relative_deviation),
            legal_min: ruled(|r| r.legal_min).unwrap_or(default.legal_min),
            legal_max: ruled(|r| r.legal_max).unwrap_or(default.legal_max),
            sensitivity: self.first(rows, |r| r.sensitivity).unwrap_or(default.sensitivity),
            flatline: self.first(rows, |r| r.flatline).unwrap_or(default.flatline),
            missing: self.first(rows, |r| r.missing).unwrap_or(default.missing),
        };
        let common_unit = self.common_unit(rows).unwrap_or(unit);
        Meaning { name: self.name(rows), kind, spec: Arc::new(spec), common_unit, factor, rows: rows.into() }
    }

    /// The name of the host of a series with these label values; `None` where nothing names one.
    #[must_use]
    pub fn host<'a>(&'a self, get: impl Fn(&str) -> &'a str + Copy) -> Option<GivenHost<'a>> {
        self.hosts.given(get)
    }

    /// What gave the name of a host, in words.
    #[must_use]
    pub fn host_rule(&self, given: &GivenHost<'_>) -> String {
        self.hosts.said(given, |place| self.place(place))
    }

    /// What may be guessed about names of hosts.
    #[must_use]
    pub fn guesses(&self) -> &Guesses {
        self.hosts.guesses()
    }

    fn first<T>(&self, rows: &[u32], get: impl Fn(&Row) -> Option<T>) -> Option<T> {
        rows.iter().find_map(|row| get(&self.rows[*row as usize]))
    }
}

/// The selectors that a series of this name may pass, without their conditions on the name.
fn by_name(selectors: &[Placed], name: &str) -> Vec<Selector> {
    let passes = |s: &&Selector| s.matchers().iter().all(|m| m.name() != NAME || m.matches(name));
    let rest = |s: &Selector| -> Vec<Matcher> { s.matchers().iter().filter(|m| m.name() != NAME).cloned().collect() };
    selectors.iter().map(|placed| &placed.selector).filter(passes).map(|s| Selector::new(rest(s))).collect()
}

#[cfg(test)]
mod tests;
