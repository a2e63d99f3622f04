//! Histograms and summaries: when they are complete, and what they give.

use watchbell_series::{MetricKind, Mode, NativeHistogram, RawBatch, RawSeries, Span};

use crate::support::{Bench, T0, batch, push, stale};

const FAMILY: [&str; 6] = [
    "lat_seconds_bucket{le=\"0.1\"}",
    "lat_seconds_bucket{le=\"1\"}",
    "lat_seconds_bucket{le=\"10\"}",
    "lat_seconds_bucket{le=\"+Inf\"}",
    "lat_seconds_sum",
    "lat_seconds_count",
];

/// Buckets, sum and count at one time.
fn at(second: i64, values: [f64; 6]) -> RawBatch {
    let mut all = batch(&[]);
    for (text, value) in FAMILY.iter().zip(values) {
        push(&mut all, text, MetricKind::Unknown, &[(second, value)]);
    }
    all
}

fn close(got: Option<f64>, want: f64) {
    assert!(got.is_some_and(|got| (got - want).abs() < 1e-9), "{got:?} is not {want}");
}

#[test]
fn rate_mean_and_quantiles_of_what_was_observed() {
    let mut bench = Bench::new();
    bench.feed(&at(0, [0.0; 6]));
    assert!(bench.out.samples.is_empty());
    bench.feed(&at(10, [50.0, 90.0, 100.0, 100.0, 40.0, 100.0]));
    close(bench.value("{__name__=\"lat_seconds:rate\"}"), 10.0);
    close(bench.value("{__name__=\"lat_seconds:mean\"}"), 0.4);
    close(bench.value("{__name__=\"lat_seconds:p50\"}"), 0.1);
    close(bench.value("{__name__=\"lat_seconds:p90\"}"), 1.0);
    close(bench.value("{__name__=\"lat_seconds:p99\"}"), 9.1);
    assert_eq!((bench.normalizer.census().judged, bench.out.admitted.len()), (5, 5));
    let info = bench.normalizer.info(bench.slot("{__name__=\"lat_seconds:p99\"}")).expect("info");
    assert_eq!((info.unit.as_str(), info.metric.as_str(), info.spec.missing), ("seconds", "lat_seconds:p99", false));
    // Nothing observed: the rate is 0 and there is nothing to say of the rest.
    bench.feed(&at(20, [50.0, 90.0, 100.0, 100.0, 40.0, 100.0]));
    assert_eq!(bench.named(), [("lat_seconds:rate".to_owned(), 20, 0.0)]);
}

#[test]
fn complete_when_the_last_part_is_there_even_over_requests() {
    let mut bench = Bench::new();
    bench.feed(&at(0, [0.0; 6]));
    let second = at(10, [50.0, 90.0, 100.0, 100.0, 40.0, 100.0]);
    bench.normalizer.normalize(&second, &[0, 1, 2], &mut bench.out);
    assert!(bench.out.samples.is_empty());
    bench.normalizer.normalize(&second, &[3, 4, 5], &mut bench.out);
    assert_eq!(bench.out.samples.len(), 5);
}

#[test]
fn a_part_that_is_missing_is_left_out_when_the_next_time_begins() {
    let mut bench = Bench::new();
    bench.feed(&at(0, [0.0; 6]));
    let second = at(10, [50.0, 90.0, 100.0, 100.0, 40.0, 100.0]);
    bench.normalizer.normalize(&second, &[0, 2, 3, 4, 5], &mut bench.out);
    assert!(bench.out.samples.is_empty());
    let third = at(20, [50.0, 90.0, 100.0, 100.0, 40.0, 100.0]);
    bench.normalizer.normalize(&third, &[0, 2, 3, 4, 5], &mut bench.out);
    let first: Vec<_> = bench.named().into_iter().filter(|(_, second, _)| *second == 10).collect();
    assert_eq!(first.len(), 5, "{first:?}");
    bench.normalizer.normalize(&second, &[1], &mut bench.out);
    assert_eq!((bench.out.samples.len(), bench.normalizer.stats().late_part), (0, 1));
}

