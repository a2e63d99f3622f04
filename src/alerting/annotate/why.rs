//! Why a verdict says what it says, in words.

use watchbell_series::{Lead, Pattern, Verdict, Why};

use crate::words;

/// Less than this part of the edge is not worth a word.
const LEAST_RAISE: f32 = 0.01;

/// What the value is compared with, as it stands after "compared with"; empty where that is not known.
#[must_use]
pub fn compared(lead: Lead) -> &'static str {
    match lead {
        Lead::Unknown => "",
        Lead::Fast => "the last few samples",
        Lead::Slow => "its usual level at this time",
        Lead::Smoothed => "its usual level, over many samples",
        Lead::Range => "the range that rules call legal",
        Lead::Stillness => "how long it usually stands still",
    }
}

/// When the series last looked like this, seen from `at_ms`; empty if it never did.
#[must_use]
pub fn last_seen(why: &Why, at_ms: i64) -> String {
    why.last_seen_ms.map_or_else(String::new, |seen_ms| {
        let ago_s = at_ms.saturating_sub(seen_ms) as f64 / 1_000.0;
        format!("{}, {} before", words::time(seen_ms), words::duration(ago_s.max(0.0)))
    })
}

/// What earlier alarms did to the edge of the series; empty where they did nothing.
#[must_use]
pub fn raised(why: &Why) -> String {
    if why.raised < LEAST_RAISE {
        return String::new();
    }
    format!("earlier alarms raised the edge of this series by {:.0} %", f64::from(why.raised) * 100.0)
}

/// All of it in a few sentences; empty where nothing is known.
#[must_use]
pub fn sentences(verdict: &Verdict) -> String {
    let why = &verdict.why;
    let mut all = Vec::new();
    match why.lead {
        Lead::Unknown => {}
        _ if verdict.pattern == Pattern::Missing => {}
        lead => all.push(format!("compared with {}", compared(lead))),
    }
    let rarity = words::rarity(f64::from(why.return_s));
    if !rarity.is_empty() {
        all.push(format!("as unusual a sample comes {rarity}"));
    }
    if let Some(since_ms) = why.since_ms {
        let since = words::time(since_ms);
        let lasted_s = verdict.ts_ms.saturating_sub(since_ms) as f64 / 1_000.0;
        all.push(match verdict.pattern {
            Pattern::Missing => format!("the last sample came at {since}"),
            _ if lasted_s >= 1.0 => format!("it began at {since}, {} before", words::duration(lasted_s)),
            _ => format!("it began at {since}"),
        });
        let seen = last_seen(why, verdict.ts_ms);
        all.push(if seen.is_empty() {
            "no earlier alarm of this kind is known".to_owned()
        } else {
            format!("it last looked like this at {seen}")
        });
    }
    let raised = raised(why);
    if !raised.is_empty() {
        all.push(raised);
    }
    if all.is_empty() { String::new() } else { capital(&all.join("; ")) + "." }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pattern: Pattern, why: Why) -> Verdict {
        Verdict {
            slot: 0,
            ts_ms: 1_767_225_900_000,
            value: 3.0,
            score: 2.0,
            edge: 1.1,
            onset: false,
            alarm: true,
            pattern,
            expected: 1.0,
            lower: 0.5,
            upper: 1.5,
            why,
        }
    }

    #[test]
    fn all_that_is_known_in_sentences() {
        let why = Why {
            return_s: 40.0 * 86_400.0,
            since_ms: Some(1_767_225_600_000),
            last_seen_ms: Some(1_766_707_200_000),
            lead: Lead::Fast,
            raised: 0.12,
        };
        assert_eq!(
            sentences(&verdict(Pattern::Spike, why)),
            "Compared with the last few samples; as unusual a sample comes once in 40 days; it began at \
             2026-01-01T00:00:00Z, 5 min before; it last looked like this at 2025-12-26T00:00:00Z, 6 days before; \
             earlier alarms raised the edge of this series by 12 %."
        );
        let why = Why { since_ms: Some(0), lead: Lead::Stillness, ..Why::UNKNOWN };
        let text = sentences(&verdict(Pattern::Missing, why));
        assert_eq!(text, "The last sample came at 1970-01-01T00:00:00Z; no earlier alarm of this kind is known.");
        assert_eq!(sentences(&verdict(Pattern::Host, Why::UNKNOWN)), "");
    }
}
