//! What has been sent of each series, and so what is to be sent now: a new sample, an end, or nothing.
//!
//! A receiver wants each series in order of time, each time once, and nothing from the future; and it wants
//! to be told when a series ends, or it shows the last value for minutes. About 40 bytes are kept for each
//! judged series, but no labels: a series that leaves the readings without having been stale in them is
//! forgotten silently, and ends for the receiver by its own lookback.

use std::collections::HashMap;

use watchbell_series::{Reading, SeriesId};

use crate::naming::{Shown, shown};

/// What to send of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Its reading at `ts_ms`, and ends of the lines it had as `before` and has no more.
    Sample {
        ts_ms: i64,
        before: Shown,
        now: Shown,
    },
    Nothing,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    ts_ms: i64,
    shown: Shown,
    round: u32,
}

/// Memory of what was sent.
pub(super) struct Track {
    sent: HashMap<SeriesId, Sent>,
    round: u32,
    /// Samples up to here were sent before a restart, or are history.
    from_ms: i64,
}

impl Track {
    pub(super) fn new(from_ms: i64) -> Self {
        Self { sent: HashMap::new(), round: 0, from_ms }
    }

    /// What to send of series `id` with this reading.
    pub(super) fn next(&mut self, id: SeriesId, reading: &Reading, now_ms: i64) -> Step {
        let now = shown(reading, now_ms);
        let sample_ms = reading.ts_ms.min(now_ms);
        let Some(sent) = self.sent.get_mut(&id) else {
            if now == Shown::Gone || sample_ms <= self.from_ms {
                return Step::Nothing;
            }
            self.sent.insert(id, Sent { ts_ms: sample_ms, shown: now, round: self.round });
            return Step::Sample { ts_ms: sample_ms, before: Shown::Gone, now };
        };
        sent.round = self.round;
        let before = sent.shown;
        if sample_ms <= sent.ts_ms && now == before {
            return Step::Nothing;
        }
        // A change without a sample (it became stale) happens now.
        let ts_ms = if now != Shown::Gone && sample_ms > sent.ts_ms { sample_ms } else { now_ms.max(sent.ts_ms + 1) };
        if now == Shown::Gone {
            self.sent.remove(&id);
        } else {
            (sent.ts_ms, sent.shown) = (ts_ms, now);
        }
        Step::Sample { ts_ms, before, now }
    }

    /// To be called when all series have been read: forgets those that were not among them.
    pub(super) fn end_round(&mut self) {
        let round = self.round;
        self.sent.retain(|_, sent| sent.round == round);
        self.round = round.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_scores::reading;
    use watchbell_series::NotReady;

    const ID: SeriesId = SeriesId(1);

    fn sample(ts_ms: i64, before: Shown, now: Shown) -> Step {
        Step::Sample { ts_ms, before, now }
    }

    #[test]
    fn each_sample_once() {
        let mut track = Track::new(1_000);
        assert_eq!(track.next(ID, &reading(1_000, 0.5), 2_000), Step::Nothing, "sent before the restart");
        assert_eq!(track.next(ID, &reading(1_500, 0.5), 2_000), sample(1_500, Shown::Gone, Shown::Ready));
        assert_eq!(track.next(ID, &reading(1_500, 0.5), 3_000), Step::Nothing);
        assert_eq!(track.next(ID, &reading(2_500, 0.5), 3_000), sample(2_500, Shown::Ready, Shown::Ready));
    }

    #[test]
    fn never_from_the_future() {
        let mut track = Track::new(0);
        assert_eq!(track.next(ID, &reading(9_000, 0.5), 2_000), sample(2_000, Shown::Gone, Shown::Ready));
        assert_eq!(track.next(ID, &reading(9_000, 0.5), 3_000), sample(3_000, Shown::Ready, Shown::Ready));
    }

    #[test]
    fn ends_when_not_ready_and_when_gone() {
        let mut track = Track::new(0);
        let stale = Shown::NotReady(NotReady::Stale);
        assert_eq!(track.next(ID, &reading(1_000, 0.5), 1_000), sample(1_000, Shown::Gone, Shown::Ready));
        let ended = Reading { not_ready: Some(NotReady::Stale), ..reading(1_000, 0.5) };
        assert_eq!(track.next(ID, &ended, 2_000), sample(2_000, Shown::Ready, stale));
        assert_eq!(track.next(ID, &ended, 3_000), Step::Nothing);
        assert_eq!(track.next(ID, &ended, 400_000), sample(400_000, stale, Shown::Gone));
        assert_eq!(track.next(ID, &ended, 500_000), Step::Nothing);
        assert_eq!(track.next(ID, &reading(600_000, 0.5), 600_000), sample(600_000, Shown::Gone, Shown::Ready));
    }

    #[test]
    fn history_is_not_sent() {
        let mut track = Track::new(1_000_000);
        assert_eq!(track.next(ID, &reading(500_000, 0.5), 1_000_100), Step::Nothing);
        assert_eq!(track.next(ID, &reading(1_000_050, 0.5), 1_000_100), sample(1_000_050, Shown::Gone, Shown::Ready));
    }

    #[test]
    fn forgets_what_is_not_read_any_more() {
        let mut track = Track::new(0);
        for id in 0..3 {
            track.next(SeriesId(id), &reading(1_000, 0.5), 1_000);
        }
        track.end_round();
        track.next(ID, &reading(1_000, 0.5), 1_000);
        track.end_round();
        assert_eq!(track.sent.keys().copied().collect::<Vec<_>>(), [ID]);
    }
}
