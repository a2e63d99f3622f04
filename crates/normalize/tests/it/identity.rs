//! Which series a key means: other keys, other shards, unknown keys, refusals.

use std::sync::Arc;

use watchbell_normalize::{Limits, Normalized, Normalizer, Rules, Shard, SourceLimit};
use watchbell_series::labels::{hash_canonical, write_canonical_label};
use watchbell_series::{Mode, RawBatch, RawSample, RawSeries, Selector};

use crate::support::{Bench, T0, batch, labels};

/// A series whose labels stand in the given order.
fn unsorted(pairs: &[(&str, &str)], second: i64, value: f64) -> RawBatch {
    let mut batch = RawBatch { received_ms: T0 + second * 1000, ..RawBatch::default() };
    for (name, text) in pairs {
        write_canonical_label(name.as_bytes(), text.as_bytes(), &mut batch.labels);
    }
    let key = hash_canonical(&batch.labels).0;
    batch.samples.push(RawSample { ts_ms: T0 + second * 1000, value });
    batch.series.push(RawSeries::samples(key, 0..batch.labels.len(), 0..1));
    batch
}

#[test]
fn a_normalizer_can_move_to_its_thread() {
    let mut bench = Bench::new();
    let handle = std::thread::spawn(move || bench.one("load", &[(0, 1.0)]));
    assert_eq!(handle.join().expect("thread"), [1.0]);
}

#[test]
fn labels_in_any_order_are_one_series() {
    let mut bench = Bench::new();
    bench.feed(&unsorted(&[("job", "n"), ("__name__", "load")], 0, 1.0));
    bench.feed(&unsorted(&[("__name__", "load"), ("job", "n")], 10, 2.0));
    assert_eq!(bench.values(), [2.0]);
    bench.feed(&unsorted(&[("job", "n"), ("empty", ""), ("__name__", "load")], 20, 3.0));
    bench.feed(&unsorted(&[("job", "n"), ("__name__", "load")], 30, 4.0));
    assert_eq!((bench.values(), bench.normalizer.census().judged), (vec![4.0], 1));
    assert_eq!(bench.out.samples[0].slot, bench.slot("load{job=\"n\"}"));
    let info = bench.normalizer.info(0).expect("info");
    assert_eq!(info.id, labels("load{job=\"n\"}").id());
}

#[test]
fn series_of_another_shard_are_forwarded_under_their_own_key() {
    let rules = Arc::new(Rules::built_in().expect("rules"));
    let series = unsorted(&[("job", "n"), ("__name__", "load")], 0, 1.0);
    let (alias, id) = (series.series[0].key, labels("load{job=\"n\"}").id().0);
    let count = (2..50).find(|count| alias % count != id % count).expect("a number of shards");
    let shard = |key: u64| Shard { index: (key % count) as u32, count: count as u32 };
    let mut wrong = Normalizer::new(Arc::clone(&rules), shard(alias), Limits::default());
    let mut out = Normalized::default();
    for _ in 0..2 {
        wrong.normalize(&series, &[0], &mut out);
        assert_eq!((out.forward.clone(), out.samples.len()), (vec![(0, id)], 0));
    }
    let mut right = Normalizer::new(rules, shard(id), Limits::default());
    let mut again = series.clone();
    again.series[0].key = id;
    right.normalize(&again, &[0], &mut out);
    assert_eq!((out.forward.len(), out.samples.len()), (0, 1));
}

#[test]
fn a_key_without_labels_must_be_known() {
    let mut bench = Bench::new();
    let full = batch(&[("load", &[(0, 1.0)])]);
    let mut bare = batch(&[("load", &[(10, 2.0)])]);
    bare.series[0].labels_len = 0;
    bench.feed(&bare);
    assert_eq!((&bench.out.unknown, bench.out.receipt.accepted), (&vec![0], 0));
    bench.feed(&full);
    bench.feed(&bare);
    assert_eq!((bench.values(), bench.out.unknown.len()), (vec![2.0], 0));
}

#[test]
fn a_wrong_key_is_another_key_of_the_series() {
    let mut bench = Bench::new();
    bench.feed(&unsorted(&[("__name__", "load"), ("job", "n")], 0, 1.0));
    let mut wrong = unsorted(&[("__name__", "load"), ("job", "n")], 10, 2.0);
    wrong.series[0].key ^= 1 << 40;
    bench.feed(&wrong);
    assert_eq!((bench.values(), bench.normalizer.census().judged), (vec![2.0], 1));
}

#[test]
fn own_output_never_comes_in() {
    let mut bench = Bench::new();
    for text in [
        "watchbell_anomaly_score{metric=\"load\"}",
        "load{watchbell=\"a\"}",
        "{__name__=\"anomaly:level\",anomaly_strategy=\"watchbell\"}",
        "anomaly_score{model_alias=\"watchbell\",for=\"x\"}",
    ] {
        assert_eq!(bench.one(text, &[(0, 1.0)]), [0.0; 0], "{text}");
        assert_eq!(bench.out.receipt.accepted, 1);
    }
    assert_eq!((bench.normalizer.stats().own_output, bench.normalizer.census().judged), (4, 0));
}

#[test]
fn broken_labels_are_said_once_and_counted() {
    let mut bench = Bench::new();
    let double = unsorted(&[("__name__", "load"), ("job", "a"), ("job", "b")], 0, 1.0);
    bench.feed(&double);
    assert_eq!((bench.out.receipt.invalid, bench.normalizer.stats().invalid_labels), (1, 1));
    assert!(bench.out.receipt.first_problem.clone().expect("a problem").contains("`job` stands twice"));
    bench.feed(&unsorted(&[("job", "a")], 0, 1.0));
    assert!(bench.out.receipt.first_problem.clone().expect("a problem").contains("no metric name"));
}

