//! What a request costs on its way through the service: each step alone, a shard's part, and the whole path.
//!
//! The load is that of hosts under one Prometheus: requests of 2,000 series with 11 labels and one sample each,
//! repeated in the same order, judged by one shard (two for the whole path). It is warm: past the time in which
//! series learn. Preparing a request and emptying the log are not timed. What is left out is HTTP and the way
//! from thread to thread.

#[path = "load.rs"]
mod load;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use load::Load;
use watchbell::context::quiet::{Quiet, Window};
use watchbell::context::subject::Target;
use watchbell::pipeline::handle::ShardMeta;
use watchbell::pipeline::ingest::split;
use watchbell::pipeline::record;
use watchbell::pipeline::segment::Entry;
use watchbell::pipeline::shard::Shard;
use watchbell::store::wal::Wal;
use watchbell_adapter_api::sink::ScoreQuery;
use watchbell_detect::{CivilTime, Judge, JudgeConfig};
use watchbell_normalize::{Limits, Normalized, Normalizer, Rules, Shard as ShardOf};
use watchbell_prometheus::proto::compression::{Encoding, decompress};
use watchbell_prometheus::proto::{self, Version, decode};
use watchbell_series::{MatchOp, Matcher, RawBatch};

/// The allocator of the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERIES: usize = 100_000;
const MANY: usize = 1_000_000;
const MAX_BODY: usize = 32 << 20;

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time itself")]
    let start = std::time::Instant::now();
    black_box(work());
    start.elapsed()
}

fn normalizer(index: u32, count: u32) -> Normalizer {
    let rules = Arc::new(Rules::built_in().expect("built-in rules"));
    Normalizer::new(rules, ShardOf { index, count }, Limits { max_series: 2 * MANY, ..Limits::default() })
}

fn judge() -> Judge {
    Judge::new(JudgeConfig::default(), CivilTime::utc())
}

fn shard(index: u32, count: u32, log: Option<&Path>) -> Shard {
    let log = log.map(|dir| Wal::open(dir, index).expect("temporary folder"));
    // Nobody listens: events are made, and dropped where the alerting stage would take them.
    let (alerts, _) = tokio::sync::mpsc::channel(1);
    Shard::new(ShardMeta::new(index, count), normalizer(index, count), judge(), log, alerts, i64::MAX)
}

/// Supersedes the log, as a checkpoint does.
fn empty_log(shard: &mut Shard) {
    if let Some(begun) = shard.rotate_log().expect("temporary folder") {
        shard.trim_log(begun);
    }
}

fn warm_shard(load: &mut Load, log: &Path) -> Shard {
    let (mut shard, which) = (shard(0, 1, Some(log)), every());
    for _ in 0..load::WARM_ROUNDS {
        load.advance();
        for batch in &load.batches {
            shard.ingest(batch, &which);
        }
        empty_log(&mut shard);
    }
    shard
}

/// All series of a request.
fn every() -> Vec<u32> {
    (0..load::REQUEST as u32).collect()
}

/// A step under test: `prepare` makes of a batch, untimed, what `step` takes.
fn step<T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    load: &mut Load,
    mut prepare: impl FnMut(&RawBatch) -> T,
    mut step: impl FnMut(&RawBatch, T),
) {
    group.bench_function(name, |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                load.advance();
                for batch in &load.batches {
                    let prepared = prepare(batch);
                    spent += time(|| step(batch, prepared));
                }
            }
            spent
        });
    });
}

fn group<'c>(c: &'c mut Criterion, name: &str, elements: usize) -> BenchmarkGroup<'c, WallTime> {
    let mut group = c.benchmark_group(name);
    group.sample_size(10).measurement_time(Duration::from_secs(3)).throughput(Throughput::Elements(elements as u64));
    group
}

