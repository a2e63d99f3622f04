//! A checkpoint and what comes after it: to the bit as if there had been none.

use std::sync::Arc;

use proptest::prelude::*;
use watchbell_normalize::{Limits, Normalizer, Rules, Shard, StateError};
use watchbell_series::{MetricKind, NativeHistogram, RawBatch, RawSeries, Span};

use crate::support::{Bench, T0, batch, push};

/// Gauges, counters, a histogram, a summary and a native histogram at one time; some missing now and then.
fn mixed(step: i64) -> RawBatch {
    let second = step * 15 + step % 3;
    let mut all = batch(&[]);
    for i in 0..5 {
        if (step + i) % 7 != 0 {
            push(&mut all, &format!("load{{i=\"{i}\"}}"), MetricKind::Gauge, &[(second, (step * i) as f64 * 0.1)]);
        }
        let total = if (step + i) % 11 == 0 { 1.0 } else { (step * 37 + i) as f64 / 3.0 };
        push(&mut all, &format!("x_total{{i=\"{i}\"}}"), MetricKind::Unknown, &[(second, total)]);
    }
    for (le, share) in [("0.1", 0.3), ("1", 0.8), ("+Inf", 1.0)] {
        if (step + le.len() as i64) % 5 != 0 {
            let text = format!("lat_bucket{{le=\"{le}\"}}");
            push(&mut all, &text, MetricKind::Unknown, &[(second, (step * step) as f64 * share)]);
        }
    }
    push(&mut all, "lat_sum", MetricKind::Unknown, &[(second, step as f64 * 0.7)]);
    push(&mut all, "lat_count", MetricKind::Unknown, &[(second, (step * step) as f64)]);
    push(&mut all, "size", MetricKind::Histogram, &[]);
    let counts = vec![step as f64, (step * 2) as f64];
    all.histograms.push(NativeHistogram {
        ts_ms: T0 + second * 1000,
        count: step as f64 * 3.0,
        sum: step as f64,
        positive_spans: vec![Span { offset: 3, length: 2 }],
        positive: counts,
        ..NativeHistogram::default()
    });
    let last = all.series.len() - 1;
    all.series[last] = RawSeries { histograms_len: 1, ..all.series[last] };
    all
}

fn save_all(from: &Normalizer) -> Vec<u8> {
    let mut bytes = Vec::new();
    for raw in 0..from.raw_len() {
        from.save(raw, &mut bytes);
    }
    bytes
}

fn load_all(into: &mut Normalizer, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let (taken, restored) = into.load(bytes).expect("a record");
        assert!(!restored.changed);
        assert_eq!(into.raw_slot(restored.raw), restored.slot);
        bytes = &bytes[taken..];
    }
}

#[test]
fn going_on_after_a_restart_is_the_same_to_the_bit() {
    for stop in [1, 2, 7, 20] {
        let mut whole = Bench::new();
        for step in 1..stop {
            whole.feed(&mixed(step));
        }
        let bytes = save_all(&whole.normalizer);
        let mut restarted = Bench::new();
        load_all(&mut restarted.normalizer, &bytes);
        assert_eq!(save_all(&restarted.normalizer), bytes);
        assert_eq!(restarted.normalizer.census().judged, whole.normalizer.census().judged);
        for step in stop..stop + 30 {
            whole.feed(&mixed(step));
            restarted.feed(&mixed(step));
            let bits = |bench: &Bench| -> Vec<(String, i64, u64)> {
                bench.named().into_iter().map(|(n, t, v)| (n, t, v.to_bits())).collect()
            };
            assert_eq!(bits(&restarted), bits(&whole), "step {step} after {stop}");
            let cadences = |bench: &Bench| -> Vec<(String, u32)> {
                let mut all: Vec<_> =
                    bench.out.samples.iter().map(|s| (bench.name(s.slot), s.cadence_s.to_bits())).collect();
                all.sort();
                all
            };
            assert_eq!(cadences(&restarted), cadences(&whole));
        }
    }
}

