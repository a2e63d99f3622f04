//! From scores to alarms: an edge that each series raises for itself, and a score that is held.
//!
//! An often-ringing series must shout louder: each alarm raises its edge for a while. An open alarm
//! closes after a few rows under the edge, and a second one inside it needs a clearly higher score.

use watchbell_series::{Lead, Pattern};

/// Each alarm adds this much to the edge, forgotten quickly.
pub(crate) const RAISE: f32 = 0.05;
/// Memory of [`RAISE`], rows.
pub(crate) const RAISE_ROWS: f32 = 300.0;
/// Each alarm adds this much to the edge, forgotten slowly.
pub(crate) const RAISE_LONG: f32 = 0.01;
/// Memory of [`RAISE_LONG`], rows.
pub(crate) const RAISE_LONG_ROWS: f32 = 3000.0;
/// An alarm closes after more rows than this under the edge.
pub(crate) const LATCH_ROWS: u8 = 5;
/// A second alarm inside an open one needs the highest score so far times this.
pub(crate) const AGAIN: f32 = 1.2;
/// And more rows than this since the last one.
pub(crate) const AGAIN_ROWS: u8 = 3;

/// The alarm of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Alarm {
    /// Published score, held after a spike.
    pub(crate) held: f32,
    /// What recent alarms added to the edge.
    pub(crate) raised: f32,
    /// Alarms, slowly forgotten.
    pub(crate) count: f32,
    /// Highest score in the open alarm.
    pub(crate) highest: f32,
    /// Rows since the last onset.
    pub(crate) since: u8,
    /// Rows under the edge in the open alarm and one more; 0 where none is open.
    pub(crate) latch: u8,
    /// What it looks like.
    pub(crate) pattern: Pattern,
    /// What made the score of the last row, alarm or not; here because the series has a byte left here.
    pub(crate) lead: Lead,
}

/// What one row did to the alarm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Turn {
    /// The edge that held for the row.
    pub(crate) edge: f32,
    /// An alarm was raised.
    pub(crate) onset: bool,
    /// The open alarm was closed.
    pub(crate) closed: bool,
}

impl Alarm {
    /// No alarm yet.
    pub(crate) const NEW: Self = Self {
        held: 0.0,
        raised: 0.0,
        count: 0.0,
        highest: 0.0,
        since: u8::MAX,
        latch: 0,
        pattern: Pattern::None,
        lead: Lead::Unknown,
    };

    /// Whether one is open.
    pub(crate) fn open(&self) -> bool {
        self.latch > 0
    }

    /// Takes a row with `score` in. `edge` is the configured one; `certain` rows fire whatever it is, and an open
    /// alarm `lasts` whatever it was raised to.
    pub(crate) fn turn(&mut self, score: f32, edge: f32, hold: f32, certain: bool, lasts: bool) -> Turn {
        let edge = edge * (1.0 + self.added());
        self.held = score.max(hold * self.held);
        self.raised *= 1.0 - 1.0 / RAISE_ROWS;
        self.count *= 1.0 - 1.0 / RAISE_LONG_ROWS;
        self.since = self.since.saturating_add(1);
        let over = score >= edge || certain || (lasts && self.open());
        let mut closed = false;
        let onset = if !self.open() {
            over
        } else if over {
            self.latch = 1;
            score >= AGAIN * self.highest && self.since > AGAIN_ROWS
        } else {
            self.latch = self.latch.saturating_add(1);
            closed = self.latch > LATCH_ROWS + 1;
            false
        };
        if onset {
            self.raised += RAISE;
            self.count += 1.0;
            (self.since, self.latch) = (0, 1);
        }
        if closed {
            self.close();
        } else if self.open() {
            self.highest = self.highest.max(score);
        }
        Turn { edge, onset, closed }
    }

    /// The part that recent alarms add to the edge.
    pub(crate) fn added(&self) -> f32 {
        self.raised + RAISE_LONG * self.count
    }

    /// Closes an open alarm.
    pub(crate) fn close(&mut self) {
        (self.latch, self.highest, self.pattern) = (0, 0.0, Pattern::None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(scores: &[f32]) -> (Vec<bool>, Alarm) {
        let mut alarm = Alarm::NEW;
        (scores.iter().map(|score| alarm.turn(*score, 1.0, 0.95, false, false).onset).collect(), alarm)
    }

    #[test]
    fn one_alarm_for_one_event() {
        let (onsets, alarm) = run(&[0.2, 1.5, 1.5, 0.3, 1.4, 0.1, 0.1]);
        assert_eq!(onsets, [false, true, false, false, false, false, false]);
        assert!(alarm.open());
        let (_, alarm) = run(&[1.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]);
        assert!(!alarm.open());
    }

    #[test]
    fn a_clearly_higher_score_rings_again() {
        let (onsets, _) = run(&[1.5, 1.5, 1.5, 1.5, 1.85]);
        assert_eq!(onsets, [true, false, false, false, true]);
    }

    #[test]
    fn each_alarm_raises_the_edge() {
        let mut alarm = Alarm::NEW;
        alarm.turn(1.05, 1.0, 0.95, false, false);
        alarm.close();
        let turn = alarm.turn(1.05, 1.0, 0.95, false, false);
        assert!(!turn.onset && turn.edge > 1.05);
        assert!(alarm.turn(1.05, 1.0, 0.95, true, false).onset);
    }

    #[test]
    fn the_score_is_held() {
        let (_, alarm) = run(&[2.0, 0.0, 0.0]);
        assert!((alarm.held - 2.0 * 0.95 * 0.95).abs() < 1e-6);
    }
}
