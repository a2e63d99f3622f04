//! Another number of shards than the state on disk was written under.
//!
//! The log names series by keys that hold for one number of shards, without labels where the writer knew them
//! already; and the files of several shards are replayed at once, while parts of one histogram must come in
//! their order. So the state is restored under the old number first, saved as one checkpoint, which can be
//! read under any number, and the log is emptied. Happens at the one start after `shards` changed.

use std::sync::{Arc, Mutex};

use anyhow::Context;
use tokio::sync::mpsc;
use watchbell_adapter_api::{Clock, Metrics};

use super::checkpoint::Checkpointer;
use super::handle::ShardThread;
use super::service::{Current, start_shards};
use crate::config::Settings;
use crate::context::quiet;
use crate::store::wal;

/// No config has more.
const MOST_SHARDS: usize = 64;

/// Folds a log that was written under another number of shards into the checkpoint.
///
/// # Errors
/// State can not be read or saved; nothing of it is lost.
pub(super) async fn fold_log(
    settings: &Settings,
    current: &Arc<Mutex<Current>>,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
) -> anyhow::Result<()> {
    let data_dir = &settings.data_dir;
    let files = wal::files(data_dir).context("can not read the log of accepted samples")?;
    // Each shard of the process that wrote it has a file.
    let shards = files.iter().map(|file| file.shard as usize + 1).filter(|shards| *shards <= MOST_SHARDS);
    let Some(before) = shards.max() else { return Ok(()) };
    if before == settings.shards {
        return Ok(());
    }
    // Restored state is muted: nothing is sent to alerting.
    let (verdicts, _nobody) = mpsc::channel(1);
    let as_before = Settings { shards: before, ..settings.clone() };
    let (shards, threads) = start_shards(&as_before, current, &verdicts, &quiet::Shared::default())?;
    let checkpointer = Checkpointer::open(data_dir, shards, Arc::clone(clock), metrics.clone())?;
    let restored = checkpointer.restore().await?;
    checkpointer.save().await.context("can not save state for another number of shards")?;
    drop(checkpointer);
    tokio::task::spawn_blocking(move || threads.into_iter().for_each(ShardThread::join)).await?;
    wal::remove_shards_from(data_dir, 0).context("can not empty the log of accepted samples")?;
    let (series, samples) = (restored.series, restored.samples);
    tracing::info!(before, now = settings.shards, series, samples_from_log = samples, "number of shards changed");
    Ok(())
}
