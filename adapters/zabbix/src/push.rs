//! Sink `zabbix_push`: verdicts as values of trapper items, by `history.push` of the API of Zabbix 7.0 and later.
//!
//! For where the trapper port can not be reached: the frontend hands the values to the server. The answer says for each
//! value whether it was taken, and why not.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_adapter_api::{
    BoxFuture, MetricDef, Prepared, Problems, ScoreSink, SinkConfig, SinkContext, SourceError,
};

use crate::api::{self, Api, ApiConfig, ErrorKind};
use crate::sender::clock;
use crate::verdicts::{self, Answer, ItemValue, ItemsConfig, Plan, Way};

const ADVICE: &str = "is this its technical name in Zabbix (see `items.host_names`), is the template linked \
     (`watchbell zabbix setup`), and may the user write to it?";
/// Code of a server that is older than the method.
const NO_METHOD: i64 = -32_601;

/// Those of sending, and those of the API.
const METRICS: [MetricDef; verdicts::METRICS.len() + api::METRICS.len()] = {
    let mut all = [verdicts::METRICS[0]; verdicts::METRICS.len() + api::METRICS.len()];
    let mut at = 0;
    while at < all.len() {
        let sending = verdicts::METRICS.len();
        all[at] = if at < sending { verdicts::METRICS[at] } else { api::METRICS[at - sending] };
        at += 1;
    }
    all
};

/// Settings of the sink.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushConfig {
    /// The API. Its user needs the right to call `history.push`, and to write to the hosts.
    pub api: ApiConfig,
    /// Which series and hosts give items, under which keys, and how often.
    #[serde(default)]
    pub items: ItemsConfig,
}

impl SinkConfig for PushConfig {
    const KIND: &'static str = "zabbix_push";
    const SUMMARY: &'static str =
        "Sends scores and expected bands to trapper items of Zabbix 7.0 and later, by its API.";
    const METRICS: &'static [MetricDef] = &METRICS;

    fn prepare(self, problems: &mut Problems) -> Option<Prepared> {
        let before = problems.len();
        let mut part = Problems::default();
        let api = self.api.prepare(&mut part);
        problems.within("api", part);
        let plan = self.items.check(problems);
        let (api, plan) = (api?, plan?);
        (problems.len() == before).then(|| Prepared::Scores(Box::new(Sink { plan, api })))
    }
}

struct Sink {
    plan: Plan,
    api: Api,
}

impl ScoreSink for Sink {
    fn run(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<(), SourceError>> {
        let way = Push(self.api.counted(&context.metrics, &context.clock, &context.name));
        Box::pin(verdicts::run(self.plan, vec![way], ADVICE, context))
    }
}

struct Push(Api);

#[derive(Deserialize)]
struct Pushed {
    response: String,
    #[serde(default)]
    info: Option<Value>,
    #[serde(default)]
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    error: Option<Value>,
}

impl Way for Push {
    fn name(&self) -> String {
        self.0.url().to_owned()
    }

    fn send<'a>(&'a mut self, values: &'a [ItemValue], _now_ms: i64) -> BoxFuture<'a, Result<Answer, String>> {
        Box::pin(async move {
            let rows = values.iter().map(|value| {
                let (clock, ns) = clock(value.time_ms);
                json!({"host": &*value.host, "key": &*value.key, "value": value.value, "clock": clock, "ns": ns})
            });
            let pushed: Pushed = match self.0.call("history.push", &rows.collect()).await {
                Ok(pushed) => pushed,
                Err(error) if error.code == Some(NO_METHOD) => {
                    return Err(format!("{error}; it came with Zabbix 7.0: use `zabbix_trapper` here"));
                }
                // One value may be the reason, and all others would wait behind it. With the right to call missing, which
                // has a hint, nothing would be taken however it is grouped.
                Err(error) if error.kind == ErrorKind::Refused && error.code.is_some() && error.hint.is_none() => {
                    return Ok(match values.len() {
                        1 => Answer::Each(vec![Some(error.to_string())]),
                        all => Answer::Refused(all),
                    });
                }
                Err(error) => return Err(error.to_string()),
            };
            if pushed.response != "success" || pushed.data.len() != values.len() {
                let info = pushed.info.map_or_else(String::new, |info| words(&info));
                let (said, rows) = (pushed.response, pushed.data.len());
                return Err(format!(
                    "`history.push` at {}: `{said}` {info} ({rows} rows for {} values); does the frontend reach the server's port?",
                    self.0.url(),
                    values.len()
                ));
            }
            Ok(Answer::Each(pushed.data.into_iter().map(|row| row.error.map(|error| words(&error))).collect()))
        })
    }
}

/// An error as it is told: a text, or lists of texts by property.
fn words(error: &Value) -> String {
    match error {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
