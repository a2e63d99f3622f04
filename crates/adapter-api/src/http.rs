//! HTTP client settings that all adapters share, in the words of Prometheus's `http_config`.

mod pin;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::problem::Problems;
use crate::secret::Secret;

/// How to reach an HTTP peer.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpClientConfig {
    /// User name and password, sent as HTTP basic authentication.
    pub basic_auth: Option<BasicAuth>,
    /// Credentials for the `Authorization` header; the type is `Bearer` unless set.
    pub authorization: Option<Authorization>,
    /// TLS settings.
    pub tls: TlsConfig,
    /// Further headers to send.
    pub headers: std::collections::BTreeMap<String, Secret>,
    /// Whether redirects are followed.
    #[serde(default = "yes")]
    pub follow_redirects: Option<bool>,
    /// Proxy for all requests, for example `http://proxy:3128`. The environment's proxy settings are not used.
    pub proxy_url: Option<String>,
}

fn yes() -> Option<bool> {
    Some(true)
}

/// User name and password.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// User name.
    pub username: String,
    /// Password; at most one of `password` and `password_file`.
    pub password: Option<Secret>,
    /// File that holds the password; read again for each request.
    #[schemars(extend("format" = "path"))]
    pub password_file: Option<PathBuf>,
}

/// Credentials for the `Authorization` header.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// Authentication type.
    #[serde(rename = "type", default = "bearer")]
    pub scheme: String,
    /// The credentials; at most one of `credentials` and `credentials_file`.
    pub credentials: Option<Secret>,
    /// File that holds them; read again for each request.
    #[schemars(extend("format" = "path"))]
    pub credentials_file: Option<PathBuf>,
}

fn bearer() -> String {
    "Bearer".to_owned()
}

/// TLS settings of a client.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Certificates of the authorities to trust (PEM) in place of the system's.
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// Own certificate (PEM) for client authentication; needs `key_file`.
    #[schemars(extend("format" = "path"))]
    pub cert_file: Option<PathBuf>,
    /// Key (PEM) of the own certificate.
    #[schemars(extend("format" = "path"))]
    pub key_file: Option<PathBuf>,
    /// SHA-256 of the peer's certificate, as `openssl x509 -noout -fingerprint -sha256` prints it: this certificate is
    /// trusted and no other, whatever name it has and whoever signed it.
    pub pinned_sha256: Option<String>,
    /// Accept any certificate. Only for tests and closed networks.
    pub insecure_skip_verify: bool,
}

/// A client made from [`HttpClientConfig`]; cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    auth: Auth,
}

#[derive(Debug, Clone)]
enum Auth {
    None,
    Basic { username: String, password: Password },
    Header { scheme: String, credentials: Password },
}

#[derive(Debug, Clone)]
enum Password {
    Text(Secret),
    File(PathBuf),
}

impl Password {
    fn read(&self) -> Result<Secret, String> {
        match self {
            Self::Text(secret) => Ok(secret.clone()),
            Self::File(path) => Secret::from_file(path),
        }
    }
}

impl HttpClientConfig {
    /// The client, or `None` with all problems noted. Reads the files that the settings name.
    #[must_use]
    pub fn build(&self, timeout: Duration, problems: &mut Problems) -> Option<HttpClient> {
        let before = problems.len();
        let auth = self.auth(problems);
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("watchbell/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .no_proxy()
            .default_headers(self.header_map(problems));
        if self.follow_redirects == Some(false) {
            builder = builder.redirect(reqwest::redirect::Policy::none());
        }
        if let Some(url) = &self.proxy_url {
            match reqwest::Proxy::all(url) {
                Ok(proxy) => builder = builder.proxy(proxy),
                Err(e) => {
                    // What can not be read may still hold a password.
                    let shown = url.rsplit_once('@').map_or(url.as_str(), |(_, host)| host);
                    problems.add("proxy_url", format!("`{shown}` is no proxy address: {e}"));
                }
            }
        }
        builder = self.tls.apply(builder, problems);
        if problems.len() > before {
            return None;
        }
        problems.take("", builder.build()).map(|client| HttpClient { client, auth })
    }

    fn auth(&self, problems: &mut Problems) -> Auth {
        if self.basic_auth.is_some() && self.authorization.is_some() {
            problems.hint("authorization", "both `basic_auth` and `authorization` are set", "keep one of them");
        }
        if let Some(basic) = &self.basic_auth {
            let pair = (basic.password.as_ref(), basic.password_file.as_ref());
            let password = one_of("basic_auth", "password", pair, problems).unwrap_or(Password::Text(Secret::new("")));
            return Auth::Basic { username: basic.username.clone(), password };
        }
        if let Some(header) = &self.authorization {
            let pair = (header.credentials.as_ref(), header.credentials_file.as_ref());
            match one_of("authorization", "credentials", pair, problems) {
                Some(credentials) => return Auth::Header { scheme: header.scheme.clone(), credentials },
                None => problems.add("authorization", "neither `credentials` nor `credentials_file` is set"),
            }
        }
        Auth::None
    }

    fn header_map(&self, problems: &mut Problems) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let path = format!("headers.{name}");
            let name = problems.take(&*path, HeaderName::try_from(name.as_str()));
            let value = problems.take(&*path, HeaderValue::try_from(value.reveal()));
            if let (Some(name), Some(mut value)) = (name, value) {
                value.set_sensitive(true);
                map.insert(name, value);
            }
        }
        map
    }
}

