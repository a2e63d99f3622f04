//! A file of tests, checked: from what is written to what is meant.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use watchbell_adapter_api::Span;
use watchbell_normalize::At;
use watchbell_series::{Direction, Labels, MetricKind, Pattern, Selector, Unit};

use super::raw::{RawAlert, RawCase, RawFile, RawMapping, RawScore, RawSeries};
use super::values::{self, Overlay, Values, Wave};
use crate::alerting::annotate::selector;
use crate::config::{Overrides, Shape, nearest};
use crate::pipeline::rehearsal::Setup;
use crate::pipeline::service::Origin;

/// Distance of samples unless a file or a test says another.
const INTERVAL: &str = "1m";

/// A file in which nothing is wrong.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) setup: Setup,
    pub(super) cases: Vec<Case>,
}

/// One test.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) interval_ms: i64,
    pub(super) inputs: Vec<Input>,
    pub(super) mapping: Vec<Mapping>,
    pub(super) scores: Vec<Score>,
    pub(super) alerts: Vec<Alert>,
}

/// One series that comes in.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) labels: Labels,
    pub(super) kind: MetricKind,
    pub(super) values: Values,
}

/// What is expected of what rules say of a series.
#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) line: usize,
    pub(super) select: Selector,
    pub(super) watched: bool,
    pub(super) name: Option<String>,
    pub(super) unit: Option<Unit>,
    pub(super) kind: Option<MetricKind>,
    pub(super) host: Option<String>,
    pub(super) value: Option<f64>,
    pub(super) bad: Option<Direction>,
    /// Names of numbers of the spec, and what they should be.
    pub(super) numbers: Vec<(&'static str, f64)>,
    pub(super) flatline: Option<bool>,
    pub(super) missing: Option<bool>,
}

/// What is expected of scores, in steps.
#[derive(Debug)]
pub(super) struct Score {
    pub(super) line: usize,
    pub(super) select: Selector,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) over: Option<f64>,
    pub(super) under: Option<f64>,
    pub(super) pattern: Option<Pattern>,
}

/// What is expected to fire at a step.
#[derive(Debug)]
pub(super) struct Alert {
    pub(super) line: usize,
    pub(super) at: usize,
    pub(super) alert: Option<String>,
    pub(super) firing: Vec<BTreeMap<String, String>>,
}

/// Reads a file and loads the rules that it is about; `rules_dir` goes before what it names.
///
/// # Errors
/// All problems, a text each with file and line.
pub(super) fn read(path: &Path, rules_dir: Option<&Path>) -> Result<File, Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|e| vec![format!("{}: can not be read: {e}", path.display())])?;
    parse(path, &text, rules_dir)
}

pub(super) fn parse(path: &Path, text: &str, rules_dir: Option<&Path>) -> Result<File, Vec<String>> {
    let shape = Shape::of(&path.display().to_string(), text, &schemars::schema_for!(RawFile));
    let mut reader = Reader { path, problems: shape.problems.iter().map(ToString::to_string).collect() };
    let raw: RawFile = match serde_saphyr::from_str(text) {
        Ok(raw) => raw,
        Err(_) if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) => {
            return Err(vec![format!("{}: no tests in it", path.display())]);
        }
        Err(_) if !reader.problems.is_empty() => return Err(reader.problems),
        Err(error) => {
            let at = error.location().map_or(0, |at| at.line());
            return Err(vec![format!("{}:{at}: {}", path.display(), error.without_snippet())]);
        }
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let rules_dir = rules_dir.map(Path::to_owned).or_else(|| raw.rules_dir.as_ref().map(|dir| folder.join(dir)));
    let setup = setup(raw.config.as_ref().map(|config| folder.join(config)), rules_dir, &mut reader.problems);
    let interval = raw.interval.as_ref().map(|text| reader.interval(text));
    let cases: Vec<Case> = raw.tests.iter().map(|case| reader.case(case, interval)).collect();
    if cases.is_empty() {
        reader.problems.push(format!("{}: no tests in it", path.display()));
    }
    if let Some(setup) = &setup {
        reader.names(setup, &cases);
    }
    match setup {
        Some(setup) if reader.problems.is_empty() => Ok(File { path: path.to_owned(), setup, cases }),
        _ => Err(reader.problems),
    }
}

/// That `dir`, which `who` names, is a folder.
pub(super) fn folder(dir: &Path, who: &str) -> Result<(), String> {
    if dir.is_dir() {
        return Ok(());
    }
    let hint = "name a folder that holds `mappings` or `detect`";
    Err(format!("{who}: `{}` is no folder of rules\n  hint: {hint}", dir.display()))
}

