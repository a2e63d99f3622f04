//! The service: builds all stages from a checked config, runs them, applies reloads, and drains at the end.

mod reload;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use watchbell_adapter_api::{Clock, Failures, Ingest, Metrics, Prepared, Scores, Shutdown};
use watchbell_detect::{Judge, JudgeConfig};
use watchbell_normalize::{Normalizer, Rules, Shard as ShardOf};

use super::alerts::AlertStage;
use super::checkpoint::Checkpointer;
use super::explain::Explainer;
use super::handle::{ShardHandle, ShardMeta, ShardThread};
use super::hosts::{HostBook, SharedHosts};
use super::ingest::{Gate, NewHost, Router};
use super::scores::{ScoreView, SourceKinds};
use super::shard::{Event, Shard};
use super::source_watch::SourceRow;
use super::strikes::{self, Strikes};
use super::supervise::{Component, Surroundings, start_score_sink, start_source};
use super::sweep::Sweeper;
use super::tick::Board;
use super::tick::running::{self, Running};
use super::warm::WarmStart;
use super::{civil, reshard, rules};
use crate::api::routes::RouteTable;
use crate::api::server::Server;
use crate::api::{self, Api, ReloadRequest};
use crate::clock::Timer;
use crate::config::{Checked, Config, Named, Outline, Overrides, Settings};
use crate::context::{self, keeper, quiet};
use crate::registry::Registry;
use crate::store::DataDir;
use crate::store::journal::Journal;
use crate::telemetry::{metrics, process};

/// Batches of verdicts that may wait for the alerting stage.
const VERDICTS: usize = 64;
/// New hosts that may wait for their history; one beyond learns from live samples.
const NEW_HOSTS: usize = 4096;
/// How long live samples are held back at most while the time of a pause is caught up.
const CATCH_UP: Duration = Duration::from_secs(120);

/// Where the config came from, so that it can be loaded again.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// The file; none for the built-in config.
    pub file: Option<PathBuf>,
    /// What the command line says.
    pub overrides: Overrides,
}

impl Origin {
    /// Loads and checks it.
    ///
    /// # Errors
    /// All problems, a text each.
    pub fn load(&self) -> Result<Checked, Vec<String>> {
        let loaded = match &self.file {
            Some(file) => Config::load(file, &self.overrides),
            None => Config::built_in(&self.overrides),
        };
        let checked = loaded.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let mappings = rules::load(&checked.settings).err().unwrap_or_default();
        let alerts = super::alerts::load_rules(&checked.settings).err().unwrap_or_default();
        let problems: Vec<String> = mappings.into_iter().chain(alerts).collect();
        if problems.is_empty() { Ok(checked) } else { Err(problems) }
    }
}

