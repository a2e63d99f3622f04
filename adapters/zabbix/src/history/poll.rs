//! The loop: the list of items now and then, their values each interval, and patience where the frontend has none.

use std::time::Duration;

use tokio::time::Instant;
use watchbell_adapter_api::metrics::{Counter, Gauge};
use watchbell_adapter_api::seldom::Seldom;
use watchbell_adapter_api::{Clock, Receipt, SourceContext};
use watchbell_series::{Mode, RawBatch};

use super::fetch::{self, PAGE};
use super::late::{Held, SPAN_S};
use super::positions::{self, Positions};
use super::round::{Changes, Round, Skipped, together};
use super::{CARRIED, DISCOVERIES, HistoryConfig, ITEMS, LAG, ROUND, SKIPPED, VALUES};
use crate::api::{Api, ApiError, ErrorKind};
use crate::feed::{Stopped, submit};
use crate::select::discover;

/// Fewer items are not asked for, however slow the frontend is.
const FEWEST_ITEMS: usize = 16;
/// An answer in this time lets the number of items grow again.
const QUICK: Duration = Duration::from_secs(2);
/// The first pause after a failure; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// How often positions are kept at most, but for the end.
const KEEP: Duration = Duration::from_secs(30);

/// Why a round did not come to its end.
enum Halt {
    Stopped,
    Failed(ApiError),
}

impl From<Stopped> for Halt {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<ApiError> for Halt {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

struct Poll {
    api: Api,
    config: HistoryConfig,
    context: SourceContext,
    round: Round,
    /// What was kept from before the start.
    kept: Positions,
    discovered: Option<Instant>,
    /// When positions were kept last.
    written: Option<Instant>,
    /// Items of one request now.
    items: usize,
    failures: u32,
    said: Seldom,
    values: Counter,
    refused: Counter,
    carried: Counter,
    skipped: Skipped,
    late: Counter,
    lag: Gauge,
}

pub(super) async fn run(api: Api, config: HistoryConfig, context: SourceContext) {
    let kept = match context.state.clone() {
        Some(folder) => tokio::task::spawn_blocking(move || positions::read(&folder)).await.unwrap_or_default(),
        None => Positions::new(),
    };
    let (metrics, name) = (&context.metrics, &*context.name);
    let skipped = |reason| metrics.counter(&SKIPPED, &[name, reason]);
    let mut poll = Poll {
        api: api.counted(metrics, &context.clock, name),
        items: config.items_per_request,
        config,
        round: Round::default(),
        kept,
        discovered: None,
        written: None,
        failures: 0,
        said: Seldom::default(),
        values: metrics.counter(&VALUES, &[name]),
        refused: skipped("refused"),
        carried: metrics.counter(&CARRIED, &[name]),
        skipped: Skipped {
            known: skipped("known"),
            text: skipped("text"),
            same_millisecond: skipped("same_millisecond"),
            ahead: skipped("refused"),
        },
        late: skipped("late"),
        lag: metrics.gauge(&LAG, &[name]),
        context,
    };
    let mut shutdown = poll.context.shutdown.clone();
    loop {
        let began = Instant::now();
        // A stop cuts a request short: nothing of it was judged.
        let ended = tokio::select! {
            ended = poll.all() => ended,
            () = shutdown.wait() => Err(Halt::Stopped),
        };
        let pause = match ended {
            Ok(()) => poll.worked(began),
            Err(Halt::Stopped) => break,
            Err(Halt::Failed(error)) => poll.failed(&error),
        };
        if !shutdown.sleep(pause).await {
            break;
        }
    }
    poll.keep().await;
    // The server may be away as well.
    let _ = tokio::time::timeout(Duration::from_secs(2), poll.api.log_out()).await;
}

impl Poll {
    /// One round: the list of items where it is time, then the values of all that are due.
    async fn all(&mut self) -> Result<(), Halt> {
        if self.discovered.is_none_or(|at| at.elapsed() >= self.config.refresh.0) {
            self.discover().await?;
        }
        for value_type in [3, 0] {
            let (lookback_s, catch_up_s) =
                (self.config.lookback.millis() / 1_000, self.config.catch_up.millis() / 1_000);
            let now_s = self.now_ms() / 1_000;
            let due = self.round.due(value_type, now_s, lookback_s, catch_up_s);
            let mut rest = &due[..];
            while !rest.is_empty() {
                let count = together(rest, self.items, self.config.interval.millis() / 1_000, now_s);
                let (chunk, after) = rest.split_at(count);
                self.chunk(value_type, chunk).await?;
                rest = after;
            }
        }
        self.carry().await?;
        self.count_late().await?;
        if self.written.is_none_or(|at| at.elapsed() >= KEEP) {
            self.keep().await;
        }
        Ok(())
    }

