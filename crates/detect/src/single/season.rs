//! What is usual at this time of the day and of the week.
//!
//! A profile of 96 quarter-hours of the day and one of 168 hours of the week are added up; both are i8 in
//! steps of about a tenth of the scale. They are written once at the end of each visit, with dithered
//! rounding: rounding on each row would add up to noise many steps high. A factor for each hour of the day
//! says how much wider errors are then.
//!
//! A series without a season has profiles, too: of noise, which makes its errors larger. So they count only in so
//! far as they have explained something: by how much the mean errors of visits are smaller with them.

use super::channel::{CLIP, Channel};
use super::habit::Habit;
use super::hot::{Hot, NO_SEASON};
use super::trend::Trend;
use crate::civil::Bins;
use crate::math::{dither, exp, ln};

/// Least gain of a quarter-hour's visit.
pub(crate) const DAY_GAIN: f32 = 0.15;
/// Profiles that explain no more than this part of the error do not count,
pub(crate) const EXPLAINED: f32 = 0.1;
/// and they count in full from this much more on.
const EXPLAINED_MORE: f32 = 0.2;
/// Young profiles are mostly noise: they count more and more until the series is this old, seconds.
const RAMP_S: f32 = 3.0 * 86_400.0;
/// Memory of what they explain, visits to quarter-hours.
const EXPLAINED_VISITS: f32 = 1000.0;
/// Most that an hour of the week learns from a visit.
pub(crate) const WEEK_GAIN: f32 = 0.05;
/// Cadence from which on a quarter-hour is read as it is instead of interpolated, seconds.
const COARSE_S: f32 = 900.0;
/// The least and the greatest factor of an hour, e^-1 and e^1.5,
const FACTOR: (f32, f32) = (0.367_88, 4.481_69);
/// and their logarithms.
const FACTOR_LOG: (f32, f32) = (-1.0, 1.5);
const NEVER: i8 = i8::MIN;
const MIN_STEP: f32 = 1e-18;
/// A third season is looked for where the mean errors of quarter-hours are by so much larger than the noise of their
/// rows is on the average, but at most
const LEAVES: f32 = 1.5;
/// this part of the mean error of rows,
const LEAVES_MOST: f32 = 0.8;
/// after so many quarter-hours.
const LEAVES_VISITS: u16 = 8;

/// Profiles, habits and the slow climb of one series; 384 bytes, six cache lines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Season {
    /// Value of one step of the profiles.
    pub(crate) step: f32,
    /// Mean errors of visits without and with the profiles.
    pub(crate) visit_errors: [f32; 2],
    /// Visits that taught them.
    pub(crate) visits: u16,
    /// The slow climb.
    pub(crate) trend: Trend,
    /// Quarter-hours of the day; [`NEVER`] where there was no visit yet.
    pub(crate) day: [i8; 96],
    /// Hours of the week.
    pub(crate) week: [i8; 168],
    /// Factor on the fast scale by hour of the day: 0 for none yet, else 1..=255 over [`FACTOR_LOG`].
    pub(crate) factor: [u8; 24],
    /// Odd events that come back.
    pub(crate) habit: Habit,
}

impl Season {
    /// Nothing known.
    pub(crate) const NEW: Self = Self {
        step: MIN_STEP,
        visit_errors: [0.0; 2],
        visits: 0,
        trend: Trend::NEW,
        day: [NEVER; 96],
        week: [0; 168],
        factor: [0; 24],
        habit: Habit::NEW,
    };

    fn quarter(&self, quarter: u8) -> f32 {
        let q = self.day[usize::from(quarter)];
        if q == NEVER { 0.0 } else { f32::from(q) * self.step }
    }

    /// How far the profiles count, 0..=1, of a series `born` then.
    pub(crate) fn share(&self, bins: &Bins, born: u32) -> f32 {
        let [without, with] = self.visit_errors;
        let explained = 1.0 - with / without.max(f32::MIN_POSITIVE);
        let age = (bins.secs.saturating_sub(born) as f32 * (1.0 / RAMP_S)).min(1.0);
        age * ((explained - EXPLAINED) * (1.0 / EXPLAINED_MORE)).clamp(0.0, 1.0)
    }

    /// What the profiles say of `bins`.
    pub(crate) fn at(&self, bins: &Bins, cadence_s: f32) -> f32 {
        let mut day = self.quarter(bins.quarter);
        if cadence_s < COARSE_S {
            day += bins.weight * (self.quarter(bins.neighbour) - day);
        }
        day + f32::from(self.week[usize::from(bins.hour)]) * self.step
    }

