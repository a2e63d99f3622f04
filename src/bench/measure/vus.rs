//! VUS-PR: the volume under the precision-recall surface.
//!
//! Paparrizos et al., "Volume Under the Surface", VLDB 2022, as the TSB-AD benchmark (Liu and Paparrizos,
//! NeurIPS 2024) computes it: for each buffer length 0..=window the labels get slopes of half that length on
//! both sides, so that a near miss counts in part; the area under the precision-recall curve with these
//! labels is averaged over the lengths. Precision counts rows against thresholds at evenly spaced ranks, and
//! recall is weighted with the share of labelled stretches that are touched at all.

use super::runs;

/// Thresholds of one curve.
const THRESHOLDS: usize = 250;
/// Values that the window is told from, from the start of the series.
const LOOKED_AT: usize = 20_000;
/// The window where the series has no period.
const NO_PERIOD: usize = 125;
/// Shortest lag that may be a period.
const SHORTEST: usize = 3;
/// Lags looked at.
const LAGS: usize = 400;
/// A period found beyond this is not believed.
const LONGEST: usize = 300;

/// The buffer length for a series: the lag of the highest local maximum of its autocorrelation, as TSB-AD
/// takes it, [`NO_PERIOD`] where there is none. Values that are not numbers are left out.
#[must_use]
pub fn window(values: &[f64]) -> usize {
    let values: Vec<f64> = values.iter().take(LOOKED_AT).copied().filter(|value| !value.is_nan()).collect();
    let n = values.len();
    if n < 10 || values.iter().all(|value| *value == values[0]) {
        return NO_PERIOD;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let at_lag = |lag: usize| -> f64 { centred.iter().zip(&centred[lag..]).map(|(a, b)| a * b).sum() };
    let correlation: Vec<f64> = (SHORTEST..=LAGS.min(n - 1)).map(at_lag).collect();
    let peaks = correlation.windows(3).enumerate().filter(|(_, w)| w[1] > w[0] && w[1] > w[2]);
    let highest = peaks.map(|(i, w)| (w[1], i + 1)).max_by(|a, b| a.0.total_cmp(&b.0));
    match highest {
        Some((_, at)) if (SHORTEST..=LONGEST).contains(&at) => at + SHORTEST,
        _ => NO_PERIOD,
    }
}

/// VUS-PR of one series for buffers up to `window` rows. NaN without a label.
#[must_use]
pub fn vus_pr(label: &[bool], score: &[f64], window: usize) -> f64 {
    let events = runs(label);
    if events.is_empty() {
        return f64::NAN;
    }
    let surface = Surface::new(label, score, &events, window);
    (0..=window).map(|buffer| surface.area(buffer)).sum::<f64>() / (window + 1) as f64
}

/// What is the same for all buffers.
struct Surface<'a> {
    events: &'a [(usize, usize)],
    rows: usize,
    /// For each row the first threshold, from the highest on, at which it is flagged.
    first: Vec<usize>,
    /// Flagged rows at each threshold.
    flagged: Vec<f64>,
    /// Labelled rows among them.
    hits: Vec<f64>,
    /// Labelled rows in all.
    labelled: f64,
    /// Rows within the widest buffer of an event that are not labelled, each with its distances to the edges of
    /// events.
    ring: Vec<Near>,
}

struct Near {
    row: usize,
    distances: Vec<usize>,
}

impl<'a> Surface<'a> {
    fn new(label: &[bool], score: &[f64], events: &'a [(usize, usize)], window: usize) -> Self {
        let rows = label.len();
        let mut sorted = score.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let step = (rows - 1) as f64 / (THRESHOLDS - 1) as f64;
        let rank = |i: usize| if i == THRESHOLDS - 1 { rows - 1 } else { (i as f64 * step) as usize };
        let thresholds: Vec<f64> = (0..THRESHOLDS).map(|i| sorted[rank(i)]).collect();
        let first: Vec<usize> = score.iter().map(|s| thresholds.partition_point(|threshold| threshold > s)).collect();
        let cumulated =
            |which: &dyn Fn(usize) -> bool| cumulate((0..rows).filter(|row| which(*row)).map(|row| (first[row], 1.0)));
        let flagged = cumulated(&|_| true);
        let hits = cumulated(&|row| label[row]);
        let labelled = label.iter().filter(|label| **label).count() as f64;
        let mut distances: Vec<Vec<usize>> = vec![Vec::new(); rows];
        for (from, to) in events {
            for distance in 1..=window / 2 {
                for row in [to.checked_add(distance), from.checked_sub(distance)].into_iter().flatten() {
                    if row < rows && !label[row] {
                        distances[row].push(distance);
                    }
                }
            }
        }
        let near = distances.into_iter().enumerate().filter(|(_, distances)| !distances.is_empty());
        let ring = near.map(|(row, distances)| Near { row, distances }).collect();
        Self { events, rows, first, flagged, hits, labelled, ring }
    }

