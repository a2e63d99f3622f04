//! One read of the past: lists the series, reads them chunk by chunk, and submits each chunk whole.
//!
//! Live samples go on meanwhile, and a series that took one refuses what is older; so nothing of a series is
//! submitted before all of it is there. A chunk is read up to the present, not to the present at the start of the
//! read, which may be hours ago: what came live in between is replaced. Metric names are listed first, then
//! the series of so many metrics at a time as one answer holds.

use watchbell_adapter_api::metrics::Counter;
use watchbell_adapter_api::{HistoryContext, HistoryDone, HistoryError, HistoryRequest};
use watchbell_series::labels::NAME;
use watchbell_series::{Labels, MetricKind, Mode};

use super::plan::Chunk;
use super::{FAILURES, QueryHistory, SAMPLES, SKIPPED};
use crate::query::answer::{Listed, Row};
use crate::query::api::{ApiError, Read};
use crate::query::feed::{Feed, Stopped};
use crate::query::gather::{Gathered, family};
use crate::query::outage::Outage;
use crate::query::selector::{MAX_VALUES, OneOf, promql};
use crate::query::window::Window;

/// Failures in a row after which a read is given up: about eight minutes.
const PATIENCE: u32 = 13;

/// The samples that a chunk should hold about: 32 MiB.
const WANTED: f64 = 2e6;

/// The most series of one chunk; servers limit the series of a query.
const MOST_SERIES: usize = 20_000;

/// Distance of raw samples until it is known better.
const USUAL_INTERVAL_MS: i64 = 15_000;

/// The groups of values that are listed at first.
const FIRST_PAGE: usize = 32;

/// A chunk is taken apart rather than read in windows shorter than this.
const SHORT_MS: i64 = 3_600_000;

/// One read under way.
pub(super) struct Reading<'a> {
    history: &'a QueryHistory,
    request: HistoryRequest,
    context: HistoryContext,
    outage: Outage,
    /// Samples of one series over the whole span, as far as is known.
    per_series: f64,
    /// Share of the series that are done.
    share: f64,
    done: HistoryDone,
    samples: Counter,
    histograms: Counter,
    invalid: Counter,
    too_old: Counter,
    too_large: Counter,
    failures: Counter,
}

/// What became of a question.
enum Answer<T> {
    Got(T),
    /// It was for too much.
    TooMuch(String),
}

/// What became of a chunk.
enum Fate {
    /// It was submitted.
    Done,
    /// It holds too much and can be taken apart; nothing of it was submitted.
    TooLarge,
}

impl<'a> Reading<'a> {
    pub(super) fn new(history: &'a QueryHistory, request: HistoryRequest, context: HistoryContext) -> Self {
        let metrics = &context.metrics;
        let skipped = |reason| metrics.counter(&SKIPPED, &[reason]);
        let interval = match history.read {
            Read::Raw => USUAL_INTERVAL_MS,
            Read::Step(step) => step,
        };
        Self {
            history,
            outage: Outage::default(),
            per_series: (request.to_ms.saturating_sub(request.from_ms) / interval).max(1) as f64,
            share: 0.0,
            done: HistoryDone::default(),
            samples: metrics.counter(&SAMPLES, &[]),
            histograms: skipped("native_histogram"),
            invalid: skipped("invalid_series"),
            too_old: skipped("too_old"),
            too_large: skipped("too_large"),
            failures: metrics.counter(&FAILURES, &[]),
            request,
            context,
        }
    }

    pub(super) async fn read_all(mut self) -> Result<HistoryDone, HistoryError> {
        let mut names = self.values(NAME, &[]).await?;
        // Those of one family next to each other.
        names.sort_unstable_by(|a, b| (family(a), a).cmp(&(family(b), b)));
        let families: Vec<Vec<String>> =
            names.chunk_by(|a, b| family(a) == family(b)).map(<[String]>::to_vec).collect();
        let weight = 1.0 / families.len().max(1) as f64;
        for family in self.pages(NAME, &families, &[], weight).await? {
            let scope = [OneOf { label: NAME.to_owned(), values: family.clone() }];
            let mut hosts = self.values("instance", &scope).await?;
            hosts.push(String::new());
            let hosts: Vec<Vec<String>> = hosts.into_iter().map(|host| vec![host]).collect();
            let weight = weight / hosts.len() as f64;
            for host in self.pages("instance", &hosts, &scope, weight).await? {
                self.too_large.inc();
                let (url, metrics, instance) = (self.history.api.url(), family.join(" "), host.join(" "));
                tracing::warn!(url, metrics, instance, "too many series to list; their history is not read");
            }
        }
        (self.context.progress)(1.0);
        Ok(self.done)
    }

