//! A normalizer that is fed by label text, and answers by label text.

use std::sync::{Arc, OnceLock};

use watchbell_normalize::{Limits, Normalized, Normalizer, Rules, Shard};
use watchbell_series::labels::read_canonical;
use watchbell_series::{Labels, MetricKind, RawBatch, RawSample, STALE_NAN_BITS, Selector};

/// 2023-11-14 22:13:20 UTC, in milliseconds.
pub(crate) const T0: i64 = 1_700_000_000_000;

pub(crate) fn stale() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Labels of `up{job="node"}`.
pub(crate) fn labels(text: &str) -> Labels {
    let selector: Selector = text.parse().expect(text);
    Labels::series(selector.matchers().iter().map(|m| (m.name(), m.value()))).expect(text)
}

/// A batch received at the time of its last sample. Times are seconds after [`T0`].
pub(crate) fn batch(series: &[(&str, &[(i64, f64)])]) -> RawBatch {
    let mut batch = RawBatch { received_ms: T0, ..RawBatch::default() };
    for (text, samples) in series {
        push(&mut batch, text, MetricKind::Unknown, samples);
    }
    batch
}

pub(crate) fn push(batch: &mut RawBatch, text: &str, kind: MetricKind, samples: &[(i64, f64)]) {
    let samples: Vec<RawSample> =
        samples.iter().map(|(s, value)| RawSample { ts_ms: T0 + s * 1000, value: *value }).collect();
    batch.received_ms = samples.iter().map(|s| s.ts_ms).max().unwrap_or(T0).max(batch.received_ms);
    batch.push(&labels(text), kind, &samples);
}

pub(crate) struct Bench {
    pub(crate) normalizer: Normalizer,
    pub(crate) out: Normalized,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with("", Limits::default())
    }

    /// With user's rules and limits.
    pub(crate) fn with(rules: &str, limits: Limits) -> Self {
        static BUILT_IN: OnceLock<Arc<Rules>> = OnceLock::new();
        let load = || Arc::new(Rules::load(&[("test.yaml", rules)], &[]).expect("rules"));
        let rules = if rules.is_empty() { Arc::clone(BUILT_IN.get_or_init(load)) } else { load() };
        let normalizer = Normalizer::new(rules, Shard::default(), limits);
        Self { normalizer, out: Normalized::default() }
    }

    pub(crate) fn feed(&mut self, batch: &RawBatch) {
        let which: Vec<u32> = (0..batch.series.len() as u32).collect();
        self.normalizer.normalize(batch, &which, &mut self.out);
    }

    /// Feeds one series and gives the values that came out.
    pub(crate) fn one(&mut self, text: &str, samples: &[(i64, f64)]) -> Vec<f64> {
        self.feed(&batch(&[(text, samples)]));
        self.values()
    }

    pub(crate) fn values(&self) -> Vec<f64> {
        self.out.samples.iter().map(|s| s.value).collect()
    }

    /// Samples of the last call: labels, seconds after [`T0`], value; sorted.
    pub(crate) fn named(&self) -> Vec<(String, i64, f64)> {
        let name = |slot| self.name(slot);
        let mut all: Vec<_> = self.out.samples.iter().map(|s| (name(s.slot), (s.ts_ms - T0) / 1000, s.value)).collect();
        all.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        all
    }

    /// The value of series `text` in the last call.
    pub(crate) fn value(&self, text: &str) -> Option<f64> {
        let name = labels(text).to_string();
        self.named().into_iter().rev().find(|(n, _, _)| *n == name).map(|(_, _, value)| value)
    }

    pub(crate) fn name(&self, slot: u32) -> String {
        let mut bytes = Vec::new();
        self.normalizer.labels(self.normalizer.slot_raw(slot).expect("slot"), &mut bytes);
        read_canonical(&bytes).expect("labels").to_string()
    }

    /// The only slot of series `text`.
    pub(crate) fn slot(&self, text: &str) -> u32 {
        let name = labels(text).to_string();
        let all: Vec<u32> = self.normalizer.slots(0, usize::MAX).filter(|s| self.name(*s) == name).collect();
        assert_eq!(all.len(), 1, "{text}: {all:?}");
        all[0]
    }
}
