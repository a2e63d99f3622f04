//! What becomes of single samples: order, faults, counters, ends, history.

use proptest::prelude::*;
use watchbell_normalize::Stats;
use watchbell_series::{MetricKind, Mode, RawMetadata};

use crate::support::{Bench, T0, batch, push, stale};

#[test]
fn gauges_pass_as_they_are_with_their_cadence() {
    let mut bench = Bench::new();
    assert_eq!(bench.one("load{instance=\"a:1\"}", &[(0, 1.5)]), [1.5]);
    assert_eq!(bench.out.admitted.len(), 1);
    assert_eq!(bench.normalizer.entity_name(bench.out.admitted[0].entity), "a");
    assert_eq!(bench.one("load{instance=\"a:1\"}", &[(15, 2.5), (30, 3.5)]), [2.5, 3.5]);
    assert_eq!((bench.out.admitted.len(), bench.out.samples[1].cadence_s), (0, 15.0));
    assert_eq!(bench.out.receipt.accepted, 2);
}

#[test]
fn counters_are_rates_and_resets_start_from_zero() {
    let mut bench = Bench::new();
    let samples = [(0, 100.0), (10, 150.0), (20, 150.0), (30, 20.0), (50, 60.0)];
    assert_eq!(bench.one("x_total", &samples), [5.0, 0.0, 2.0, 2.0]);
    assert_eq!(bench.normalizer.stats().reset, 1);
}

#[test]
fn a_counter_that_steps_back_a_little_did_not_restart() {
    let mut bench = Bench::new();
    assert_eq!(bench.one("x_total", &[(0, 1000.0), (10, 999.9), (20, 1009.9)]), [1.0]);
    assert_eq!(bench.normalizer.stats().reset, 1);
}

#[test]
fn old_double_and_future_samples() {
    let mut bench = Bench::new();
    bench.one("load", &[(100, 1.0)]);
    assert_eq!(bench.one("load", &[(90, 2.0), (100, 1.0), (100, 3.0)]), [0.0; 0]);
    let (stats, receipt) = (*bench.normalizer.stats(), bench.out.receipt.clone());
    assert_eq!((stats.out_of_order, stats.duplicate, stats.conflict), (1, 1, 1));
    assert_eq!((receipt.out_of_order, receipt.duplicates, receipt.conflicts, receipt.accepted), (1, 1, 1, 0));
    assert!(receipt.first_problem.expect("a problem").contains("out of order: sample at"));

    let mut ahead = batch(&[("load", &[(101, 1.0), (101 + 601, 2.0)])]);
    ahead.received_ms = T0 + 101_000;
    bench.feed(&ahead);
    assert_eq!((bench.values(), bench.normalizer.stats().future), (vec![1.0], 1));
}

#[test]
fn a_time_that_stands_for_none_is_out_of_range() {
    let mut bench = Bench::new();
    let mut first = batch(&[("load", &[(0, 1.0), (0, 2.0)])]);
    first.samples.iter_mut().for_each(|sample| sample.ts_ms = i64::MIN);
    bench.feed(&first);
    let receipt = bench.out.receipt.clone();
    assert_eq!((receipt.accepted, receipt.duplicates, receipt.conflicts, receipt.out_of_order), (0, 0, 0, 2));
    let problem = receipt.first_problem.expect("a problem");
    assert!(problem.starts_with("time out of range") && problem.contains("-9223372036854775808"), "{problem}");
    assert_eq!(bench.one("load", &[(0, 1.0)]), [1.0], "the series is none the worse for it");
}

#[test]
fn skew_gaps_and_not_a_number_are_counted() {
    let mut bench = Bench::new();
    let mut late = batch(&[("load", &[(0, 1.0)])]);
    late.received_ms = T0 + 121_000;
    bench.feed(&late);
    assert_eq!((bench.values(), bench.normalizer.stats().clock_skew), (vec![1.0], 1));
    assert_eq!(bench.one("load", &[(15, 1.0), (30, f64::NAN), (45, f64::INFINITY)]), [1.0]);
    assert_eq!(bench.one("load", &[(60, 1.0), (180, 1.0)]), [1.0, 1.0]);
    let stats: Stats = *bench.normalizer.stats();
    assert_eq!((stats.nan, stats.gap, stats.samples, stats.judged), (2, 1, 6, 4));
}

#[test]
fn a_target_that_has_no_value_is_there() {
    let mut bench = Bench::new();
    bench.one("latency", &[(0, 10.0), (10, 20.0)]);
    let slot = bench.slot("latency");
    assert_eq!(bench.one("latency", &[(20, f64::NAN), (30, f64::INFINITY), (40, f64::NAN)]), [0.0; 0]);
    assert_eq!(bench.out.valueless, [(slot, T0 + 20_000), (slot, T0 + 40_000)]);
    assert!(bench.out.ended.is_empty(), "it goes on");
}

