//! Runs sources and sinks: each in a task of its own, started anew when it fails or panics, and stopped
//! alone when a reload takes it away.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use watchbell_adapter_api::{
    BoxFuture, Clock, Failures, Health, Ingest, Metrics, Prepared, Problems, ScoreSink, Scores, Shutdown, SinkContext,
    SinkKind, Source, SourceContext, SourceError, SourceKind,
};

use super::ingest::SourceIngest;
use crate::api::routes::{RouteTable, Routes};
use crate::clock::Timer;
use crate::context::{Board, Known};
use crate::telemetry::metrics;

/// First pause before a failed component is started again; doubled up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(60);
/// How long a component may take to stop.
const STOP: Duration = Duration::from_secs(10);

/// What components need of the service.
#[derive(Clone)]
pub struct Surroundings {
    /// Where batches go.
    pub ingest: Arc<dyn Ingest>,
    /// Where scores are read.
    pub scores: Arc<dyn Scores>,
    /// What sources know beside samples.
    pub context: Board,
    /// What of it is in force.
    pub known: Known,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Own metrics.
    pub metrics: Metrics,
    /// What fails of sources and sinks.
    pub failures: Failures,
    /// Where routes are served.
    pub routes: RouteTable,
    /// Folder of all that is kept.
    pub data_dir: PathBuf,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Surroundings")
    }
}

/// A running source or sink.
#[derive(Debug)]
pub struct Component {
    name: String,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    routes: RouteTable,
    metrics: Metrics,
    failures: Failures,
}

impl Component {
    /// Tells it to stop and waits until it has, or until it takes too long.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.routes.set(&self.name, None);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(STOP, self.task).await.is_err() {
            tracing::warn!(component = self.name, "does not stop; given up");
            abort.abort();
        }
        // What was taken away is not down.
        self.failures.forget(&self.name);
        self.metrics.forget(&metrics::COMPONENT_FAILING, &[&self.name]);
        self.metrics.forget(&metrics::COMPONENT_UP, &[&self.name]);
        self.metrics.forget(&metrics::COMPONENT_RESTARTS, &[&self.name]);
    }
}

/// Something that runs and may be made again from its config.
trait Runner: Send + 'static {
    fn routes(&mut self) -> Option<Routes>;
    fn run(self: Box<Self>) -> BoxFuture<'static, Result<(), SourceError>>;
}

struct RunSource(Box<dyn Source>, SourceContext);

impl Runner for RunSource {
    fn routes(&mut self) -> Option<Routes> {
        let own_credentials = self.0.asks_for_credentials();
        Some(Routes { router: self.0.routes(&self.1)?, own_credentials })
    }

    fn run(self: Box<Self>) -> BoxFuture<'static, Result<(), SourceError>> {
        self.0.run(self.1)
    }
}

struct RunSink(Box<dyn ScoreSink>, SinkContext);

impl Runner for RunSink {
    fn routes(&mut self) -> Option<Routes> {
        Some(Routes { router: self.0.routes(&self.1)?, own_credentials: false })
    }

    fn run(self: Box<Self>) -> BoxFuture<'static, Result<(), SourceError>> {
        self.0.run(self.1)
    }
}

/// A name as one plain part of a path.
fn folder(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    name.chars().map(plain).collect()
}

/// Starts a source that was prepared from `value`.
#[must_use]
pub fn start_source(
    name: &str,
    kind: &'static SourceKind,
    value: Value,
    source: Box<dyn Source>,
    around: &Surroundings,
) -> Component {
    let (stop, shutdown) = Shutdown::channel();
    let health = around.failures.component(name);
    let context = SourceContext {
        name: name.into(),
        ingest: Arc::new(SourceIngest::new(Arc::clone(&around.ingest), name)),
        context: around.context.sink(name),
        clock: Arc::clone(&around.clock),
        shutdown: shutdown.clone(),
        metrics: around.metrics.clone(),
        health: health.clone(),
        state: Some(around.data_dir.join("sources").join(folder(name))),
    };
    let again = {
        let context = context.clone();
        move || {
            let source = (kind.prepare)(value.clone(), &mut Problems::default())?;
            Some(Box::new(RunSource(source, context.clone())) as Box<dyn Runner>)
        }
    };
    start(name, Box::new(RunSource(source, context)), again, around, health, stop, shutdown)
}

/// Starts a sink of scores that was prepared from `value`.
#[must_use]
pub fn start_score_sink(
    name: &str,
    kind: &'static SinkKind,
    value: Value,
    sink: Box<dyn ScoreSink>,
    around: &Surroundings,
) -> Component {
    let (stop, shutdown) = Shutdown::channel();
    let health = around.failures.component(name);
    let context = SinkContext {
        name: name.into(),
        scores: Arc::clone(&around.scores),
        clock: Arc::clone(&around.clock),
        shutdown: shutdown.clone(),
        metrics: around.metrics.clone(),
        health: health.clone(),
    };
    let again = {
        let context = context.clone();
        move || match (kind.prepare)(value.clone(), &mut Problems::default())? {
            Prepared::Scores(sink) => Some(Box::new(RunSink(sink, context.clone())) as Box<dyn Runner>),
            Prepared::Alerts(_) => None,
        }
    };
    start(name, Box::new(RunSink(sink, context)), again, around, health, stop, shutdown)
}

fn start(
    name: &str,
    mut runner: Box<dyn Runner>,
    again: impl Fn() -> Option<Box<dyn Runner>> + Send + 'static,
    around: &Surroundings,
    health: Health,
    stop: watch::Sender<bool>,
    mut shutdown: Shutdown,
) -> Component {
    let (name, routes) = (name.to_owned(), around.routes.clone());
    routes.set(&name, runner.routes());
    let up = around.metrics.gauge(&metrics::COMPONENT_UP, &[&name]);
    let restarts = around.metrics.counter(&metrics::COMPONENT_RESTARTS, &[&name]);
    let (shown, table, clock) = (name.clone(), routes.clone(), Arc::clone(&around.clock));
    let task = tokio::spawn(async move {
        let mut pause = SHORTEST;
        let mut next = Some(runner);
        loop {
            if let Some(runner) = next.take() {
                let timer = Timer::start();
                health.clear();
                up.set(1.0);
                let ended = AssertUnwindSafe(runner.run()).catch_unwind().await;
                up.set(0.0);
                if shutdown.is_set() {
                    return;
                }
                let reason = match ended {
                    Ok(Ok(())) => {
                        tracing::error!(component = name, "ended by itself");
                        "ended by itself".to_owned()
                    }
                    Ok(Err(error)) => {
                        tracing::error!(component = name, %error, "failed");
                        error.to_string()
                    }
                    Err(_) => {
                        tracing::error!(component = name, "panicked");
                        "panicked".to_owned()
                    }
                };
                health.failing("run", reason, clock.now_ms());
                if timer.elapsed() > LONGEST {
                    pause = SHORTEST;
                }
            }
            tracing::info!(component = name, "starts again in {} s", pause.as_secs());
            if !shutdown.sleep(pause).await {
                return;
            }
            pause = (pause * 2).min(LONGEST);
            restarts.inc();
            next = again();
            match &mut next {
                Some(runner) => routes.set(&name, runner.routes()),
                None => tracing::error!(component = name, "can not be prepared again; see `watchbell check`"),
            }
        }
    });
    let (metrics, failures) = (around.metrics.clone(), around.failures.clone());
    Component { name: shown, stop, task, routes: table, metrics, failures }
}
