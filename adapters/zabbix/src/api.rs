//! The JSON-RPC API of Zabbix 5.0 to 7.4, as its frontend serves it.
//!
//! Finds out the version, logs in as that version wants it, keeps the session, and lets one request out at a time.
//! What fails says whose fault it is and what to do; whether to try again is the caller's choice, but for a session
//! that ended: then it logs in again and repeats the call, once.

mod call;
mod error;
mod pace;
mod session;
#[cfg(test)]
mod tests;
pub mod value;
mod version;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{
    Clock, HttpClient, HttpClientConfig, MetricDef, MetricKindDef, Metrics, Problems, Secret, Span,
};

pub use self::error::{ApiError, ErrorKind};
use self::pace::Gate;
use self::session::{Login, Session};
pub use self::version::Version;

const REQUESTS: MetricDef = MetricDef {
    name: "watchbell_zabbix_api_requests_total",
    kind: MetricKindDef::Counter,
    help: "Requests to the API of Zabbix, by method; `component` is the name of a source, a sink or `history`.",
    labels: &["component", "method"],
};
const FAILURES: MetricDef = MetricDef {
    name: "watchbell_zabbix_api_failures_total",
    kind: MetricKindDef::Counter,
    help: "Requests to the API of Zabbix that failed, by reason: unreachable, failing, too_much, credentials, refused.",
    labels: &["component", "reason"],
};
const SECONDS: MetricDef = MetricDef {
    name: "watchbell_zabbix_api_request_seconds",
    kind: MetricKindDef::Histogram(watchbell_adapter_api::metrics::SECONDS),
    help: "How long the API of Zabbix took to answer, in seconds, without the wait for its turn.",
    labels: &["component"],
};
const LOGINS: MetricDef = MetricDef {
    name: "watchbell_zabbix_api_logins_total",
    kind: MetricKindDef::Counter,
    help: "Logins to the API of Zabbix with user and password.",
    labels: &["component"],
};
const SKEW: MetricDef = MetricDef {
    name: "watchbell_zabbix_clock_skew_seconds",
    kind: MetricKindDef::Gauge,
    help: "How far the clock of the Zabbix frontend is ahead of this machine's, in seconds, to the second.",
    labels: &["component"],
};

/// Own metrics of whatever calls the API.
pub const METRICS: &[MetricDef] = &[REQUESTS, FAILURES, SECONDS, LOGINS, SKEW];

/// What the paths of frontends end in.
const SCRIPT: &str = "api_jsonrpc.php";

/// Where the API is, and who calls it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiConfig {
    /// Address of the frontend as a browser has it, such as `https://zabbix.example.com/zabbix`.
    pub url: String,
    /// API token (Zabbix 5.4 and later), the better way: it can be withdrawn and logs nobody out.
    pub token: Option<Secret>,
    /// File that holds the token; read again when it is not taken any more.
    #[schemars(extend("format" = "path"))]
    pub token_file: Option<PathBuf>,
    /// User name, where there is no token. A user with the right to read is enough.
    pub user: Option<String>,
    /// Password of the user; at most one of `password` and `password_file`.
    pub password: Option<Secret>,
    /// File that holds the password; read again at each login.
    #[schemars(extend("format" = "path"))]
    pub password_file: Option<PathBuf>,
    /// The longest time for one answer.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// Most requests a second. They never overlap, and after a slow answer there is a rest as long as it took.
    #[serde(default = "default_rate")]
    pub max_requests_per_second: f64,
    /// The longest answer, in bytes.
    #[serde(default = "default_max_response_bytes")]
    pub max_response_bytes: usize,
    /// How to reach the frontend. `basic_auth` is for a web server that asks for it before Zabbix does; from Zabbix
    /// 7.2 on there can be none.
    #[serde(default)]
    pub http: HttpClientConfig,
}

fn default_timeout() -> Span {
    Span::seconds(60)
}

fn default_rate() -> f64 {
    5.0
}

fn default_max_response_bytes() -> usize {
    64 << 20
}

impl ApiConfig {
    /// The API ready to be called, or `None` with what is wrong noted.
    #[must_use]
    pub fn prepare(&self, problems: &mut Problems) -> Option<Api> {
        let before = problems.len();
        let address = address(&self.url, problems);
        let login = self.login(problems);
        if !(0.01..=100.0).contains(&self.max_requests_per_second) {
            let message = format!("`{}` is out of range", self.max_requests_per_second);
            problems.hint("max_requests_per_second", message, "use 0.01 to 100; 5 is the default");
        }
        if self.max_response_bytes < 1 << 16 {
            problems.hint("max_response_bytes", "too small for any answer", "leave it out for the default");
        }
        if !(100..=3_600_000).contains(&self.timeout.millis()) {
            problems.hint("timeout", format!("`{}` is out of range", self.timeout), "leave it out for the default");
        }
        let mut part = Problems::default();
        let client = self.http.build(self.timeout.into(), &mut part);
        problems.within("http", part);
        if problems.len() > before {
            return None;
        }
        let (url, shown) = address?;
        Some(Api {
            shared: Arc::new(Shared {
                gate: Gate::of(&shown),
                client: client?,
                url,
                shown,
                login: login?,
                front_auth: self.http.basic_auth.is_some() || self.http.authorization.is_some(),
                apart: Duration::from_secs_f64(1.0 / self.max_requests_per_second),
                max_bytes: self.max_response_bytes,
                session: tokio::sync::Mutex::default(),
                skew_s: AtomicI64::new(UNKNOWN_SKEW),
            }),
            told: None,
        })
    }