#[test]
fn a_stale_marker_ends_a_series_until_it_comes_again() {
    let mut bench = Bench::new();
    bench.one("x_total", &[(0, 10.0), (10, 20.0)]);
    let slot = bench.slot("x_total");
    assert_eq!(bench.one("x_total", &[(20, stale())]), [0.0; 0]);
    assert_eq!(bench.out.ended, [(slot, T0 + 20_000)]);
    assert_eq!(bench.one("x_total", &[(20, stale())]), [0.0; 0], "the marker again");
    assert!(bench.out.ended.is_empty());
    // Nothing to compare the next value with; the one after it counts again.
    assert_eq!(bench.one("x_total", &[(90, 25.0)]), [0.0; 0]);
    assert_eq!(bench.one("x_total", &[(100, 35.0), (105, stale()), (110, 45.0), (120, 65.0)]), [1.0, 2.0]);
    assert!(bench.out.ended.is_empty(), "it came again in the same batch");
    assert_eq!(bench.normalizer.stats().stale, 2);
}

#[test]
fn the_end_of_a_series_never_seen_begins_nothing() {
    let mut bench = Bench::new();
    bench.one("load", &[(0, stale())]);
    assert_eq!((bench.normalizer.census().records, bench.out.receipt.accepted), (0, 1));
}

#[test]
fn history_before_the_first_live_sample_restarts_the_series() {
    let mut bench = Bench::new();
    bench.one("load", &[(1000, 7.0)]);
    let slot = bench.slot("load");
    let mut history = batch(&[("load", &[(0, 1.0), (500, 2.0), (1000, 7.0)])]);
    history.mode = Mode::Backfill;
    bench.feed(&history);
    assert_eq!((bench.values(), &bench.out.restarted), (vec![1.0, 2.0, 7.0], &vec![slot]));
    // The same history again: everything is held already.
    bench.feed(&history);
    assert_eq!((bench.values().len(), bench.out.restarted.len()), (0, 0));
    assert_eq!(bench.normalizer.stats().out_of_order, 0);
    // More of it goes on where it stopped.
    let mut more = batch(&[("load", &[(900, 3.0), (1100, 4.0)])]);
    more.mode = Mode::Backfill;
    bench.feed(&more);
    assert_eq!((bench.values(), bench.out.restarted.len()), (vec![4.0], 0));
}

#[test]
fn metadata_that_comes_later_changes_the_kind_and_restarts() {
    let mut bench = Bench::new();
    assert_eq!(bench.one("requests", &[(0, 10.0)]), [10.0]);
    let slot = bench.slot("requests");
    let told = RawMetadata { family: "requests".into(), kind: MetricKind::Counter, unit: String::new() };
    let mut later = batch(&[("requests", &[(10, 30.0), (20, 40.0)])]);
    later.metadata.push(told);
    bench.feed(&later);
    assert_eq!((bench.values(), &bench.out.restarted), (vec![1.0], &vec![slot]));
    assert_eq!((bench.out.respecified[0].0, bench.normalizer.stats().kind_change), (slot, 1));
    assert_eq!(bench.out.respecified[0].1.unit.as_str(), "per_second");
}

#[test]
fn the_kind_a_source_tells_holds() {
    let mut bench = Bench::new();
    let mut told = batch(&[]);
    push(&mut told, "jobs_total", MetricKind::Gauge, &[(0, 5.0)]);
    push(&mut told, "jobs", MetricKind::Counter, &[(0, 5.0), (5, 10.0)]);
    push(&mut told, "node_uname_info", MetricKind::Unknown, &[(0, 1.0)]);
    push(&mut told, "target", MetricKind::Info, &[(0, 1.0)]);
    push(&mut told, "unit_state", MetricKind::StateSet, &[(0, 1.0)]);
    bench.feed(&told);
    assert_eq!(bench.values(), [5.0, 1.0, 1.0]);
    assert_eq!((bench.normalizer.stats().set_aside, bench.normalizer.census().judged), (2, 3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rates_of_a_growing_counter_are_its_growth(steps in prop::collection::vec((1i64..100, 0u32..1000), 1..50)) {
        let (mut at, mut total) = (0, 0.0);
        let mut samples = vec![(0, 0.0)];
        let mut want = Vec::new();
        for (seconds, growth) in steps {
            at += seconds;
            total += f64::from(growth);
            samples.push((at, total));
            want.push(f64::from(growth) / seconds as f64);
        }
        let mut bench = Bench::new();
        prop_assert_eq!(bench.one("x_total", &samples), want);
        prop_assert_eq!(bench.normalizer.stats().reset, 0);
    }

    #[test]
    fn whatever_a_counter_does_rates_are_finite_and_not_negative(
        samples in prop::collection::vec((0i64..1000, any::<f64>()), 1..50)
    ) {
        let mut bench = Bench::new();
        let rates = bench.one("x_total", &samples);
        prop_assert!(rates.iter().all(|r| r.is_finite() && *r >= 0.0), "{rates:?}");
    }

    #[test]
    fn times_rise_for_each_series_however_they_arrive(
        samples in prop::collection::vec((0u8..4, 0i64..200, 0u8..3), 1..80)
    ) {
        let mut bench = Bench::new();
        let mut last = std::collections::HashMap::new();
        for (series, at, value) in samples {
            bench.one(&format!("load{{n=\"{series}\"}}"), &[(at, f64::from(value))]);
            for sample in &bench.out.samples {
                let before = last.insert(sample.slot, sample.ts_ms);
                prop_assert!(before.is_none_or(|b| b < sample.ts_ms));
            }
        }
    }
}
