//! The stages of `run` on one thread: one shard, and the book of alerts. The clock is whatever it is told.

use anyhow::anyhow;
use tokio::sync::mpsc;
use watchbell_adapter_api::HostReading;
use watchbell_detect::Judge;
use watchbell_normalize::{Normalizer, Shard as ShardOf};
use watchbell_series::RawBatch;

use crate::alerting::{Book, Changes, Episode, Transition};
use crate::config::Settings;
use crate::pipeline::handle::ShardMeta;
use crate::pipeline::scores::readings;
use crate::pipeline::service::judge_config;
use crate::pipeline::shard::{Event, Shard, ShardStatus};
use crate::pipeline::tick::board::Hosts;
use crate::pipeline::tick::local::LocalTicker;
use crate::pipeline::{alerts, civil, rules};

/// A host under this score can not begin an alert by any rule that is worth having.
const QUIET: f32 = 0.5;

/// One shard and the book that its verdicts go to.
#[derive(Debug)]
pub struct Stages {
    shard: Shard,
    events: mpsc::Receiver<Vec<Event>>,
    book: Book,
    ticker: Option<LocalTicker>,
    hosts: Vec<HostReading>,
    /// Judged series, samples of them so far, and when the first came.
    series: u64,
    samples: u64,
    began_ms: Option<i64>,
    /// Names of hosts as of this number are settled.
    names: Option<u64>,
    /// Whether samples came since `hosts` were looked at.
    stale: bool,
}

impl Stages {
    /// By the rules and constants of `settings`, with nothing learned.
    ///
    /// # Errors
    /// Rules are not valid.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let settings = Settings { shards: 1, ..settings.clone() };
        let problems = |problems: Vec<String>| anyhow!(problems.join("\n"));
        let mapping = rules::load(&settings).map_err(problems)?;
        let limits = rules::limits(&settings);
        let alerting = alerts::load_rules(&settings).map_err(problems)?;
        // It is emptied after each call.
        let (sender, events) = mpsc::channel(4);
        let normalizer = Normalizer::new(mapping, ShardOf { index: 0, count: 1 }, limits);
        let judge = Judge::new(judge_config(&settings), civil::table(&settings.timezone));
        let shard = Shard::new(ShardMeta::new(0, 1), normalizer, judge, None, sender, limits.idle_ms);
        let book = Book::new(alerting, settings.external_url.as_deref().unwrap_or_default());
        let ticker = LocalTicker::new(&settings);
        Ok(Self {
            shard,
            events,
            book,
            ticker,
            hosts: Vec::new(),
            series: 0,
            samples: 0,
            began_ms: None,
            names: None,
            stale: true,
        })
    }

    /// Judges `batch` as it is received at `batch.received_ms`; what follows for alerts goes to `out`.
    pub fn take(&mut self, batch: &RawBatch, out: &mut Vec<Transition>) {
        // With one shard no series belongs elsewhere.
        let all: Vec<u32> = (0..batch.series.len() as u32).collect();
        self.shard.ingest(batch, &all);
        self.shard.settle_hosts(&mut self.names);
        self.stale = true;
        self.observe(batch.received_ms, out);
    }

    /// The clock moves on to `now_ms`: samples that did not come are noticed, alerts ripen and end.
    pub fn tick(&mut self, now_ms: i64, out: &mut Vec<Transition>) {
        self.shard.sweep(now_ms);
        let ticked = self.ticker.as_mut().is_some_and(|ticker| ticker.tick(&mut self.shard, now_ms));
        self.stale |= self.observe(now_ms, out) || ticked;
        if std::mem::take(&mut self.stale) {
            self.hosts = self.look(now_ms);
            let status = self.shard.status();
            (self.series, self.samples) = (status.judged, status.stats.judged);
        }
        let elapsed_ms = now_ms - *self.began_ms.get_or_insert(now_ms);
        let per_week = alerts::samples_per_week(self.samples as f64, self.series, elapsed_ms);
        self.book.tick_budgets(now_ms, &self.hosts, self.series, per_week);
        let mut changes = Changes::default();
        self.book.tick(now_ms, &self.hosts, &mut changes);
        self.follow(changes, out);
    }

    /// Whether nothing can happen before another sample comes or fails to come: no alert is under way, and no host
    /// has an anomalous series.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let counts = self.book.counts();
        counts.pending + counts.firing + counts.held + counts.suppressed == 0
            && self.hosts.iter().all(|host| host.anomalous == 0 && (host.score.is_nan() || host.score < QUIET))
    }

    /// The alerts that fire now.
    pub fn open(&self) -> impl Iterator<Item = &Episode> {
        self.book.open()
    }

    /// What the shard counts.
    #[must_use]
    pub fn status(&self) -> ShardStatus {
        self.shard.status()
    }

    /// The hosts that were looked at last.
    #[must_use]
    pub fn hosts(&self) -> &[HostReading] {
        &self.hosts
    }

    fn look(&self, now_ms: i64) -> Vec<HostReading> {
        let none = Hosts::new();
        let board = self.ticker.as_ref().map_or(&none, LocalTicker::board);
        readings(self.shard.hosts(), board, now_ms)
    }

    /// Hands what the shard has to tell to the book; whether there was anything.
    fn observe(&mut self, now_ms: i64, out: &mut Vec<Transition>) -> bool {
        let mut changes = Changes::default();
        let mut any = false;
        while let Ok(batch) = self.events.try_recv() {
            any = true;
            for event in batch {
                match event {
                    Event::Verdict(input) => self.book.observe(input, now_ms, &mut changes),
                    Event::Ended { id, ts_ms } => self.book.ended(id, ts_ms, now_ms, &mut changes),
                }
            }
        }
        self.follow(changes, out);
        any
    }

    fn follow(&mut self, changes: Changes, out: &mut Vec<Transition>) {
        for track in changes.track {
            match track.place {
                Some((_, slot)) => self.shard.track(track.id, slot, track.on),
                None => self.shard.track_by_id(track.id, track.on),
            }
        }
        out.extend(changes.transitions);
    }
}
