//! The task that follows what sources tell: it keeps it in the journal, resolves whom it is about, and hands it to
//! shards, the alerting stage and whoever shows it. It hears of names of hosts that come to mean another one, too.

mod windows;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, mpsc, oneshot};
use watchbell_adapter_api::{Clock, Metrics, Shutdown};
use watchbell_normalize::Rules as Mapping;
use watchbell_normalize::hosts::HostTable;
use watchbell_series::{ForeignProblem, KnownLimit, QuietWindow, Subject};

use super::Known;
use super::board::Board;
use super::limits::{self, Limits};
use super::problems::Problem;
use super::quiet::{Key, Names, Window};
use super::subject::{Target, host_of_subject};
use crate::alerting::Rules as AlertRules;
use crate::pipeline::alerts::Asker;
use crate::pipeline::handle::ShardHandle;
use crate::store::journal::{Journal, JournalError, KeptProblem, KeptWindow};
use crate::telemetry::metrics;

pub use windows::urgency;

/// The source of windows that people state.
pub const PEOPLE: &str = "people";
/// Orders that may wait.
pub const ORDERS: usize = 16;
/// How often old things are let go, and names resolved anew.
const ROUND: Duration = Duration::from_secs(60);
/// Windows are kept so long after their end, for history that is read back.
const WINDOW_MS: i64 = 15 * 86_400_000;
/// Windows in force at most, and those that people may have: each is tried on each new series.
pub const MAX_WINDOWS: usize = 5_000;
/// Problems held for whoever relates them: those of the last days, at most so many.
const PROBLEM_MS: i64 = 2 * 86_400_000;
const MAX_PROBLEMS: u32 = 20_000;
/// The name under which the journal keeps the limits of a source.
const LIMITS: &str = "limits of ";
/// The name under which it keeps which sources told some.
const SOURCES: &str = "sources of limits";

/// Why an order is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is not there.
    #[error("there is no window `{0}` that people stated; those of a source end where it knows them")]
    Unknown(String),
    /// It is over.
    #[error("window `{0}` is over")]
    Over(String),
    /// Too many.
    #[error("people have {MAX_WINDOWS} quiet windows that are not over; delete some")]
    Full,
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What people ask for.
#[derive(Debug)]
pub enum Order {
    /// A window.
    Add(QuietWindow, Answer),
    /// The end of one.
    End(String, Answer),
}

/// Where the answer to an order goes: the window as it is now.
pub type Answer = oneshot::Sender<Result<QuietWindow, Refused>>;

/// Names are resolved by these: the rules in force, and what is known of all names.
pub type Naming = Arc<dyn Fn() -> (Arc<Mapping>, Arc<HostTable>) + Send + Sync>;

/// The task.
pub struct Keeper {
    /// What sources say.
    pub board: Board,
    /// Where it is kept.
    pub journal: Arc<Journal>,
    /// What is in force.
    pub known: Known,
    /// Names of hosts.
    pub naming: Naming,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Own metrics.
    pub metrics: Metrics,
    /// How long problems are kept.
    pub retention_ms: i64,
    windows: BTreeMap<Key, QuietWindow>,
    /// The same, resolved.
    resolved: BTreeMap<Key, Arc<Window>>,
    /// The id of the next window of people.
    next_id: u64,
    /// The names of a table of hosts, and the table.
    joined: (Arc<HostTable>, Arc<Names>),
    problems: BTreeMap<Key, ForeignProblem>,
    limits: BTreeMap<String, Arc<[KnownLimit]>>,
    alerts: AlertRules,
    /// Windows that the last look left out, because there are too many.
    left_out: usize,
    /// Sources whose windows were shown.
    shown: BTreeSet<String>,
    /// Panics of each shard at the last look: one that begins anew knows no limits.
    panics: Vec<u64>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keeper")
    }
}

