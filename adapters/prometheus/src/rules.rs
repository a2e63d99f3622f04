//! Source `prometheus_rules`: the alert rules of Prometheus as known limits, and its firing alerts as problems.
//!
//! Rules that compare one series with a number say what its owner takes for bad; others are counted and left alone.
//! Rules about what Watchbell exports are left out: they would make it agree with itself.

mod form;

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{
    BoxFuture, HttpClient, HttpClientConfig, MetricDef, MetricKindDef, Problems, Source, SourceConfig, SourceContext,
    SourceError, Span,
};
use watchbell_series::{ForeignProblem, KnownLimit, LimitSeverity, MatchOp, Matcher, Subject};

use self::form::Form;
use crate::peer::{self, Address};

const POLLS: MetricDef = MetricDef {
    name: "watchbell_prometheus_rules_polls_total",
    kind: MetricKindDef::Counter,
    help: "Times Prometheus was asked for its alert rules, by result: success, failure.",
    labels: &["source", "result"],
};
const RULES: MetricDef = MetricDef {
    name: "watchbell_prometheus_rules",
    kind: MetricKindDef::Gauge,
    help: "Alert rules of Prometheus, by what they are: limit (one series and a number), counter (a counter itself, of which the rate is judged), own (about scores of Watchbell), other.",
    labels: &["source", "form"],
};

const API: &str = "api/v1/rules";
/// The longest answer, bytes.
const MAX_BYTES: usize = 64 << 20;
/// What Watchbell exports begins so.
const OWN: &str = "watchbell_";
/// Words of the label `severity` for what somebody should look at now.
const CRITICAL: [&str; 7] = ["critical", "page", "pager", "emergency", "error", "high", "disaster"];

/// Where rules come from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RulesConfig {
    /// Address of the server with the prefix of its API, such as `http://prometheus:9090`.
    pub url: String,
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
    Span::seconds(60)
}

fn timeout() -> Span {
    Span::seconds(10)
}

impl SourceConfig for RulesConfig {
    const KIND: &'static str = "prometheus_rules";
    const SUMMARY: &'static str =
        "Reads the alert rules of Prometheus as known limits of series, and its firing alerts as problems.";
    const METRICS: &'static [MetricDef] = &[POLLS, RULES];

    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>> {
        let before = problems.len();
        let address = problems.take("url", Address::of(&self.url));
        for (name, span) in [("interval", self.interval), ("timeout", self.timeout)] {
            if span.0 < Duration::from_secs(1) {
                problems.hint(name, format!("`{span}` is too short"), "use at least 1s");
            }
        }
        let client = peer::client(self.http, self.timeout.0, problems).filter(|_| problems.len() == before)?;
        Some(Box::new(Rules { address: address?, client, interval: self.interval.0 }))
    }
}

struct Rules {
    address: Address,
    client: HttpClient,
    interval: Duration,
}

#[derive(Debug, Deserialize)]
struct Reply {
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    name: String,
    #[serde(default)]
    file: String,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    name: String,
    query: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    alerts: Vec<Active>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Active {
    labels: BTreeMap<String, String>,
    state: String,
    active_at: Option<String>,
}

/// What an answer says.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    limits: Vec<KnownLimit>,
    firing: Firing,
    /// Rules by form: limit, counter, own, other.
    forms: [usize; 4],
}

const FORMS: [&str; 4] = ["limit", "counter", "own", "other"];

/// The alert of `rule` that fires with these labels since then.
fn firing(rule: &Rule, active: &Active, starts_ms: i64, severity: u8) -> ForeignProblem {
    let own = |(name, _): &(&String, &String)| *name != "alertname" && !rule.labels.contains_key(*name);
    let labels: BTreeMap<_, _> = active.labels.iter().filter(own).collect();
    let host = ["host", "instance", "node", "nodename"].into_iter().find_map(|label| labels.get(&label.to_owned()));
    let subject = match host {
        Some(host) => Subject::Host(host.as_str().into()),
        None => {
            let labels = labels.iter().map(|(name, value)| Matcher::new(name.as_str(), MatchOp::Equal, value.as_str()));
            Subject::Series(labels.filter_map(Result::ok).collect())
        }
    };
    ForeignProblem {
        id: format!("{}{:?};{starts_ms}", rule.name, active.labels),
        subject,
        starts_ms,
        ends_ms: None,
        name: rule.name.clone(),
        severity,
        acknowledged: false,
    }
}

/// 0 to 5 as Zabbix counts, from the label `severity`.
fn severity(word: &str) -> u8 {
    match word {
        "none" | "info" => 0,
        "warning" | "warn" | "low" => 2,
        "average" | "medium" => 3,
        "emergency" | "disaster" => 5,
        word if CRITICAL.contains(&word) => 4,
        _ => 1,
    }
}

fn read(body: &[u8]) -> Result<Answer, String> {
    let reply: Reply = serde_json::from_slice(body).map_err(|e| format!("the answer is no list of rules: {e}"))?;
    let mut answer = Answer::default();
    for group in reply.data.groups {
        for (at, rule) in group.rules.iter().enumerate().filter(|(_, rule)| rule.kind == "alerting") {
            if rule.query.contains(OWN) {
                answer.forms[2] += 1;
                continue;
            }
            let word = rule.labels.get("severity").map_or("", String::as_str).to_lowercase();
            match Form::of(&rule.query) {
                Form::Limit(matchers, range) => {
                    answer.forms[0] += 1;
                    let severe = CRITICAL.contains(&word.as_str());
                    answer.limits.push(KnownLimit {
                        id: format!("{};{};{at}", group.file, group.name),
                        subject: Subject::Series(matchers),
                        severity: if severe { LimitSeverity::Critical } else { LimitSeverity::Warning },
                        range,
                        name: rule.name.clone(),
                        unseen_since_ms: None,
                    });
                }
                Form::Counter => answer.forms[1] += 1,
                Form::Other => answer.forms[3] += 1,
            }
            for active in rule.alerts.iter().filter(|active| active.state == "firing") {
                let Some(Ok(starts_ms)) = active.active_at.as_deref().map(peer::millis) else { continue };
                let firing = firing(rule, active, starts_ms, severity(&word));
                answer.firing.insert(firing.id.clone(), firing);
            }
        }
    }
    Ok(answer)
}