/// A running service.
pub struct Service {
    origin: Origin,
    outline: Outline,
    around: Surroundings,
    router: Router,
    gate: Arc<Gate>,
    shards: Arc<[ShardHandle]>,
    current: Arc<Mutex<Current>>,
    book: Arc<HostBook>,
    threads: Vec<ShardThread>,
    /// Locked for this process as long as it runs.
    data_dir: DataDir,
    sources: HashMap<String, Component>,
    sinks: HashMap<String, Component>,
    kinds: SourceKinds,
    alerts: AlertStage,
    checkpointer: Arc<Checkpointer>,
    ticking: Running,
    tasks: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    stop_server: watch::Sender<bool>,
    server: JoinHandle<()>,
    reloads: mpsc::Receiver<ReloadRequest>,
    address: std::net::SocketAddr,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Service {
    /// Builds and starts everything; returns once samples are taken.
    ///
    /// # Errors
    /// A port is taken, the data folder can not be used, or rules are not valid.
    pub async fn start(
        origin: Origin,
        checked: Checked,
        clock: Arc<dyn Clock>,
        banner: Option<&'static str>,
    ) -> anyhow::Result<Self> {
        let began = Timer::start();
        let settings = checked.settings.clone();
        let outline = Outline::of(&checked);
        let metrics = Metrics::default();
        process::register(&metrics);
        let data_dir = DataDir::open(&settings.data_dir)?;
        let journal = Arc::new(Journal::open(&settings.data_dir).await?);

        let (stop, shutdown) = Shutdown::channel();
        let (verdicts, verdict_queue) = mpsc::channel(VERDICTS);
        let loaded = rules::load(&settings).map_err(|problems| anyhow!(problems.join("\n")))?;
        let hosts = SharedHosts::default();
        let struck = strikes::shared(&journal, Arc::clone(&loaded), Arc::clone(&hosts)).await?;
        let current = Arc::new(Mutex::new(Current {
            rules: loaded,
            judging: judge_config(&settings),
            sources: checked.source_limits().into(),
        }));
        let known = context::Known::default();
        let context = context::Board::new(known.clone());
        let mapping: Arc<dyn Fn() -> Arc<Rules> + Send + Sync> = {
            let current = Arc::clone(&current);
            Arc::new(move || Arc::clone(&current.lock().unwrap_or_else(PoisonError::into_inner).rules))
        };
        let naming: keeper::Naming = {
            let (mapping, hosts) = (Arc::clone(&mapping), Arc::clone(&hosts));
            Arc::new(move || (mapping(), hosts.load_full()))
        };
        let alert_rules = super::alerts::load_rules(&settings).map_err(|problems| anyhow!(problems.join("\n")))?;
        let names: Vec<String> = checked.sources.iter().map(|source| source.name.to_string()).collect();
        let kept = context::Keeper::restore(
            context.clone(),
            Arc::clone(&journal),
            known.clone(),
            Arc::clone(&naming),
            alert_rules,
            Arc::clone(&clock),
            metrics.clone(),
            settings.alerting.retention,
            &names,
        );
        let mut kept = kept.await?;
        reshard::fold_log(&settings, &current, &clock, &metrics).await?;
        let (shards, threads) = start_shards(&settings, &current, &verdicts, &known.quiet)?;
        drop(verdicts);

        let gate = Arc::new(Gate::default());
        let (new_hosts, hosts_seen) = mpsc::channel(NEW_HOSTS);
        let seconds = metrics.histogram(&metrics::INGEST_SECONDS, &[]);
        let router = Router::new(Arc::clone(&shards), Arc::clone(&gate), seconds, new_hosts);
        let (judged, board) = (Arc::new(AtomicU64::new(0)), Board::default());
        let kinds = SourceKinds::default();
        kinds.note(&checked.sources);
        let scores: Arc<dyn Scores> = Arc::new(ScoreView::new(
            Arc::clone(&shards),
            Arc::clone(&clock),
            Arc::clone(&judged),
            board.clone(),
            kinds.clone(),
            Arc::clone(&known.quiet),
        ));

        let book = HostBook::new(Arc::clone(&shards), Arc::clone(&current), Arc::clone(&hosts), metrics.clone());
        let (reload, reloads) = mpsc::channel(4);
        let explainer = Arc::new(OnceLock::new());
        let failures = Failures::default();
        let own = api::router(Api {
            explainer: Arc::clone(&explainer),
            metrics: metrics.clone(),
            failures: failures.clone(),
            scores: Arc::clone(&scores),
            book: Arc::clone(&book),
            known: known.clone(),
            journal: Arc::clone(&journal),
            clock: Arc::clone(&clock),
            gate: Arc::clone(&gate),
            reload,
            banner,
        });
        let (sayings, judgements) = mpsc::channel(strikes::ORDERS);
        let (orders, order_queue) = mpsc::channel(strikes::ORDERS);
        let (planned, plans) = mpsc::channel(keeper::ORDERS);
        let of_context = api::context::Desk {
            journal: Arc::clone(&journal),
            known: known.clone(),
            orders: planned,
            naming,
            shards: Arc::clone(&shards),
            clock: Arc::clone(&clock),
        };
        let desk = api::teach::Desk {
            journal: Arc::clone(&journal),
            clock: Arc::clone(&clock),
            judged: sayings,
            orders,
            shards: Arc::clone(&shards),
        };
        let own = own.merge(api::teach::router(desk)).merge(api::context::router(of_context));
        let routes = RouteTable::new(own, settings.http.basic_auth.clone());
        let tls = settings.http.tls.as_ref().map(api::tls::server_config).transpose().map_err(|e| anyhow!(e))?;
        let server =
            Server::bind(settings.http.listen, tls, settings.http.max_connections).await.map_err(|e| anyhow!(e))?;
        let address = server.address()?;
        let (stop_server, server_shutdown) = Shutdown::channel();
        let server = tokio::spawn(server.run(routes.clone(), server_shutdown));

        let checkpointer =
            Checkpointer::open(&settings.data_dir, Arc::clone(&shards), Arc::clone(&clock), metrics.clone())?;
        let checkpointer = Arc::new(checkpointer);
        let restored = checkpointer.restore().await?;
        let now_ms = clock.now_ms();
        for shard in shards.iter() {
            // It was this process that was away, not the series.
            shard.call(move |shard| shard.resume(now_ms)).await?;
        }
        if restored.series > 0 || restored.samples > 0 {
            let (series, samples) = (restored.series, restored.samples);
            tracing::info!(series, samples_from_log = samples, seconds = began.seconds(), "state restored");
        }

        let ingest: Arc<dyn Ingest> = Arc::new(router.clone());
        let around = Surroundings {
            ingest,
            scores,
            context,
            known: known.clone(),
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            failures,
            routes,
            data_dir: settings.data_dir.clone(),
        };
        let alerts =
            AlertStage::start(&settings, &around, Arc::clone(&journal), Arc::clone(&shards), verdict_queue, judgements)
                .await?;
        let asked = Explainer {
            shards: Arc::clone(&shards),
            alerts: alerts.asker(),
            known: known.clone(),
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            current: Arc::clone(&current),
            time: civil::table(&settings.timezone),
            limits: rules::limits(&settings),
            history: checked.history.as_ref().map(|history| Arc::clone(&history.item)),
            busy: Arc::new(tokio::sync::Semaphore::new(1)),
        };
        // It is set once: this is the only place.
        let _ = explainer.set(asked);
        let limit = settings.series.max_series as u64;
        let mut sweeper =
            Sweeper::new(Arc::clone(&shards), Arc::clone(&clock), judged, Arc::clone(&checkpointer), &metrics, limit)
                .watching(Arc::clone(&current));
        sweeper.skip_restored().await;
        let mut tasks = vec![
            tokio::spawn(sweeper.run(shutdown.clone())),
            tokio::spawn(Arc::clone(&checkpointer).run(settings.checkpoint_interval, shutdown.clone())),
        ];
        // Before anybody asks for a host, also those of what was restored.
        book.look().await;
        kept.begin(&shards).await;
        tasks.push(tokio::spawn(Arc::clone(&book).run(shutdown.clone())));
        let ticks = running::Around {
            shards: Arc::clone(&shards),
            clock: Arc::clone(&clock),
            board,
            book: Arc::clone(&book),
            metrics: metrics.clone(),
        };
        let ticking = Running::start(&settings, ticks).await?;
        let warm = checked.history.map(|history| {
            let ingest = Arc::new(strikes::Stripped::new(Arc::clone(&around.ingest), Arc::clone(&struck)));
            let (clock, metrics) = (Arc::clone(&around.clock), metrics.clone());
            Arc::new(WarmStart::new(history.item, ingest, clock, metrics, shutdown.clone(), Arc::clone(&checkpointer)))
        });
        let strikes = Strikes {
            journal,
            windows: struck,
            hosts,
            rules: mapping,
            warm: warm.clone(),
            ingest: Arc::clone(&around.ingest),
            shards: Arc::clone(&shards),
            checkpointer: Arc::clone(&checkpointer),
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
        };
        tasks.push(start_history(warm, &gate, restored.last_ts_ms, hosts_seen, shutdown.clone()).await);

        tasks.push(tokio::spawn(strikes.run(order_queue, shutdown.clone())));
        tasks.push(tokio::spawn(kept.run(
            Arc::clone(&shards),
            alerts.asker(),
            plans,
            book.changed(),
            shutdown.clone(),
        )));

        let mut service = Self {
            origin,
            outline,
            around,
            router,
            gate,
            shards,
            current,
            book,
            threads,
            data_dir,
            sources: HashMap::new(),
            sinks: HashMap::new(),
            kinds,
            alerts,
            checkpointer,
            ticking,
            tasks,
            stop,
            stop_server,
            server,
            reloads,
            address,
        };
        for sink in checked.sinks {
            service.start_sink(sink).await;
        }
        for source in checked.sources {
            service.start_source(source);
        }
        service.gate.open();
        tracing::info!(
            address = %service.address,
            seconds = began.seconds(),
            series = restored.series,
            data_dir = %service.data_dir.path().display(),
            sources = service.sources.len(),
            "ready"
        );
        Ok(service)
    }

    /// The address of the HTTP server.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    /// Where batches may be submitted directly.
    #[must_use]
    pub fn ingest(&self) -> Router {
        self.router.clone()
    }

    /// Where scores may be read directly.
    #[must_use]
    pub fn scores(&self) -> Arc<dyn Scores> {
        Arc::clone(&self.around.scores)
    }

    /// Runs until `stop` completes; `hangup` asks for a reload each time it gives a value.
    pub async fn run(mut self, stop: impl Future<Output = ()>, mut hangup: mpsc::Receiver<()>) {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(()) = hangup.recv() => {
                    let _ = self.reload().await;
                }
                Some(answer) = self.reloads.recv() => {
                    // The asker may have gone; the reload is done all the same.
                    let _ = answer.send(self.reload().await);
                }
            }
        }
        self.stop().await;
    }

    fn start_source(&mut self, source: Named<Box<dyn watchbell_adapter_api::Source>>) {
        let Ok(kind) = Registry::default().source(source.kind) else { return };
        let component = start_source(&source.name, kind, own_value(source.fingerprint), source.item, &self.around);
        self.sources.insert(source.name.to_string(), component);
    }

    async fn start_sink(&mut self, sink: Named<Prepared>) {
        match sink.item {
            Prepared::Alerts(instances) => self.alerts.add_sink(&sink.name, instances).await,
            Prepared::Scores(scores) => {
                let Ok(kind) = Registry::default().sink(sink.kind) else { return };
                let component = start_score_sink(&sink.name, kind, own_value(sink.fingerprint), scores, &self.around);
                self.sinks.insert(sink.name.to_string(), component);
            }
        }
    }

    /// Stops taking samples, lets sinks finish, and saves all state.
    async fn stop(mut self) {
        tracing::info!("stopping");
        for (_, source) in self.sources.drain() {
            source.stop().await;
        }
        self.gate.close();
        self.stop_server.send_replace(true);
        for (_, sink) in self.sinks.drain() {
            sink.stop().await;
        }
        self.stop.send_replace(true);
        self.ticking.stop().await;
        for task in self.tasks {
            let _ = task.await;
        }
        self.alerts.stop().await;
        match self.checkpointer.save().await {
            Ok(committed) => tracing::info!(segments = committed.written + committed.kept, "state saved"),
            Err(error) => tracing::error!(%error, "state not saved; the log of samples will be judged again"),
        }
        let _ = self.server.await;
        drop((self.checkpointer, self.ticking, self.around, self.router, self.shards));
        let joined = tokio::task::spawn_blocking(move || self.threads.into_iter().for_each(ShardThread::join));
        // A request that is still answered may hold a handle; the process ends either way.
        let _ = tokio::time::timeout(Duration::from_secs(2), joined).await;
        drop(self.data_dir);
        tracing::info!("stopped");
    }
}