fn steps(c: &mut Criterion) {
    let (mut load, limits) = (Load::new(SERIES), proto::Limits::default());
    let which = every();
    let mut group = group(c, "step", SERIES);
    let unpack = |body: &[u8]| decompress(Encoding::Snappy, body, MAX_BODY).expect("snappy");
    step(&mut group, "snappy", &mut load, load::body, |_, body| drop(black_box(unpack(&body))));
    step(
        &mut group,
        "decode",
        &mut load,
        |batch| unpack(&load::body(batch)),
        |_, body| drop(black_box(decode(Version::V1, body, &limits).expect("decodes"))),
    );
    step(&mut group, "split", &mut load, |_| (), |batch, ()| drop(black_box(split(batch, 2))));

    let (mut names, mut out) = (normalizer(0, 1), Normalized::default());
    for batch in &load.batches {
        names.normalize(batch, &which, &mut out);
    }
    step(&mut group, "normalize", &mut load, |_| (), |batch, ()| names.normalize(batch, &which, &mut out));

    let (mut names, mut judge, mut verdicts) = (normalizer(0, 1), judge(), Vec::new());
    for _ in 0..load::WARM_ROUNDS {
        load.advance();
        for batch in &load.batches {
            names.normalize(batch, &which, &mut out);
            for new in &out.admitted {
                judge.admit(new.slot, &new.spec, new.entity);
            }
            judge.judge(&out.samples, &mut verdicts);
        }
        verdicts.clear();
    }
    let census = names.census();
    println!("a normalised series holds {:.0} bytes: {census:?}", census.bytes as f64 / census.records as f64);
    for row in watchbell_detect::DETECTORS.iter().filter(|row| row.hot_bytes > 0) {
        println!("a judged series holds {} bytes, {} more once it varies", row.hot_bytes, row.lazy_bytes);
    }
    let mut samples = |batch: &RawBatch| {
        let mut out = Normalized::default();
        names.normalize(batch, &which, &mut out);
        out.samples
    };
    step(&mut group, "judge", &mut load, &mut samples, |_, samples| {
        judge.judge(&samples, &mut verdicts);
        verdicts.clear();
    });

    let dir = tempfile::tempdir().expect("temporary folder");
    let (mut log, mut bytes, mut requests) = (Wal::open(dir.path(), 0).expect("log"), Vec::new(), 0);
    step(
        &mut group,
        "log",
        &mut load,
        |_| (),
        |batch, ()| {
            bytes.clear();
            record::write(batch, &which, &[], false, &mut bytes);
            log.append(&bytes).expect("temporary folder");
            requests += 1;
            if requests % 1_000 == 0 {
                let begun = log.rotate().expect("temporary folder");
                log.remove_before(begun).expect("temporary folder");
            }
        },
    );
    println!("a logged sample takes {:.1} bytes", bytes.len() as f64 / which.len() as f64);
    group.finish();
}

fn ingest(c: &mut Criterion) {
    for series in [SERIES, MANY] {
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut load = Load::new(series);
        let (mut shard, which) = (warm_shard(&mut load, dir.path()), every());
        let mut group = group(c, "shard", series);
        group.bench_function(format!("ingest/{series}"), |b| {
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    load.advance();
                    for batch in &load.batches {
                        spent += time(|| shard.ingest(batch, &which));
                    }
                    empty_log(&mut shard);
                }
                spent
            });
        });
        group.finish();
        if series == SERIES {
            reading(c, &shard, load.now_ms());
            saving(c, &shard);
        }
    }
}

/// Pages of scores, all series.
fn reading(c: &mut Criterion, shard: &Shard, now_ms: i64) {
    let mut group = group(c, "shard", shard.status().judged as usize);
    for (name, anomalous_only) in [("page, all", false), ("page, anomalous only", true)] {
        let query = ScoreQuery { anomalous_only, ..ScoreQuery::default() };
        let (mut rows, mut labels) = (Vec::new(), Vec::new());
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut from = Some(0);
                while let Some(slot) = from {
                    rows.clear();
                    labels.clear();
                    from = shard.page(&query, slot, now_ms, &mut rows, &mut labels);
                    black_box(&rows);
                }
            });
        });
    }
    group.finish();
}

/// All segments of a checkpoint, to bytes and back.
fn saving(c: &mut Criterion, warm: &Shard) {
    let save = || (0..warm.segments()).map(|segment| warm.save_segment(segment)).collect::<Vec<_>>();
    let saved = save();
    let bytes: usize = saved.iter().map(Vec::len).sum();
    println!("a saved series takes {:.0} bytes", bytes as f64 / SERIES as f64);
    let mut group = group(c, "shard", SERIES);
    group.bench_function("save", |b| b.iter(save));
    group.bench_function("restore", |b| {
        b.iter_custom(|rounds| {
            let restore = |shard: &mut Shard| {
                for bytes in &saved {
                    let (_, entries) = Entry::all(bytes).expect("own bytes");
                    let (_, problem) = shard.restore(bytes, &entries.collect::<Vec<_>>());
                    assert_eq!(problem, None);
                }
            };
            (0..rounds)
                .map(|_| {
                    let mut empty = shard(0, 1, None);
                    time(|| restore(&mut empty))
                })
                .sum()
        });
    });
    group.finish();
}

