//! The threads of the shards, and the way to reach them.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};
use watchbell_series::Pattern;

use super::shard::Shard;

/// Functions that may wait for one shard. At 2,000 samples a request this is a second of work.
const QUEUE: usize = 256;

/// What a shard knows of itself beyond its series.
#[derive(Debug, Default)]
pub struct ShardMeta {
    /// 0-based.
    pub index: u32,
    /// Number of shards.
    pub count: u32,
    /// Events that the alerting stage never saw.
    pub lost_events: u64,
    hosts_seen: HashSet<Box<str>>,
    verdicts: [u64; Pattern::ALL.len()],
}

impl ShardMeta {
    /// Of shard `index` among `count`.
    #[must_use]
    pub fn new(index: u32, count: u32) -> Self {
        Self { index, count, ..Self::default() }
    }

    /// Whether this name of a host is seen for the first time.
    pub fn note_host(&mut self, name: &str) -> bool {
        !self.hosts_seen.contains(name) && self.hosts_seen.insert(name.into())
    }

    /// Counts a verdict.
    pub fn count_verdict(&mut self, pattern: Pattern) {
        self.verdicts[pattern as usize] += 1;
    }

    /// Verdicts so far, by pattern.
    #[must_use]
    pub fn verdicts(&self) -> [u64; Pattern::ALL.len()] {
        self.verdicts
    }
}

type Work = Box<dyn FnOnce(&mut Shard) + Send>;

/// Reaches one shard. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ShardHandle {
    queue: mpsc::Sender<Work>,
    panics: Arc<AtomicU64>,
}

/// The shard panicked at this work, or has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the shard failed at this work or has stopped")]
pub struct ShardFailed;

/// The thread of a shard.
#[derive(Debug)]
pub struct ShardThread(JoinHandle<()>);

impl ShardThread {
    /// Waits until the shard has done all its work and every handle to it is gone.
    pub fn join(self) {
        // A panic of the thread itself was counted where its work was done.
        let _ = self.0.join();
    }
}

impl ShardHandle {
    /// Starts a thread for the shard that `make` gives. After a panic the shard is made anew, and is
    /// [lost](Shard::lose) until its state is brought back; the other shards never notice.
    ///
    /// # Errors
    /// The operating system refuses another thread.
    pub fn start(index: u32, make: impl Fn() -> Shard + Send + 'static) -> std::io::Result<(Self, ShardThread)> {
        let (queue, mut work) = mpsc::channel::<Work>(QUEUE);
        let panics = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&panics);
        let thread = std::thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
            let mut shard = make();
            while let Some(work) = work.blocking_recv() {
                if catch_unwind(AssertUnwindSafe(|| work(&mut shard))).is_err() {
                    counted.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(shard = index, "panicked; takes no samples until its state is brought back");
                    shard = make();
                    shard.lose();
                }
            }
        })?;
        Ok((Self { queue, panics }, ShardThread(thread)))
    }

    /// Runs `work` on the shard after what was given to it before.
    ///
    /// # Errors
    /// The shard panicked at it, or has stopped.
    pub async fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Shard) -> R + Send + 'static,
    ) -> Result<R, ShardFailed> {
        self.post(work).await?.await.map_err(|_| ShardFailed)
    }

    /// Hands `work` to the shard and returns at once; the answer comes by the receiver.
    ///
    /// # Errors
    /// The shard has stopped.
    pub async fn post<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Shard) -> R + Send + 'static,
    ) -> Result<oneshot::Receiver<R>, ShardFailed> {
        let (answer, receiver) = oneshot::channel();
        let work: Work = Box::new(move |shard| {
            // Nobody waits any more if the request was given up; the work is done all the same.
            let _ = answer.send(work(shard));
        });
        self.queue.send(work).await.map_err(|_| ShardFailed)?;
        Ok(receiver)
    }

    /// How often it had to start anew.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}