impl Keeper {
    /// What was known before a restart, as far as its source is still among `sources`; in force from now on.
    ///
    /// # Errors
    /// The journal can not be read.
    #[allow(clippy::too_many_arguments, reason = "made once, by the service")]
    pub async fn restore(
        board: Board,
        journal: Arc<Journal>,
        known: Known,
        naming: Naming,
        alerts: AlertRules,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        retention: Duration,
        sources: &[String],
    ) -> Result<Self, JournalError> {
        let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let mut keeper = Self {
            board,
            journal,
            known,
            naming,
            clock,
            metrics,
            retention_ms,
            windows: BTreeMap::new(),
            resolved: BTreeMap::new(),
            next_id: 1,
            joined: Default::default(),
            problems: BTreeMap::new(),
            limits: BTreeMap::new(),
            alerts,
            left_out: 0,
            shown: BTreeSet::new(),
            panics: Vec::new(),
        };
        let is_there = |source: &str| source == PEOPLE || sources.iter().any(|known| known == source);
        let mut gone = HashSet::new();
        for KeptWindow { source, window } in keeper.journal.windows().await? {
            if !is_there(&source) {
                gone.insert(source.clone());
            }
            keeper.windows.insert((source, window.id.clone()), window);
        }
        let of_people = keeper.windows.keys().filter(|(source, _)| source == PEOPLE);
        keeper.next_id = of_people.filter_map(|(_, id)| id.parse::<u64>().ok()).max().unwrap_or(0) + 1;
        for source in gone {
            keeper.take_windows(&source, &[]).await?;
        }
        let told = keeper.journal.kept_state(SOURCES).await?.unwrap_or_default();
        let told: Vec<String> = serde_json::from_slice(&told).unwrap_or_default();
        for source in told.into_iter().filter(|source| is_there(source)) {
            if let Some(bytes) = keeper.journal.kept_state(&format!("{LIMITS}{source}")).await? {
                keeper.limits.insert(source, limits::kept(&bytes).into());
            }
        }
        let now_ms = keeper.clock.now_ms();
        for source in keeper.journal.sources_of_open_problems().await? {
            if !is_there(&source) {
                keeper.journal.end_problems(&source, now_ms).await?;
            }
        }
        let since_ms = now_ms.saturating_sub(PROBLEM_MS);
        let recent = keeper.journal.problems(since_ms, i64::MAX, MAX_PROBLEMS).await?;
        // The ends of those that last are still to be told, however old they are.
        let open = keeper.journal.open_problems(MAX_PROBLEMS).await?;
        for KeptProblem { source, problem } in recent.into_iter().chain(open) {
            keeper.problems.insert((source, problem.id.clone()), problem);
        }
        keeper.resolve();
        Ok(keeper)
    }

    /// Puts windows in force before samples come: names of hosts are known by now.
    pub async fn begin(&mut self, shards: &[ShardHandle]) {
        self.resolve();
        self.tell_windows(shards).await;
    }

    /// Follows what is said until the shutdown; `renamed` wakes it where names of hosts changed.
    pub async fn run(
        mut self,
        shards: Arc<[ShardHandle]>,
        asker: Asker,
        mut orders: mpsc::Receiver<Order>,
        renamed: Arc<Notify>,
        mut shutdown: Shutdown,
    ) {
        self.began_anew(&shards);
        self.hand_out(&shards, true).await;
        let mut rounds = tokio::time::interval_at(tokio::time::Instant::now() + ROUND, ROUND);
        let board = self.board.clone();
        loop {
            tokio::select! {
                () = board.changed() => {
                    let limits = self.take().await;
                    self.hand_out(&shards, limits).await;
                }
                Some(order) = orders.recv() => {
                    let mut answers = vec![self.obey(order).await];
                    while let Ok(order) = orders.try_recv() {
                        answers.push(self.obey(order).await);
                    }
                    self.put_windows();
                    self.tell_windows(&shards).await;
                    // Samples that are sent after the answer are judged by it. Whoever asked may have gone.
                    answers.into_iter().for_each(|(answer, said)| drop(answer.send(said)));
                    self.show(&shards).await;
                }
                () = renamed.notified() => {
                    let limits = self.renamed();
                    self.hand_out(&shards, limits).await;
                }
                _ = rounds.tick() => {
                    if let Some(alerts) = asker.rules().await {
                        self.alerts = alerts;
                    }
                    self.forget().await;
                    let anew = self.began_anew(&shards);
                    self.hand_out(&shards, anew).await;
                }
                () = shutdown.wait() => return,
            }
        }
    }

    async fn obey(&mut self, order: Order) -> (Answer, Result<QuietWindow, Refused>) {
        match order {
            Order::Add(window, answer) => (answer, self.add(window).await),
            Order::End(id, answer) => (answer, self.end(id).await),
        }
    }

