//! The request handler: checks, reads, decompresses, decodes, has judged, answers.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Method, Request, Response, StatusCode};
use axum::routing::any;
use bytes::Bytes;
use tokio::sync::Semaphore;
use watchbell_adapter_api::{Clock, Ingest, Receipt, SourceContext};
use watchbell_series::Mode;

use super::Settings;
use super::answer::{Judged, Refusal, answer, not_allowed, plain};
use super::metrics::{Brought, Handles};
use super::{body, negotiate};
use crate::proto::compression::{Encoding, decompress};
use crate::proto::{self, DecodeError, Decoded, Limits, Version};

/// Bodies from this size on, as sent, are decoded off the threads that serve connections: it takes milliseconds.
const LARGE: usize = 256 << 10;

/// What all requests share.
pub(super) struct Receiver {
    settings: Arc<Settings>,
    ingest: Arc<dyn Ingest>,
    clock: Arc<dyn Clock>,
    handles: Handles,
    /// One permit for each request that is decoded and judged.
    places: Semaphore,
    /// Bytes of bodies on their way.
    budget: Semaphore,
}

impl Receiver {
    pub(super) fn new(settings: Arc<Settings>, context: &SourceContext) -> Self {
        Self {
            places: Semaphore::new(settings.concurrent),
            budget: body::budget(settings.concurrent, settings.max_body_bytes),
            settings,
            ingest: context.ingest.clone(),
            clock: context.clock.clone(),
            handles: Handles::new(&context.metrics, &context.name),
        }
    }

    async fn write(&self, request: Request<Body>) -> Response<Body> {
        let timer = self.handles.request_seconds.start_timer();
        let (head, body) = request.into_parts();
        let version = negotiate::version(&head.headers);
        let tell_written = version == Ok(Version::V2);
        let outcome = self.take(&head, body, version).await;
        timer.observe_duration();
        answer(outcome, tell_written)
    }

    async fn take(&self, head: &Parts, body: Body, version: Result<Version, String>) -> Result<Judged, Refusal> {
        let Settings { max_body_bytes, limits, read_timeout, guard, .. } = &*self.settings;
        guard.check(&head.headers).map_err(Refusal::Unauthorized)?;
        let version = version.map_err(Refusal::Unsupported)?;
        let encoding = negotiate::encoding(&head.headers).map_err(Refusal::Unsupported)?;
        let body = body::read(body, &head.headers, *max_body_bytes, *read_timeout, &self.budget).await?;
        let place = tokio::time::timeout(*read_timeout, self.places.acquire()).await;
        let Ok(Ok(_place)) = place else {
            return Err(Refusal::slow("too many requests at once; raise `max_concurrent_requests`"));
        };
        self.handles.body(body.len());
        let decoded = decode(version, encoding, body, *limits).await?;
        self.judge(decoded).await
    }

    async fn judge(&self, decoded: Decoded) -> Result<Judged, Refusal> {
        let Decoded { mut batch, exemplars, invalid_series, invalid_histograms, problem } = decoded;
        batch.mode = Mode::Live;
        batch.received_ms = self.clock.now_ms();
        if self.settings.replicas.as_ref().is_some_and(|replicas| !replicas.take(&mut batch)) {
            // What the other of the pair sends is a repeat: written, as far as its sender need know.
            let (samples, histograms) = (batch.samples.len() as u64, batch.histograms.len() as u64);
            self.handles.replica(samples + histograms);
            let receipt = Receipt { samples, histograms, ..Receipt::default() };
            return Ok(Judged { receipt, problem: None });
        }
        let metadata = batch.metadata.len() as u64;
        let receipt = if batch.series.is_empty() && batch.metadata.is_empty() {
            Receipt::default()
        } else {
            self.ingest.submit(batch).await?
        };
        self.handles.taken(&receipt, Brought { exemplars, metadata, invalid_series, invalid_histograms });
        let wrong_here = invalid_series + invalid_histograms > 0;
        let wrong_there = receipt.conflicts + receipt.future + receipt.invalid > 0;
        let problem = (wrong_here || wrong_there).then(|| {
            let first = problem.or_else(|| receipt.problem.clone());
            first.unwrap_or_else(|| "some samples were refused".to_owned())
        });
        Ok(Judged { receipt, problem })
    }

    fn read(&self, request: &Request<Body>) -> Response<Body> {
        if let Err(challenge) = self.settings.guard.check(request.headers()) {
            return answer(Err(Refusal::Unauthorized(challenge)), false);
        }
        // Older agents of VictoriaMetrics ask before they send zstd.
        match request.uri().query() {
            Some(query) if query.split('&').any(|pair| pair == "get_vm_proto_version=1") => plain(StatusCode::OK, "1"),
            _ => not_allowed(),
        }
    }
}

/// The route of a receiver.
pub(super) fn router(path: &str, receiver: Receiver) -> Router {
    Router::new().route(path, any(handle)).with_state(Arc::new(receiver))
}

async fn handle(State(receiver): State<Arc<Receiver>>, request: Request<Body>) -> Response<Body> {
    let response = match *request.method() {
        Method::POST => receiver.write(request).await,
        Method::GET => receiver.read(&request),
        _ => not_allowed(),
    };
    receiver.handles.answered(response.status().as_u16());
    response
}

async fn decode(version: Version, encoding: Encoding, body: Bytes, limits: Limits) -> Result<Decoded, Refusal> {
    if body.len() < LARGE {
        return decode_now(version, encoding, &body, &limits);
    }
    tokio::task::spawn_blocking(move || decode_now(version, encoding, &body, &limits))
        .await
        .unwrap_or_else(|_| Err(Refusal::Bad("the body broke the decoder".into())))
}

fn decode_now(version: Version, encoding: Encoding, body: &[u8], limits: &Limits) -> Result<Decoded, Refusal> {
    let unpacked = decompress(encoding, body, limits.body_bytes)?;
    proto::decode(version, unpacked, limits).map_err(|error: DecodeError| error.into())
}
