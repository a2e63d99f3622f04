//! The tick stage: what no shard can judge alone, because the series of a host, and those of a group, live in
//! several shards.
//!
//! Each tick it gathers the last value and the worst score of every series from the shards, in slices, and
//! hands them to a thread of its own. There each host has a model of all its channels together, and each
//! group of peers is compared. What comes of it goes to the [`Board`] that readers look at, and verdicts on
//! single series go back to their shards, from where they go the way of all verdicts. Models are fitted on
//! that thread, too, a few at a time: no sample ever waits for it.
//!
//! | module | holds |
//! | --- | --- |
//! | [`fleet`] | all hosts and groups, and what a tick makes of them; pure |
//! | `host`, `channels` | one host; which of its series it is judged by |
//! | [`board`] | what is shown |
//! | [`local`] | the same stage over one shard at hand, for a replay |
//! | `running` | the stage of a service, which a reload may start anew |
//! | `saved` | hosts and groups as bytes |
//! | `thread` | the thread they live on |
//!
//! Time is the clock's; a replay ticks a [`local::LocalTicker`] in the time of its samples.

pub mod board;
mod channels;
pub mod fleet;
mod host;
pub mod local;
mod published;
pub mod running;
mod saved;
mod thread;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use watchbell_adapter_api::{Clock, Metrics, Shutdown};
use watchbell_detect::{JointConfig, Seeded};

use super::handle::ShardHandle;
use super::hosts::HostBook;
use super::shard::{Grouping, Place};
use crate::clock::Timer;
use crate::config::Settings;
use crate::store::models::Models;
pub use board::{Board, HostState};
use fleet::{Fleet, FleetConfig, ForShard, Seed};
use published::Published;
use saved::BUCKETS;
pub use thread::FleetFailed;
use thread::FleetThread;

/// How often the shards are asked for new series: a new one that can take over its group's state has a score
/// this soon.
const POLL: Duration = Duration::from_secs(10);
/// Series that a shard tells of in one call.
const SIGHTINGS: usize = 4096;
/// New series that take over their group's state in one round.
const SEEDS: usize = 256;
/// Names that are asked for after one tick.
const NAMES: usize = 1024;
/// A fit is followed by a rest of so many times its length: fitting takes a fifth of a core at most.
const REST: u32 = 4;
/// All models that are due are fitted within so many ticks.
const FIT_TICKS: usize = 60;
/// Least number of models fitted after a tick.
const FITS: usize = 4;
/// Bytes written in one round of saving, about; the rest waits for the next.
const SAVE_BYTES: usize = 16 << 20;

/// The tick stage as long as nobody runs it.
pub struct Ticker {
    shards: Arc<[ShardHandle]>,
    clock: Arc<dyn Clock>,
    thread: FleetThread,
    board: Board,
    book: Arc<HostBook>,
    models: Models,
    grouping: Arc<Grouping>,
    tick_ms: i64,
    save_ms: i64,
    /// Panics of each shard that are known.
    panics: Vec<u64>,
    /// Whether the shards were asked to tell of their series.
    began: bool,
    saved_ms: i64,
    next_bucket: u32,
    hosts: usize,
    published: Published,
}

impl std::fmt::Debug for Ticker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticker").field("tick_ms", &self.tick_ms).finish_non_exhaustive()
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What the fleet goes by where `settings` hold; `None` where neither hosts nor peers are wanted.
#[must_use]
pub fn fleet_config(settings: &Settings) -> Option<FleetConfig> {
    let detect = &settings.detect;
    #[allow(clippy::needless_update, reason = "a further setting of the detector is none of the config")]
    let joint = JointConfig {
        warmup_s: detect.joint.warmup.as_secs_f32(),
        // As for single series: twice the sensitivity accepts twice the false alarms.
        t_shift: -detect.sensitivity.log10() as f32,
        methods: detect.joint.methods,
        ..JointConfig::default()
    };
    let config = FleetConfig {
        tick_ms: millis(detect.tick),
        joint: detect.joint.enabled.then_some(joint),
        channels: detect.joint.channels,
        max_hosts: detect.joint.max_hosts,
        peers: detect.peers.enabled,
        expire_ms: millis(settings.series.expire_after),
    };
    (config.joint.is_some() || config.peers).then_some(config)
}