    /// Whether quarter-hours are off by more than the noise of their rows explains, where rows are off by `scale`.
    pub(crate) fn leaves_something(&self, scale: f32, cadence_s: f32) -> bool {
        let rows = (900.0 / cadence_s).max(1.0);
        self.visits >= LEAVES_VISITS && self.visit_errors[1] > scale * (LEAVES / rows.sqrt()).min(LEAVES_MOST)
    }

    /// Learns from a visit what profiles that said `profile` explain, where `mean` is left.
    fn weigh(&mut self, mean: f32, profile: f32) {
        self.visits = self.visits.saturating_add(1);
        let rate = (1.0 / f32::from(self.visits)).max(1.0 / EXPLAINED_VISITS);
        for (error, of) in self.visit_errors.iter_mut().zip([mean + profile, mean]) {
            *error += rate * (of.abs() - *error);
        }
    }

    /// The factor on the fast scale in this hour of the week.
    fn factor_at(&self, hour: u8) -> f32 {
        match self.factor[usize::from(hour % 24)] {
            0 => 1.0,
            q => exp(FACTOR_LOG.0 + f32::from(q - 1) * ((FACTOR_LOG.1 - FACTOR_LOG.0) / 254.0)),
        }
    }

    fn set_factor(&mut self, hour: u8, factor: f32, dither: f32) {
        let place = (ln(factor) - FACTOR_LOG.0) * (254.0 / (FACTOR_LOG.1 - FACTOR_LOG.0));
        self.factor[usize::from(hour % 24)] = (place + dither).clamp(0.0, 254.0) as u8 + 1;
    }

    fn write_day(&mut self, quarter: u8, value: f32, seed: u64) {
        self.make_room(value, seed);
        self.day[usize::from(quarter)] = rounded(value / self.step, dither(seed));
    }

    fn write_week(&mut self, hour: u8, value: f32, seed: u64) {
        self.make_room(value, seed);
        self.week[usize::from(hour)] = rounded(value / self.step, dither(seed));
    }

    /// Doubles the step until `value` fits.
    fn make_room(&mut self, value: f32, seed: u64) {
        while value.abs() > 126.0 * self.step {
            self.step *= 2.0;
            for (i, q) in self.day.iter_mut().chain(&mut self.week).enumerate().filter(|(_, q)| **q != NEVER) {
                *q = rounded(f32::from(*q) * 0.5, dither(seed ^ (i as u64 + 1) << 32));
            }
        }
    }

    /// Halves the step while it is coarser than the scale asks for and all values still fit; loses nothing.
    fn refine(&mut self, scale: f32) {
        if self.step <= 0.2 * scale.max(MIN_STEP) {
            return;
        }
        let largest = self.day.iter().chain(&self.week).filter(|q| **q != NEVER).map(|q| q.unsigned_abs()).max();
        if largest.unwrap_or(0) <= 60 {
            self.step *= 0.5;
            self.day.iter_mut().chain(&mut self.week).filter(|q| **q != NEVER).for_each(|q| *q *= 2);
        }
    }
}

fn rounded(steps: f32, dither: f32) -> i8 {
    (steps + dither).floor().clamp(-127.0, 127.0) as i8
}

/// Takes the clipped error against the slow level and the profiles, and the fast error, in.
pub(crate) fn learn(hot: &mut Hot, error: f32, fast_error: f32, cadence_s: f32, bins: &Bins) {
    hot.sum[0] += error;
    hot.sum[1] += error;
    hot.visit = hot.visit.map(|n| n.saturating_add(1));
    let scale = hot.channels[0].scale;
    if hot.season != NO_SEASON && scale > 0.0 {
        let per_hour = (3600.0 / cadence_s).max(1.0);
        let ratio = Channel::ratio(fast_error, scale).min(CLIP);
        // Rows of this hour so far, from the age of the series: no bin has a counter of its own.
        let days = bins.secs.saturating_sub(hot.born) as f32 / 86_400.0;
        let count = days * per_hour + f32::from(hot.visit[1]);
        let gain = (DAY_GAIN / per_hour).max(1.0 / (count + 2.0 * per_hour));
        let factor = hot.hour_factor * exp(gain * (ratio / hot.hour_factor - 1.0));
        hot.hour_factor = factor.clamp(FACTOR.0, FACTOR.1);
    }
}

