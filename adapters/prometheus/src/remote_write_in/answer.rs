//! What the receiver answers, and what senders make of it.
//!
//! | what happened | status | what the sender does |
//! | --- | --- | --- |
//! | all judged | 204 | goes on |
//! | some samples are older than the last of their series | 204 | goes on |
//! | new series beyond a limit | 204 | goes on |
//! | some samples or series are wrong for good | 400 | logs the first line, drops the request, goes on |
//! | not decodable | 400 | the same |
//! | no or wrong credentials | 401 | the same |
//! | too large | 413 | the same |
//! | wrong content type or encoding | 415 | the same; vmagent falls back from zstd to snappy |
//! | busy, starting, stopping, or the body did not arrive in time | 503 | sends it again |
//!
//! *Late samples are no error*: a stream judge can not use them, and there is nothing that a sender could do.
//! They come in numbers when a sender works off its backlog after history has been read back here; a 400 to
//! each of these requests would fill its log and fire its alerts. They are counted in
//! `watchbell_remote_write_in_refused_total{reason="out_of_order"}`, and remote write 2.0 is told the true
//! number of samples. Two values for one timestamp are an error: two senders write one series.
//!
//! *503, never 429*: Prometheus drops what is answered with 429 unless it is configured otherwise.
//!
//! Every answer to remote write 2.0 says what was written. Without that a sender takes the receiver for one
//! that did not understand.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use watchbell_adapter_api::{IngestError, Receipt};

use crate::proto::DecodeError;
use crate::proto::compression::CompressionError;

/// Senders log the first line of an error, up to about this many bytes.
const MOST_BYTES: usize = 512;

/// When to try again, where nothing better is known.
const SOON: Duration = Duration::from_secs(5);

/// What became of a request that was judged, in whole or in part.
#[derive(Debug)]
pub(super) struct Judged {
    /// What was taken.
    pub(super) receipt: Receipt,
    /// The first thing that was refused for good, in words.
    pub(super) problem: Option<String>,
}

/// Why nothing of a request was taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Undecodable, or broken off.
    Bad(String),
    /// No or wrong credentials, with the challenge.
    Unauthorized(String),
    /// Too large.
    TooLarge(String),
    /// Content type or encoding that is not supported.
    Unsupported(String),
    /// Try again later.
    Unavailable(String, Duration),
}

impl From<CompressionError> for Refusal {
    fn from(error: CompressionError) -> Self {
        match error {
            CompressionError::Undecodable(_) => Self::Bad(error.to_string()),
            CompressionError::TooLarge { .. } => Self::TooLarge(error.to_string()),
        }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Malformed { .. } => Self::Bad(error.to_string()),
            DecodeError::TooMuch { .. } => Self::TooLarge(error.to_string()),
        }
    }
}

impl From<IngestError> for Refusal {
    fn from(error: IngestError) -> Self {
        let after = match error {
            IngestError::Busy { retry_after } | IngestError::Starting { retry_after } => retry_after,
            IngestError::Stopping => SOON,
        };
        Self::Unavailable(error.to_string(), after)
    }
}

impl Refusal {
    /// The body did not arrive in time, or no place to work on it became free.
    pub(super) fn slow(what: &str) -> Self {
        Self::Unavailable(what.to_owned(), SOON)
    }
}

/// The answer to a write; `written` for senders of remote write 2.0.
pub(super) fn answer(outcome: Result<Judged, Refusal>, tell_written: bool) -> Response<Body> {
    let mut receipt = Receipt::default();
    let mut response = match outcome {
        Ok(judged) => {
            receipt = judged.receipt;
            match judged.problem {
                None => plain(StatusCode::NO_CONTENT, ""),
                Some(what) => plain(StatusCode::BAD_REQUEST, &what),
            }
        }
        Err(Refusal::Bad(what)) => plain(StatusCode::BAD_REQUEST, &what),
        Err(Refusal::TooLarge(what)) => plain(StatusCode::PAYLOAD_TOO_LARGE, &what),
        Err(Refusal::Unsupported(what)) => plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, &what),
        Err(Refusal::Unauthorized(challenge)) => {
            let mut response = plain(StatusCode::UNAUTHORIZED, "no or wrong credentials");
            if let Ok(value) = HeaderValue::try_from(challenge) {
                response.headers_mut().insert(WWW_AUTHENTICATE, value);
            }
            response
        }
        Err(Refusal::Unavailable(what, after)) => {
            let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, &what);
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
            response
        }
    };
    if tell_written {
        for (name, number) in [
            ("x-prometheus-remote-write-samples-written", receipt.samples),
            ("x-prometheus-remote-write-histograms-written", receipt.histograms),
            ("x-prometheus-remote-write-exemplars-written", 0),
        ] {
            response.headers_mut().insert(name, HeaderValue::from(number));
        }
    }
    response
}

/// Anything but a write or a probe.
pub(super) fn not_allowed() -> Response<Body> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "this is a remote-write receiver; send POST");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

/// A text answer of one line.
pub(super) fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut end = text.len().min(MOST_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    // Label values of a sender may stand in it.
    let line = text[..end].replace(|c: char| c.is_control(), " ");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if !line.is_empty() {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        *response.body_mut() = Body::from(line);
    }
    response
}
