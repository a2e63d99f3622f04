//! Speed of reading a scraped page: a recorded page of node_exporter, 507 samples in 58 kB.
//!
//! `split` only splits the lines. `known` is what a running target costs: each series is found by its raw
//! text. `first_sight` is the first page of a target: labels are decoded, merged and hashed.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use watchbell_adapter_api::Problems;
use watchbell_prometheus::scrape::PageReader;
use watchbell_prometheus::text::{BadLine, Format, Sample, Visitor, parse};

const PAGE: &[u8] = include_bytes!("../testdata/node_exporter.txt");
const SAMPLES: u64 = 507;

struct Sum(f64);

impl<'a> Visitor<'a> for Sum {
    fn sample(&mut self, sample: Sample<'a>) -> Result<(), BadLine> {
        self.0 += sample.value;
        Ok(())
    }

    fn bad_line(&mut self, line: usize, reason: BadLine) {
        panic!("line {line} of the recorded page: {reason}");
    }
}

fn reader() -> PageReader {
    // Without a provider the HTTP client can not be built; a second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = serde_json::json!({"job_name": "node", "static_configs": [{"targets": ["web-1:9100"]}]});
    let config = serde_json::from_value(config).expect("the shape is right");
    let labels = [("job", "node"), ("instance", "web-1:9100")].into_iter().collect();
    PageReader::new(config, labels, &mut Problems::default()).expect("the config is valid")
}

fn page(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("node_exporter_page");
    group.throughput(Throughput::Elements(SAMPLES));
    group.bench_function("split", |bencher| {
        bencher.iter(|| {
            let mut sum = Sum(0.0);
            parse(PAGE, Format::Text, &mut sum).expect("text needs no end mark");
            sum.0
        });
    });
    let new = reader();
    let mut known = new.fresh();
    known.read(PAGE, Format::Text, 0).expect("a good page");
    group.bench_function("known", |bencher| bencher.iter(|| known.read(PAGE, Format::Text, 1)));
    group.bench_function("first_sight", |bencher| {
        bencher.iter_batched_ref(|| new.fresh(), |reader| reader.read(PAGE, Format::Text, 1), BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group!(benches, page);
criterion_main!(benches);
