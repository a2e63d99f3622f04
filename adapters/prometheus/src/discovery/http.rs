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
        let shown = crate::peer::without_user(&self.url);
        match reqwest::Url::parse(&self.url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {}
            Ok(_) => problems.hint("url", format!("`{shown}` is no HTTP address"), "begin it with `http://`"),
            Err(_) if !self.url.contains("://") => {
                problems.hint("url", format!("`{shown}` has no scheme"), format!("write it as `http://{shown}`"));
            }
            Err(e) => problems.hint("url", format!("`{shown}` is no URL: {e}"), "write it as `http://host/path`"),
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::get;
    use tokio::sync::mpsc;
    use watchbell_adapter_api::{Metrics, Shutdown};

    use super::*;

    fn endpoint(url: String) -> Endpoint {
        // Without a provider the HTTP client can not be built; a second installation changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let every = Span(std::time::Duration::from_millis(20));
        let config = HttpSdConfig { url, refresh_interval: every, http: HttpClientConfig::default() };
        config.check(&mut Problems::default()).expect("valid")
    }

    async fn serve(router: Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://user:secret@{address}/sd")
    }

    #[tokio::test]
    async fn lists_arrive_and_bad_answers_change_nothing() {
        // Answers one after the other; the last one stays.
        let good = |port: u16| (200, "application/json; charset=utf-8", format!(r#"[{{"targets": ["a:{port}"]}}]"#));
        let answers = vec![
            good(1),
            (500, "application/json", String::new()),
            (200, "text/html", "[]".to_owned()),
            (200, "application/json", r#"[{"targets": "a:1"}]"#.to_owned()),
            good(1),
            (200, "application/json", "[]".to_owned()),
            good(2),
        ];
        let answers = Arc::new(Mutex::new(answers.into_iter().peekable()));
        let answer = move |headers: HeaderMap| {
            let mut answers = answers.lock().expect("not poisoned");
            assert_eq!(headers["x-prometheus-refresh-interval-seconds"], "0.02");
            let next = answers.next().unwrap_or_else(|| good(2));
            async move { (StatusCode::from_u16(next.0).expect("a status"), [("content-type", next.1)], next.2) }
        };
        let endpoint = endpoint(serve(Router::new().route("/sd", get(answer))).await);
        let (stop, shutdown) = Shutdown::channel();
        let (found, mut lists) = mpsc::channel(16);
        let surroundings = Surroundings { source: "test".into(), metrics: Metrics::default(), shutdown, found };
        let metrics = surroundings.metrics.clone();
        let running = tokio::spawn(endpoint.run(7, surroundings));
        let mut seen = Vec::new();
        for _ in 0..3 {
            let list = lists.recv().await.expect("a list");
            assert_eq!(list.provider, 7);
            let place = list.groups.first().map(|group| group.labels["__meta_url"].clone());
            assert!(place.is_none_or(|place| place.ends_with("/sd") && !place.contains("secret")));
            seen.push(list.groups.into_iter().flat_map(|group| group.targets).collect::<Vec<_>>());
        }
        assert_eq!(seen, [vec!["a:1".to_owned()], vec![], vec!["a:2".to_owned()]]);
        assert_eq!(metrics.counter(&super::super::ERRORS, &["test", "http"]).get(), 3.0);
        stop.send(true).expect("it listens");
        running.await.expect("no panic");
    }
}
