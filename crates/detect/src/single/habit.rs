//! Odd events that come back: a nightly job, an hourly flush, the reset of a sawtooth.
//!
//! The profiles cannot hold what lasts a minute, nor what has another period than a day. So the distance in
//! time between the starts of odd events is remembered, whatever their score led to. Once events of the same
//! size came at the same distance several times and for several days, the next one that keeps to it is no news:
//! its score stays under the edge. One that comes at another time, or is clearly larger, rings as ever. A crash
//! loop keeps its distance, too, but is over or cared for before it is that old.

use super::{CAP, Row};

/// Rows with at least this score are odd.
pub(crate) const ODD: f32 = 0.7;
/// Cadences without an odd row before the next one begins another event.
const APART: f32 = 10.0;
/// Distances that differ by this part, or by a cadence, are the same.
pub(crate) const SAME_DISTANCE: f32 = 0.1;
/// An event of a habit is at most this many times its usual size,
pub(crate) const LARGEST: f32 = 1.3;
/// and at least one part in this many.
const SMALLEST: f32 = 2.0;
/// Times that an event must have kept to the distance: with the two that make one, the fifth is quiet.
const KEPT: u8 = 2;
/// And for how long events have kept to it, seconds.
const SPAN_S: u32 = 3 * 86_400;
/// More times than this are not counted, so that a habit is given up as fast as it was learned.
const MOST: u8 = 9;
/// Gain of the usual distance and size.
const GAIN: f32 = 0.25;

/// What is remembered of the odd events of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Habit {
    /// When the last event began, and its last odd row, seconds since the Unix epoch.
    pub(crate) began: u32,
    pub(crate) last: u32,
    /// When the first event that kept to the habit began.
    pub(crate) first: u32,
    /// Usual distance from start to start, seconds.
    pub(crate) distance: f32,
    /// Usual error of the first odd row.
    pub(crate) size: f32,
    /// Events that kept to both, less those that did not.
    pub(crate) kept: u8,
    /// The present event keeps to the habit.
    pub(crate) inside: bool,
}

impl Habit {
    /// Nothing odd yet.
    pub(crate) const NEW: Self = Self { began: 0, last: 0, first: 0, distance: 0.0, size: 0.0, kept: 0, inside: false };

    /// Takes an odd row at `secs` in, and caps its score at `edge` if it is one of a habit.
    pub(crate) fn weigh(&mut self, row: &mut Row, secs: u32, cadence_s: f32, edge: f32) {
        let error = row.errors[row.led];
        let begins = secs.saturating_sub(self.last) as f32 > APART * cadence_s;
        self.last = secs;
        if begins {
            self.begin(error, secs, cadence_s);
        }
        if self.inside && error.abs() < LARGEST * self.size.abs() {
            row.score = row.score.min(CAP * edge.min(1.0));
        }
    }

    /// Whether the row at `secs` belongs to an event that the habit keeps quiet.
    pub(crate) fn quiets(&self, secs: u32) -> bool {
        self.inside && self.last == secs
    }

    /// Another event begins.
    fn begin(&mut self, error: f32, secs: u32, cadence_s: f32) {
        let before = std::mem::replace(&mut self.began, secs);
        let distance = secs.saturating_sub(before) as f32;
        let alike = error * self.size > 0.0
            && error.abs() < LARGEST * self.size.abs()
            && self.size.abs() < SMALLEST * error.abs();
        let keeps = alike && (distance - self.distance).abs() <= SAME_DISTANCE * self.distance + cadence_s;
        self.inside = keeps && self.kept >= KEPT && secs.saturating_sub(self.first) >= SPAN_S;
        if keeps {
            self.kept = self.kept.saturating_add(1).min(MOST);
            self.distance += GAIN * (distance - self.distance);
            self.size += GAIN * (error - self.size);
        } else if self.kept > 0 {
            self.kept -= 1;
        } else {
            (self.distance, self.size, self.first) = (distance, error, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::single::FAST;

    const HOUR_S: u32 = 3600;
    const DAY_S: u32 = 24 * HOUR_S;
    const START: u32 = 1_600_000_000;

    /// The score that is left of an odd row.
    fn weighed(habit: &mut Habit, secs: u32, error: f32) -> f32 {
        let mut row = Row {
            value: 0.0,
            season: 0.0,
            profile: 0.0,
            cycle: None,
            errors: [error, 0.0, 0.0],
            roots: [1.0; 3],
            scales: [1.0; 3],
            ratios: [error.abs(); 3],
            decades: 4.6,
            score: 1.5,
            led: FAST,
            illegal: false,
            flat: false,
            climbs: false,
            climb_led: false,
        };
        habit.weigh(&mut row, secs, 60.0, 1.0);
        row.score
    }

    /// After six events of 20, one each `distance`.
    fn after_six(distance: u32) -> (Habit, Vec<f32>) {
        let mut habit = Habit::NEW;
        let scores = (1..=6).map(|i| weighed(&mut habit, START + i * distance, 20.0)).collect();
        (habit, scores)
    }

    #[test]
    fn the_fifth_of_a_kind_is_quiet() {
        assert_eq!(after_six(DAY_S).1, [1.5, 1.5, 1.5, 1.5, CAP, CAP]);
    }

    #[test]
    fn an_hourly_crash_rings_for_days() {
        let mut habit = Habit::NEW;
        let scores: Vec<f32> = (1..=80).map(|i| weighed(&mut habit, START + i * HOUR_S, 20.0)).collect();
        assert!(scores[..72].iter().all(|score| *score == 1.5) && scores[72..].iter().all(|score| *score == CAP));
    }

    #[test]
    fn another_time_or_size_or_direction_is_news() {
        let due = START + 7 * DAY_S;
        for (secs, error, score) in
            [(due + 120, 22.0, CAP), (due + 12_000, 20.0, 1.5), (due, 40.0, 1.5), (due, 5.0, 1.5), (due, -20.0, 1.5)]
        {
            assert_eq!(weighed(&mut after_six(DAY_S).0, secs, error), score, "{secs} {error}");
        }
    }

    #[test]
    fn an_event_of_a_habit_that_grows_is_news() {
        let (mut habit, due) = (after_six(DAY_S).0, START + 7 * DAY_S);
        assert_eq!(weighed(&mut habit, due, 20.0), CAP);
        assert_eq!(weighed(&mut habit, due + 60, 24.0), CAP);
        assert_eq!(weighed(&mut habit, due + 120, 90.0), 1.5);
    }

    #[test]
    fn a_habit_is_given_up() {
        let mut habit = after_six(HOUR_S).0;
        for i in 0..20 {
            weighed(&mut habit, 1_600_100_000 + i * 5000, 20.0);
        }
        assert!((habit.distance / 5000.0 - 1.0).abs() < 0.01, "{habit:?}");
    }
}
