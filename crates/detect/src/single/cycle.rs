//! A season of any other length, found by itself.
//!
//! The profiles know the day and the week. The means that they leave of quarter-hours are kept here, 64 of them;
//! each time they are full two become one. So few bytes go through all lengths from an hour to a month, each
//! looked for as soon as it came by not quite three times. Where they [repeat themselves](find) they become a
//! profile of that length. It counts as far as it explains what comes from then on; one that explains nothing makes
//! room for the next search, which looks for longer ones and in the end begins anew.
//!
//! Lengths that divide a day, or are made of days, go by the clock on the wall.

mod find;
pub(crate) mod known;
pub(crate) mod search;

use super::MAX_ERROR;
use super::channel::Channel;
use crate::civil::Bins;
pub(crate) use known::Known;
pub(crate) use search::Search;

/// Length of the longest step, seconds: with it a search ends, at periods of 28 days,
const TOP_S: u32 = 128 * search::STEP_S;
/// or here, at a day, except for the second and one in so many. The first still sees the day, which its profile does
/// not know yet, and what begins late is to be found soon.
const SHORT_TOP_S: u32 = 4 * search::STEP_S;
const LONG_SEARCH: u8 = 8;
/// A length that was found is taken for a round one that is so near,
const ROUND: f32 = 0.015;
/// and one that is being followed here.
const ROUND_LATER: f32 = 0.005;
/// What is round, seconds.
const GRAINS: [f32; 4] = [DAY_S, 3600.0, 1800.0, 900.0];
const DAY_S: f32 = 86_400.0;
/// What is as near to a day or a week is theirs.
const KNOWN: f32 = 0.06;
/// After so many periods a profile that explains less than [`USELESS`] is dropped.
const TRIED: u16 = 2;
const USELESS: f32 = 0.1;
/// What the variance of a season is to the square of its mean error; that of a sine.
const SINE: f32 = 1.23;

/// What is looked for, or known, of a third season.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cycle {
    /// It is looked for.
    Search(Search),
    /// It was found.
    Known(Known),
}

/// A time in the period of a season.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct At {
    /// Its place in bins.
    pub(crate) place: f32,
    /// The part of what is usual there that does not count.
    pub(crate) rest: f32,
}

/// By how much errors get smaller now that a season counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Relief {
    /// Square of the mean error that is explained from now on.
    pub(crate) square: f32,
    /// The part of an error that is left at least.
    pub(crate) left: f32,
}

impl Cycle {
    /// Of nobody.
    pub(crate) const BLANK: Self = Self::Search(Search::new(0.0, 0, search::STEP_S, 0));

    /// A search that begins at `secs` with the slow level `level`.
    pub(crate) fn search(level: f64, secs: u32, cadence_s: f32) -> Self {
        Self::Search(Search::new(level, secs, search::shortest(cadence_s), 0))
    }

    /// The season, if there is one.
    pub(crate) fn known(&self) -> Option<&Known> {
        if let Self::Known(known) = self { Some(known) } else { None }
    }

    /// Takes in what a quarter-hour left unexplained, `mean`, against the slow level `level`; its last sample was at
    /// `last_s`, and now it is `bins`. Says whether a search came to its end without a find.
    pub(crate) fn note(&mut self, mean: f32, level: f64, last_s: u32, bins: &Bins, cadence_s: f32) -> bool {
        let Self::Search(search) = self else { return false };
        let shortest = search::shortest(cadence_s);
        if let Some(period) = search.note(mean, level, last_s, shortest) {
            let period_s = round(period * search.step_s as f32, ROUND);
            if ![DAY_S, 7.0 * DAY_S].iter().any(|known| (period_s / known - 1.0).abs() < KNOWN) {
                *self = Self::Known(search.fold(period_s, bins, cadence_s));
                return false;
            }
        }
        if search.is_full() {
            let top = if search.searches % LONG_SEARCH == 1 { TOP_S } else { SHORT_TOP_S };
            if search.step_s.saturating_mul(2) > top.max(shortest) {
                *search = Search::new(level, bins.secs, shortest, search.searches.wrapping_add(1));
                return true;
            }
            search.halve(level);
        }
        false
    }

