//! Sink `nagios_nrdp`: passive results posted to NRDP (Nagios Remote Data Processor), `cmd=submitcheck` with JSON.
//!
//! NRDP answers 200 whatever happens; what counts is `result.status` of its answer: 0, or -1 with a message such
//! as `BAD TOKEN`. It takes results of hosts that Nagios does not know without a word.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Method, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use watchbell_adapter_api::{
    BoxFuture, HttpClient, HttpClientConfig, MetricDef, Prepared, Problems, ScoreSink, Secret, SinkConfig, SinkContext,
    SourceError, Span,
};

use watchbell_checks::passive::{self, PassiveResult, Plan, ResultsConfig, Sent, Way};

/// Results of one request.
const BATCH: usize = 500;
/// Longest output of one result, in bytes.
const OUTPUT: usize = 4_096;
/// Most bytes of an answer that are read.
const ANSWER: usize = 64 * 1024;

/// Settings of the sink.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NrdpConfig {
    /// Where NRDP is: `https://nagios/nrdp/`.
    pub url: String,
    /// One of NRDP's `authorized_tokens`; either `token` or `token_file`.
    pub token: Option<Secret>,
    /// File that holds the token; read again for each request.
    #[schemars(extend("format" = "path"))]
    pub token_file: Option<PathBuf>,
    /// How a request is made. Redirects are never followed.
    #[serde(default)]
    pub http: HttpClientConfig,
    /// How long a request may take.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// What becomes a result, and in which state.
    #[serde(default)]
    pub results: ResultsConfig,
}

fn timeout() -> Span {
    Span::seconds(10)
}

impl SinkConfig for NrdpConfig {
    const KIND: &'static str = "nagios_nrdp";
    const SUMMARY: &'static str = "Posts a passive check result for each host to NRDP.";
    const METRICS: &'static [MetricDef] = passive::METRICS;

    fn prepare(self, problems: &mut Problems) -> Option<Prepared> {
        let before = problems.len();
        let url = problems.take("url", address(&self.url));
        let token = Password::of("token", self.token, self.token_file, problems);
        if token.is_none() && problems.len() == before {
            problems.hint("token", "no token is given", "write one of NRDP's `authorized_tokens`, or `token_file`");
        }
        if self.timeout.0 < Duration::from_secs(1) {
            problems.hint("timeout", format!("`{}` is too short", self.timeout), "use at least 1s");
        }
        let mut part = Problems::default();
        let http = HttpClientConfig { follow_redirects: Some(false), ..self.http };
        let client = http.build(self.timeout.0, &mut part);
        problems.within("http", part);
        let plan = self.results.check(problems);
        let (url, token, client, plan) = (url?, token?, client?, plan?);
        (problems.len() == before).then(|| Prepared::Scores(Box::new(Nrdp { way: Post { url, token, client }, plan })))
    }
}

fn address(text: &str) -> Result<Url, String> {
    let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
    if !text.contains("://") {
        return Err(format!("`{shown}` has no scheme; write it as `http://{shown}`"));
    }
    let url = Url::parse(text).map_err(|error| format!("`{shown}` is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("`{shown}` is no URL of http or https"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(format!("`{shown}` must have no user and no query; use `http.basic_auth`"));
    }
    Ok(url)
}

/// A secret in the config or in a file.
#[derive(Debug, Clone)]
pub(crate) enum Password {
    Text(Secret),
    File(PathBuf),
}

impl Password {
    /// The one that is given, if one is; a file must be readable.
    pub(crate) fn of(name: &str, text: Option<Secret>, file: Option<PathBuf>, problems: &mut Problems) -> Option<Self> {
        match (text, file) {
            (Some(_), Some(_)) => {
                problems.hint(name, format!("both `{name}` and `{name}_file` are set"), "keep one of them");
                None
            }
            (Some(text), None) => Some(Self::Text(text)),
            (None, Some(file)) => {
                problems.take(format!("{name}_file"), Secret::from_file(&file))?;
                Some(Self::File(file))
            }
            (None, None) => None,
        }
    }

    pub(crate) fn read(&self) -> Result<Secret, String> {
        match self {
            Self::Text(secret) => Ok(secret.clone()),
            Self::File(file) => Secret::from_file(file),
        }
    }
}

struct Nrdp {
    way: Post,
    plan: Plan,
}

impl ScoreSink for Nrdp {
    fn run(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(passive::run(self.plan, self.way, context))
    }
}

struct Post {
    url: Url,
    token: Password,
    client: HttpClient,
}

#[derive(Deserialize)]
struct Answer {
    result: AnswerResult,
}

#[derive(Deserialize)]
struct AnswerResult {
    /// A number, as text in some versions.
    status: serde_json::Value,
    #[serde(default)]
    message: String,
}

impl Way for Post {
    fn send<'a>(&'a mut self, results: &'a [PassiveResult]) -> BoxFuture<'a, Sent> {
        Box::pin(async move {
            let mut taken = 0;
            for batch in results.chunks(BATCH) {
                if let Err(error) = self.post(batch).await {
                    return Sent::failed(taken, format!("NRDP at `{}`: {error}", self.url));
                }
                taken += batch.len();
            }
            Sent::all(results)
        })
    }
}

impl Post {
    async fn post(&self, results: &[PassiveResult]) -> Result<(), String> {
        let token = self.token.read()?;
        let json = checks(results).to_string();
        let form = [("token", token.reveal()), ("cmd", "submitcheck"), ("json", &json)];
        let request = self.client.request(Method::POST, self.url.as_str())?.form(&form);
        let mut response = request.send().await.map_err(watchbell_adapter_api::http::lost)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(watchbell_adapter_api::http::lost)? {
            body.extend_from_slice(&chunk[..chunk.len().min(ANSWER - body.len())]);
            if body.len() == ANSWER {
                break;
            }
        }
        if !status.is_success() {
            return Err(format!("answered {status}; is this the address of NRDP?"));
        }
        let text = String::from_utf8_lossy(&body);
        let answer: Answer = serde_json::from_str(&text)
            .map_err(|_| format!("its answer is not NRDP's: `{}`", passive::cut(text.trim(), 120)))?;
        match answer.result.status {
            serde_json::Value::Number(n) if n.as_i64() == Some(0) => Ok(()),
            serde_json::Value::String(n) if n == "0" => Ok(()),
            _ => Err(format!("refused: {}", passive::cut(&answer.result.message, 120))),
        }
    }
}

fn checks(results: &[PassiveResult]) -> serde_json::Value {
    let check = |result: &PassiveResult| {
        json!({
            "checkresult": {"type": "service", "checktype": "1"},
            "hostname": result.host,
            "servicename": result.service,
            "state": (result.state as u8).to_string(),
            "output": result.output(OUTPUT),
        })
    };
    json!({"checkresults": results.iter().map(check).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests;
