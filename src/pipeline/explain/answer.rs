//! The answer in its shape: what the API gives as JSON, and the sentences for people.

use serde::Serialize;
use watchbell_detect::Cap;
use watchbell_normalize::SetAside;
use watchbell_series::{Direction, Labels, NotReady, Pattern, Reading};

use super::MOST;
use crate::alerting::annotate::{compared, last_seen, raised, selector};
use crate::alerting::{Hold, RuleStanding, Standing};
use crate::pipeline::insight::Found;
use crate::words::{self, duration, quantity, rarity, time};

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
    /// `ruled_out`, `under_edge`, `not_watched`.
    pub outcome: &'static str,
    /// In sentences.
    pub text: String,
    /// Where the detector stands; `null` for a series that is not judged.
    pub detector: Option<Detector>,
    /// What keeps it quiet, by a rule: where that rule stands; `null` where none does.
    pub rule: Option<String>,
    /// How alert rules stand to it.
    pub alerts: Vec<Alert>,
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
        }
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
        warmup_seconds_left: insight.warming.map(|warming| warming.seconds_left),
        warmup_samples_left: insight.warming.map(|warming| warming.samples_left),
        samples: insight.samples,
    }
}

/// The outcome in a word, the reason as it stands after the name of the series, and the rule that is to blame.
fn reason(found: &Found, rules: &[RuleStanding], now_ms: i64) -> (&'static str, String, Option<String>) {
    let insight = &found.insight;
    let firing = rules.iter().find_map(|rule| match &rule.standing {
        Standing::Firing(episode) => Some((rule, episode)),
        _ => None,
    });
    if let Some((rule, episode)) = firing {
        let text = format!("does alert: `{}` fires since {}", rule.rule, time(episode.starts_ms));
        return ("alerting", text, None);
    }
    match insight.reading.not_ready {
        Some(NotReady::Warming) => return ("warming", warming(found), None),
        Some(NotReady::Constant) => {
            let text = format!(
                "never changed: {} samples brought {}, and there is nothing to judge before it does",
                insight.same,
                quantity(insight.reading.value, found.about.unit)
            );
            return ("constant", text, None);
        }
        Some(NotReady::Stale) => {
            let ago = duration((now_ms - insight.reading.ts_ms).max(0) as f64 / 1_000.0);
            let text = format!("has no score: its last sample came {ago} ago, at {}", time(insight.reading.ts_ms));
            let silent = if found.spec.missing { "" } else { ", and rules say that its silence is no news" };
            return ("stale", text + silent, None);
        }
        None => {}
    }
    let of = |wanted: fn(&Standing) -> bool| rules.iter().find(|rule| wanted(&rule.standing));
    if let Some(rule) = of(|standing| matches!(standing, Standing::Held(_))) {
        return ("held", format!("would alert: {}", standing(rule)), None);
    }
    if let Some(rule) = of(|standing| matches!(standing, Standing::Pending { .. } | Standing::Begins)) {
        return ("pending", format!("does not alert yet: {}", standing(rule)), None);
    }
    if insight.reading.alarm || insight.score >= insight.edge {
        let pattern = insight.reading.pattern;
        if rules.is_empty() {
            return ("no_rule", format!("is anomalous ({pattern}), and no alert rule is in force"), None);
        }
        let all: Vec<String> = rules.iter().map(standing).collect();
        return (
            "no_rule",
            format!("is anomalous ({pattern}), and no alert rule takes it up: {}", all.join("; ")),
            None,
        );
    }
    if let Some(cap) = insight.cap {
        let (text, rule) = capped(found, cap);
        return ("ruled_out", format!("does not alert: {text}"), rule);
    }
    let (score, edge) = (insight.score, insight.edge);
    (
        "under_edge",
        format!("does not alert: the score of its last sample, {score:.2}, is under its edge {edge:.2}"),
        None,
    )
}

fn warming(found: &Found) -> String {
    let Some(left) = found.insight.warming else { return "has no score yet".to_owned() };
    let mut waits = Vec::new();
    if left.seconds_left > 0 {
        waits.push(duration(f64::from(left.seconds_left)));
    }
    if left.samples_left > 0 {
        waits.push(format!("{} samples", left.samples_left));
    }
    let waits = if waits.is_empty() { "one sample".to_owned() } else { waits.join(" and ") };
    format!("is warming up after {} samples: {waits} more until its first score", found.insight.samples)
}