#[test]
fn many_timestamps_of_one_series_after_the_other() {
    let mut bench = Bench::new();
    let mut all = batch(&[]);
    for (text, step) in FAMILY.iter().zip([5.0, 9.0, 10.0, 10.0, 4.0, 10.0]) {
        let samples: Vec<(i64, f64)> = (0..5).map(|i| (i * 10, i as f64 * step)).collect();
        push(&mut all, text, MetricKind::Unknown, &samples);
    }
    bench.feed(&all);
    let rates: Vec<_> = bench.named().into_iter().filter(|(n, _, _)| n.contains(":rate")).collect();
    assert_eq!(rates.iter().map(|r| (r.1, r.2)).collect::<Vec<_>>(), [(10, 1.0), (20, 1.0), (30, 1.0), (40, 1.0)]);
}

#[test]
fn a_reset_counts_from_zero() {
    let mut bench = Bench::new();
    bench.feed(&at(0, [50.0, 90.0, 100.0, 100.0, 40.0, 100.0]));
    bench.feed(&at(10, [10.0, 20.0, 20.0, 20.0, 4.0, 20.0]));
    close(bench.value("{__name__=\"lat_seconds:rate\"}"), 2.0);
    close(bench.value("{__name__=\"lat_seconds:mean\"}"), 0.2);
    assert_eq!(bench.normalizer.stats().reset, 1);
}

#[test]
fn bounds_are_joined_as_numbers() {
    let mut bench = Bench::new();
    bench.feed(&at(0, [0.0; 6]));
    // The sender was upgraded: it writes le="1.0" and le="10.0" now.
    let mut after = batch(&[]);
    let values = [50.0, 90.0, 100.0, 100.0, 40.0, 100.0];
    for (text, value) in FAMILY.iter().zip(values) {
        let text = text.replace("\"1\"", "\"1.0\"").replace("\"10\"", "\"10.0\"");
        push(&mut after, &text, MetricKind::Unknown, &[(10, value)]);
    }
    bench.feed(&after);
    close(bench.value("{__name__=\"lat_seconds:p99\"}"), 9.1);
}

#[test]
fn the_end_of_all_parts_ends_what_they_gave() {
    let mut bench = Bench::new();
    bench.feed(&at(0, [0.0; 6]));
    bench.feed(&at(10, [50.0, 90.0, 100.0, 100.0, 40.0, 100.0]));
    bench.feed(&at(20, [stale(); 6]));
    assert_eq!(bench.out.ended.len(), 5);
    assert!(bench.out.ended.iter().all(|(_, ts_ms)| *ts_ms == T0 + 20_000));
    bench.feed(&at(30, [1.0, 2.0, 3.0, 3.0, 1.0, 3.0]));
    assert!(bench.out.samples.is_empty(), "nothing to compare with");
    bench.feed(&at(40, [1.0, 2.0, 13.0, 13.0, 1.0, 13.0]));
    close(bench.value("{__name__=\"lat_seconds:rate\"}"), 1.0);
}

#[test]
fn summaries_give_their_quantiles_a_rate_and_a_mean() {
    let mut bench = Bench::new();
    for (second, count) in [(0, 0.0), (10, 20.0)] {
        let mut all = batch(&[]);
        push(&mut all, "rpc_seconds{quantile=\"0.9\"}", MetricKind::Unknown, &[(second, 0.7)]);
        push(&mut all, "rpc_seconds_sum", MetricKind::Unknown, &[(second, count / 2.0)]);
        push(&mut all, "rpc_seconds_count", MetricKind::Unknown, &[(second, count)]);
        bench.feed(&all);
    }
    close(bench.value("rpc_seconds{quantile=\"0.9\"}"), 0.7);
    close(bench.value("{__name__=\"rpc_seconds:rate\"}"), 2.0);
    close(bench.value("{__name__=\"rpc_seconds:mean\"}"), 0.5);
}

#[test]
fn a_lone_count_is_a_gauge() {
    let mut bench = Bench::new();
    assert_eq!(bench.one("queue_count", &[(0, 4.0), (10, 2.0)]), [4.0, 2.0]);
}

#[test]
fn history_restarts_the_histogram() {
    let mut bench = Bench::new();
    bench.feed(&at(100, [50.0, 90.0, 100.0, 100.0, 40.0, 100.0]));
    bench.feed(&at(110, [60.0, 100.0, 110.0, 110.0, 50.0, 110.0]));
    let slot = bench.slot("{__name__=\"lat_seconds:rate\"}");
    let mut history = batch(&[]);
    for (text, value) in FAMILY.iter().zip([10.0, 18.0, 20.0, 20.0, 8.0, 20.0]) {
        push(&mut history, text, MetricKind::Unknown, &[(0, 0.0), (10, value), (20, 2.0 * value)]);
    }
    history.mode = Mode::Backfill;
    bench.feed(&history);
    assert!(bench.out.restarted.contains(&slot));
    let rates: Vec<_> = bench.named().into_iter().filter(|(n, _, _)| n.contains(":rate")).collect();
    assert_eq!(rates.iter().map(|r| (r.1, r.2)).collect::<Vec<_>>(), [(10, 2.0), (20, 2.0)]);
}

