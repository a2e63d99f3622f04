//! From a page to what is submitted: samples by id, labels only of series that are new.
//!
//! Follows Prometheus in what a scrape does to a series: target labels are merged in (a clash renames the
//! scraped label to `exported_<name>`, or keeps it with `honor_labels`), `metric_relabel_configs` run, and
//! limits fail the whole page. The first of several equal series of a page wins, unless they have
//! timestamps.

use watchbell_series::{MetricKind, RawBatch, RawMetadata, RawSample, RawSeries, STALE_NAN_BITS};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::cache::{Look, SeriesCache};
use super::failure::Failure;
use super::job::{Job, MAX_SAMPLES};
use crate::relabel;
use crate::text::{self, BadLine, FloatLabel, Format, LabelSet, Sample, Unit, Visitor, decode_series};

/// The most bytes of labels that one page may bring along: target labels are repeated for every series.
const MAX_LABEL_BYTES: usize = 512 << 20;

/// A page that was read.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Samples that are kept, in the order of the page.
    pub(crate) lines: Vec<Line>,
    /// Labels of the new series among them, in canonical bytes; taken by the first batch.
    pub(crate) labels: Vec<u8>,
    /// Units that the page tells, if there are new series on it.
    pub(crate) metadata: Vec<RawMetadata>,
    /// Series that the page no longer lists.
    pub(crate) ended: Vec<u64>,
    /// Samples on the page.
    pub(crate) scraped: u64,
    /// Series seen for the first time.
    pub(crate) added: u64,
    /// Samples of a series that stood on the page already.
    pub(crate) duplicates: u64,
    /// Bad lines by reason, in the order of [`BadLine::ALL`].
    pub(crate) bad: [u64; BadLine::ALL.len()],
    /// The first bad line.
    pub(crate) first_bad: Option<(usize, BadLine)>,
}

/// One sample that is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    key: u64,
    sample: RawSample,
    /// Where the raw text of the series stands in the page.
    text: (u32, u32),
    /// Where its labels stand in [`Page::labels`]; empty for a known series.
    labels: (u32, u32),
    kind: MetricKind,
    float_label: FloatLabel,
}

/// Reads `body`, scraped at `at_ms`, into a page.
///
/// # Errors
/// A page that was cut off, holds nothing but bad lines, or goes over a limit. The cache then is as after
/// a page that was begun and not ended.
pub(crate) fn read(
    body: &[u8],
    format: Format,
    at_ms: i64,
    job: &Job,
    target_labels: &LabelSet<'_>,
    cache: &mut SeriesCache,
) -> Result<Page, Failure> {
    cache.begin();
    let mut reader = Reader {
        body,
        at_ms,
        job,
        target_labels,
        cache,
        page: Page::default(),
        scratch: LabelSet::default(),
        failure: None,
    };
    let outcome = text::parse(body, format, &mut reader);
    let Reader { mut page, failure, .. } = reader;
    outcome?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    if let (0, Some((line, reason))) = (page.scraped, page.first_bad) {
        return Err(Failure::Garbage { line, reason });
    }
    page.ended = cache.end_good();
    Ok(page)
}

struct Reader<'a, 'c> {
    body: &'a [u8],
    at_ms: i64,
    job: &'c Job,
    target_labels: &'c LabelSet<'c>,
    cache: &'c mut SeriesCache,
    page: Page,
    scratch: LabelSet<'a>,
    failure: Option<Failure>,
}

impl<'a> Visitor<'a> for Reader<'a, '_> {
    fn sample(&mut self, sample: Sample<'a>) -> Result<(), BadLine> {
        if self.failure.is_some() {
            return Ok(());
        }
        let stamp = sample.timestamp_ms.filter(|_| self.job.honor_timestamps);
        let tracked = stamp.is_none();
        // The same text is another series where `le` or `quantile` is written anew.
        let text = xxh3_64_with_seed(sample.series, sample.float_label as u64);
        let labels_at = self.page.labels.len();
        let mut look = self.cache.look(text, tracked);
        let mut key = 0;
        if look == Look::New {
            decode_series(sample.series, sample.float_label, &mut self.scratch)?;
            let id = match name(&mut self.scratch, self.target_labels, self.job) {
                Ok(true) => Some(self.scratch.write_canonical(&mut self.page.labels)),
                Ok(false) => None,
                Err(failure) => {
                    self.failure = Some(failure);
                    return Ok(());
                }
            };
            if self.page.labels.len() > MAX_LABEL_BYTES {
                self.failure = Some(Failure::Limit { name: "label_bytes", limit: MAX_LABEL_BYTES });
                return Ok(());
            }
            look = self.cache.insert(text, id, tracked);
            key = id.unwrap_or(0);
        }
        self.page.scraped += 1;
        match look {
            Look::Known(id) => key = id,
            Look::New => self.page.added += 1,
            Look::Dropped => return Ok(()),
            // With timestamps of their own a page may tell several points of one series.
            Look::Duplicate(id) if stamp.is_some() => key = id,
            Look::Duplicate(_) => {
                self.page.labels.truncate(labels_at);
                self.page.duplicates += 1;
                return Ok(());
            }
        }
        if look != Look::New {
            // A new spelling of a known series needs no labels.
            self.page.labels.truncate(labels_at);
        }
        let limit = if self.job.limits.samples == 0 { MAX_SAMPLES } else { self.job.limits.samples.min(MAX_SAMPLES) };
        if self.page.lines.len() == limit {
            self.failure = Some(Failure::Limit { name: "sample_limit", limit });
            return Ok(());
        }
        self.page.lines.push(Line {
            key,
            sample: RawSample { ts_ms: stamp.unwrap_or(self.at_ms), value: sample.value },
            text: (offset(self.body, sample.series), sample.series.len() as u32),
            labels: (labels_at as u32, (self.page.labels.len() - labels_at) as u32),
            kind: sample.kind,
            float_label: sample.float_label,
        });
        Ok(())
    }

