//! The task of the alerting stage: feeds the book with verdicts and the clock, writes what changes to the
//! journal, hands alerts to the queue of each sink, and tells the shards which series to report whole.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use watchbell_adapter_api::{AlertSink, Clock, Metrics, Scores};
use watchbell_detect::calibrate::WEEK_MS;
use watchbell_series::{Alert, AlertState, SeriesId};

use super::handle::ShardHandle;
use super::outbox::{CAPACITY, Outbox};
use super::shard::Event;
use super::supervise::Surroundings;
use crate::alerting::episode::Change;
use crate::alerting::metrics::{self as own, AlertGauges};
use crate::alerting::rules::Rule;
use crate::alerting::{About, Book, Changes, Episode, Judgement, Probe, RuleStanding, Rules, Track, Transition};
use crate::config::Settings;
use crate::context::Known;
use crate::context::problems::related;
use crate::store::journal::Journal;
use crate::telemetry::metrics;

/// Messages that may wait for the stage.
const MESSAGES: usize = 16;
/// How often the clock moves the book.
const TICK: Duration = Duration::from_secs(1);
/// How often the journal is pruned.
const PRUNE: Duration = Duration::from_secs(3_600);
/// How often budgets are shown.
const SHOW: Duration = Duration::from_secs(10);
/// What happened under them is kept at once, but not again before so long,
const KEEP_MS: i64 = 5_000;
/// nor so often that more than this is written a second, bytes; and where nothing happened, time is kept so often.
const KEEP_RATE: i64 = 256 << 10;
const KEEP_QUIET_MS: i64 = 300_000;
/// The name under which the journal keeps it.
const BUDGETS: &str = "budgets";
/// False alarms that people told of are remembered for this long.
pub const FEEDBACK_MS: i64 = 240 * 86_400_000;
/// And at most so many of them.
const MAX_FEEDBACK: u32 = 100_000;
/// How long sinks may take for what waits when they are removed.
const FINISH: Duration = Duration::from_secs(5);
/// Resolved alerts are told of again for this long, also after a restart, as Prometheus does.
const RESOLVED_MS: i64 = 15 * 60_000;
/// The most resolved alerts that are kept for that.
const MAX_RECENT: usize = CAPACITY / 2;

/// The alert rules that `settings` ask for.
///
/// # Errors
/// All problems of all files, a text each.
pub fn load_rules(settings: &Settings) -> Result<Rules, Vec<String>> {
    let mut rules = Rules::load(settings.rules_dir.as_deref())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    rules.limits.max_per_host = settings.alerting.max_per_host;
    rules.limits.max_firing = settings.alerting.max_open;
    rules.budget = settings.alerting.budget;
    rules.false_discovery_rate = settings.alerting.false_discovery_rate;
    if !settings.alerting.enabled {
        rules.series.clear();
        rules.hosts.clear();
        rules.fleet.clear();
    }
    let edge = settings.detect.report_edge;
    let blind = |rule: &Rule| {
        let Rule { name, terms, .. } = rule;
        format!(
            "alert rule `{name}`: scores under {edge} are not reported, and its `score` is {}\n  \
             hint: set `detect.report_edge` to {} or less, or raise `score`",
            terms.score, terms.score
        )
    };
    let problems: Vec<String> = rules.under(edge).map(blind).collect();
    if problems.is_empty() { Ok(rules) } else { Err(problems) }
}

/// Samples of one of `series` judged series in a week, of which `samples` came in `elapsed_ms`; `None` in the first
/// minute.
pub(crate) fn samples_per_week(samples: f64, series: u64, elapsed_ms: i64) -> Option<f64> {
    let known = elapsed_ms > 60_000 && series > 0 && samples > 0.0;
    known.then(|| samples / series as f64 / (elapsed_ms as f64 / WEEK_MS))
}

/// What the stage itself needs of the settings.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// How long ended alerts are kept in the journal.
    retention: Duration,
    /// Alerts that may fire at once.
    max_open: usize,
}

