//! Reads rule files: the built-in one, then each `detect/*.yaml` of the user's folder in order of names,
//! row over row, and reports every mistake of every file.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_saphyr::Location;
use watchbell_adapter_api::Span;
use watchbell_series::{Pattern, Selector};

use super::node::{self, Node, Yaml};
use super::{Limits, Rule, RuleProblem, Rules, Template};
use crate::alerting::budget::Budget;
use crate::alerting::lifecycle::Terms;
use crate::config::nearest::suggest;

const BUILTIN: &str = include_str!("../../../rules/detect/alerts.yaml");
const MAX_FILE_BYTES: u64 = 1 << 20;
const MAX_RULES: usize = 1_000;
const ROW_FIELDS: [&str; 14] = [
    "alert",
    "scope",
    "enabled",
    "select",
    "patterns",
    "score",
    "clear",
    "for",
    "hits",
    "keep_firing_for",
    "budget",
    "severity",
    "labels",
    "annotations",
];
/// Labels that the alert itself carries.
const OWN_LABELS: [&str; 4] = ["alertname", "severity", "host", "metric"];

impl Rules {
    /// Reads the built-in rules and, over them, `<folder>/detect/*.yaml`. A folder without `detect/` adds
    /// nothing.
    ///
    /// # Errors
    /// All mistakes of all files.
    pub fn load(folder: Option<&Path>) -> Result<Self, Vec<RuleProblem>> {
        let mut loader = Loader::default();
        loader.text(Path::new("rules/detect/alerts.yaml"), BUILTIN);
        if let Some(folder) = folder {
            loader.folder(&folder.join("detect"));
        }
        if !loader.problems.is_empty() {
            return Err(loader.problems);
        }
        let mut rules = Self {
            series: Vec::new(),
            hosts: Vec::new(),
            fleet: Vec::new(),
            limits: Limits::default(),
            budget: Budget::None,
            false_discovery_rate: 1.0,
        };
        for row in loader.rows.into_iter().filter(|row| row.enabled) {
            match row.scope {
                Scope::Series => rules.series.push(row.rule),
                Scope::Host => rules.hosts.push(row.rule),
                Scope::Fleet => rules.fleet.push(row.rule),
            }
        }
        Ok(rules)
    }
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Series,
    Host,
    Fleet,
}

#[derive(Clone)]
struct Row {
    scope: Scope,
    enabled: bool,
    rule: Rule,
}

#[derive(Default)]
struct Loader {
    rows: Vec<Row>,
    problems: Vec<RuleProblem>,
    file: PathBuf,
}

