//! What a sample costs: of known series in the order of before, in any order, and at first sight.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use watchbell_normalize::{Limits, Normalized, Normalizer, Rules, Shard};
use watchbell_series::{Labels, MetricKind, RawBatch, RawSample};

/// Samples of a request, as Prometheus sends them.
const REQUEST: usize = 2_000;

/// Requests with one sample of each of `count` series: names and labels like those of node_exporter, 11
/// labels, half counters.
fn requests(count: usize) -> Vec<RawBatch> {
    (0..count)
        .step_by(REQUEST)
        .map(|start| {
            let mut batch = RawBatch { received_ms: 1, ..RawBatch::default() };
            for n in start..(start + REQUEST).min(count) {
                let (host, n) = (n / 500, n % 500);
                let suffix = if n % 20 < 10 { "_total" } else { "" };
                let labels = Labels::series([
                    ("__name__", format!("node_metric_{}{suffix}", n / 10)),
                    ("cluster", "eu-1".to_owned()),
                    ("cpu", format!("{}", n % 10)),
                    ("device", "eth0".to_owned()),
                    ("env", "prod".to_owned()),
                    ("instance", format!("10.{}.{}.{}:9100", host / 62_500, host / 250 % 250, host % 250)),
                    ("job", "node".to_owned()),
                    ("mode", format!("m{}", n % 7)),
                    ("prometheus", "monitoring/k8s".to_owned()),
                    ("region", "eu".to_owned()),
                    ("team", format!("t{}", host % 20)),
                ]);
                let labels = labels.expect("valid labels");
                batch.push(&labels, MetricKind::Unknown, &[RawSample { ts_ms: 0, value: 1.0 }]);
            }
            batch
        })
        .collect()
}

fn advance(batch: &mut RawBatch, ts_ms: i64) {
    batch.received_ms = ts_ms;
    for sample in &mut batch.samples {
        sample.ts_ms = ts_ms;
        sample.value += 1.0;
    }
}

fn fresh(rules: &Arc<Rules>) -> Normalizer {
    Normalizer::new(Arc::clone(rules), Shard::default(), Limits::default())
}

/// Time to normalise every request once, in the order given by `order`.
fn pass(normalizer: &mut Normalizer, batches: &mut [RawBatch], which: &[u32], ts_ms: i64) -> Duration {
    let mut out = Normalized::default();
    let mut spent = Duration::ZERO;
    for batch in batches {
        advance(batch, ts_ms);
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures time itself")]
        let start = Instant::now();
        normalizer.normalize(batch, which, &mut out);
        spent += start.elapsed();
    }
    spent
}

fn known(c: &mut Criterion) {
    let rules = Arc::new(Rules::built_in().expect("rules"));
    let in_order: Vec<u32> = (0..REQUEST as u32).collect();
    // A fixed permutation: 7919 is prime to the size of a request.
    let shuffled: Vec<u32> = (0..REQUEST as u32).map(|i| i * 7919 % REQUEST as u32).collect();
    for count in [1_000, 1_000_000] {
        let mut batches = requests(count);
        let mut normalizer = fresh(&rules);
        let mut ts_ms = 0;
        pass(&mut normalizer, &mut batches, &in_order, ts_ms);
        let census = normalizer.census();
        println!("{count} series: {:.1} B each, {census:?}", census.bytes as f64 / count as f64);
        let mut group = c.benchmark_group("known");
        group.sample_size(10).measurement_time(Duration::from_secs(5)).throughput(Throughput::Elements(count as u64));
        for (name, which) in [("in_order", &in_order), ("shuffled", &shuffled)] {
            group.bench_function(format!("{name}/{count}"), |b| {
                b.iter_custom(|rounds| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..rounds {
                        ts_ms += 15_000;
                        spent += pass(&mut normalizer, &mut batches, which, ts_ms);
                    }
                    spent
                });
            });
        }
        group.finish();
    }
}

fn first_sight(c: &mut Criterion) {
    let rules = Arc::new(Rules::built_in().expect("rules"));
    let in_order: Vec<u32> = (0..REQUEST as u32).collect();
    let count = 200_000;
    let mut batches = requests(count);
    let mut group = c.benchmark_group("first_sight");
    group.sample_size(10).measurement_time(Duration::from_secs(5)).throughput(Throughput::Elements(count as u64));
    group.bench_function(count.to_string(), |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let mut normalizer = fresh(&rules);
                spent += pass(&mut normalizer, &mut batches, &in_order, 0);
            }
            spent
        });
    });
    group.finish();
}

criterion_group!(benches, known, first_sight);
criterion_main!(benches);