impl Limits {
    fn of(settings: &Settings) -> Self {
        Self { retention: settings.alerting.retention, max_open: settings.alerting.max_open }
    }
}

enum Message {
    AddSink(String, Vec<Arc<dyn AlertSink>>),
    RemoveSink(String, oneshot::Sender<()>),
    SetRules(Box<Rules>, Limits),
    Ask(Vec<Question>, oneshot::Sender<Vec<Vec<RuleStanding>>>),
    Rules(oneshot::Sender<Rules>),
    Stop,
}

/// A series of which is asked how the rules stand to it.
#[derive(Debug, Clone)]
pub struct Question {
    /// The series.
    pub id: SeriesId,
    /// In words.
    pub about: About,
    /// Its last sample.
    pub probe: Probe,
}

/// Asks the stage; cheap to clone.
#[derive(Debug, Clone)]
pub struct Asker(mpsc::Sender<Message>);

impl Asker {
    /// How the rules stand to each of `series`; `None` where the stage is gone.
    pub async fn ask(&self, series: Vec<Question>) -> Option<Vec<Vec<RuleStanding>>> {
        let (answer, told) = oneshot::channel();
        self.0.send(Message::Ask(series, answer)).await.ok()?;
        told.await.ok()
    }

    /// The rules in force; `None` where the stage is gone.
    pub async fn rules(&self) -> Option<Rules> {
        let (answer, told) = oneshot::channel();
        self.0.send(Message::Rules(answer)).await.ok()?;
        told.await.ok()
    }
}

/// A person said what an episode was.
#[derive(Debug)]
pub struct Judged {
    /// The episode, with its greatest score.
    pub episode: Episode,
    /// Whether sinks were told of it.
    pub fired: bool,
    /// What was said.
    pub judgement: Judgement,
    /// Answered with whether an edge is higher for it from now on.
    pub answer: oneshot::Sender<bool>,
}

/// The running stage.
#[derive(Debug)]
pub struct AlertStage {
    messages: mpsc::Sender<Message>,
    task: JoinHandle<()>,
}

impl AlertStage {
    /// Takes over the alerts that were open by `journal`, and starts.
    ///
    /// # Errors
    /// The journal can not be read, or rules are not valid.
    pub async fn start(
        settings: &Settings,
        around: &Surroundings,
        journal: Arc<Journal>,
        shards: Arc<[ShardHandle]>,
        events: mpsc::Receiver<Vec<Event>>,
        judged: mpsc::Receiver<Judged>,
    ) -> anyhow::Result<Self> {
        let rules = load_rules(settings).map_err(|problems| anyhow!(problems.join("\n")))?;
        let mut stage = Stage {
            book: Book::new(rules, settings.external_url.as_deref().unwrap_or_default()),
            journal,
            scores: Arc::clone(&around.scores),
            clock: Arc::clone(&around.clock),
            shards,
            outbox: Outbox::new(Arc::clone(&around.clock), around.metrics.clone(), around.failures.clone()),
            recent: Vec::new(),
            refused: 0,
            limits: Limits::of(settings),
            metrics: around.metrics.clone(),
            gauges: AlertGauges::new(&around.metrics),
            known: around.known.clone(),
            started_ms: around.clock.now_ms(),
            kept: Kept { at_ms: around.clock.now_ms(), pause_ms: 0 },
            full: false,
        };
        stage.restore().await?;
        let (messages, inbox) = mpsc::channel(MESSAGES);
        Ok(Self { messages, task: tokio::spawn(stage.run(events, judged, inbox)) })
    }

    /// Sends alerts to these instances from now on, those that are open first.
    pub async fn add_sink(&self, name: &str, instances: Vec<Arc<dyn AlertSink>>) {
        // The stage ends after everything that talks to it.
        let _ = self.messages.send(Message::AddSink(name.to_owned(), instances)).await;
    }

