//! Reading the body of an HTTP answer that may be larger than it should be, or never end.

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// More bytes than the limit.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection failed, timed out, or the bytes are not what the encoding says.
    #[error("{}", chain(.0))]
    Http(reqwest::Error),
}

/// Reads the body of `response`, decompressed, counting as it streams: at most `limit` bytes are ever held.
/// `expected` is how much to make room for at first.
pub(crate) async fn read(mut response: reqwest::Response, limit: usize, expected: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::with_capacity(expected.min(limit));
    while let Some(chunk) = response.chunk().await.map_err(BodyError::Http)? {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An error with its causes, without the URL (which may hold credentials).
pub(crate) fn chain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    // The outermost message repeats the URL; the causes say what happened.
    let hint = watchbell_adapter_api::http::scheme_hint(error);
    let mut cause = std::error::Error::source(error);
    let mut words = Vec::new();
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    if words.is_empty() { "request failed".to_owned() } else { words.join(": ") + hint }
}
