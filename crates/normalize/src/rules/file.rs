//! The shape of a file of mappings, and the checks of its values: all that is wrong is said at once. Keys that nobody
//! knows are told by whoever checks the shape first, see [`mapping_schema`].

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use regex::{Regex, RegexSet};
use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use watchbell_series::{Direction, MetricKind, Selector, Unit};

use super::at::At;
use super::contradict::Said;
use super::hosts::{EntityRow, HostsBlock, HostsSoFar};
use super::{Place, Placed, Row, RuleProblem, Rules};

#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct File {
    #[serde(default)]
    entity: Vec<EntityRow>,
    hosts: Option<HostsBlock>,
    watch: Option<Vec<At<String>>>,
    #[serde(default)]
    ignore: Vec<At<String>>,
    #[serde(default)]
    keep: Vec<At<String>>,
    #[serde(default)]
    metrics: Vec<At<MetricRow>>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct MetricRow {
    metric: Option<At<String>>,
    pattern: Option<At<String>>,
    labels: Option<At<String>>,
    name: Option<At<String>>,
    #[schemars(extend("enum" = Unit::words().collect::<Vec<_>>()))]
    unit: Option<At<String>>,
    #[schemars(extend("enum" = Unit::words().collect::<Vec<_>>()))]
    common_unit: Option<At<String>>,
    factor: Option<At<f64>>,
    #[schemars(extend("enum" = MetricKind::WORDS))]
    kind: Option<At<String>>,
    #[schemars(extend("enum" = Direction::WORDS))]
    bad: Option<At<String>>,
    min_deviation: Option<At<f64>>,
    min_relative_deviation: Option<At<f64>>,
    legal_min: Option<At<f64>>,
    legal_max: Option<At<f64>>,
    sensitivity: Option<At<f64>>,
    flatline: Option<bool>,
    missing: Option<bool>,
    watch: Option<bool>,
}

/// The shape of a file of mappings, in which only known keys and words stand. Whoever reads files of users holds them
/// against it: [`Rules::load`] overlooks keys that it does not know.
#[must_use]
pub fn mapping_schema() -> Schema {
    schema_for!(File)
}

/// What to do about a pattern that is none.
pub(super) const PATTERN: &str =
    "a regular expression for the whole name, such as `node_disk_.*`; a `\\` before what is meant as it stands";

/// `pattern` for the whole of a text.
///
/// # Errors
/// It is no regular expression, and why, in one line of the several that are drawn.
pub(super) fn anchored(pattern: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("`{pattern}` is no regular expression: {reason}")
    })
}

/// Gathers files into [`Rules`].
#[derive(Default)]
pub(super) struct Loader {
    problems: Vec<RuleProblem>,
    files: Vec<Box<str>>,
    pub(super) hosts: HostsSoFar,
    watch: Option<Vec<Placed>>,
    ignore: Vec<Placed>,
    keep: Vec<Placed>,
    pub(super) rows: Vec<Row>,
    exact: HashMap<Box<str>, Vec<u32>>,
    patterns: Vec<String>,
    pattern_rows: Vec<u32>,
    pub(super) detect_exact: HashMap<Box<str>, Vec<u32>>,
    pub(super) detect_patterns: Vec<String>,
    pub(super) detect_pattern_rows: Vec<u32>,
}

