//! Relabelling: rewriting and choosing label sets by rules, in the words of Prometheus's `relabel_configs`.
//!
//! A rule is written as [`RelabelConfig`], checked once into a [`Rule`], and then applied to a
//! [`LabelSet`]: of a target before it is scraped, or of a series as it is first seen. Rules run in order
//! and a set that a rule drops is gone. Nothing here keeps state.
//!
//! Meaning of the actions: "Configuration", section `<relabel_config>`, of the Prometheus documentation.

use md5::{Digest, Md5};
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::Problems;

use crate::text::LabelSet;

const SEPARATOR: &str = ";";
const REGEX: &str = "(.*)";
const REPLACEMENT: &str = "$1";

/// One rule as it is written.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RelabelConfig {
    /// Labels whose values are joined and matched.
    pub source_labels: Option<Vec<String>>,
    /// What stands between the joined values; `;` unless set.
    pub separator: Option<String>,
    /// Label that is written or compared. For `replace` it may hold `$1` and `${name}`.
    pub target_label: Option<String>,
    /// Regular expression that must match the whole joined value (for `labelmap`, `labeldrop` and
    /// `labelkeep`: the whole label name); `(.*)` unless set.
    pub regex: Option<String>,
    /// What the hash is taken modulo of, for `hashmod`.
    pub modulus: Option<u64>,
    /// What is written, with `$1` and `${name}` for what the expression captured; `$1` unless set.
    pub replacement: Option<String>,
    /// What to do; `replace` unless set.
    #[serde(default)]
    pub action: Action,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Writes `replacement` to `target_label` if the expression matches.
    #[default]
    Replace,
    /// Drops the set unless the expression matches.
    Keep,
    /// Drops the set if the expression matches.
    Drop,
    /// Drops the set unless the joined value is that of `target_label`.
    KeepEqual,
    /// Drops the set if the joined value is that of `target_label`.
    DropEqual,
    /// Writes the hash of the joined value, modulo `modulus`, to `target_label`.
    HashMod,
    /// Copies labels whose name matches to the name that `replacement` gives.
    LabelMap,
    /// Removes labels whose name matches.
    LabelDrop,
    /// Removes labels whose name does not match.
    LabelKeep,
    /// Writes the joined value in lower case to `target_label`.
    Lowercase,
    /// Writes the joined value in upper case to `target_label`.
    Uppercase,
}

/// A checked rule.
#[derive(Debug, Clone)]
pub struct Rule {
    action: Action,
    sources: Vec<String>,
    separator: String,
    target: String,
    regex: Regex,
    modulus: u64,
    replacement: String,
}

/// Checks rules; problems stand at `path[i].field`.
pub fn check(configs: &[RelabelConfig], path: &str, problems: &mut Problems) -> Vec<Rule> {
    let mut rules = Vec::with_capacity(configs.len());
    for (i, config) in configs.iter().enumerate() {
        let mut part = Problems::default();
        rules.extend(config.check(&mut part));
        problems.within(&format!("{path}[{i}]"), part);
    }
    rules
}

impl RelabelConfig {
    fn check(&self, problems: &mut Problems) -> Option<Rule> {
        let before = problems.len();
        let word = format!("{:?}", self.action).to_lowercase();
        self.refuse_unused(&word, problems);
        let writes = !matches!(
            self.action,
            Action::Keep | Action::Drop | Action::LabelMap | Action::LabelDrop | Action::LabelKeep
        );
        let target = self.target_label.clone().unwrap_or_default();
        if writes && target.is_empty() {
            problems.hint(
                "target_label",
                format!("action `{word}` needs a `target_label`"),
                "name the label it is for",
            );
        }
        if self.action == Action::HashMod && self.modulus.unwrap_or(0) == 0 {
            problems.hint("modulus", "action `hashmod` needs a `modulus` above 0", "set it to the number of shares");
        }
        let text = self.regex.as_deref().unwrap_or(REGEX);
        let regex = problems.take("regex", Regex::new(&format!("^(?s:{text})$")).map_err(|e| regex_error(text, &e)));
        if problems.len() > before {
            return None;
        }
        Some(Rule {
            action: self.action,
            sources: self.source_labels.clone().unwrap_or_default(),
            separator: self.separator.clone().unwrap_or_else(|| SEPARATOR.to_owned()),
            target,
            regex: regex?,
            modulus: self.modulus.unwrap_or(0),
            replacement: self.replacement.clone().unwrap_or_else(|| REPLACEMENT.to_owned()),
        })
    }