fn one_of(
    path: &str,
    name: &str,
    (text, file): (Option<&Secret>, Option<&PathBuf>),
    problems: &mut Problems,
) -> Option<Password> {
    if text.is_some() && file.is_some() {
        problems.hint(format!("{path}.{name}"), format!("both `{name}` and `{name}_file` are set"), "keep one of them");
    }
    match (text, file) {
        (_, Some(file)) => {
            problems.take(format!("{path}.{name}_file"), Secret::from_file(file));
            Some(Password::File(file.clone()))
        }
        (Some(text), None) => Some(Password::Text(text.clone())),
        (None, None) => None,
    }
}

impl TlsConfig {
    fn apply(&self, mut builder: reqwest::ClientBuilder, problems: &mut Problems) -> reqwest::ClientBuilder {
        let mut read = |name: &str, path: &PathBuf| {
            let text = std::fs::read(path).map_err(|e| format!("can not read `{}`: {e}", path.display()));
            problems.take(format!("tls.{name}"), text)
        };
        let ca = self.ca_file.as_ref().and_then(|path| read("ca_file", path));
        let cert = self.cert_file.as_ref().and_then(|path| read("cert_file", path));
        let key = self.key_file.as_ref().and_then(|path| read("key_file", path));
        if self.cert_file.is_some() != self.key_file.is_some() {
            problems.hint("tls", "`cert_file` and `key_file` belong together", "set both or none");
        }
        if let Some(text) = &self.pinned_sha256 {
            if self.ca_file.is_some() || self.insecure_skip_verify {
                let message = "`pinned_sha256` says alone what is trusted";
                problems.hint("tls.pinned_sha256", message, "drop `ca_file` and `insecure_skip_verify`");
            }
            let identity = cert.as_deref().zip(key.as_deref());
            let pin = problems.take("tls.pinned_sha256", pin::read(text));
            let config = pin.and_then(|pin| problems.take("tls.cert_file", pin::config(pin, identity)));
            return match config {
                Some(config) => builder.tls_backend_preconfigured(config),
                None => builder,
            };
        }
        if let Some(pem) = ca {
            match reqwest::Certificate::from_pem_bundle(&pem) {
                Ok(certificates) if certificates.is_empty() => problems.add("tls.ca_file", "no certificate in it"),
                Ok(certificates) => builder = builder.tls_certs_only(certificates),
                Err(e) => problems.add("tls.ca_file", format!("no PEM certificates: {e}")),
            }
        }
        if let (Some(mut pem), Some(key)) = (cert, key) {
            pem.push(b'\n');
            pem.extend_from_slice(&key);
            if let Some(identity) = problems.take("tls.cert_file", reqwest::Identity::from_pem(&pem)) {
                builder = builder.identity(identity);
            }
        }
        builder.tls_danger_accept_invalid_certs(self.insecure_skip_verify)
    }
}

