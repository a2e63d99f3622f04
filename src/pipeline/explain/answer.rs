//! The answer in its shape: what the API gives as JSON, and the sentences for people.

use serde::Serialize;
use watchbell_normalize::SetAside;
use watchbell_series::{Labels, Reading};

use super::MOST;
use super::reason::{numbers, reason, standing};
use crate::alerting::annotate::selector;
use crate::alerting::{RuleStanding, Standing};
use crate::pipeline::insight::Found;
use crate::words::time;

/// The answer for all selected series.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The moment that is answered, milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// What it is made of.
    pub basis: Basis,
    /// Series that are selected; more than are explained where there are many.
    pub matched: usize,
    /// Those that are explained.
    pub series: Vec<Series>,
}

/// What an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The state of the service now.
    Live,
    /// History that was read back and judged again, from so many samples.
    Recomputed {
        /// Samples judged.
        samples: usize,
    },
}

impl Basis {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Recomputed { .. } => "recomputed",
        }
    }
}

/// Why one series does or does not alert.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// The series in PromQL's words.
    pub series: String,
    /// Its host; empty for none.
    pub host: String,
    /// Its name in common words.
    pub metric: String,
    /// Unit of what is judged.
    pub unit: &'static str,
    /// Kind as it was sent.
    pub kind: &'static str,
    /// In one word, see docs/explain.md: `alerting`, `held`, `pending`, `no_rule`, `warming`, `constant`, `stale`,
    /// `ruled_out`, `habit`, `under_edge`, `not_watched`.
    pub outcome: &'static str,
    /// In sentences.
    pub text: String,
    /// Where the detector stands; `null` for a series that is not judged.
    pub detector: Option<Detector>,
    /// What keeps it quiet, by a rule: where that rule stands; `null` where none does.
    pub rule: Option<String>,
    /// How alert rules stand to it.
    pub alerts: Vec<Alert>,
    /// Limits that people set on it in other tools.
    pub limits: Vec<String>,
    /// Problems of other tools that are near in time, of the same host or series.
    pub problems: Vec<String>,
    /// Whether its last sample was in a quiet window.
    pub quiet: bool,
}

/// Where the detector stands at the last sample. What is not known, and what is infinite, is `null`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detector {
    /// Time of the last sample.
    pub sample_time: String,
    /// Its value.
    pub value: Option<f64>,
    /// What was expected.
    pub expected: Option<f64>,
    /// Lower end of the expected band.
    pub lower: Option<f64>,
    /// Upper end of the expected band.
    pub upper: Option<f64>,
    /// Score of the last sample itself.
    pub score: Option<f64>,
    /// Score as it is published, held for a while after a spike.
    pub published_score: Option<f64>,
    /// The score from which on the next sample raises an alarm.
    pub edge: Option<f64>,
    /// The next sample raises an alarm from this value up.
    pub alarms_from: Option<f64>,
    /// The next sample raises an alarm from this value down.
    pub alarms_to: Option<f64>,
    /// Whether the detector's alarm is open.
    pub alarm: bool,
    /// What it looks like.
    pub pattern: &'static str,
    /// When the open alarm began.
    pub since: Option<String>,
    /// When it last looked like this.
    pub last_seen: Option<String>,
    /// Mean time between samples as unusual as the last one, seconds.
    pub return_seconds: Option<f64>,
    /// What the value is compared with: `fast`, `slow`, `smoothed`, `range`, `stillness`, `unknown`.
    pub lead: &'static str,
    /// The part that earlier alarms added to the edge.
    pub raised: f64,
    /// Length of a season other than the day and the week that was found and counts, seconds.
    pub season_seconds: Option<f64>,
    /// Seconds of the warm-up that are left; `null` after it.
    pub warmup_seconds_left: Option<u32>,
    /// Samples of the warm-up that are left; `null` after it.
    pub warmup_samples_left: Option<u32>,
    /// Samples seen.
    pub samples: u32,
}

/// How one alert rule stands to a series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alert {
    /// Name of the rule.
    pub rule: String,
    /// `firing`, `held`, `pending`, `not_selected`, `other_kind`, `under_score`.
    pub standing: &'static str,
    /// In a sentence.
    pub text: String,
    /// When it fired.
    pub since: Option<String>,
    /// A page that shows the series, of an alert that fires.
    pub url: Option<String>,
}

impl Answer {
    /// As the API gives it.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let samples = match self.basis {
            Basis::Live => None,
            Basis::Recomputed { samples } => Some(samples),
        };
        serde_json::json!({
            "time": time(self.at_ms),
            "basis": self.basis.word(),
            "samples": samples,
            "matched": self.matched,
            "series": self.series,
            "text": self.text(),
        })
    }

    /// In sentences, a paragraph a series.
    #[must_use]
    pub fn text(&self) -> String {
        let mut all: Vec<String> = Vec::new();
        if let Basis::Recomputed { samples } = self.basis {
            all.push(format!(
                "At {}, judged again by today's rules from {samples} samples of history by a fresh detector: what ran then may \
                 have known more or less.",
                time(self.at_ms)
            ));
        }
        all.extend(self.series.iter().map(|series| series.text.clone()));
        if self.matched > self.series.len() {
            all.push(format!("{} series are selected, the first {MOST} are told of: name more labels.", self.matched));
        }
        all.join("\n\n")
    }
}