    /// Refuses what Prometheus refuses: fields that the action can not use, with another value than the
    /// default (Prometheus itself writes the defaults out when it shows its config).
    fn refuse_unused(&self, word: &str, problems: &mut Problems) {
        let set = [
            ("source_labels", self.source_labels.is_some()),
            ("separator", self.separator.as_deref().is_some_and(|text| text != SEPARATOR)),
            ("target_label", self.target_label.is_some()),
            ("regex", self.regex.as_deref().is_some_and(|text| text != REGEX)),
            ("modulus", self.modulus.is_some_and(|modulus| modulus != 0)),
            ("replacement", self.replacement.as_deref().is_some_and(|text| text != REPLACEMENT)),
        ];
        let unused: &[&str] = match self.action {
            Action::KeepEqual | Action::DropEqual => &["separator", "regex", "modulus", "replacement"],
            Action::Lowercase | Action::Uppercase => &["replacement"],
            Action::LabelDrop | Action::LabelKeep => {
                &["source_labels", "separator", "target_label", "modulus", "replacement"]
            }
            _ => &[],
        };
        for (name, _) in set.iter().filter(|(name, is_set)| *is_set && unused.contains(name)) {
            problems.hint(*name, format!("action `{word}` has no use for `{name}`"), "remove it");
        }
    }
}

fn regex_error(text: &str, error: &regex::Error) -> String {
    let full = error.to_string();
    let reason = full.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("`{text}` is no regular expression: {reason}")
}

