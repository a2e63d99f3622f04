//! The targets of one source: gathers what discovery finds, starts and retires a runner for each target.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use watchbell_adapter_api::{Shutdown, SourceContext, SourceError};

use super::job::Job;
use super::runner::{Runner, Shared};
use super::stats::Stats;
use super::target::{NoTarget, Target};
use crate::discovery::{Found, Provider, Surroundings, TargetGroup};

/// All targets of a source.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// The last list of each provider.
    lists: Vec<Vec<TargetGroup>>,
    /// Runners by id of their target.
    running: HashMap<u64, Running>,
    runners: JoinSet<()>,
    /// The unusable address that was logged last.
    logged: Option<String>,
}

#[derive(Debug)]
struct Running {
    task: Id,
    retire: watch::Sender<bool>,
}

impl Pool {
    pub(crate) fn new(job: Job, context: SourceContext) -> Self {
        let stats = Arc::new(Stats::new(Arc::clone(&context.name), context.metrics.clone()));
        let shared = Shared { job: Arc::new(job), context, stats, too_many_targets: AtomicBool::new(false) };
        Self {
            shared: Arc::new(shared),
            lists: Vec::new(),
            running: HashMap::new(),
            runners: JoinSet::new(),
            logged: None,
        }
    }

    /// Runs discovery and runners until the shutdown.
    ///
    /// # Errors
    /// A provider that broke off: without it the list of targets would grow old unnoticed.
    pub(crate) async fn run(mut self, providers: Vec<Provider>) -> Result<(), SourceError> {
        let mut shutdown = self.shared.context.shutdown.clone();
        let (found, mut lists) = mpsc::channel(16);
        let surroundings = Surroundings {
            source: Arc::clone(&self.shared.context.name),
            metrics: self.shared.context.metrics.clone(),
            shutdown: shutdown.clone(),
            found,
        };
        self.lists = vec![Vec::new(); providers.len()];
        let mut discovery = JoinSet::new();
        for (index, provider) in providers.into_iter().enumerate() {
            discovery.spawn(provider.run(index, surroundings.clone()));
        }
        loop {
            tokio::select! {
                () = shutdown.wait() => return Ok(()),
                Some(Err(error)) = discovery.join_next() => {
                    return Err(SourceError(format!("discovery of targets broke off: {error}")));
                }
                Some(Found { provider, groups }) = lists.recv() => {
                    self.lists[provider] = groups;
                    self.sync();
                }
                Some(ended) = self.runners.join_next_with_id() => self.ended(ended),
            }
        }
    }

    /// Starts what is new and retires what is gone.
    fn sync(&mut self) {
        let mut wanted = self.targets();
        self.running.retain(|id, running| {
            let stays = wanted.contains_key(id);
            if !stays {
                // A runner that ended by itself no longer listens.
                let _ = running.retire.send(true);
            }
            stays
        });
        let limit = self.shared.job.target_limit;
        let too_many = limit > 0 && wanted.len() > limit;
        if too_many != self.shared.too_many_targets.swap(too_many, Ordering::Relaxed) {
            let source = &*self.shared.context.name;
            tracing::warn!(source, targets = wanted.len(), limit, too_many, "number of targets crossed `target_limit`");
        }
        wanted.retain(|id, _| !self.running.contains_key(id));
        for (id, target) in wanted {
            let (retire, retired) = Shutdown::channel();
            let runner = Runner::new(Arc::clone(&self.shared), target);
            let task = self.runners.spawn(runner.run(retired)).id();
            self.running.insert(id, Running { task, retire });
        }
    }

    /// All targets of the lists, each once.
    fn targets(&mut self) -> HashMap<u64, Target> {
        let mut targets = HashMap::new();
        let (mut dropped, mut invalid, mut first) = (0, 0, None);
        for group in self.lists.iter().flatten() {
            for address in &group.targets {
                match Target::new(&self.shared.job, address, &group.labels) {
                    Ok(target) => drop(targets.insert(target.id, target)),
                    Err(NoTarget::Dropped) => dropped += 1,
                    Err(NoTarget::Invalid(error)) => {
                        invalid += 1;
                        first.get_or_insert((address.clone(), error));
                    }
                }
            }
        }
        self.shared.stats.no_targets(dropped, invalid);
        let address = first.as_ref().map(|(address, _)| address.clone());
        if let Some((address, error)) = first.filter(|(address, _)| self.logged.as_ref() != Some(address)) {
            let source = &*self.shared.context.name;
            tracing::warn!(source, address, error, invalid, "no target can be made of an address");
        }
        self.logged = address;
        targets
    }

    /// Starts a runner anew that broke off; one that was retired just ends.
    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let Err(error) = ended else { return };
        self.shared.stats.panicked();
        tracing::error!(source = &*self.shared.context.name, %error, "a scrape loop broke off and starts anew");
        let task = error.id();
        self.running.retain(|_, running| running.task != task);
        self.sync();
    }
}