    /// Takes what sources said since the last time; whether limits changed.
    async fn take(&mut self) -> bool {
        let mut limits = false;
        for (source, told) in self.board.take() {
            let failed = |error: JournalError, what: &str| {
                tracing::error!(%error, source, "{what} not kept; a restart forgets what was told of them");
            };
            if told.gone
                && let Err(error) = self.end_problems(&source).await
            {
                failed(error, "ends of problems");
            }
            if let Some(windows) = told.windows
                && let Err(error) = self.take_windows(&source, &windows).await
            {
                failed(error, "quiet windows");
            }
            if let Some(told) = told.limits.filter(|told| self.limits.get(&source) != Some(told)) {
                let before = self.known.limits.load_full();
                if let Err(error) = self.take_limits(&source, told).await {
                    failed(error, "known limits");
                }
                limits |= *before != **self.known.limits.load();
            }
            if !told.problems.is_empty()
                && let Err(error) = self.take_problems(&source, told.problems).await
            {
                failed(error, "problems");
            }
        }
        self.board.taken_up();
        limits
    }

    async fn take_limits(&mut self, source: &str, told: Arc<[KnownLimit]>) -> Result<(), JournalError> {
        let bytes = limits::keep(&told);
        self.limits.insert(source.to_owned(), told);
        self.resolve_limits();
        let now_ms = self.clock.now_ms();
        self.journal.keep_state(&format!("{LIMITS}{source}"), now_ms, &bytes).await?;
        let sources: Vec<&String> = self.limits.keys().collect();
        let sources = serde_json::to_vec(&sources).unwrap_or_default();
        self.journal.keep_state(SOURCES, now_ms, &sources).await
    }

    async fn take_problems(&mut self, source: &str, told: Vec<ForeignProblem>) -> Result<(), JournalError> {
        let kept: Vec<KeptProblem> =
            told.into_iter().map(|problem| KeptProblem { source: source.to_owned(), problem }).collect();
        self.metrics.counter(&metrics::PROBLEMS_TOLD, &[source]).inc_by(kept.len() as f64);
        for KeptProblem { source, problem } in &kept {
            self.problems.insert((source.clone(), problem.id.clone()), problem.clone());
        }
        self.resolve_problems();
        self.journal.keep_problems(&kept).await
    }

    /// Nobody tells of the problems of a source that is gone any more, so they are over.
    async fn end_problems(&mut self, source: &str) -> Result<(), JournalError> {
        let now_ms = self.clock.now_ms();
        let open = self.problems.iter_mut().filter(|((of, _), problem)| of == source && problem.ends_ms.is_none());
        open.for_each(|(_, problem)| problem.ends_ms = Some(now_ms.max(problem.starts_ms)));
        self.resolve_problems();
        self.journal.end_problems(source, now_ms).await
    }

    async fn forget(&mut self) {
        let now_ms = self.clock.now_ms();
        let old = now_ms.saturating_sub(WINDOW_MS);
        self.windows.retain(|_, window| window.ends_ms.is_none_or(|end| end >= old));
        if let Err(error) = self.journal.prune_known(old, now_ms.saturating_sub(self.retention_ms)).await {
            tracing::warn!(%error, "old windows and problems are not removed");
        }
        let recent_ms = now_ms.saturating_sub(PROBLEM_MS);
        // Those that last stay, however old they are: their source will tell of the end.
        self.problems.retain(|_, problem| problem.ends_ms.is_none_or(|end| end >= recent_ms));
        self.resolve_windows();
        self.resolve_problems();
    }

    /// Whether a shard panicked since the last look.
    fn began_anew(&mut self, shards: &[ShardHandle]) -> bool {
        let panics: Vec<u64> = shards.iter().map(ShardHandle::panics).collect();
        let changed = self.panics != panics;
        self.panics = panics;
        changed
    }

    /// Names of hosts mean other ones; whether limits are about others by that.
    fn renamed(&mut self) -> bool {
        self.resolve_windows();
        self.resolve_problems();
        let mut told = self.limits.values().flat_map(|told| told.iter());
        let of_hosts = told.any(|limit| matches!(limit.subject, Subject::Host(_)));
        let before = self.known.limits.load_full();
        if of_hosts {
            self.resolve_limits();
        }
        of_hosts && *before != **self.known.limits.load()
    }

    fn resolve(&mut self) {
        self.resolve_windows();
        self.resolve_limits();
        self.resolve_problems();
    }

    fn target(&self, subject: &Subject) -> Target {
        let (mapping, table) = (self.naming)();
        Target::of(subject, (&mapping, &table), &self.alerts)
    }

