//! One histogram or summary: its parts (buckets, `_sum`, `_count`) are gathered until all of one timestamp
//! are there, and give a rate, a mean and quantiles of what was observed since the timestamp before.
//!
//! A part that is missing when the next timestamp begins is left out of that one computation: cumulative
//! buckets stay right with a bucket less. Buckets are joined on the number in `le`, so `"1"` and `"1.0"`
//! are one bucket.

use watchbell_series::NativeHistogram;

use crate::native;
use crate::record::NONE;

/// Number of series a group gives: see [`STATS`].
pub(crate) const STAT_COUNT: usize = 5;

/// What is computed, by the words that end the names of its series: observations per second, mean, median,
/// 90th and 99th percentile.
pub(crate) const STATS: [&str; STAT_COUNT] = ["rate", "mean", "p50", "p90", "p99"];

/// The ranks of the last three [`STATS`].
pub(crate) const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum PartKind {
    /// Cumulative count of observations up to this bound.
    Bucket(f64),
    /// Sum of all observations.
    Sum,
    /// Count of all observations.
    Count,
}

const NOW: u8 = 1;
const BEFORE: u8 = 2;
const ENDED: u8 = 4;

/// One part, and its last two values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    kind: PartKind,
    now: f64,
    before: f64,
    /// Raw series that feed it; 0 = unused.
    holders: u16,
    has: u8,
}

impl Part {
    /// A newer timestamp begins; `next` says that it is the one after that of `now`.
    fn age(&mut self, next: bool) {
        if next && self.has & NOW != 0 {
            self.before = self.now;
            self.has = BEFORE;
        } else {
            self.has &= ENDED;
        }
    }
}

/// What a group computed at one timestamp; NaN where a statistic has no value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) ts_ms: i64,
    pub(crate) values: [f64; STAT_COUNT],
    /// Whether a count fell.
    pub(crate) reset: bool,
}

/// What became of a part's sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fed {
    /// Taken.
    Taken,
    /// A newer timestamp had begun.
    Late,
    /// The last part that was still alive ended.
    Ended,
}

/// The state of one histogram or summary.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// Hash of its family name and labels, those of single parts left out.
    pub(crate) key: u64,
    pub(crate) parts: Vec<Part>,
    pub(crate) now_ms: i64,
    pub(crate) before_ms: i64,
    /// First timestamp seen.
    pub(crate) first_ms: i64,
    arrived: u16,
    emitted: bool,
    /// Whether values are as they are now, not totals since a start.
    pub(crate) gauge: bool,
    /// Raw series that feed it.
    pub(crate) holders: u32,
    /// Raw series that it gives, in order of [`STATS`].
    pub(crate) derived: [u32; STAT_COUNT],
    /// The last native histogram; where there is one, classic parts are not looked at.
    pub(crate) native: Option<Box<NativeHistogram>>,
}

impl Group {
    pub(crate) fn new(key: u64, gauge: bool) -> Self {
        Self {
            key,
            parts: Vec::new(),
            now_ms: i64::MIN,
            before_ms: i64::MIN,
            first_ms: i64::MAX,
            arrived: 0,
            emitted: false,
            gauge,
            holders: 0,
            derived: [NONE; STAT_COUNT],
            native: None,
        }
    }

    /// Adds a raw series that feeds `kind`; `None` if the group has `max` parts already.
    pub(crate) fn join(&mut self, kind: PartKind, max: usize) -> Option<u16> {
        if let Some(at) = self.parts.iter().position(|p| p.holders > 0 && p.kind == kind) {
            self.parts[at].holders = self.parts[at].holders.saturating_add(1);
            return Some(at as u16);
        }
        let part = Part { kind, now: 0.0, before: 0.0, holders: 1, has: 0 };
        if let Some(at) = self.parts.iter().position(|p| p.holders == 0) {
            self.parts[at] = part;
            return Some(at as u16);
        }
        if self.parts.len() >= max.min(usize::from(u16::MAX)) {
            return None;
        }
        self.parts.push(part);
        Some(self.parts.len() as u16 - 1)
    }

    /// Takes away a raw series that feeds part `at`.
    pub(crate) fn leave(&mut self, at: u16) {
        let part = &mut self.parts[usize::from(at)];
        part.holders = part.holders.saturating_sub(1);
        if part.holders == 0 {
            self.arrived -= u16::from(part.has & NOW != 0);
            part.has = 0;
        }
    }