    fn login(&self, problems: &mut Problems) -> Option<Login> {
        let secret = |name: &str, text: &Option<Secret>, file: &Option<PathBuf>, problems: &mut Problems| {
            if text.is_some() && file.is_some() {
                let message = format!("both `{name}` and `{name}_file` are set");
                problems.hint(name, message, "keep one of them");
            }
            if let Some(file) = file {
                problems.take(format!("{name}_file"), Secret::from_file(file));
                return Some(session::Source::File(file.clone()));
            }
            text.clone().map(session::Source::Text)
        };
        let token = secret("token", &self.token, &self.token_file, problems);
        let password = secret("password", &self.password, &self.password_file, problems);
        match (token, &self.user, password) {
            (Some(token), None, None) => Some(Login::Token(token)),
            (None, Some(user), Some(password)) => Some(Login::Password { user: user.clone(), password }),
            (None, None, None) => {
                let hint = "make a token under User settings > API tokens and set `token_file`";
                problems.hint("token", "neither `token` nor `user` and `password` are set", hint);
                None
            }
            (Some(_), _, _) => {
                problems.hint("token", "both a token and `user` or `password` are set", "keep the token");
                None
            }
            (None, _, _) => {
                problems.hint("user", "`user` and `password` belong together", "set both, or a token");
                None
            }
        }
    }
}

/// The address to post to, and the same as it is shown: without user and password.
fn address(text: &str, problems: &mut Problems) -> Option<(Url, String)> {
    let without_user = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none());
    let Some(mut url) = url else {
        let hint = "write it as in the browser, `https://zabbix.example.com/zabbix`";
        problems.hint("url", format!("`{without_user}` is no address of a frontend"), hint);
        return None;
    };
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').trim_end_matches("/index.php").trim_end_matches('/').to_owned();
    if !path.ends_with(SCRIPT) {
        url.set_path(&format!("{path}/{SCRIPT}"));
    }
    let mut shown = url.clone();
    // Both fail only for addresses that can have no user.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    let shown = shown.as_str().trim_end_matches(SCRIPT).trim_end_matches('/').to_owned();
    Some((url, shown))
}

/// The API of one frontend. Clones share session, pace and counts.
#[derive(Clone)]
pub struct Api {
    shared: Arc<Shared>,
    told: Option<Arc<Told>>,
}

/// A clock that is off by so many seconds is told of.
const SKEW_S: i64 = 60;
/// By how much the clock of a frontend may be ahead, for its values to be taken; more is a mistake that would keep samples
/// out once it is mended.
const MOST_AHEAD_S: i64 = 3_600;
/// No answer carried a date yet.
const UNKNOWN_SKEW: i64 = i64::MIN;

struct Shared {
    client: HttpClient,
    url: Url,
    shown: String,
    login: Login,
    /// Whether the web server has credentials of its own in the header `Authorization`.
    front_auth: bool,
    gate: Arc<Gate>,
    apart: Duration,
    max_bytes: usize,
    session: tokio::sync::Mutex<Session>,
    /// Clock of the frontend ahead of ours, in seconds.
    skew_s: AtomicI64,
}

/// Where requests are counted.
struct Told {
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    component: String,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("url", &self.shared.shown).finish_non_exhaustive()
    }
}

impl Api {
    /// The same API, its requests counted under `component` and its clock compared with `clock`.
    #[must_use]
    pub fn counted(&self, metrics: &Metrics, clock: &Arc<dyn Clock>, component: &str) -> Self {
        let told = Told { metrics: metrics.clone(), clock: Arc::clone(clock), component: component.to_owned() };
        for kind in [ErrorKind::Unreachable, ErrorKind::Failing, ErrorKind::Credentials, ErrorKind::Refused] {
            // Shown from the start, so that a rule over it finds it.
            metrics.counter(&FAILURES, &[component, kind.as_str()]).inc_by(0.0);
        }
        Self { shared: Arc::clone(&self.shared), told: Some(Arc::new(told)) }
    }

    /// Address of the frontend, for messages: without user and password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.shown
    }

    /// How far the clock of the frontend is ahead of this machine's, in seconds; `None` before the first answer.
    #[must_use]
    pub fn skew_s(&self) -> Option<i64> {
        let skew = self.shared.skew_s.load(std::sync::atomic::Ordering::Relaxed);
        (skew != UNKNOWN_SKEW).then_some(skew)
    }

    /// What the clock of the frontend says at `now_ms` of ours, as far as it is known.
    #[must_use]
    pub fn now_ms(&self, now_ms: i64) -> i64 {
        now_ms + self.skew_s().unwrap_or(0) * 1_000
    }

    /// When values that come at `now_ms` are received: by a clock that is far ahead what it just took is not of the future.
    #[must_use]
    pub fn received_ms(&self, now_ms: i64) -> i64 {
        let ahead = self.skew_s().is_some_and(|skew| (SKEW_S..=MOST_AHEAD_S).contains(&skew));
        if ahead { self.now_ms(now_ms) } else { now_ms }
    }

    /// Whether the clocks differ by so much that it is to be told.
    #[must_use]
    pub fn is_skewed(&self) -> bool {
        self.skew_s().is_some_and(|skew| skew.abs() >= SKEW_S)
    }

    /// Says by how much they differ.
    pub(crate) fn tell_skew(&self, source: &str) {
        let hint = "values keep the times that Zabbix gives them: set both clocks by NTP";
        tracing::warn!(
            source,
            url = self.url(),
            seconds = self.skew_s(),
            hint,
            "the clock of the frontend is ahead of this machine's (behind, if negative)"
        );
    }
}