/// Writes what the visits that end at `bins` taught and begins the new ones. Gives what the profiles left unexplained
/// of a quarter-hour that ended.
pub(super) fn turn(hot: &mut Hot, season: Option<&mut Season>, bins: &Bins, cadence_s: f32) -> Option<f32> {
    let (quarter, hour) = (hot.quarter, hot.hour);
    let (day_ends, hour_ends) = (quarter != bins.quarter, hour != bins.hour);
    let mean = (day_ends && hot.visit[0] > 0).then(|| hot.sum[0] / f32::from(hot.visit[0]));
    if let Some(season) = season {
        let age_days = ((bins.secs.saturating_sub(hot.born)) as f32 / 86_400.0 + 0.5).floor();
        let seed = hot.ts_ms as u64 ^ u64::from(hot.sum[0].to_bits()) << 20 ^ u64::from(quarter) << 56;
        if let Some(mean) = mean {
            season.refine(hot.channels[1].scale);
            season.weigh(mean, season.quarter(quarter) + f32::from(season.week[usize::from(hour)]) * season.step);
            let never = season.day[usize::from(quarter)] == NEVER;
            let visits = if never { 0.0 } else { age_days.max(1.0) };
            let gain = DAY_GAIN.max(1.0 / (visits + 1.0)) * part(hot.visit[0], 900.0 / cadence_s);
            let value = season.quarter(quarter) + gain * mean;
            season.write_day(quarter, value, seed);
        }
        if hour_ends && hot.visit[1] > 0 {
            let visits = (age_days / 7.0).floor();
            let gain = WEEK_GAIN.min(1.0 / (visits + 3.0)) * part(hot.visit[1], 3600.0 / cadence_s);
            let value = f32::from(season.week[usize::from(hour)]) * season.step;
            season.write_week(hour, value + gain * hot.sum[1] / f32::from(hot.visit[1]), !seed);
            season.set_factor(hour, hot.hour_factor, dither(seed ^ 1));
        }
        if hour_ends {
            hot.hour_factor = season.factor_at(bins.hour);
            season.trend.step(hot, bins.secs, cadence_s);
        }
    }
    if day_ends {
        (hot.sum[0], hot.visit[0], hot.quarter) = (0.0, 0, bins.quarter);
    }
    if hour_ends {
        (hot.sum[1], hot.visit[1], hot.hour) = (0.0, 0, bins.hour);
    }
    mean
}

/// How far a visit of `rows` of `full` rows counts: less than half a visit counts in part.
fn part(rows: u16, full: f32) -> f32 {
    (2.0 * f32::from(rows) / full.max(1.0)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::civil::CivilTime;

    #[test]
    fn is_384_bytes() {
        assert_eq!(size_of::<Season>(), 384);
    }

    #[test]
    fn keeps_what_is_written_whatever_its_size() {
        let mut season = Season::NEW;
        season.write_day(3, 1000.0, 1);
        season.write_day(4, 1.0, 2);
        assert!((season.quarter(3) - 1000.0).abs() <= 8.0, "{}", season.quarter(3));
        season.write_week(5, -3e17, 3);
        assert!((season.week[5] as f32 * season.step / -3e17 - 1.0).abs() < 0.02);
    }

    #[test]
    fn dithered_rounding_keeps_the_mean() {
        let mut season = Season { step: 1.0, ..Season::NEW };
        let mean = (0..4000u64).map(|i| {
            season.write_day(0, 5.3, i * 77);
            season.quarter(0)
        });
        assert!((mean.sum::<f32>() / 4000.0 - 5.3).abs() < 0.05);
    }

    #[test]
    fn profiles_count_as_far_as_they_explain() {
        let share = |mean: fn(f32) -> f32| {
            let mut season = Season::NEW;
            (0..200).for_each(|i| season.weigh(mean((i as f32).sin()), (i as f32).sin()));
            season.share(&Bins::at(&CivilTime::utc(), 86_400_000 * 3), 0)
        };
        // They take away all of it, a fifth of it, nothing; or they add to it.
        assert_eq!(share(|_| 0.0), 1.0);
        assert!((0.4..0.6).contains(&share(|profile| 4.0 * profile)));
        assert_eq!((share(|profile| 100.0 * profile), share(|profile| -profile)), (0.0, 0.0));
    }

    #[test]
    fn a_finer_step_loses_nothing() {
        let mut season = Season { step: 4.0, ..Season::NEW };
        season.write_day(0, 40.0, 9);
        season.refine(1.0);
        assert_eq!((season.step, season.quarter(0)), (2.0, 40.0));
    }

    #[test]
    fn factors_round_trip() {
        let mut season = Season::NEW;
        for factor in [0.4, 1.0, 2.0, 4.4] {
            season.set_factor(30, factor, 0.5);
            assert!((season.factor_at(6) / factor - 1.0).abs() < 0.02);
        }
    }
}
