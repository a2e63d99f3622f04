//! Speed of reading performance data: recorded lines of Nagios, 120 values of standard plugins in 60 lines.
//!
//! `items` only reads the grammar, with all limits. `lines` is what a followed file costs before judging: the
//! line, its items, and the labels and key of each series. `limits/...` is the same for 100,000 labels of 20,000 services
//! with thresholds and without, and what it costs to tell the limits of all when one changed.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use watchbell_checks::grammar::items;
use watchbell_nagios::perfdata::LineReader;
use watchbell_series::RawBatch;

const LINES: &[u8] = include_bytes!("../testdata/nagios/service-perfdata.pnp");

fn perfdata(criterion: &mut Criterion) {
    let mut reader = LineReader::default();
    let (values, bad) = reader.read(LINES, &mut RawBatch::default());
    assert_eq!(bad, 0, "the recording is good");
    let fields: Vec<&[u8]> = LINES
        .split(|b| *b == b'\n' || *b == b'\t')
        .filter_map(|field| field.strip_prefix(b"SERVICEPERFDATA::"))
        .collect();
    let mut group = criterion.benchmark_group("perfdata");
    group.throughput(Throughput::Elements(values as u64));
    group.bench_function("items", |bencher| {
        bencher.iter(|| {
            let good = fields.iter().flat_map(|field| items(field)).filter_map(Result::ok);
            good.map(|item| {
                item.value.unwrap_or(0.0) + black_box((item.warn(), item.crit(), item.max())).2.unwrap_or(0.0)
            })
            .sum::<f64>()
        });
    });
    let mut batch = RawBatch::default();
    group.bench_function("lines", |bencher| {
        bencher.iter(|| {
            batch.labels.clear();
            batch.series.clear();
            batch.samples.clear();
            reader.read(LINES, &mut batch)
        });
    });
    group.finish();
    limits(criterion);
}

fn limits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limits");
    group.sample_size(10).throughput(Throughput::Elements(100_000));
    for (name, thresholds) in [("steady", ";80;90;0;100"), ("without", "")] {
        let mut reader = LineReader::default();
        let lines = fleet(thresholds);
        let mut batch = RawBatch::default();
        assert_eq!(reader.read(&lines, &mut batch), (100_000, 0));
        let told = reader.limits(0).map_or(0, |all| all.len());
        assert_eq!(told, if thresholds.is_empty() { 0 } else { 300_000 });
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                batch.labels.clear();
                batch.series.clear();
                batch.samples.clear();
                reader.read(&lines, &mut batch)
            });
        });
        assert!(reader.limits(i64::from(u32::MAX)).is_none(), "nothing changed");
    }
    let mut reader = LineReader::default();
    reader.read(&fleet(";80;90;0;100"), &mut RawBatch::default());
    let (one, mut now_ms) = (fleet(";80;90;0;100"), 0);
    let end = one.iter().position(|b| *b == b'\n').unwrap_or(one.len());
    let one = String::from_utf8_lossy(&one[..end]).into_owned();
    group.bench_function("told", |bencher| {
        bencher.iter(|| {
            now_ms += 60_000;
            reader.read(one.replacen(";80;", &format!(";{now_ms};"), 1).as_bytes(), &mut RawBatch::default());
            reader.limits(now_ms).map_or(0, |all| all.len())
        });
    });
    group.finish();
}

/// 20,000 services of 1,000 hosts with five labels each.
fn fleet(thresholds: &str) -> Vec<u8> {
    let mut lines = String::new();
    for service in 0..20_000 {
        let (host, check) = (service / 20, service % 20);
        let mut perfdata = String::new();
        for label in 0..5 {
            perfdata += &format!("value_{label}={}%{thresholds} ", (service * 7 + label) % 100);
        }
        lines += &format!(
            "DATATYPE::SERVICEPERFDATA\tTIMET::1795190400\tHOSTNAME::web-{host}.example.org\tSERVICEDESC::check {check}\t\
             SERVICEPERFDATA::{perfdata}\tSERVICECHECKCOMMAND::check_{check}!a!b\tSERVICESTATE::OK\n"
        );
    }
    lines.into_bytes()
}

criterion_group!(benches, perfdata);
criterion_main!(benches);
