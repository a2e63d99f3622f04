//! Bytes a series costs.

use crate::support::{Bench, T0};
use watchbell_series::{Labels, MetricKind, RawBatch, RawSample};

/// 20,000 series like those of node_exporter: 500 series each of 40 hosts, 11 labels.
#[test]
fn at_most_180_bytes_a_series_with_11_labels() {
    let mut bench = Bench::new();
    for host in 0..40 {
        let mut batch = RawBatch { received_ms: T0, ..RawBatch::default() };
        for n in 0..500 {
            let pairs = [
                ("__name__", format!("node_metric_{}", n / 10)),
                ("cluster", "eu-1".to_owned()),
                ("cpu", format!("{}", n % 10)),
                ("device", "eth0".to_owned()),
                ("env", "prod".to_owned()),
                ("instance", format!("10.0.{}.{}:9100", host / 250, host % 250)),
                ("job", "node".to_owned()),
                ("mode", format!("m{}", n % 7)),
                ("prometheus", "monitoring/k8s".to_owned()),
                ("region", "eu".to_owned()),
                ("team", format!("t{}", host % 20)),
            ];
            let labels = Labels::series(pairs.map(|(n, v)| (n, v))).expect("labels");
            batch.push(&labels, MetricKind::Gauge, &[RawSample { ts_ms: T0, value: 1.0 }]);
        }
        bench.feed(&batch);
    }
    let census = bench.normalizer.census();
    assert_eq!(census.judged, 20_000);
    let each = census.bytes as f64 / 20_000.0;
    println!("{each:.1} bytes a series: {census:?}");
    assert!(each <= 180.0, "{each}");
}
