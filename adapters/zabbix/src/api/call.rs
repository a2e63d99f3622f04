//! One request and what its answer means.

use std::sync::atomic::Ordering;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue};
use reqwest::{Method, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use watchbell_adapter_api::http::lost;

use super::error::{ApiError, ErrorKind, classify, one_line};
use super::session::Pass;
use super::{Api, FAILURES, REQUESTS, SECONDS, SKEW, Told};

/// Answers from this size on are parsed off the threads that serve connections.
const LARGE: usize = 1 << 20;

#[derive(Deserialize)]
struct Envelope<T> {
    result: Option<T>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Value,
}

impl Api {
    /// Calls `method` with `params` (an object or a list) and gives its result. Fields of `T` come as text mostly;
    /// see [`super::value`].
    ///
    /// # Errors
    /// What failed, whose fault it is and what to do.
    pub async fn call<T: DeserializeOwned + Send + 'static>(
        &self,
        method: &str,
        params: &Value,
    ) -> Result<T, ApiError> {
        let pass = self.pass().await?;
        match self.post(method, params, Some(&pass)).await {
            Err(error) if wants_new_pass(&error) => {
                self.forget(&pass).await;
                let again = self.pass().await?;
                // The same token to the same version would be refused again.
                if again.secret == pass.secret && again.version == pass.version {
                    return Err(error);
                }
                self.post(method, params, Some(&again)).await
            }
            other => other,
        }
    }

    /// Calls `method` without looking at who we are again.
    pub(super) async fn post<T: DeserializeOwned + Send + 'static>(
        &self,
        method: &str,
        params: &Value,
        pass: Option<&Pass>,
    ) -> Result<T, ApiError> {
        let result = self.try_post(method, params, pass).await;
        self.count(|told| {
            told.metrics.counter(&REQUESTS, &[&told.component, method]).inc();
            if let Err(error) = &result {
                told.metrics.counter(&FAILURES, &[&told.component, error.kind.as_str()]).inc();
            }
        });
        result
    }

    async fn try_post<T: DeserializeOwned + Send + 'static>(
        &self,
        method: &str,
        params: &Value,
        pass: Option<&Pass>,
    ) -> Result<T, ApiError> {
        let mut body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1});
        let refused = |message| self.error(method, ErrorKind::Refused, message);
        let mut request = self.shared.client.request(Method::POST, self.shared.url.as_str()).map_err(refused)?;
        match pass {
            Some(pass) if pass.by_header => {
                let value = HeaderValue::try_from(format!("Bearer {}", pass.secret.reveal()));
                let mut value = value.map_err(|_| refused("the token holds a line break".to_owned()))?;
                value.set_sensitive(true);
                request = request.header(AUTHORIZATION, value);
            }
            Some(pass) => body["auth"] = pass.secret.reveal().into(),
            None => {}
        }
        let request = request.header(CONTENT_TYPE, "application/json-rpc").body(body.to_string());
        let by_header = pass.is_some_and(|pass| pass.by_header);
        let passage = self.shared.gate.pass().await;
        let answer = match request.send().await {
            Ok(response) => {
                self.note_skew(&response);
                self.read(method, response).await
            }
            Err(error) => Err(self.unreachable(method, error)),
        };
        let took = passage.done(self.shared.apart);
        self.count(|told| told.metrics.histogram(&SECONDS, &[&told.component]).observe(took.as_secs_f64()));
        let body = answer?;
        let parsed = if body.len() < LARGE {
            parse::<T>(&body)
        } else {
            let parsing = tokio::task::spawn_blocking(move || parse::<T>(&body));
            parsing.await.unwrap_or_else(|error| Err(error.to_string()))
        };
        let envelope = parsed
            .map_err(|text| self.error(method, ErrorKind::Failing, format!("the answer is not understood: {text}")))?;
        match envelope {
            Envelope { error: Some(refusal), .. } => {
                let data = refusal.data.as_str().map_or_else(
                    || if refusal.data.is_null() { String::new() } else { refusal.data.to_string() },
                    str::to_owned,
                );
                let text = one_line(&format!("{} {data}", refusal.message));
                let (kind, hint) = classify(refusal.code, &text, by_header, self.has_token());
                Err(ApiError { code: Some(refusal.code), hint, ..self.error(method, kind, text) })
            }
            Envelope { result: Some(result), .. } => Ok(result),
            _ => Err(self.error(method, ErrorKind::Failing, "an answer without `result`".to_owned())),
        }
    }

    /// The body of an answer that is JSON.
    async fn read(&self, method: &str, mut response: Response) -> Result<Vec<u8>, ApiError> {
        let status = response.status().as_u16();
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > self.shared.max_bytes => {
                    let message = format!("an answer of more than {} bytes", self.shared.max_bytes);
                    return Err(self.error(method, ErrorKind::TooMuch, message));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => return Err(self.unreachable(method, error)),
            }
        }
        if status == 200 && body.trim_ascii_start().first().is_some_and(|byte| matches!(byte, b'{' | b'[')) {
            return Ok(body);
        }
        let text = one_line(&String::from_utf8_lossy(&body[..body.len().min(4_096)]));
        Err(self.no_json(method, status, &text))
    }

    /// What an answer means that the API itself did not give.
    fn no_json(&self, method: &str, status: u16, text: &str) -> ApiError {
        let lower = text.to_lowercase();
        let page = lower.contains("<html") || lower.contains("<!doctype");
        let (kind, message, hint) = if lower.contains("allowed memory size") || lower.contains("maximum execution time")
        {
            (ErrorKind::TooMuch, text.to_owned(), Some("raise `memory_limit` or `max_execution_time` of PHP"))
        } else {
            let hint = match status {
                200 if page => "this is a web page: is `url` the address of the frontend, and does the frontend work?",
                401 | 403 => "the web server asks for credentials before Zabbix does; set `http.basic_auth`",
                404 => "there is no frontend at this `url`; write it as in the browser",
                412 => "the API refuses the content type `application/json-rpc`; does a proxy change it?",
                500 => "PHP broke off, often for want of memory; see the log of the web server",
                _ => "see the log of the web server",
            };
            let text = if page || text.is_empty() { "no JSON" } else { text };
            let kind = match status {
                401 | 403 => ErrorKind::Credentials,
                404 | 412 => ErrorKind::Refused,
                413 | 504 => ErrorKind::TooMuch,
                _ => ErrorKind::Failing,
            };
            (kind, format!("status {status}, {text}"), Some(hint))
        };
        ApiError { hint, ..self.error(method, kind, message) }
    }

    fn unreachable(&self, method: &str, error: reqwest::Error) -> ApiError {
        if error.is_timeout() && !error.is_connect() {
            return self.error(method, ErrorKind::TooMuch, "no answer in time".to_owned());
        }
        self.error(method, ErrorKind::Unreachable, lost(error))
    }

    pub(super) fn error(&self, method: &str, kind: ErrorKind, message: String) -> ApiError {
        ApiError { kind, method: method.to_owned(), url: self.shared.shown.clone(), code: None, message, hint: None }
    }

    pub(super) fn count(&self, with: impl FnOnce(&Told)) {
        if let Some(told) = &self.told {
            with(told);
        }
    }

    fn note_skew(&self, response: &Response) {
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        let Some(date) = date.and_then(|text| jiff::fmt::rfc2822::parse(text).ok()) else { return };
        self.count(|told| {
            let skew_s = date.timestamp().as_second() - told.clock.now_ms().div_euclid(1_000);
            self.shared.skew_s.store(skew_s, Ordering::Relaxed);
            told.metrics.gauge(&SKEW, &[&told.component]).set(skew_s as f64);
        });
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<Envelope<T>, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// Whether a new session, or another way to send it, may help.
fn wants_new_pass(error: &ApiError) -> bool {
    error.code.is_some() && (error.kind == ErrorKind::Credentials || error.message.contains("\"auth\""))
}
