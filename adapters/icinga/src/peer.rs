//! Icinga 2's API: requests, and what it means by its refusals.

use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use watchbell_adapter_api::http::{causes, scheme_hint};
use watchbell_adapter_api::{HttpClient, HttpClientConfig, Problems, Span};
use watchbell_checks::passive::cut;

/// How long one event stream is kept at most; a new one begins after it.
const STREAM: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Most bytes of a refusal that are read.
const REFUSAL: usize = 64 * 1024;

/// One Icinga 2.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Without a slash at its end.
    url: String,
    client: HttpClient,
    timeout: Duration,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Peer {
    /// Checks the settings; notes what is wrong.
    pub(crate) fn of(url: &str, http: HttpClientConfig, timeout: Span, problems: &mut Problems) -> Option<Self> {
        let address = problems.take("url", address(url));
        if timeout.0 < Duration::from_secs(1) {
            problems.hint("timeout", format!("`{timeout}` is too short"), "use at least 1s");
        }
        if http.basic_auth.is_none() && http.tls.cert_file.is_none() {
            let hint =
                "set `http.basic_auth` to name and password of an ApiUser, or `http.tls.cert_file` and `key_file`";
            problems.hint("http", "nothing says who is asking, and Icinga answers no one else", hint);
        }
        let mut part = Problems::default();
        let http = HttpClientConfig { follow_redirects: Some(false), ..http };
        let client = http.build(timeout.0, &mut part);
        problems.within("http", part);
        Some(Self { url: address?, client: client?, timeout: timeout.0 })
    }

    /// Where it is, for messages.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Asks for `path`, with at most `max` bytes of answer.
    pub(crate) async fn get(&self, path: &str, max: usize) -> Result<Answer, String> {
        self.answer(self.request(Method::GET, path)?, max).await
    }

    /// Asks for `path` by a query that is too long for an address, with at most `max` bytes of answer.
    pub(crate) async fn query(&self, path: &str, query: &serde_json::Value, max: usize) -> Result<Answer, String> {
        let request = self.request(Method::POST, path)?.header("x-http-method-override", "GET");
        self.answer(request.json(query), max).await
    }

    /// Posts `body` to `path`.
    pub(crate) async fn post(&self, path: &str, body: &serde_json::Value) -> Result<Answer, String> {
        self.answer(self.request(Method::POST, path)?.json(body), REFUSAL).await
    }

    /// Posts `body` to `path` and gives what is streamed back.
    pub(crate) async fn stream(&self, path: &str, body: &serde_json::Value) -> Result<Response, String> {
        let request = self.request(Method::POST, path)?.json(body).timeout(STREAM);
        let Ok(sent) = tokio::time::timeout(self.timeout, request.send()).await else {
            return Err(format!("Icinga at `{}` does not answer within {} s", self.url, self.timeout.as_secs()));
        };
        let response = sent.map_err(|error| self.lost(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        Err(self.refused(&Answer { status, body: self.body(response, REFUSAL).await? }))
    }

    /// What a refusal means.
    pub(crate) fn refused(&self, answer: &Answer) -> String {
        let said = said(&answer.body);
        let url = &self.url;
        match answer.status.as_u16() {
            401 => format!(
                "Icinga at `{url}` does not know who asks: user or password of `http.basic_auth` is wrong, or no ApiUser \
                 has the `client_cn` of the certificate ({said})"
            ),
            403 => format!("Icinga at `{url}` refuses: {said}; give the ApiUser this permission, see examples/icinga"),
            // Who lacks a permission is told that there is nothing.
            404 => {
                format!("Icinga at `{url}` shows nothing: {said}; has the ApiUser the permission? See examples/icinga")
            }
            503 => format!("Icinga at `{url}` is starting or reloading ({said})"),
            status => format!("Icinga at `{url}` answered {status}: {said}"),
        }
    }

    /// What an error of a connection means.
    pub(crate) fn lost(&self, error: &reqwest::Error) -> String {
        let causes = causes(error).replace(&format!(" for url ({}", self.url), " (");
        format!("Icinga at `{}`: {causes}{}", self.url, scheme_hint(error))
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, String> {
        let request = self.client.request(method, &format!("{}{path}", self.url))?;
        Ok(request.header(ACCEPT, "application/json"))
    }

    async fn answer(&self, request: RequestBuilder, max: usize) -> Result<Answer, String> {
        let response = request.send().await.map_err(|error| self.lost(&error))?;
        Ok(Answer { status: response.status(), body: self.body(response, max).await? })
    }

    async fn body(&self, mut response: Response, max: usize) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(&error))? {
            if body.len() + chunk.len() > max {
                return Err(format!(
                    "Icinga at `{}` answers with more than {} MiB: let the ApiUser see fewer objects, by `filter` in its \
                     permissions",
                    self.url,
                    max >> 20
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// The text of a refusal: `{"error":403,"status":"..."}`, or of one result, or what there is.
pub(crate) fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let status = json["status"].as_str().or_else(|| json["results"][0]["status"].as_str());
    cut(status.unwrap_or(text.trim()), 300).trim_end_matches('.').to_owned()
}

fn address(text: &str) -> Result<String, String> {
    let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
    if !text.contains("://") {
        return Err(format!("`{shown}` has no scheme; write it as `https://{shown}`"));
    }
    let url = Url::parse(text).map_err(|error| format!("`{shown}` is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("`{shown}` is no URL of https"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(format!("`{shown}` must have no user and no query; use `http.basic_auth`"));
    }
    if url.path().trim_matches('/').starts_with("v1") {
        return Err(format!("`{shown}` must end before `/v1`"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}
