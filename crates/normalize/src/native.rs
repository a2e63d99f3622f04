//! Native histograms: what was observed between two of them.
//!
//! Bucket bounds: Prometheus, `model/histogram`: bucket `i` of schema `n` holds what is above
//! `2^((i-1)*2^-n)` and up to `2^(i*2^-n)`; schema -53 has its bounds in the histogram.

use watchbell_series::{NativeHistogram, Span};

use crate::group::{QUANTILES, STAT_COUNT};

/// The schema with custom bounds.
const CUSTOM: i32 = -53;

/// What contradicts itself in `histogram`, if anything. `max` bounds its buckets.
pub(crate) fn flaw(histogram: &NativeHistogram, max: usize) -> Option<&'static str> {
    let h = histogram;
    if h.schema != CUSTOM && !(-4..=8).contains(&h.schema) {
        return Some("its schema is none of -4 to 8 and -53");
    }
    if h.positive.len() + h.negative.len() > max || h.custom_bounds.len() > max {
        return Some("it has too many buckets");
    }
    let length = |spans: &[Span]| spans.iter().map(|s| u64::from(s.length)).sum::<u64>();
    if length(&h.positive_spans) != h.positive.len() as u64 || length(&h.negative_spans) != h.negative.len() as u64 {
        return Some("its spans and buckets differ in number");
    }
    if h.positive_spans.iter().chain(&h.negative_spans).filter(|s| s.length == 0).count() > max {
        return Some("it has too many empty spans");
    }
    let mut counts = h.positive.iter().chain(&h.negative).chain([&h.count, &h.zero_count]);
    if counts.any(|c| !(c.is_finite() && (h.gauge || *c >= 0.0))) {
        return Some("a count in it is negative or not finite");
    }
    if h.schema == CUSTOM && !(h.negative.is_empty() && h.custom_bounds.is_sorted_by(|a, b| a < b)) {
        return Some("its custom bounds do not rise");
    }
    None
}

/// Rate, mean and quantiles of what was observed since `before` (nothing without it), and whether the
/// histogram was reset in between. A gauge histogram speaks for itself and has no rate.
pub(crate) fn statistics(before: Option<&NativeHistogram>, now: &NativeHistogram) -> ([f64; STAT_COUNT], bool) {
    let mut values = [f64::NAN; STAT_COUNT];
    let nothing = NativeHistogram::default();
    let (base, dt_s) = match before {
        _ if now.gauge => (&nothing, f64::NAN),
        Some(before) if !before.gauge => (before, now.ts_ms.saturating_sub(before.ts_ms) as f64 / 1000.0),
        _ => return (values, false),
    };
    let alike = base.schema == now.schema
        && base.zero_threshold.to_bits() == now.zero_threshold.to_bits()
        && base.custom_bounds == now.custom_bounds;
    let mut buckets = if now.gauge { Some(buckets(None, now)) } else { alike.then(|| buckets(Some(base), now)) };
    let fell = buckets.as_ref().is_some_and(|all| all.iter().any(|b| b.2 < 0.0));
    let reset = !now.gauge && (now.reset || now.count < base.count || fell);
    let base = if reset { &nothing } else { base };
    if reset {
        buckets = Some(self::buckets(None, now));
    }
    let total = now.count - base.count;
    if dt_s > 0.0 {
        values[0] = total / dt_s;
    }
    if total > 0.0 {
        values[1] = (now.sum - base.sum) / total;
    }
    if let Some(buckets) = buckets {
        for (value, rank) in values[2..].iter_mut().zip(QUANTILES) {
            *value = quantile(&buckets, rank, now.schema != CUSTOM).unwrap_or(f64::NAN);
        }
    }
    (values, reset)
}

/// Buckets (lower bound, upper bound, observations) in order of their bounds, less those of `base`.
fn buckets(base: Option<&NativeHistogram>, now: &NativeHistogram) -> Vec<(f64, f64, f64)> {
    let empty = NativeHistogram::default();
    let base = base.unwrap_or(&empty);
    let mut all = Vec::with_capacity(now.positive.len() + now.negative.len() + 1);
    let negative = less((&base.negative_spans, &base.negative), (&now.negative_spans, &now.negative));
    for (index, count) in negative.into_iter().rev() {
        all.push((-bound(now, index), -bound(now, index - 1), count));
    }
    if now.schema != CUSTOM {
        let low = if now.negative.is_empty() { 0.0 } else { -now.zero_threshold };
        all.push((low, now.zero_threshold, now.zero_count - base.zero_count));
    }
    for (index, count) in less((&base.positive_spans, &base.positive), (&now.positive_spans, &now.positive)) {
        all.push((lower_bound(now, index), bound(now, index), count));
    }
    all
}

/// Upper bound of the positive bucket `index`.
fn bound(h: &NativeHistogram, index: i64) -> f64 {
    if h.schema == CUSTOM {
        let at = usize::try_from(index).ok().and_then(|i| h.custom_bounds.get(i));
        return at.copied().unwrap_or(f64::INFINITY);
    }
    (index as f64 * (-f64::from(h.schema)).exp2()).exp2()
}

fn lower_bound(h: &NativeHistogram, index: i64) -> f64 {
    if h.schema == CUSTOM && index <= 0 {
        // As in classic histograms: observations are taken to be positive where the first bound is.
        return h.custom_bounds.first().map_or(0.0, |first| first.min(0.0));
    }
    bound(h, index - 1)
}

/// Counts of `now` less those of `base`, by bucket index.
fn less(base: (&[Span], &[f64]), now: (&[Span], &[f64])) -> Vec<(i64, f64)> {
    let mut base = indexed(base.0, base.1).peekable();
    let mut all = Vec::with_capacity(now.1.len());
    for (index, count) in indexed(now.0, now.1) {
        while let Some((gone, was)) = base.next_if(|b| b.0 < index) {
            all.push((gone, -was));
        }
        let was = base.next_if(|b| b.0 == index).map_or(0.0, |b| b.1);
        all.push((index, count - was));
    }
    all.extend(base.map(|(gone, was)| (gone, -was)));
    all
}

fn indexed<'a>(spans: &'a [Span], counts: &'a [f64]) -> impl Iterator<Item = (i64, f64)> + 'a {
    let mut next = 0i64;
    let indices = spans.iter().flat_map(move |span| {
        let start = next + i64::from(span.offset);
        next = start + i64::from(span.length);
        start..next
    });
    indices.zip(counts.iter().copied())
}

/// The value of rank `rank`: exponential interpolation inside the buckets of a standard schema, linear
/// elsewhere, as in PromQL since Prometheus 3.0.
fn quantile(buckets: &[(f64, f64, f64)], rank: f64, exponential: bool) -> Option<f64> {
    let total: f64 = buckets.iter().map(|b| b.2).sum();
    if total.is_nan() || total <= 0.0 {
        return None;
    }
    let wanted = rank * total;
    let mut below = 0.0;
    for &(low, high, count) in buckets {
        if count > 0.0 && below + count >= wanted {
            let share = ((wanted - below) / count).clamp(0.0, 1.0);
            let value = if high == f64::INFINITY {
                low
            } else if exponential && low > 0.0 {
                low * (high / low).powf(share)
            } else if exponential && high < 0.0 {
                high * (low / high).powf(1.0 - share)
            } else {
                low + (high - low) * share
            };
            return Some(value).filter(|v| v.is_finite());
        }
        below += count;
    }
    None
}