fn new_series(c: &mut Criterion) {
    let (load, dir) = (Load::new(SERIES), tempfile::tempdir().expect("temporary folder"));
    let which = every();
    let mut group = group(c, "shard", SERIES);
    group.bench_function("new series", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let mut empty = shard(0, 1, Some(dir.path()));
                for batch in &load.batches {
                    spent += time(|| empty.ingest(batch, &which));
                }
                empty_log(&mut empty);
            }
            spent
        });
    });
    group.finish();
}

/// A window that comes and goes on top of thousands that are there: what holds up the thread of a shard.
fn windows(c: &mut Criterion) {
    let mut load = Load::new(SERIES);
    let (mut shard, which) = (shard(0, 1, None), every());
    for _ in 0..2 {
        load.advance();
        load.batches.iter().for_each(|batch| drop(shard.ingest(batch, &which)));
    }
    let window = |id: usize, target: Target| {
        let (starts_ms, ends_ms) = (0, i64::MAX);
        let (source, id, reason) = ("people".to_owned(), format!("{id:05}"), String::new());
        Arc::new(Window { source, id, target, starts_ms, ends_ms, reason })
    };
    let host = |n: usize| Target::Host(vec![format!("10.{}.{}.{}", n / 62_500, n / 250 % 250, n % 250)]);
    let matching = |all: &[(&str, MatchOp, &str)]| {
        let matchers = all.iter().map(|(name, op, value)| Matcher::new(name, *op, value).expect("a matcher"));
        Target::Matching { matchers: matchers.collect(), of_alerts: Vec::new() }
    };
    // Half of them are about hosts that are not here, as in any fleet with several shards.
    let many = (0..4_999).map(|n| {
        let device = format!("eth{}", n % 4_000);
        let some = matching(&[("job", MatchOp::Equal, "node"), ("device", MatchOp::Equal, &device)]);
        window(n, if n % 5 == 4 { some } else { host(n / 25) })
    });
    let many: Vec<Arc<Window>> = many.collect();
    let set = |more: Option<Target>| {
        let windows = many.iter().cloned().chain(more.map(|target| window(99_999, target)));
        Arc::new(Quiet::new(windows.collect(), Arc::default()))
    };
    let go_by = |shard: &mut Shard, quiet: &Arc<Quiet>| {
        shard.set_quiet(quiet);
        while shard.find_quiet() {}
    };
    let mut group = group(c, "windows", SERIES);
    let (none, base) = (Arc::new(Quiet::default()), set(None));
    for (name, target) in [
        ("one host", host(7)),
        ("one label", matching(&[("mode", MatchOp::Equal, "m3")])),
        ("a pattern", matching(&[("device", MatchOp::Regex, "eth[12]")])),
        ("everything", Target::All),
    ] {
        let with = set(Some(target));
        go_by(&mut shard, &base);
        group.bench_function(name, |b| {
            b.iter(|| {
                go_by(&mut shard, &with);
                go_by(&mut shard, &base);
            });
        });
    }
    group.bench_function("5000 at once", |b| {
        b.iter(|| {
            go_by(&mut shard, &none);
            go_by(&mut shard, &base);
        });
    });
    group.bench_function("count 5000", |b| {
        b.iter(|| {
            let (mut covered, mut from) = (Vec::new(), Some(0));
            while let Some(slot) = from {
                from = shard.count_quiet(&base, slot, &mut covered).expect("a shard that lives");
            }
            covered
        });
    });
    group.finish();
}

/// From the compressed body to the last verdict, over two shards.
fn whole(c: &mut Criterion) {
    let (mut load, limits) = (Load::new(SERIES), proto::Limits::default());
    let dir = tempfile::tempdir().expect("temporary folder");
    let mut shards = [shard(0, 2, Some(dir.path())), shard(1, 2, Some(dir.path()))];
    let mut take = |body: &[u8]| {
        let body = decompress(Encoding::Snappy, body, MAX_BODY).expect("snappy");
        let mut batch = decode(Version::V1, body, &limits).expect("decodes").batch;
        batch.received_ms = batch.samples[0].ts_ms;
        for (shard, which) in shards.iter_mut().zip(split(&batch, 2)) {
            shard.ingest(&batch, &which);
        }
    };
    for _ in 0..load::WARM_ROUNDS {
        load.advance();
        load.batches.iter().for_each(|batch| take(&load::body(batch)));
    }
    let mut group = group(c, "path", SERIES);
    step(&mut group, "request", &mut load, load::body, |_, body| take(&body));
    group.finish();
}

criterion_group!(benches, steps, ingest, new_series, windows, whole);
criterion_main!(benches);
