//! The thread that judges hosts and groups, and the way to reach it.
//!
//! As with shards, work comes as functions, one after the other, so nothing is locked; and it is no thread of
//! a shard, so no sample waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::fleet::{Fleet, FleetConfig};

/// Functions that may wait: the stage waits for room before it asks the shards for more.
const QUEUE: usize = 4;

/// How much the thread gives way to others: a fit takes a core for tens of milliseconds, and samples go first.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

type Work = Box<dyn FnOnce(&mut Fleet) + Send>;

/// Reaches the fleet.
#[derive(Debug)]
pub(super) struct FleetThread {
    queue: mpsc::Sender<Work>,
    thread: JoinHandle<()>,
}

/// It panicked at this work, and began anew with nothing; or it has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the judge of hosts failed at this work")]
pub struct FleetFailed;

impl FleetThread {
    /// Starts it with an empty fleet.
    ///
    /// # Errors
    /// The operating system refuses another thread.
    pub(super) fn start(config: FleetConfig) -> std::io::Result<Self> {
        let (queue, mut work) = mpsc::channel::<Work>(QUEUE);
        let thread = std::thread::Builder::new().name("hosts".to_owned()).spawn(move || {
            give_way();
            let mut fleet = Fleet::new(config.clone());
            while let Some(work) = work.blocking_recv() {
                if catch_unwind(AssertUnwindSafe(|| work(&mut fleet))).is_err() {
                    tracing::error!("the judge of hosts panicked; it goes on from what was last saved");
                    fleet = Fleet::new(config.clone());
                }
            }
        })?;
        Ok(Self { queue, thread })
    }

    /// Runs `work` after what was given before.
    pub(super) async fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Fleet) -> R + Send + 'static,
    ) -> Result<R, FleetFailed> {
        let (answer, receiver) = oneshot::channel();
        // If nobody waits any more the work is done all the same.
        let work: Work = Box::new(move |fleet| drop(answer.send(work(fleet))));
        self.queue.send(work).await.map_err(|_| FleetFailed)?;
        receiver.await.map_err(|_| FleetFailed)
    }

    /// Waits until all work is done.
    pub(super) fn join(self) {
        drop(self.queue);
        // A panic was told of where its work was done.
        let _ = self.thread.join();
    }
}

/// Lowers the priority of this thread. Elsewhere than on Linux priorities are those of the process, which stays as
/// it is.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::debug!(%error, "the judge of hosts runs at the priority of all threads");
    }
}
