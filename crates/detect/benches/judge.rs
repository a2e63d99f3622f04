//! What judging costs: a whole round of samples, one of each series, visited in order as senders repeat it.
//!
//! The series are warm, vary, and have a season: the dearest steady state. A round of a million series
//! does not fit any cache, so its time holds the memory traffic too. `sweep` looks for overdue series.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use watchbell_detect::{CivilTime, Judge, JudgeConfig};
use watchbell_series::{Sample, SeriesSpec};

const CADENCE_MS: i64 = 15_000;

/// Values that vary by a hash of slot and round, with a spread of 1 around 50.
fn fill(round: i64, samples: &mut [Sample]) {
    for sample in samples {
        let mut h = (u64::from(sample.slot) << 32 | round as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h = (h ^ (h >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        sample.ts_ms = 1_700_000_000_000 + round * CADENCE_MS;
        sample.value = 49.0 + (h >> 40) as f64 / (1 << 23) as f64;
    }
}

/// A judge of `series` warm series that all have a season, and the samples of the next round.
fn warm(series: u32) -> (Judge, Vec<Sample>, i64) {
    let mut judge = Judge::new(JudgeConfig::default(), CivilTime::utc());
    let spec = SeriesSpec::default();
    for slot in 0..series {
        judge.admit(slot, &spec, slot / 100);
    }
    let mut samples: Vec<Sample> =
        (0..series).map(|slot| Sample { slot, cadence_s: 15.0, ts_ms: 0, value: 0.0 }).collect();
    let mut verdicts = Vec::new();
    // Past warm-up, and over the end of a quarter-hour.
    let rounds = 70;
    for round in 0..rounds {
        fill(round, &mut samples);
        judge.judge(&samples, &mut verdicts);
        verdicts.clear();
    }
    (judge, samples, rounds)
}

/// Time that judging takes in so many rounds; making their values is not counted.
fn spent(rounds: u64, judge: &mut Judge, samples: &mut [Sample], round: &mut i64) -> Duration {
    let (mut spent, mut verdicts) = (Duration::ZERO, Vec::new());
    for _ in 0..rounds {
        *round += 1;
        fill(*round, samples);
        #[expect(clippy::disallowed_methods, reason = "a benchmark measures time itself")]
        let start = std::time::Instant::now();
        judge.judge(black_box(samples), &mut verdicts);
        spent += start.elapsed();
        verdicts.clear();
    }
    spent
}

fn judge(c: &mut Criterion) {
    let mut group = c.benchmark_group("judge");
    group.sample_size(10);
    for series in [1_000u32, 1_000_000] {
        let (mut judge, mut samples, mut round) = warm(series);
        let mut verdicts = Vec::new();
        group.throughput(Throughput::Elements(u64::from(series)));
        group.bench_function(BenchmarkId::new("round", series), |b| {
            b.iter_custom(|rounds| spent(rounds, &mut judge, &mut samples, &mut round));
        });
        // A window that is to come, and one that goes on, over all series.
        for (name, first) in [("round_planned", i64::MAX - 1), ("round_quiet", 0)] {
            let spans: std::sync::Arc<[watchbell_detect::QuietSpan]> = [(first, i64::MAX)].into();
            (0..series).for_each(|slot| judge.set_quiet(slot, &spans));
            group.bench_function(BenchmarkId::new(name, series), |b| {
                b.iter_custom(|rounds| spent(rounds, &mut judge, &mut samples, &mut round));
            });
            (0..series).for_each(|slot| judge.set_quiet(slot, &[].into()));
        }
        let now = samples[0].ts_ms;
        group.bench_function(BenchmarkId::new("sweep", series), |b| b.iter(|| judge.sweep(now, &mut verdicts)));
        let mut bytes = Vec::new();
        group.throughput(Throughput::Elements(1000));
        group.bench_function(BenchmarkId::new("save_1000_of", series), |b| {
            b.iter(|| {
                bytes.clear();
                (0..1000).for_each(|slot| judge.save(slot, &mut bytes));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, judge);
criterion_main!(benches);
