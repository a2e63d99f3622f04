//! The loop of one target: wait for its turn, scrape, read, hand over.
//!
//! Whatever a target does, a turn ends within the scrape timeout and gives a batch: the samples of the
//! page, or on failure the end of all its series, and `up` and its kin either way. A runner that is retired
//! because its target is gone waits a little over two intervals before it ends the series: if the target
//! came back in the meantime, its newer samples win over the late end marks. A shutdown ends no series:
//! the targets live on, and the next process goes on with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use watchbell_adapter_api::{IngestError, Receipt, Shutdown, SourceContext};
use watchbell_series::RawBatch;

use super::cache::SeriesCache;
use super::failure::Failure;
use super::fetch::{Fetched, fetch};
use super::job::Job;
use super::page::{self, Page, push_ended};
use super::report::{Outcome, Report};
use super::stats::{Counted, State, Stats};
use super::target::Target;

/// Pages up to this size are read where the runner runs; larger ones would hold up other tasks.
const SMALL_PAGE: usize = 1 << 20;
/// A scrape that begins this close to its turn gets the time of its turn, so that intervals stay equal.
const TOLERANCE_MS: i64 = 2;

/// What all runners of a source share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) job: Arc<Job>,
    pub(crate) context: SourceContext,
    pub(crate) stats: Arc<Stats>,
    /// Set while there are more targets than `target_limit`: every scrape fails then.
    pub(crate) too_many_targets: AtomicBool,
}

/// The loop of one target.
#[derive(Debug)]
pub(crate) struct Runner {
    shared: Arc<Shared>,
    target: Arc<Target>,
    report: Report,
    cache: SeriesCache,
    state: Counted,
    /// Whether the last page had bad lines.
    untidy: bool,
    /// Size of the last page.
    last_size: usize,
}

impl Runner {
    pub(crate) fn new(shared: Arc<Shared>, target: Target) -> Self {
        Self {
            report: Report::new(&target.labels),
            state: Counted::new(Arc::clone(&shared.stats)),
            target: Arc::new(target),
            cache: SeriesCache::default(),
            untidy: false,
            last_size: 0,
            shared,
        }
    }

    /// Runs until the shutdown, or until it is retired and has ended its series.
    pub(crate) async fn run(mut self, mut retired: Shutdown) {
        let mut shutdown = self.shared.context.shutdown.clone();
        tokio::select! {
            () = shutdown.wait() => {}
            () = self.work(&mut retired) => {}
        }
    }

    async fn work(&mut self, retired: &mut Shutdown) {
        let interval = self.target.interval_ms();
        let mut due = i64::MIN;
        loop {
            let now = self.now();
            // The timer may wake a little early: the turn just taken must not come again.
            let after = if due > now && due - now < interval { due } else { now };
            due = self.target.next_after(after);
            if !retired.sleep(millis(due - now)).await {
                break;
            }
            let now = self.now();
            self.scrape(if (now - due).abs() <= TOLERANCE_MS { due } else { now }).await;
        }
        let wait = millis(due - self.now() + interval + interval / 10);
        tokio::time::sleep(wait).await;
        self.end(due).await;
    }

    fn now(&self) -> i64 {
        self.shared.context.clock.now_ms()
    }

    /// Scrapes once, for the time `at_ms`.
    pub(crate) async fn scrape(&mut self, at_ms: i64) {
        // Of the monotonic clock only the distance is used, which wall time has too coarse.
        let begun = Instant::now();
        let read = self.fetch_and_read(at_ms).await;
        let seconds = begun.elapsed().as_secs_f64();
        self.shared.stats.took(seconds);
        let (mut page, body, failure) = match read {
            Ok((page, body)) => {
                self.shared.stats.page(&page, body.len());
                self.last_size = body.len();
                (page, body, None)
            }
            Err(failure) => {
                self.shared.stats.failed(&failure);
                (Page { ended: self.cache.end_all(), ..Page::default() }, Vec::new(), Some(failure))
            }
        };
        self.tell(&page, failure.as_ref());
        let outcome = Outcome {
            up: failure.is_none(),
            seconds,
            scraped: page.scraped,
            kept: page.lines.len() as u64,
            added: page.added,
        };
        let receipt = self
            .submit(at_ms, |report| {
                let mut batch = page.batch(at_ms);
                push_ended(&mut batch, &page.ended, at_ms);
                report.push(&mut batch, &outcome, at_ms);
                batch
            })
            .await;
        // Behind the lines stand series that came with labels, and ends of series that nobody knows.
        let unknown: Vec<u32> = receipt.map(|r| r.unknown).unwrap_or_default();
        if unknown.iter().any(|at| (*at as usize) < page.lines.len()) {
            let (job, labels) = (&self.shared.job, &self.target.labels);
            self.submit(at_ms, |_| page.with_labels(&unknown, &body, at_ms, job, labels)).await;
        }
    }

