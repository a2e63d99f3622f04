//! Quiet spans: samples inside are judged and teach nothing.

use std::sync::Arc;

use watchbell_detect::QuietSpan;
use watchbell_series::{Pattern, SeriesSpec, Verdict};

use crate::support::{Feed, MINUTE_MS, noise};

/// Rows before a span, and rows in it.
const BEFORE: u64 = 2_000;
const INSIDE: u64 = 300;
const AFTER: u64 = BEFORE + INSIDE;

fn usual(i: u64) -> f64 {
    100.0 + noise(i)
}

/// A series that learned, with a span over the next rows.
fn resting() -> Feed {
    let mut feed = Feed::new(SeriesSpec::default());
    feed.judge.track(0, true);
    feed.put_all(0..BEFORE, usual);
    let spans: Arc<[QuietSpan]> = [(BEFORE as i64 * MINUTE_MS, AFTER as i64 * MINUTE_MS - 1)].into();
    feed.judge.set_quiet(0, &spans);
    feed
}

fn scores(verdicts: &[Verdict]) -> Vec<u32> {
    verdicts.iter().map(|verdict| verdict.score.to_bits()).collect()
}

#[test]
fn what_happens_in_a_span_changes_no_later_score() {
    let (mut calm, mut mad) = (resting(), resting());
    calm.put_all(BEFORE..AFTER, usual);
    let inside = mad.put_all(BEFORE..AFTER, |i| usual(i) + if i % 3 == 0 { -40.0 } else { 70.0 });
    assert!(inside.iter().all(|verdict| verdict.score > 1.0), "it is judged as ever");
    let reading = mad.reading();
    assert!(reading.quiet && reading.score > 1.0 && reading.alarm, "and shown: {reading:?}");
    assert!(!calm.reading().alarm);
    let odd = |i: u64| usual(i) + if i > AFTER + 50 { 30.0 } else { 0.0 };
    let (calm, after) = (calm.put_all(AFTER..AFTER + 60, odd), mad.put_all(AFTER..AFTER + 60, odd));
    assert_eq!(scores(&after), scores(&calm));
    assert!(after[0].score < 1.0 && !after[0].alarm, "{:?}", after[0]);
    assert_eq!(after.iter().position(|verdict| verdict.onset), Some(51), "what comes after the span rings");
    assert!(!mad.reading().quiet);
}

#[test]
fn without_a_span_it_would_have_been_learned() {
    let shifted = |i: u64| usual(i) + 70.0;
    let mut learning = Feed::new(SeriesSpec::default());
    learning.judge.track(0, true);
    learning.put_all(0..BEFORE, usual);
    learning.put_all(BEFORE..AFTER, shifted);
    let mut resting = resting();
    resting.put_all(BEFORE..AFTER, shifted);
    let expected = resting.reading().expected;
    assert!((expected - 100.0).abs() < 5.0, "{expected}");
    // Back to what was usual before: news for the one that learned the shift.
    let (back, calm) = (learning.put(usual(AFTER)), resting.put(usual(AFTER)));
    assert!(calm[0].score < 1.0 && back[0].score > 2.0 * calm[0].score, "{back:?} {calm:?}");
}

#[test]
fn what_still_stands_after_a_span_rings() {
    let mut feed = resting();
    feed.put_all(BEFORE..AFTER, |i| usual(i) + 70.0);
    let after = feed.put(usual(AFTER) + 70.0);
    assert!(after[0].onset && after[0].score > 1.0 && after[0].pattern != Pattern::None, "{after:?}");
}

#[test]
fn what_still_stands_after_a_span_does_not_tell_of_itself_as_of_the_past() {
    let mut feed = Feed::new(SeriesSpec::default());
    feed.judge.track(0, true);
    feed.put_all(0..1_000, usual);
    feed.put(usual(1_000) + 70.0);
    feed.put_all(1_001..BEFORE, usual);
    let spans: Arc<[QuietSpan]> = [(BEFORE as i64 * MINUTE_MS, AFTER as i64 * MINUTE_MS - 1)].into();
    feed.judge.set_quiet(0, &spans);
    let inside = feed.put_all(BEFORE..AFTER, |i| usual(i) + 70.0);
    let at = |i: u64| Some(i as i64 * MINUTE_MS);
    let told = |verdict: &Verdict| (verdict.pattern, verdict.why.since_ms, verdict.why.last_seen_ms);
    assert_eq!(told(&inside[0]), (Pattern::Spike, at(BEFORE), at(1_000)));
    // The fast level is that of after a gap, so it is told as a spike again.
    let after = feed.put(usual(AFTER) + 70.0);
    assert_eq!(told(&after[0]), (Pattern::Spike, at(AFTER), at(1_000)));
}

#[test]
fn a_break_in_a_span_changes_nothing() {
    let mut whole = resting();
    whole.put_all(BEFORE..BEFORE + 100, |i| usual(i) + 70.0);
    let mut broken = whole.clone_by_state();
    let spans: Arc<[QuietSpan]> = [(BEFORE as i64 * MINUTE_MS, AFTER as i64 * MINUTE_MS - 1)].into();
    broken.judge.set_quiet(0, &spans);
    let rest = BEFORE + 100..AFTER + 100;
    let odd = |i: u64| usual(i) + if i < AFTER { 70.0 } else { 0.0 };
    assert_eq!(scores(&whole.put_all(rest.clone(), odd)), scores(&broken.put_all(rest, odd)));
}

#[test]
fn history_in_a_span_is_not_learned_and_a_new_series_waits_for_its_end() {
    let mut feed = Feed::new(SeriesSpec::default());
    let spans: Arc<[QuietSpan]> = [(0, 500 * MINUTE_MS - 1)].into();
    feed.judge.set_quiet(0, &spans);
    feed.learn(0..500, |i| 900.0 + noise(i));
    assert_eq!(feed.judge.rows(0), 0);
    feed.learn(500..1_000, usual);
    assert_eq!(feed.judge.rows(0), 500);
    assert!((feed.reading().expected - 100.0).abs() < 5.0, "{:?}", feed.reading());
}
