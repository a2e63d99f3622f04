//! What a host of 40 channels costs: a tick, and the fit that comes once a day.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use watchbell_detect::{ChannelTick, JointConfig, JointHost, Method};

const CHANNELS: u64 = 40;
const CADENCE_S: f32 = 60.0;

/// Values that share one load and vary by a hash.
fn fill(tick: i64, channels: &mut [ChannelTick]) {
    let hash = |x: u64| {
        let h = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((h ^ (h >> 32)) >> 40) as f32 / (1 << 24) as f32
    };
    let load = hash((tick as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for (c, channel) in (0..CHANNELS).zip(channels) {
        let noise = hash((tick as u64 * CHANNELS + c).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        *channel = ChannelTick { value: 10.0 + load + noise, score: noise.powi(8), onset: false };
    }
}

fn joint(c: &mut Criterion) {
    let mut host = JointHost::new(JointConfig::default());
    let mut channels = [ChannelTick::MISSING; CHANNELS as usize];
    let mut tick = 0;
    let mut step = |host: &mut JointHost| {
        tick += 1;
        fill(tick, &mut channels);
        black_box(host.tick(tick * 60_000, CADENCE_S, &channels));
    };
    for _ in 0..3 * 1440 {
        step(&mut host);
        if host.fit_due() {
            host.fit();
        }
    }
    let mut group = c.benchmark_group("joint");
    group.sample_size(10);
    group.bench_function("tick_40", |b| b.iter(|| step(&mut host)));
    group.bench_function("fit_40", |b| b.iter(|| host.fit()));
    group.bench_function("contributions_40", |b| b.iter(|| black_box(host.contributions())));
    let mut bytes = Vec::new();
    group.bench_function("save_40", |b| {
        b.iter(|| {
            bytes.clear();
            host.save(&mut bytes);
        });
    });
    for method in Method::ALL {
        let mut host =
            JointHost::new(JointConfig { methods: [method].into_iter().collect(), ..JointConfig::default() });
        let mut tick = 0;
        let mut step = |host: &mut JointHost| {
            tick += 1;
            fill(tick, &mut channels);
            black_box(host.tick(tick * 60_000, CADENCE_S, &channels));
        };
        for _ in 0..3 * 1440 {
            step(&mut host);
            if host.fit_due() {
                host.fit();
            }
        }
        group.bench_function(format!("tick_40_{method}"), |b| b.iter(|| step(&mut host)));
        group.bench_function(format!("fit_40_{method}"), |b| b.iter(|| host.fit()));
    }
    group.finish();
}

criterion_group!(benches, joint);
criterion_main!(benches);