    fn unit(&mut self, unit: Unit<'a>) {
        // A unit is told behind the samples of its family: nothing new there, nothing to tell.
        if self.page.added == 0 {
            return;
        }
        self.page.metadata.push(RawMetadata {
            family: unit.family.to_owned(),
            kind: unit.kind,
            unit: unit.unit.to_owned(),
        });
    }

    fn bad_line(&mut self, line: usize, reason: BadLine) {
        self.page.first_bad.get_or_insert((line, reason));
        if let Some(at) = BadLine::ALL.iter().position(|r| *r == reason) {
            self.page.bad[at] += 1;
        }
    }
}

/// Where `part` begins in `whole`, of which it is a part.
fn offset(whole: &[u8], part: &[u8]) -> u32 {
    (part.as_ptr() as usize - whole.as_ptr() as usize) as u32
}

/// Turns the scraped labels in `set` into those of the series; `false` if relabelling drops it.
fn name(set: &mut LabelSet<'_>, target: &LabelSet<'_>, job: &Job) -> Result<bool, Failure> {
    merge(set, target, job.honor_labels);
    if !relabel::apply(&job.metric_relabel, set) || set.is_empty() {
        return Ok(false);
    }
    if set.get(watchbell_series::labels::NAME).is_empty() {
        return Err(Failure::NoName);
    }
    let limits = &job.limits;
    if limits.labels > 0 && set.len() > limits.labels {
        return Err(Failure::Limit { name: "label_limit", limit: limits.labels });
    }
    for (name, value) in set.iter() {
        if limits.name_length > 0 && name.len() > limits.name_length {
            return Err(Failure::Limit { name: "label_name_length_limit", limit: limits.name_length });
        }
        if limits.value_length > 0 && value.len() > limits.value_length {
            return Err(Failure::Limit { name: "label_value_length_limit", limit: limits.value_length });
        }
    }
    Ok(true)
}

/// Merges the labels of the target into those of a series.
fn merge(set: &mut LabelSet<'_>, target: &LabelSet<'_>, honor_labels: bool) {
    if honor_labels {
        for (name, value) in target.iter() {
            // A label that is there with an empty value says that it shall not be there.
            if !set.has(name) {
                set.set(name.to_owned(), value.to_owned());
            }
        }
        return;
    }
    let mut clashes: Vec<(String, String)> = Vec::new();
    for (name, value) in target.iter() {
        let scraped = set.get(name);
        if !scraped.is_empty() {
            clashes.push((name.to_owned(), scraped.to_owned()));
        }
        set.set(name.to_owned(), value.to_owned());
    }
    // The shortest names first, so that `exported_x` of the page is not taken by `x`.
    clashes.sort_by_key(|(name, _)| name.len());
    for (name, value) in clashes {
        let mut renamed = format!("exported_{name}");
        while !set.get(&renamed).is_empty() {
            renamed.insert_str(0, "exported_");
        }
        set.set(renamed, value);
    }
}

impl Page {
    /// The batch of this page. The labels of new series go with the first batch only.
    pub(crate) fn batch(&mut self, received_ms: i64) -> RawBatch {
        let labels = std::mem::take(&mut self.labels);
        let mut batch =
            RawBatch { received_ms, labels, metadata: std::mem::take(&mut self.metadata), ..RawBatch::default() };
        batch.series.reserve(self.lines.len() + self.ended.len() + 8);
        batch.samples.reserve(self.lines.len() + self.ended.len() + 8);
        let has_labels = !batch.labels.is_empty();
        for line in &self.lines {
            let (at, len) = if has_labels { line.labels } else { (0, 0) };
            push(&mut batch, line.key, at as usize..(at + len) as usize, line.sample, line.kind);
        }
        batch
    }

    /// A batch with the labels of the lines `wanted`, decoded again from the page.
    pub(crate) fn with_labels(
        &self,
        wanted: &[u32],
        body: &[u8],
        received_ms: i64,
        job: &Job,
        target_labels: &LabelSet<'_>,
    ) -> RawBatch {
        let mut batch = RawBatch { received_ms, ..RawBatch::default() };
        for line in wanted.iter().filter_map(|at| self.lines.get(*at as usize)) {
            let (at, len) = (line.text.0 as usize, line.text.1 as usize);
            let mut set = LabelSet::default();
            if decode_series(&body[at..at + len], line.float_label, &mut set).is_ok()
                && matches!(name(&mut set, target_labels, job), Ok(true))
            {
                let start = batch.labels.len();
                let key = set.write_canonical(&mut batch.labels);
                let end = batch.labels.len();
                push(&mut batch, key, start..end, line.sample, line.kind);
            }
        }
        batch
    }
}

/// Appends a series with one sample.
pub(crate) fn push(
    batch: &mut RawBatch,
    key: u64,
    labels: std::ops::Range<usize>,
    sample: RawSample,
    kind: MetricKind,
) {
    let at = batch.samples.len();
    batch.samples.push(sample);
    batch.series.push(RawSeries { kind, ..RawSeries::samples(key, labels, at..at + 1) });
}

/// Appends stale markers of the series `ended`.
pub(crate) fn push_ended(batch: &mut RawBatch, ended: &[u64], ts_ms: i64) {
    for key in ended {
        let marker = RawSample { ts_ms, value: f64::from_bits(STALE_NAN_BITS) };
        push(batch, *key, 0..0, marker, MetricKind::Unknown);
    }
}