#[test]
fn in_any_order_and_over_other_shards() {
    let mut whole = Bench::new();
    for step in 1..20 {
        whole.feed(&mixed(step));
    }
    let rules = Arc::new(Rules::built_in().expect("rules"));
    let shard = |index| Normalizer::new(Arc::clone(&rules), Shard { index, count: 3 }, Limits::default());
    let mut shards: Vec<Normalizer> = (0..3).map(shard).collect();
    for raw in (0..whole.normalizer.raw_len()).rev() {
        let mut record = Vec::new();
        whole.normalizer.save(raw, &mut record);
        let home = Normalizer::home(&record, 3).expect("home");
        let wrong = shards[(home as usize + 1) % 3].load(&record);
        assert_eq!(wrong, Err(StateError::OtherShard(home)));
        shards[home as usize].load(&record).expect("a record");
        assert_eq!(shards[home as usize].load(&record), Err(StateError::Known));
    }
    let judged: usize = shards.iter().map(|s| s.census().judged).sum();
    let groups: usize = shards.iter().map(|s| s.census().groups).sum();
    assert_eq!((judged, groups), (whole.normalizer.census().judged, whole.normalizer.census().groups));
}

#[test]
fn new_rules_are_heeded_at_restart() {
    let mut before = Bench::new();
    before.one("x_total", &[(0, 1.0), (10, 2.0)]);
    before.one("load", &[(0, 1.0)]);
    let bytes = save_all(&before.normalizer);
    let mut after = Bench::with("ignore: ['load']\nmetrics: [{metric: x_total, kind: gauge}]", Limits::default());
    let (taken, counter) = after.normalizer.load(&bytes).expect("x_total");
    assert!(counter.changed && counter.slot.is_some());
    let (_, gauge) = after.normalizer.load(&bytes[taken..]).expect("load");
    assert!(gauge.changed && gauge.slot.is_none());
    assert_eq!(after.one("x_total", &[(20, 5.0)]), [5.0]);
}

#[test]
fn other_versions_and_cut_records_are_refused() {
    let mut bench = Bench::new();
    bench.one("load", &[(0, 1.0)]);
    let bytes = save_all(&bench.normalizer);
    let mut other = Bench::new().normalizer;
    let mut newer = bytes.clone();
    newer[0] += 1;
    assert_eq!(other.load(&newer), Err(StateError::Version(Normalizer::STATE_VERSION + 1)));
    for len in 0..bytes.len() {
        assert!(other.load(&bytes[..len]).is_err(), "{len}");
    }
    assert_eq!(other.census().records, 0);
    let mut full = Bench::with("", Limits { max_series: 0, ..Limits::default() }).normalizer;
    assert_eq!(full.load(&bytes), Err(StateError::Full));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn damaged_records_never_panic(at in 0usize..4000, bits in 1u8..=255, tail in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut bench = Bench::new();
        for step in 1..4 {
            bench.feed(&mixed(step));
        }
        let mut bytes = save_all(&bench.normalizer);
        let at = at % bytes.len();
        bytes[at] ^= bits;
        bytes.extend(tail);
        let mut other = Bench::new();
        let mut rest = &bytes[..];
        while let Ok((taken, _)) = other.normalizer.load(rest) {
            rest = &rest[taken..];
        }
        for step in 4..8 {
            other.feed(&mixed(step));
        }
    }
}

#[test]
fn parts_saved_a_moment_apart_find_each_other() {
    let mut whole = Bench::new();
    (0..20).for_each(|step| whole.feed(&mixed(step)));
    let records = whole.normalizer.raw_len();
    for cut in 0..=records {
        for step in 10..14 {
            let (mut saved, mut parted) = (Vec::new(), Bench::new());
            (0..=step).for_each(|step| parted.feed(&mixed(step)));
            (0..cut).for_each(|raw| parted.normalizer.save(raw, &mut saved));
            parted.feed(&mixed(step + 1));
            (cut..parted.normalizer.raw_len()).for_each(|raw| parted.normalizer.save(raw, &mut saved));
            let mut restored = Bench::new();
            load_all(&mut restored.normalizer, &saved);
            restored.feed(&mixed(step + 1));
            for step in step + 2..20 {
                parted.feed(&mixed(step));
                restored.feed(&mixed(step));
                assert_eq!(restored.named(), parted.named(), "cut {cut} step {step}");
            }
        }
    }
}
