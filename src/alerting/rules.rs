//! Alert rules: which series, from which score, how long, and in which words.
//!
//! The rules of `rules/detect/alerts.yaml` are compiled in; a folder of the user's changes single fields of
//! them or adds rules. Every rule that selects a series stands for an alert of its own, as in Prometheus:
//! there is no order among rules.

mod load;
mod node;
mod template;

use std::fmt;
use std::path::PathBuf;

pub use template::{PLACEHOLDERS, Template};
use watchbell_series::{Labels, Pattern, Selector};

use super::budget::Budget;
use super::lifecycle::Terms;

/// All rules, and the limits of the config that hold for all of them.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Enabled rules about single series.
    pub series: Vec<Rule>,
    /// Enabled rules about hosts.
    pub hosts: Vec<Rule>,
    /// Enabled rules about all hosts together.
    pub fleet: Vec<Rule>,
    /// Limits.
    pub limits: Limits,
    /// How many alerts of series are accepted, where a rule says nothing else.
    pub budget: Budget,
    /// Accepted share of false ones among the alerts of the fleet, 0 to 1.
    pub false_discovery_rate: f64,
}

/// How much may fire at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Alerts of series that may fire for one host, where a rule about hosts stands for the rest.
    pub max_per_host: usize,
    /// Alerts that may fire at all.
    pub max_firing: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_per_host: 5, max_firing: 1_000 }
    }
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Label `alertname`.
    pub name: String,
    /// Which series; for a rule about hosts or the fleet only `host` can be selected.
    pub select: Selector,
    /// Which kinds of anomaly begin it.
    pub patterns: Vec<Pattern>,
    /// Scores and times.
    pub terms: Terms,
    /// Label `severity`.
    pub severity: String,
    /// Further labels, which never change while the alert lives.
    pub labels: Vec<(String, String)>,
    /// A budget of its own.
    pub budget: Option<Budget>,
    /// Texts, in order.
    pub annotations: Vec<(String, Template)>,
}

impl Rule {
    /// Whether an anomaly of this kind begins it. One whose kind could not be told begins every rule that is
    /// about samples at all, so that no anomaly falls between the kinds.
    #[must_use]
    pub fn wants(&self, pattern: Pattern) -> bool {
        match pattern {
            Pattern::None | Pattern::Host => {
                self.patterns.iter().any(|known| !matches!(known, Pattern::Missing | Pattern::PeerOutlier))
            }
            known => self.patterns.contains(&known),
        }
    }

    /// Whether it is about the comparison with peers, and nothing else: samples by themselves say nothing of that.
    #[must_use]
    pub fn is_about_peers(&self) -> bool {
        self.patterns == [Pattern::PeerOutlier]
    }

    /// Whether verdicts of this kind are about what the rule is about: a sample, or the comparison with peers.
    #[must_use]
    pub fn hears(&self, pattern: Pattern) -> bool {
        self.is_about_peers() == (pattern == Pattern::PeerOutlier)
    }

    /// Whether a series with these labels of this host is selected; `host` is the entity, whatever label of
    /// that name the series has itself.
    #[must_use]
    pub fn selects(&self, labels: &Labels, host: &str) -> bool {
        self.select.matches_by(|name| if name == "host" { host } else { labels.get(name).unwrap_or("") })
    }
}

impl Rules {
    /// The rules about series that would miss samples because the detector reports scores from `edge` on only.
    pub fn under(&self, edge: f64) -> impl Iterator<Item = &Rule> {
        let under = move |rule: &&Rule| f64::from(rule.terms.score) < edge - 1e-6;
        // What peers say does not come sample by sample.
        self.series.iter().filter(|rule| !rule.is_about_peers()).filter(under)
    }

    /// The rules that are compiled in.
    ///
    /// # Panics
    /// Never in a release: a test reads them.
    #[must_use]
    pub fn builtin() -> Self {
        Self::load(None).expect("the rules that are compiled in are read by a test")
    }
}

/// One mistake in a rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleProblem {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1; 0 for the whole file.
    pub line: u64,
    /// Column, from 1; 0 for the whole file.
    pub column: u64,
    /// Path of the field, such as `alerts[2].for`.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.field.is_empty() {
            write!(f, " {}:", self.field)?;
        }
        write!(f, " {}", self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "\n  hint: {}", self.hint) }
    }
}

#[cfg(test)]
mod tests;
