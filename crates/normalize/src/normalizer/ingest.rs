//! The hot path: samples of known series.
//!
//! A sender repeats its order, so the record after the last one hit is tried first; only if its key is
//! another one is the map asked, and only if that does not know the key are labels read.

use watchbell_series::{MetricKind, Mode, RawBatch, RawSample, RawSeries, STALE_NAN_BITS, Sample};

use super::Normalizer;
use super::derive::FedSample;
use crate::cadence::Cadence;
use crate::native;
use crate::output::{Normalized, ReceiptPart};
use crate::record::{ENDED, GUESSED, HAS_LAST, Hot, Role, UNCLAIMED};
use crate::sources::UNCOUNTED;
use crate::stats::Stats;

/// A gap of more cadences than this is counted.
const GAP_CADENCES: f32 = 2.5;
/// A counter that falls by less than this share of its value did not restart: two threads raced, or a
/// float was rounded. It gives no rate for that sample.
const BACKSTEP: f64 = 0.01;

impl Normalizer {
    /// Normalises the series of `batch` that `which` names by index; all must belong to this shard
    /// (`key % count`). Clears `out` first. Indices beyond the batch are ignored.
    pub fn normalize(&mut self, batch: &RawBatch, which: &[u32], out: &mut Normalized) {
        self.start(out);
        self.source = self.sources.number(batch.source);
        for metadata in &batch.metadata {
            self.families.tell(metadata, self.limits.max_families);
        }
        for &i in which {
            let Some(series) = batch.series.get(i as usize) else { continue };
            let known = match self.lookup(series.key) {
                Some(raw) => Some(raw),
                None => self.first_sight(batch, i, out),
            };
            if let Some(raw) = known {
                self.next = raw + 1;
                self.take(batch, i, series, raw, out);
            }
        }
        if !self.fed.is_empty() {
            self.feed_groups(batch.mode, out);
        }
        out.settle();
    }

    /// The record known under `key`: most often the next one, or the one after it where every series has a
    /// second record for another key.
    #[inline]
    fn lookup(&self, key: u64) -> Option<u32> {
        for raw in [self.next, self.next.wrapping_add(1)] {
            if let Some(hot) = self.hot.get(raw)
                && hot.key == key
                && !matches!(hot.role, Role::Free | Role::Derived)
            {
                return Some(raw);
            }
        }
        self.by_key(key)
    }

    fn take(&mut self, batch: &RawBatch, i: u32, series: &RawSeries, raw: u32, out: &mut Normalized) {
        let hot = &mut self.hot[raw];
        match hot.role {
            Role::Gauge | Role::Counter | Role::Part | Role::Native => {}
            Role::Alias => {
                let (real, key) = (hot.link, hot.last.to_bits());
                hot.last_ms = batch.received_ms;
                if self.hot.get(real).is_some_and(|h| h.key == key && h.role != Role::Alias) {
                    out.aliased.push((i, key));
                    return self.take(batch, i, series, real, out);
                }
                // The series was forgotten; this key is met anew.
                self.release(raw, out);
                if let Some(fresh) = self.first_sight(batch, i, out) {
                    self.take(batch, i, series, fresh, out);
                }
                return;
            }
            _ => {
                self.pass_by(batch, i, series, raw, out);
                return;
            }
        }
        if hot.flags & UNCLAIMED != 0 && self.source != UNCOUNTED {
            self.count_for(raw, self.source);
            if self.hot[raw].role.judged() {
                self.rehome(raw, out);
            }
        }
        let hot = &mut self.hot[raw];
        let native = series.histograms_len > 0;
        if (series.kind != MetricKind::Unknown && series.kind != hot.told)
            || (hot.flags & GUESSED != 0 && hot.epoch != self.families.epoch())
            || (native != (hot.role == Role::Native) && (native || live_samples(batch, series)))
        {
            self.reconsider(raw, series.kind, native, out);
            if matches!(self.hot[raw].role, Role::Aside | Role::Unwatched) {
                self.pass_by(batch, i, series, raw, out);
                return;
            }
        }
        let (from, len) = (series.samples_at as usize, series.samples_len as usize);
        let samples = batch.samples.get(from..from.saturating_add(len)).unwrap_or(&[]);
        if batch.mode == Mode::Backfill {
            self.prepare_history(batch, series, samples, raw, out);
        }
        if !samples.is_empty() {
            self.take_samples(batch, samples, raw, out);
        }
        if native {
            self.take_histograms(batch, series, raw, out);
        }
    }

