//! A past minute: the history of the series is read back, judged by a fresh detector up to that minute, and
//! answered from what it then knows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use watchbell_adapter_api::{BoxFuture, HistoryContext, HistoryRequest, Ingest, IngestError, Receipt, Shutdown};
use watchbell_series::labels::NAME;
use watchbell_series::{Labels, Mode, RawBatch, RawSeries, Selector};

use super::answer::{Answer, Basis, Series};
use super::{Explainer, Refusal, distinct, named};
use crate::pipeline::insight::Found;
use crate::pipeline::rehearsal::{Rehearsal, Setup};
use crate::words;

/// The longest time for reading history back.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Samples that are held at most: two weeks of a histogram of 20 buckets each 15 s.
const SAMPLES: usize = 2_000_000;
/// Series of which the past is judged again at once.
const SERIES: usize = 3;

impl Explainer {
    /// Why the selected series did or did not alert at `at_ms`, which is past.
    pub(super) async fn past(&self, selectors: &[Selector], found: &[Found], at_ms: i64) -> Result<Answer, Refusal> {
        let Some(history) = &self.history else {
            return Err(Refusal::Unavailable(format!(
                "{} is past, and no sample of it is kept here: configure `history` (such as `type: prometheus_query`) to have \
                 the past read back and judged again, or leave `time` out to ask about now",
                words::time(at_ms)
            )));
        };
        if found.len() > SERIES {
            let shown: Vec<String> = distinct(found).into_iter().collect();
            return Err(Refusal::Bad(format!(
                "the past is judged again for {SERIES} series at most; name one of these: {}",
                shown.join(", ")
            )));
        }
        let wanted = wanted(selectors, found)?;
        let turn = tokio::time::timeout(TIMEOUT, Arc::clone(&self.busy).acquire_owned()).await;
        let busy =
            || Refusal::Unavailable("the past is judged again for somebody else; ask again in a minute".to_owned());
        let one = turn.ok().and_then(Result::ok).ok_or_else(busy)?;
        let setup = self.setup().await.ok_or_else(|| Refusal::Unavailable("the service is stopping".to_owned()))?;
        let (stop, shutdown) = Shutdown::channel();
        let gathered = Arc::new(Gathered { until_ms: at_ms, stop, inner: Mutex::default() });
        for labels in wanted {
            let request = HistoryRequest { labels, from_ms: at_ms - history.lookback_ms(), to_ms: at_ms };
            let context = watchbell_adapter_api::HistoryContext {
                ingest: Arc::clone(&gathered) as Arc<dyn Ingest>,
                clock: Arc::clone(&self.clock),
                shutdown: shutdown.clone(),
                metrics: self.metrics.clone(),
                patient: false,
                progress: Arc::new(|_| {}),
            };
            let read = read(history.as_ref(), request, context).await;
            if gathered.is_full() {
                return Err(Refusal::Bad(format!(
                    "more than {SAMPLES} samples would be read back: name one series by all its labels, or shorten `lookback`"
                )));
            }
            read?;
        }
        let (batches, samples) = gathered.take();
        if samples == 0 {
            return Err(Refusal::NotFound(format!(
                "history has no sample of it in the {} before {}",
                words::duration(history.lookback_ms() as f64 / 1_000.0),
                words::time(at_ms)
            )));
        }
        let selectors = selectors.to_vec();
        let judged = tokio::task::spawn_blocking(move || {
            // It goes on where nobody waits any more, and so does its turn.
            let _one = one;
            rehearse(setup, &batches, &selectors, at_ms)
        });
        let judged = judged.await;
        let series = judged.map_err(|_| Refusal::Unavailable("judging the past failed; see the log".to_owned()))?;
        if series.is_empty() {
            return Err(Refusal::NotFound("what history holds of it gives no judged series".to_owned()));
        }
        Ok(Answer { at_ms, basis: Basis::Recomputed { samples }, matched: series.len(), series })
    }
}

