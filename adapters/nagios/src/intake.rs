//! From lines of performance data to judged samples: what every way of reading them shares.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Counter, Gauge};
use watchbell_adapter_api::{Clock, IngestError, MetricDef, MetricKindDef, SourceContext};
use watchbell_series::{Mode, RawBatch};

use crate::perfdata::feed::{MAX_SERIES, Origin, Writer, text};
use crate::perfdata::line::{BadLine, Line};
use crate::seldom::Seldom;

pub(crate) const LINES: MetricDef = MetricDef {
    name: "watchbell_nagios_lines_total",
    kind: MetricKindDef::Counter,
    help: "Lines of performance data read, good and bad.",
    labels: &["source"],
};
pub(crate) const BAD_LINES: MetricDef = MetricDef {
    name: "watchbell_nagios_bad_lines_total",
    kind: MetricKindDef::Counter,
    help: "Lines of performance data that could not be used: no known form, no time, no name, too long, or cut off.",
    labels: &["source", "reason"],
};
pub(crate) const VALUES: MetricDef = MetricDef {
    name: "watchbell_nagios_values_total",
    kind: MetricKindDef::Counter,
    help: "Values of performance data handed on.",
    labels: &["source"],
};
pub(crate) const BAD_TOKENS: MetricDef = MetricDef {
    name: "watchbell_nagios_bad_perfdata_total",
    kind: MetricKindDef::Counter,
    help: "Tokens of performance data that are no `label=value`, by check command; at most 64 are told apart.",
    labels: &["source", "plugin"],
};

pub(crate) const LAG: MetricDef = MetricDef {
    name: "watchbell_nagios_lag_seconds",
    kind: MetricKindDef::Gauge,
    help: "Age of the newest value that was read last, in seconds; negative where the clock of Nagios is ahead.",
    labels: &["source"],
};

/// A batch whose newest sample is older is history: learned from, without alerts.
const HISTORY_MS: i64 = 10 * 60_000;
/// Plugins told apart in the count of bad tokens.
const MAX_PLUGINS: usize = 64;

/// The service goes down: whoever reads stops as it stands.
#[derive(Debug)]
pub(crate) struct Stopped;

/// Takes lines in. Clones share their counts.
#[derive(Clone)]
pub(crate) struct Intake {
    pub(crate) context: SourceContext,
    writer: Arc<Writer>,
    lines: Counter,
    values: Counter,
    lag: Gauge,
    bad_tokens: Arc<Mutex<HashMap<String, Counter>>>,
    said: Arc<Mutex<Seldom>>,
}

impl Intake {
    pub(crate) fn new(context: SourceContext, writer: Writer) -> Self {
        let (metrics, name) = (&context.metrics, &*context.name);
        for reason in BadLine::ALL {
            // Shown from the start, so that a rule over it finds it.
            metrics.counter(&BAD_LINES, &[name, reason.as_str()]).inc_by(0.0);
        }
        let (lines, values) = (metrics.counter(&LINES, &[name]), metrics.counter(&VALUES, &[name]));
        let lag = metrics.gauge(&LAG, &[name]);
        Self { writer: Arc::new(writer), lines, values, lag, bad_tokens: Arc::default(), said: Arc::default(), context }
    }

    /// Whether `what` was not said for a while.
    pub(crate) fn may_say(&self, what: &str) -> bool {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).may(what, self.context.clock.now_ms())
    }

    /// Ends `what`; `true` if it had been said.
    pub(crate) fn is_over(&self, what: &str) -> bool {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).over(what)
    }

    /// Judges whole `lines`, which begin at byte `from` of `place`.
    pub(crate) async fn take(&self, place: &str, from: u64, lines: &[u8]) -> Result<(), Stopped> {
        let mut batch = RawBatch::default();
        let mut at = from;
        for line in lines.split_inclusive(|b| *b == b'\n') {
            let begin = at;
            at += line.len() as u64;
            match Line::read(line.strip_suffix(b"\n").unwrap_or(line)) {
                None => continue,
                Some(Ok(line)) => self.write_perfdata(line.origin(), line.perfdata, &mut batch),
                Some(Err(why)) => self.bad_line(place, begin, line, why.as_str()),
            }
            self.lines.inc();
            if batch.series.len() >= MAX_SERIES {
                self.submit(std::mem::take(&mut batch)).await?;
            }
        }
        if batch.series.is_empty() { Ok(()) } else { self.submit(batch).await }
    }

    /// Appends `perfdata` to `batch`, counting what is bad.
    pub(crate) fn write_perfdata(&self, origin: Origin<'_>, perfdata: &[u8], batch: &mut RawBatch) {
        let values = self.writer.write(origin, perfdata, batch, |plugin, fault, token| {
            let plugin = if plugin.is_empty() { "unknown" } else { plugin };
            self.count_bad_token(plugin);
            if self.may_say(plugin) {
                let token = &token[..token.len().min(120)];
                let (host, service) = (text(origin.host), text(origin.service));
                tracing::warn!(
                    source = %self.context.name, plugin, %host, %service, token = %text(token), reason = fault.as_str(),
                    "performance data is not `label=value`; the rest of it is kept. Mend the plugin"
                );
            }
        });
        self.values.inc_by(values as f64);
    }

    fn count_bad_token(&self, plugin: &str) {
        let mut known = self.bad_tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let plugin = if known.len() >= MAX_PLUGINS && !known.contains_key(plugin) { "other" } else { plugin };
        let counter = known
            .entry(plugin.to_owned())
            .or_insert_with(|| self.context.metrics.counter(&BAD_TOKENS, &[&self.context.name, plugin]));
        counter.inc();
    }

    /// Counts a line that can not be used and names it.
    pub(crate) fn bad_line(&self, place: &str, at: u64, line: &[u8], reason: &'static str) {
        self.context.metrics.counter(&BAD_LINES, &[&self.context.name, reason]).inc();
        if self.may_say(reason) {
            let line = text(&line[..line.len().min(120)]).trim_end().to_owned();
            tracing::warn!(
                source = %self.context.name, file = place, at_byte = at, line, reason,
                "a line of performance data can not be used; see the templates in docs/nagios.md"
            );
        }
    }

    /// Judges `batch`, again and again while there is no room.
    pub(crate) async fn submit(&self, mut batch: RawBatch) -> Result<(), Stopped> {
        let now_ms = self.context.clock.now_ms();
        batch.received_ms = now_ms;
        let newest = batch.samples.iter().map(|s| s.ts_ms).max().unwrap_or(now_ms);
        let lag_s = now_ms.saturating_sub(newest) as f64 / 1_000.0;
        self.lag.set(lag_s);
        if newest < now_ms - HISTORY_MS {
            batch.mode = Mode::Backfill;
            if self.may_say("history") {
                tracing::info!(
                    source = %self.context.name, seconds = lag_s,
                    "values of long ago are learned from, without alerts; if this goes on, the clock of Nagios is behind"
                );
            }
        }
        let mut shutdown = self.context.shutdown.clone();
        loop {
            match self.context.ingest.submit(batch.clone()).await {
                Ok(receipt) => {
                    if let Some(problem) = receipt.problem.filter(|_| self.may_say("receipt")) {
                        tracing::warn!(source = %self.context.name, problem, "not everything was taken");
                    }
                    return Ok(());
                }
                Err(IngestError::Busy { retry_after } | IngestError::Starting { retry_after }) => {
                    if !shutdown.sleep(retry_after).await {
                        return Err(Stopped);
                    }
                }
                Err(IngestError::Stopping) => return Err(Stopped),
            }
        }
    }
}
