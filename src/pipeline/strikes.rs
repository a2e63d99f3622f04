//! Windows that people strike out: models must not learn from them.
//!
//! What a model learned can not be taken out of it again. So its series learn anew: their history is read back by
//! the very path of the warm start, with the struck windows left out, and each series forgets what it knew in the
//! moment in which its history is at hand. A series that history does not hold keeps what it learned. Strikes are
//! in the journal, so that later warm starts leave the windows out as well, and so that one that was cut short is
//! done at the next start.

mod windows;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use watchbell_adapter_api::{BoxFuture, Clock, HistoryRequest, Ingest, IngestError, Metrics, Receipt, Shutdown};
use watchbell_normalize::Rules;
use watchbell_series::{RawBatch, SeriesId};

use super::checkpoint::Checkpointer;
use super::handle::ShardHandle;
use super::hosts::SharedHosts;
use super::warm::WarmStart;
use crate::store::journal::{Journal, JournalError, Strike, StrikeState};
use crate::telemetry::metrics;

pub use windows::{Shared, Stripped, Window, Windows};

/// Orders that may wait.
pub const ORDERS: usize = 16;
/// History is asked for by series as long as that takes no more requests than this, then by instance, then whole.
const MAX_REQUESTS: usize = 64;
/// Strikes that are kept: each is tried on each series of a warm start.
const MAX_STRIKES: usize = 1_000;

/// Why a strike is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is nothing to learn from anew.
    #[error(
        "no `history:` is configured, and what was learned can not be taken out of a model; configure `history:` (such as `type: prometheus_query`), so that its series can learn anew without the window"
    )]
    NoHistory,
    /// Too many.
    #[error("there are {MAX_STRIKES} strikes; delete old ones whose window is past the lookback of `history:`")]
    Full,
    /// It is not there.
    #[error("there is no strike `{0}`")]
    Unknown(i64),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What is asked of the stage.
#[derive(Debug)]
pub enum Order {
    /// Strike a window out.
    Add(Strike, oneshot::Sender<Result<Strike, Refused>>),
    /// Take a strike back.
    Remove(i64, oneshot::Sender<Result<Strike, Refused>>),
}

/// Reads the strikes that are kept.
///
/// # Errors
/// The journal can not be read.
pub async fn shared(journal: &Journal, rules: Arc<Rules>, hosts: SharedHosts) -> Result<Shared, JournalError> {
    let windows = windows_of(&journal.strikes().await?);
    Ok(Arc::new(arc_swap::ArcSwap::from_pointee(Windows::new(windows, rules, hosts))))
}

fn windows_of(strikes: &[Strike]) -> Vec<Window> {
    let kept = strikes.iter().filter(|strike| strike.state != StrikeState::Removing);
    kept.map(|s| Window { selectors: s.selectors.clone(), start_ms: s.start_ms, end_ms: s.end_ms }).collect()
}

/// What works on strikes.
pub struct Strikes {
    /// The journal.
    pub journal: Arc<Journal>,
    /// What is struck out now.
    pub windows: Shared,
    /// The hosts of all names.
    pub hosts: SharedHosts,
    /// The mapping rules in force.
    pub rules: Arc<dyn Fn() -> Arc<Rules> + Send + Sync>,
    /// Where history comes from.
    pub warm: Option<Arc<WarmStart>>,
    /// Where it goes.
    pub ingest: Arc<dyn Ingest>,
    /// Where series are.
    pub shards: Arc<[ShardHandle]>,
    /// What saves them.
    pub checkpointer: Arc<Checkpointer>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Own metrics.
    pub metrics: Metrics,
}

impl std::fmt::Debug for Strikes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Strikes")
    }
}

impl Strikes {
    /// Takes orders, and lets series learn anew, until the shutdown. What was left undone is done first.
    pub async fn run(self, mut orders: mpsc::Receiver<Order>, mut shutdown: Shutdown) {
        let this = Arc::new(self);
        let (due, mut work) = mpsc::channel(2 * MAX_STRIKES);
        match this.journal.strikes().await {
            Ok(strikes) => {
                let undone = strikes.iter().filter(|strike| strike.state != StrikeState::Applied);
                for strike in undone {
                    later(&due, strike.id);
                }
            }
            Err(error) => tracing::error!(%error, "strikes that were left undone are not known"),
        }
        this.show().await;
        let worker = {
            let (this, mut shutdown) = (Arc::clone(&this), shutdown.clone());
            tokio::spawn(async move {
                loop {
                    let id = tokio::select! {
                        id = work.recv() => id,
                        () = shutdown.wait() => return,
                    };
                    let Some(id) = id else { return };
                    tokio::select! {
                        () = this.apply(id) => {}
                        () = shutdown.wait() => return,
                    }
                }
            })
        };
        loop {
            let order = tokio::select! {
                order = orders.recv() => order,
                () = shutdown.wait() => break,
            };
            let Some(order) = order else { break };
            // Whoever asked may have gone; the strike stands all the same.
            match order {
                Order::Add(strike, answer) => {
                    let added = this.add(strike).await;
                    if let Ok(strike) = &added {
                        later(&due, strike.id);
                    }
                    let _ = answer.send(added);
                }
                Order::Remove(id, answer) => {
                    let removed = this.remove(id).await;
                    if removed.is_ok() {
                        later(&due, id);
                    }
                    let _ = answer.send(removed);
                }
            }
            this.show().await;
        }
        let _ = worker.await;
    }

