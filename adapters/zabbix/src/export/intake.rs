//! From lines to judged samples.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use watchbell_adapter_api::metrics::{Counter, Gauge};
use watchbell_adapter_api::seldom::Seldom;
use watchbell_adapter_api::{Clock, IngestError, SourceContext};
use watchbell_series::labels::NAME;
use watchbell_series::{Labels, MetricKind, Mode, RawBatch, RawSample};

use super::line::{self, Read, Value};
use super::{ExportConfig, LAG, LINES};
use crate::api::Api;
use crate::feed::HISTORY_MS;
use crate::item::Item;
use crate::key::Key;

/// Items without a key that are remembered at most.
const MOST: usize = 1_000_000;

/// Takes lines in. Shared by files and connectors.
pub(super) struct Intake {
    pub(super) context: SourceContext,
    config: Arc<ExportConfig>,
    /// Tells the clock of Zabbix.
    api: Option<Api>,
    names: Mutex<Names>,
    said: Mutex<Seldom>,
    counts: Counts,
    lag: Gauge,
}

struct Counts {
    value: Counter,
    text: Counter,
    other: Counter,
    own: Counter,
    unknown_item: Counter,
    bad: Counter,
    refused: Counter,
}

/// Labels of items by their id.
#[derive(Default)]
struct Names {
    /// Whether the API gave a list.
    listed: bool,
    of: HashMap<u64, Name>,
}

struct Name {
    /// Host and name as they stood in the line; empty where the API gave the labels.
    told: (String, String),
    labels: Labels,
    kind: MetricKind,
}

impl Intake {
    pub(super) fn new(context: SourceContext, config: Arc<ExportConfig>, api: Option<Api>) -> Self {
        let count = |kind| context.metrics.counter(&LINES, &[&context.name, kind]);
        let counts = Counts {
            value: count("value"),
            text: count("text"),
            other: count("other"),
            own: count("own"),
            unknown_item: count("unknown_item"),
            bad: count("bad"),
            refused: count("refused"),
        };
        let lag = context.metrics.gauge(&LAG, &[&context.name]);
        Self { context, config, api, names: Mutex::default(), said: Mutex::default(), counts, lag }
    }

    /// Whether `what` was not said for a while.
    pub(super) fn may_say(&self, what: &str) -> bool {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).may(what, self.context.clock.now_ms())
    }

    /// The list of items, as the API gave it.
    pub(super) fn listed(&self, items: Vec<Item>) {
        let of = items
            .into_iter()
            .map(|item| (item.id, Name { told: Default::default(), labels: item.labels, kind: item.kind }));
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = Names { listed: true, of: of.collect() };
    }

    /// Whether lines can be read: with `api`, once it gave its list.
    pub(super) fn is_ready(&self) -> bool {
        self.config.api.is_none() || self.names.lock().unwrap_or_else(PoisonError::into_inner).listed
    }

    /// The values of whole `lines` as batches to be judged: live ones, and those of long ago.
    pub(super) fn read(&self, place: &str, lines: &[u8]) -> [(Mode, RawBatch); 2] {
        let mut values = Vec::new();
        for line in lines.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
            match line::read(line) {
                Ok(Read::Number(value)) => values.push(value),
                Ok(Read::Text) => self.counts.text.inc(),
                Ok(Read::Other) => self.counts.other.inc(),
                Err(error) => {
                    self.counts.bad.inc();
                    if self.may_say("bad") {
                        let line = String::from_utf8_lossy(&line[..line.len().min(200)]);
                        tracing::warn!(source = %self.context.name, place, %line, error, "no line of Zabbix's export");
                    }
                }
            }
        }
        // Workers of the server write side by side, each in order.
        values.sort_by_key(|value| (value.item, value.clock, value.ns));
        self.batches(&values)
    }

    fn batches(&self, values: &[Value]) -> [(Mode, RawBatch); 2] {
        let (mut live, mut late) = (RawBatch::default(), RawBatch::default());
        let now_ms = self.context.clock.now_ms();
        let of_frontend_ms = self.api.as_ref().map_or(now_ms, |api| api.now_ms(now_ms));
        // Values have the time of the server. It is told by nobody, and the frontend may be another machine: old is what
        // is so by both clocks.
        let old_ms = now_ms.min(of_frontend_ms) - HISTORY_MS;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut newest = None;
        for values in values.chunk_by(|a, b| a.item == b.item && a.host == b.host) {
            let Some(name) = self.name(&mut names, &values[0], values.len()) else { continue };
            let mut samples: Vec<RawSample> = Vec::with_capacity(values.len());
            for value in values {
                let ts_ms = value.clock.saturating_mul(1_000).saturating_add(value.ns / 1_000_000);
                if samples.last().is_none_or(|last| last.ts_ms < ts_ms) {
                    samples.push(RawSample { ts_ms, value: value.number });
                }
            }
            self.counts.value.inc_by(values.len() as f64);
            let last = samples.last().map(|sample| sample.ts_ms);
            newest = newest.max(last);
            let old = last.is_some_and(|ts_ms| ts_ms < old_ms);
            let batch = if old { &mut late } else { &mut live };
            batch.push(&name.labels, name.kind, &samples);
        }
        if let Some(newest) = newest {
            let lag_s = (of_frontend_ms - newest) as f64 / 1_000.0;
            self.lag.set(lag_s);
            if newest < old_ms && self.may_say("history") {
                tracing::info!(
                    source = %self.context.name, seconds = lag_s,
                    "values of long ago are learned from, without alerts; if this goes on, the clock of Zabbix is behind"
                );
            }
        }
        [(Mode::Backfill, late), (Mode::Live, live)]
    }

    fn name<'a>(&self, names: &'a mut Names, value: &Value, count: usize) -> Option<&'a Name> {
        if self.config.api.is_some() {
            let name = names.of.get(&value.item);
            if name.is_none() {
                self.counts.unknown_item.inc_by(count as f64);
            }
            return name;
        }
        if Key::read(&value.name).is_own() {
            self.counts.own.inc_by(count as f64);
            return None;
        }
        let known =
            names.of.get(&value.item).is_some_and(|name| name.told.0 == value.host && name.told.1 == value.name);
        if !known {
            let item = value.item.to_string();
            let own = [(NAME, "zabbix_item"), ("host", &value.host), ("item", &value.name), ("itemid", &item)];
            let more = self.config.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let labels = Labels::series(own.into_iter().chain(more)).ok()?;
            if names.of.len() >= MOST {
                names.of.clear();
            }
            let told = (value.host.clone(), value.name.clone());
            names.of.insert(value.item, Name { told, labels, kind: MetricKind::Unknown });
        }
        names.of.get(&value.item)
    }

    /// Has the batches judged once; the caller decides about waiting.
    pub(super) async fn try_submit(&self, batches: [(Mode, RawBatch); 2]) -> Result<(), IngestError> {
        for (mode, mut batch) in batches {
            if batch.series.is_empty() {
                continue;
            }
            let now_ms = self.context.clock.now_ms();
            let received_ms = self.api.as_ref().map_or(now_ms, |api| api.received_ms(now_ms));
            (batch.mode, batch.received_ms) = (mode, received_ms);
            let receipt = self.context.ingest.submit(batch).await?;
            self.counts.refused.inc_by((receipt.future + receipt.out_of_order + receipt.conflicts) as f64);
            let hint = receipt.hint();
            if let Some(problem) = receipt.problem.filter(|_| self.may_say("receipt")) {
                tracing::warn!(source = %self.context.name, problem, hint, "not everything was taken");
            }
        }
        Ok(())
    }
}
