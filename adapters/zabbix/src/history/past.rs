//! History `zabbix_history`: the past of items, by the hour from trends, the last part as it was stored.
//!
//! Zabbix keeps values for weeks and hourly trends for a year. Some items at a time are read over the whole span and
//! submitted, each whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use watchbell_adapter_api::{
    BoxFuture, Clock, History, HistoryConfig, HistoryContext, HistoryDone, HistoryError, HistoryRequest, MetricDef,
    MetricKindDef, Problems, Span,
};
use watchbell_series::{Mode, RawBatch, RawSample};

use super::check_span;
use super::fetch::{self, PAGE};
use crate::api::value::{ItemValue, id, integer};
use crate::api::{self, Api, ApiConfig, ApiError};
use crate::feed::submit;
use crate::item::Item;
use crate::select::{SelectConfig, check_labels, discover};

const SAMPLES: MetricDef = MetricDef {
    name: "watchbell_zabbix_past_samples_total",
    kind: MetricKindDef::Counter,
    help: "Samples of the past read back from Zabbix, by where they came from: trends or values.",
    labels: &["from"],
};

/// Items that are read at a time.
const ITEMS: usize = 50;
/// Failed requests in a row that a patient read waits through.
const PATIENCE: u32 = 8;
/// Half an hour, in milliseconds: a trend stands for its hour.
const HALF_HOUR_MS: i64 = 1_800_000;

/// Where the past is read back from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PastConfig {
    /// Where the API is, and who calls it.
    pub api: ApiConfig,
    /// Which hosts and items; as in the source `zabbix_history`, which gives the same series.
    #[serde(default)]
    pub select: SelectConfig,
    /// How much of the past is read at start.
    #[serde(default = "default_lookback")]
    pub lookback: Span,
    /// How much of it, up to now, is read value by value; what is older comes as one mean an hour.
    #[serde(default = "default_values")]
    pub values: Span,
    /// As in the source.
    #[serde(default)]
    pub tags: Vec<String>,
    /// As in the source.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

fn default_lookback() -> Span {
    Span::seconds(14 * 86_400)
}

fn default_values() -> Span {
    Span::seconds(86_400)
}

impl HistoryConfig for PastConfig {
    const KIND: &'static str = "zabbix_history";
    const SUMMARY: &'static str = "Reads the past of items back from Zabbix: hourly trends, then values.";
    const METRICS: &'static [MetricDef] = &METRICS;

    fn prepare(self, problems: &mut Problems) -> Option<Arc<dyn History>> {
        let before = problems.len();
        check_span("lookback", self.lookback, 1, problems);
        check_span("values", self.values, 0, problems);
        check_labels(&self.labels, problems);
        let mut part = Problems::default();
        let api = self.api.prepare(&mut part);
        problems.within("api", part);
        if problems.len() > before {
            return None;
        }
        Some(Arc::new(Past { api: api?, config: self }))
    }
}

const METRICS: [MetricDef; 6] = {
    let [requests, failures, seconds, logins, skew] = *api::METRICS else { panic!("five metrics of the API") };
    [SAMPLES, requests, failures, seconds, logins, skew]
};

struct Past {
    api: Api,
    config: PastConfig,
}

#[derive(Deserialize)]
struct Trend {
    #[serde(rename = "itemid", deserialize_with = "id")]
    item: u64,
    #[serde(deserialize_with = "integer")]
    clock: i64,
    value_avg: ItemValue,
}

impl History for Past {
    fn lookback_ms(&self) -> i64 {
        self.config.lookback.millis()
    }

    fn read(
        &self,
        request: HistoryRequest,
        context: HistoryContext,
    ) -> BoxFuture<'_, Result<HistoryDone, HistoryError>> {
        Box::pin(async move {
            let api = self.api.counted(&context.metrics, &context.clock, "history");
            let done = Reading { api: &api, past: self, request, context, failures: 0 }.read_all().await;
            api.log_out().await;
            done
        })
    }
}

struct Reading<'a> {
    api: &'a Api,
    past: &'a Past,
    request: HistoryRequest,
    context: HistoryContext,
    failures: u32,
}

