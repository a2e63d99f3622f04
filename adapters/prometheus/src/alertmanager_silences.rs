//! Source `alertmanager_silences`: silences of Alertmanager (API v2) as quiet windows.
//!
//! Instances of a cluster share their silences, so the first that answers is asked alone. A silence that is over is told
//! with its true end for a day; while no instance answers, what was told last holds.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{
    BoxFuture, HttpClient, HttpClientConfig, MetricDef, MetricKindDef, Problems, Source, SourceConfig, SourceContext,
    SourceError, Span,
};
use watchbell_series::{MatchOp, Matcher, QuietWindow, Subject};

use crate::peer::{self, Address};

const POLLS: MetricDef = MetricDef {
    name: "watchbell_alertmanager_silences_polls_total",
    kind: MetricKindDef::Counter,
    help: "Times Alertmanager was asked for its silences, by result: success, failure.",
    labels: &["source", "result"],
};
const SKIPPED: MetricDef = MetricDef {
    name: "watchbell_alertmanager_silences_skipped",
    kind: MetricKindDef::Gauge,
    help: "Silences of the last answer that can not be followed, such as those with a regular expression that is not valid here.",
    labels: &["source"],
};

const API: &str = "api/v2/silences";
/// The longest answer, bytes.
const MAX_BYTES: usize = 16 << 20;
/// A silence that ended this long ago is left out, milliseconds.
const OVER_MS: i64 = 86_400_000;

/// Where silences come from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertmanagerSilencesConfig {
    /// Addresses of the instances of one cluster, with the path prefix if there is one: `http://alertmanager:9093`. The
    /// first that answers is asked.
    pub urls: Vec<String>,
    /// How often to ask.
    #[serde(default = "interval")]
    pub interval: Span,
    /// How long a request may take.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// How a request is made.
    #[serde(default)]
    pub http: HttpClientConfig,
}

fn interval() -> Span {
    Span::seconds(15)
}

fn timeout() -> Span {
    Span::seconds(10)
}

impl SourceConfig for AlertmanagerSilencesConfig {
    const KIND: &'static str = "alertmanager_silences";
    const SUMMARY: &'static str = "Follows the silences of Alertmanager: they mute alerts and keep the learning clean.";
    const METRICS: &'static [MetricDef] = &[POLLS, SKIPPED];

    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>> {
        let before = problems.len();
        if self.urls.is_empty() {
            problems.hint("urls", "no Alertmanager is named", "write `urls: [http://alertmanager:9093]`");
        }
        let address = |(i, text): (usize, &String)| problems.take(format!("urls[{i}]"), Address::of(text));
        let addresses: Vec<Address> = self.urls.iter().enumerate().filter_map(address).collect();
        for (name, span) in [("interval", self.interval), ("timeout", self.timeout)] {
            if span.0 < Duration::from_secs(1) {
                problems.hint(name, format!("`{span}` is too short"), "use at least 1s");
            }
        }
        let client = peer::client(self.http, self.timeout.0, problems).filter(|_| problems.len() == before)?;
        Some(Box::new(Silences { addresses, client, interval: self.interval.0 }))
    }
}

struct Silences {
    addresses: Vec<Address>,
    client: HttpClient,
    interval: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Silence {
    id: String,
    matchers: Vec<Condition>,
    starts_at: String,
    ends_at: String,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    created_by: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    name: String,
    value: String,
    #[serde(default)]
    is_regex: bool,
    /// Absent before Alertmanager 0.22, where nothing could be negated.
    is_equal: Option<bool>,
}

impl Silence {
    fn window(&self) -> Result<QuietWindow, String> {
        let matcher = |condition: &Condition| {
            let op = match (condition.is_equal.unwrap_or(true), condition.is_regex) {
                (true, false) => MatchOp::Equal,
                (true, true) => MatchOp::Regex,
                (false, false) => MatchOp::NotEqual,
                (false, true) => MatchOp::NotRegex,
            };
            Matcher::new(&condition.name, op, &condition.value)
        };
        let by = if self.created_by.is_empty() { String::new() } else { format!(", by {}", self.created_by) };
        let comment = if self.comment.is_empty() { "silence" } else { &self.comment };
        Ok(QuietWindow {
            id: self.id.clone(),
            subject: Subject::Series(self.matchers.iter().map(matcher).collect::<Result<_, _>>()?),
            starts_ms: peer::millis(&self.starts_at)?,
            ends_ms: Some(peer::millis(&self.ends_at)?),
            reason: format!("{comment}{by}"),
        })
    }
}

/// The windows of an answer, and what is wrong with each silence that is none.
fn windows(body: &[u8], now_ms: i64) -> Result<(Vec<QuietWindow>, Vec<String>), String> {
    let all: Vec<serde_json::Value> =
        serde_json::from_slice(body).map_err(|e| format!("the answer is no list of silences: {e}"))?;
    let (mut windows, mut skipped) = (Vec::new(), Vec::new());
    for value in all {
        let id = value["id"].as_str().unwrap_or("without id").to_owned();
        let read = serde_json::from_value::<Silence>(value).map_err(|e| e.to_string());
        match read.and_then(|silence| silence.window()) {
            Ok(window) if window.ends_ms.is_some_and(|end| end < now_ms - OVER_MS) => {}
            Ok(window) => windows.push(window),
            Err(problem) => skipped.push(format!("silence `{id}`: {problem}")),
        }
    }
    Ok((windows, skipped))
}

impl Silences {
    async fn ask(&self) -> Result<Vec<u8>, String> {
        let mut problems = Vec::new();
        for address in &self.addresses {
            match peer::get(&self.client, &address.below(API), MAX_BYTES).await {
                Ok(body) => return Ok(body),
                Err(problem) => problems.push(format!("alertmanager `{}`: {problem}", address.shown())),
            }
        }
        Err(problems.join("; "))
    }

