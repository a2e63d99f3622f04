//! What a page of scores costs: 100,000 series, all six families and the score alone, gzip and plain.

use std::hint::black_box;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fake_scores::FakeScores;
use tower::ServiceExt;
use watchbell_adapter_api::{Clock, Metrics, Prepared, Problems, Shutdown, SinkConfig, SinkContext};
use watchbell_prometheus::exposition::ExpositionConfig;

#[path = "../src/fake_scores.rs"]
mod fake_scores;

const SERIES: usize = 100_000;

struct Noon;

impl Clock for Noon {
    fn now_ms(&self) -> i64 {
        1_800_000_000_000
    }
}

fn router(config: ExpositionConfig) -> Router {
    let Some(Prepared::Scores(mut sink)) = config.prepare(&mut Problems::default()) else {
        panic!("the config is valid")
    };
    let context = SinkContext {
        name: "scores".into(),
        scores: Arc::new(FakeScores::fleet(SERIES, Noon.now_ms())),
        clock: Arc::new(Noon),
        shutdown: Shutdown::channel().1,
        metrics: Metrics::default(),
        health: watchbell_adapter_api::Health::default(),
    };
    sink.routes(&context).expect("it has a route")
}

async fn read(router: &Router, encoding: &str) -> usize {
    let request = Request::get("/scores").header("accept-encoding", encoding).body(Body::empty());
    let response = router.clone().oneshot(request.expect("a valid request")).await.expect("routes do not fail");
    axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a whole body").len()
}

fn exposition(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let mut group = c.benchmark_group("exposition");
    group.throughput(Throughput::Elements(SERIES as u64)).sample_size(10);
    for (families, expected) in [("score", false), ("all", true)] {
        let router = router(ExpositionConfig { expected, ..ExpositionConfig::default() });
        for encoding in ["gzip", "identity"] {
            let bytes = runtime.block_on(read(&router, encoding));
            group.bench_function(format!("{families}/{encoding}/{bytes}B"), |b| {
                b.iter(|| black_box(runtime.block_on(read(&router, encoding))));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, exposition);
criterion_main!(benches);