    async fn add(&self, strike: Strike) -> Result<Strike, Refused> {
        if self.warm.is_none() {
            return Err(Refused::NoHistory);
        }
        if self.journal.strikes().await?.len() >= MAX_STRIKES {
            return Err(Refused::Full);
        }
        let strike = Strike { state: StrikeState::Pending, ..strike };
        let id = self.journal.add_strike(&strike).await?;
        self.renew().await?;
        Ok(Strike { id, ..strike })
    }

    async fn remove(&self, id: i64) -> Result<Strike, Refused> {
        let found = self.journal.strikes().await?.into_iter().find(|strike| strike.id == id);
        let strike = Strike { state: StrikeState::Removing, ..found.ok_or(Refused::Unknown(id))? };
        self.journal.set_strike(&strike).await?;
        self.renew().await?;
        Ok(strike)
    }

    async fn renew(&self) -> Result<(), JournalError> {
        let windows = windows_of(&self.journal.strikes().await?);
        self.windows.store(Arc::new(Windows::new(windows, (self.rules)(), Arc::clone(&self.hosts))));
        Ok(())
    }

    async fn show(&self) {
        let strikes = self.journal.strikes().await.unwrap_or_default();
        for state in ["pending", "applied", "failed", "removing"] {
            let count = strikes.iter().filter(|strike| strike.state.as_str() == state).count();
            self.metrics.gauge(&metrics::STRIKES, &[state]).set(count as f64);
        }
    }

    /// Lets the series of strike `id` learn anew, and notes how that went.
    async fn apply(&self, id: i64) {
        let strikes = self.journal.strikes().await.unwrap_or_default();
        let Some(mut strike) = strikes.into_iter().find(|strike| strike.id == id) else { return };
        if strike.state == StrikeState::Removing && self.warm.is_none() {
            self.drop_without_history(id).await;
            return;
        }
        let outcome = self.relearn(&strike).await;
        let failed = outcome.is_err();
        match outcome {
            Ok((series, problem)) => {
                (strike.series, strike.problem) = (series, problem);
                tracing::info!(
                    strike = id,
                    series,
                    problem = strike.problem,
                    "series learned anew without what is struck"
                );
            }
            Err(problem) => {
                tracing::warn!(strike = id, problem, "series could not learn anew; tried again at the next start");
                strike.problem = problem;
            }
        }
        let kept = match (strike.state, failed) {
            (StrikeState::Removing, false) => self.journal.remove_strike(id).await,
            (StrikeState::Removing, true) => self.journal.set_strike(&strike).await,
            (_, failed) => {
                strike.state = if failed { StrikeState::Failed } else { StrikeState::Applied };
                self.journal.set_strike(&strike).await
            }
        };
        if let Err(error) = kept {
            tracing::error!(strike = id, %error, "how a strike went is not kept; it is done again at the next start");
        }
        self.show().await;
    }

    /// Takes strike `id` back where there is no history to learn from anew: its series keep what they learned.
    async fn drop_without_history(&self, id: i64) {
        match self.journal.remove_strike(id).await {
            Ok(()) => tracing::warn!(strike = id, "taken back; without `history:` its series keep what they learned"),
            Err(error) => {
                tracing::error!(strike = id, %error, "a strike is not taken back; tried again at the next start")
            }
        }
        self.show().await;
    }

    /// How many series learned anew, and what is to be said about the others.
    async fn relearn(&self, strike: &Strike) -> Result<(i64, String), String> {
        let Some(warm) = &self.warm else { return Err(Refused::NoHistory.to_string()) };
        let of_strike = Window { selectors: strike.selectors.clone(), start_ms: 0, end_ms: 0 };
        let of_strike = Arc::new(Windows::new(vec![of_strike], (self.rules)(), Arc::clone(&self.hosts)));
        let mut places: HashMap<SeriesId, (usize, u32)> = HashMap::new();
        let (mut by_series, mut by_instance) = (BTreeSet::new(), BTreeSet::new());
        for (index, shard) in self.shards.iter().enumerate() {
            let mut from = Some(0);
            while let Some(raw) = from {
                let windows = Arc::clone(&of_strike);
                let found = shard.call(move |shard| shard.struck(&windows, raw)).await;
                let (found, next) = found.map_err(|e| e.to_string())?;
                for struck in found {
                    places.insert(struck.id, (index, struck.raw));
                    by_instance.insert(struck.instance.clone());
                    by_series.insert((struck.instance, if struck.part { String::new() } else { struck.name }));
                }
                from = next;
            }
        }
        if places.is_empty() {
            return Ok((0, "no series of it is known now; a later warm start leaves the window out".to_owned()));
        }
        let to_ms = self.clock.now_ms();
        let ingest = Arc::new(Relearn {
            inner: Stripped::new(Arc::clone(&self.ingest), Arc::clone(&self.windows)),
            shards: Arc::clone(&self.shards),
            places: Mutex::new(places),
            done: AtomicU64::new(0),
        });
        for labels in requests(&by_series, &by_instance) {
            let request = HistoryRequest { labels, from_ms: to_ms - warm.lookback_ms(), to_ms };
            let into = Arc::clone(&ingest) as Arc<dyn Ingest>;
            warm.read_into("series of a strike", request, into).await.map_err(|e| e.to_string())?;
        }
        self.checkpointer.save().await.map_err(|e| e.to_string())?;
        let (done, left) = (ingest.done.load(Ordering::Relaxed), ingest.left());
        match (done, left) {
            (0, left) => Err(format!("history holds none of its {left} series; they keep what they learned")),
            (done, 0) => Ok((done as i64, String::new())),
            (done, left) => {
                Ok((done as i64, format!("history does not hold {left} further series; they keep what they learned")))
            }
        }
    }
}

