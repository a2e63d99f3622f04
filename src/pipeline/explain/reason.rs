//! The reason why a series does or does not alert, in words.

use watchbell_detect::Cap;
use watchbell_series::{Direction, NotReady, Pattern, Reading};

use crate::alerting::annotate::{compared, last_seen, raised};
use crate::alerting::budget::Reason;
use crate::alerting::{Hold, RuleStanding, Standing};
use crate::pipeline::insight::Found;
use crate::words::{duration, quantity, rarity, time};

/// The outcome in a word, the reason as it stands after the name of the series, and the rule that is to blame.
pub(super) fn reason(found: &Found, rules: &[RuleStanding], now_ms: i64) -> (&'static str, String, Option<String>) {
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
        let outcome = if cap == Cap::Habit { "habit" } else { "ruled_out" };
        return (outcome, format!("does not alert: {text}"), rule);
    }
    let (score, edge, sensitivity) = (insight.score, insight.edge, found.spec.sensitivity);
    let text = format!("does not alert: the score of its last sample, {score:.2}, is under its edge {edge:.2}");
    if sensitivity < 1.0 && found.rules.sensitivity.is_some() {
        let text = format!("{text}, and a rule says `sensitivity: {sensitivity}`");
        return ("under_edge", text, found.rules.sensitivity.clone());
    }
    ("under_edge", text, None)
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
        Cap::Habit => {
            ("odd events like this one came back at the same distance several times, and are known".to_owned(), None)
        }
    }
}

/// Value, expectation and what would alert, as sentences after the reason.
pub(super) fn numbers(found: &Found) -> String {
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

/// How an alert rule stands to the series, in a sentence without its end.
pub(super) fn standing(rule: &RuleStanding) -> String {
    let name = &rule.rule;
    match &rule.standing {
        Standing::Firing(episode) => format!("`{name}` fires since {}", time(episode.starts_ms)),
        Standing::Held(Hold::PerHost { limit }) => {
            format!("`{name}` is held back, because {limit} alerts of its host fire (`alerting.max_per_host`)")
        }
        Standing::Held(Hold::Fleet) => {
            format!("`{name}` is held back, because an alert of the whole fleet fires and stands for its host")
        }
        Standing::Held(Hold::Total { limit }) => {
            format!("`{name}` is held back, because {limit} alerts fire (`alerting.max_open`)")
        }
        Standing::Held(Hold::Suppressed(reason)) => {
            let because = match reason {
                Reason::Budget => {
                    "its score is under the edge that keeps the budget of alerts (`alerting.alert_budget`)"
                }
                Reason::FalseDiscovery => {
                    "chance alone gives as much in a fleet of this size (`alerting.false_discovery_rate`)"
                }
                Reason::Muted => "a quiet window is about it",
                Reason::Feedback => "people said that such anomalies of the series are nothing (`/api/v1/feedback`)",
            };
            format!("`{name}` is suppressed: {because}")
        }
        Standing::Held(Hold::Muted(window)) => {
            format!("`{name}` is muted by a quiet window: {window} (`/api/v1/windows`)")
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