impl Loader {
    fn folder(&mut self, dir: &Path) {
        self.file = dir.to_owned();
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return,
            Err(e) => return self.whole(&format!("can not be read: {e}"), "make the folder readable"),
        };
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"));
        files.sort();
        for path in files {
            self.file.clone_from(&path);
            match fs::metadata(&path) {
                Ok(meta) if meta.len() > MAX_FILE_BYTES => {
                    self.whole(&format!("is longer than {MAX_FILE_BYTES} bytes"), "split the rules into several files");
                }
                _ => match fs::read_to_string(&path) {
                    Ok(text) => self.text(&path, &text),
                    Err(e) => self.whole(&format!("can not be read: {e}"), "rule files are UTF-8 text"),
                },
            }
        }
    }

    fn text(&mut self, file: &Path, text: &str) {
        self.file = file.to_owned();
        let root = match node::parse(text) {
            Ok(root) => root,
            Err((message, at)) => return self.add(at.as_ref(), "", &message, "check the YAML at this place"),
        };
        if root.value == Yaml::Null {
            return;
        }
        // `metrics` of the same files is read by whoever judges.
        let Some(fields) = self.fields(&root, "", &["alerts", "metrics"]) else { return };
        let mut seen: Vec<String> = Vec::new();
        for (name, node) in fields.into_iter().filter(|(name, _)| *name == "alerts") {
            let Yaml::List(rows) = &node.value else {
                self.expected(node, name, "a list of rules");
                continue;
            };
            for (i, row) in rows.iter().enumerate() {
                self.row(row, &format!("alerts[{i}]"), &mut seen);
            }
        }
    }

    fn row(&mut self, node: &Node, path: &str, seen: &mut Vec<String>) {
        let Some(fields) = self.fields(node, path, &ROW_FIELDS) else { return };
        let Some(&(_, name)) = fields.iter().find(|(name, _)| *name == "alert") else {
            return self.add(Some(&node.referenced), path, "`alert` is missing", "give the rule a name");
        };
        let Some(name) = self.string(name, &format!("{path}.alert")) else { return };
        if name.is_empty() {
            return self.add(Some(&node.referenced), path, "`alert` is empty", "give the rule a name");
        }
        if seen.contains(&name) {
            let message = format!("a second rule `{name}` in one file");
            return self.add(Some(&node.referenced), path, &message, "give it another name, or merge the two");
        }
        seen.push(name.clone());
        let known = self.rows.iter().position(|row| row.rule.name == name);
        if known.is_none() && self.rows.len() >= MAX_RULES {
            return self.add(Some(&node.referenced), path, &format!("more than {MAX_RULES} rules"), "remove some");
        }
        let mut row = known.map_or_else(|| new_row(name), |at| self.rows[at].clone());
        for (field, node) in fields {
            self.field(&mut row, field, node, &format!("{path}.{field}"));
        }
        let terms = &row.rule.terms;
        if terms.clear > terms.score {
            let message = format!("`clear` {} is over `score` {}", terms.clear, terms.score);
            self.add(Some(&node.referenced), path, &message, "an alert clears at or under the score it fires from");
        }
        if row.scope != Scope::Series && row.rule.budget.is_some() {
            let hint = "an alert about a machine always counts once for its machine; remove the field";
            self.add(Some(&node.referenced), &format!("{path}.budget"), "a machine has no budget of its own", hint);
        }
        let other =
            row.rule.select.matchers().iter().find(|matcher| row.scope != Scope::Series && matcher.name() != "host");
        if let Some(matcher) = other {
            let message = format!("a machine has no label `{}`", matcher.name());
            self.add(
                Some(&node.referenced),
                &format!("{path}.select"),
                &message,
                "with `scope: host` and `scope: fleet` select by `host`",
            );
        }
        if row.rule.patterns.contains(&Pattern::PeerOutlier) && !row.rule.is_about_peers() {
            let hint = "make a rule of its own for it: it is found by the tick, the others sample by sample";
            self.add(Some(&node.referenced), &format!("{path}.patterns"), "`peer_outlier` stands beside others", hint);
        }
        match known {
            Some(at) => self.rows[at] = row,
            None => self.rows.push(row),
        }
    }

    fn field(&mut self, row: &mut Row, field: &str, node: &Node, path: &str) {
        let rule = &mut row.rule;
        match field {
            "scope" => match self.string(node, path).as_deref() {
                Some("series") => row.scope = Scope::Series,
                Some("host") => row.scope = Scope::Host,
                Some("fleet") => row.scope = Scope::Fleet,
                Some(other) => {
                    let hint = suggest(other, &["series", "host", "fleet"]);
                    self.add(Some(&node.referenced), path, &format!("unknown scope `{other}`"), &hint);
                }
                None => {}
            },
            "enabled" => match node.value {
                Yaml::Bool(value) => row.enabled = value,
                _ => self.expected(node, path, "true or false"),
            },
            "select" => rule.select = self.parsed(node, path).unwrap_or_default(),
            "patterns" => rule.patterns = self.patterns(node, path),
            "score" => rule.terms.score = self.score(node, path).unwrap_or(rule.terms.score),
            "clear" => rule.terms.clear = self.score(node, path).unwrap_or(rule.terms.clear),
            "for" => rule.terms.for_ms = self.parsed(node, path).map_or(0, Span::millis),
            "keep_firing_for" => rule.terms.keep_firing_ms = self.parsed(node, path).map_or(0, Span::millis),
            "budget" => rule.budget = self.parsed(node, path),
            "hits" => self.hits(&mut rule.terms, node, path),
            "severity" => rule.severity = self.string(node, path).unwrap_or_default(),
            "labels" => {
                rule.labels = self.texts(node, path);
                if let Some((name, _)) = rule.labels.iter().find(|(name, _)| OWN_LABELS.contains(&name.as_str())) {
                    let message = format!("label `{name}` is the alert's own");
                    self.add(Some(&node.referenced), path, &message, "use `alert` and `severity`, or another name");
                }
            }
            "annotations" => {
                let texts = self.texts(node, path);
                rule.annotations.clear();
                for (name, text) in texts {
                    match Template::parse(&text) {
                        Ok(template) => rule.annotations.push((name, template)),
                        Err((message, hint)) => {
                            self.add(Some(&node.referenced), &format!("{path}.{name}"), &message, &hint);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn hits(&mut self, terms: &mut Terms, node: &Node, path: &str) {
        let Some(fields) = self.fields(node, path, &["at_least", "of"]) else { return };
        let mut given = [None, None];
        for (name, node) in fields {
            given[usize::from(name == "of")] = self.count(node, &format!("{path}.{name}"), 1, 32);
        }
        match given {
            [Some(at_least), Some(of)] if at_least <= of => {
                (terms.at_least, terms.of) = (at_least as u32, of as u32);
            }
            [Some(at_least), Some(of)] => {
                let message = format!("{at_least} of {of} samples can never be reached");
                self.add(Some(&node.referenced), path, &message, "`at_least` must not be greater than `of`");
            }
            _ => self.add(Some(&node.referenced), path, "needs both", "write `{ at_least: 2, of: 3 }`, at most 32"),
        }
    }

    fn patterns(&mut self, node: &Node, path: &str) -> Vec<Pattern> {
        let Yaml::List(items) = &node.value else {
            self.expected(node, path, "a list of kinds of anomaly");
            return Vec::new();
        };
        if items.is_empty() {
            let hint = "leave the field out for all kinds; `enabled: false` switches the rule off";
            self.add(Some(&node.referenced), path, "no kind of anomaly would begin it", hint);
        }
        let mut out = Vec::new();
        for item in items {
            let Some(word) = self.string(item, path) else { continue };
            match begins().find(|pattern| pattern.as_str() == word) {
                Some(pattern) => out.push(pattern),
                None => {
                    let known: Vec<&str> = begins().map(Pattern::as_str).collect();
                    let hint = suggest(&word, &known);
                    self.add(Some(&item.referenced), path, &format!("unknown pattern `{word}`"), &hint);
                }
            }
        }
        out
    }

    /// The entries of a mapping with known keys; each other key is a problem.
    fn fields<'a>(&mut self, node: &'a Node, path: &str, known: &[&str]) -> Option<Vec<(&'a str, &'a Node)>> {
        let Yaml::Map(map) = &node.value else {
            self.expected(node, path, "a mapping");
            return None;
        };
        let mut out = Vec::new();
        for (key, value) in map {
            if known.contains(&key.value.as_str()) {
                out.push((key.value.as_str(), value));
            } else {
                let hint = suggest(&key.value, known);
                self.add(Some(&key.referenced), path, &format!("unknown field `{}`", key.value), &hint);
            }
        }
        Some(out)
    }

    fn texts(&mut self, node: &Node, path: &str) -> Vec<(String, String)> {
        let Yaml::Map(map) = &node.value else {
            self.expected(node, path, "a mapping of names to texts");
            return Vec::new();
        };
        let mut out = Vec::new();
        for (key, value) in map {
            let path = format!("{path}.{}", key.value);
            let name_ok = key.value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && key.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !name_ok {
                self.add(Some(&key.referenced), &path, "not a name", "names are letters, digits and `_`");
            }
            out.extend(self.string(value, &path).map(|text| (key.value.clone(), text)));
        }
        out
    }

    fn string(&mut self, node: &Node, path: &str) -> Option<String> {
        match &node.value {
            Yaml::Text(text) => Some(text.clone()),
            _ => {
                self.expected(node, path, "a text");
                None
            }
        }
    }

    fn parsed<T: FromStr<Err: ToString>>(&mut self, node: &Node, path: &str) -> Option<T> {
        let text = match &node.value {
            // `for: 0` is a duration, too.
            Yaml::Number(number) => number.to_string(),
            _ => self.string(node, path)?,
        };
        text.parse().map_err(|e: T::Err| self.add(Some(&node.referenced), path, &e.to_string(), "")).ok()
    }

    fn score(&mut self, node: &Node, path: &str) -> Option<f32> {
        match node.value {
            Yaml::Number(value) if value > 0.0 && value <= 1_000.0 => Some(value as f32),
            _ => {
                self.expected(node, path, "a score over 0, where 1.0 is the edge of what is normal, at most 1000");
                None
            }
        }
    }

    fn count(&mut self, node: &Node, path: &str, min: usize, max: usize) -> Option<usize> {
        match node.value {
            Yaml::Number(n) if n.fract() == 0.0 && n >= min as f64 && n <= max as f64 => Some(n as usize),
            _ => {
                self.expected(node, path, &format!("a whole number from {min} to {max}"));
                None
            }
        }
    }

    fn expected(&mut self, node: &Node, path: &str, what: &str) {
        let found = match &node.value {
            Yaml::Number(number) => format!("`{number}`"),
            Yaml::Text(text) => format!("`{text}`"),
            other => other.kind().to_owned(),
        };
        self.add(Some(&node.referenced), path, &format!("expected {what}, found {found}"), "");
    }

    fn whole(&mut self, message: &str, hint: &str) {
        self.add(None, "", message, hint);
    }

    fn add(&mut self, at: Option<&Location>, field: &str, message: &str, hint: &str) {
        self.problems.push(RuleProblem {
            file: self.file.clone(),
            line: at.map_or(0, Location::line),
            column: at.map_or(0, Location::column),
            field: field.to_owned(),
            message: message.to_owned(),
            hint: hint.to_owned(),
        });
    }
}

/// The kinds of anomaly of a single series.
fn begins() -> impl Iterator<Item = Pattern> {
    Pattern::ALL.into_iter().filter(|pattern| !matches!(pattern, Pattern::None | Pattern::Host))
}

/// What a rule is where its row says nothing.
fn new_row(name: String) -> Row {
    let terms = Terms { score: 1.0, clear: 0.8, for_ms: 0, at_least: 1, of: 1, keep_firing_ms: 0 };
    let rule = Rule {
        name,
        select: Selector::default(),
        patterns: begins().filter(|pattern| !matches!(pattern, Pattern::Missing | Pattern::PeerOutlier)).collect(),
        terms,
        severity: "warning".to_owned(),
        labels: Vec::new(),
        budget: None,
        annotations: Vec::new(),
    };
    Row { scope: Scope::Series, enabled: true, rule }
}
