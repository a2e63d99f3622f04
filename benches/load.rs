//! The load of the benchmarks: what a fleet of hosts sends, the same at every run.
//!
//! Hosts have 1,000 series each with names and labels like those of node_exporter: half are counters that grow
//! unevenly, a quarter gauges that vary, a quarter gauges that never change.

use watchbell_series::{Labels, MetricKind, RawBatch, RawSample};

/// Rounds after which every series that changes has a score.
pub(crate) const WARM_ROUNDS: usize = 70;

/// Series of a request, as Prometheus sends them.
pub(crate) const REQUEST: usize = 2_000;
const HOST: usize = 1_000;
/// Time from round to round.
pub(crate) const CADENCE_MS: i64 = 15_000;
const START_MS: i64 = 1_700_000_000_000;

/// All requests of a round, each series with one sample.
pub(crate) struct Load {
    pub(crate) batches: Vec<RawBatch>,
    /// Time of round 0.
    pub(crate) start_ms: i64,
    /// The round that `batches` hold.
    pub(crate) round: i64,
}

impl Load {
    /// Of `series` series, a multiple of 2,000, at their first round.
    pub(crate) fn new(series: usize) -> Self {
        let requests = (0..series).step_by(REQUEST).map(|start| {
            let mut batch = RawBatch { received_ms: START_MS, ..RawBatch::default() };
            for n in start..start + REQUEST {
                let first = RawSample { ts_ms: START_MS, value: 50.0 };
                batch.push(&labels(n / HOST, n % HOST), MetricKind::Unknown, &[first]);
            }
            batch
        });
        Self { batches: requests.collect(), start_ms: START_MS, round: 0 }
    }

    /// Goes on to the next round.
    pub(crate) fn advance(&mut self) {
        self.round += 1;
        let (round, ts_ms) = (self.round, self.now_ms());
        for batch in &mut self.batches {
            batch.received_ms = ts_ms;
            for (n, sample) in batch.samples.iter_mut().enumerate() {
                let noise = noise(n as u64, round as u64);
                sample.ts_ms = ts_ms;
                match n % 4 {
                    0 | 1 => sample.value += noise,
                    2 => sample.value = 49.0 + 2.0 * noise,
                    _ => {}
                }
            }
        }
    }

    /// Time of the round.
    pub(crate) fn now_ms(&self) -> i64 {
        self.start_ms + self.round * CADENCE_MS
    }
}

/// Labels of series `n` of a host: those that grow have a name that ends in `_total`.
fn labels(host: usize, n: usize) -> Labels {
    let suffix = if n % 4 < 2 { "_total" } else { "" };
    Labels::series([
        ("__name__", format!("node_subsystem_{}_bytes{suffix}", n / 10)),
        ("cluster", "production-frankfurt-2".to_owned()),
        ("cpu", format!("{}", n % 10)),
        ("device", format!("eth{}", n % 4)),
        ("env", "production".to_owned()),
        ("instance", format!("10.{}.{}.{}:9100", host / 62_500, host / 250 % 250, host % 250)),
        ("job", "node".to_owned()),
        ("mode", format!("m{}", n % 7)),
        ("prometheus", "monitoring/k8s".to_owned()),
        ("region", "eu-central-1".to_owned()),
        ("team", format!("t{}", host % 20)),
    ])
    .expect("valid labels")
}

/// From 0 to 1, the same for the same series and round.
fn noise(series: u64, round: u64) -> f64 {
    let mut h = (series << 32 | round).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h = (h ^ (h >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (h >> 11) as f64 / (1u64 << 53) as f64
}

/// The samples of `batch` as the body of a remote-write 1.0 request: protobuf in snappy.
pub(crate) fn body(batch: &RawBatch) -> Vec<u8> {
    let (mut message, mut series_bytes) = (Vec::new(), Vec::new());
    for series in &batch.series {
        series_bytes.clear();
        series_bytes.extend_from_slice(batch.label_bytes(series));
        for sample in batch.samples_of(series) {
            let mut bytes = vec![0x09];
            bytes.extend_from_slice(&sample.value.to_le_bytes());
            bytes.push(0x10);
            varint(sample.ts_ms as u64, &mut bytes);
            field(0x12, &bytes, &mut series_bytes);
        }
        field(0x0a, &series_bytes, &mut message);
    }
    snap::raw::Encoder::new().compress_vec(&message).expect("compresses")
}

fn field(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}
