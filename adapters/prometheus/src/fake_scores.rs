//! Scores made up for tests and benchmarks: a list of series and hosts, given out in small pages.

use std::sync::{Arc, Mutex, PoisonError};

use watchbell_adapter_api::{BoxFuture, Cursor, HostReading, ScorePage, ScoreQuery, ScoreRow, Scores};
use watchbell_series::{Labels, Pattern, Reading, labels::hash_canonical, labels::read_canonical};

/// A view of scores whose content the owner sets.
#[derive(Debug, Default)]
pub(crate) struct FakeScores {
    rows: Mutex<Vec<(Vec<u8>, Reading)>>,
    hosts: Mutex<Vec<HostReading>>,
}

/// Shards the rows are said to be in, and rows of a page.
const SHARDS: usize = 2;
const PAGE: usize = 1_000;

/// A reading of `score` at `ts_ms`.
pub(crate) fn reading(ts_ms: i64, score: f32) -> Reading {
    let value = f64::from(score) * 10.0;
    Reading {
        ts_ms,
        value,
        score,
        expected: value * 0.75,
        lower: value * 0.5,
        upper: value * 1.5,
        pattern: Pattern::None,
        alarm: score > 1.0,
        not_ready: None,
        inherited: false,
        quiet: false,
        peers: None,
        cadence_s: 15.0,
    }
}

impl FakeScores {
    /// `count` series like node_exporter's, 500 to a host, every 100th anomalous.
    pub(crate) fn fleet(count: usize, ts_ms: i64) -> Self {
        let fleet = Self::default();
        let rows = (0..count).map(|i| {
            let host = format!("web-{:03}.example.org", i / 500);
            let labels = Labels::series([
                ("__name__", format!("node_cpu_seconds_total_{}", i % 25)),
                ("cpu", (i % 500 / 25).to_string()),
                ("host", host.clone()),
                ("instance", format!("{host}:9100")),
                ("job", "node".to_owned()),
                ("mode", if i % 2 == 0 { "user" } else { "system" }.to_owned()),
            ]);
            let spread = (i as f32 * 0.618_034).fract();
            (labels.expect("valid labels"), reading(ts_ms, if i % 100 == 7 { 1.5 + spread } else { spread }))
        });
        fleet.set(rows.collect());
        let hosts = (0..count.div_ceil(500)).map(|i| HostReading {
            host: format!("web-{i:03}.example.org"),
            series: 500,
            ready: 500,
            anomalous: 5,
            score: 0.25,
            ..HostReading::default()
        });
        fleet.set_hosts(hosts.collect());
        fleet
    }

    /// Replaces all series.
    pub(crate) fn set(&self, rows: Vec<(Labels, Reading)>) {
        let bytes = |labels: &Labels| {
            let mut bytes = Vec::new();
            labels.write_canonical(&mut bytes);
            bytes
        };
        let rows = rows.iter().map(|(labels, reading)| (bytes(labels), *reading)).collect();
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }

    /// Replaces all hosts.
    pub(crate) fn set_hosts(&self, hosts: Vec<HostReading>) {
        *self.hosts.lock().unwrap_or_else(PoisonError::into_inner) = hosts;
    }
}

impl Scores for FakeScores {
    fn series(&self) -> u64 {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn page(&self, query: Arc<ScoreQuery>, cursor: Cursor) -> BoxFuture<'_, ScorePage> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = ScorePage::default();
        let half = rows.len().div_ceil(SHARDS);
        let shard = rows.chunks(half.max(1)).nth(cursor.shard as usize).unwrap_or(&[]);
        for (bytes, reading) in shard.iter().skip(cursor.slot as usize).take(PAGE) {
            let selected = query.selectors.is_empty()
                || read_canonical(bytes).is_ok_and(|labels| query.selectors.iter().any(|s| s.matches(&labels)));
            if selected && (!query.anomalous_only || reading.score > 1.0) {
                let labels_at = page.labels.len() as u32;
                let id = hash_canonical(bytes);
                page.labels.extend_from_slice(bytes);
                let labels_len = bytes.len() as u32;
                page.rows.push(ScoreRow { id, labels_at, labels_len, host_len: 0, reading: *reading });
            }
        }
        let slot = cursor.slot + PAGE as u32;
        page.next = if (slot as usize) < shard.len() {
            Some(Cursor { shard: cursor.shard, slot })
        } else if (cursor.shard as usize + 1) < SHARDS {
            Some(Cursor { shard: cursor.shard + 1, slot: 0 })
        } else {
            None
        };
        Box::pin(async { page })
    }

    fn hosts(&self) -> BoxFuture<'_, Vec<HostReading>> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async { hosts })
    }
}