/// What the tests run by: the config that is named, or the built-in one.
fn setup(config: Option<PathBuf>, rules_dir: Option<PathBuf>, problems: &mut Vec<String>) -> Option<Setup> {
    let mut add = |found: Vec<String>| problems.extend(found);
    let origin = Origin { file: config, overrides: Overrides::default() };
    let mut settings = origin.load().map_err(&mut add).ok()?.settings;
    if let Some(dir) = rules_dir {
        folder(&dir, "rules_dir").map_err(|problem| add(vec![problem])).ok()?;
        settings.rules_dir = Some(dir);
    }
    Setup::of(&settings).map_err(add).ok()
}

/// Turns what is written into what is meant, noting what is wrong.
struct Reader<'a> {
    path: &'a Path,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn case(&mut self, case: &At<RawCase>, interval: Option<i64>) -> Case {
        let (line, raw) = (case.line(), &case.value);
        let own = raw.interval.as_ref().map(|text| self.interval(text));
        let interval_ms = own.or(interval).unwrap_or_else(|| INTERVAL.parse().map_or(60_000, Span::millis)).max(1);
        let inputs: Vec<Input> = raw.series.iter().filter_map(|input| self.input(input, interval_ms)).collect();
        // A test of one series need not name it again.
        let only = match &inputs[..] {
            [input] => selector(&input.labels).parse().ok(),
            _ => None,
        };
        if raw.series.is_empty() {
            self.wrong(line, "a test needs `series`");
        }
        if raw.mapping.len() + raw.scores.len() + raw.alerts.len() == 0 {
            self.wrong(line, "a test that expects nothing: give it `mapping`, `scores` or `alerts`");
        }
        Case {
            name: raw.name.clone(),
            interval_ms,
            inputs,
            mapping: raw.mapping.iter().filter_map(|row| self.mapping(row, only.as_ref())).collect(),
            scores: raw.scores.iter().filter_map(|row| self.score(row, only.as_ref(), interval_ms)).collect(),
            alerts: raw.alerts.iter().map(|row| self.alert(row, interval_ms)).collect(),
        }
    }

    fn input(&mut self, input: &At<RawSeries>, interval_ms: i64) -> Option<Input> {
        let (line, raw) = (input.line(), &input.value);
        let step_s = interval_ms as f64 / 1_000.0;
        let labels = self.labels(&raw.series);
        let kind = raw.kind.as_ref().and_then(|kind| self.parsed::<MetricKind>(kind));
        let text = match (&raw.values, &raw.per_second) {
            (Some(text), None) | (None, Some(text)) => text,
            _ => {
                self.wrong(line, "a series needs either `values`, or `per_second` for a counter that grows by them");
                return None;
            }
        };
        let mut values = match values::read(&text.value) {
            Ok(values) => values,
            Err(message) => {
                self.wrong(text.line(), &message);
                return None;
            }
        };
        let mut season = Vec::new();
        for wave in &raw.season {
            let period_ms = self.span(&wave.period);
            if period_ms <= 0 {
                self.wrong(wave.period.line(), "a season takes longer than nothing");
                continue;
            }
            season.push(Wave { period_s: period_ms as f64 / 1_000.0, amplitude: wave.amplitude });
        }
        let labels = labels?;
        // Two series without a seed should not have the same noise.
        let seed = raw.seed.unwrap_or_else(|| labels.id().0);
        let overlay = Overlay { noise: raw.noise, season, seed, min: raw.min, max: raw.max, whole: raw.whole };
        overlay.apply(&mut values, step_s);
        if raw.per_second.is_some() {
            values::accumulate(&mut values, step_s);
        }
        Some(Input { labels, kind: kind.unwrap_or_default(), values })
    }

    fn mapping(&mut self, row: &At<RawMapping>, only: Option<&Selector>) -> Option<Mapping> {
        let (line, raw) = (row.line(), &row.value);
        let numbers = [
            ("min_deviation", raw.min_deviation),
            ("min_relative_deviation", raw.min_relative_deviation),
            ("legal_min", raw.legal_min),
            ("legal_max", raw.legal_max),
            ("sensitivity", raw.sensitivity),
        ];
        Some(Mapping {
            line,
            select: self.select(line, raw.series.as_ref(), only)?,
            watched: raw.watched.unwrap_or(true),
            name: raw.name.clone(),
            unit: raw.unit.as_ref().and_then(|unit| self.parsed(unit)),
            kind: raw.kind.as_ref().and_then(|kind| self.parsed(kind)),
            host: raw.host.clone(),
            value: raw.value,
            bad: raw.bad.as_ref().and_then(|bad| self.parsed(bad)),
            numbers: numbers.into_iter().filter_map(|(name, number)| Some((name, number?))).collect(),
            flatline: raw.flatline,
            missing: raw.missing,
        })
    }

    fn score(&mut self, row: &At<RawScore>, only: Option<&Selector>, interval_ms: i64) -> Option<Score> {
        let (line, raw) = (row.line(), &row.value);
        let (from, to) = match (&raw.at, &raw.from, &raw.to) {
            (Some(at), None, None) => (at, at),
            (None, Some(from), Some(to)) => (from, to),
            _ => {
                self.wrong(line, "needs either `at`, or `from` and `to`");
                return None;
            }
        };
        if raw.over.is_none() && raw.under.is_none() && raw.pattern.is_none() {
            self.wrong(line, "expects nothing: give it `over`, `under` or `pattern`");
        }
        let pattern = raw.pattern.as_ref().and_then(|word| {
            let known = Pattern::ALL.into_iter().find(|pattern| pattern.as_str() == word.value);
            if known.is_none() {
                let all: Vec<&str> = Pattern::ALL.iter().map(|pattern| pattern.as_str()).collect();
                self.wrong(
                    word.line(),
                    &format!("unknown pattern `{}`; {}", word.value, nearest::suggest(&word.value, &all)),
                );
            }
            known
        });
        let select = self.select(line, raw.series.as_ref(), only)?;
        let (from, to) = (self.step(from, interval_ms), self.step(to, interval_ms));
        if from > to {
            self.wrong(line, "`from` is after `to`");
        }
        Some(Score { line, select, from, to, over: raw.over, under: raw.under, pattern })
    }

    fn alert(&mut self, row: &At<RawAlert>, interval_ms: i64) -> Alert {
        let raw = &row.value;
        let at = self.step(&raw.at, interval_ms);
        Alert { line: row.line(), at, alert: raw.alert.clone(), firing: raw.firing.clone() }
    }

    /// Each alert that a test names must be that of a rule: one that is misspelt never fires.
    fn names(&mut self, setup: &Setup, cases: &[Case]) {
        let rules = setup.alerts.series.iter().chain(&setup.alerts.hosts).chain(&setup.alerts.fleet);
        let known: Vec<&str> = rules.map(|rule| rule.name.as_str()).collect();
        for row in cases.iter().flat_map(|case| &case.alerts) {
            if let Some(name) = row.alert.as_deref().filter(|name| !known.contains(name)) {
                let hint = nearest::suggest(name, &known);
                self.wrong(row.line, &format!("no rule is called `{name}`; {hint}"));
            }
        }
    }

    fn select(&mut self, line: usize, text: Option<&At<String>>, only: Option<&Selector>) -> Option<Selector> {
        match (text, only) {
            (Some(text), _) => self.parsed(text),
            (None, Some(only)) => Some(only.clone()),
            (None, None) => {
                self.wrong(line, "which series? Name it by `series`, since the test has several");
                None
            }
        }
    }

    /// Labels as a selector with `=` only writes them.
    fn labels(&mut self, text: &At<String>) -> Option<Labels> {
        let selector: Selector = self.parsed(text)?;
        let plain = selector.matchers().iter().all(|m| m.op() == watchbell_series::MatchOp::Equal);
        let labels = Labels::series(selector.matchers().iter().map(|m| (m.name(), m.value())));
        match labels {
            Ok(labels) if plain => Some(labels),
            Ok(_) => {
                self.wrong(text.line(), "a series that comes in has labels with `=` only");
                None
            }
            Err(error) => {
                self.wrong(text.line(), &error.to_string());
                None
            }
        }
    }

    fn interval(&mut self, text: &At<String>) -> i64 {
        let interval = self.span(text);
        if interval <= 0 {
            self.wrong(text.line(), "an interval is longer than nothing");
        }
        interval.max(1)
    }

    fn step(&mut self, text: &At<String>, interval_ms: i64) -> usize {
        usize::try_from(self.span(text) / interval_ms).unwrap_or(0)
    }

    fn span(&mut self, text: &At<String>) -> i64 {
        self.parsed::<Span>(text).map_or(0, Span::millis)
    }

    fn parsed<T: FromStr<Err: ToString>>(&mut self, text: &At<String>) -> Option<T> {
        text.value.parse().map_err(|error: T::Err| self.wrong(text.line(), &error.to_string())).ok()
    }

    fn wrong(&mut self, line: usize, message: &str) {
        self.problems.push(format!("{}:{line}: {message}", self.path.display()));
    }
}
