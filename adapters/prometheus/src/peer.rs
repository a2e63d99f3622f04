//! A peer that is posted to: its address, one request, and what the answer means.
//!
//! Both sending sinks, remote write and Alertmanager, go through here. It says whether a failure is worth
//! another try and never tries again itself. What it says names the peer without user, password or query.
//! Redirects are never followed: a followed one may turn a POST into a GET, which the peer answers with 200.

mod retry_after;

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::LOCATION;
use reqwest::{Method, Url};
use watchbell_adapter_api::{DeliveryError, HttpClient, HttpClientConfig, Problems};

use self::retry_after::retry_after;

/// Most bytes of a refusal's text that are passed on.
const REFUSAL_BYTES: usize = 512;

/// The address of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    url: Url,
}

impl Address {
    /// Reads `text`, which must be a URL of http or https.
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        let shown = without_user(text);
        if !text.contains("://") {
            return Err(format!("`{shown}` has no scheme; write it as `http://{shown}`"));
        }
        let url = Url::parse(text).map_err(|e| format!("`{shown}` is no URL: {e}"))?;
        if matches!(url.scheme(), "http" | "https") {
            Ok(Self { url })
        } else {
            Err(format!("`{shown}` is no URL of http or https"))
        }
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The address with `path` after its own path.
    pub(crate) fn below(&self, path: &str) -> Self {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        Self { url }
    }

    /// The address with this query.
    pub(crate) fn with_query(mut self, query: &str) -> Self {
        self.url.set_query(Some(query));
        self
    }

    /// The address as it is shown.
    pub(crate) fn shown(&self) -> String {
        let mut url = self.url.clone();
        // Both fail only for URLs that can have no user; these have none to hide.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.as_str().trim_end_matches('/').to_owned()
    }
}

/// What stands behind user and password: a text that can not be read as a URL may still hold them.
pub(crate) fn without_user(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, host)| host)
}

/// A client for peers: `config` without redirects. Problems are noted under `http`.
pub(crate) fn client(config: HttpClientConfig, timeout: Duration, problems: &mut Problems) -> Option<HttpClient> {
    let mut part = Problems::default();
    let client = HttpClientConfig { follow_redirects: Some(false), ..config }.build(timeout, &mut part);
    problems.within("http", part);
    client
}

/// Posts `body` to `to`. Messages begin with `who`, which names the peer.
pub(crate) async fn post(
    client: &HttpClient,
    to: &Address,
    headers: &[(&'static str, &str)],
    body: Bytes,
    who: &str,
) -> Result<(), DeliveryError> {
    let retry = |message: &str, after| DeliveryError::Retry { message: format!("{who}: {message}"), after };
    let mut request = client.request(Method::POST, to.url.as_str()).map_err(|e| retry(&e, None))?.body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.map_err(|e| retry(&watchbell_adapter_api::http::lost(e), None))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let after = retry_after(response.headers());
    if status.is_redirection() {
        let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("");
        let message = format!("{who}: {status}, redirects are not followed; write the address behind `{to}`");
        return Err(DeliveryError::Rejected(message));
    }
    let message = format!("{status}: {}", refusal(response).await);
    Err(match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => retry(&message, after),
        _ if status.is_server_error() => retry(&message, after),
        _ => DeliveryError::Rejected(format!("{who}: {message}")),
    })
}

/// A time as the APIs of Prometheus and Alertmanager write it, in milliseconds since the Unix epoch.
pub(crate) fn millis(text: &str) -> Result<i64, String> {
    text.parse::<jiff::Timestamp>()
        .map(jiff::Timestamp::as_millisecond)
        .map_err(|e| format!("`{text}` is no time: {e}"))
}

/// Gets what is at `from`, at most `max_bytes`. What went wrong is said without the address.
pub(crate) async fn get(client: &HttpClient, from: &Address, max_bytes: usize) -> Result<Vec<u8>, String> {
    let request = client.request(Method::GET, from.url.as_str())?;
    let mut response = request.send().await.map_err(watchbell_adapter_api::http::lost)?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("{status}: {}", refusal(response).await));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(watchbell_adapter_api::http::lost)? {
        if body.len() + chunk.len() > max_bytes {
            return Err(format!("the answer is longer than {max_bytes} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The beginning of a refusal's text, on one line.
async fn refusal(mut response: reqwest::Response) -> String {
    let mut text = Vec::new();
    while text.len() < REFUSAL_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        text.extend_from_slice(&chunk[..chunk.len().min(REFUSAL_BYTES - text.len())]);
    }
    String::from_utf8_lossy(&text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_without_secrets() {
        let address = Address::of("https://user:hunter2@host:1/a/?token=x").expect("valid");
        assert_eq!(address.shown(), "https://host:1/a");
        assert_eq!(address.below("b/c").shown(), "https://host:1/a/b/c");
        for wrong in ["ftp://user:hunter2@host", "http://user:hunter2@ho st"] {
            let error = Address::of(wrong).expect_err(wrong);
            assert!(error.contains("is no URL") && !error.contains("hunter2"), "{error}");
        }
        let error = Address::of("user:hunter2@host:9093").expect_err("no scheme");
        assert!(error.contains("write it as `http://") && !error.contains("hunter2"), "{error}");
    }
}
