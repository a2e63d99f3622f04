//! The stages of `run` on one thread, with the fleet: a rehearsal with the tick stage and the time of the budgets of
//! alerts. The clock is whatever it is told.

use anyhow::anyhow;
use watchbell_adapter_api::HostReading;
use watchbell_series::RawBatch;

use crate::alerting::{Changes, Episode, Transition};
use crate::config::Settings;
use crate::pipeline::alerts;
use crate::pipeline::rehearsal::{Rehearsal, Setup};
use crate::pipeline::scores::readings;
use crate::pipeline::shard::ShardStatus;
use crate::pipeline::tick::board::Hosts;
use crate::pipeline::tick::local::LocalTicker;

/// A host under this score can not begin an alert by any rule that is worth having.
const QUIET: f32 = 0.5;

/// One shard, the fleet, and the book that their verdicts go to.
#[derive(Debug)]
pub struct Stages {
    rehearsal: Rehearsal,
    ticker: Option<LocalTicker>,
    hosts: Vec<HostReading>,
    /// Judged series, samples of them so far, and when the first came.
    series: u64,
    samples: u64,
    began_ms: Option<i64>,
    /// Whether samples came since `hosts` were looked at.
    stale: bool,
}

impl Stages {
    /// By the rules and constants of `settings`, with nothing learned.
    ///
    /// # Errors
    /// Rules are not valid.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let setup = Setup::of(settings).map_err(|problems| anyhow!(problems.join("\n")))?;
        let (rehearsal, ticker) = (Rehearsal::new(setup), LocalTicker::new(settings));
        Ok(Self { rehearsal, ticker, hosts: Vec::new(), series: 0, samples: 0, began_ms: None, stale: true })
    }

    /// Judges `batch` as it is received at `batch.received_ms`; what follows for alerts goes to `out`.
    pub fn take(&mut self, batch: &RawBatch, out: &mut Vec<Transition>) {
        let mut changes = Changes::default();
        self.rehearsal.take(batch, &mut changes);
        self.stale = true;
        out.extend(changes.transitions);
    }

    /// The clock moves on to `now_ms`: samples that did not come are noticed, alerts ripen and end.
    pub fn tick(&mut self, now_ms: i64, out: &mut Vec<Transition>) {
        let (mut changes, mut ticked, ticker) = (Changes::default(), false, &mut self.ticker);
        self.stale |= self.rehearsal.work(now_ms, &mut changes, |shard| {
            shard.sweep(now_ms);
            ticked = ticker.as_mut().is_some_and(|ticker| ticker.tick(shard, now_ms));
        });
        self.stale |= ticked;
        if std::mem::take(&mut self.stale) {
            self.hosts = self.look(now_ms);
            let status = self.status();
            (self.series, self.samples) = (status.judged, status.stats.judged);
        }
        let elapsed_ms = now_ms - *self.began_ms.get_or_insert(now_ms);
        let per_week = alerts::samples_per_week(self.samples as f64, self.series, elapsed_ms);
        self.rehearsal.book_mut().tick_budgets(now_ms, &self.hosts, self.series, per_week);
        self.rehearsal.judge_hosts(now_ms, &self.hosts, &mut changes);
        out.extend(changes.transitions);
    }

    /// Whether nothing can happen before another sample comes or fails to come: no alert is under way, and no host
    /// has an anomalous series.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let counts = self.rehearsal.book().counts();
        counts.pending + counts.firing + counts.held + counts.suppressed == 0
            && self.hosts.iter().all(|host| host.anomalous == 0 && (host.score.is_nan() || host.score < QUIET))
    }

    /// The alerts that fire now.
    pub fn open(&self) -> impl Iterator<Item = &Episode> {
        self.rehearsal.book().open()
    }

    /// What the shard counts.
    #[must_use]
    pub fn status(&self) -> ShardStatus {
        self.rehearsal.shard().status()
    }

    /// The hosts that were looked at last.
    #[must_use]
    pub fn hosts(&self) -> &[HostReading] {
        &self.hosts
    }

    fn look(&self, now_ms: i64) -> Vec<HostReading> {
        let none = Hosts::new();
        let board = self.ticker.as_ref().map_or(&none, LocalTicker::board);
        readings(self.rehearsal.shard().hosts(), board, now_ms)
    }
}