    fn take_samples(&mut self, batch: &RawBatch, samples: &[RawSample], raw: u32, out: &mut Normalized) {
        let live = batch.mode == Mode::Live;
        let horizon = batch.received_ms.saturating_add(self.limits.future_tolerance_ms);
        let skew = self.limits.skew_tolerance_ms.unsigned_abs();
        let mut problem = None;
        let mut ended = None;
        let hot = &mut self.hot[raw];
        let (stats, receipt) = (&mut self.stats, &mut out.receipt);
        if hot.last_ms == i64::MIN {
            self.cold[raw].first_ms = samples[0].ts_ms;
        }
        stats.samples += samples.len() as u64;
        for sample in samples {
            let (ts_ms, value) = (sample.ts_ms, sample.value);
            if ts_ms <= hot.last_ms {
                if let Some(what) = out_of_order(hot, sample, live, stats, receipt) {
                    problem.get_or_insert((what, ts_ms));
                }
                continue;
            }
            if ts_ms > horizon {
                stats.future += 1;
                receipt.future += 1;
                problem.get_or_insert(("too far in the future", ts_ms));
                continue;
            }
            receipt.accepted += 1;
            hot.batch = self.batch;
            if live && batch.received_ms.abs_diff(ts_ms) > skew {
                stats.clock_skew += 1;
            }
            if !value.is_finite() {
                let stale = value.to_bits() == STALE_NAN_BITS;
                *(if stale { &mut stats.stale } else { &mut stats.nan }) += 1;
                if stale {
                    ended = Some(ts_ms);
                    hot.flags |= ENDED;
                    if hot.role == Role::Part {
                        let fed = FedSample { group: hot.link, part: hot.part, raw, ts_ms, value };
                        self.fed.push(fed);
                    }
                } else if value.is_nan() && hot.role.judged() {
                    out.valueless.push((hot.link, ts_ms));
                }
                // The next value of a counter has nothing to be compared with.
                hot.flags &= !HAS_LAST;
                (hot.last_ms, hot.last) = (ts_ms, value);
                continue;
            }
            ended = None;
            if hot.role == Role::Native {
                // It had histograms in this very batch; the next batch finds it changed.
                stats.invalid_histogram += 1;
                receipt.accepted -= 1;
                receipt.invalid += 1;
                continue;
            }
            if hot.role == Role::Part {
                (hot.last_ms, hot.last) = (ts_ms, value);
                hot.flags &= !ENDED;
                self.fed.push(FedSample { group: hot.link, part: hot.part, raw, ts_ms, value });
                continue;
            }
            if let Some(judged) = advance(hot, ts_ms, value, stats) {
                out.samples.push(judged);
            }
        }
        let (role, link) = (hot.role, hot.link);
        if role.judged() {
            if !out.ended.is_empty() && hot.flags & ENDED == 0 {
                out.ended.retain(|(slot, _)| *slot != link);
            }
            if let Some(ts_ms) = ended {
                out.ended.retain(|(slot, _)| *slot != link);
                out.ended.push((link, ts_ms));
            }
        } else if role == Role::Native
            && let Some(ts_ms) = ended
        {
            self.end_group(link, ts_ms, out);
        }
        if let Some((what, ts_ms)) = problem {
            let labels = if out.receipt.first_problem.is_none() { self.describe(raw) } else { String::new() };
            out.receipt.problem(|| format!("{what}: sample at {ts_ms} of `{labels}`"));
        }
    }

    fn take_histograms(&mut self, batch: &RawBatch, series: &RawSeries, raw: u32, out: &mut Normalized) {
        let (from, len) = (series.histograms_at as usize, series.histograms_len as usize);
        let histograms = batch.histograms.get(from..from.saturating_add(len)).unwrap_or(&[]);
        if self.hot[raw].role != Role::Native {
            // It had float samples in this very batch; the next batch finds it changed.
            self.stats.invalid_histogram += len as u64;
            out.receipt.invalid += len as u64;
            return;
        }
        let horizon = batch.received_ms.saturating_add(self.limits.future_tolerance_ms);
        for histogram in histograms {
            self.stats.histograms += 1;
            let hot = &mut self.hot[raw];
            let ts_ms = histogram.ts_ms;
            let stale = histogram.sum.to_bits() == STALE_NAN_BITS;
            let flaw = if stale { None } else { native::flaw(histogram, self.limits.max_buckets) };
            let problem = if ts_ms <= hot.last_ms {
                let sample = RawSample { ts_ms, value: histogram.sum };
                out_of_order(hot, &sample, batch.mode == Mode::Live, &mut self.stats, &mut out.receipt)
            } else if ts_ms > horizon {
                self.stats.future += 1;
                out.receipt.future += 1;
                Some("too far in the future")
            } else if flaw.is_some() {
                self.stats.invalid_histogram += 1;
                out.receipt.invalid += 1;
                flaw
            } else {
                if hot.last_ms == i64::MIN {
                    self.cold[raw].first_ms = ts_ms;
                }
                (hot.last_ms, hot.last, hot.batch) = (ts_ms, histogram.sum, self.batch);
                out.receipt.histograms += 1;
                let group = hot.link;
                if stale {
                    self.stats.stale += 1;
                    hot.flags |= ENDED;
                    self.end_group(group, ts_ms, out);
                } else {
                    hot.flags &= !ENDED;
                    self.feed_native(group, raw, histogram, out);
                }
                None
            };
            if let Some(what) = problem {
                let labels = if out.receipt.first_problem.is_none() { self.describe(raw) } else { String::new() };
                out.receipt.problem(|| format!("{what}: histogram at {ts_ms} of `{labels}`"));
            }
        }
    }

