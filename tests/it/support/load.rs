//! A remote-write client, and a load that is the same each time.

/// Headers of remote write 1.0.
pub(crate) const HEADERS: &[(&str, &str)] = &[
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "0.1.0"),
    ("user-agent", "watchbell-it/1"),
];

/// A series with samples: milliseconds since the Unix epoch, and values.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) samples: Vec<(i64, f64)>,
}

impl Series {
    /// A series with labels in the order given.
    pub(crate) fn new(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Self {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { labels, samples: samples.to_vec() }
    }
}

/// A `prometheus.WriteRequest`.
pub(crate) fn request(series: &[Series]) -> Vec<u8> {
    let mut out = Vec::new();
    for series in series {
        let mut one = Vec::new();
        for (name, value) in &series.labels {
            let mut label = Vec::new();
            field(1, name.as_bytes(), &mut label);
            field(2, value.as_bytes(), &mut label);
            field(1, &label, &mut one);
        }
        for (ts_ms, value) in &series.samples {
            let mut sample = vec![1 << 3 | 1];
            sample.extend_from_slice(&value.to_le_bytes());
            sample.push(2 << 3);
            varint(*ts_ms as u64, &mut sample);
            field(2, &sample, &mut one);
        }
        field(1, &one, &mut out);
    }
    out
}

/// A snappy block.
pub(crate) fn compressed(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("fits")
}

fn field(number: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bounds of the buckets of the histograms of [`fleet`].
const BOUNDS: &[&str] = &["0.1", "0.5", "1", "+Inf"];

/// `steps` requests a second apart, the first at `begin_ms`: of each of `hosts` machines two gauges, a counter
/// and a classic histogram, with noise that is the same each time and a jump of one gauge near the end.
pub(crate) fn fleet(hosts: usize, begin_ms: i64, steps: usize) -> Vec<Vec<Series>> {
    let mut noise = Noise(0x2545_f491_4f6c_dd1d);
    let (mut totals, mut buckets) = (vec![0.0; hosts], vec![[0.0; BOUNDS.len()]; hosts]);
    let step = |step: usize| {
        let ts_ms = begin_ms + step as i64 * 1_000;
        let mut batch = Vec::new();
        for host in 0..hosts {
            let instance = format!("host-{host}:9100");
            let mut add = |name: &str, extra: Option<(&str, &str)>, value: f64| {
                let mut labels = vec![("job", "it"), ("__name__", name), ("instance", instance.as_str())];
                labels.extend(extra);
                // Some senders do not sort.
                if name != "it_temperature" {
                    labels.sort_unstable();
                }
                batch.push(Series::new(&labels, &[(ts_ms, value)]));
            };
            let jump = if host == 0 && step + 5 > steps { 500.0 } else { 0.0 };
            add("it_queue_length", None, 100.0 + 5.0 * noise.next() + jump);
            add("it_temperature", None, 40.0 + (step as f64 / 10.0).sin() + 0.1 * noise.next());
            totals[host] += 20.0 + 3.0 * noise.next();
            add("it_requests_total", None, totals[host]);
            // Each bucket holds what is in those before it.
            let mut observed = 0.0;
            for (bound, total) in BOUNDS.iter().zip(&mut buckets[host]) {
                observed += (20.0 + 10.0 * noise.next()).round();
                *total += observed;
                add("it_latency_seconds_bucket", Some(("le", bound)), *total);
            }
            let count = buckets[host][BOUNDS.len() - 1];
            add("it_latency_seconds_count", None, count);
            add("it_latency_seconds_sum", None, count * 0.7 + noise.next());
        }
        batch
    };
    (0..steps).map(step).collect()
}

/// Small deterministic noise in -1..1 (xorshift64*, Vigna 2016).
#[derive(Debug, Clone)]
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    /// The next number.
    pub(crate) fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}