    /// Events with half of `buffer` on both sides, those that meet joined.
    fn stretches(&self, buffer: usize) -> Vec<(usize, usize)> {
        let half = buffer / 2;
        let mut out: Vec<(usize, usize)> = Vec::with_capacity(self.events.len());
        let mut open = self.events[0].0.saturating_sub(half);
        for pair in self.events.windows(2) {
            let (end, next) = (pair[0].1, pair[1].0);
            if end + 2 * half < next {
                out.push((open, end + half));
                open = next - half;
            }
        }
        let end = self.events[self.events.len() - 1].1 + half;
        out.push((open, end.min(self.rows - 1)));
        out
    }

    /// Area under the curve for one buffer length.
    fn area(&self, buffer: usize) -> f64 {
        let slope = |distance: usize| (1.0 - distance as f64 / buffer.max(1) as f64).sqrt();
        let weight = |near: &Near| {
            let within = near.distances.iter().filter(|distance| **distance <= buffer / 2);
            within.map(|distance| slope(*distance)).sum::<f64>().min(1.0)
        };
        let ring = cumulate(self.ring.iter().map(|near| (self.first[near.row], weight(near))));
        let stretches = self.stretches(buffer);
        let touched = cumulate(
            stretches
                .iter()
                .map(|(from, to)| (self.first[*from..=*to].iter().copied().min().unwrap_or(THRESHOLDS), 1.0)),
        );
        let (mut area, mut before) = (0.0, 0.0);
        for at in 0..THRESHOLDS {
            let found = self.hits[at] + ring[at];
            let to_find = (self.labelled + (self.labelled + ring[at])) / 2.0;
            let recall = (found / to_find).min(1.0) * (touched[at] / stretches.len() as f64);
            area += (recall - before) * (found / self.flagged[at]);
            before = recall;
        }
        area
    }
}

/// The sum of weights up to each threshold.
fn cumulate(items: impl Iterator<Item = (usize, f64)>) -> Vec<f64> {
    let mut sums = vec![0.0; THRESHOLDS + 1];
    for (at, weight) in items {
        sums[at.min(THRESHOLDS)] += weight;
    }
    sums.truncate(THRESHOLDS);
    let mut sum = 0.0;
    for place in &mut sums {
        sum += *place;
        *place = sum;
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure::ranking::{average_precision, best_event_f1, best_f1};

    /// A made-up series whose numbers were computed by another program, which agrees with TSB-AD's.
    fn case() -> (Vec<bool>, Vec<f64>) {
        let events = [(200, 219), (223, 230), (600, 600), (1190, 1199)];
        let label = (0..1200).map(|i| events.iter().any(|(a, b)| (*a..=*b).contains(&i))).collect();
        let score = (0..1200usize).map(|i| {
            let noise = (i * 7919 % 1009) as f64 / 1009.0;
            noise + if (210..=240).contains(&i) { 0.5 } else { 0.0 } + if (595..603).contains(&i) { 0.25 } else { 0.0 }
        });
        (label, score.collect())
    }

    fn near(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-12, "{got} is not {want}");
    }

    #[test]
    fn agrees_with_another_program() {
        let (label, score) = case();
        near(vus_pr(&label, &score, 0), 0.10175324949363727);
        near(vus_pr(&label, &score, 1), 0.10175324949363727);
        near(vus_pr(&label, &score, 10), 0.20581127627700466);
        near(vus_pr(&label, &score, 60), 0.38499492739684177);
        near(average_precision(&label, &score), 0.1494441182223878);
        near(best_f1(&label, &score), 0.2909090909090909);
        let ts_ms: Vec<i64> = (0..1200).map(|i| i * 60_000).collect();
        near(best_event_f1(&label, &score, &ts_ms), 0.75);
    }

    #[test]
    fn the_ends_are_met() {
        let label: Vec<bool> = (0..400).map(|i| (100..110).contains(&i)).collect();
        let perfect: Vec<f64> = label.iter().map(|label| f64::from(u8::from(*label))).collect();
        assert!(vus_pr(&label, &perfect, 0) > 0.99);
        let wrong: Vec<f64> = perfect.iter().map(|score| -score).collect();
        assert!(vus_pr(&label, &wrong, 0) < 0.05);
        assert!(vus_pr(&[false; 5], &[0.0; 5], 3).is_nan());
        assert!(vus_pr(&[true], &[0.0], 10).is_finite());
        assert!(vus_pr(&[true; 4], &[0.0; 4], 10).is_finite());
    }

    #[test]
    fn the_window_is_the_period() {
        let wave = |i: usize| (if i % 48 < 24 { i % 48 } else { 48 - i % 48 }) as f64 + (i * 31 % 7) as f64 / 7.0;
        let mut values: Vec<f64> = (0..1200).map(wave).collect();
        assert_eq!(window(&values), 48);
        values[5] = f64::NAN;
        assert_eq!(window(&values), 48);
        assert_eq!(window(&values[..9]), NO_PERIOD);
        assert_eq!(window(&[1.0; 50]), NO_PERIOD);
        assert_eq!(window(&(0..1200).map(f64::from).collect::<Vec<_>>()), NO_PERIOD);
    }
}