/// Puts strike `id` in line.
fn later(due: &mpsc::Sender<i64>, id: i64) {
    if due.try_send(id).is_err() {
        tracing::warn!(strike = id, "too many strikes wait; this one is applied at the next start");
    }
}

/// What to ask history for.
fn requests(by_series: &BTreeSet<(String, String)>, by_instance: &BTreeSet<String>) -> Vec<Vec<(String, String)>> {
    let instance = |value: &str| ("instance".to_owned(), value.to_owned());
    let named = by_series.iter().all(|(instance, name)| !instance.is_empty() || !name.is_empty());
    if named && by_series.len() <= MAX_REQUESTS {
        let both = |(at, name): &(String, String)| {
            let name = ("__name__".to_owned(), name.clone());
            [instance(at), name].into_iter().filter(|(_, value)| !value.is_empty()).collect()
        };
        return by_series.iter().map(both).collect();
    }
    if by_instance.len() <= MAX_REQUESTS && by_instance.iter().all(|value| !value.is_empty()) {
        return by_instance.iter().map(|value| vec![instance(value)]).collect();
    }
    vec![Vec::new()]
}

/// A way in for history of struck series: only these, each of which forgets what it knew just before its history.
struct Relearn {
    inner: Stripped,
    shards: Arc<[ShardHandle]>,
    /// Shard and raw index of those that did not come yet.
    places: Mutex<HashMap<SeriesId, (usize, u32)>>,
    done: AtomicU64,
}

impl Relearn {
    fn left(&self) -> usize {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    async fn submit_all(&self, mut batch: RawBatch) -> Result<Receipt, IngestError> {
        let mut by_shard: BTreeMap<usize, Vec<(u32, SeriesId)>> = BTreeMap::new();
        let known: Vec<bool> = {
            let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            let mut place = |id: SeriesId| match places.remove(&id) {
                Some((shard, raw)) => {
                    by_shard.entry(shard).or_default().push((raw, id));
                    true
                }
                None => false,
            };
            windows::ids(&batch).map(&mut place).collect()
        };
        let mut known = known.into_iter();
        batch.series.retain(|_| known.next().unwrap_or(false));
        if batch.series.is_empty() {
            return Ok(Receipt::default());
        }
        for (shard, series) in by_shard {
            self.done.fetch_add(series.len() as u64, Ordering::Relaxed);
            // A shard that failed comes back with what it had; the strike is done again at the next start.
            let restarted = self.shards[shard].call(move |shard| shard.restart(&series)).await;
            restarted.map_err(|_| IngestError::Stopping)?;
        }
        self.inner.submit(batch).await
    }
}

impl Ingest for Relearn {
    fn submit(&self, batch: RawBatch) -> BoxFuture<'_, Result<Receipt, IngestError>> {
        Box::pin(self.submit_all(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_asked_for_as_narrowly_as_few_requests_allow() {
        let set = |hosts: usize, names: usize| {
            let each = (0..hosts).flat_map(|h| (0..names).map(move |n| (format!("h{h}"), format!("m{n}"))));
            (each.collect::<BTreeSet<_>>(), (0..hosts).map(|h| format!("h{h}")).collect::<BTreeSet<_>>())
        };
        let shape = |hosts, names| {
            let (by_series, by_instance) = set(hosts, names);
            let all = requests(&by_series, &by_instance);
            (all.len(), all[0].len())
        };
        assert_eq!((shape(2, 3), shape(2, 100), shape(100, 1)), ((6, 2), (2, 1), (1, 0)));
        let one = |instance: &str, name: &str| {
            requests(&[(instance.to_owned(), name.to_owned())].into(), &[instance.to_owned()].into())
        };
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(one("a", ""), [vec![label("instance", "a")]], "all parts of a histogram");
        assert_eq!(one("", "up"), [vec![label("__name__", "up")]]);
        assert_eq!(one("", ""), [vec![]]);
    }
}