    /// Stops sending to the sink `name`, after what waits for it was tried.
    pub async fn remove_sink(&self, name: &str) {
        let (done, removed) = oneshot::channel();
        if self.messages.send(Message::RemoveSink(name.to_owned(), done)).await.is_ok() {
            let _ = removed.await;
        }
    }

    /// Goes on with the rules of `settings`.
    ///
    /// # Errors
    /// All problems of all files; the old rules stay.
    pub async fn set_rules(&self, settings: &Settings) -> Result<(), Vec<String>> {
        let rules = load_rules(settings)?;
        let _ = self.messages.send(Message::SetRules(Box::new(rules), Limits::of(settings))).await;
        Ok(())
    }

    /// Whoever asks how rules stand to series.
    #[must_use]
    pub fn asker(&self) -> Asker {
        Asker(self.messages.clone())
    }

    /// Ends the stage: what waits for sinks is tried, the journal is written.
    pub async fn stop(self) {
        let _ = self.messages.send(Message::Stop).await;
        let _ = self.task.await;
    }
}

struct Stage {
    book: Book,
    journal: Arc<Journal>,
    scores: Arc<dyn Scores>,
    clock: Arc<dyn Clock>,
    shards: Arc<[ShardHandle]>,
    outbox: Outbox,
    /// Resolved in the last minutes; a sink that is new is told of their ends.
    recent: Vec<Alert>,
    /// Anomalies without room at the last tick.
    refused: u64,
    limits: Limits,
    metrics: Metrics,
    gauges: AlertGauges,
    known: Known,
    started_ms: i64,
    kept: Kept,
    /// Whether the shards were told that there is no room.
    full: bool,
}

/// When what happened under the budgets was kept last, and how long to wait before it is again.
struct Kept {
    at_ms: i64,
    pause_ms: i64,
}

impl Stage {
    async fn restore(&mut self) -> anyhow::Result<()> {
        let now_ms = self.clock.now_ms();
        let open = self.journal.open_episodes().await?;
        let resolved = self.journal.resolved_since(now_ms - RESOLVED_MS).await?;
        self.recent = resolved.iter().map(Episode::alert).collect();
        if !open.is_empty() {
            tracing::info!(alerts = open.len(), "open alerts taken over");
        }
        let mut changes = Changes::default();
        self.book.restore(open, now_ms, &mut changes);
        self.book.restore_muted(self.journal.muted_episodes().await?, now_ms, &mut changes);
        self.apply(changes).await;
        self.restore_budgets(now_ms).await?;
        Ok(())
    }

    async fn restore_budgets(&mut self, now_ms: i64) -> anyhow::Result<()> {
        self.journal.end_suppressed(now_ms).await?;
        let budgets = self.book.budgets_mut();
        for said in self.journal.feedback(now_ms - FEEDBACK_MS, MAX_FEEDBACK).await?.into_iter().rev() {
            if let (Some(id), Judgement::FalseAlarm) = (said.series, said.judgement) {
                budgets.remember(id, said.pattern, said.peak_score, said.said_ms);
            }
        }
        if let Some(state) = self.journal.kept_state(BUDGETS).await?
            && let Err(error) = budgets.load(&state)
        {
            tracing::warn!(%error, "what happened under the alert budget is not known any more; it is learned anew");
        }
        Ok(())
    }

    /// Keeps what happened under the budgets where that is due: a kill must not let alerts fire that are suppressed.
    async fn keep_news(&mut self, now_ms: i64) {
        let since_ms = now_ms - self.kept.at_ms;
        let due = if self.book.budgets().has_news() { self.kept.pause_ms } else { KEEP_QUIET_MS };
        // A clock that was set back is no reason to wait.
        if since_ms >= due || since_ms < 0 {
            self.keep_budgets().await;
        }
    }