    /// Now, by the clock of the frontend.
    fn now_ms(&self) -> i64 {
        self.api.now_ms(self.context.clock.now_ms())
    }

    async fn discover(&mut self) -> Result<(), Halt> {
        let catalog = discover(&self.api, &self.config.select, &self.config.tags, &self.config.labels).await?;
        let (metrics, source) = (&self.context.metrics, &*self.context.name);
        let (hosts, items) = (catalog.hosts.len(), catalog.items.len());
        let mut stale = RawBatch::default();
        let first = self.discovered.is_none();
        let changes = self.round.update(catalog.items, &self.kept, self.context.clock.now_ms(), &mut stale);
        self.kept = Positions::new();
        self.round.forget(self.now_ms() / 1_000 - self.config.catch_up.millis() / 1_000);
        self.discovered = Some(Instant::now());
        metrics.gauge(&ITEMS, &[source]).set(items as f64);
        metrics.counter(&SKIPPED, &[source, "invalid"]).inc_by(catalog.invalid as f64);
        let Changes { new, gone, renamed, retyped } = changes;
        for (change, count) in [("new", new), ("gone", gone), ("renamed", renamed), ("retyped", retyped)] {
            metrics.counter(&DISCOVERIES, &[source, change]).inc_by(count as f64);
        }
        let url = self.api.url();
        if first || new + gone + renamed + retyped > 0 {
            tracing::info!(source, url, hosts, items, new, gone, renamed, retyped, "items of Zabbix");
        }
        if gone > 0 {
            tracing::warn!(
                source,
                url,
                gone,
                "items are gone: deleted, disabled, or the user lost the right to read their hosts; their series end"
            );
        }
        if items == 0 && self.said.may("nothing", self.context.clock.now_ms()) {
            let hint = "does `select` fit, and has the user the right to read the host groups?";
            tracing::warn!(source, url, hosts, hint, "no numeric item to read");
        }
        if let Some(remark) = catalog.remark.filter(|_| first) {
            tracing::warn!(source, url, remark, "not everything about items is known");
        }
        self.submit(Mode::Live, stale).await?;
        Ok(())
    }

