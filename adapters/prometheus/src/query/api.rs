//! The queries that are sent, and what their failures mean.
//!
//! Everything that may be long goes as a form in a POST. `nocache=1` keeps VictoriaMetrics from moving the
//! bounds of a range; others do not know it and ignore it.

use std::fmt;
use std::time::Duration;

use watchbell_adapter_api::{HttpClient, HttpClientConfig, Problems};

use super::answer::{self, Listed, Row};
use crate::peer::{Address, without_user};

/// The most points of one series that Prometheus answers.
pub(super) const MAX_POINTS: i64 = 11_000;

/// The longest list of series that is taken, in bytes: parsed it takes twice as much.
const MAX_LIST_BYTES: usize = 16 << 20;

/// Answers from this size on are parsed off the threads that serve connections.
const LARGE: usize = 1 << 20;

/// How samples are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// As they were stored, with their own times.
    Raw,
    /// Evaluated at each multiple of so many milliseconds.
    Step(i64),
}

/// Why a query gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ApiError {
    /// Not reachable, overloaded, or failing by itself: try again later.
    #[error("{0}")]
    Unavailable(String),
    /// The answer would be too large: ask for less time.
    #[error("{0}")]
    TooMuch(String),
    /// The query or the credentials are wrong.
    #[error("{0}")]
    Refused(String),
}

/// A server that answers PromQL.
#[derive(Clone)]
pub(super) struct Api {
    client: HttpClient,
    /// With user and password, where the address has them.
    base: String,
    shown: String,
    max_bytes: usize,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("url", &self.shown).finish_non_exhaustive()
    }
}

impl Api {
    /// The server at `url`, or `None` with what is wrong noted.
    pub(super) fn new(
        url: &str,
        http: &HttpClientConfig,
        timeout: Duration,
        max_bytes: usize,
        problems: &mut Problems,
    ) -> Option<Self> {
        let before = problems.len();
        let address = Address::of(url).ok().filter(|address| address.url().query().is_none());
        if address.is_none() {
            let message = format!("`{}` is no address of a server", without_user(url));
            problems.hint("url", message, "write it as `http://prometheus:9090`, with the prefix of its API if any");
        }
        if max_bytes == 0 {
            problems.hint("max_response_bytes", "0 would refuse every answer", "leave it out for the default");
        }
        let mut http_problems = Problems::default();
        let client = http.build(timeout, &mut http_problems);
        problems.within("http", http_problems);
        if problems.len() > before {
            return None;
        }
        let (base, shown) = (url.trim_end_matches('/').to_owned(), address?.shown());
        Some(Self { client: client?, base, shown, max_bytes })
    }

    /// The server's address, for messages: without user and password.
    pub(super) fn url(&self) -> &str {
        &self.shown
    }

    /// All samples of `expression` after `left_ms` and up to `right_ms`.
    pub(super) async fn fetch(
        &self,
        expression: &str,
        read: Read,
        left_ms: i64,
        right_ms: i64,
    ) -> Result<Vec<Row>, ApiError> {
        let mut form = vec![("nocache", "1".to_owned())];
        let path = match read {
            Read::Raw => {
                form.push(("query", format!("{expression}[{}ms]", right_ms - left_ms)));
                form.push(("time", seconds(right_ms)));
                "query"
            }
            Read::Step(step) => {
                let (start, end) = (left_ms.div_euclid(step) * step + step, right_ms.div_euclid(step) * step);
                if start > end {
                    return Ok(Vec::new());
                }
                form.push(("query", expression.to_owned()));
                form.push(("start", seconds(start)));
                form.push(("end", seconds(end)));
                form.push(("step", seconds(step)));
                "query_range"
            }
        };
        let body = self.ask(reqwest::Method::POST, path, &form, self.max_bytes).await?;
        let mut rows = parse(body, answer::matrix).await?;
        for row in &mut rows {
            // Before Prometheus 3 a range held the sample at its left end too.
            row.samples.retain(|sample| sample.ts_ms > left_ms && sample.ts_ms <= right_ms);
        }
        Ok(rows)
    }

    /// The values of `label` among the series that one of `selectors` selects and that have samples in a
    /// span of time. Servers may answer more.
    pub(super) async fn values(
        &self,
        label: &str,
        selectors: &[String],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<String>, ApiError> {
        // The only query that some servers take as GET alone.
        let (path, form) = (format!("label/{label}/values"), list_form(selectors, from_ms, to_ms));
        let body = self.ask(reqwest::Method::GET, &path, &form, self.max_bytes).await?;
        parse(body, answer::values).await
    }

    /// The series that one of `selectors` selects and that have samples in a span of time. Servers may answer
    /// more.
    pub(super) async fn series(&self, selectors: &[String], from_ms: i64, to_ms: i64) -> Result<Listed, ApiError> {
        let form = list_form(selectors, from_ms, to_ms);
        let most = self.max_bytes.min(MAX_LIST_BYTES);
        let body = self.ask(reqwest::Method::POST, "series", &form, most).await?;
        parse(body, answer::series).await
    }

    async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        form: &[(&str, String)],
        most: usize,
    ) -> Result<Vec<u8>, ApiError> {
        let url = format!("{}/api/v1/{path}", self.base);
        let get = method == reqwest::Method::GET;
        let request = self.client.request(method, &url).map_err(ApiError::Refused)?;
        let request = if get { request.query(form) } else { request.form(form) };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let body = read(response, most).await?;
        if (200..300).contains(&status) { Ok(body) } else { Err(failed(status, &body)) }
    }
}

