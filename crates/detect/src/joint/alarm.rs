//! The alarm of a host: an edge that it raises for itself, and a latch.
//!
//! As for single series: an often-ringing host must shout louder, an open alarm closes only after some
//! ticks under the edge, and a second one inside it needs a clearly higher score.

use super::state::{JointStateError, Reader, Writer};
use crate::math::ln;

/// Each alarm adds this much to the edge, forgotten over [`RAISE_TICKS`].
pub(crate) const RAISE: f32 = 0.1;
/// Memory of [`RAISE`], ticks.
pub(crate) const RAISE_TICKS: f32 = 300.0;
/// Alarms of the last [`RAISE_LONG_TICKS`] add this times `ln(1 + alarms / FEW)` to the edge. Scores thin out about
/// exponentially, so to keep a rate the edge follows its logarithm.
pub(crate) const RAISE_LONG: f32 = 0.25;
/// Memory of [`RAISE_LONG`], ticks.
pub(crate) const RAISE_LONG_TICKS: f32 = 3000.0;
/// Up to about so many alarms in that time each raises the edge as much as the one before.
const FEW: f32 = 3.0;
/// An alarm closes after more ticks than this under the edge.
pub(crate) const LATCH_TICKS: u8 = 5;
/// A second alarm inside an open one needs the highest score so far times this,
const AGAIN: f32 = 1.2;
/// and more ticks than this since the last one.
const AGAIN_TICKS: u8 = 3;

/// The alarm of one host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct HostAlarm {
    raised: f32,
    count: f32,
    highest: f32,
    since: u8,
    under: u8,
    pub(crate) open: bool,
}

impl HostAlarm {
    /// No alarm yet.
    pub(crate) const NEW: Self = Self { raised: 0.0, count: 0.0, highest: 0.0, since: u8::MAX, under: 0, open: false };

    /// Takes a tick with `score` in; whether an alarm was raised. A score that is not known changes nothing.
    pub(crate) fn turn(&mut self, score: f32) -> bool {
        let edge = 1.0 + self.raised + RAISE_LONG * ln(1.0 + self.count / FEW);
        self.raised *= 1.0 - 1.0 / RAISE_TICKS;
        self.count *= 1.0 - 1.0 / RAISE_LONG_TICKS;
        self.since = self.since.saturating_add(1);
        let over = score >= edge;
        let onset = if !self.open {
            over
        } else if over {
            self.under = 0;
            score >= AGAIN * self.highest && self.since > AGAIN_TICKS
        } else {
            self.under = self.under.saturating_add(1);
            false
        };
        if onset {
            self.raised += RAISE;
            self.count += 1.0;
            (self.since, self.under, self.open) = (0, 0, true);
        }
        if self.under > LATCH_TICKS {
            (self.open, self.highest, self.under) = (false, 0.0, 0);
        } else if self.open {
            self.highest = self.highest.max(score);
        }
        onset
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.slice(&[self.raised, self.count, self.highest]);
        w.bytes(&[self.since, self.under, u8::from(self.open)]);
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, JointStateError> {
        let raised = r.within("raised", 0.0, 1e6)?;
        let count = r.within("count", 0.0, 1e6)?;
        let highest = r.within("highest", 0.0, f32::MAX)?;
        let [since, under, open] = r.take()?;
        Ok(Self { raised, count, highest, since, under, open: open != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least score that rings after `alarms` alarms, each long over.
    fn needed(alarms: u32) -> f32 {
        let mut alarm = HostAlarm::NEW;
        for _ in 0..alarms {
            assert!(alarm.turn(9.0));
            (0..1000).for_each(|_| assert!(!alarm.turn(0.0)));
        }
        let rings = |score: &u32| alarm.clone().turn(*score as f32 / 1000.0);
        (0..9000).find(rings).map_or(f32::NAN, |score| score as f32 / 1000.0)
    }

    #[test]
    fn a_host_that_rings_often_must_shout_louder_but_never_out_of_reach() {
        let needed = [0, 1, 2, 8].map(needed);
        assert_eq!(needed[0], 1.0);
        assert!(needed.is_sorted() && needed[1] > 1.02, "{needed:?}");
        assert!(needed[2] - needed[1] < needed[1] - needed[0] && needed[3] < 1.5, "{needed:?}");
    }
}
