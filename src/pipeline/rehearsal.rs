//! The stages of `run` on one thread, step by step, in a time that is told: for tests of rules, for a past minute that
//! is asked about, and for a replay. The code is that of the service; threads, logs and sinks are missing, and what
//! takes a fleet, the tick stage with its joint scores and peers and the time of the budgets of alerts, which a
//! [replay](crate::replay::stages) adds.

use tokio::sync::mpsc;
use watchbell_adapter_api::HostReading;
use watchbell_detect::{CivilTime, Judge, JudgeConfig};
use watchbell_normalize::{Limits, Normalizer, ReceiptPart, Rules, Shard as ShardOf};
use watchbell_series::{RawBatch, Selector};

use super::handle::ShardMeta;
use super::insight::Found;
use super::scores::readings;
use super::shard::{Event, Shard};
use super::tick::board::Hosts;
use super::{alerts, civil, rules, service};
use crate::alerting::{self, Book, Changes, RuleStanding, Track};
use crate::config::Settings;

/// Batches of events between two drains: as many as can be, for here nobody reads in between.
const EVENTS: usize = 1 << 16;

/// What a rehearsal works by.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What rules say of metrics.
    pub rules: std::sync::Arc<Rules>,
    /// How series are judged.
    pub judging: JudgeConfig,
    /// Civil time.
    pub time: CivilTime,
    /// Which anomalies become alerts.
    pub alerts: alerting::Rules,
    /// Bounds.
    pub limits: Limits,
    /// Where people reach the service, for links in alerts; may be empty.
    pub external_url: String,
}

impl Setup {
    /// As the service works with these settings.
    ///
    /// # Errors
    /// All problems of all files of rules, a text each.
    pub fn of(settings: &Settings) -> Result<Self, Vec<String>> {
        let settings = &Settings { shards: 1, ..settings.clone() };
        let (rules, alerts) = (rules::load(settings), alerts::load_rules(settings));
        match (rules, alerts) {
            (Ok(rules), Ok(alerts)) => Ok(Self {
                rules,
                judging: service::judge_config(settings),
                time: civil::table(&settings.timezone),
                alerts,
                limits: rules::limits(settings),
                external_url: settings.external_url.clone().unwrap_or_default(),
            }),
            (rules, alerts) => Err([rules.err(), alerts.err()].into_iter().flatten().flatten().collect()),
        }
    }
}

/// The stages.
#[derive(Debug)]
pub struct Rehearsal {
    shard: Shard,
    events: mpsc::Receiver<Vec<Event>>,
    book: Book,
    /// Names of hosts as of this number are settled.
    hosts: Option<u64>,
}

impl Rehearsal {
    /// With nothing learned.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let (alerts, events) = mpsc::channel(EVENTS);
        let normalizer = Normalizer::new(setup.rules, ShardOf { index: 0, count: 1 }, setup.limits);
        let judge = Judge::new(setup.judging, setup.time);
        let shard = Shard::new(ShardMeta::new(0, 1), normalizer, judge, None, alerts, setup.limits.idle_ms);
        Self { shard, events, book: Book::new(setup.alerts, &setup.external_url), hosts: None }
    }

    /// Takes a batch as it arrives at its `received_ms`, then lets the clock tick: what became of its samples,
    /// and what follows for alerts.
    pub fn step(&mut self, batch: &RawBatch) -> (ReceiptPart, Changes) {
        let mut changes = Changes::default();
        let part = self.take(batch, &mut changes);
        self.tick(batch.received_ms, &mut changes);
        (part, changes)
    }

    /// Takes a batch as it arrives at its `received_ms`: what became of its samples.
    pub fn take(&mut self, batch: &RawBatch, changes: &mut Changes) -> ReceiptPart {
        // With one shard no series belongs elsewhere.
        let which: Vec<u32> = (0..batch.series.len() as u32).collect();
        let receipt = self.shard.ingest(batch, &which);
        self.shard.settle_hosts(&mut self.hosts);
        self.drain(batch.received_ms, changes);
        receipt.part
    }

    /// Lets the clock tick at `now_ms`, as the service does each second.
    pub fn tick(&mut self, now_ms: i64, changes: &mut Changes) {
        self.work(now_ms, changes, |shard| shard.sweep(now_ms));
        self.judge_hosts(now_ms, &readings(self.shard.hosts(), &Hosts::new(), now_ms), changes);
    }

    /// Lets the shard work at `now_ms`, and hands what it has to tell to the book; whether there was anything.
    pub fn work(&mut self, now_ms: i64, changes: &mut Changes, work: impl FnOnce(&mut Shard)) -> bool {
        work(&mut self.shard);
        self.drain(now_ms, changes)
    }

    /// Lets the clock of the book tick at `now_ms`, with what is known of hosts.
    pub fn judge_hosts(&mut self, now_ms: i64, hosts: &[HostReading], changes: &mut Changes) {
        let before = changes.track.len();
        self.book.tick(now_ms, hosts, changes);
        self.follow(&changes.track[before..]);
    }

    /// The judged series that `selectors` select as of `now_ms`, at most `most`, and how alert rules stand to
    /// each.
    #[must_use]
    pub fn find(&self, selectors: &[Selector], now_ms: i64, most: usize) -> Vec<(Found, Vec<RuleStanding>)> {
        let (mut found, mut matched, mut next) = (Vec::new(), 0, Some(0));
        while let Some(slot) = next {
            next = self.shard.find(selectors, slot, now_ms, most, &mut found, &mut matched);
        }
        let stand = |found: Found| {
            let asked = found.question();
            let standing = self.book.standing(asked.id, &asked.about, &asked.probe, now_ms);
            (found, standing)
        };
        found.into_iter().map(stand).collect()
    }

    /// All alerts, firing or not.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The same, to let time pass for budgets.
    pub fn book_mut(&mut self) -> &mut Book {
        &mut self.book
    }

    /// The shard.
    #[must_use]
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// What is known of series and what is not judged.
    #[must_use]
    pub fn normalizer(&self) -> &Normalizer {
        self.shard.parts().0
    }

    fn drain(&mut self, now_ms: i64, changes: &mut Changes) -> bool {
        let (before, mut any) = (changes.track.len(), false);
        while let Ok(events) = self.events.try_recv() {
            any = true;
            for event in events {
                match event {
                    Event::Verdict(input) => self.book.observe(input, now_ms, changes),
                    Event::Refused(count) => self.book.refuse(count),
                    Event::Ended { id, ts_ms } => self.book.ended(id, ts_ms, now_ms, changes),
                }
            }
        }
        self.follow(&changes.track[before..]);
        any
    }

    fn follow(&mut self, tracks: &[Track]) {
        for Track { id, place, on } in tracks {
            match place {
                Some((_, slot)) => self.shard.track(*id, *slot, *on),
                None => self.shard.track_by_id(*id, *on),
            }
        }
    }
}