    /// Forgets what was learned from samples.
    pub(crate) fn restart(&mut self) {
        for part in &mut self.parts {
            part.has = 0;
        }
        (self.now_ms, self.before_ms, self.first_ms) = (i64::MIN, i64::MIN, i64::MAX);
        (self.arrived, self.emitted, self.native) = (0, false, None);
    }

    /// Takes a value of part `at`.
    pub(crate) fn feed(&mut self, at: u16, ts_ms: i64, value: f64, out: &mut Vec<Outcome>) -> Fed {
        if ts_ms < self.now_ms {
            return Fed::Late;
        }
        if ts_ms > self.now_ms {
            self.begin(ts_ms, out);
        }
        let part = &mut self.parts[usize::from(at)];
        if part.has & NOW == 0 {
            part.now = value;
            part.has = (part.has & BEFORE) | NOW;
            self.arrived += 1;
        }
        if !self.emitted && self.arrived >= self.alive() {
            self.emit(out);
        }
        Fed::Taken
    }

    /// Part `at` ended by a stale marker.
    pub(crate) fn end(&mut self, at: u16, ts_ms: i64, out: &mut Vec<Outcome>) -> Fed {
        if ts_ms < self.now_ms {
            return Fed::Late;
        }
        let part = &mut self.parts[usize::from(at)];
        if part.has & ENDED != 0 {
            return Fed::Taken;
        }
        self.arrived -= u16::from(part.has & NOW != 0);
        part.has = ENDED;
        match self.alive() {
            0 => {
                // What had arrived by then can not be complete any more, and nothing of it may carry over.
                (self.emitted, self.before_ms) = (true, i64::MIN);
                Fed::Ended
            }
            alive => {
                if !self.emitted && self.now_ms > i64::MIN && self.arrived >= alive {
                    self.emit(out);
                }
                Fed::Taken
            }
        }
    }

    /// Takes a native histogram, already checked.
    pub(crate) fn feed_native(&mut self, histogram: &NativeHistogram, out: &mut Vec<Outcome>) -> Fed {
        if histogram.ts_ms <= self.now_ms {
            return Fed::Late;
        }
        self.first_ms = self.first_ms.min(histogram.ts_ms);
        let (values, reset) = native::statistics(self.native.as_deref(), histogram);
        out.push(Outcome { ts_ms: histogram.ts_ms, values, reset });
        self.now_ms = histogram.ts_ms;
        match &mut self.native {
            Some(last) => (**last).clone_from(histogram),
            None => self.native = Some(Box::new(histogram.clone())),
        }
        Fed::Taken
    }

    fn alive(&self) -> u16 {
        self.parts.iter().filter(|p| p.holders > 0 && p.has & ENDED == 0).count() as u16
    }

    fn begin(&mut self, ts_ms: i64, out: &mut Vec<Outcome>) {
        if self.now_ms > i64::MIN && !self.emitted {
            self.emit(out);
        }
        for part in &mut self.parts {
            part.age(true);
        }
        self.first_ms = self.first_ms.min(ts_ms);
        self.before_ms = self.now_ms;
        self.now_ms = ts_ms;
        self.arrived = 0;
        self.emitted = false;
    }

    fn emit(&mut self, out: &mut Vec<Outcome>) {
        self.emitted = true;
        if self.native.is_some() {
            return;
        }
        let need = if self.gauge { NOW } else { NOW | BEFORE };
        if !self.gauge && self.before_ms == i64::MIN {
            return;
        }
        let there = || self.parts.iter().filter(move |p| p.holders > 0 && p.has & need == need);
        let counts = |p: &&Part| p.kind != PartKind::Sum;
        let reset = !self.gauge && there().filter(counts).any(|p| p.now < p.before);
        let grown = |p: &Part| if self.gauge || reset { p.now } else { p.now - p.before };
        let mut buckets: Vec<(f64, f64)> = there()
            .filter_map(|p| if let PartKind::Bucket(le) = p.kind { Some((le, grown(p))) } else { None })
            .collect();
        buckets.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let total = there().find(|p| p.kind == PartKind::Count).map(grown);
        let total = total.or_else(|| buckets.last().filter(|b| b.0 == f64::INFINITY).map(|b| b.1));
        let sum = there().find(|p| p.kind == PartKind::Sum).map(grown);

        let mut values = [f64::NAN; STAT_COUNT];
        if let Some(total) = total {
            if !self.gauge {
                values[0] = total / (self.now_ms.saturating_sub(self.before_ms) as f64 / 1000.0);
            }
            if let Some(sum) = sum
                && total > 0.0
            {
                values[1] = sum / total;
            }
        }
        for (value, rank) in values[2..].iter_mut().zip(QUANTILES) {
            *value = quantile(&buckets, rank).unwrap_or(f64::NAN);
        }
        out.push(Outcome { ts_ms: self.now_ms, values, reset });
    }

