//! Any batch is survived: indices that lead nowhere, bytes that mean nothing, numbers at the edges.

use proptest::prelude::*;
use watchbell_normalize::Normalized;
use watchbell_series::labels::{hash_canonical, write_canonical_label};
use watchbell_series::{MetricKind, Mode, NativeHistogram, RawBatch, RawMetadata, RawSample, RawSeries, Span};

use crate::support::Bench;

fn kind() -> impl Strategy<Value = MetricKind> {
    prop::sample::select(vec![
        MetricKind::Unknown,
        MetricKind::Gauge,
        MetricKind::Counter,
        MetricKind::Histogram,
        MetricKind::GaugeHistogram,
        MetricKind::Summary,
        MetricKind::Info,
        MetricKind::StateSet,
    ])
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        (0u32..20).prop_map(f64::from),
        Just(f64::from_bits(watchbell_series::STALE_NAN_BITS)),
        Just(f64::NAN),
        Just(f64::MAX)
    ]
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0i64..50_000, 1 => any::<i64>(), 1 => Just(i64::MIN), 1 => Just(i64::MAX)]
}

fn native() -> impl Strategy<Value = NativeHistogram> {
    let span = || (-5i32..5, 0u32..4).prop_map(|(offset, length)| Span { offset, length });
    let spans = prop::collection::vec(
        prop_oneof![9 => span(), 1 => any::<(i32, u32)>().prop_map(|(offset, length)| Span { offset, length })],
        0..3,
    );
    let counts = || prop::collection::vec(number(), 0..6);
    ((time(), -60i32..12, number(), number()), (spans, counts(), counts()), any::<(bool, bool)>()).prop_map(
        |((ts_ms, schema, count, sum), (positive_spans, mut positive, custom_bounds), (fit, gauge))| {
            if fit {
                let wanted: u64 = positive_spans.iter().map(|s| u64::from(s.length)).sum();
                positive.resize(wanted.min(64) as usize, 1.0);
            }
            NativeHistogram {
                ts_ms,
                schema,
                count,
                sum,
                positive_spans,
                positive,
                custom_bounds,
                gauge,
                ..Default::default()
            }
        },
    )
}

/// Names and labels of which some belong together.
fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop::sample::select(vec![
        "a",
        "a_total",
        "a_bucket",
        "a_sum",
        "a_count",
        "a_info",
        "b_created",
        "watchbell_x",
    ]);
    let le = prop::sample::select(vec!["", "1", "1.0", "+Inf", "NaN", "x", "-1"]);
    let more = prop::sample::select(vec!["", "p", "q", "r"]);
    (name, le, more, any::<bool>()).prop_map(|(name, le, more, sorted)| {
        let mut all =
            vec![("__name__".to_owned(), name.to_owned()), ("le".into(), le.into()), ("pod".into(), more.into())];
        if !sorted {
            all.reverse();
        }
        all.retain(|(_, value)| sorted || !value.is_empty());
        all
    })
}

type Series = (Vec<(String, String)>, MetricKind, Vec<(i64, f64)>, Vec<NativeHistogram>, [u8; 2]);

fn assemble(all: Vec<Series>, mode: Mode, received_ms: i64) -> RawBatch {
    let mut batch = RawBatch { mode, received_ms, ..RawBatch::default() };
    for (pairs, kind, samples, histograms, [key, cut]) in all {
        let at = batch.labels.len();
        for (name, value) in &pairs {
            write_canonical_label(name.as_bytes(), value.as_bytes(), &mut batch.labels);
        }
        let end = batch.labels.len() - usize::from(cut == 1);
        // Now and then a key that is not that of the labels.
        let key = if key < 10 { u64::from(key) } else { hash_canonical(&batch.labels[at..end]).0 };
        let (samples_at, histograms_at) = (batch.samples.len(), batch.histograms.len());
        batch.samples.extend(samples.iter().map(|(ts_ms, value)| RawSample { ts_ms: *ts_ms, value: *value }));
        batch.histograms.extend(histograms);
        let series = RawSeries::samples(key, at..end, samples_at..batch.samples.len());
        let histograms_len = (batch.histograms.len() - histograms_at) as u32;
        batch.series.push(RawSeries { kind, histograms_at: histograms_at as u32, histograms_len, ..series });
    }
    batch
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_sequence_of_batches_is_survived(batches in prop::collection::vec((
        prop::collection::vec((
            pairs(), kind(), prop::collection::vec((time(), number()), 0..5), prop::collection::vec(native(), 0..2), any::<[u8; 2]>()
        ), 0..12),
        any::<bool>(), time(), any::<bool>(), kind(),
    ), 1..6)) {
        let mut bench = Bench::new();
        let mut slots = std::collections::HashSet::new();
        for (series, live, received_ms, expire, told) in batches {
            let mut batch = assemble(series, if live { Mode::Live } else { Mode::Backfill }, received_ms);
            batch.metadata.push(RawMetadata { family: "a".into(), kind: told, unit: "seconds".into() });
            bench.feed(&batch);
            let mut expired = Normalized::default();
            if expire {
                bench.normalizer.expire(received_ms.saturating_sub(1000), &mut expired);
            }
            for out in [&bench.out, &expired] {
                // The promise to those who judge: a slot is admitted before it has samples, and in order.
                for slot in &out.released {
                    prop_assert!(slots.remove(slot), "released twice: {slot}");
                }
                for admission in &out.admitted {
                    prop_assert!(slots.insert(admission.slot), "admitted twice: {}", admission.slot);
                }
                for sample in &out.samples {
                    prop_assert!(slots.contains(&sample.slot) && sample.value.is_finite() && sample.cadence_s.is_finite());
                }
                for slot in out.restarted.iter().chain(out.ended.iter().map(|(slot, _)| slot)) {
                    prop_assert!(slots.contains(slot));
                }
            }
            prop_assert_eq!(slots.len(), bench.normalizer.census().judged);
        }
    }

    #[test]
    fn indices_that_lead_nowhere_are_survived(
        series in prop::collection::vec(any::<([u32; 6], u64)>(), 1..8),
        labels in prop::collection::vec(any::<u8>(), 0..64),
        which in prop::collection::vec(0u32..12, 0..12),
    ) {
        let mut bench = Bench::new();
        let series = series.into_iter().map(|([a, b, c, d, e, f], key)| RawSeries {
            key, labels_at: a % 80, labels_len: b % 80, samples_at: c, samples_len: d, histograms_at: e, histograms_len: f,
            kind: MetricKind::Unknown,
        }).collect();
        let batch = RawBatch { labels, series, ..RawBatch::default() };
        bench.normalizer.normalize(&batch, &which, &mut bench.out);
        prop_assert!(bench.out.samples.is_empty());
    }
}
