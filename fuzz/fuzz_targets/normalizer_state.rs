//! Saved state of a series: what loads must be saved again, and take samples without a panic.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use watchbell_normalize::{Limits, Normalized, Normalizer, Rules, Shard};
use watchbell_series::{MetricKind, RawBatch, RawSample, labels::read_canonical};

thread_local! {
    static RULES: Arc<Rules> = Arc::new(Rules::built_in().expect("the built-in rules are right"));
}

fuzz_target!(|bytes: &[u8]| {
    let mut normalizer = Normalizer::new(RULES.with(Arc::clone), Shard::default(), Limits::default());
    let Ok((taken, restored)) = normalizer.load(bytes) else { return };
    assert!(taken <= bytes.len());
    let (mut saved, mut labels) = (Vec::new(), Vec::new());
    normalizer.save(restored.raw, &mut saved);
    assert!(!saved.is_empty());
    normalizer.labels(restored.raw, &mut labels);
    let labels = read_canonical(&labels).expect("labels that were taken are valid");
    let mut batch = RawBatch { received_ms: 1_760_000_000_000, ..RawBatch::default() };
    let sample = |ts_ms, value| RawSample { ts_ms, value };
    batch.push(&labels, MetricKind::Unknown, &[sample(1_759_999_985_000, 1.0), sample(1_760_000_000_000, 2.0)]);
    normalizer.normalize(&batch, &[0], &mut Normalized::default());
});