    /// Reads all series in `scope` whose `label` has one of the values of `groups`, some groups at a time;
    /// returns the groups of which alone there are too many series to list.
    async fn pages<'g>(
        &mut self,
        label: &str,
        groups: &'g [Vec<String>],
        scope: &[OneOf],
        weight: f64,
    ) -> Result<Vec<&'g Vec<String>>, HistoryError> {
        let (mut rest, mut page, mut refused) = (groups, FIRST_PAGE, Vec::new());
        while let Some(first) = rest.first() {
            let (mut values, mut count) = (first.clone(), 1);
            while count < page
                && let Some(next) = rest.get(count)
                && OneOf::fits(values.len() + next.len(), values.iter().chain(next).map(String::len).sum())
            {
                values.extend_from_slice(next);
                count += 1;
            }
            let scope: Vec<OneOf> = scope.iter().cloned().chain([OneOf { label: label.to_owned(), values }]).collect();
            match self.list(&scope).await? {
                Answer::Got(series) => {
                    let share = self.share;
                    self.read_page(Chunk { scope, series }, weight * count as f64).await?;
                    self.share = share + weight * count as f64;
                    (rest, page) = (&rest[count..], (page * 2).min(MAX_VALUES));
                }
                Answer::TooMuch(_) if count > 1 => page = count / 2,
                Answer::TooMuch(_) => {
                    refused.push(first);
                    rest = &rest[1..];
                }
            }
        }
        Ok(refused)
    }

    /// Reads all series of `page`, which is `weight` of the whole.
    async fn read_page(&mut self, page: Chunk, weight: f64) -> Result<(), HistoryError> {
        let each = weight / page.series.len().max(1) as f64;
        let mut todo = page.split(self.most_series());
        while let Some(chunk) = todo.pop() {
            match self.read_chunk(&chunk).await? {
                Fate::Done => {
                    self.share += each * chunk.series.len() as f64;
                    (self.context.progress)(self.share.min(1.0));
                }
                Fate::TooLarge => {
                    let most = (chunk.series.len() / 2).min(self.most_series()).max(1);
                    todo.extend(chunk.split(most));
                }
            }
        }
        Ok(())
    }

    fn most_series(&self) -> usize {
        ((WANTED / self.per_series) as usize).clamp(1, MOST_SERIES)
    }

    async fn read_chunk(&mut self, chunk: &Chunk) -> Result<Fate, HistoryError> {
        if chunk.series.is_empty() {
            return Ok(Fate::Done);
        }
        let expressions = self.expressions(chunk);
        let begin = self.request.from_ms.saturating_sub(1);
        let end = self.context.clock.now_ms().max(self.request.to_ms);
        let count = chunk.series.len() as f64;
        let mut window = Window::expecting(self.history.read, end - begin, self.per_series * count);
        let (mut past, mut left, mut histograms, mut dropped) = (Gathered::default(), begin, 0, 0);
        while left < end {
            let right = window.end(left, end);
            match self.samples(&expressions, left, right).await? {
                Answer::Got(rows) => {
                    window.held(rows.iter().map(|row| row.samples.len()).sum());
                    left = right;
                    for row in rows {
                        histograms += row.histograms;
                        // Those whose labels are no series were counted when they were listed.
                        if let Ok(labels) = row.series(&[]) {
                            past.add(labels, MetricKind::Unknown, row.samples);
                        }
                    }
                }
                Answer::TooMuch(_) if right - left <= SHORT_MS && !chunk.is_one() => return Ok(Fate::TooLarge),
                Answer::TooMuch(_) if window.too_much(right - left) => {}
                Answer::TooMuch(error) => return Err(self.failed(&expressions[0], &error)),
            }
            if past.samples() > self.history.most_samples {
                let whole = (end - begin) as f64 / (left - begin) as f64;
                self.per_series = self.per_series.max(past.samples() as f64 * whole / count);
                if !chunk.is_one() {
                    return Ok(Fate::TooLarge);
                }
                dropped += past.drop_older_half();
            }
        }
        if dropped > 0 {
            let (url, query) = (self.history.api.url(), &expressions[0]);
            tracing::warn!(url, query, dropped, "more history than fits into memory; its oldest part is not taken");
        }
        self.histograms.inc_by(histograms as f64);
        self.too_old.inc_by(dropped as f64);
        // Slow to fall, for the next metrics may be denser again.
        self.per_series = (0.7 * self.per_series).max(past.samples() as f64 / count).max(1.0);
        self.done.series += past.series() as u64;
        let (ingest, shutdown) = (self.context.ingest.clone(), self.context.shutdown.clone());
        let mut feed = Feed::new(ingest, shutdown, Mode::Backfill, end);
        let handed_over = past.hand_over(&mut feed).await;
        self.done.samples += feed.samples;
        self.samples.inc_by(feed.samples as f64);
        handed_over.map(|()| Fate::Done).map_err(|Stopped| stopped())
    }

    /// What selects the series of `chunk`: each selector that selects any of them.
    fn expressions(&self, chunk: &Chunk) -> Vec<String> {
        let selectors = &self.history.selectors;
        let any = |labels: &[Labels], i: usize| labels.iter().any(|labels| selectors[i].matches(labels));
        let needed: Vec<usize> = (0..selectors.len()).filter(|i| any(&chunk.series, *i)).collect();
        if needed.is_empty() {
            // The server reads one of them otherwise than this program does.
            return self.matches(&chunk.scope);
        }
        needed.into_iter().map(|i| promql(&selectors[i], &self.request.labels, &chunk.scope)).collect()
    }

    /// All selectors, narrowed to `scope`.
    fn matches(&self, scope: &[OneOf]) -> Vec<String> {
        self.history.selectors.iter().map(|selector| promql(selector, &self.request.labels, scope)).collect()
    }

    async fn values(&mut self, label: &str, scope: &[OneOf]) -> Result<Vec<String>, HistoryError> {
        let (matches, from, to) = (self.matches(scope), self.request.from_ms, self.request.to_ms);
        loop {
            let answer = self.history.api.values(label, &matches, from, to).await;
            match self.answered(answer, &matches[0]).await? {
                Some(Answer::Got(values)) => return Ok(values),
                Some(Answer::TooMuch(error)) => return Err(self.failed(&matches[0], &error)),
                None => {}
            }
        }
    }

    async fn list(&mut self, scope: &[OneOf]) -> Result<Answer<Vec<Labels>>, HistoryError> {
        let (matches, from, to) = (self.matches(scope), self.request.from_ms, self.request.to_ms);
        loop {
            let answer = self.history.api.series(&matches, from, to).await;
            match self.answered(answer, &matches[0]).await? {
                Some(Answer::Got(Listed { series, invalid })) => {
                    self.invalid.inc_by(invalid as f64);
                    return Ok(Answer::Got(series));
                }
                Some(Answer::TooMuch(error)) => return Ok(Answer::TooMuch(error)),
                None => {}
            }
        }
    }

    async fn samples(
        &mut self,
        expressions: &[String],
        left: i64,
        right: i64,
    ) -> Result<Answer<Vec<Row>>, HistoryError> {
        let (mut rows, mut rest) = (Vec::new(), expressions);
        while let Some(expression) = rest.first() {
            let answer = self.history.api.fetch(expression, self.history.read, left, right).await;
            match self.answered(answer, expression).await? {
                Some(Answer::Got(more)) => {
                    rows.extend(more);
                    rest = &rest[1..];
                }
                Some(Answer::TooMuch(error)) => return Ok(Answer::TooMuch(error)),
                None => {}
            }
        }
        Ok(Answer::Got(rows))
    }

    /// What to make of an answer; `None` to ask again, after waiting for a server that does not answer.
    async fn answered<T>(
        &mut self,
        answer: Result<T, ApiError>,
        expression: &str,
    ) -> Result<Option<Answer<T>>, HistoryError> {
        if self.context.shutdown.is_set() {
            return Err(stopped());
        }
        let error = match answer {
            Ok(got) => {
                self.outage.answered("history", self.history.api.url());
                return Ok(Some(Answer::Got(got)));
            }
            Err(error) => error,
        };
        self.failures.inc();
        match error {
            ApiError::TooMuch(error) => Ok(Some(Answer::TooMuch(error))),
            ApiError::Unavailable(error) if self.context.patient && self.outage.failures() < PATIENCE => {
                let wait = self.outage.failed("history", self.history.api.url(), &error);
                if self.context.shutdown.sleep(wait).await { Ok(None) } else { Err(stopped()) }
            }
            ApiError::Unavailable(error) | ApiError::Refused(error) => Err(self.failed(expression, &error)),
        }
    }

    fn failed(&self, expression: &str, error: &str) -> HistoryError {
        HistoryError(format!("`{}`: query `{expression}`: {error}", self.history.api.url()))
    }
}

fn stopped() -> HistoryError {
    HistoryError("the service is stopping".to_owned())
}