    /// Reads the values of `chunk`, which is sorted by where its items stand.
    async fn chunk(&mut self, value_type: u8, chunk: &[(i64, u64)]) -> Result<(), Halt> {
        let Some((mut from, _)) = chunk.first().copied() else { return Ok(()) };
        let ids: Vec<u64> = chunk.iter().map(|(_, id)| *id).collect();
        loop {
            let began = Instant::now();
            let page = fetch::page(&self.api, value_type, &ids, from, None, PAGE).await?;
            if began.elapsed() <= QUICK {
                self.items = (self.items + self.items / 8 + 1).min(self.config.items_per_request);
            } else if began.elapsed() > 3 * QUICK {
                self.fewer();
            }
            let (name, now_ms) = (self.context.name.clone(), self.now_ms());
            let (said, skipped) = (&mut self.said, &self.skipped);
            let news = self.round.news(&page.rows, now_ms, skipped, |item, count| {
                if said.may(&format!("text {}", item.id), now_ms) {
                    let labels = item.labels.to_string();
                    tracing::warn!(source = %name, item = item.id, labels, count, "text where a number was is skipped");
                }
            });
            let count = news.live.samples.len() + news.late.samples.len();
            self.submit(Mode::Backfill, news.late.clone()).await?;
            self.submit(Mode::Live, news.live.clone()).await?;
            self.round.judged(&news);
            self.values.inc_by(count as f64);
            match page.next {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }

    /// Repeats values that still hold. An interval behind now, so that a change that is on its way is not overtaken.
    async fn carry(&mut self) -> Result<(), Stopped> {
        let behind_s = self.config.interval.millis() / 1_000;
        let at_s = self.now_ms() / 1_000 - behind_s;
        let mut batch = RawBatch::default();
        let count = self.round.carry(at_s, behind_s, &mut batch);
        self.carried.inc_by(count as f64);
        self.submit(Mode::Live, batch).await
    }

    /// Counts what arrived too late to be judged, once a span.
    async fn count_late(&mut self) -> Result<(), Halt> {
        let now_s = self.now_ms() / 1_000;
        let Some(begin_s) = self.round.over(now_s) else { return Ok(()) };
        let till_s = begin_s + SPAN_S - 1;
        for value_type in [3, 0] {
            for ids in self.round.counted(value_type, begin_s).chunks(self.config.items_per_request) {
                if fetch::count(&self.api, value_type, ids, begin_s, till_s).await? == self.round.seen(ids) {
                    continue;
                }
                let (mut held, mut from) = (Held::default(), Some(begin_s));
                while let Some(second) = from {
                    let page = fetch::page(&self.api, value_type, ids, second, Some(till_s), PAGE).await?;
                    held.add(&page.rows, |id| self.round.items.get(&id)?.last);
                    from = page.next;
                }
                self.tell_late(&held);
            }
        }
        self.round.next_span(now_s);
        Ok(())
    }

    fn tell_late(&mut self, held: &Held) {
        let late = held.late(&self.round.items);
        let Some((first, _)) = late.first() else { return };
        let (items, values) = (late.len(), late.iter().map(|(_, count)| u64::from(*count)).sum::<u64>());
        self.late.inc_by(values as f64);
        if self.said.may("late", self.context.clock.now_ms()) {
            let (item, labels) = (first.item.id, first.item.labels.to_string());
            let hint = "check the clocks and the buffers of whoever sends them; judged are values in the order of time";
            tracing::warn!(
                source = %self.context.name, items, values, item, labels, hint,
                "values arrived after newer ones of their items were read, and are left out"
            );
        }
    }

    async fn submit(&mut self, mode: Mode, batch: RawBatch) -> Result<(), Stopped> {
        let now_ms = self.context.clock.now_ms();
        let received_ms = self.api.received_ms(now_ms);
        let receipt: Receipt =
            submit(&self.context.ingest, &mut self.context.shutdown.clone(), mode, received_ms, batch).await?;
        self.refused.inc_by((receipt.future + receipt.out_of_order + receipt.conflicts) as f64);
        let hint = receipt.hint();
        if let Some(problem) = receipt.problem.filter(|_| self.said.may("receipt", now_ms)) {
            tracing::warn!(source = %self.context.name, problem, hint, "not everything was taken");
        }
        Ok(())
    }

    /// Keeps where all items stand, if that is news.
    async fn keep(&mut self) {
        let Some(folder) = self.context.state.clone() else { return };
        if self.discovered.is_none() || !self.round.moved() {
            return;
        }
        self.written = Some(Instant::now());
        let positions = self.round.positions();
        let kept = tokio::task::spawn_blocking(move || positions::write(&folder, &positions)).await;
        if let Ok(Err(error)) = kept
            && self.said.may("positions", self.context.clock.now_ms())
        {
            tracing::warn!(source = %self.context.name, %error, "can not keep positions in the data folder");
        }
    }

    /// A round was done: gives the pause until the next.
    fn worked(&mut self, began: Instant) -> Duration {
        let (source, url) = (&*self.context.name, self.api.url());
        self.context.health.well("api");
        if self.failures > 0 {
            tracing::info!(source, url, "Zabbix answers again");
            self.failures = 0;
        }
        let took = began.elapsed();
        self.context.metrics.gauge(&ROUND, &[source]).set(took.as_secs_f64());
        if let Some(newest) = self.round.newest_ms() {
            self.lag.set((self.now_ms() - newest) as f64 / 1_000.0);
        }
        let now_ms = self.context.clock.now_ms();
        if self.api.is_skewed() && self.said.may("skew", now_ms) {
            self.api.tell_skew(source);
        }
        if took > self.config.interval.0 && self.said.may("slow", now_ms) {
            let (seconds, items) = (took.as_secs_f64(), self.round.items.len());
            let hint = "select fewer items, raise `interval`, or let the frontend do more requests a second";
            tracing::warn!(source, url, seconds, items, hint, "a round takes longer than the interval");
        }
        self.config.interval.0.saturating_sub(took).max(Duration::from_millis(100))
    }

    /// A request failed: gives the pause until the round begins anew. Positions stay where they are.
    fn failed(&mut self, error: &ApiError) -> Duration {
        if matches!(error.kind, ErrorKind::TooMuch | ErrorKind::Failing) {
            self.fewer();
        }
        let (source, now_ms) = (&*self.context.name, self.context.clock.now_ms());
        self.context.health.failing("api", error, now_ms);
        if self.said.may(&format!("{:?} {}", error.kind, error.method), now_ms) {
            tracing::warn!(source, %error, "Zabbix can not be read; it is tried again, nothing is lost meanwhile");
        }
        self.failures += 1;
        if error.is_passing() {
            FIRST_PAUSE.saturating_mul(1 << (self.failures - 1).min(8)).min(LONGEST_PAUSE)
        } else {
            // Nothing changes until someone acts.
            self.config.interval.0.max(Duration::from_secs(1)).min(LONGEST_PAUSE)
        }
    }

    fn fewer(&mut self) {
        self.items = (self.items / 2).max(FEWEST_ITEMS.min(self.config.items_per_request));
    }
}
