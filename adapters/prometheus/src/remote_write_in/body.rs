//! Reads a request body: bounded in bytes and time.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::answer::Refusal;

/// What a length that is merely announced may reserve.
const TRUSTED: usize = 1 << 20;

/// The whole body, of at most `max` bytes and within `timeout`.
pub(super) async fn read(body: Body, headers: &HeaderMap, max: usize, timeout: Duration) -> Result<Bytes, Refusal> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|len| len > max) {
        return Err(too_large(max));
    }
    let reading = collect(body, announced, max);
    tokio::time::timeout(timeout, reading)
        .await
        .unwrap_or_else(|_| Err(Refusal::slow("the body did not arrive in time; is the network slow?")))
}

async fn collect(body: Body, announced: Option<usize>, max: usize) -> Result<Bytes, Refusal> {
    let broken = |e: axum::Error| Refusal::Bad(format!("the body broke off: {e}"));
    let mut frames = body.into_data_stream();
    let first = frames.next().await.transpose().map_err(broken)?.unwrap_or_default();
    if announced == Some(first.len()) {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(announced.unwrap_or(0).min(TRUSTED).max(first.len()));
    let mut frame = first;
    loop {
        if whole.len() + frame.len() > max {
            return Err(too_large(max));
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
