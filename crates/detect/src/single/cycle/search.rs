//! The search: means of steps that become longer and longer.

use super::find::{self, MOST};
use super::{Known, TOP_S, away, clock, rounded, turns};
use crate::civil::Bins;

/// Length of the shortest step, seconds.
pub(super) const STEP_S: u32 = 900;
/// Steps that are looked at first, and after how many more again.
const FIRST_STEPS: u8 = 12;
const AGAIN_STEPS: u8 = 4;
/// Shortest period in the shortest steps, and in longer ones.
const LEAST: (usize, usize) = (4, 8);
/// Steps up to this length are short, seconds.
const FIXED_S: u32 = 1800;
/// Steps without a sample that are filled with the one before.
const GAP_STEPS: usize = 4;

/// The means of steps of the same length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Search {
    /// The slow level when the search began. Means of short steps are relative to it: that of a young series moves with
    /// the season.
    pub(crate) level: f64,
    /// Second at which the first step began.
    pub(crate) began: u32,
    /// Length of a step, seconds.
    pub(crate) step_s: u32,
    /// Value of one in `means`.
    pub(crate) unit: f32,
    /// Sum of the quarter-hours of the present step.
    pub(crate) sum: f32,
    /// How many they are.
    pub(crate) quarters: u16,
    /// Steps that are over.
    pub(crate) steps: u8,
    /// Searches before this one.
    pub(crate) searches: u8,
    /// Their means.
    pub(crate) means: [i8; MOST],
}

/// The length of the shortest step of a series, seconds.
pub(super) fn shortest(cadence_s: f32) -> u32 {
    (cadence_s / STEP_S as f32).ceil().max(1.0) as u32 * STEP_S
}

/// The length of the shortest step with which periods longer than `period_s` are looked for.
pub(super) fn longer(period_s: f32, cadence_s: f32) -> u32 {
    let shortest = shortest(cadence_s);
    std::iter::successors(Some(shortest), |step_s| step_s.checked_mul(2))
        .find(|step_s| *step_s as f32 > period_s / LEAST.1 as f32)
        .filter(|step_s| *step_s <= TOP_S)
        .unwrap_or(shortest)
}

impl Search {
    pub(super) const fn new(level: f64, secs: u32, step_s: u32, searches: u8) -> Self {
        let began = secs - secs % step_s;
        Self { level, began, step_s, unit: 0.0, sum: 0.0, quarters: 0, steps: 0, searches, means: [0; MOST] }
    }

    pub(super) fn is_full(&self) -> bool {
        usize::from(self.steps) == MOST
    }

    /// Takes a quarter-hour in and gives the period in steps where there is one.
    pub(super) fn note(&mut self, mean: f32, level: f64, secs: u32, shortest: u32) -> Option<f32> {
        let index = (secs.saturating_sub(self.began) / self.step_s) as usize;
        let ended = index.saturating_sub(usize::from(self.steps));
        let mut found = None;
        if ended > GAP_STEPS {
            *self = Self::new(self.level, secs, self.step_s, self.searches);
        } else if ended > 0 {
            let mean = self.sum / f32::from(self.quarters.max(1));
            for _ in 0..ended.min(MOST - usize::from(self.steps)) {
                self.push(mean);
                found = found.or_else(|| self.look(shortest));
            }
            (self.sum, self.quarters) = (0.0, 0);
        }
        self.sum += if self.step_s <= FIXED_S { mean + away(level, self.level) } else { mean };
        self.quarters = self.quarters.saturating_add(1);
        found
    }

    fn look(&self, shortest: u32) -> Option<f32> {
        let due = self.steps >= FIRST_STEPS && self.steps.is_multiple_of(AGAIN_STEPS);
        let least = if self.step_s <= shortest { LEAST.0 } else { LEAST.1 };
        due.then(|| find::period(&self.means[..usize::from(self.steps)], least)).flatten()
    }

    fn push(&mut self, mean: f32) {
        while mean.abs() > 127.0 * self.unit {
            if self.unit == 0.0 {
                self.unit = (mean.abs() * (1.0 / 64.0)).max(f32::MIN_POSITIVE);
            } else {
                self.unit *= 2.0;
                self.means.iter_mut().for_each(|mean| *mean /= 2);
            }
        }
        let place = usize::from(self.steps).min(MOST - 1);
        self.means[place] = if self.unit > 0.0 { rounded(mean / self.unit, 0.5) } else { 0 };
        self.steps += 1;
    }

    /// Makes steps twice as long, in units half as large where they still fit.
    pub(super) fn halve(&mut self, level: f64) {
        if self.step_s <= FIXED_S && 2 * self.step_s > FIXED_S {
            let by = if self.unit > 0.0 { away(level, self.level) / self.unit } else { 0.0 };
            self.means.iter_mut().for_each(|mean| *mean = rounded(f32::from(*mean) - by, 0.5));
        }
        let mut sums = [0i16; MOST / 2];
        for (sum, two) in sums.iter_mut().zip(self.means.chunks_exact(2)) {
            *sum = i16::from(two[0]) + i16::from(two[1]);
        }
        let fits = sums.iter().all(|sum| sum.abs() <= 127);
        self.means = [0; MOST];
        for (mean, sum) in self.means.iter_mut().zip(sums) {
            *mean = (if fits { sum } else { sum / 2 }) as i8;
        }
        if fits {
            self.unit *= 0.5;
        }
        (self.step_s, self.steps) = (self.step_s * 2, self.steps / 2);
    }

    /// The profile of a period that the steps have, where now is `bins`.
    pub(super) fn fold(&self, period_s: f32, bins: &Bins, cadence_s: f32) -> Known {
        let count = (period_s / cadence_s + 0.5).clamp(LEAST.0 as f32, MOST as f32) as u8;
        // Where in the period the middle of the first step is.
        let ago = f64::from(bins.secs) - f64::from(self.began) - 0.5 * f64::from(self.step_s);
        let first = turns(clock(bins, period_s) - ago, period_s);
        let length = period_s / self.step_s as f32;
        let mut means = [0.0f32; MOST];
        for (bin, mean) in means.iter_mut().enumerate().take(usize::from(count)) {
            let place = bin as f32 / f32::from(count) - first;
            let mut at = (if place < 0.0 { place + 1.0 } else { place }) * length;
            let mut times = 0.0f32;
            while at < f32::from(self.steps) - 1.0 {
                let (before, part) = (at as usize, at - (at as usize) as f32);
                let [a, b] = [before, before + 1].map(|i| f32::from(self.means[i.min(MOST - 1)]));
                *mean += a + part * (b - a);
                (times, at) = (times + 1.0, at + length);
            }
            *mean /= times.max(1.0);
        }
        Known::new(period_s, self.unit, &means[..usize::from(count)], bins)
    }
}