/// Problems by id.
type Firing = BTreeMap<String, ForeignProblem>;

/// What is new among problems, and what is over.
fn changes(before: &Firing, now: &Firing, now_ms: i64) -> Vec<ForeignProblem> {
    let new = now.iter().filter(|(id, _)| !before.contains_key(*id)).map(|(_, firing)| firing.clone());
    let over = before.iter().filter(|(id, _)| !now.contains_key(*id));
    let over = over.map(|(_, past)| ForeignProblem { ends_ms: Some(now_ms.max(past.starts_ms)), ..past.clone() });
    new.chain(over).collect()
}

impl Rules {
    async fn follow(self, mut context: SourceContext) {
        let polls = |result| context.metrics.counter(&POLLS, &[&context.name, result]);
        let (good, bad) = (polls("success"), polls("failure"));
        // What fired before a restart, so that its end is told.
        let open = context.context.open_problems().into_iter();
        let mut firing: Firing = open.map(|problem| (problem.id.clone(), problem)).collect();
        let mut failed = false;
        loop {
            let body = peer::get(&self.client, &self.address.below(API).with_query("type=alert"), MAX_BYTES).await;
            match body.and_then(|body| read(&body)) {
                Ok(Answer { limits, firing: now, forms }) => {
                    (failed, firing) = {
                        good.inc();
                        context.health.well("rules");
                        for (form, count) in FORMS.into_iter().zip(forms) {
                            context.metrics.gauge(&RULES, &[&context.name, form]).set(count as f64);
                        }
                        context.context.limits(limits);
                        context.context.problems(changes(&firing, &now, context.clock.now_ms()));
                        (false, now)
                    };
                }
                Err(problem) => {
                    bad.inc();
                    let reason = format_args!("{}: {problem}", self.address.shown());
                    context.health.failing("rules", reason, context.clock.now_ms());
                    if !failed {
                        let url = self.address.shown();
                        tracing::warn!(
                            source = &*context.name,
                            url,
                            problem,
                            "alert rules are not read; what was read last holds"
                        );
                    }
                    failed = true;
                }
            }
            if !context.shutdown.sleep(self.interval).await {
                return;
            }
        }
    }
}

impl Source for Rules {
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

    const ANSWER: &str = r#"{"status":"success","data":{"groups":[{"name":"g","file":"/r.yml","rules":[
        {"name":"x:y","query":"x / y","type":"recording","health":"ok"},
        {"state":"inactive","name":"TargetDown","query":"up == 0","labels":{"severity":"critical"},"alerts":[],"type":"alerting"},
        {"state":"firing","name":"Busy","query":"node_load1{job=\"node\"} > 4","labels":{"severity":"warning"},"type":"alerting",
         "alerts":[{"labels":{"alertname":"Busy","instance":"web-1:9100","severity":"warning"},"state":"firing",
                    "activeAt":"2026-11-20T16:15:52.673699891Z","value":"5e+00"},
                   {"labels":{"alertname":"Busy","instance":"web-2:9100"},"state":"pending","activeAt":"2026-11-20T16:15:52Z"}]},
        {"name":"Odd","query":"watchbell_anomaly_score > 1","labels":{},"alerts":[],"type":"alerting"},
        {"name":"Raw","query":"x_total > 1","alerts":[],"type":"alerting"},
        {"name":"Sum","query":"sum(x) > 1","alerts":[],"type":"alerting"}]}]}}"#;

    #[test]
    fn rules_become_limits_and_alerts_problems() {
        let answer = read(ANSWER.as_bytes()).expect("rules");
        assert_eq!(answer.forms, [2, 1, 1, 1]);
        let limits: Vec<_> = answer.limits.iter().map(|l| (l.name.as_str(), l.severity, l.id.as_str())).collect();
        assert_eq!(
            limits,
            [("TargetDown", LimitSeverity::Critical, "/r.yml;g;1"), ("Busy", LimitSeverity::Warning, "/r.yml;g;2")]
        );
        let none = BTreeMap::new();
        let begun = changes(&none, &answer.firing, 0);
        assert_eq!(begun.len(), 1, "{begun:?}");
        assert_eq!((&begun[0].subject, begun[0].ends_ms), (&Subject::Host("web-1:9100".into()), None));
        assert_eq!((begun[0].name.as_str(), begun[0].severity), ("Busy", 2));
        assert!(changes(&answer.firing, &answer.firing, 1).is_empty());
        let over = changes(&answer.firing, &none, i64::MAX);
        assert_eq!((over[0].id.clone(), over[0].ends_ms), (begun[0].id.clone(), Some(i64::MAX)));
        assert!(read(b"[]").expect_err("no rules").contains("no list of rules"));
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_survived(at in 0..ANSWER.len(), junk in "[\\[\\]{}\",:a-z0-9.-]{0,6}") {
            let mut text = ANSWER.to_owned();
            text.replace_range(at..=at, &junk);
            let _ = read(text.as_bytes());
        }
    }
}
