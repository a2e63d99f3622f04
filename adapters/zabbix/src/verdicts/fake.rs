//! Scores and servers made up for tests.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use watchbell_adapter_api::{
    BoxFuture, Clock, Cursor, HostReading, Metrics, ScorePage, ScoreQuery, ScoreRow, Scores, Shutdown, SinkContext,
};
use watchbell_series::{Labels, Pattern, Reading};

use super::{Answer, ItemValue, ItemsConfig, Plan, Way};

/// Rows that the owner sets, given out in two pages, and hosts.
#[derive(Debug, Default)]
pub(crate) struct FakeScores {
    rows: Mutex<Vec<(Labels, Reading)>>,
    hosts: Mutex<Vec<HostReading>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A reading of this score at this time.
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
        alarm: false,
        quiet: false,
        not_ready: None,
        inherited: false,
        peers: None,
        cadence_s: 60.0,
    }
}

impl FakeScores {
    pub(crate) fn set(&self, labels: &[(&str, &str)], reading: Reading) {
        let labels = Labels::series(labels.iter().copied()).expect("labels");
        let mut rows = lock(&self.rows);
        rows.retain(|(old, _)| *old != labels);
        rows.push((labels, reading));
    }

    pub(crate) fn set_host(&self, host: HostReading) {
        let mut hosts = lock(&self.hosts);
        hosts.retain(|old| old.host != host.host);
        hosts.push(host);
    }
}

impl Scores for FakeScores {
    fn series(&self) -> u64 {
        lock(&self.rows).len() as u64
    }

    fn page(&self, query: Arc<ScoreQuery>, cursor: Cursor) -> BoxFuture<'_, ScorePage> {
        let mut page = ScorePage::default();
        for (labels, reading) in lock(&self.rows).iter().skip(cursor.shard as usize).step_by(2) {
            let wanted = query.selectors.is_empty() || query.selectors.iter().any(|selector| selector.matches(labels));
            if !wanted || (query.anomalous_only && !(reading.alarm || reading.score > 1.0)) {
                continue;
            }
            let labels_at = page.labels.len() as u32;
            labels.write_canonical(&mut page.labels);
            let labels_len = page.labels.len() as u32 - labels_at;
            // The entity as rules would have it: in small letters.
            let host = labels.get("host").unwrap_or("").to_lowercase();
            page.labels.extend_from_slice(host.as_bytes());
            let host_len = host.len() as u32;
            page.rows.push(ScoreRow { id: labels.id(), labels_at, labels_len, host_len, reading: *reading });
        }
        page.next = (cursor.shard == 0).then_some(Cursor { shard: 1, slot: 0 });
        Box::pin(async { page })
    }

    fn hosts(&self) -> BoxFuture<'_, Vec<HostReading>> {
        let hosts = lock(&self.hosts).clone();
        Box::pin(async { hosts })
    }
}

/// A clock that the test moves.
#[derive(Debug, Default)]
pub(crate) struct Moved(pub(crate) AtomicI64);

impl Clock for Moved {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A server as its items are: takes what it knows, and says how many it did not.
#[derive(Debug, Default)]
pub(crate) struct FakeZabbix {
    items: Mutex<BTreeSet<(String, String)>>,
    seen: Mutex<Vec<ItemValue>>,
    down: Mutex<bool>,
}

impl FakeZabbix {
    pub(crate) fn knows(&self, host: &str, keys: &[&str]) {
        lock(&self.items).extend(keys.iter().map(|key| (host.to_owned(), (*key).to_owned())));
    }

    pub(crate) fn down(&self, down: bool) {
        *lock(&self.down) = down;
    }

    /// What it took since this was asked last, as `host key value @seconds`.
    pub(crate) fn took(&self) -> Vec<String> {
        let line =
            |value: ItemValue| format!("{} {} {} @{}", value.host, value.key, value.value, value.time_ms / 1_000);
        lock(&self.seen).drain(..).map(line).collect()
    }
}

impl Way for Arc<FakeZabbix> {
    fn name(&self) -> String {
        "fake".to_owned()
    }

    fn send<'a>(&'a mut self, values: &'a [ItemValue], _now_ms: i64) -> BoxFuture<'a, Result<Answer, String>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if *lock(&self.down) {
                return Err("down".to_owned());
            }
            let items = lock(&self.items);
            let known = |value: &&ItemValue| items.contains(&(value.host.to_string(), value.key.to_string()));
            let taken: Vec<ItemValue> = values.iter().filter(known).cloned().collect();
            let refused = values.len() - taken.len();
            lock(&self.seen).extend(taken);
            Ok(Answer::Refused(refused))
        })
    }
}

/// A sink that runs against made-up scores.
pub(crate) struct Running {
    pub(crate) scores: Arc<FakeScores>,
    pub(crate) clock: Arc<Moved>,
    pub(crate) context: SinkContext,
    pub(crate) stop: watch::Sender<bool>,
}

impl Running {
    pub(crate) fn new() -> Self {
        let (stop, shutdown) = Shutdown::channel();
        let (scores, clock) = (Arc::new(FakeScores::default()), Arc::new(Moved::default()));
        let context = SinkContext {
            name: "zabbix".into(),
            scores: Arc::clone(&scores) as Arc<dyn Scores>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            shutdown,
            metrics: Metrics::default(),
            health: watchbell_adapter_api::Health::default(),
        };
        Self { scores, clock, context, stop }
    }

    /// Lets time pass: in steps, for the clock and for the runtime.
    pub(crate) async fn pass(&self, seconds: u32) {
        for _ in 0..seconds * 10 {
            self.clock.0.fetch_add(100, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

pub(crate) fn plan(config: serde_json::Value) -> Plan {
    let config: ItemsConfig = serde_json::from_value(config).expect("the shape is right");
    let mut problems = watchbell_adapter_api::Problems::default();
    config.check(&mut problems).unwrap_or_else(|| panic!("{:?}", problems.into_vec()))
}
