//! The task that follows what sources tell: it keeps it in the journal, resolves whom it is about, and hands it to
//! shards, the alerting stage and whoever shows it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use watchbell_adapter_api::{Clock, Metrics, Shutdown};
use watchbell_normalize::Rules as Mapping;
use watchbell_normalize::hosts::HostTable;
use watchbell_series::{ForeignProblem, KnownLimit, QuietWindow, Subject};

use super::Known;
use super::board::Board;
use super::limits::{self, Limits};
use super::problems::Problem;
use super::quiet::{Quiet, Window};
use super::subject::Target;
use crate::alerting::Rules as AlertRules;
use crate::pipeline::alerts::Asker;
use crate::pipeline::handle::ShardHandle;
use crate::store::journal::{Journal, JournalError, KeptProblem, KeptWindow};
use crate::telemetry::metrics;

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
    Add(QuietWindow, oneshot::Sender<Result<QuietWindow, Refused>>),
    /// The end of one.
    End(String, oneshot::Sender<Result<QuietWindow, Refused>>),
}

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
    windows: BTreeMap<(String, String), QuietWindow>,
    problems: BTreeMap<(String, String), ForeignProblem>,
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

    /// Follows what is said until the shutdown.
    pub async fn run(
        mut self,
        shards: Arc<[ShardHandle]>,
        asker: Asker,
        mut orders: mpsc::Receiver<Order>,
        mut shutdown: Shutdown,
    ) {
        // Names of hosts are known by now.
        self.resolve();
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
                    // Whoever asked may have gone.
                    match order {
                        Order::Add(window, answer) => drop(answer.send(self.add(window).await)),
                        Order::End(id, answer) => drop(answer.send(self.end(id).await)),
                    }
                    self.hand_out(&shards, false).await;
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
                limits = true;
                if let Err(error) = self.take_limits(&source, told).await {
                    failed(error, "known limits");
                }
            }
            if !told.problems.is_empty()
                && let Err(error) = self.take_problems(&source, told.problems).await
            {
                failed(error, "problems");
            }
        }
        limits
    }

    /// The whole of what `source` plans. What it leaves out ends now, or was never to be if it has not begun.
    async fn take_windows(&mut self, source: &str, told: &[QuietWindow]) -> Result<(), JournalError> {
        let now_ms = self.clock.now_ms();
        let mut changed: Vec<KeptWindow> = Vec::new();
        let ids: HashSet<&str> = told.iter().map(|window| window.id.as_str()).collect();
        let (mut ended, mut removed) = (Vec::new(), Vec::new());
        for ((of, id), window) in &self.windows {
            if of == source && !ids.contains(id.as_str()) && window.ends_ms.is_none_or(|end| end > now_ms) {
                let window = QuietWindow { ends_ms: Some(now_ms), ..window.clone() };
                if window.starts_ms > now_ms { removed.push(id.clone()) } else { ended.push(window) }
            }
        }
        for id in &removed {
            self.windows.remove(&(source.to_owned(), id.clone()));
        }
        for window in told.iter().chain(&ended) {
            let before = self.windows.insert((source.to_owned(), window.id.clone()), window.clone());
            if before.as_ref() != Some(window) {
                let shown = (&window.id, &window.reason);
                tracing::info!(source, id = shown.0, reason = shown.1, ends_ms = window.ends_ms, "quiet window");
                changed.push(KeptWindow { source: source.to_owned(), window: window.clone() });
            }
        }
        // In force whether it can be kept or not.
        self.resolve_windows();
        for id in removed {
            self.journal.remove_window(source, &id).await?;
        }
        if changed.is_empty() { Ok(()) } else { self.journal.keep_windows(&changed).await }
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

    async fn add(&mut self, window: QuietWindow) -> Result<QuietWindow, Refused> {
        let now_ms = self.clock.now_ms();
        let lasting = self
            .windows
            .iter()
            .filter(|((source, _), window)| source == PEOPLE && window.ends_ms.is_none_or(|end| end > now_ms));
        if lasting.count() >= MAX_WINDOWS {
            return Err(Refused::Full);
        }
        let last = self.windows.keys().filter(|(source, _)| source == PEOPLE).filter_map(|(_, id)| id.parse().ok());
        let id = (last.max().unwrap_or(0_u64) + 1).to_string();
        let window = QuietWindow { id: id.clone(), ..window };
        self.journal.keep_windows(&[KeptWindow { source: PEOPLE.to_owned(), window: window.clone() }]).await?;
        self.windows.insert((PEOPLE.to_owned(), id), window.clone());
        self.resolve_windows();
        Ok(window)
    }

    /// A window that has not begun is forgotten, one that goes on ends now.
    async fn end(&mut self, id: String) -> Result<QuietWindow, Refused> {
        let key = (PEOPLE.to_owned(), id);
        let Some(mut window) = self.windows.get(&key).cloned() else { return Err(Refused::Unknown(key.1)) };
        let now_ms = self.clock.now_ms();
        if window.ends_ms.is_some_and(|end| end <= now_ms) {
            return Err(Refused::Over(key.1));
        }
        window.ends_ms = Some(now_ms.max(window.starts_ms));
        if window.starts_ms > now_ms {
            self.journal.remove_window(PEOPLE, &key.1).await?;
            self.windows.remove(&key);
        } else {
            self.journal.keep_windows(&[KeptWindow { source: PEOPLE.to_owned(), window: window.clone() }]).await?;
            self.windows.insert(key, window.clone());
        }
        self.resolve_windows();
        Ok(window)
    }

    async fn forget(&mut self) {
        let now_ms = self.clock.now_ms();
        let old = now_ms.saturating_sub(WINDOW_MS);
        self.windows.retain(|_, window| window.ends_ms.is_none_or(|end| end >= old));
        if let Err(error) = self.journal.prune_known(old, now_ms.saturating_sub(self.retention_ms)).await {
            tracing::warn!(%error, "old windows and problems are not removed");
        }
        let (recent_ms, kept_ms) = (now_ms.saturating_sub(PROBLEM_MS), now_ms.saturating_sub(self.retention_ms));
        self.problems.retain(|_, problem| match problem.ends_ms {
            Some(end) => end >= recent_ms,
            None => problem.starts_ms >= kept_ms,
        });
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

    fn resolve(&mut self) {
        self.resolve_windows();
        self.resolve_limits();
        self.resolve_problems();
    }

    fn target(&self, subject: &Subject) -> Target {
        let (mapping, table) = (self.naming)();
        Target::of(subject, (&mapping, &table), &self.alerts)
    }

    fn resolve_windows(&mut self) {
        let over = self.windows.len().saturating_sub(MAX_WINDOWS);
        if over > self.left_out {
            tracing::warn!(
                windows = self.windows.len(),
                "more than {MAX_WINDOWS} quiet windows; those that are over are left out first, then those that begin last"
            );
        }
        self.left_out = over;
        let mut all: Vec<_> = self.windows.iter().collect();
        if over > 0 {
            let now_ms = self.clock.now_ms();
            all.sort_by_key(|(_, window)| urgency(window, now_ms));
            all.truncate(MAX_WINDOWS);
        }
        let window = |((source, id), window): (&(String, String), &QuietWindow)| Window {
            source: source.clone(),
            id: id.clone(),
            target: self.target(&window.subject),
            starts_ms: window.starts_ms,
            ends_ms: window.ends_ms.unwrap_or(i64::MAX),
            reason: window.reason.clone(),
        };
        let quiet = Quiet::new(all.into_iter().map(window).collect());
        if **self.known.quiet.load() != quiet {
            self.known.quiet.store(Arc::new(quiet));
        }
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
        let problem = |((source, _), told): (&(String, String), &ForeignProblem)| Problem {
            target: self.target(&told.subject),
            source: source.clone(),
            told: told.clone(),
        };
        let mut all: Vec<Problem> = self.problems.iter().map(problem).collect();
        all.sort_by_key(|problem| std::cmp::Reverse(problem.told.starts_ms));
        self.known.problems.store(Arc::new(all));
    }

    /// Tells the shards, and shows how much there is.
    async fn hand_out(&mut self, shards: &[ShardHandle], limits: bool) {
        let quiet = self.known.quiet.load_full();
        for shard in shards {
            let quiet = Arc::clone(&quiet);
            // One that failed takes up what is in force when it is back.
            let _ = shard.post(move |shard| shard.set_quiet(&quiet)).await;
        }
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
                Some(end) if end < now_ms => 2,
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

/// Which windows matter most, least first: active ones by how long they last, planned ones by how soon they begin, ones
/// that are over by how late they ended.
fn urgency(window: &QuietWindow, now_ms: i64) -> (u8, i64) {
    match window.ends_ms {
        Some(end) if end < now_ms => (2, end.saturating_neg()),
        _ if window.starts_ms > now_ms => (1, window.starts_ms),
        end => (0, end.unwrap_or(i64::MAX).saturating_neg()),
    }
}

#[cfg(test)]
mod tests;
