//! What a score is worth, whatever its threshold. Higher scores are stranger.

use super::{Prf, event_counts, quantile};

/// For each distinct score, highest first: the score, how many rows have at least it, and how many of them are
/// labelled.
fn steps(label: &[bool], score: &[f64]) -> Vec<(f64, u64, u64)> {
    let mut order: Vec<usize> = (0..score.len()).collect();
    order.sort_by(|a, b| score[*b].total_cmp(&score[*a]));
    let mut steps: Vec<(f64, u64, u64)> = Vec::new();
    let (mut rows, mut hits) = (0, 0);
    for row in order {
        rows += 1;
        hits += u64::from(label[row]);
        match steps.last_mut() {
            Some(last) if last.0 == score[row] => (last.1, last.2) = (rows, hits),
            _ => steps.push((score[row], rows, hits)),
        }
    }
    steps
}

/// Average precision: the area under the precision-recall curve as a sum of steps. NaN without a label.
#[must_use]
pub fn average_precision(label: &[bool], score: &[f64]) -> f64 {
    let all = label.iter().filter(|label| **label).count() as f64;
    if all == 0.0 {
        return f64::NAN;
    }
    let (mut area, mut before) = (0.0, 0.0);
    for (_, rows, hits) in steps(label, score) {
        let recall = hits as f64 / all;
        area += (recall - before) * (hits as f64 / rows as f64);
        before = recall;
    }
    area
}

/// The best F1 of rows at any one threshold, which only hindsight knows. NaN without a label.
#[must_use]
pub fn best_f1(label: &[bool], score: &[f64]) -> f64 {
    let all = label.iter().filter(|label| **label).count() as u64;
    if all == 0 {
        return f64::NAN;
    }
    steps(label, score).iter().map(|(_, rows, hits)| (2 * hits) as f64 / (rows + all) as f64).fold(0.0, f64::max)
}

/// Thresholds that [`best_event_f1`] tries: quantiles of the score, so many of them,
const TRIED: u32 = 60;
/// the highest share of rows above the first, powers of ten,
const RAREST: f64 = -5.0;
/// and the share above the last.
const COMMONEST: f64 = 0.3;

/// The best F1 of events over [`TRIED`] thresholds at high quantiles, which only hindsight knows. NaN without
/// a label.
#[must_use]
pub fn best_event_f1(label: &[bool], score: &[f64], ts_ms: &[i64]) -> f64 {
    if !label.contains(&true) {
        return f64::NAN;
    }
    let mut sorted = score.to_vec();
    sorted.sort_by(f64::total_cmp);
    let step = (COMMONEST.log10() - RAREST) / f64::from(TRIED - 1);
    let mut thresholds: Vec<f64> =
        (0..TRIED).map(|i| quantile(&sorted, 1.0 - 10f64.powf(RAREST + step * f64::from(i)))).collect();
    thresholds.dedup();
    let f1 = |threshold: &f64| -> f64 {
        let flag: Vec<bool> = score.iter().map(|score| score >= threshold).collect();
        let counts = event_counts(label, &flag, ts_ms);
        let Prf { f1, .. } = counts.prf();
        f1
    };
    thresholds.iter().map(f1).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_precision_by_hand() {
        // Descending: 0.9 yes, 0.8 no, 0.7 yes, 0.1 no.
        let (label, score) = ([false, true, true, false], [0.1, 0.9, 0.7, 0.8]);
        assert!((average_precision(&label, &score) - (0.5 * 1.0 + 0.5 * 2.0 / 3.0)).abs() < 1e-15);
        assert!((best_f1(&label, &score) - 0.8).abs() < 1e-15);
        // Equal scores are one step: all or nothing.
        assert!((average_precision(&label, &[1.0; 4]) - 0.5).abs() < 1e-15);
        assert!((best_f1(&label, &[1.0; 4]) - 2.0 / 3.0).abs() < 1e-15);
        assert!(average_precision(&[false], &[1.0]).is_nan() && best_f1(&[false], &[1.0]).is_nan());
    }

    #[test]
    fn hindsight_finds_the_threshold() {
        let label: Vec<bool> = (0..2_000).map(|row| (900..910).contains(&row) || row == 1_500).collect();
        let score: Vec<f64> = (0..2_000).map(|row| if label[row] { 5.0 } else { (row % 7) as f64 / 7.0 }).collect();
        let ts_ms: Vec<i64> = (0..2_000).map(|row| row * 1000).collect();
        assert_eq!(best_event_f1(&label, &score, &ts_ms), 1.0);
        let flat = vec![0.0; 2_000];
        assert!(best_event_f1(&label, &flat, &ts_ms) < 0.1);
    }
}