impl Series {
    /// Of a judged series.
    #[must_use]
    pub fn judged(found: &Found, rules: &[RuleStanding], now_ms: i64) -> Self {
        let (outcome, reason, rule) = reason(found, rules, now_ms);
        let name = selector(&found.about.labels);
        let host = &found.about.entity;
        let of_host = if host.is_empty() { String::new() } else { format!(" of {host}") };
        let mut text = format!("{name}{of_host} {reason}");
        if let Some(rule) = &rule {
            text.push_str(&format!(" ({rule})"));
        }
        text.push('.');
        if !found.insight.reading.score.is_nan() {
            text.push_str(&numbers(found));
        }
        if found.insight.reading.quiet {
            text.push_str(" Its last sample was in a quiet window: alerts are muted, and it taught nothing.");
        }
        if !found.about.limits.is_empty() {
            let limits = found.about.limits.iter().map(|limit| limit.words(found.about.unit));
            text.push_str(&format!(" Known limits: {}.", limits.collect::<Vec<_>>().join("; ")));
        }
        Self {
            series: name,
            host: host.clone(),
            metric: found.metric.clone(),
            unit: found.spec.unit.as_str(),
            kind: found.kind.as_str(),
            outcome,
            text,
            detector: Some(detector(found)),
            rule,
            alerts: rules.iter().map(alert).collect(),
            limits: found.about.limits.iter().map(|limit| limit.words(found.about.unit)).collect(),
            problems: Vec::new(),
            quiet: found.insight.reading.quiet,
        }
    }

    /// Of a series that rules set aside; `seen` says whether samples of it come.
    #[must_use]
    pub fn set_aside(labels: &Labels, aside: &SetAside, seen: bool) -> Self {
        let name = selector(labels);
        let come = if seen { "samples of it come" } else { "no series with exactly these labels was seen" };
        let rule = aside.rule.as_ref().map_or_else(String::new, |rule| format!(" ({rule})"));
        Self {
            text: format!("{name} is not judged: {}{rule}; {come}.", aside.text),
            series: name,
            host: String::new(),
            metric: labels.name().to_owned(),
            unit: "none",
            kind: "unknown",
            outcome: "not_watched",
            detector: None,
            rule: aside.rule.clone(),
            alerts: Vec::new(),
            limits: Vec::new(),
            problems: Vec::new(),
            quiet: false,
        }
    }

    /// With these problems of other tools, in words.
    #[must_use]
    pub fn with_problems(mut self, problems: Vec<String>) -> Self {
        if !problems.is_empty() {
            self.text.push_str(&format!(" Other tools tell of: {}.", problems.join("; ")));
        }
        self.problems = problems;
        self
    }
}

fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

/// A score in its own digits: `0.31` and not what is nearest to it in more of them.
fn short(number: f32) -> Option<f64> {
    number.to_string().parse().ok().and_then(finite)
}

fn detector(found: &Found) -> Detector {
    let insight = &found.insight;
    let Reading { ts_ms, value, score, expected, lower, upper, pattern, alarm, .. } = insight.reading;
    Detector {
        sample_time: time(ts_ms),
        value: finite(value),
        expected: finite(expected),
        lower: finite(lower),
        upper: finite(upper),
        score: short(insight.score),
        published_score: short(score),
        edge: short(insight.edge),
        alarms_from: finite(insight.alarms_from),
        alarms_to: finite(insight.alarms_to),
        alarm,
        pattern: pattern.as_str(),
        since: insight.why.since_ms.map(time),
        last_seen: insight.why.last_seen_ms.map(time),
        return_seconds: short(insight.why.return_s),
        lead: insight.why.lead.as_str(),
        raised: short(insight.why.raised).unwrap_or_default(),
        season_seconds: insight.season_s.and_then(short),
        warmup_seconds_left: insight.warming.map(|warming| warming.seconds_left),
        warmup_samples_left: insight.warming.map(|warming| warming.samples_left),
        samples: insight.samples,
    }
}

fn alert(rule: &RuleStanding) -> Alert {
    let word = match &rule.standing {
        Standing::Firing(_) => "firing",
        Standing::Held(_) => "held",
        Standing::Pending { .. } | Standing::Begins => "pending",
        Standing::NotSelected => "not_selected",
        Standing::OtherKind(_) => "other_kind",
        Standing::UnderScore { .. } => "under_score",
    };
    let episode = match &rule.standing {
        Standing::Firing(episode) => Some(episode),
        _ => None,
    };
    Alert {
        rule: rule.rule.clone(),
        standing: word,
        text: standing(rule),
        since: episode.map(|episode| time(episode.starts_ms)),
        url: episode.map(|episode| episode.generator_url.clone()).filter(|url| !url.is_empty()),
    }
}