impl Ticker {
    /// Starts the thread, and brings back what was saved. Nothing where neither hosts nor peers are wanted.
    ///
    /// # Errors
    /// The folder can not be used, or the system refuses a thread.
    pub(super) async fn start(
        settings: &Settings,
        shards: Arc<[ShardHandle]>,
        clock: Arc<dyn Clock>,
        (board, book): (Board, Arc<HostBook>),
        own: &Metrics,
    ) -> anyhow::Result<Option<Self>> {
        let Some(config) = fleet_config(settings) else { return Ok(None) };
        let tick_ms = config.tick_ms;
        let thread = FleetThread::start(config).context("can not start the thread that judges hosts")?;
        let ticker = Self {
            panics: shards.iter().map(ShardHandle::panics).collect(),
            saved_ms: clock.now_ms(),
            shards,
            clock,
            thread,
            board,
            book,
            models: Models::open(&settings.data_dir)?,
            grouping: Arc::new(Grouping { by: settings.detect.peers.group_by.clone() }),
            tick_ms,
            save_ms: millis(settings.checkpoint_interval),
            began: false,
            next_bucket: 0,
            hosts: 0,
            published: Published::new(own),
        };
        ticker.restore().await?;
        Ok(Some(ticker))
    }

    /// Ticks by the clock until the shutdown, then saves everything.
    pub async fn run(mut self, mut shutdown: Shutdown) {
        let step_ms = self.tick_ms.min(millis(POLL)).max(1);
        let mut due_ms = self.clock.now_ms().div_euclid(self.tick_ms) * self.tick_ms + self.tick_ms;
        loop {
            let now_ms = self.clock.now_ms();
            let wait_ms = (due_ms - now_ms).clamp(1, step_ms);
            if !shutdown.sleep(Duration::from_millis(wait_ms as u64)).await {
                break;
            }
            let now_ms = self.clock.now_ms();
            let ticks = now_ms >= due_ms;
            let done = if ticks {
                // A clock that was set, or a machine that slept: missed ticks are not made up for.
                due_ms = now_ms.div_euclid(self.tick_ms) * self.tick_ms + self.tick_ms;
                self.tick(now_ms).await
            } else {
                self.poll(now_ms).await
            };
            if let Err(FleetFailed) = done {
                self.begin_anew().await;
            } else if ticks {
                self.fit(&mut shutdown).await;
                if now_ms - self.saved_ms >= self.save_ms {
                    self.save(SAVE_BYTES).await;
                }
            }
            // The clock may have been set back.
            due_ms = due_ms.min(self.clock.now_ms() + self.tick_ms);
        }
        self.save(usize::MAX).await;
        let joined = tokio::task::spawn_blocking(move || self.thread.join());
        let _ = joined.await;
    }

    /// One tick at `now_ms`, which may be the time of samples in place of the clock's.
    ///
    /// # Errors
    /// The judge of hosts failed at it, and is empty now.
    pub async fn tick(&mut self, now_ms: i64) -> Result<(), FleetFailed> {
        let timer = Timer::start();
        let first = !self.began;
        self.poll(now_ms).await?;
        self.thread.call(Fleet::begin).await?;
        let tick_ms = self.tick_ms;
        for (index, shard) in self.shards.iter().enumerate() {
            let mut from = Some(0);
            while let Some(slot) = from {
                // A shard that failed has nothing to show until its state is back.
                let Ok((rows, next)) = shard.call(move |shard| shard.gather(slot, now_ms, tick_ms)).await else {
                    break;
                };
                from = next;
                // What came before the first tick came in no tick: only from here on scores belong to one.
                if !first {
                    self.thread.call(move |fleet| fleet.page(index as u32, &rows, now_ms)).await?;
                }
            }
        }
        if first {
            return Ok(());
        }
        let shards = self.shards.len();
        let (told, counts) = self.thread.call(move |fleet| (fleet.finish(shards, now_ms), fleet.counts())).await?;
        for (shard, ForShard { scores, verdicts }) in self.shards.iter().zip(told) {
            // What a failed shard is not told now it is told at the next tick.
            let _ = shard.post(move |shard| shard.set_peers(&scores, verdicts)).await;
        }
        self.name().await?;
        self.board.publish(self.thread.call(|fleet| fleet.board()).await?);
        self.hosts = counts.hosts;
        self.published.set(counts);
        self.published.ticks.inc();
        self.published.seconds.observe(timer.seconds());
        Ok(())
    }

    /// Learns of series that came and went, and lets new ones take over their group's state.
    async fn poll(&mut self, now_ms: i64) -> Result<(), FleetFailed> {
        let renamed = self.book.take_renamed();
        if !renamed.is_empty() {
            self.thread.call(move |fleet| renamed.iter().for_each(|(old, new)| fleet.rename(old, new))).await?;
        }
        for (index, shard) in self.shards.iter().enumerate() {
            let panics = shard.panics();
            if !self.began || panics != self.panics[index] {
                self.panics[index] = panics;
                self.thread.call(move |fleet| fleet.forget_shard(index as u32, now_ms)).await?;
                let grouping = Arc::clone(&self.grouping);
                let _ = shard.call(move |shard| shard.watch_series(grouping)).await;
            }
            loop {
                let sightings = shard.call(|shard| shard.sightings(SIGHTINGS)).await.unwrap_or_default();
                let last = sightings.len() < SIGHTINGS;
                if !sightings.is_empty() {
                    self.thread.call(move |fleet| fleet.sighted(index as u32, sightings, now_ms)).await?;
                }
                if last {
                    break;
                }
            }
        }
        self.began = true;
        self.seed(now_ms).await
    }