    fn resolve_limits(&self) {
        let limits = Limits::new(&self.limits, |limit| {
            let target = self.target(&limit.subject);
            // A limit is about series, never about the alerts of this service.
            match target {
                Target::Matching { matchers, .. } => Target::Matching { matchers, of_alerts: Vec::new() },
                other => other,
            }
        });
        self.known.limits.store(Arc::new(limits));
        self.known.told_limits.store(Arc::new(self.limits.clone()));
    }

    /// The newest ones are shown, and those that are in the journal only are not.
    fn resolve_problems(&mut self) {
        let over = self.problems.len().saturating_sub(MAX_PROBLEMS as usize);
        if over > 0 {
            // Of those that last an end will be told.
            let age = |it: &ForeignProblem| (it.ends_ms.is_none(), it.starts_ms);
            let mut by_age: Vec<_> = self.problems.iter().map(|(key, it)| (age(it), key.clone())).collect();
            by_age.sort_unstable();
            by_age.iter().take(over).for_each(|(_, key)| drop(self.problems.remove(key)));
        }
        let (mapping, table) = (self.naming)();
        let problem = |((source, _), told): (&Key, &ForeignProblem)| Problem {
            target: self.target(&told.subject),
            hosts: host_of_subject(&told.subject, &mapping, &table),
            source: source.clone(),
            told: told.clone(),
        };
        let mut all: Vec<Problem> = self.problems.iter().map(problem).collect();
        all.sort_by_key(|problem| std::cmp::Reverse(problem.told.starts_ms));
        self.known.problems.store(Arc::new(all));
    }

    async fn tell_windows(&self, shards: &[ShardHandle]) {
        let quiet = self.known.quiet.load_full();
        for shard in shards {
            let quiet = Arc::clone(&quiet);
            // One that failed takes up what is in force when it is back.
            let _ = shard.post(move |shard| shard.set_quiet(&quiet)).await;
        }
        // Batches are judged by it from now on, and go between the slices.
        let find = |shard: &ShardHandle| {
            let shard = shard.clone();
            async move { while shard.call(|shard| shard.find_quiet()).await.unwrap_or(false) {} }
        };
        join_all(shards.iter().map(find)).await;
    }

    /// Tells the shards, and shows how much there is.
    async fn hand_out(&mut self, shards: &[ShardHandle], limits: bool) {
        self.tell_windows(shards).await;
        if limits {
            for shard in shards {
                let mut from = Some(0);
                while let Some(slot) = from {
                    let limits = self.known.limits.load_full();
                    from = shard.call(move |shard| shard.match_limits(limits, slot)).await.unwrap_or(None);
                }
            }
        }
        self.show(shards).await;
    }

    async fn show(&mut self, shards: &[ShardHandle]) {
        let now_ms = self.clock.now_ms();
        self.shown.extend(self.windows.keys().map(|(source, _)| source.clone()));
        // A source that has none any more shows that.
        let mut windows: BTreeMap<&str, [f64; 3]> =
            self.shown.iter().map(|source| (source.as_str(), [0.0; 3])).collect();
        for ((source, _), window) in &self.windows {
            let state = match window.ends_ms {
                Some(end) if end <= now_ms => 2,
                _ if window.starts_ms > now_ms => 0,
                _ => 1,
            };
            windows.entry(source).or_default()[state] += 1.0;
        }
        for (source, counts) in windows {
            for (state, count) in ["planned", "active", "over"].into_iter().zip(counts) {
                self.metrics.gauge(&metrics::WINDOWS, &[source, state]).set(count);
            }
        }
        for (source, limits) in &self.limits {
            self.metrics.gauge(&metrics::KNOWN_LIMITS, &[source]).set(limits.len() as f64);
        }
        let (mut quiet, mut limited) = (0, 0);
        for shard in shards {
            let (q, l) = shard.call(|shard| shard.known_counts()).await.unwrap_or_default();
            (quiet, limited) = (quiet + q, limited + l);
        }
        self.metrics.gauge(&metrics::QUIET_SERIES, &[]).set(quiet as f64);
        self.metrics.gauge(&metrics::LIMITED_SERIES, &[]).set(limited as f64);
        let open = self.known.problems.load().iter().filter(|problem| problem.told.ends_ms.is_none()).count();
        self.metrics.gauge(&metrics::PROBLEMS, &[]).set(open as f64);
    }
}

#[cfg(test)]
mod tests;