    async fn follow(self, mut context: SourceContext) {
        let polls = |result| context.metrics.counter(&POLLS, &[&context.name, result]);
        let (good, bad) = (polls("success"), polls("failure"));
        let left_out = context.metrics.gauge(&SKIPPED, &[&context.name]);
        let mut said = String::new();
        loop {
            let now_ms = context.clock.now_ms();
            let told = match self.ask().await.and_then(|body| windows(&body, now_ms)) {
                Ok((windows, skipped)) => {
                    good.inc();
                    context.health.well("silences");
                    left_out.set(skipped.len() as f64);
                    context.context.windows(windows);
                    skipped.join("; ")
                }
                Err(problem) => {
                    bad.inc();
                    context.health.failing("silences", &problem, now_ms);
                    problem
                }
            };
            // Each problem is told once.
            if told != said && !told.is_empty() {
                tracing::warn!(source = &*context.name, problem = told, "silences are not all followed");
            }
            said = told;
            if !context.shutdown.sleep(self.interval).await {
                return;
            }
        }
    }
}

impl Source for Silences {
    fn run(self: Box<Self>, context: SourceContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(async move {
            self.follow(context).await;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"[
        {"id":"a","status":{"state":"active"},"updatedAt":"2026-11-20T16:27:05.539Z","comment":"kernel","createdBy":"ann",
         "endsAt":"2026-11-20T16:37:05.536Z","startsAt":"2026-11-20T16:27:05.539Z",
         "matchers":[{"isEqual":true,"isRegex":false,"name":"alertname","value":"Quiet"},
                     {"isEqual":false,"isRegex":true,"name":"instance","value":"web-.*"}]},
        {"id":"old","status":{"state":"expired"},"endsAt":"2026-11-18T16:37:05.536Z","startsAt":"2026-11-18T16:27:05.539Z",
         "comment":"","createdBy":"","updatedAt":"2026-11-18T16:27:05.539Z","matchers":[{"name":"a","value":"b","isRegex":false}]},
        {"id":"odd","status":{"state":"active"},"endsAt":"2026-11-20T16:37:05.536Z","startsAt":"2026-11-20T16:27:05.539Z",
         "comment":"","createdBy":"","matchers":[{"name":"a","value":"(","isRegex":true}]}]"#;

    proptest::proptest! {
        #[test]
        fn any_answer_is_survived(at in 0..ANSWER.len(), junk in "[\\[\\]{}\",:a-z0-9.-]{0,6}") {
            let mut text = ANSWER.to_owned();
            text.replace_range(at..=at, &junk);
            let _ = windows(text.as_bytes(), 0);
        }
    }

    #[test]
    fn silences_become_windows() {
        let now_ms = peer::millis("2026-11-20T16:30:00Z").expect("a time");
        let (windows, skipped) = windows(ANSWER.as_bytes(), now_ms).expect("silences");
        assert_eq!(windows.len(), 1, "{windows:?}");
        let QuietWindow { id, subject, starts_ms, ends_ms, reason } = &windows[0];
        assert_eq!((id.as_str(), reason.as_str()), ("a", "kernel, by ann"));
        assert_eq!(ends_ms.map(|end| end - starts_ms), Some(599_997));
        let Subject::Series(matchers) = subject else { panic!("{subject:?}") };
        let shown: Vec<String> = matchers.iter().map(ToString::to_string).collect();
        assert_eq!(shown, [r#"alertname="Quiet""#, r#"instance!~"web-.*""#]);
        assert_eq!(skipped.len(), 1);
        assert!(skipped[0].starts_with("silence `odd`: `(` is no regular expression"), "{skipped:?}");
        assert!(super::windows(b"{}", 0).expect_err("no list").contains("no list of silences"));
    }
}