/// Applies `rules` to `labels`; `false` if the set is dropped.
#[must_use]
pub fn apply(rules: &[Rule], labels: &mut LabelSet<'_>) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

impl Rule {
    fn apply(&self, labels: &mut LabelSet<'_>) -> bool {
        match self.action {
            Action::Keep => return self.regex.is_match(&self.joined(labels)),
            Action::Drop => return !self.regex.is_match(&self.joined(labels)),
            Action::KeepEqual => return labels.get(&self.target) == self.joined(labels),
            Action::DropEqual => return labels.get(&self.target) != self.joined(labels),
            Action::Replace => self.replace(labels),
            Action::Lowercase => labels.set(self.target.clone(), self.joined(labels).to_lowercase()),
            Action::Uppercase => labels.set(self.target.clone(), self.joined(labels).to_uppercase()),
            Action::HashMod => {
                let share = hash(&self.joined(labels)) % self.modulus;
                labels.set(self.target.clone(), share.to_string());
            }
            Action::LabelMap => {
                let matching: Vec<(String, String)> = labels
                    .iter()
                    .filter_map(|(name, value)| Some((self.expand(&self.replacement, name)?, value.to_owned())))
                    .collect();
                for (name, value) in matching.into_iter().filter(|(name, _)| !name.is_empty()) {
                    labels.set(name, value);
                }
            }
            Action::LabelDrop => labels.retain(|name| !self.regex.is_match(name)),
            Action::LabelKeep => labels.retain(|name| self.regex.is_match(name)),
        }
        true
    }

    fn replace(&self, labels: &mut LabelSet<'_>) {
        let value = self.joined(labels);
        let (Some(target), Some(text)) = (self.expand(&self.target, &value), self.expand(&self.replacement, &value))
        else {
            return;
        };
        if !target.is_empty() {
            labels.set(target, text);
        }
    }

    fn joined(&self, labels: &LabelSet<'_>) -> String {
        let mut joined = String::new();
        for (i, name) in self.sources.iter().enumerate() {
            if i > 0 {
                joined.push_str(&self.separator);
            }
            joined.push_str(labels.get(name));
        }
        joined
    }

    /// `template` with the captures of `text`; `None` if the expression does not match.
    fn expand(&self, template: &str, text: &str) -> Option<String> {
        let captures = self.regex.captures(text)?;
        let mut out = String::new();
        captures.expand(template, &mut out);
        Some(out)
    }
}

/// The last 8 bytes of the MD5 sum, big-endian, as Prometheus takes them.
fn hash(text: &str) -> u64 {
    let sum: [u8; 16] = Md5::digest(text.as_bytes()).into();
    u64::from_be_bytes([sum[8], sum[9], sum[10], sum[11], sum[12], sum[13], sum[14], sum[15]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(json: serde_json::Value) -> Vec<Rule> {
        let configs: Vec<RelabelConfig> = serde_json::from_value(json).expect("the shape is right");
        let mut problems = Problems::default();
        let rules = check(&configs, "relabel_configs", &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        rules
    }

    /// The set after one rule, as sorted text; `None` if it was dropped.
    fn after(rule: serde_json::Value) -> Option<String> {
        let mut labels: LabelSet = [("__name__", "m"), ("a", "foo"), ("b", "Bar"), ("c", "foo")].into_iter().collect();
        let kept = apply(&rules(serde_json::json!([rule])), &mut labels);
        kept.then(|| watchbell_series::Labels::new(labels.iter()).expect("labels are left").to_string())
    }

    #[test]
    fn every_action() {
        use serde_json::json;
        let all = r#"m{a="foo",b="Bar",c="foo"}"#;
        let cases = [
            (
                json!({"source_labels": ["a", "b"], "regex": "f(.*);(.*)r", "target_label": "d", "replacement": "$2-${1}"}),
                Some(r#"m{a="foo",b="Bar",c="foo",d="Ba-oo"}"#),
            ),
            (json!({"source_labels": ["a"], "regex": "f", "target_label": "d"}), Some(all)),
            (
                json!({"source_labels": ["a"], "regex": "(?P<x>f).*", "target_label": "${x}l", "replacement": "$x"}),
                Some(r#"m{a="foo",b="Bar",c="foo",fl="f"}"#),
            ),
            (json!({"source_labels": ["a"], "target_label": "a", "replacement": ""}), Some(r#"m{b="Bar",c="foo"}"#)),
            (json!({"source_labels": ["a"], "target_label": "d", "replacement": "$1x"}), Some(all)),
            (json!({"target_label": "d", "replacement": "x$$y"}), Some(r#"m{a="foo",b="Bar",c="foo",d="x$y"}"#)),
            (json!({"action": "keep", "source_labels": ["a"], "regex": "fo"}), None),
            (json!({"action": "keep", "source_labels": ["a"], "regex": "fo.|x"}), Some(all)),
            (json!({"action": "drop", "source_labels": ["a"], "regex": "foo"}), None),
            (json!({"action": "drop", "source_labels": ["a"], "regex": "oo"}), Some(all)),
            (json!({"action": "keepequal", "source_labels": ["a"], "target_label": "c"}), Some(all)),
            (json!({"action": "keepequal", "source_labels": ["a"], "target_label": "b"}), None),
            (json!({"action": "dropequal", "source_labels": ["a"], "target_label": "c"}), None),
            (json!({"action": "dropequal", "source_labels": ["a"], "target_label": "b"}), Some(all)),
            (
                json!({"action": "labelmap", "regex": "[ab]|(__name__)", "replacement": "x_$0"}),
                Some(r#"m{a="foo",b="Bar",c="foo",x___name__="m",x_a="foo",x_b="Bar"}"#),
            ),
            (json!({"action": "labeldrop", "regex": "[ab]"}), Some(r#"m{c="foo"}"#)),
            (json!({"action": "labelkeep", "regex": "__name__|b"}), Some(r#"m{b="Bar"}"#)),
            (
                json!({"action": "lowercase", "source_labels": ["b"], "target_label": "b"}),
                Some(r#"m{a="foo",b="bar",c="foo"}"#),
            ),
            (
                json!({"action": "uppercase", "source_labels": ["a", "b"], "separator": "", "target_label": "d"}),
                Some(r#"m{a="foo",b="Bar",c="foo",d="FOOBAR"}"#),
            ),
        ];
        for (rule, expected) in cases {
            assert_eq!(after(rule.clone()).as_deref(), expected, "{rule}");
        }
    }

    #[test]
    fn hashmod_takes_the_end_of_the_md5_sum() {
        // md5("foo") = acbd18db4cc2f85cedef654fccc4a4d8
        assert_eq!(hash("foo"), 0xedef_654f_ccc4_a4d8);
        let rule =
            serde_json::json!({"action": "hashmod", "source_labels": ["a"], "target_label": "d", "modulus": 1000});
        let expected = 0xedef_654f_ccc4_a4d8_u64 % 1000;
        assert_eq!(after(rule), Some(format!(r#"m{{a="foo",b="Bar",c="foo",d="{expected}"}}"#)));
    }

    #[test]
    fn reports_every_mistake_at_its_place() {
        let configs: Vec<RelabelConfig> = serde_json::from_value(serde_json::json!([
            {"source_labels": ["a"]},
            {"action": "hashmod", "target_label": "x"},
            {"action": "labeldrop", "regex": "(", "separator": "-"},
            {"action": "keep", "source_labels": ["a"], "regex": "ok", "separator": ";", "replacement": "$1"},
        ]))
        .expect("the shape is right");
        let mut problems = Problems::default();
        assert_eq!(check(&configs, "relabel_configs", &mut problems).len(), 1);
        let paths: Vec<String> = problems.into_vec().into_iter().map(|p| p.path).collect();
        assert_eq!(
            paths,
            [
                "relabel_configs[0].target_label",
                "relabel_configs[1].modulus",
                "relabel_configs[2].separator",
                "relabel_configs[2].regex"
            ]
        );
    }
}
