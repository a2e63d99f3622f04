//! Speed of reading performance data: recorded lines of Nagios, 120 values of standard plugins in 60 lines.
//!
//! `items` only reads the grammar, with all limits. `lines` is what a followed file costs before judging: the
//! line, its items, and the labels and key of each series.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use watchbell_nagios::grammar::items;
use watchbell_nagios::perfdata::LineReader;
use watchbell_series::RawBatch;

const LINES: &[u8] = include_bytes!("../testdata/nagios/service-perfdata.pnp");

fn perfdata(criterion: &mut Criterion) {
    let reader = LineReader::default();
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
}

criterion_group!(benches, perfdata);
criterion_main!(benches);
