//! Decoding of remote-write bodies of 2,000 series with ten labels each, as node_exporter has them:
//! decompression, the walk over either version, and both together. Throughput is in samples.

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use watchbell_prometheus::proto::compression::{Encoding, decompress};
use watchbell_prometheus::proto::{Limits, Version, decode};
use watchbell_series::Labels;

/// The allocator of the service: most of what decompression costs beyond the work is fresh memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SERIES: usize = 2_000;
const MAX: usize = 32 << 20;

fn labels(i: usize) -> Labels {
    let (cpu, host) = (i % 16, i / 16);
    Labels::series([
        ("__name__", "node_cpu_guest_seconds_total".to_owned()),
        ("availability_zone", format!("eu-central-1{}", ["a", "b", "c"][host % 3])),
        ("cluster", "production-frankfurt-2".to_owned()),
        ("cpu", cpu.to_string()),
        ("environment", "production".to_owned()),
        ("instance", format!("ip-10-42-{host}-17.eu-central-1.compute.internal:9100")),
        ("job", "node-exporter".to_owned()),
        ("mode", "user".to_owned()),
        ("prometheus", "monitoring/kube-prometheus-stack-0".to_owned()),
        ("team", "platform-reliability".to_owned()),
    ])
    .expect("valid")
}

fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn field(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn samples(i: usize, per_series: usize, out: &mut Vec<u8>) {
    for k in 0..per_series {
        let mut sample = vec![0x09];
        sample.extend_from_slice(&(i as f64 * 1.25 + k as f64 / 7.0).to_le_bytes());
        sample.push(0x10);
        varint(1_795_191_471_792 + 15_000 * k as u64, &mut sample);
        field(0x12, &sample, out);
    }
}

fn v1(per_series: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for i in 0..SERIES {
        let mut series = Vec::new();
        labels(i).write_canonical(&mut series);
        samples(i, per_series, &mut series);
        field(0x0a, &series, &mut body);
    }
    body
}

fn v2(per_series: usize) -> Vec<u8> {
    let (mut symbols, mut known, mut all) = (vec![String::new()], HashMap::new(), Vec::new());
    for i in 0..SERIES {
        let mut refs = Vec::new();
        for text in labels(i).iter().flat_map(|(name, value)| [name, value]) {
            let next = symbols.len() as u64;
            let reference = *known.entry(text.to_owned()).or_insert(next);
            if reference == next {
                symbols.push(text.to_owned());
            }
            varint(reference, &mut refs);
        }
        let mut series = Vec::new();
        field(0x0a, &refs, &mut series);
        samples(i, per_series, &mut series);
        field(0x2a, &series, &mut all);
    }
    let mut body = Vec::new();
    for symbol in &symbols {
        field(0x22, symbol.as_bytes(), &mut body);
    }
    body.extend_from_slice(&all);
    body
}

fn snappy(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).expect("compresses")
}

fn benches(c: &mut Criterion) {
    let limits = Limits::default();
    for (name, version, per_series) in [
        ("v1, 1 sample a series", Version::V1, 1),
        ("v1, 5 samples a series", Version::V1, 5),
        ("v2, 1 sample a series", Version::V2, 1),
    ] {
        let body = if version == Version::V1 { v1(per_series) } else { v2(per_series) };
        let packed = snappy(&body);
        let zstd = zstd::encode_all(&body[..], 1).expect("compresses");
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements((SERIES * per_series) as u64));
        group.bench_function("snappy", |b| b.iter(|| decompress(Encoding::Snappy, black_box(&packed), MAX)));
        group.bench_function("zstd", |b| b.iter(|| decompress(Encoding::Zstd, black_box(&zstd), MAX)));
        group.bench_function("walk", |b| {
            b.iter_batched(|| body.clone(), |body| decode(version, body, &limits), BatchSize::LargeInput);
        });
        group.bench_function("snappy and walk", |b| {
            b.iter(|| {
                let body = decompress(Encoding::Snappy, black_box(&packed), MAX).expect("snappy");
                decode(version, body, &limits).expect("decodes")
            });
        });
        group.finish();
    }
}

criterion_group! {
    name = decoding;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2));
    targets = benches
}
criterion_main!(decoding);
