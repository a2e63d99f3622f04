//! Plays history into the stages: samples in order of time, second by second, and the clock between them.

use std::collections::HashMap;

use watchbell_series::labels::iter_canonical;
use watchbell_series::{Mode, RawBatch, RawSample, RawSeries};

use super::feed::{Feed, Stretch};
use super::stages::Stages;
use crate::alerting::{Change, Episode, Transition};
use crate::report::Trace;

/// Samples of so long belong together, and the clock moves by it, as in the service.
const STEP_MS: i64 = 1_000;
/// The clock's step while nothing is under way and no sample comes.
const QUIET_STEP_MS: i64 = 15_000;
/// Series whose course is kept for plots.
const MOST_TRACES: usize = 5_000;

/// What came out.
#[derive(Debug, Default)]
pub struct Played {
    /// Time of the first sample, and of the last; `None` without samples.
    pub span_ms: Option<(i64, i64)>,
    /// Samples played.
    pub samples: u64,
    /// All alerts, in order of their begin; those that fire at the end have none.
    pub alerts: Vec<Episode>,
    /// The course of series by their id, of the first some thousand.
    pub traces: HashMap<u64, Trace>,
}

/// Plays a feed.
#[derive(Debug)]
pub struct Player {
    stages: Stages,
    played: Played,
    transitions: Vec<Transition>,
    now_ms: i64,
    with_traces: bool,
    /// Last sample of each counter whose course is kept.
    before: HashMap<u64, RawSample>,
}

impl Player {
    /// A player into `stages`; `with_traces` keeps the course of series.
    #[must_use]
    pub fn new(stages: Stages, with_traces: bool) -> Self {
        Self {
            stages,
            played: Played::default(),
            transitions: Vec::new(),
            now_ms: i64::MIN,
            with_traces,
            before: HashMap::new(),
        }
    }

    /// Plays all of `feed`.
    ///
    /// # Errors
    /// The feed can not be read on.
    pub fn play(mut self, feed: &mut dyn Feed) -> anyhow::Result<(Played, Stages)> {
        while let Some(stretch) = feed.next()? {
            self.stretch(&stretch);
        }
        self.played.alerts.extend(self.stages.open().cloned());
        self.played.alerts.sort_by(|a, b| a.starts_ms.cmp(&b.starts_ms).then_with(|| a.labels.cmp(&b.labels)));
        Ok((self.played, self.stages))
    }

    fn stretch(&mut self, stretch: &Stretch) {
        for batch in stretch.batches.iter().filter(|batch| !batch.metadata.is_empty()) {
            let metadata = RawBatch { metadata: batch.metadata.clone(), ..RawBatch::default() };
            self.stages.take(&metadata, &mut self.transitions);
        }
        let all = in_order(stretch);
        let mut rest = all.as_slice();
        while let Some(first) = rest.first() {
            let second = first.ts_ms.div_euclid(STEP_MS);
            let len = rest.partition_point(|place| place.ts_ms.div_euclid(STEP_MS) == second);
            let (now, later) = rest.split_at(len);
            self.step(stretch, now, second.saturating_mul(STEP_MS).saturating_add(STEP_MS - 1));
            rest = later;
        }
        self.gather();
    }

    /// The samples of one second, received at its end; then the clock.
    fn step(&mut self, stretch: &Stretch, places: &[Place], end_ms: i64) {
        self.wait_until(end_ms);
        let batch = batch_of(stretch, places, end_ms);
        let (first, last) = (places[0].ts_ms, places[places.len() - 1].ts_ms);
        let from = self.played.span_ms.map_or(first, |(from, _)| from);
        self.played.span_ms = Some((from, last));
        self.played.samples += places.len() as u64;
        if self.with_traces {
            self.trace(&batch);
        }
        self.stages.take(&batch, &mut self.transitions);
        self.stages.tick(end_ms, &mut self.transitions);
        self.now_ms = end_ms;
    }

    /// Lets the clock go on until the next samples come at `end_ms`.
    fn wait_until(&mut self, end_ms: i64) {
        if self.now_ms == i64::MIN {
            return;
        }
        while self.now_ms < end_ms - STEP_MS {
            let quiet = self.stages.is_quiet();
            let step = if quiet { QUIET_STEP_MS } else { STEP_MS };
            self.now_ms = (self.now_ms + step).min(end_ms - STEP_MS);
            self.stages.tick(self.now_ms, &mut self.transitions);
        }
    }