fn native(second: i64, counts: [f64; 3]) -> RawBatch {
    let mut all = batch(&[]);
    push(&mut all, "lat_seconds", MetricKind::Histogram, &[]);
    let total: f64 = counts.iter().sum();
    all.histograms.push(NativeHistogram {
        ts_ms: T0 + second * 1000,
        schema: 0,
        zero_threshold: 1e-9,
        count: total,
        sum: total * 3.0,
        // Buckets (0.5, 1], (1, 2] and (4, 8].
        positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }],
        positive: counts.to_vec(),
        ..NativeHistogram::default()
    });
    all.series[0] = RawSeries { histograms_len: 1, ..all.series[0] };
    all.received_ms = T0 + second * 1000;
    all
}

#[test]
fn native_histograms_give_the_same_series() {
    let mut bench = Bench::new();
    bench.feed(&native(0, [1.0, 2.0, 3.0]));
    assert!(bench.out.samples.is_empty());
    bench.feed(&native(10, [1.0, 52.0, 53.0]));
    close(bench.value("{__name__=\"lat_seconds:rate\"}"), 10.0);
    close(bench.value("{__name__=\"lat_seconds:mean\"}"), 3.0);
    close(bench.value("{__name__=\"lat_seconds:p50\"}"), 2.0);
    close(bench.value("{__name__=\"lat_seconds:p90\"}"), 4.0 * 2.0_f64.powf(0.8));
    bench.feed(&native(20, [1.0, 1.0, 1.0]));
    close(bench.value("{__name__=\"lat_seconds:rate\"}"), 0.3);
    assert_eq!((bench.normalizer.stats().reset, bench.out.receipt.histograms), (1, 1));
    let mut end = native(30, [1.0, 1.0, 1.0]);
    end.histograms[0].sum = stale();
    bench.feed(&end);
    assert_eq!(bench.out.ended.len(), 5);
}

#[test]
fn native_histograms_that_contradict_themselves_are_refused() {
    let mut bench = Bench::new();
    let mut broken = native(0, [1.0, 2.0, 3.0]);
    broken.histograms[0].positive_spans[0].length = 7;
    bench.feed(&broken);
    assert_eq!((bench.out.receipt.invalid, bench.normalizer.stats().invalid_histogram), (1, 1));
    let problem = bench.out.receipt.first_problem.clone().expect("a problem");
    assert!(problem.contains("spans and buckets") && problem.contains("lat_seconds"), "{problem}");
}

#[test]
fn every_shard_agrees_on_the_home_of_a_histogram() {
    use std::sync::Arc;
    use watchbell_normalize::{Limits, Normalized, Normalizer, Rules, Shard};
    let rules = Arc::new(Rules::built_in().expect("rules"));
    let shard = |index| Normalizer::new(Arc::clone(&rules), Shard { index, count: 4 }, Limits::default());
    let mut shards: Vec<Normalizer> = (0..4).map(shard).collect();
    let mut samples = 0;
    for (second, values) in [(0, [0.0; 6]), (10, [50.0, 90.0, 100.0, 100.0, 40.0, 100.0])] {
        let mut batch = at(second, values);
        // What is forwarded goes to its shard under the new key, and must be at home there.
        for hop in 0..2 {
            let mut forwarded = Vec::new();
            for (index, shard) in shards.iter_mut().enumerate() {
                let all = 0..batch.series.len() as u32;
                let which: Vec<u32> = all.filter(|i| batch.series[*i as usize].key % 4 == index as u64).collect();
                let mut out = Normalized::default();
                shard.normalize(&batch, &which, &mut out);
                samples += out.samples.len();
                forwarded.extend(out.forward);
            }
            assert!(hop == 0 || forwarded.is_empty());
            batch.series =
                forwarded.iter().map(|(i, key)| RawSeries { key: *key, ..batch.series[*i as usize] }).collect();
        }
    }
    assert_eq!(samples, 5);
}