/// What an adapter reads: the item without the words that are the service's.
fn own_value(mut fingerprint: serde_json::Value) -> serde_json::Value {
    if let Some(object) = fingerprint.as_object_mut() {
        object.remove("type");
    }
    fingerprint
}

/// How `settings` ask series to be judged.
pub(crate) fn judge_config(settings: &Settings) -> JudgeConfig {
    JudgeConfig {
        warmup_s: settings.detect.warmup.as_secs_f32(),
        // Twice the sensitivity accepts twice the false alarms; see `JudgeConfig::t_shift`.
        t_shift: -settings.detect.sensitivity.log10() as f32,
        report_edge: settings.detect.report_edge as f32,
        settle_s: settings.detect.joint.warmup.as_secs_f32(),
        ..JudgeConfig::default()
    }
}

/// What a shard that starts anew works by: a reload may have changed it since the start.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) rules: Arc<Rules>,
    pub(super) judging: JudgeConfig,
    sources: Arc<[SourceRow]>,
}

impl Current {
    /// The sources there are, each with its limit of series.
    pub(super) fn sources(&self) -> Arc<[SourceRow]> {
        Arc::clone(&self.sources)
    }
}

type Shards = (Arc<[ShardHandle]>, Vec<ShardThread>);

/// Starts empty shards.
pub(super) fn start_shards(
    settings: &Settings,
    current: &Arc<Mutex<Current>>,
    verdicts: &mpsc::Sender<Vec<Event>>,
    quiet: &quiet::Shared,
) -> anyhow::Result<Shards> {
    let count = settings.shards as u32;
    let (limits, time) = (rules::limits(settings), civil::table(&settings.timezone));
    let (mut handles, mut threads) = (Vec::new(), Vec::new());
    for index in 0..count {
        let (current, verdicts, time) = (Arc::clone(current), verdicts.clone(), time.clone());
        let quiet = Arc::clone(quiet);
        let make = move || {
            let current = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let Current { rules, judging, sources } = current;
            let mut normalizer = Normalizer::new(rules, ShardOf { index, count }, limits);
            normalizer.set_source_limits(rules::source_limits(&sources, count as usize));
            let judge = Judge::new(judging, time.clone());
            let meta = ShardMeta::new(index, count);
            let shard = Shard::new(meta, normalizer, judge, None, verdicts.clone(), limits.idle_ms);
            shard.with_quiet(Arc::clone(&quiet))
        };
        let (handle, thread) = ShardHandle::start(index, make).context("can not start the thread of a shard")?;
        handles.push(handle);
        threads.push(thread);
    }
    Ok((handles.into(), threads))
}