impl HttpClient {
    /// A request with the credentials of the config.
    ///
    /// # Errors
    /// A password file that can not be read any more; the message names it.
    pub fn request(&self, method: reqwest::Method, url: &str) -> Result<reqwest::RequestBuilder, String> {
        let request = self.client.request(method, url);
        Ok(match &self.auth {
            Auth::None => request,
            Auth::Basic { username, password } => request.basic_auth(username, Some(password.read()?.reveal())),
            Auth::Header { scheme, credentials } => {
                let text = format!("{scheme} {}", credentials.read()?.reveal());
                let mut value = HeaderValue::try_from(text).map_err(|_| "credentials hold a line break".to_owned())?;
                value.set_sensitive(true);
                request.header(AUTHORIZATION, value)
            }
        })
    }
}

/// Why a request got no answer, without its address: the causes, with a hint.
#[must_use]
pub fn lost(error: reqwest::Error) -> String {
    let hint = scheme_hint(&error);
    causes(&error.without_url()) + hint
}

/// What to add to an error where the scheme of the address is likely the wrong one; else empty.
#[must_use]
pub fn scheme_hint(error: &reqwest::Error) -> &'static str {
    // A server of TLS hangs up on plain text, or answers with an alert, which is no HTTP.
    const NO_TLS: [&str; 3] =
        ["connection closed before message completed", "invalid HTTP version", "Connection reset"];
    let text = causes(error);
    match error.url().map(reqwest::Url::scheme) {
        Some("http") if NO_TLS.iter().any(|part| text.contains(part)) => "; does the port want `https://`?",
        Some("https") if text.contains("InvalidContentType") => "; does the port want `http://`?",
        _ => "",
    }
}

/// An error with its causes, which reqwest's own text leaves out.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(json: serde_json::Value) -> Vec<String> {
        // Without a provider reqwest panics; a second installation is refused and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config: HttpClientConfig = serde_json::from_value(json).expect("the shape is right");
        let mut problems = Problems::default();
        let client = config.build(Duration::from_secs(1), &mut problems);
        assert_eq!(client.is_none(), !problems.is_empty());
        problems.into_vec().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn builds_and_reports() {
        assert_eq!(problems_of(serde_json::json!({})), Vec::<String>::new());
        let both = problems_of(serde_json::json!({
            "basic_auth": {"username": "u", "password": "p", "password_file": "/nonexistent/p"},
            "tls": {"ca_file": "/nonexistent/ca", "cert_file": "/nonexistent/cert"},
            "headers": {"bad name": "x"},
        }));
        assert_eq!(both.len(), 6, "{both:#?}");
        assert_eq!(problems_of(serde_json::json!({"tls": {"pinned_sha256": "0f".repeat(32)}})), Vec::<String>::new());
        let pinned = serde_json::json!({"tls": {"pinned_sha256": "0f", "insecure_skip_verify": true}});
        assert_eq!(problems_of(pinned).len(), 2);
    }

    #[tokio::test]
    async fn the_wrong_scheme_is_hinted_at() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = HttpClientConfig::default().build(Duration::from_secs(10), &mut Problems::default());
        let client = client.expect("a client");
        // Hangs up; an alert of TLS; plain HTTP.
        let cases: [(&str, &[u8], &str); 3] = [
            ("http", b"", "`https://`?"),
            ("http", b"\x15\x03\x01\x00\x02\x02\x46", "`https://`?"),
            ("https", b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "`http://`?"),
        ];
        for (scheme, answer, hint) in cases {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let port = listener.local_addr().expect("an address").port();
            let peer = async {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                assert!(stream.read(&mut [0; 4_096]).await.expect("a request") > 0);
                stream.write_all(answer).await.expect("written");
                stream.shutdown().await.expect("ended");
                // Until the other side is done: a reset would hide the answer.
                let _ = stream.read(&mut [0; 4_096]).await;
            };
            let url = format!("{scheme}://127.0.0.1:{port}/");
            let request = client.request(reqwest::Method::GET, &url).expect("a request");
            let (sent, ()) = tokio::join!(request.send(), peer);
            let text = lost(sent.expect_err("no answer"));
            assert!(text.ends_with(hint) && !text.contains(&url), "{scheme}: {text}");
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let config: HttpClientConfig =
            serde_json::from_value(serde_json::json!({"basic_auth": {"username": "u", "password": "hunter2"}}))
                .expect("valid");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