    async fn seed(&mut self, now_ms: i64) -> Result<(), FleetFailed> {
        let seeds = self.thread.call(move |fleet| fleet.seeds(SEEDS, now_ms)).await?;
        let mut early = Vec::new();
        for seed in seeds {
            match self.seed_one(&seed).await {
                Seeded::Done => self.published.seeded.inc(),
                Seeded::Early => early.push(seed.newcomer),
                Seeded::No => {}
            }
        }
        self.thread.call(move |fleet| fleet.retry(early)).await
    }

    async fn seed_one(&self, seed: &Seed) -> Seeded {
        let mut donors = Vec::new();
        for (index, shard) in self.shards.iter().enumerate() {
            let of_shard = seed.donors.iter().filter(|(shard, _)| *shard == index as u32);
            let places: Vec<Place> = of_shard.map(|(_, place)| *place).collect();
            if !places.is_empty() {
                donors.extend(shard.call(move |shard| shard.donors(&places)).await.unwrap_or_default());
            }
        }
        let (place, shard) = (seed.place(), self.shards.get(seed.shard() as usize));
        let Some(shard) = shard.filter(|_| !donors.is_empty()) else { return Seeded::No };
        shard.call(move |shard| shard.seed(place, &donors)).await.unwrap_or(Seeded::No)
    }

    /// Asks for the names of contributing series that have none yet.
    async fn name(&self) -> Result<(), FleetFailed> {
        let unnamed = self.thread.call(|fleet| fleet.unnamed(NAMES)).await?;
        for (index, shard) in self.shards.iter().enumerate() {
            let mine: Vec<_> = unnamed.iter().copied().filter(|it| it.shard == index as u32).collect();
            let places: Vec<Place> = mine.iter().map(|it| it.place).collect();
            if places.is_empty() {
                continue;
            }
            let names = shard.call(move |shard| shard.names(&places)).await.unwrap_or_default();
            let named: Vec<_> = mine.into_iter().zip(names).filter_map(|(it, name)| Some((it, name?))).collect();
            self.thread.call(move |fleet| named.iter().for_each(|(it, name)| fleet.name(*it, name))).await?;
        }
        Ok(())
    }

    /// Fits some of the models that are due, with rests in between.
    async fn fit(&self, shutdown: &mut Shutdown) {
        for _ in 0..FITS.max(self.hosts / FIT_TICKS) {
            let timer = Timer::start();
            if !self.thread.call(Fleet::fit_one).await.unwrap_or(false) {
                return;
            }
            let took = timer.elapsed();
            self.published.fit_seconds.observe(took.as_secs_f64());
            if !shutdown.sleep(took * REST).await {
                return;
            }
        }
    }

    /// After a panic: what was saved comes back, and the shards tell of their series again.
    async fn begin_anew(&mut self) {
        self.published.panics.inc();
        self.began = false;
        if let Err(error) = self.restore().await {
            tracing::error!(%error, "what was learned of hosts can not be read; they are learned anew");
        }
    }

    async fn restore(&self) -> anyhow::Result<()> {
        let models = self.models.clone();
        let loaded = tokio::task::spawn_blocking(move || models.load()).await??;
        for (path, why) in loaded.set_aside {
            self.published.set_aside.inc();
            tracing::warn!(path = %path.display(), why, "models of hosts set aside; these hosts learn anew");
        }
        let mut count = 0;
        for (bucket, payload) in loaded.payloads {
            let Ok((loaded, problems)) = self.thread.call(move |fleet| fleet.load(&payload)).await else { continue };
            count += loaded;
            if let Some(problem) = problems.first() {
                tracing::warn!(bucket, problem, "some models of hosts could not be restored; they learn anew");
            }
        }
        if count > 0 {
            tracing::info!(models = count, "hosts and groups restored");
        }
        Ok(())
    }

    /// Saves about `most` bytes of models, in turn over all.
    async fn save(&mut self, most: usize) {
        let mut written = 0;
        for _ in 0..BUCKETS {
            let bucket = self.next_bucket;
            let Ok(payload) = self.thread.call(move |fleet| fleet.save(bucket)).await else { return };
            written += payload.len();
            let models = self.models.clone();
            let wrote = tokio::task::spawn_blocking(move || models.write(bucket, &payload)).await;
            if let Ok(Err(error)) = wrote {
                self.published.failures.inc();
                tracing::error!(%error, "models of hosts not saved; what was saved before stays");
                break;
            }
            self.next_bucket = (bucket + 1) % BUCKETS;
            if written >= most {
                break;
            }
        }
        self.saved_ms = self.clock.now_ms();
    }
}
