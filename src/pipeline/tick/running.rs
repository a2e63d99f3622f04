//! The tick stage of a running service, which a reload may start anew.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use watchbell_adapter_api::{Clock, Metrics, Shutdown};

use super::board::{Board, Hosts};
use super::fleet::{Counts, FleetConfig};
use super::published::Published;
use super::{Ticker, fleet_config};
use crate::config::Settings;
use crate::pipeline::handle::ShardHandle;
use crate::pipeline::hosts::HostBook;

/// What the stage works on.
#[derive(Clone)]
pub struct Around {
    /// Where series are.
    pub shards: Arc<[ShardHandle]>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where readers look at hosts.
    pub board: Board,
    /// How hosts are called.
    pub book: Arc<HostBook>,
    /// Own metrics.
    pub metrics: Metrics,
}

impl std::fmt::Debug for Around {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Around")
    }
}

/// The stage, with its own end.
#[derive(Debug)]
pub struct Running {
    around: Around,
    /// What it goes by, and by which labels series are grouped.
    config: Option<(FleetConfig, Vec<String>)>,
    ticking: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

fn wanted(settings: &Settings) -> Option<(FleetConfig, Vec<String>)> {
    fleet_config(settings).map(|config| (config, settings.detect.peers.group_by.clone()))
}

impl Running {
    /// Starts it as `settings` want it; idle where they want neither hosts nor peers.
    ///
    /// # Errors
    /// The folder can not be used, or the system refuses a thread.
    pub async fn start(settings: &Settings, around: Around) -> anyhow::Result<Self> {
        let mut running = Self { around, config: None, ticking: None };
        running.begin(settings).await?;
        Ok(running)
    }

    /// Goes on as `settings` want it: what was learned is saved and comes back, as far as it is still asked for.
    ///
    /// # Errors
    /// As for [`Running::start`]; nothing ticks then.
    pub async fn renew(&mut self, settings: &Settings) -> anyhow::Result<()> {
        if wanted(settings) == self.config {
            return Ok(());
        }
        self.stop().await;
        self.begin(settings).await
    }

    async fn begin(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let Around { shards, clock, board, book, metrics } = self.around.clone();
        let ticker = Ticker::start(settings, shards, clock, (board, book), &metrics).await?;
        let (stop, shutdown) = Shutdown::channel();
        self.ticking = ticker.map(|ticker| (stop, tokio::spawn(ticker.run(shutdown))));
        self.config = wanted(settings);
        Ok(())
    }

    /// Ends it; what was learned is saved, and nobody is shown it any more.
    pub async fn stop(&mut self) {
        let Some((stop, task)) = self.ticking.take() else { return };
        self.config = None;
        stop.send_replace(true);
        // A panic was told of where its work was done.
        let _ = task.await;
        for shard in self.around.shards.iter() {
            // A shard that fails here has forgotten it anyway.
            let _ = shard.call(|shard| shard.unwatch_series()).await;
        }
        self.around.board.publish(Hosts::new());
        Published::new(&self.around.metrics).set(Counts::default());
    }
}
