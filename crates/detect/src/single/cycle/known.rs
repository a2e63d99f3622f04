//! A season that was found: its profile, and what it explains.

use super::find::MOST;
use super::{At, ROUND_LATER, Relief, clock, round, rounded, turns};
use crate::civil::Bins;
use crate::math::dither;

/// Least gain of a visit to a bin.
pub(crate) const GAIN: f32 = 0.15;
/// Periods that a new profile is worth.
const FOLDED: f32 = 3.0;
/// A profile counts for what it explains beyond this part of the error,
pub(crate) const EXPLAINED: f32 = 0.15;
/// and in full from this much more on.
const EXPLAINED_MORE: f32 = 0.2;
/// Periods in which it must have explained something before it counts, and in which it comes to count.
const PROBATION: f32 = 0.5;
/// Periods that its errors remember.
const MEMORY: f32 = 4.0;
/// A season that is off by fewer bins than this is left where it is,
const LATE: f32 = 0.5;
/// as is one whose errors are for less than this part due to that,
const ALL: f32 = 0.5;
/// or of which less than this part came by;
const WHOLE: f32 = 0.8;
/// it is moved by no more than this at once,
const MOST_LATE: f32 = 4.0;
/// by this part of what it is off by, and its length by that.
const MOVE: f32 = 0.5;
const FOLLOW: f32 = 0.25;
/// What strays by more than this from the length that was found is no season.
const STRAYS: f32 = 0.06;
/// Bins that are not this many times as long as the cadence are read as they are instead of interpolated.
const FINE: f32 = 3.0;

/// A season.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Known {
    /// Its length, seconds.
    pub(crate) period_s: f32,
    /// The length that was found.
    pub(crate) found_s: f32,
    /// Value of one in `profile`.
    pub(crate) unit: f32,
    /// Mean error in the present visit to a bin.
    pub(crate) mean: f32,
    /// Errors of visits times the slope of the profile, the square of that slope and that of the errors, each added up
    /// in the present period: they say by how much it comes late, and whether that is what the errors are.
    pub(crate) late: [f32; 3],
    /// Second at which a period began.
    pub(crate) anchor: u32,
    /// Mean errors of visits without and with the profile.
    pub(crate) errors: [f32; 2],
    /// Samples in the present visit.
    pub(crate) rows: u16,
    /// Visits that are over.
    pub(crate) visits: u16,
    /// Bins of the profile; the middle of the first is the begin of the period.
    pub(crate) bins: u8,
    /// The present one.
    pub(crate) bin: u8,
    /// Most that the profile ever counted, in 255ths.
    pub(crate) counted: u8,
    /// What is usual in each.
    pub(crate) profile: [i8; MOST],
}

impl Known {
    /// The season with these means of bins, in units of `unit`.
    pub(super) fn new(period_s: f32, unit: f32, means: &[f32], bins: &Bins) -> Self {
        let middle = means.iter().sum::<f32>() / means.len() as f32;
        let largest = means.iter().fold(1.0f32, |most, mean| most.max((mean - middle).abs()));
        // With room to grow.
        let finer = 64.0 / largest;
        let mut known = Self {
            period_s,
            found_s: period_s,
            unit: unit / finer,
            mean: 0.0,
            late: [0.0; 3],
            anchor: 0,
            errors: [0.0; 2],
            rows: 0,
            visits: 0,
            bins: means.len() as u8,
            bin: 0,
            counted: 0,
            profile: [0; MOST],
        };
        for (q, mean) in known.profile.iter_mut().zip(means) {
            *q = rounded((mean - middle) * finer, 0.5);
        }
        known.bin = known.nearest(known.place(bins));
        known
    }

    /// Its length, if it counts at all.
    pub(crate) fn counting(&self) -> Option<f32> {
        (self.share() > 0.0).then_some(self.period_s)
    }

    /// Whether its length divides the day or is made of days.
    pub(crate) fn by_the_clock(&self) -> bool {
        super::by_the_clock(self.period_s)
    }

    /// Where in the period `bins` is, in bins.
    fn place(&self, bins: &Bins) -> f32 {
        turns(clock(bins, self.period_s) - f64::from(self.anchor), self.period_s) * f32::from(self.bins)
    }

    /// The bin whose middle is nearest.
    fn nearest(&self, place: f32) -> u8 {
        ((place + 0.5) as u8) % self.bins
    }

    /// What the profile says of a place.
    fn at(&self, place: f32, cadence_s: f32) -> f32 {
        let value = |bin: u8| f32::from(self.profile[usize::from(bin % self.bins)]);
        let usual = if self.period_s < FINE * cadence_s * f32::from(self.bins) {
            value(self.nearest(place))
        } else {
            let before = place as u8;
            let here = value(before);
            here + (place - f32::from(before)) * (value(before + 1) - here)
        };
        usual * self.unit
    }

    /// The place of `bins`, and what is usual there as far as it counts.
    pub(crate) fn usual(&self, bins: &Bins, cadence_s: f32) -> (At, f32) {
        let place = self.place(bins);
        let (usual, share) = (self.at(place, cadence_s), self.share());
        (At { place, rest: usual - usual * share }, usual * share)
    }

