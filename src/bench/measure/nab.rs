//! The score of the Numenta Anomaly Benchmark (NAB).
//!
//! Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms", ICMLA 2015 (arXiv 1510.03336). Only
//! the first detection in a window counts, the more the earlier; a detection outside costs the more the
//! farther it is behind the last window; a window without one costs. The leading rows of a file are not
//! scored. NAB takes one threshold for all files, the best there is for each of three profiles; so does
//! [`Corpus::best`]. [`Corpus::at`] takes a given one, as for a detector's own decisions.

use std::collections::BTreeMap;

/// Costs of a profile: of a false positive, and of a missed window. A true positive is worth 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// Its name in NAB.
    pub name: &'static str,
    false_positive: f64,
    false_negative: f64,
}

/// NAB's three profiles.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", false_positive: 0.11, false_negative: 1.0 },
    Profile { name: "reward_low_FP_rate", false_positive: 0.22, false_negative: 1.0 },
    Profile { name: "reward_low_FN_rate", false_positive: 0.11, false_negative: 2.0 },
];

/// Leading rows of a file of `rows` that are not scored: 15 %, at most 750.
#[must_use]
pub fn probation(rows: usize) -> usize {
    (0.15 * rows as f64).floor().min(0.15 * 5000.0) as usize
}

fn scaled_sigmoid(x: f64) -> f64 {
    if x > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * x).exp()) - 1.0 }
}

/// The rows of all files, each with what a detection there is worth.
#[derive(Debug, Clone, Default)]
pub struct Corpus {
    rows: Vec<Row>,
    windows: usize,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    score: f64,
    value: f64,
    window: Option<usize>,
}

/// A score of the whole corpus.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NabScore {
    /// Normalised: 0 for a detector that never flags, 100 for a perfect one.
    pub score: f64,
    /// The threshold at which it was reached.
    pub threshold: f64,
}

impl Corpus {
    /// Adds a file: the score of each row (NaN for none), and its windows as first and last row, in order.
    pub fn add(&mut self, score: &[f64], windows: &[(usize, usize)]) {
        let rows = score.len();
        let mut value = vec![(-1.0, None); rows];
        for (k, (first, last)) in windows.iter().enumerate() {
            let width = (last - first + 1) as f64;
            for (row, place) in value.iter_mut().enumerate().take(last + 1).skip(*first) {
                let at = -((last - row + 1) as f64) / width;
                *place = (scaled_sigmoid(at) / scaled_sigmoid(-1.0), Some(self.windows + k));
            }
            let next = windows.get(k + 1).map_or(rows, |(first, _)| *first);
            for (row, place) in value.iter_mut().enumerate().take(next).skip(last + 1) {
                *place = (scaled_sigmoid((row - last) as f64 / (width - 1.0)), None);
            }
        }
        let scored = score.iter().zip(value).skip(probation(rows));
        self.rows.extend(scored.map(|(score, (value, window))| {
            // A row without a score is flagged last of all.
            Row { score: if score.is_nan() { f64::NEG_INFINITY } else { *score }, value, window }
        }));
        self.windows += windows.len();
    }

    /// The score at the one threshold that is best for `profile`.
    #[must_use]
    pub fn best(&self, profile: &Profile) -> NabScore {
        let sweep = self.sweep(profile);
        let first = sweep[0];
        let best = sweep.into_iter().fold(first, |best, at| if at.1 > best.1 { at } else { best });
        self.normalised(profile, best)
    }

    /// The score where all rows of at least `threshold` are flagged.
    #[must_use]
    pub fn at(&self, profile: &Profile, threshold: f64) -> NabScore {
        let sweep = self.sweep(profile);
        let last = sweep.iter().rev().find(|at| at.0 >= threshold);
        self.normalised(profile, last.copied().unwrap_or(sweep[0]))
    }

