//! Source `icinga_events`: what Icinga 2 finds, as it finds it, by the event stream of its API.
//!
//! Icinga keeps nothing for a client that is away. So the stream is opened first, then all hosts, services and downtimes
//! are read as they are now, which gives the last result of each; and the same from time to time, for what no event tells.

mod event;
mod lines;
mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{
    BoxFuture, Clock, HttpClientConfig, MetricDef, MetricKindDef, Problems, Source, SourceConfig, SourceContext,
    SourceError, Span,
};
use watchbell_checks::feed::{Writer, check_labels};
use watchbell_checks::intake::{BAD_TOKENS, Intake, LAG, VALUES};

use self::session::{Ended, Session};
use crate::peer::Peer;

pub(crate) const CONNECTED: MetricDef = MetricDef {
    name: "watchbell_icinga_connected",
    kind: MetricKindDef::Gauge,
    help: "1 while the event stream of Icinga is open.",
    labels: &["source"],
};
pub(crate) const CONNECTIONS: MetricDef = MetricDef {
    name: "watchbell_icinga_connections_total",
    kind: MetricKindDef::Counter,
    help: "Attempts to open the event stream of Icinga: `opened`, or `failed` for one that did not open or broke off.",
    labels: &["source", "outcome"],
};
pub(crate) const EVENTS: MetricDef = MetricDef {
    name: "watchbell_icinga_events_total",
    kind: MetricKindDef::Counter,
    help: "Events of Icinga by type; `bad` are those that can not be read.",
    labels: &["source", "type"],
};
pub(crate) const READS: MetricDef = MetricDef {
    name: "watchbell_icinga_reads_total",
    kind: MetricKindDef::Counter,
    help: "Times that all hosts, services and downtimes of Icinga were read.",
    labels: &["source"],
};

/// How long is waited after a first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long is waited at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A stream that held for so long was a good one: the next failure is a first one again.
const GOOD_MS: i64 = 60_000;

/// Check results, states, downtimes and acknowledgements of Icinga 2.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsConfig {
    /// Where the API is: `https://icinga:5665`.
    pub url: String,
    /// Who asks, and whom to trust: `basic_auth` or a client certificate of an ApiUser, `tls.ca_file` of Icinga's own
    /// authority, or `tls.pinned_sha256` of its certificate.
    #[serde(default)]
    pub http: HttpClientConfig,
    /// How long a request may take; reading all objects of a large Icinga takes seconds.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// Name of the queue in Icinga. Sources that share one must not differ in anything else.
    #[serde(default = "queue")]
    pub queue: String,
    /// How often all hosts, services and downtimes are read beside the events, at least 10s.
    #[serde(default = "refresh")]
    pub refresh: Span,
    /// How long the stream may be silent before it is taken for dead and opened anew, at least 10s. Longer than the
    /// longest time without any check.
    #[serde(default = "silence")]
    pub silence: Span,
    /// Whether performance data are judged. `false` where source `nagios_perfdata` reads the files of PerfdataWriter,
    /// since every value would come twice.
    #[serde(default = "perfdata")]
    pub perfdata: bool,
    /// Further labels of all series.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

fn timeout() -> Span {
    Span::seconds(30)
}

fn queue() -> String {
    "watchbell".to_owned()
}

fn refresh() -> Span {
    Span::seconds(300)
}

fn silence() -> Span {
    Span::seconds(300)
}

fn perfdata() -> bool {
    true
}

impl SourceConfig for EventsConfig {
    const KIND: &'static str = "icinga_events";
    const SUMMARY: &'static str = "Check results, states, downtimes and acknowledgements from Icinga 2's event stream.";
    const METRICS: &'static [MetricDef] = &[CONNECTED, CONNECTIONS, EVENTS, READS, VALUES, BAD_TOKENS, LAG];

    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>> {
        let before = problems.len();
        let peer = Peer::of(&self.url, self.http.clone(), self.timeout, problems);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.queue.is_empty() || !self.queue.chars().all(plain) {
            problems.hint("queue", format!("`{}` is no name", self.queue), "use letters, digits, `-`, `_` and `.`");
        }
        for (key, span) in [("refresh", self.refresh), ("silence", self.silence)] {
            if span < Span::seconds(10) {
                problems.hint(key, format!("`{span}` is too short"), "use at least `10s`; `5m` is usual");
            }
        }
        check_labels(&self.labels, problems);
        let peer = peer.filter(|_| problems.len() == before)?;
        Some(Box::new(Events { config: self, peer }))
    }
}

/// Reads an event and drops it.
pub(crate) fn survive(line: &[u8]) {
    if let Ok(event) = event::Event::read(line) {
        event.kind();
    }
}

struct Events {
    config: EventsConfig,
    peer: Peer,
}

impl Source for Events {
    fn run(self: Box<Self>, context: SourceContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(run(self.config, self.peer, context))
    }
}

async fn run(config: EventsConfig, peer: Peer, context: SourceContext) -> Result<(), SourceError> {
    let mut shutdown = context.shutdown.clone();
    let (clock, metrics, name) = (context.clock.clone(), context.metrics.clone(), context.name.clone());
    let connected = metrics.gauge(&CONNECTED, &[&name]);
    let failed = metrics.counter(&CONNECTIONS, &[&name, "failed"]);
    connected.set(0.0);
    let intake = Intake::new(context, Writer::new(&config.labels));
    let mut session = Session::new(config, peer, intake.clone());
    let mut pause = FIRST_PAUSE;
    while !shutdown.is_set() {
        let began_ms = clock.now_ms();
        let ended = session.run(&connected).await;
        connected.set(0.0);
        match ended {
            Ended::Stopped => {
                shutdown.wait().await;
                break;
            }
            Ended::Lost(error) => {
                failed.inc();
                intake.failing("stream", &error);
                if clock.now_ms().saturating_sub(began_ms) >= GOOD_MS {
                    pause = FIRST_PAUSE;
                }
                if intake.may_say("stream") {
                    let pause_s = pause.as_secs();
                    tracing::warn!(source = %name, error, pause_s, "no events of Icinga; what was missed is read when it is back");
                }
                if !shutdown.sleep(pause).await {
                    break;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    Ok(())
}
