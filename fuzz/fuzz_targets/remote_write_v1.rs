//! A remote-write 1.0 body as it comes from a socket.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watchbell_prometheus::proto::compression::{Encoding, decompress};
use watchbell_prometheus::proto::{Limits, Version, decode};

fuzz_target!(|body: &[u8]| {
    let limits = Limits { body_bytes: 1 << 20, label_bytes: 4 << 10, samples: 10_000 };
    // As it is, so that the message itself is reached without guessing a compression.
    let bodies = [Some(body.to_vec()), decompress(Encoding::Snappy, body, limits.body_bytes).ok()];
    for body in bodies.into_iter().flatten() {
        assert!(body.len() <= limits.body_bytes);
        if let Ok(decoded) = decode(Version::V1, body, &limits) {
            let batch = &decoded.batch;
            assert!(batch.samples.len() <= limits.samples);
            for series in &batch.series {
                // Each of these panics where a range leads outside.
                let labels = batch.label_bytes(series);
                assert!(labels.len() <= limits.label_bytes);
                assert!(batch.samples_of(series).len() + batch.histograms_of(series).len() > 0);
            }
        }
    }
});