    /// Learns the error `left` against the profile at `place`, which is that of now.
    pub(crate) fn learn(&mut self, left: f32, level: f64, place: f32, bins: &Bins, cadence_s: f32) -> Option<Relief> {
        let Self::Known(known) = self else { return None };
        let relief = known.learn(left, place, bins, cadence_s);
        if known.visits >= TRIED * u16::from(known.bins) && known.explained() < USELESS {
            *self = if known.counted > 0 {
                // What was known is over.
                Self::search(level, bins.secs, cadence_s)
            } else {
                // It was none; shorter ones were looked for.
                let step_s = search::longer(known.period_s, cadence_s);
                Self::Search(Search::new(level, bins.secs, step_s, 1))
            };
        }
        relief
    }
}

impl Relief {
    /// Makes the usual errors of a channel smaller.
    pub(crate) fn apply(&self, channel: &mut Channel) {
        let scale = (channel.scale * channel.scale - self.square).max(0.0).sqrt();
        channel.scale = channel.scale.min(scale.max(channel.scale * self.left));
        let square = channel.square - SINE * self.square;
        channel.square = channel.square.min(square.max(channel.square * self.left * self.left));
    }
}

/// How far a level is from another.
fn away(level: f64, from: f64) -> f32 {
    (level - from).clamp(-MAX_ERROR, MAX_ERROR) as f32
}

fn rounded(steps: f32, dither: f32) -> i8 {
    (steps + dither).floor().clamp(-127.0, 127.0) as i8
}

/// The part of a turn that `clock` is in, seconds.
fn turns(clock: f64, period_s: f32) -> f32 {
    let turns = clock / f64::from(period_s);
    let part = turns - (turns as i64) as f64;
    // As a f32 it must stay under 1.
    ((if part < 0.0 { part + 1.0 } else { part }) as f32).min(1.0 - f32::EPSILON)
}

/// Whether a period divides the day or is made of days.
fn by_the_clock(period_s: f32) -> bool {
    let times = if period_s < DAY_S { DAY_S / period_s } else { period_s / DAY_S };
    times == (times as u32) as f32
}

/// The clock by which a period goes.
fn clock(bins: &Bins, period_s: f32) -> f64 {
    if by_the_clock(period_s) { bins.local_s as f64 } else { f64::from(bins.secs) }
}

/// The roundest period that differs from `period_s` by no more than the part `near`, or itself.
fn round(period_s: f32, near: f32) -> f32 {
    let mut rounds = GRAINS.iter().map(|grain| (period_s / grain + 0.5).floor() * grain);
    rounds.find(|round| (round - period_s).abs() <= near * period_s).unwrap_or(period_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::civil::CivilTime;

    #[test]
    fn is_120_bytes() {
        assert_eq!(size_of::<Cycle>(), 120);
    }

    #[test]
    fn lengths_are_taken_for_round_ones() {
        for (length, near, round_to) in [
            (28_500.0, ROUND, 28_800.0),
            (28_500.0, ROUND_LATER, 28_500.0),
            (5380.0, ROUND, 5400.0),
            (26_640.0, ROUND, 27_000.0),
        ] {
            assert_eq!(round(length, near), round_to, "{length}");
        }
        assert!(by_the_clock(28_800.0) && by_the_clock(14.0 * DAY_S) && !by_the_clock(18_000.0));
    }

    #[test]
    fn a_search_goes_on_with_longer_steps_and_in_the_end_begins_anew() {
        let (mut cycle, mut steps) = (Cycle::search(0.0, 0, 60.0), Vec::new());
        for quarter in 0..u32::from(u16::MAX) {
            let bins = Bins::at(&CivilTime::utc(), i64::from(quarter + 1) * 900_000);
            // A slope has no period.
            cycle.note(quarter as f32, 0.0, quarter * 900, &bins, 60.0);
            let Cycle::Search(search) = &cycle else { panic!("{cycle:?}") };
            if steps.last() != Some(&search.step_s) {
                steps.push(search.step_s);
            }
        }
        let long = [900, 1800, 3600, 7200, 14_400, 28_800, 57_600, 115_200];
        assert_eq!(steps[..3], long[..3]);
        assert_eq!((&steps[3..11], &steps[11..15]), (&long[..], &[900, 1800, 3600, 900][..]));
    }
}