    fn trace(&mut self, batch: &RawBatch) {
        for series in &batch.series {
            if self.played.traces.len() >= MOST_TRACES && !self.played.traces.contains_key(&series.key) {
                continue;
            }
            let counter = is_counter(batch, series);
            let trace = self.played.traces.entry(series.key).or_default();
            for sample in batch.samples_of(series) {
                if !counter {
                    trace.push(sample.ts_ms, sample.value);
                } else if let Some(before) = self.before.insert(series.key, *sample) {
                    let (rise, ms) = (sample.value - before.value, sample.ts_ms - before.ts_ms);
                    // A fall is a reset, and says nothing of the rate.
                    trace.push(sample.ts_ms, if rise >= 0.0 { rise * 1000.0 / ms as f64 } else { f64::NAN });
                }
            }
        }
    }

    /// Keeps alerts that ended; those that fire are asked for in the end.
    fn gather(&mut self) {
        let ended = self.transitions.drain(..).filter(|transition| transition.change == Change::Resolved);
        self.played.alerts.extend(ended.map(|transition| transition.episode));
    }
}

/// Whether the plot of a series shows its rate: judged is what its kind and the rules say.
fn is_counter(batch: &RawBatch, series: &RawSeries) -> bool {
    let name = iter_canonical(batch.label_bytes(series)).find(|(name, _)| *name == "__name__");
    name.is_some_and(|(_, name)| ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end)))
}

/// One sample of a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    ts_ms: i64,
    batch: u32,
    series: u32,
    /// Index in the batch.
    at: u32,
    histogram: bool,
}

/// All samples in order of time; at one time in the order in which they were read, so that parts of a histogram stay
/// together.
fn in_order(stretch: &Stretch) -> Vec<Place> {
    let mut all = Vec::with_capacity(stretch.samples());
    for (b, batch) in stretch.batches.iter().enumerate() {
        for (s, series) in batch.series.iter().enumerate() {
            let place = |ts_ms, at, histogram| Place { ts_ms, batch: b as u32, series: s as u32, at, histogram };
            let samples = series.samples_at..series.samples_at + series.samples_len;
            all.extend(samples.map(|at| place(batch.samples[at as usize].ts_ms, at, false)));
            let histograms = series.histograms_at..series.histograms_at + series.histograms_len;
            all.extend(histograms.map(|at| place(batch.histograms[at as usize].ts_ms, at, true)));
        }
    }
    all.sort_unstable();
    all
}