async fn read(
    history: &dyn watchbell_adapter_api::History,
    request: HistoryRequest,
    context: HistoryContext,
) -> Result<(), Refusal> {
    match tokio::time::timeout(TIMEOUT, history.read(request, context)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Refusal::Unavailable(format!("history can not be read: {error}"))),
        Err(_) => Err(Refusal::Unavailable(format!(
            "history was not read within {} s: name one series by all its labels, or shorten `lookback`",
            TIMEOUT.as_secs()
        ))),
    }
}

/// The labels by which history is asked, for each series. Series that are computed of histograms are not there:
/// they are asked by their other labels.
fn wanted(selectors: &[Selector], found: &[Found]) -> Result<Vec<Vec<(String, String)>>, Refusal> {
    let pairs = |labels: &Labels| -> Vec<(String, String)> {
        let derived = labels.name().contains(':');
        let kept = labels.iter().filter(|(name, _)| !(derived && *name == NAME));
        kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let mut all: Vec<Vec<(String, String)>> = found.iter().map(|found| pairs(&found.about.labels)).collect();
    if all.is_empty() {
        // `host` is Watchbell's own word, and most systems do not know it.
        all.extend(selectors.iter().filter_map(named).map(|labels| pairs(&labels.with("host", ""))));
    }
    all.retain(|labels| !labels.is_empty());
    if all.is_empty() {
        let message = "no such series is known now: name the metric and its labels by `=` to have its past read back";
        return Err(Refusal::NotFound(message.to_owned()));
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// History as it comes.
struct Gathered {
    until_ms: i64,
    stop: watch::Sender<bool>,
    inner: Mutex<(Vec<RawBatch>, usize)>,
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).1 > SAMPLES
    }

    fn take(&self) -> (Vec<RawBatch>, usize) {
        std::mem::take(&mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ingest for Gathered {
    fn submit(&self, batch: RawBatch) -> BoxFuture<'_, Result<Receipt, IngestError>> {
        let samples = batch.samples.iter().filter(|sample| sample.ts_ms <= self.until_ms).count();
        let full = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.0.push(batch);
            inner.1 += samples;
            inner.1 > SAMPLES
        };
        if full {
            self.stop.send_replace(true);
        }
        let receipt = Receipt { samples: samples as u64, ..Receipt::default() };
        Box::pin(async move { if full { Err(IngestError::Stopping) } else { Ok(receipt) } })
    }
}

/// Judges `batches` in order of time, sample by sample as they once came, up to `at_ms`.
fn rehearse(setup: Setup, batches: &[RawBatch], selectors: &[Selector], at_ms: i64) -> Vec<Series> {
    let mut rehearsal = Rehearsal::new(setup);
    let mut order: Vec<(i64, u32, u32, u32)> = Vec::new();
    for (b, batch) in batches.iter().enumerate() {
        for (s, series) in batch.series.iter().enumerate() {
            let samples = batch.samples_of(series).iter().enumerate().filter(|(_, sample)| sample.ts_ms <= at_ms);
            order.extend(samples.map(|(i, sample)| (sample.ts_ms, b as u32, s as u32, i as u32)));
        }
    }
    order.sort_unstable();
    for moment in order.chunk_by(|a, b| a.0 == b.0) {
        let mut step = RawBatch { mode: Mode::Live, received_ms: moment[0].0, ..RawBatch::default() };
        for (_, b, s, i) in moment {
            let batch = &batches[*b as usize];
            let series = &batch.series[*s as usize];
            let (labels_at, at) = (step.labels.len(), step.samples.len());
            step.labels.extend_from_slice(batch.label_bytes(series));
            step.samples.push(batch.samples_of(series)[*i as usize]);
            let one = RawSeries::samples(series.key, labels_at..step.labels.len(), at..at + 1);
            step.series.push(RawSeries { kind: series.kind, ..one });
        }
        step.metadata = if moment[0] == order[0] { metadata(batches) } else { Vec::new() };
        rehearsal.step(&step);
    }
    rehearsal.tick(at_ms, &mut crate::alerting::Changes::default());
    let found = rehearsal.find(selectors, at_ms, SERIES);
    found.iter().map(|(found, rules)| Series::judged(found, rules, at_ms)).collect()
}

fn metadata(batches: &[RawBatch]) -> Vec<watchbell_series::RawMetadata> {
    batches.iter().flat_map(|batch| &batch.metadata).cloned().collect()
}