    async fn keep_budgets(&mut self) {
        let state = self.book.budgets_mut().save();
        let pause_ms = KEEP_MS.max(state.len() as i64 * 1_000 / KEEP_RATE);
        self.kept = Kept { at_ms: self.clock.now_ms(), pause_ms };
        if let Err(error) = self.journal.keep_state(BUDGETS, self.clock.now_ms(), &state).await {
            tracing::warn!(%error, "what happened under the alert budget is not kept");
        }
    }

    async fn run(
        mut self,
        mut events: mpsc::Receiver<Vec<Event>>,
        mut judged: mpsc::Receiver<Judged>,
        mut inbox: mpsc::Receiver<Message>,
    ) {
        let mut shows = tokio::time::interval(SHOW);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut prunes = tokio::time::interval(PRUNE);
        loop {
            tokio::select! {
                Some(batch) = events.recv() => self.observe(batch).await,
                _ = ticks.tick() => self.tick().await,
                Some(said) = judged.recv() => {
                    let Judged { episode, fired, judgement, answer } = said;
                    self.metrics.counter(&own::FEEDBACK, &[judgement.as_str()]).inc();
                    // What was said is in the journal, whether or not somebody still waits.
                    let _ = answer.send(self.book.judged(&episode, fired, judgement, self.clock.now_ms()));
                }
                _ = shows.tick() => own::show_budgets(&self.metrics, self.book.budgets()),
                _ = prunes.tick() => {
                    let kept_ms = i64::try_from(self.limits.retention.as_millis()).unwrap_or(i64::MAX);
                    let now_ms = self.clock.now_ms();
                    self.journal.prune(now_ms.saturating_sub(kept_ms), now_ms - FEEDBACK_MS.max(kept_ms));
                }
                message = inbox.recv() => match message {
                    Some(Message::AddSink(name, instances)) => self.add_sink(&name, instances),
                    Some(Message::RemoveSink(name, done)) => {
                        self.outbox.remove(&name, FINISH).await;
                        let _ = done.send(());
                    }
                    Some(Message::SetRules(rules, limits)) => {
                        self.limits = limits;
                        let mut changes = Changes::default();
                        let before = self.book.budgets().shown();
                        self.book.set_rules(*rules, self.clock.now_ms(), &mut changes);
                        own::forget_budgets(&self.metrics, &before);
                        own::show_budgets(&self.metrics, self.book.budgets());
                        self.apply(changes).await;
                    }
                    Some(Message::Rules(answer)) => drop(answer.send(self.book.rules().clone())),
                    Some(Message::Ask(series, answer)) => {
                        let now_ms = self.clock.now_ms();
                        let standing = |asked: &Question| {
                            self.book.standing(asked.id, &asked.about, &asked.probe, now_ms)
                        };
                        // Whoever asked may have gone.
                        let _ = answer.send(series.iter().map(standing).collect());
                    }
                    Some(Message::Stop) | None => break,
                },
            }
        }
        while let Ok(batch) = events.try_recv() {
            self.observe(batch).await;
        }
        self.outbox.finish(FINISH).await;
        self.keep_budgets().await;
        self.journal.close().await;
    }

    fn add_sink(&mut self, name: &str, instances: Vec<Arc<dyn AlertSink>>) {
        for instance in &instances {
            instance.attach(name, &self.metrics);
        }
        self.outbox.add(name, instances);
        let known: Vec<Alert> = self.recent.iter().cloned().chain(self.book.open().map(Episode::alert)).collect();
        self.outbox.send_to(name, &known);
    }

    async fn observe(&mut self, batch: Vec<Event>) {
        self.book.set_quiet(self.known.quiet.load_full());
        let now_ms = self.clock.now_ms();
        let mut changes = Changes::default();
        for event in batch {
            match event {
                Event::Verdict(input) => self.book.observe(input, now_ms, &mut changes),
                Event::Refused(count) => self.book.refuse(count),
                Event::Ended { id, ts_ms } => self.book.ended(id, ts_ms, now_ms, &mut changes),
            }
        }
        self.apply(changes).await;
    }