fn capped(found: &Found, cap: Cap) -> (String, Option<String>) {
    let spec = &found.spec;
    let off = quantity((found.insight.reading.value - found.insight.reading.expected).abs(), found.about.unit);
    match cap {
        Cap::Direction => {
            let (is, bad) = if spec.direction == Direction::Up { ("low", "up") } else { ("high", "down") };
            (format!("it is unusually {is}, and a rule says `bad: {bad}`"), found.rules.direction.clone())
        }
        Cap::LeastDeviation => {
            let least = quantity(spec.min_deviation, found.about.unit);
            (format!("it is {off} off, and a rule says `min_deviation`: {least}"), found.rules.min_deviation.clone())
        }
        Cap::LeastRelativeDeviation => (
            format!("it is {off} off, and a rule says `min_relative_deviation`: {}", spec.min_relative_deviation),
            found.rules.min_relative_deviation.clone(),
        ),
    }
}

/// Value, expectation and what would alert, as sentences after the reason.
fn numbers(found: &Found) -> String {
    let (insight, unit) = (&found.insight, found.about.unit);
    let Reading { ts_ms, value, expected, lower, upper, .. } = insight.reading;
    let q = |number: f64| quantity(number, unit);
    let mut text =
        format!(" At {} it was {}, expected {} ({} to {}).", time(ts_ms), q(value), q(expected), q(lower), q(upper));
    let rare = rarity(f64::from(insight.why.return_s));
    let with = compared(insight.why.lead);
    if insight.score >= 1.0 && !rare.is_empty() && !with.is_empty() {
        text.push_str(&format!(" Compared with {with}, as unusual a sample comes {rare}."));
    }
    if let Some(since_ms) = insight.why.since_ms.filter(|_| insight.reading.alarm) {
        let seen = last_seen(&insight.why, ts_ms);
        let seen = if seen.is_empty() { String::new() } else { format!(", and was last like this at {seen}") };
        text.push_str(&format!(" It is {} since {}{seen}.", insight.reading.pattern, time(since_ms)));
    }
    let raised = raised(&insight.why);
    if !raised.is_empty() {
        text.push_str(&format!(" Note that {raised}."));
    }
    if insight.reading.pattern != Pattern::Missing && !insight.reading.alarm {
        text.push_str(&match (insight.alarms_from.is_finite(), insight.alarms_to.is_finite()) {
            (true, true) => {
                let (from, to) = (q(insight.alarms_from), q(insight.alarms_to));
                format!(" The next sample would raise an alarm from {from} up, or from {to} down.")
            }
            (true, false) => format!(" The next sample would raise an alarm from {} up.", q(insight.alarms_from)),
            (false, true) => format!(" The next sample would raise an alarm from {} down.", q(insight.alarms_to)),
            (false, false) => " No value of the next sample would raise an alarm.".to_owned(),
        });
    }
    text
}

fn standing(rule: &RuleStanding) -> String {
    let name = &rule.rule;
    match &rule.standing {
        Standing::Firing(episode) => format!("`{name}` fires since {}", time(episode.starts_ms)),
        Standing::Held(Hold::PerHost { limit }) => {
            format!("`{name}` is held back, because {limit} alerts of its host fire (`alerting.max_per_host`)")
        }
        Standing::Held(Hold::Total { limit }) => {
            format!("`{name}` is held back, because {limit} alerts fire (`alerting.max_open`)")
        }
        Standing::Pending { hits, at_least, of, wait_ms } => {
            let wait = if *wait_ms > 0 {
                format!(", and has to last {} more", duration(*wait_ms as f64 / 1_000.0))
            } else {
                String::new()
            };
            format!("`{name}` has {hits} of the {at_least} hits among {of} samples that it needs{wait}")
        }
        Standing::NotSelected => format!("`{name}` does not select it"),
        Standing::OtherKind(pattern) => format!("`{name}` is not about the pattern {pattern}"),
        Standing::UnderScore { needed } => format!("`{name}` needs a score of {needed:.2}"),
        Standing::Begins => format!("`{name}` begins with this sample"),
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
        since: episode.map(|episode| words::time(episode.starts_ms)),
        url: episode.map(|episode| episode.generator_url.clone()).filter(|url| !url.is_empty()),
    }
}
