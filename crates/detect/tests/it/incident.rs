//! Flagged stretches do not poison learning: after a long incident a series is judged as if it had not been.

use watchbell_detect::JudgeConfig;
use watchbell_series::{SeriesSpec, Verdict};

use crate::support::{Feed, noise};

const DAY: u64 = 1_440;

/// Values by minute.
type Shape = fn(u64) -> f64;

/// A daily rhythm of 20 around 100, with a spread of 1.
fn usual(i: u64) -> f64 {
    let phase = (i % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
    100.0 + 20.0 * phase.sin() + noise(i)
}

/// Twelve days, a day of `incident`, and `rest` days as before.
fn run(incident: impl Fn(u64) -> f64, rest: u64) -> (Feed, Vec<Verdict>) {
    let mut feed = Feed::with(JudgeConfig { report_edge: 1.0, ..JudgeConfig::default() }, SeriesSpec::default());
    feed.put_all(0..12 * DAY, usual);
    let during = feed.put_all(12 * DAY..13 * DAY, incident);
    feed.put_all(13 * DAY..(13 + rest) * DAY, usual);
    (feed, during)
}

/// What is judged on the day after: onsets, how far the expected value is from that of a clean past (mean, in
/// spreads of the series), how wide the band is against it, and whether a spike of 40 is found.
fn after(incident: Shape, rest: u64) -> (usize, f64, f64, bool) {
    let (feed, during) = run(incident, rest);
    assert!(during.iter().any(|verdict| verdict.onset), "it is flagged");
    let (clean, _) = run(usual, rest);
    let end = (13 + rest) * DAY;
    let day = |feed: &Feed| feed.clone_by_state().put_all(end..end + DAY, usual);
    let (wanted, got) = (day(&clean), day(&feed));
    let width = |all: &[Verdict]| all.iter().map(|v| v.upper - v.lower).sum::<f64>() / all.len() as f64;
    let off = wanted.iter().zip(&got).map(|(a, b)| (a.expected - b.expected).abs()).sum::<f64>() / got.len() as f64;
    let onsets = got.iter().filter(|verdict| verdict.onset).count();
    let found = feed.clone_by_state().put(usual(end) + 40.0)[0].onset;
    (onsets, off, width(&got) / width(&wanted), found)
}

#[test]
fn a_day_of_incident_is_not_taken_for_usual() {
    let shapes: [(&str, Shape); 3] =
        [("higher", |i| usual(i) + 60.0), ("lower", |i| usual(i) * 0.1), ("stuck", |_| 100.0)];
    for (name, shape) in shapes {
        let (onsets, off, width, found) = after(shape, 2);
        assert!(onsets == 0 && off < 0.5 && width < 1.8 && found, "{name}: {onsets} {off:.2} {width:.2} {found}");
    }
}

/// What is far off now and then, or all day, also teaches how far the series goes. That is on purpose (sparse and
/// bursty series would ring for ever without) and is forgotten slowly: striking the window out is the remedy.
#[test]
fn a_day_of_noise_widens_the_band_and_leaves_the_expectation() {
    let shapes: [(&str, Shape); 2] =
        [("spikes", |i| usual(i) + if i % 20 < 3 { 80.0 } else { 0.0 }), ("noise", |i| 100.0 + 30.0 * noise(i))];
    for (name, shape) in shapes {
        let (onsets, off, width, _) = after(shape, 7);
        assert!(onsets == 0 && off < 0.5 && width < 4.0, "{name}: {onsets} {off:.2} {width:.2}");
    }
}