    /// Threshold and raw score: of no detection, then for each distinct score as threshold, highest first.
    fn sweep(&self, profile: &Profile) -> Vec<(f64, f64)> {
        let mut order: Vec<&Row> = self.rows.iter().collect();
        order.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.value.total_cmp(&a.value)));
        let mut raw = self.nothing(profile);
        let mut sweep = vec![(f64::INFINITY, raw)];
        let mut best: BTreeMap<usize, f64> = BTreeMap::new();
        let mut before = None;
        for row in order {
            raw += match row.window {
                None => row.value * profile.false_positive,
                Some(window) => {
                    let was = best.get(&window).copied().unwrap_or(-profile.false_negative);
                    let now = row.value.max(was);
                    best.insert(window, now);
                    now - was
                }
            };
            if before == Some(row.score) {
                sweep.pop();
            }
            sweep.push((row.score, raw));
            before = Some(row.score);
        }
        sweep
    }

    /// The raw score of a detector that never flags; windows of which no row is scored can not be missed.
    fn nothing(&self, profile: &Profile) -> f64 {
        let mut windows: Vec<usize> = self.rows.iter().filter_map(|row| row.window).collect();
        windows.dedup();
        -profile.false_negative * windows.len() as f64
    }

    fn normalised(&self, profile: &Profile, (threshold, raw): (f64, f64)) -> NabScore {
        let nothing = self.nothing(profile);
        NabScore { score: 100.0 * (raw - nothing) / (self.windows as f64 - nothing), threshold }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up corpus whose numbers were computed by another program, which agrees with NAB's published ones.
    fn corpus() -> Corpus {
        let first = (0..1200usize).map(|i| {
            let noise = (i * 7919 % 1009) as f64 / 1009.0;
            noise + if (210..=240).contains(&i) { 0.5 } else { 0.0 } + if (595..603).contains(&i) { 0.25 } else { 0.0 }
        });
        let second = (0..500usize).map(|i| (i * 31 % 101) as f64 / 101.0);
        let mut corpus = Corpus::default();
        corpus.add(&first.collect::<Vec<_>>(), &[(200, 219), (600, 640)]);
        corpus.add(&second.collect::<Vec<_>>(), &[(20, 40), (300, 349)]);
        corpus.add(&[0.0; 100], &[]);
        corpus
    }

    #[test]
    fn agrees_with_another_program() {
        let corpus = corpus();
        let best = [47.06664533632072, 34.066678546472446, 62.94665173542448];
        let at = [-132.64518841465983, -350.3507204562674, -62.85163189026197];
        for (i, profile) in PROFILES.iter().enumerate() {
            assert!((corpus.best(profile).score - best[i]).abs() < 1e-9, "{profile:?}: {:?}", corpus.best(profile));
            assert!((corpus.at(profile, 0.9).score - at[i]).abs() < 1e-9, "{profile:?}: {:?}", corpus.at(profile, 0.9));
            assert_eq!(corpus.at(profile, 5.0).score, 0.0, "nothing flagged");
        }
        assert!((corpus.best(&PROFILES[0]).threshold - 0.9900990099009901).abs() < 1e-15);
    }

    #[test]
    fn the_ends_of_the_scale() {
        let mut score = vec![0.0; 1_000];
        score[500] = 1.0;
        let mut corpus = Corpus::default();
        corpus.add(&score, &[(500, 549)]);
        assert!((corpus.at(&PROFILES[0], 0.5).score - 100.0).abs() < 0.1, "at the first row of the window");
        let mut late = Corpus::default();
        score.rotate_right(48);
        late.add(&score, &[(500, 549)]);
        let late = late.at(&PROFILES[0], 0.5).score;
        // Not missed is half of it; being late leaves a tenth of the other half.
        assert!((50.0..60.0).contains(&late), "{late}");
        let mut none = Corpus::default();
        none.add(&[f64::NAN; 1_000], &[(500, 549)]);
        assert_eq!(none.at(&PROFILES[0], 0.5).score, 0.0);
        assert_eq!((probation(1_000), probation(100_000)), (150, 750));
    }
}