impl Loader {
    pub(super) fn add(&mut self, name: &str, text: &str) {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return;
        }
        let file: File = match serde_saphyr::from_str(text) {
            Ok(file) => file,
            Err(error) => {
                let line = error.location().map_or(0, |l| l.line() as usize);
                let message = error.without_snippet().to_string();
                let hint =
                    "known at the top: entity, hosts, watch, ignore, keep, metrics; see rules/mappings/prometheus.yaml";
                self.problem(name, line, "", message, hint);
                return;
            }
        };
        self.entity_rows(name, &file.entity);
        if let Some(hosts) = &file.hosts {
            self.hosts_block(name, hosts);
        }
        if let Some(watch) = &file.watch {
            if watch.is_empty() {
                self.problem(name, 0, "watch", "empty: nothing would be watched", "leave it out, or write `['{}']`");
            }
            let selectors = self.selectors(name, "watch", watch);
            self.watch.get_or_insert(selectors);
        }
        let ignore = self.selectors(name, "ignore", &file.ignore);
        self.ignore.extend(ignore);
        let keep = self.selectors(name, "keep", &file.keep);
        self.keep.extend(keep);
        for (i, row) in file.metrics.iter().enumerate() {
            self.metric(name, &format!("metrics[{i}]"), row.line(), &row.value);
        }
        self.contradictions(name, &file.metrics);
    }

    pub(super) fn finish(mut self) -> Result<Rules, Vec<RuleProblem>> {
        let patterns = std::mem::take(&mut self.patterns);
        let patterns = self.set_of(&patterns);
        let detect_patterns = std::mem::take(&mut self.detect_patterns);
        let detect_patterns = self.set_of(&detect_patterns);
        let hosts = std::mem::take(&mut self.hosts).finish(&mut self.problems);
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        Ok(Rules {
            files: self.files,
            hosts,
            watch: self.watch.unwrap_or_else(|| vec![Placed::default()]),
            ignore: self.ignore,
            keep: self.keep,
            rows: self.rows,
            exact: self.exact,
            patterns,
            pattern_rows: self.pattern_rows,
            detect_exact: self.detect_exact,
            detect_patterns,
            detect_pattern_rows: self.detect_pattern_rows,
        })
    }

    fn set_of(&mut self, patterns: &[String]) -> RegexSet {
        RegexSet::new(patterns).unwrap_or_else(|error| {
            self.problem("", 0, "pattern", error.to_string(), "use fewer or shorter patterns");
            RegexSet::empty()
        })
    }

    /// The place of a line of `file`.
    pub(super) fn place(&mut self, file: &str, line: usize) -> Place {
        let at = self.files.iter().position(|known| **known == *file).unwrap_or_else(|| {
            self.files.push(file.into());
            self.files.len() - 1
        });
        Place { file: at as u16, line: line as u32 }
    }

    /// Tells of rows that give the same series what a row of the file above gives it otherwise; `rows` are those just
    /// taken in.
    fn contradictions(&mut self, file: &str, rows: &[At<MetricRow>]) {
        let text = |text: &Option<At<String>>| text.as_ref().map(|text| text.value.clone());
        let selects: Vec<_> = rows
            .iter()
            .map(|row| (text(&row.value.metric), text(&row.value.pattern), text(&row.value.labels)))
            .collect();
        let first = self.rows.len() - rows.len();
        let mut said = Said::default();
        for (i, (row, (metric, pattern, labels))) in rows.iter().zip(&selects).enumerate() {
            let selects = (metric.as_deref(), pattern.as_deref(), labels.as_deref());
            if let Some((property, above)) = said.note(selects, (row.line(), first + i), &self.rows) {
                let message =
                    format!("`{property}` never holds: the row of line {above} gives the same series another one");
                let hint = "keep one of the two rows, or tell their series apart by `labels`";
                self.problem(file, row.line(), &format!("metrics[{i}]"), message, hint);
            }
        }
    }

    fn metric(&mut self, file: &str, field: &str, line: usize, row: &MetricRow) {
        let index = self.rows.len() as u32;
        match (&row.metric, &row.pattern) {
            (Some(metric), None) if !metric.value.is_empty() => {
                self.exact.entry(metric.value.as_str().into()).or_default().push(index);
            }
            (None, Some(pattern)) => match anchored(&pattern.value) {
                Ok(regex) => {
                    self.patterns.push(regex.as_str().to_owned());
                    self.pattern_rows.push(index);
                }
                Err(message) => self.problem(file, pattern.line(), &format!("{field}.pattern"), message, PATTERN),
            },
            _ => {
                let message = "a row needs either `metric` or `pattern`";
                self.problem(file, line, field, message, "`metric` is an exact name, `pattern` an anchored regex");
            }
        }
        let at = |key: &str| (file.to_owned(), format!("{field}.{key}"));
        let labels =
            row.labels.as_ref().and_then(|s| self.parse::<Selector>(at("labels"), s, "like `{mode=\"idle\"}`"));
        let unit = row.unit.as_ref().and_then(|s| self.parse::<Unit>(at("unit"), s, ""));
        let common_unit = row.common_unit.as_ref().and_then(|s| self.parse::<Unit>(at("common_unit"), s, ""));
        let factor = self.number(at("factor"), &row.factor, |v| v > 0.0 && v.is_finite());
        if common_unit.is_some() != factor.is_some() {
            let message = "`common_unit` and `factor` belong together";
            let hint = "like `unit: bits_per_second, common_unit: bytes_per_second, factor: 0.125`";
            self.problem(file, line, field, message, hint);
        }
        let kind = row.kind.as_ref().and_then(|s| self.parse::<MetricKind>(at("kind"), s, "like `gauge` or `counter`"));
        let direction = row.bad.as_ref().and_then(|s| self.parse::<Direction>(at("bad"), s, ""));
        let name = row.name.as_ref().and_then(|s| self.name(at("name"), s));
        let min_deviation = self.number(at("min_deviation"), &row.min_deviation, |v| v >= 0.0);
        let relative = self.number(at("min_relative_deviation"), &row.min_relative_deviation, |v| v >= 0.0);
        let sensitivity = self.number(at("sensitivity"), &row.sensitivity, |v| v > 0.0);
        let legal_min = self.number(at("legal_min"), &row.legal_min, |v| !v.is_nan());
        let legal_max = self.number(at("legal_max"), &row.legal_max, |v| !v.is_nan());
        if let (Some(min), Some(max)) = (legal_min, legal_max)
            && min > max
        {
            let message = format!("legal_min `{min}` is above legal_max `{max}`");
            self.problem(file, line, field, message, "exchange them");
        }
        let place = self.place(file, line);
        self.rows.push(Row {
            place,
            labels,
            when_unit: None,
            name,
            unit,
            common_unit,
            factor,
            kind,
            direction,
            min_deviation,
            min_relative_deviation: relative,
            legal_min,
            legal_max,
            sensitivity,
            flatline: row.flatline,
            missing: row.missing,
            watch: row.watch,
        });
    }

    fn selectors(&mut self, file: &str, field: &str, texts: &[At<String>]) -> Vec<Placed> {
        let parse = |(i, text): (usize, &At<String>)| {
            let at = (file.to_owned(), format!("{field}[{i}]"));
            let selector = self.parse(at, text, "like `{job=\"node\"}`")?;
            Some(Placed { selector, place: self.place(file, text.line()) })
        };
        texts.iter().enumerate().filter_map(parse).collect()
    }

    fn name(&mut self, at: (String, String), text: &At<String>) -> Option<Arc<str>> {
        let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '_';
        if text.value.is_empty() || !text.value.chars().all(ok) {
            let message = format!("`{}` is no common name", text.value);
            self.problem(&at.0, text.line(), &at.1, message, "lower case words joined by dots: `memory.available`");
            return None;
        }
        Some(text.value.as_str().into())
    }

    fn number(&mut self, at: (String, String), n: &Option<At<f64>>, ok: impl Fn(f64) -> bool) -> Option<f64> {
        let n = n.as_ref()?;
        if !ok(n.value) {
            let message = format!("`{}` is out of range", n.value);
            self.problem(&at.0, n.line(), &at.1, message, "a positive number");
        }
        Some(n.value)
    }

    pub(super) fn parse<T: FromStr<Err: ToString>>(
        &mut self,
        (file, field): (String, String),
        text: &At<String>,
        hint: &str,
    ) -> Option<T> {
        match text.value.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(&file, text.line(), &field, error.to_string(), hint);
                None
            }
        }
    }

    pub(super) fn problem(&mut self, file: &str, line: usize, field: &str, message: impl Into<String>, hint: &str) {
        let (file, field, hint) = (file.to_owned(), field.to_owned(), hint.to_owned());
        self.problems.push(RuleProblem { file, line, field, message: message.into(), hint });
    }
}