    async fn tick(&mut self) {
        let hosts = self.scores.hosts().await;
        let mut changes = Changes::default();
        let now_ms = self.clock.now_ms();
        self.book.set_quiet(self.known.quiet.load_full());
        self.book.tick_budgets(now_ms, &hosts, self.scores.series(), self.samples_per_week(now_ms));
        self.book.tick(now_ms, &hosts, &mut changes);
        self.apply(changes).await;
        self.recent.retain(|alert| now_ms - alert.ends_ms < RESOLVED_MS);
        let counts = self.book.counts();
        // Alerts held for the sake of one host are no limit: the alert of the host stands for them.
        let full = counts.firing >= self.limits.max_open || counts.refused > self.refused;
        self.refused = counts.refused;
        self.metrics.gauge(&metrics::LIMIT_REACHED, &["alerts"]).set(f64::from(u8::from(full)));
        self.gauges.set(counts);
        own::show_suppressed(&self.metrics, self.book.budgets());
        self.keep_news(now_ms).await;
        self.tell_room().await;
    }

    /// Tells the shards when there is no room for further series, and when there is again.
    async fn tell_room(&mut self) {
        let full = self.book.is_full(self.full);
        if std::mem::replace(&mut self.full, full) == full {
            return;
        }
        for shard in self.shards.iter() {
            // A shard that failed begins anew, and is told at the next change.
            let _ = shard.post(move |shard| shard.hold_back(full)).await;
        }
    }

    fn samples_per_week(&self, now_ms: i64) -> Option<f64> {
        // History that is read back says nothing of how many samples come in a week.
        let of = |def| self.metrics.counter(def, &[]).get();
        let samples = of(&metrics::SAMPLES_JUDGED) - of(&metrics::SAMPLES_HISTORY);
        samples_per_week(samples, self.scores.series(), now_ms - self.started_ms)
    }

    async fn apply(&mut self, changes: Changes) {
        let alerts: Vec<Alert> = changes.alerts().collect();
        if !alerts.is_empty() {
            self.outbox.send(&alerts);
            self.recent.extend(alerts.into_iter().filter(|alert| alert.state == AlertState::Resolved));
            let over = self.recent.len().saturating_sub(MAX_RECENT);
            self.recent.drain(..over);
        }
        for transition in changes.transitions {
            if let Some(reason) = transition.change.suppressed() {
                let (alert, score) = (&transition.episode.labels, transition.episode.peak_score);
                tracing::debug!(change = transition.change.as_str(), reason = reason.as_str(), %alert, score, "no alert");
                self.journal.record(transition);
                continue;
            }
            self.note_agreement(&transition);
            tracing::info!(
                change = transition.change.as_str(),
                alert = %transition.episode.labels,
                score = transition.episode.peak_score,
                "alert"
            );
            self.journal.record(transition);
        }
        for track in changes.track {
            self.track(track).await;
        }
    }

    /// Counts whether other tools saw it, too, once an alert is over.
    fn note_agreement(&self, Transition { at_ms, change, episode }: &Transition) {
        let problems = self.known.problems.load();
        if *change != Change::Resolved || problems.is_empty() {
            return;
        }
        let labels = Some(&episode.labels);
        let seen = related(&problems, &episode.host, labels, episode.starts_ms, *at_ms).next().is_some();
        self.metrics.counter(&own::AGREEMENT, &[if seen { "yes" } else { "no" }]).inc();
    }

    async fn track(&self, Track { id, place, on }: Track) {
        match place {
            // A shard that failed has forgotten its series; the clock resolves what hung on them.
            Some((shard, slot)) => {
                if let Some(shard) = self.shards.get(shard as usize) {
                    let _ = shard.post(move |shard| shard.track(id, slot, on)).await;
                }
            }
            None => {
                for shard in self.shards.iter() {
                    let _ = shard.post(move |shard| shard.track_by_id(id, on)).await;
                }
            }
        }
    }
}