fn list_form(selectors: &[String], from_ms: i64, to_ms: i64) -> Vec<(&'static str, String)> {
    let matches = selectors.iter().map(|selector| ("match[]", selector.clone()));
    matches.chain([("start", seconds(from_ms)), ("end", seconds(to_ms))]).collect()
}

async fn read(mut response: reqwest::Response, most: usize) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > most {
            return Err(ApiError::TooMuch(format!("an answer of more than {most} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn parse<T: Send + 'static>(body: Vec<u8>, read: fn(&[u8]) -> Result<T, String>) -> Result<T, ApiError> {
    let parsed = if body.len() < LARGE {
        read(&body)
    } else {
        let parsing = tokio::task::spawn_blocking(move || read(&body));
        parsing.await.unwrap_or_else(|e| Err(e.to_string()))
    };
    parsed.map_err(|e| ApiError::Refused(format!("the answer is not understood, is this a Prometheus API? {e}")))
}

/// Seconds with milliseconds, as the API takes times and steps.
fn seconds(ms: i64) -> String {
    format!("{:.3}", ms as f64 / 1000.0)
}

fn unreachable(error: reqwest::Error) -> ApiError {
    use watchbell_adapter_api::http::scheme_hint;
    // The cause tells more than the error itself, which names the address.
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    ApiError::Unavailable(if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        cause.to_string() + scheme_hint(&error)
    })
}

/// Parts of the messages with which servers refuse a query that would touch too much.
const TOO_MUCH: &[&str] = &["too many", "exceed", "more than", "limit", "timed out", "too large", "too long"];

fn failed(status: u16, body: &[u8]) -> ApiError {
    let failure = answer::failure(body);
    let text = if failure.message.is_empty() { String::from_utf8_lossy(body).into_owned() } else { failure.message };
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    let message = format!("status {status}: {}", text.trim());
    let lower = text.to_lowercase();
    let says_too_much = TOO_MUCH.iter().any(|part| lower.contains(part));
    match status {
        503 if failure.kind == "timeout" => ApiError::TooMuch(message),
        408 | 429 | 500.. => ApiError::Unavailable(message),
        400 | 413 | 422 if says_too_much => ApiError::TooMuch(message),
        _ => ApiError::Refused(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart() {
        let json = |kind: &str, message: &str| {
            format!(r#"{{"status":"error","errorType":"{kind}","error":"{message}"}}"#).into_bytes()
        };
        let samples = json("execution", "query processing would load too many samples into memory in query execution");
        assert!(matches!(failed(422, &samples), ApiError::TooMuch(_)));
        let points = json("bad_data", "exceeded maximum resolution of 11,000 points per timeseries");
        assert!(matches!(failed(400, &points), ApiError::TooMuch(_)));
        assert!(matches!(failed(503, &json("timeout", "query timed out")), ApiError::TooMuch(_)));
        assert!(matches!(failed(503, b"Service Unavailable"), ApiError::Unavailable(_)));
        assert!(matches!(failed(429, b""), ApiError::Unavailable(_)));
        let syntax = failed(400, &json("bad_data", "parse error: unexpected end of input"));
        assert_eq!(syntax, ApiError::Refused("status 400: parse error: unexpected end of input".into()));
        assert!(matches!(failed(401, b"<html>\n"), ApiError::Refused(_)));
    }

    #[test]
    fn passwords_in_addresses_do_not_show() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let make = |url: &str, problems: &mut Problems| {
            Api::new(url, &HttpClientConfig::default(), Duration::from_secs(1), 1, problems)
        };
        let api = make("https://me:hunter2@host:1/prefix/", &mut Problems::default()).expect("an address");
        assert_eq!((api.url(), format!("{api:?}").contains("hunter2")), ("https://host:1/prefix", false));
        assert_eq!(api.base, "https://me:hunter2@host:1/prefix");
        for wrong in ["https://me:hunter2@host?a=b", "ftp://me:hunter2@host", "http://me:hunter2@ho st"] {
            let mut problems = Problems::default();
            assert!(make(wrong, &mut problems).is_none());
            let told = problems.into_vec();
            assert!(told.len() == 1 && !told[0].message.contains("hunter2"), "{told:?}");
        }
    }

    #[test]
    fn times_are_exact() {
        assert_eq!(seconds(1_795_191_471_792), "1795191471.792");
        assert_eq!(seconds(15_000), "15.000");
        assert_eq!(seconds(-1), "-0.001");
    }
}
