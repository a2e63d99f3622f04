//! How series end: by age, by new rules.

use std::sync::Arc;

use watchbell_normalize::{Limits, Normalized, Rules};
use watchbell_series::MetricKind;

use crate::support::{Bench, T0, batch, push, stale};

const DAY_MS: i64 = 24 * 3_600_000;

fn expire_all(bench: &mut Bench, now_ms: i64) -> Vec<u32> {
    let mut released = Vec::new();
    let mut out = Normalized::default();
    loop {
        let whole = bench.normalizer.expire(now_ms - DAY_MS, &mut out);
        released.extend(out.released.iter().copied());
        if whole {
            return released;
        }
    }
}

#[test]
fn idle_series_go_after_a_day_and_ended_ones_after_ten_minutes() {
    let mut bench = Bench::new();
    bench.feed(&batch(&[("idle", &[(0, 1.0)]), ("ended", &[(0, 1.0), (1, stale())]), ("busy", &[(0, 1.0)])]));
    let (idle, ended) = (bench.slot("idle"), bench.slot("ended"));
    assert_eq!(expire_all(&mut bench, T0 + 500_000), [0; 0]);
    assert_eq!(expire_all(&mut bench, T0 + 602_000), [ended]);
    bench.one("busy", &[(80_000, 2.0)]);
    assert_eq!(expire_all(&mut bench, T0 + DAY_MS + 1000), [idle]);
    assert_eq!((bench.normalizer.census().judged, bench.normalizer.stats().expired), (1, 2));
    assert_eq!((bench.normalizer.slot_raw(idle), bench.normalizer.entity_name(99)), (None, ""));
    // A slot is used again, by a later call.
    bench.one("new", &[(90_000, 1.0)]);
    assert!([idle, ended].contains(&bench.slot("new")));
}

#[test]
fn everything_is_released_with_the_last_series() {
    let mut bench = Bench::new();
    let fill = |bench: &mut Bench, second: i64| {
        for chunk in 0..20 {
            let mut all = batch(&[]);
            for i in 0..500 {
                let n = chunk * 500 + i;
                let text = format!("m{}{{instance=\"h{}:1\",n=\"{n}\"}}", n % 50, n / 100);
                push(&mut all, &text, MetricKind::Gauge, &[(second, 1.0)]);
            }
            for le in ["1", "2", "+Inf"] {
                let text = format!("lat_bucket{{instance=\"h{chunk}\",le=\"{le}\"}}");
                push(&mut all, &text, MetricKind::Histogram, &[(second, 1.0), (second + 10, 2.0)]);
            }
            bench.feed(&all);
        }
    };
    fill(&mut bench, 0);
    let first = bench.normalizer.census();
    assert_eq!((first.groups, first.judged), (20, 10_000 + 20 * 4));
    expire_all(&mut bench, T0 + DAY_MS + 60_000);
    let empty = bench.normalizer.census();
    assert_eq!((empty.records, empty.judged, empty.groups, empty.label_pairs, empty.entities), (0, 0, 0, 0, 0));
    assert!(empty.bytes <= first.bytes + first.bytes / 20, "{empty:?} {first:?}");
    fill(&mut bench, 100_000);
    let second = bench.normalizer.census();
    assert_eq!((second.records, second.judged), (first.records, first.judged));
    assert!(second.bytes <= first.bytes + first.bytes / 10, "{first:?} {second:?}");
}

#[test]
fn an_alias_does_not_outlive_its_series() {
    let mut bench = Bench::new();
    let mut other = batch(&[("load", &[(0, 1.0)])]);
    other.series[0].key ^= 1 << 33;
    bench.feed(&other);
    let slot = bench.slot("load");
    assert_eq!(bench.normalizer.census().records, 2);
    // The alias was seen again later, its series has no sample since.
    let mut nothing = batch(&[("load", &[])]);
    nothing.series[0].key = other.series[0].key;
    nothing.received_ms = T0 + 2 * DAY_MS;
    bench.feed(&nothing);
    assert_eq!(expire_all(&mut bench, T0 + DAY_MS + 1000), [slot]);
    let mut again = batch(&[("load", &[(200_000, 5.0)])]);
    again.series[0].key = other.series[0].key;
    bench.feed(&again);
    assert_eq!((bench.values(), bench.normalizer.census().records), (vec![5.0], 2));
}

#[test]
fn new_rules_hold_for_series_that_are_there() {
    let mut bench = Bench::new();
    let text = ["load{host=\"a\",pod=\"p\"}", "temp{host=\"a\",pod=\"p\"}", "x_total{host=\"a\",pod=\"p\"}"];
    let feed = |bench: &mut Bench, second: i64| {
        bench.feed(&batch(&text.map(|t| (t, [(second, second as f64)])).each_ref().map(|(t, s)| (*t, &s[..]))));
    };
    feed(&mut bench, 0);
    let (load, temp) = (bench.slot(text[0]), bench.slot(text[1]));
    let rules = "ignore: ['temp']\nmetrics: [{metric: load, bad: up, name: load.1m}, {metric: x_total, kind: gauge}]";
    let rules = Arc::new(Rules::load(&[("new.yaml", rules)], &[]).expect("rules"));
    bench.normalizer.set_rules(rules, &mut bench.out);
    assert_eq!(bench.out.released, [temp]);
    let spec = bench.out.respecified.iter().find(|(slot, _)| *slot == load).expect("load").1.clone();
    assert_eq!(format!("{:?}", spec.direction), "Up");
    assert_eq!(bench.out.restarted, [bench.slot(text[2])]);
    assert_eq!(bench.normalizer.info(load).expect("info").metric, "load.1m");
    feed(&mut bench, 10);
    assert_eq!((bench.values(), bench.normalizer.stats().unwatched), (vec![10.0, 10.0], 1));
    // And back: what was not watched is met anew; a series of another host keeps what it learned.
    let rules = "entity: [{label: pod}]";
    let rules = Arc::new(Rules::load(&[("new.yaml", rules)], &[]).expect("rules"));
    bench.normalizer.set_rules(rules, &mut bench.out);
    assert_eq!((bench.out.released.len(), bench.out.admitted.len()), (0, 0));
    assert_eq!(bench.out.restarted, [bench.slot(text[2])], "for it is a counter again");
    let homes: Vec<&str> = bench.out.rehomed.iter().map(|(_, entity)| bench.normalizer.entity_name(*entity)).collect();
    assert_eq!(homes, ["p", "p"]);
    feed(&mut bench, 20);
    assert_eq!((bench.out.admitted.len(), bench.values()), (1, vec![20.0, 20.0]));
}

#[test]
fn expiring_is_done_in_slices() {
    let mut bench = Bench::with("", Limits::default());
    for chunk in 0..10 {
        let mut all = batch(&[]);
        for i in 0..1000 {
            push(&mut all, &format!("m{{n=\"{}\"}}", chunk * 1000 + i), MetricKind::Gauge, &[(0, 1.0)]);
        }
        bench.feed(&all);
    }
    let mut slices = 1;
    while !bench.normalizer.expire(T0 + 1, &mut bench.out) {
        assert!(bench.out.released.len() <= 4096);
        slices += 1;
    }
    assert_eq!((slices, bench.normalizer.census().records), (3, 0));
}
