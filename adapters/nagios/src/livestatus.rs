//! Source `nagios_livestatus`: states, performance data, downtimes and acknowledgements by queries to Livestatus, which
//! Naemon, Checkmk and Nagios have as a module and Icinga 2 as a feature.
//!
//! Each round asks for what was checked since the last one, and from time to time for everything: downtimes and
//! acknowledgements change without a check, and what is gone tells nobody.

mod query;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;
use watchbell_adapter_api::{
    BoxFuture, Clock, MetricDef, MetricKindDef, Problems, Source, SourceConfig, SourceContext, SourceError, Span,
};
use watchbell_checks::feed::{MAX_SERIES, Writer, check_labels, text};
use watchbell_checks::intake::{BAD_TOKENS, Intake, LAG, Stopped, VALUES, aside};
use watchbell_checks::state::{States, Windows};
use watchbell_series::RawBatch;

use self::query::Peer;
use self::rows::Row;

const QUERIES: MetricDef = MetricDef {
    name: "watchbell_nagios_livestatus_queries_total",
    kind: MetricKindDef::Counter,
    help: "Rounds of queries to Livestatus: `ok`, or `failed`.",
    labels: &["source", "outcome"],
};
const BAD_ROWS: MetricDef = MetricDef {
    name: "watchbell_nagios_livestatus_bad_rows_total",
    kind: MetricKindDef::Counter,
    help: "Rows of Livestatus that could not be used: another number of columns, or values of another type.",
    labels: &["source"],
};

/// How much is asked for again: what ran while the last round was answered.
const OVERLAP_MS: i64 = 60_000;

/// States and performance data by Livestatus.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LivestatusConfig {
    /// The socket of Livestatus on this machine; either `socket` or `address`.
    #[schemars(extend("format" = "path"))]
    pub socket: Option<PathBuf>,
    /// Where it listens, `nagios:6557`. It asks for no password: keep it in a network you trust.
    pub address: Option<String>,
    /// How often what is new is asked for, at least 1s.
    #[serde(default = "interval")]
    pub interval: Span,
    /// How often everything is asked for, at least as long as `interval`.
    #[serde(default = "refresh")]
    pub refresh: Span,
    /// How long one query may take.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// Whether performance data are judged too. `false` where source `nagios_perfdata` reads them from files, since
    /// every value would come twice.
    #[serde(default = "perfdata")]
    pub perfdata: bool,
    /// Further labels of all series.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

fn interval() -> Span {
    Span::seconds(10)
}

fn refresh() -> Span {
    Span::seconds(60)
}

fn timeout() -> Span {
    Span::seconds(10)
}

fn perfdata() -> bool {
    true
}

impl SourceConfig for LivestatusConfig {
    const KIND: &'static str = "nagios_livestatus";
    const SUMMARY: &'static str = "States, performance data, downtimes and acknowledgements by Livestatus of Nagios, Naemon, Checkmk or Icinga 2.";
    const METRICS: &'static [MetricDef] = &[VALUES, BAD_TOKENS, LAG, QUERIES, BAD_ROWS];

    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>> {
        let before = problems.len();
        let peer = match (&self.socket, &self.address) {
            (Some(path), None) if !path.as_os_str().is_empty() => Some(Peer::Socket(path.clone())),
            (None, Some(address)) if has_port(address) => Some(Peer::Address(address.clone())),
            (None, Some(address)) => {
                problems.hint("address", format!("`{address}` is no address"), "write it as `host:6557`");
                None
            }
            (Some(_), Some(_)) => {
                problems.hint("address", "both `socket` and `address` are set", "keep one of them");
                None
            }
            _ => {
                problems.hint("socket", "nothing to ask", "name the socket of Livestatus, or its `address`");
                None
            }
        };
        if self.interval < Span::seconds(1) {
            problems.hint("interval", format!("`{}` is too short", self.interval), "use at least `1s`; `10s` is usual");
        }
        if self.refresh < self.interval {
            problems.hint("refresh", format!("`{}` is shorter than `interval`", self.refresh), "`1m` is usual");
        }
        if self.timeout.0 < Duration::from_secs(1) {
            problems.hint("timeout", format!("`{}` is too short", self.timeout), "use at least `1s`");
        }
        check_labels(&self.labels, problems);
        let peer = peer.filter(|_| problems.len() == before)?;
        Some(Box::new(Livestatus { config: self, peer }))
    }
}

fn has_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
}

/// Reads an answer and drops it: for fuzzing.
pub fn survive(body: &[u8]) {
    for row in rows::read(&text(body)).unwrap_or_default() {
        for of_host in [true, false] {
            let _ = Row::read(&row, of_host).map(|row| row.check().state);
        }
        let _ = rows::DowntimeRow::read(&row).map(|row| row.downtime(true).starts_ms);
    }
}

struct Livestatus {
    config: LivestatusConfig,
    peer: Peer,
}