#[test]
fn at_the_limit_new_series_are_refused_and_old_ones_go_on() {
    let mut bench = Bench::with("", Limits { max_series: 10, ..Limits::default() });
    for i in 0..1000 {
        bench.one(&format!("load{{i=\"{i}\"}}"), &[(0, 1.0)]);
    }
    let held = bench.normalizer.census();
    assert_eq!((held.records, held.judged), (10, 10));
    assert_eq!(bench.normalizer.stats().limit_refused as usize, 1000 - held.judged);
    assert!(bench.out.receipt.first_problem.clone().expect("a problem").contains("raise `max_series`"));
    assert_eq!(bench.one("load{i=\"0\"}", &[(10, 2.0)]), [2.0]);
    let long = format!("load{{i=\"{}\"}}", "x".repeat(20_000));
    assert_eq!((bench.one("load{i=\"1\"}", &[(10, 3.0)]), long.len() > 16 * 1024), (vec![3.0], true));
}

#[test]
fn a_source_holds_no_more_than_its_limit() {
    let mut bench = Bench::with("", Limits { idle_ms: 60_000, ..Limits::default() });
    let limit = |most| vec![SourceLimit { tag: 7, name: "push".into(), max_series: most }];
    bench.normalizer.set_source_limits(limit(3));
    let send = |bench: &mut Bench, source: u32, text: &str, second: i64| {
        let batch = RawBatch { source, ..batch(&[(text, &[(second, 1.0)])]) };
        bench.feed(&batch);
        bench.values().len()
    };
    for i in 0..10 {
        let taken = send(&mut bench, 7, &format!("load{{i=\"{i}\"}}"), 0);
        assert_eq!(taken, usize::from(i < 3));
    }
    let problem = bench.out.receipt.first_problem.clone().expect("a problem");
    assert!(problem.contains("`push`") && problem.contains("`max_series`"), "{problem}");
    assert_eq!((send(&mut bench, 7, "load{i=\"0\"}", 10), send(&mut bench, 8, "load{i=\"9\"}", 10)), (1, 1));
    let counts = |bench: &Bench| -> Vec<_> {
        bench.normalizer.source_counts().iter().map(|c| (c.tag, c.held, c.refused)).collect()
    };
    assert_eq!(counts(&bench), [(7, 3, 7), (8, 1, 0)]);

    // The counts come back with the series.
    let mut restored = Bench::new();
    for raw in 0..bench.normalizer.raw_len() {
        let mut bytes = Vec::new();
        bench.normalizer.save(raw, &mut bytes);
        restored.normalizer.load(&bytes).expect("restored");
    }
    assert_eq!(counts(&restored), [(7, 3, 0), (8, 1, 0)]);

    // What is forgotten gives its place back, and a lower limit takes nothing away.
    bench.normalizer.set_source_limits(limit(1));
    let before_ms = T0 + 5_000;
    while !bench.normalizer.expire(before_ms, &mut bench.out) {}
    assert_eq!(counts(&bench)[0], (7, 1, 7));
    assert_eq!(send(&mut bench, 7, "load{i=\"5\"}", 20), 0);
    bench.normalizer.set_source_limits(limit(2));
    assert_eq!(send(&mut bench, 7, "load{i=\"5\"}", 20), 1);
}

#[test]
fn history_is_counted_for_the_source_that_goes_on_with_it() {
    let mut bench = Bench::new();
    bench.normalizer.set_source_limits(vec![SourceLimit { tag: 7, name: "push".into(), max_series: 1 }]);
    let load = |i: i64, second: i64| batch(&[(&*format!("load{{i=\"{i}\"}}"), &[(second, 1.0)])]);
    for i in 0..2 {
        bench.feed(&RawBatch { mode: Mode::Backfill, ..load(i, 0) });
    }
    assert!(bench.normalizer.source_counts().is_empty());
    for i in 0..2 {
        bench.feed(&RawBatch { source: 7, ..load(i, 10) });
        assert_eq!(bench.values(), [1.0], "what is known goes on, whatever the limit");
    }
    assert_eq!(bench.normalizer.source_counts()[0].held, 2);
    bench.feed(&RawBatch { source: 7, ..load(3, 10) });
    assert_eq!(bench.out.receipt.limited, 1);
}

#[test]
fn oversized_label_sets_are_refused() {
    let mut bench = Bench::with("", Limits { max_labels: 3, max_label_bytes: 50, ..Limits::default() });
    bench.one("load{a=\"1\",b=\"2\",c=\"3\"}", &[(0, 1.0)]);
    assert_eq!(bench.out.receipt.limited, 1);
    bench.one(&format!("load{{a=\"{}\"}}", "x".repeat(60)), &[(0, 1.0)]);
    assert_eq!((bench.out.receipt.limited, bench.normalizer.census().judged), (1, 0));
    bench.one("load{a=\"1\"}", &[(0, 1.0)]);
    assert_eq!(bench.values(), [1.0]);
}

#[test]
fn series_are_found_by_selectors() {
    let mut bench = Bench::new();
    bench.feed(&batch(&[
        ("load{instance=\"a:1\"}", &[(0, 1.0)]),
        ("load{instance=\"b:1\"}", &[(0, 1.0)]),
        ("temp{instance=\"b:1\"}", &[(0, 1.0)]),
    ]));
    let selector: Selector = "{instance=~\"b.*\"}".parse().expect("selector");
    let found: Vec<String> = bench.normalizer.find(&selector).map(|slot| bench.name(slot)).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(bench.normalizer.slots(1, 1).collect::<Vec<_>>(), [1]);
}
