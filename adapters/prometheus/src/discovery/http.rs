//! HTTP discovery: a list of targets from an endpoint, asked again and again (`http_sd_configs`).
//!
//! The endpoint answers 200 with `application/json` and the same list that a target file holds. On any
//! other answer the targets known so far stay.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{HttpClient, HttpClientConfig, Problems, Span};

use super::{Surroundings, TargetGroup, body};

/// The largest list that is read, in bytes.
const MAX_BYTES: usize = 64 << 20;

/// An endpoint that lists targets.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSdConfig {
    /// Its URL.
    pub url: String,
    /// How often it is asked.
    #[serde(default = "every")]
    pub refresh_interval: Span,
    /// How to reach it: TLS, credentials, headers, proxy.
    #[serde(default)]
    pub http: HttpClientConfig,
}

fn every() -> Span {
    Span::seconds(60)
}

/// Checked HTTP discovery.
#[derive(Debug)]
pub(crate) struct Endpoint {
    url: String,
    every: Span,
    client: HttpClient,
}

impl HttpSdConfig {
    /// Checks URL and client settings.
    pub(crate) fn check(&self, problems: &mut Problems) -> Option<Endpoint> {
        let before = problems.len();
        match reqwest::Url::parse(&self.url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {}
            Ok(_) => problems.hint("url", format!("`{}` is no HTTP address", self.url), "begin it with `http://`"),
            Err(e) => problems.hint("url", format!("`{}` is no URL: {e}", self.url), "write it as `http://host/path`"),
        }
        if self.refresh_interval.0.is_zero() {
            problems.hint("refresh_interval", "is 0", "use `60s`");
        }
        let mut part = Problems::default();
        let client = self.http.build(self.refresh_interval.0, &mut part);
        problems.within("http", part);
        if problems.len() > before {
            return None;
        }
        Some(Endpoint { url: self.url.clone(), every: self.refresh_interval, client: client? })
    }
}

impl Endpoint {
    pub(super) async fn run(self, index: usize, mut surroundings: Surroundings) {
        let mut last = None;
        let mut shutdown = surroundings.shutdown.clone();
        loop {
            let asked = tokio::select! {
                () = shutdown.wait() => return,
                asked = self.ask() => asked,
            };
            match asked {
                Ok(groups) if last.as_ref() == Some(&groups) => {}
                Ok(groups) => {
                    if !surroundings.hand_over(index, groups.clone()).await {
                        return;
                    }
                    last = Some(groups);
                }
                Err(error) => surroundings.failed("http", &self.place(), &error),
            }
            if !surroundings.shutdown.sleep(self.every.0).await {
                return;
            }
        }
    }

    async fn ask(&self) -> Result<Vec<TargetGroup>, String> {
        let seconds = self.every.0.as_secs_f64().to_string();
        let request = self.client.request(reqwest::Method::GET, &self.url)?;
        let request =
            request.header("Accept", "application/json").header("X-Prometheus-Refresh-Interval-Seconds", seconds);
        let response = request.send().await.map_err(|e| body::chain(&e))?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("answered status {}", response.status().as_u16()));
        }
        let content_type = response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let media = content_type.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/json") {
            return Err(format!("answered content type `{content_type}`, not `application/json`"));
        }
        let body = body::read(response, MAX_BYTES, 0).await.map_err(|e| e.to_string())?;
        let groups: Vec<TargetGroup> = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        let place = self.place();
        Ok(groups.into_iter().map(|group| group.found_at("__meta_url", &place)).collect())
    }

    /// The URL without user name and password.
    fn place(&self) -> String {
        without_credentials(&self.url)
    }
}

/// `url` without user name and password, as it may be shown.
pub(crate) fn without_credentials(url: &str) -> String {
    let Ok(mut parsed) = reqwest::Url::parse(url) else {
        return String::new();
    };
    // Both only fail for URLs that can not have credentials.
    let _ = parsed.set_password(None);
    let _ = parsed.set_username("");
    parsed.to_string()
}