    /// Bytes held beside the group itself.
    pub(crate) fn bytes(&self) -> usize {
        let native = self.native.as_ref().map_or(0, |n| {
            let floats = n.positive.capacity() + n.negative.capacity() + n.custom_bounds.capacity();
            let spans = n.positive_spans.capacity() + n.negative_spans.capacity();
            size_of::<NativeHistogram>() + 8 * (floats + spans)
        });
        self.parts.capacity() * size_of::<Part>() + native
    }

    /// State of part `at`, to be saved: kind, last two values, what it has.
    pub(crate) fn part_state(&self, at: u16) -> (PartKind, f64, f64, u8) {
        let part = &self.parts[usize::from(at)];
        (part.kind, part.now, part.before, part.has)
    }

    /// State of the group, to be saved with each of its parts: times, how many parts arrived, emitted.
    pub(crate) fn clock_state(&self) -> (i64, i64, i64, bool) {
        (self.now_ms, self.before_ms, self.first_ms, self.emitted)
    }

    /// Restores a native histogram.
    pub(crate) fn restore_native(&mut self, last: Option<Box<NativeHistogram>>, clock: (i64, i64, i64, bool)) {
        (self.now_ms, self.before_ms, self.first_ms, self.emitted) = clock;
        self.native = last;
    }

    /// Restores a part that [`Group::join`] gave.
    ///
    /// Parts may have been saved a moment apart, with a sample in between: the newest clock holds, and what is
    /// older waits for its sample to come again. The values of that time are computed again then.
    pub(crate) fn restore(&mut self, at: u16, (now, before, has): (f64, f64, u8), clock: (i64, i64, i64, bool)) {
        let (now_ms, before_ms, first_ms, emitted) = clock;
        let parted = self.now_ms > i64::MIN && self.now_ms != now_ms;
        if now_ms > self.now_ms {
            let next = self.now_ms == before_ms;
            self.parts.iter_mut().for_each(|part| part.age(next));
            (self.now_ms, self.before_ms, self.arrived, self.emitted) = (now_ms, before_ms, 0, true);
        }
        self.first_ms = self.first_ms.min(first_ms);
        self.emitted &= emitted && !parted;
        let part = &mut self.parts[usize::from(at)];
        self.arrived -= u16::from(part.has & NOW != 0);
        (part.now, part.before, part.has) = (now, before, has & (NOW | BEFORE | ENDED));
        if now_ms < self.now_ms {
            part.age(now_ms == self.before_ms);
        }
        self.arrived += u16::from(part.has & NOW != 0);
    }
}

/// The value of rank `rank` (0 to 1) in cumulative buckets sorted by their bound; `None` without a `+Inf`
/// bucket, with less than two, or without observations.
///
/// The interpolation of PromQL's `histogram_quantile`: linear inside a bucket, the first one beginning at 0
/// if its bound is positive, the highest finite bound for what is above it.
pub(crate) fn quantile(buckets: &[(f64, f64)], rank: f64) -> Option<f64> {
    let last = buckets.last()?;
    if buckets.len() < 2 || last.0 != f64::INFINITY || last.1.is_nan() || last.1 <= 0.0 {
        return None;
    }
    let wanted = rank * last.1;
    // Counts of a scrape taken during an observation may not be monotone: the running maximum is.
    let mut below = (f64::NEG_INFINITY, 0.0_f64);
    for &(le, count) in buckets {
        let count = count.max(below.1);
        if count >= wanted && count > 0.0 {
            if le == f64::INFINITY {
                return Some(below.0).filter(|v| v.is_finite());
            }
            if below.0 == f64::NEG_INFINITY && le <= 0.0 {
                return Some(le).filter(|v| v.is_finite());
            }
            let start = if below.0 == f64::NEG_INFINITY { 0.0 } else { below.0 };
            let inside = count - below.1;
            return Some(if inside > 0.0 { start + (le - start) * (wanted - below.1) / inside } else { le });
        }
        below = (le, count);
    }
    None
}