    async fn fetch_and_read(&mut self, at_ms: i64) -> Result<(Page, Vec<u8>), Failure> {
        if self.shared.too_many_targets.load(Ordering::Relaxed) {
            return Err(Failure::Limit { name: "target_limit", limit: self.shared.job.target_limit });
        }
        let expected = self.last_size + self.last_size / 8;
        let Fetched { body, format } = fetch(&self.shared.job, &self.target, expected).await?;
        let is_small = body.len() <= SMALL_PAGE;
        let (job, target) = (Arc::clone(&self.shared.job), Arc::clone(&self.target));
        let mut cache = std::mem::take(&mut self.cache);
        let read = move || {
            let page = page::read(&body, format, at_ms, &job, &target.labels, &mut cache);
            (cache, page.map(|page| (page, body)))
        };
        let (cache, page) = if is_small {
            read()
        } else {
            tokio::task::spawn_blocking(read).await.map_err(|e| Failure::Broken(e.to_string()))?
        };
        self.cache = cache;
        page
    }

    /// Hands over what `make` gives. While the service is busy it waits and makes it again, until the next
    /// turn is due. `None` if it was not taken.
    async fn submit(&self, at_ms: i64, mut make: impl FnMut(&Report) -> RawBatch) -> Option<Receipt> {
        let deadline = at_ms + self.target.interval_ms();
        loop {
            match self.shared.context.ingest.submit(make(&self.report)).await {
                Ok(receipt) => {
                    self.shared.stats.receipt(&receipt);
                    return Some(receipt);
                }
                Err(IngestError::Stopping) => return None,
                Err(IngestError::Busy { retry_after } | IngestError::Starting { retry_after }) => {
                    if self.now() + retry_after.as_millis() as i64 >= deadline {
                        self.shared.stats.not_taken();
                        return None;
                    }
                    tokio::time::sleep(retry_after).await;
                }
            }
        }
    }

    /// Ends all series of the target, as of `at_ms`.
    async fn end(&mut self, at_ms: i64) {
        self.shared.context.health.well(&self.target.place);
        let ended = self.cache.end_all();
        let received_ms = self.now();
        self.submit(received_ms, |report| {
            let mut batch = RawBatch { received_ms, ..RawBatch::default() };
            push_ended(&mut batch, &ended, at_ms);
            push_ended(&mut batch, report.ids(), at_ms);
            batch
        })
        .await;
    }

    /// Logs what changed about the target.
    fn tell(&mut self, page: &Page, failure: Option<&Failure>) {
        let (source, target) = (&*self.shared.context.name, self.target.place.as_str());
        let health = &self.shared.context.health;
        match failure {
            Some(error) => health.failing(target, error, self.now()),
            None => health.well(target),
        }
        let before = self.state.change(if failure.is_none() { State::Up } else { State::Down });
        match failure {
            Some(error) if before != State::Down => tracing::warn!(source, target, %error, "scrape failed"),
            None if before == State::Down => tracing::info!(source, target, "scrape works again"),
            _ => {}
        }
        if failure.is_some() {
            return;
        }
        let lines: u64 = page.bad.iter().sum();
        if let (false, Some((line, reason))) = (self.untidy, page.first_bad) {
            tracing::warn!(source, target, lines, line, %reason, "lines of the page were skipped");
        }
        self.untidy = lines > 0;
    }
}

fn millis(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