    /// History begins before what is known of the series: it starts anew from there.
    fn prepare_history(
        &mut self,
        batch: &RawBatch,
        series: &RawSeries,
        samples: &[RawSample],
        raw: u32,
        out: &mut Normalized,
    ) {
        let first = samples.first().map(|s| s.ts_ms);
        let first = first.or_else(|| batch.histograms.get(series.histograms_at as usize).map(|h| h.ts_ms));
        let hot = &mut self.hot[raw];
        // Not if it has samples in this very batch: those are part of the same history.
        if hot.batch == self.batch || first.is_none_or(|first| first >= self.cold[raw].first_ms) {
            return;
        }
        hot.restart();
        let (role, link) = (hot.role, hot.link);
        if role.judged() {
            out.restarted.push(link);
        } else if role == Role::Native {
            self.restart_group(link, out);
        }
    }

    /// Series of which nothing is judged.
    fn pass_by(&mut self, batch: &RawBatch, i: u32, series: &RawSeries, raw: u32, out: &mut Normalized) {
        let hot = &mut self.hot[raw];
        hot.last_ms = batch.received_ms;
        let (samples, histograms) = (u64::from(series.samples_len), u64::from(series.histograms_len));
        let stats = &mut self.stats;
        let counter = match hot.role {
            Role::Forward => {
                stats.forwarded += samples + histograms;
                out.forward.push((i, hot.last.to_bits()));
                return;
            }
            Role::Own => &mut stats.own_output,
            Role::Unwatched => &mut stats.unwatched,
            _ => &mut stats.set_aside,
        };
        *counter += samples + histograms;
        stats.samples += samples;
        stats.histograms += histograms;
        out.receipt.accepted += samples;
        out.receipt.histograms += histograms;
    }
}

/// Takes a finite value newer than the last one; gives the sample to judge, if there is one.
#[inline]
pub(super) fn advance(hot: &mut Hot, ts_ms: i64, value: f64, stats: &mut Stats) -> Option<Sample> {
    let (last_ms, last, flags) = (hot.last_ms, hot.last, hot.flags);
    let gap_ms = ts_ms.saturating_sub(last_ms);
    if last_ms != i64::MIN && flags & ENDED == 0 {
        let before = hot.cadence_s;
        let mut cadence = Cadence::from_parts((before, hot.cadence_candidate, hot.cadence_streak));
        cadence.observe(gap_ms);
        (hot.cadence_s, hot.cadence_candidate, hot.cadence_streak) = cadence.parts();
        if before > 0.0 {
            stats.gap += u64::from(gap_ms as f32 > before * (GAP_CADENCES * 1000.0));
            // Refining moves it by little; only a new cadence moves it by a quarter.
            stats.cadence_change += u64::from((hot.cadence_s - before).abs() > 0.2 * before);
        }
    }
    (hot.last_ms, hot.last) = (ts_ms, value);
    hot.flags = (flags & !ENDED) | HAS_LAST;
    let value = if hot.role == Role::Counter {
        if flags & HAS_LAST == 0 {
            return None;
        }
        let grown = if value >= last {
            value - last
        } else {
            stats.reset += 1;
            if value > last - last.abs() * BACKSTEP {
                return None;
            }
            value
        };
        let rate = grown / (gap_ms as f64 / 1000.0);
        if !rate.is_finite() || rate < 0.0 {
            return None;
        }
        rate
    } else {
        value
    };
    stats.judged += 1;
    Some(Sample { slot: hot.link, cadence_s: hot.cadence_s, ts_ms, value })
}

/// Counts a sample that is not newer than the last one; gives the words for it if it is a fault.
#[cold]
fn out_of_order(
    hot: &Hot,
    sample: &RawSample,
    live: bool,
    stats: &mut Stats,
    receipt: &mut ReceiptPart,
) -> Option<&'static str> {
    if sample.ts_ms == i64::MIN {
        // It stands for "none yet" of a series, so that even a first sample comes here.
        stats.out_of_order += 1;
        receipt.out_of_order += 1;
        Some("time out of range: the least number there is, which no clock shows")
    } else if sample.ts_ms == hot.last_ms && sample.value.to_bits() == hot.last.to_bits() {
        stats.duplicate += 1;
        receipt.duplicates += 1;
        None
    } else if !live {
        stats.overlap += 1;
        receipt.duplicates += 1;
        None
    } else if sample.ts_ms == hot.last_ms {
        stats.conflict += 1;
        receipt.conflicts += 1;
        Some("another value for the same time")
    } else {
        stats.out_of_order += 1;
        receipt.out_of_order += 1;
        Some("out of order")
    }
}

/// Whether the series has a float sample that is no stale marker.
fn live_samples(batch: &RawBatch, series: &RawSeries) -> bool {
    let from = series.samples_at as usize;
    let samples = batch.samples.get(from..from.saturating_add(series.samples_len as usize)).unwrap_or(&[]);
    samples.iter().any(|s| s.value.to_bits() != STALE_NAN_BITS)
}
