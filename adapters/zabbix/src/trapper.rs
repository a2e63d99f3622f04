//! Sink `zabbix_trapper`: verdicts as values of trapper items, by Zabbix's sender protocol.

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{
    BoxFuture, MetricDef, Prepared, Problems, ScoreSink, SinkConfig, SinkContext, SourceError, Span,
};

use crate::sender::{self, Trapper, TrapperTls};
use crate::verdicts::{self, Answer, ItemValue, ItemsConfig, Plan, Way};

const ADVICE: &str = "is this its technical name in Zabbix (see `items.host_names`), is it monitored, is the template \
     linked (`watchbell zabbix setup`), is its proxy among `servers`, and may this machine send (allowed hosts of the \
     items, encryption of the host)?";

/// Settings of the sink.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrapperConfig {
    /// Trapper ports of server and proxies, `host` or `host:port`. Each host's values go to the one that takes them.
    /// Nodes of a cluster stand in one entry, as in `ServerActive` of an agent: `node1;node2`.
    pub servers: Vec<String>,
    /// Encryption with certificates; none unless set.
    pub tls: Option<TrapperTls>,
    /// Whether requests are compressed; every server since 4.0 understands it.
    #[serde(default = "yes")]
    pub compress: bool,
    /// How long connecting and sending may take each.
    #[serde(default = "five_seconds")]
    pub timeout: Span,
    /// Which series and hosts give items, under which keys, and how often.
    #[serde(default)]
    pub items: ItemsConfig,
}

fn yes() -> bool {
    true
}

fn five_seconds() -> Span {
    Span::seconds(5)
}

impl SinkConfig for TrapperConfig {
    const KIND: &'static str = "zabbix_trapper";
    const SUMMARY: &'static str = "Sends scores and expected bands to trapper items of Zabbix.";
    const METRICS: &'static [MetricDef] = verdicts::METRICS;

    fn prepare(self, problems: &mut Problems) -> Option<Prepared> {
        let before = problems.len();
        if self.servers.is_empty() {
            problems.hint("servers", "no server is named", "write `servers: ['zabbix:10051']`");
        }
        let mut servers: Vec<Vec<String>> = Vec::new();
        for (i, entry) in self.servers.iter().enumerate() {
            let nodes = sender::nodes(entry);
            if nodes.as_ref().is_ok_and(|nodes| servers.contains(nodes)) {
                problems.add(format!("servers[{i}]"), format!("`{entry}` is named twice"));
            }
            servers.extend(problems.take(format!("servers[{i}]"), nodes));
        }
        if !(100..=60_000).contains(&self.timeout.millis()) {
            problems.hint("timeout", format!("`{}` is out of range", self.timeout), "use 100ms to 60s; 5s is usual");
        }
        let tls = self.tls.as_ref().and_then(|tls| tls.check(problems));
        let plan = self.items.check(problems)?;
        let way = |nodes| Trapper::new(nodes, tls.clone(), self.timeout.0, self.compress);
        let ways = servers.into_iter().map(way).collect();
        (problems.len() == before).then(|| Prepared::Scores(Box::new(Sink { plan, ways })))
    }
}

struct Sink {
    plan: Plan,
    ways: Vec<Trapper>,
}

impl ScoreSink for Sink {
    fn run(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(verdicts::run(self.plan, self.ways, ADVICE, context))
    }
}

impl Way for Trapper {
    fn name(&self) -> String {
        Trapper::name(self).to_owned()
    }

    fn send<'a>(&'a mut self, values: &'a [ItemValue], now_ms: i64) -> BoxFuture<'a, Result<Answer, String>> {
        Box::pin(async move { Trapper::send(self, values, now_ms).await.map(|counts| Answer::Refused(counts.failed)) })
    }
}

#[cfg(test)]
mod tests;
