//! Reads a request body: bounded in bytes and time.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use tokio::sync::Semaphore;

use super::answer::Refusal;

/// What a length that is merely announced may reserve.
const TRUSTED: usize = 1 << 20;
/// One permit of a budget stands for this many bytes.
const UNIT: usize = 1 << 10;

/// Bounds the bytes of all bodies that are on their way, not their number: a sender that is slow holds only
/// what it has sent, so that many slow ones do not keep out those that are quick.
pub(super) fn budget(requests: usize, max: usize) -> Semaphore {
    let units = requests.saturating_mul(max.div_ceil(UNIT));
    Semaphore::new(units.clamp(1, Semaphore::MAX_PERMITS))
}

/// The whole body, of at most `max` bytes and within `timeout`.
pub(super) async fn read(
    body: Body,
    headers: &HeaderMap,
    max: usize,
    timeout: Duration,
    budget: &Semaphore,
) -> Result<Bytes, Refusal> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|len| len > max) {
        return Err(too_large(max));
    }
    let reading = collect(body, announced, max, budget);
    tokio::time::timeout(timeout, reading)
        .await
        .unwrap_or_else(|_| Err(Refusal::slow("the body did not arrive in time; is the network slow?")))
}

async fn collect(body: Body, announced: Option<usize>, max: usize, budget: &Semaphore) -> Result<Bytes, Refusal> {
    let broken = |e: axum::Error| Refusal::Bad(format!("the body broke off: {e}"));
    let mut frames = body.into_data_stream();
    let first = frames.next().await.transpose().map_err(broken)?.unwrap_or_default();
    if announced == Some(first.len()) {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(announced.unwrap_or(0).min(TRUSTED).max(first.len()));
    let mut frame = first;
    let mut held = None;
    loop {
        if whole.len() + frame.len() > max {
            return Err(too_large(max));
        }
        let permits = budget.acquire_many(frame.len().div_ceil(UNIT) as u32).await;
        // The budget is never closed; its permits come back when the body is whole, or given up.
        let Ok(permits) = permits else { return Err(Refusal::slow("the receiver is closing")) };
        match &mut held {
            None => held = Some(permits),
            Some(held) => held.merge(permits),
        }
        whole.extend_from_slice(&frame);
        match frames.next().await.transpose().map_err(broken)? {
            Some(next) => frame = next,
            None => return Ok(whole.freeze()),
        }
    }
}

fn too_large(max: usize) -> Refusal {
    Refusal::TooLarge(format!("the body is more than {max} bytes long; send smaller requests"))
}
