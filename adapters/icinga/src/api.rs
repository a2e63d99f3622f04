//! Sink `icinga_api`: passive results by the action `process-check-result` of Icinga 2's API.
//!
//! Icinga takes one result a request; some are on their way at once. A service that Icinga does not have, or that takes no
//! passive results, is named and left until its next heartbeat; the others go on.

#[cfg(test)]
mod tests;

use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use watchbell_adapter_api::{
    BoxFuture, HttpClientConfig, MetricDef, MetricKindDef, Prepared, Problems, ScoreSink, SinkConfig, SinkContext,
    SourceError, Span,
};
use watchbell_checks::passive::{self, FAILURES, PassiveResult, Plan, RESULTS, ResultsConfig, SKIPPED, Sent, Way};

use crate::peer::{Peer, said};

/// What Icinga shows as the source of the results.
pub(crate) const CHECK_SOURCE: &str = "watchbell";
/// Requests on their way at once.
const AT_ONCE: usize = 8;
/// Services that are named in one message.
const NAMED: usize = 5;
/// Longest output of one result, in bytes.
const OUTPUT: usize = 4_096;

const REFUSED: MetricDef = MetricDef {
    name: "watchbell_icinga_refused_results_total",
    kind: MetricKindDef::Counter,
    help: "Results that Icinga refused: of a service it does not have (`unknown`), or that takes none (`refused`).",
    labels: &["sink", "reason"],
};

/// Settings of the sink.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiConfig {
    /// Where the API is: `https://icinga:5665`.
    pub url: String,
    /// Who asks, and whom to trust: `basic_auth` or a client certificate of an ApiUser, `tls.ca_file` of Icinga's own
    /// authority, or `tls.pinned_sha256` of its certificate.
    #[serde(default)]
    pub http: HttpClientConfig,
    /// How long a request may take.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// How long a result holds; then Icinga runs the check itself, which says that nothing came. Three heartbeats unless
    /// set.
    pub ttl: Option<Span>,
    /// What becomes a result, and in which state.
    #[serde(default)]
    pub results: ResultsConfig,
}

fn timeout() -> Span {
    Span::seconds(10)
}

impl SinkConfig for ApiConfig {
    const KIND: &'static str = "icinga_api";
    const SUMMARY: &'static str = "Gives Icinga 2 a passive check result for each host by its API.";
    const METRICS: &'static [MetricDef] = &[RESULTS, FAILURES, SKIPPED, REFUSED];

    fn prepare(self, problems: &mut Problems) -> Option<Prepared> {
        let before = problems.len();
        let peer = Peer::of(&self.url, self.http, self.timeout, problems);
        let heartbeat = self.results.heartbeat;
        let ttl_s = self.ttl.map_or(heartbeat.0.as_secs().saturating_mul(3), |ttl| ttl.0.as_secs());
        if self.ttl.is_some_and(|ttl| ttl <= heartbeat) {
            let hint = "three times `results.heartbeat` is good";
            problems.hint("ttl", "it is not longer than `results.heartbeat`: results would expire", hint);
        }
        let plan = self.results.check(problems);
        let (peer, plan) = (peer?, plan?);
        let way = Actions { peer, ttl_s, context: None, said: Default::default() };
        (problems.len() == before).then(|| Prepared::Scores(Box::new(Api { way, plan })))
    }
}

struct Api {
    way: Actions,
    plan: Plan,
}

impl ScoreSink for Api {
    fn run(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<(), SourceError>> {
        let way = Actions { context: Some(context.clone()), ..self.way };
        Box::pin(passive::run(self.plan, way, context))
    }
}

struct Actions {
    peer: Peer,
    ttl_s: u64,
    context: Option<SinkContext>,
    said: watchbell_adapter_api::seldom::Seldom,
}

/// What became of one result.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Taken,
    /// Icinga has no such service.
    Unknown,
    /// It has, and takes no result of it; why.
    Refused(String),
    /// Nobody else would get on either; why.
    Failed(String),
}

impl Way for Actions {
    fn send<'a>(&'a mut self, results: &'a [PassiveResult]) -> BoxFuture<'a, Sent> {
        Box::pin(async move {
            let (mut taken, mut unknown, mut refused) = (0, Vec::new(), Vec::new());
            let mut error = None;
            'all: for batch in results.chunks(AT_ONCE) {
                let outcomes = join_all(batch.iter().map(|result| self.give(result))).await;
                for (result, outcome) in batch.iter().zip(outcomes) {
                    match outcome {
                        Outcome::Taken => {}
                        Outcome::Unknown => unknown.push(name_of(result)),
                        Outcome::Refused(why) => refused.push(format!("{} ({why})", name_of(result))),
                        // Those behind it in the batch are given again, which changes nothing.
                        Outcome::Failed(why) => {
                            error = Some(why);
                            break 'all;
                        }
                    }
                    taken += 1;
                }
            }
            self.tell(
                "unknown",
                &unknown,
                "Icinga has no such services, or the ApiUser lacks `actions/process-check-result`: \
                see apply rule and ApiUser in examples/icinga, or leave hosts out by `results.hosts`",
            );
            self.tell("refused", &refused, "Icinga takes no results of these services: set `enable_passive_checks`");
            Sent { taken, error }
        })
    }
}

impl Actions {
    async fn give(&self, result: &PassiveResult) -> Outcome {
        let body = json!({
            "type": "Service",
            "service": name_of(result),
            "exit_status": result.state as u8,
            "plugin_output": passive::cut(&result.text, OUTPUT),
            "performance_data": result.perfdata.split(' ').collect::<Vec<_>>(),
            "check_source": CHECK_SOURCE,
            "execution_start": result.time_s,
            "execution_end": result.time_s,
            "ttl": self.ttl_s,
        });
        match self.peer.post("/v1/actions/process-check-result", &body).await {
            Err(error) => Outcome::Failed(error),
            Ok(answer) if answer.status.is_success() => Outcome::Taken,
            Ok(answer) => match answer.status.as_u16() {
                404 => Outcome::Unknown,
                // Its own words stand in `results` where it has the service, in `status` where it hears nobody.
                _ if is_of_object(&answer.body) => Outcome::Refused(said(&answer.body)),
                _ => Outcome::Failed(self.peer.refused(&answer)),
            },
        }
    }

    fn tell(&mut self, reason: &'static str, names: &[String], advice: &'static str) {
        let Some(context) = &self.context else { return };
        if names.is_empty() {
            return;
        }
        context.metrics.counter(&REFUSED, &[&context.name, reason]).inc_by(names.len() as f64);
        if self.said.may(reason, context.clock.now_ms()) {
            let first = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            tracing::warn!(sink = %context.name, icinga = self.peer.url(), services = names.len(), first, "{advice}");
        }
    }
}

fn name_of(result: &PassiveResult) -> String {
    format!("{}!{}", result.host, result.service)
}

/// Whether an answer is about the object that was named, not about the request.
fn is_of_object(body: &[u8]) -> bool {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    json["results"].as_array().is_some_and(|results| !results.is_empty())
}
