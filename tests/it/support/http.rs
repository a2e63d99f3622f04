//! A blocking HTTP client, and the runtime that it and the servers of tests run on.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::Runtime;

/// Runs what tests do with sockets.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
});

static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    // Fails if there is a provider already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build().expect("a client")
});

/// What a server answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The text of a success.
    pub(crate) fn ok(self) -> Result<String, String> {
        if (200..300).contains(&self.status) { Ok(self.text) } else { Err(format!("{}: {}", self.status, self.text)) }
    }
}

/// Asks for a page; an error says why there is no answer.
pub(crate) fn get(url: &str) -> Result<Answer, String> {
    send(CLIENT.get(url))
}

/// Posts `body` with `headers`.
pub(crate) fn post(url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Answer, String> {
    let request = CLIENT.post(url).body(body);
    send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)))
}

/// Deletes what is at `url`.
pub(crate) fn delete(url: &str) -> Result<Answer, String> {
    send(CLIENT.delete(url))
}

fn send(request: reqwest::RequestBuilder) -> Result<Answer, String> {
    RUNTIME.block_on(async {
        let response = request.send().await.map_err(|e| format!("{e:?}"))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.map_err(|e| format!("{e:?}"))?;
        Ok(Answer { status, headers, text })
    })
}