impl Source for Livestatus {
    fn warnings(&self) -> Problems {
        let mut problems = Problems::default();
        if let Peer::Socket(path) = &self.peer {
            problems.absent(
                "socket",
                path,
                "is the Livestatus module loaded with this path, and is the monitoring server running?",
            );
        }
        problems
    }

    fn run(self: Box<Self>, context: SourceContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(run(self.config, self.peer, context))
    }
}

async fn run(config: LivestatusConfig, peer: Peer, context: SourceContext) -> Result<(), SourceError> {
    let mut shutdown = context.shutdown.clone();
    let interval = config.interval.0;
    let (metrics, name) = (context.metrics.clone(), context.name.clone());
    let outcome = |word| metrics.counter(&QUERIES, &[&name, word]);
    let (ok, failed) = (outcome("ok"), outcome("failed"));
    let intake = Intake::new(context, Writer::new(&config.labels));
    let open = intake.context.context.open_problems();
    let states = States::new(config.labels.clone(), config.perfdata, open);
    let mut rounds = Rounds { config, peer, states, windows: Windows::default(), whole_at: None, newest_ms: 0, intake };
    while !shutdown.is_set() {
        let result = tokio::select! {
            result = rounds.round() => result,
            () = shutdown.wait() => break,
        };
        match result {
            Ok(Err(Stopped)) => {
                shutdown.wait().await;
                break;
            }
            Ok(Ok(())) => {
                ok.inc();
                rounds.intake.well("query");
                if rounds.intake.is_over("query") {
                    tracing::info!(source = %name, livestatus = %rounds.peer, "answers again");
                }
            }
            Err(error) => {
                failed.inc();
                rounds.intake.failing("query", format_args!("{}: {error}", rounds.peer));
                if rounds.intake.may_say("query") {
                    tracing::warn!(source = %name, livestatus = %rounds.peer, error, "can not be asked; tried again each interval");
                }
            }
        }
        if !shutdown.sleep(interval).await {
            break;
        }
    }
    Ok(())
}

struct Rounds {
    config: LivestatusConfig,
    peer: Peer,
    states: States,
    windows: Windows,
    /// When everything was read last.
    whole_at: Option<Instant>,
    /// The newest check that is known.
    newest_ms: i64,
    intake: Intake,
}

impl Rounds {
    /// Asks for what is new, or for everything.
    async fn round(&mut self) -> Result<Result<(), Stopped>, String> {
        let now_ms = self.intake.context.clock.now_ms();
        let whole = self.whole_at.is_none_or(|last| last.elapsed() >= self.config.refresh.0);
        let since_s = if whole { None } else { Some((self.newest_ms - OVERLAP_MS).div_euclid(1_000)) };
        if whole {
            self.states.begin();
        }
        let mut bad = 0;
        for of_host in [true, false] {
            let body = self.peer.ask(&rows::checks(of_host, since_s), self.config.timeout.0).await?;
            let mut batch = RawBatch::default();
            for row in aside(body.len(), move || rows::read(&text(&body))).await? {
                let Some(row) = Row::read(&row, of_host) else {
                    bad += 1;
                    continue;
                };
                let check = row.check();
                self.newest_ms = self.newest_ms.max(check.last_check_ms.min(now_ms));
                self.states.note(&check, now_ms, &self.intake, &mut batch);
                if batch.series.len() >= MAX_SERIES && self.intake.submit(std::mem::take(&mut batch)).await.is_err() {
                    return Ok(Err(Stopped));
                }
            }
            if !batch.series.is_empty() && self.intake.submit(batch).await.is_err() {
                return Ok(Err(Stopped));
            }
        }
        if whole {
            self.states.end(now_ms);
            bad += self.downtimes().await?;
            self.whole_at = Some(Instant::now());
        }
        let context = &self.intake.context;
        let problems = self.states.problems();
        if !problems.is_empty() {
            context.context.problems(problems);
        }
        if bad > 0 {
            context.metrics.counter(&BAD_ROWS, &[&context.name]).inc_by(bad as f64);
            if self.intake.may_say("rows") {
                tracing::warn!(source = %context.name, livestatus = %self.peer, rows = bad, "rows that can not be used");
            }
        }
        Ok(Ok(()))
    }

    /// Reads all downtimes. Gives how many rows are bad.
    async fn downtimes(&mut self) -> Result<usize, String> {
        let body = self.peer.ask(&rows::downtimes(), self.config.timeout.0).await?;
        let mut bad = 0;
        for row in aside(body.len(), move || rows::read(&text(&body))).await? {
            match rows::DowntimeRow::read(&row) {
                Some(row) => {
                    let (host, service) = row.names();
                    let in_effect = self.states.downtimes(host.as_bytes(), service.as_bytes()) > 0;
                    self.windows.add(&row.downtime(in_effect), &self.config.labels);
                }
                None => bad += 1,
            }
        }
        self.windows.tell(&*self.intake.context.context);
        Ok(bad)
    }
}