/// Catches up, or begins the warm start, and follows hosts that appear later.
async fn start_history(
    warm: Option<Arc<WarmStart>>,
    gate: &Gate,
    last_ts_ms: Option<i64>,
    hosts_seen: mpsc::Receiver<NewHost>,
    shutdown: Shutdown,
) -> JoinHandle<()> {
    let Some(warm) = warm else {
        return tokio::spawn(ignore_hosts(hosts_seen, shutdown));
    };
    debug_assert!(!gate.is_open(), "live samples would overtake the history");
    if last_ts_ms.is_some() {
        // A series that took a live sample would refuse what came before it, so live samples wait.
        if tokio::time::timeout(CATCH_UP, warm.catch_up(last_ts_ms)).await.is_err() {
            tracing::warn!("catching up takes too long; live samples are taken, a gap remains");
        }
    }
    // A kill while history was read left a part of it: it is read again, and what is held is skipped.
    let from_the_start = last_ts_ms.is_none() || warm.is_pending();
    tokio::spawn(async move {
        let whole = !from_the_start || warm.catch_up(None).await;
        warm.keep(whole).await;
        warm.follow(hosts_seen, whole).await;
    })
}

async fn ignore_hosts(mut hosts_seen: mpsc::Receiver<NewHost>, mut shutdown: Shutdown) {
    loop {
        tokio::select! {
            host = hosts_seen.recv() => if host.is_none() { return },
            () = shutdown.wait() => return,
        }
    }
}
