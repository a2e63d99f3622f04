//! What a shard tells the alerting stage: verdicts worth passing on, and ends of series that it reports whole.

use tokio::sync::mpsc;
use watchbell_series::SeriesId;

use super::{Event, Phase, Shard};
use crate::alerting::{About, AlertInput};

/// Events held while the alerting stage is behind; of more the oldest are dropped and counted.
const MAX_EVENTS: usize = 16_384;
/// Events that are passed on at once, at most: what waits for the stage is bounded by so many times its queue.
const PASSED_ON: usize = 512;

/// A series that is reported whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tracked {
    pub(super) id: SeriesId,
    /// Whether the alerting stage has its words.
    pub(super) told: bool,
}

impl Shard {
    /// Reports the end of tracked series before their slots go to others.
    pub(super) fn note_ends(&mut self) {
        let ended = self.normalized.ended.iter().copied();
        let released = self.normalized.released.iter().map(|slot| (*slot, self.last_ts_ms));
        for (slot, ts_ms) in ended.chain(released) {
            if let Some(tracked) = self.tracked.get(&slot) {
                self.events.push_back(Event::Ended { id: tracked.id, ts_ms });
            }
        }
        for slot in &self.normalized.released {
            self.tracked.remove(slot);
        }
    }

    /// Passes what was gathered so far on to the alerting stage.
    pub(super) fn report(&mut self) {
        if self.phase != Phase::Live {
            self.verdicts.clear();
            self.events.clear();
        }
        let mut refused = 0;
        for verdict in std::mem::take(&mut self.verdicts) {
            self.meta.count_verdict(verdict.pattern);
            let (Some(raw), Some(info)) = (self.normalizer.slot_raw(verdict.slot), self.normalizer.info(verdict.slot))
            else {
                continue;
            };
            // The stage keeps the words of a series that it asked for.
            let tracked = self.tracked.get_mut(&verdict.slot).filter(|tracked| tracked.id == info.id);
            if self.full && tracked.is_none() {
                refused += u64::from(verdict.alarm);
                continue;
            }
            let told = tracked.is_some_and(|tracked| std::mem::replace(&mut tracked.told, true));
            let about = (!told).then(|| {
                let entity = self.normalizer.entity_name(info.entity).to_owned();
                Box::new(About {
                    labels: self.labels(raw),
                    common: info.metric,
                    entity,
                    unit: info.spec.unit,
                    limits: self.limits_of(verdict.slot),
                })
            });
            let input = AlertInput { shard: self.meta.index, id: info.id, about, verdict };
            self.events.push_back(Event::Verdict(input));
        }
        if refused > 0 {
            self.events.push_back(Event::Refused(refused));
        }
        self.pass_on();
    }

    /// Whether the alerting stage has no room for further series: their words are not even made then.
    pub fn hold_back(&mut self, full: bool) {
        self.full = full;
    }

    /// Never waits: the alerting stage asks the shards for the roll-ups of hosts. What does not go now goes with the
    /// next batch or the next second.
    fn pass_on(&mut self) {
        while !self.events.is_empty() {
            match self.alerts.try_reserve() {
                Ok(room) => room.send(self.events.drain(..self.events.len().min(PASSED_ON)).collect()),
                Err(mpsc::error::TrySendError::Full(())) => break,
                Err(mpsc::error::TrySendError::Closed(())) => self.events.clear(),
            }
        }
        let beyond = self.events.len().saturating_sub(MAX_EVENTS);
        for event in self.events.drain(..beyond) {
            // The words that were lost with it are told again.
            if let Event::Verdict(AlertInput { about: Some(_), verdict, .. }) = event
                && let Some(tracked) = self.tracked.get_mut(&verdict.slot)
            {
                tracked.told = false;
            }
        }
        self.meta.lost_events += beyond as u64;
    }

    /// Reports each sample of series `id` from now on, or no longer; nothing if `slot` is another series by now.
    pub fn track(&mut self, id: SeriesId, slot: u32, on: bool) {
        if self.normalizer.info(slot).is_none_or(|info| info.id != id) {
            return;
        }
        self.judge.track(slot, on);
        if on {
            self.tracked.insert(slot, Tracked { id, told: false });
        } else {
            self.tracked.remove(&slot);
        }
    }