    /// The part of the error of visits that the profile explains.
    pub(super) fn explained(&self) -> f32 {
        1.0 - self.errors[1] / self.errors[0].max(f32::MIN_POSITIVE)
    }

    /// How far the profile counts, 0..=1.
    fn share(&self) -> f32 {
        let age = ((f32::from(self.visits) / f32::from(self.bins) - PROBATION) / PROBATION).clamp(0.0, 1.0);
        age * ((self.explained() - EXPLAINED) * (1.0 / EXPLAINED_MORE)).clamp(0.0, 1.0)
    }

    /// Learns the error `left` at `place`.
    pub(super) fn learn(&mut self, left: f32, place: f32, bins: &Bins, cadence_s: f32) -> Option<Relief> {
        let bin = self.nearest(place);
        let relief = if bin == self.bin { None } else { self.turn(bin, bins, cadence_s) };
        self.rows = self.rows.saturating_add(1);
        self.mean += (left - self.mean) / f32::from(self.rows);
        relief
    }

    /// Writes what a visit taught and begins one to `bin`.
    fn turn(&mut self, bin: u8, bins: &Bins, cadence_s: f32) -> Option<Relief> {
        if self.rows > 0 {
            let place = usize::from(self.bin);
            let usual = f32::from(self.profile[place]) * self.unit;
            self.visits = self.visits.saturating_add(1);
            let count = f32::from(self.bins);
            let rate = (1.0 / f32::from(self.visits)).max(1.0 / (MEMORY * count));
            for (error, of) in self.errors.iter_mut().zip([self.mean + usual, self.mean]) {
                *error += rate * (of.abs() - *error);
            }
            let full = self.period_s / (count * cadence_s);
            let part = (2.0 * f32::from(self.rows) / full.max(1.0)).min(1.0);
            let slope = self.slope(self.bin);
            self.late[0] -= self.mean * slope;
            self.late[1] += slope * slope;
            self.late[2] += self.mean * self.mean;
            let gain = GAIN.max(1.0 / (f32::from(self.visits) / count + FOLDED)) * part;
            self.write(place, usual + gain * self.mean, u64::from(bins.secs) << 8 ^ u64::from(self.bin));
        }
        if bin < self.bin {
            self.follow(bins);
        }
        (self.bin, self.rows, self.mean) = (bin, 0, 0.0);
        self.relief()
    }

    /// By how much the profile rises at a bin, over one.
    fn slope(&self, bin: u8) -> f32 {
        let near = |by: u8| f32::from(self.profile[usize::from((bin + by) % self.bins)]);
        0.5 * (near(1) - near(self.bins - 1)) * self.unit
    }

    /// At the end of a period: one that comes late or early is moved, and its length a little.
    fn follow(&mut self, bins: &Bins) {
        let [error, square, errors] = std::mem::replace(&mut self.late, [0.0; 3]);
        let whole: f32 = (0..self.bins).map(|bin| self.slope(bin).powi(2)).sum();
        let late = if square > WHOLE * whole && error / square * error > ALL * errors {
            (error / square).clamp(-MOST_LATE, MOST_LATE)
        } else {
            0.0
        };
        if late.abs() < LATE {
            return;
        }
        let count = f32::from(self.bins);
        let (turned, late) = (self.place(bins) / count, late / count);
        let moved =
            (self.period_s * (1.0 + FOLLOW * late)).clamp(self.found_s * (1.0 - STRAYS), self.found_s * (1.0 + STRAYS));
        self.period_s = round(moved, ROUND_LATER);
        // Counted from the begin of this period, a change of its length does not move it; nor does one of the clock that
        // the new length goes by.
        let begin = clock(bins, self.period_s) - f64::from((turned - MOVE * late) * self.period_s);
        self.anchor = begin.max(0.0) as u32;
    }

    fn write(&mut self, place: usize, value: f32, seed: u64) {
        while value.abs() > 126.0 * self.unit {
            self.unit = (2.0 * self.unit).max(f32::MIN_POSITIVE);
            self.profile.iter_mut().for_each(|q| *q /= 2);
        }
        self.profile[place] = if self.unit > 0.0 { rounded(value / self.unit, dither(seed)) } else { 0 };
    }

    /// What is explained since the profile came to count for more than ever before.
    fn relief(&mut self) -> Option<Relief> {
        let counts = (255.0 * self.share()) as u8;
        if counts <= self.counted {
            return None;
        }
        let rest = |counted: u8| (1.0 - f32::from(counted) * (1.0 / 255.0)).powi(2);
        let (before, after) = (rest(self.counted), rest(counts));
        self.counted = counts;
        let [without, with] = self.errors;
        let share = with / without.max(f32::MIN_POSITIVE);
        // Of what was usual while so much counted: all that the visits leave, and what does not count yet.
        let left = |rest: f32| share * share + rest * (1.0 - share * share);
        Some(Relief {
            square: (without * without - with * with) * (before - after),
            left: (left(after) / left(before)).sqrt(),
        })
    }
}