impl Reading<'_> {
    async fn read_all(mut self) -> Result<HistoryDone, HistoryError> {
        let config = &self.past.config;
        let mut catalog = loop {
            match discover(self.api, &config.select, &config.tags, &config.labels).await {
                Ok(catalog) => break catalog,
                Err(error) => self.wait(&error).await?,
            }
        };
        catalog
            .items
            .retain(|item| self.request.labels.iter().all(|(name, value)| item.labels.get(name) == Some(value)));
        catalog.items.sort_by_key(|item| (item.value_type, item.host_id, item.id));
        let (count, mut read, mut done) = (catalog.items.len().max(1), 0, HistoryDone::default());
        for items in catalog.items.chunk_by(|a, b| a.value_type == b.value_type).flat_map(|same| same.chunks(ITEMS)) {
            let samples = loop {
                match self.samples(items).await {
                    Ok(samples) => break samples,
                    Err(error) => self.wait(&error).await?,
                }
            };
            self.failures = 0;
            self.hand_on(items, samples, &mut done).await?;
            read += items.len();
            (self.context.progress)(read as f64 / count as f64);
        }
        (self.context.progress)(1.0);
        Ok(done)
    }

    /// The samples of `items`, all of one value type, oldest first.
    async fn samples(&self, items: &[Item]) -> Result<HashMap<u64, Vec<RawSample>>, ApiError> {
        let Some(first) = items.first() else { return Ok(HashMap::new()) };
        let ids: Vec<u64> = items.iter().map(|item| item.id).collect();
        let now_ms = self.context.clock.now_ms();
        let end_ms = self.request.to_ms.max(now_ms);
        // On the hour, so that no hour is read both ways.
        let values_from =
            (end_ms - self.past.config.values.millis()).max(self.request.from_ms).div_euclid(3_600_000) * 3_600;
        let mut samples: HashMap<u64, Vec<RawSample>> = HashMap::new();
        let (from, till) = (self.request.from_ms.div_euclid(1_000), values_from - 1);
        if from < till {
            let params = json!({"output": ["itemid", "clock", "value_avg"], "itemids": ids, "time_from": from, "time_till": till});
            let trends: Vec<Trend> = self.api.call("trend.get", &params).await?;
            self.context.metrics.counter(&SAMPLES, &["trends"]).inc_by(trends.len() as f64);
            for trend in trends {
                if let ItemValue::Number(value) = trend.value_avg {
                    let ts_ms = trend.clock * 1_000 + HALF_HOUR_MS;
                    samples.entry(trend.item).or_default().push(RawSample { ts_ms, value });
                }
            }
        }
        let mut next = Some(values_from.max(from));
        while let Some(from) = next {
            let page = fetch::page(self.api, first.value_type, &ids, from, None, PAGE).await?;
            self.context.metrics.counter(&SAMPLES, &["values"]).inc_by(page.rows.len() as f64);
            for row in page.rows {
                if let ItemValue::Number(value) = row.value {
                    samples.entry(row.item).or_default().push(RawSample { ts_ms: row.ts_ms(), value });
                }
            }
            next = page.next;
        }
        for samples in samples.values_mut() {
            samples.sort_by_key(|sample| sample.ts_ms);
            samples.dedup_by_key(|sample| sample.ts_ms);
        }
        Ok(samples)
    }

    async fn hand_on(
        &mut self,
        items: &[Item],
        mut samples: HashMap<u64, Vec<RawSample>>,
        done: &mut HistoryDone,
    ) -> Result<(), HistoryError> {
        let mut batch = RawBatch::default();
        for item in items {
            if let Some(samples) = samples.remove(&item.id) {
                batch.push(&item.labels, item.kind, &samples);
            }
        }
        done.series += batch.series.len() as u64;
        done.samples += batch.samples.len() as u64;
        let now_ms = self.context.clock.now_ms();
        let judged = submit(&self.context.ingest, &mut self.context.shutdown, Mode::Backfill, now_ms, batch).await;
        judged.map(drop).map_err(|_| stopped())
    }

    /// Waits for a server that does not answer, where that is worth it.
    async fn wait(&mut self, error: &ApiError) -> Result<(), HistoryError> {
        self.failures += 1;
        if !error.is_passing() || !self.context.patient || self.failures > PATIENCE {
            return Err(HistoryError(error.to_string()));
        }
        tracing::warn!(%error, "the past can not be read from Zabbix; it is tried again");
        let pause = Duration::from_secs(1 << self.failures.min(6));
        if self.context.shutdown.sleep(pause).await { Ok(()) } else { Err(stopped()) }
    }
}

fn stopped() -> HistoryError {
    HistoryError("the service is stopping".to_owned())
}