    /// The same for a series whose slot is not known.
    pub fn track_by_id(&mut self, id: SeriesId, on: bool) {
        if let Some(slot) = self.normalizer.slot_of(id) {
            self.track(id, slot, on);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use watchbell_detect::{CivilTime, Judge, JudgeConfig};
    use watchbell_normalize::{Limits, Normalizer, Rules, Shard as ShardOf};
    use watchbell_series::{Labels, MetricKind, RawBatch, RawSample};

    use super::*;
    use crate::pipeline::handle::ShardMeta;

    const T: i64 = 1_700_000_000_000;

    /// A shard that reports each sample of one series, with `room` for so many messages.
    fn shard(room: usize) -> (Shard, mpsc::Receiver<Vec<Event>>) {
        let (alerts, events) = mpsc::channel(room);
        let rules = Arc::new(Rules::load::<&str, &str>(&[], &[]).expect("the built-in ones"));
        let normalizer = Normalizer::new(rules, ShardOf { index: 0, count: 1 }, Limits::default());
        let judge = Judge::new(JudgeConfig::default(), CivilTime::utc());
        let mut shard = Shard::new(ShardMeta::new(0, 1), normalizer, judge, None, alerts, i64::MAX);
        feed(&mut shard, 0..1);
        shard.track(labels().id(), 0, true);
        (shard, events)
    }

    fn labels() -> Labels {
        Labels::series([("__name__", "load"), ("instance", "web-1")]).expect("labels")
    }

    fn feed(shard: &mut Shard, rows: std::ops::Range<i64>) {
        let sample = |i: i64| RawSample { ts_ms: T + 15_000 * i, value: (i * 7919 % 13) as f64 };
        let samples: Vec<RawSample> = rows.map(sample).collect();
        let received_ms = samples.last().map_or(T, |sample| sample.ts_ms);
        let mut batch = RawBatch { received_ms, ..RawBatch::default() };
        batch.push(&labels(), MetricKind::Gauge, &samples);
        shard.ingest(&batch, &[0]);
    }

    #[test]
    fn a_series_is_told_in_words_once() {
        let (mut shard, mut events) = shard(8);
        feed(&mut shard, 1..5);
        shard.track(labels().id(), 0, true);
        feed(&mut shard, 5..7);
        let mut words = Vec::new();
        while let Ok(batch) = events.try_recv() {
            for event in batch {
                let Event::Verdict(input) = event else { panic!("no verdict: {event:?}") };
                words.push(input.about.is_some());
            }
        }
        assert_eq!(words, [true, false, false, false, true, false], "and again whenever it is asked for");
    }

    #[test]
    fn a_full_book_is_told_of_series_that_it_has_and_of_the_number_of_others() {
        let (mut shard, mut events) = shard(8);
        shard.hold_back(true);
        feed(&mut shard, 1..3);
        shard.track(labels().id(), 0, false);
        shard.verdicts.push(verdict(true));
        shard.verdicts.push(verdict(false));
        shard.report();
        let told: Vec<Event> = std::iter::from_fn(|| events.try_recv().ok()).flatten().collect();
        assert!(told[..2].iter().all(|event| matches!(event, Event::Verdict(_))), "{told:?}");
        assert!(matches!(told[2..], [Event::Refused(1)]), "{told:?}");
    }

    fn verdict(alarm: bool) -> watchbell_series::Verdict {
        watchbell_series::Verdict {
            slot: 0,
            ts_ms: T,
            value: 0.0,
            score: 2.0,
            edge: 1.0,
            onset: alarm,
            alarm,
            pattern: watchbell_series::Pattern::Spike,
            expected: 0.0,
            lower: 0.0,
            upper: 0.0,
            why: watchbell_series::Why::UNKNOWN,
        }
    }

    #[test]
    fn what_waits_for_a_stage_that_hangs_is_bounded_and_counted() {
        let (mut shard, mut events) = shard(2);
        let count = (2 * PASSED_ON + MAX_EVENTS + 100) as i64;
        feed(&mut shard, 1..count + 1);
        assert_eq!((shard.events.len(), shard.status().lost_events), (MAX_EVENTS, 100));
        let taken: Vec<usize> = std::iter::from_fn(|| events.try_recv().ok()).map(|batch| batch.len()).collect();
        assert_eq!(taken, [PASSED_ON, PASSED_ON]);
    }
}