/// The samples at `places` as a source would have sent them, each series once.
fn batch_of(stretch: &Stretch, places: &[Place], received_ms: i64) -> RawBatch {
    let mut by_series = places.to_vec();
    by_series.sort_unstable_by_key(|place| (place.batch, place.series, place.histogram, place.ts_ms));
    let mut out = RawBatch { mode: Mode::Live, received_ms, ..RawBatch::default() };
    for group in by_series.chunk_by(|a, b| (a.batch, a.series) == (b.batch, b.series)) {
        let batch = &stretch.batches[group[0].batch as usize];
        let series = &batch.series[group[0].series as usize];
        let (labels_at, samples_at, histograms_at) = (out.labels.len(), out.samples.len(), out.histograms.len());
        out.labels.extend_from_slice(batch.label_bytes(series));
        for place in group {
            let at = place.at as usize;
            if place.histogram {
                out.histograms.push(batch.histograms[at].clone());
            } else {
                out.samples.push(batch.samples[at]);
            }
        }
        out.series.push(RawSeries {
            labels_at: labels_at as u32,
            samples_at: samples_at as u32,
            samples_len: (out.samples.len() - samples_at) as u32,
            histograms_at: histograms_at as u32,
            histograms_len: (out.histograms.len() - histograms_at) as u32,
            ..*series
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use watchbell_series::{Labels, MetricKind};

    use super::*;
    use crate::config::{Config, Overrides};

    struct Once(Vec<Stretch>);

    impl Feed for Once {
        fn next(&mut self) -> anyhow::Result<Option<Stretch>> {
            Ok(if self.0.is_empty() { None } else { Some(self.0.remove(0)) })
        }
    }

    const T: i64 = 1_700_000_000_000;

    fn labels(name: &str) -> Labels {
        Labels::series([("__name__", name), ("host", "web-1")]).expect("valid")
    }

    /// Samples each 15 s of two gauges; `load` is far up from sample 600 to 640, and `other` stops at 1000.
    fn history(count: i64) -> Vec<Stretch> {
        let mut batch = RawBatch::default();
        let series = |up: bool, count: i64| -> Vec<RawSample> {
            let sample = |i: i64| {
                let base = 50.0 + ((i * 7919) % 13) as f64;
                RawSample { ts_ms: T + 15_000 * i, value: if up && (600..640).contains(&i) { 500.0 } else { base } }
            };
            (0..count).map(sample).collect()
        };
        batch.push(&labels("load"), MetricKind::Gauge, &series(true, count));
        batch.push(&labels("other"), MetricKind::Gauge, &series(false, count.min(1_000)));
        vec![Stretch { batches: vec![batch] }]
    }

    fn play(feed: Vec<Stretch>) -> Played {
        let settings = Config::built_in(&Overrides::default()).expect("settings").settings;
        let stages = Stages::new(&settings).expect("rules");
        Player::new(stages, true).play(&mut Once(feed)).expect("played").0
    }

    fn shown(played: &Played) -> Vec<(String, i64, Option<i64>)> {
        let row = |e: &Episode| {
            let name = format!("{} {}", e.rule, e.labels.get("metric").unwrap_or_default());
            (name, (e.starts_ms - T) / 1000, e.ends_ms.map(|end| (end - T) / 1000))
        };
        played.alerts.iter().map(row).collect()
    }

    #[test]
    fn alerts_are_those_of_the_rules_in_the_time_of_the_samples() {
        let played = play(history(1_200));
        let alerts = shown(&played);
        let load = alerts.iter().find(|alert| alert.0 == "MetricAnomalous load").expect("the rise is seen");
        // Two of three samples must be hits, so the second one fires it.
        assert_eq!(load.1, 601 * 15, "{alerts:?}");
        assert!(load.2.is_some_and(|end| end > 640 * 15 && end < 700 * 15), "{alerts:?}");
        let missing = alerts.iter().find(|alert| alert.0 == "SeriesMissing other").expect("its end is seen");
        assert!((1_000 * 15 + 120..1_000 * 15 + 1_200).contains(&missing.1), "{alerts:?}");
        assert_eq!((played.samples, played.span_ms), (2_200, Some((T, T + 15_000 * 1_199))));
        let trace = &played.traces[&labels("load").id().0];
        assert_eq!(trace.range().map(|(_, max)| max), Some(500.0));
    }

    #[test]
    fn how_history_is_cut_changes_nothing() {
        let whole = history(800);
        let batch = &whole[0].batches[0];
        let mut cut = Vec::new();
        for (from, to) in [(0, 610), (610, 611), (611, 800)] {
            let mut part = RawBatch::default();
            for (series, name) in batch.series.iter().zip(["load", "other"]) {
                let samples = batch.samples_of(series);
                part.push(&labels(name), MetricKind::Gauge, &samples[from.min(samples.len())..to.min(samples.len())]);
            }
            cut.push(Stretch { batches: vec![part] });
        }
        assert_eq!(shown(&play(cut)), shown(&play(history(800))));
    }

    #[test]
    fn hosts_are_compared_with_their_peers_as_in_the_service() {
        let mut batch = RawBatch::default();
        for host in 0..6i64 {
            let labels = labels("load").with("host", &format!("web-{host}"));
            let up = |i: i64| if host == 5 && i > 900 { 400.0 } else { 0.0 };
            let value = |i: i64| 50.0 + ((i * 7919 + host * 31) % 13) as f64 + up(i);
            let samples: Vec<RawSample> =
                (0..1_000).map(|i| RawSample { ts_ms: T + 15_000 * i, value: value(i) }).collect();
            batch.push(&labels, MetricKind::Gauge, &samples);
        }
        let settings = Config::built_in(&Overrides::default()).expect("settings").settings;
        let player = Player::new(Stages::new(&settings).expect("rules"), false);
        let (_, stages) = player.play(&mut Once(vec![Stretch { batches: vec![batch] }])).expect("played");
        let peers: Vec<f32> = stages.hosts().iter().map(|host| host.parts.peers).collect();
        assert!(peers.len() == 6 && peers[..5].iter().all(|score| *score < 1.0), "{peers:?}");
        assert!(peers[5] >= 1.0, "{peers:?}");
    }

    #[test]
    fn nothing_is_nothing() {
        let played = play(Vec::new());
        assert_eq!((played.span_ms, played.samples, played.alerts.len()), (None, 0, 0));
    }
}
