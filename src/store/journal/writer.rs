//! The one task that writes to the journal: takes what waits, many transitions in one transaction.
//!
//! A write that fails is tried again until it succeeds; meanwhile the queue fills, and what does not fit is
//! counted where it is dropped. While someone waits for the end each write is tried once more only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::query;
use sqlx::sqlite::SqlitePool;
use tokio::sync::{Notify, mpsc, oneshot};

use super::row;
use crate::alerting::Transition;

/// Commands taken in one transaction.
const BATCH: usize = 256;
/// Rows removed in one transaction, so that pruning never holds the database for long.
const PRUNE_BATCH: i64 = 1_000;
/// What is removed: ended episodes, and what people said.
const ENDED: &str =
    "DELETE FROM episodes WHERE id IN (SELECT id FROM episodes WHERE ends_ms < ? ORDER BY ends_ms LIMIT ?)";
const SAID: &str =
    "DELETE FROM feedback WHERE id IN (SELECT id FROM feedback WHERE said_ms < ? ORDER BY said_ms LIMIT ?)";
/// Pause after a failed write; doubled up to [`LONGEST_RETRY`].
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) enum Command {
    Record(Box<Transition>),
    Prune { ended_ms: i64, said_ms: i64 },
    Flush(oneshot::Sender<()>),
}

/// What the task shares with the journal.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Transitions lost.
    pub(super) dropped: AtomicU64,
    /// Writes that failed.
    pub(super) failures: AtomicU64,
    /// How many wait for a flush.
    pub(super) hurry: AtomicUsize,
    /// Cuts the pause after a failed write short.
    pub(super) wake: Notify,
}

pub(super) async fn run(pool: SqlitePool, mut commands: mpsc::Receiver<Command>, shared: Arc<Shared>) {
    let mut batch = Vec::new();
    let (mut records, mut flushes) = (Vec::new(), Vec::new());
    while commands.recv_many(&mut batch, BATCH).await > 0 {
        let mut prune = None;
        for command in batch.drain(..) {
            match command {
                Command::Record(transition) => records.push(transition),
                Command::Prune { ended_ms, said_ms } => prune = Some((ended_ms, said_ms)),
                Command::Flush(done) => flushes.push(done),
            }
        }
        let mut pause = RETRY;
        while let Err(error) = write(&pool, &records).await {
            shared.failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, transitions = records.len(), "journal of alerts not written");
            if shared.hurry.load(Ordering::Acquire) > 0 || commands.is_closed() {
                shared.dropped.fetch_add(records.len() as u64, Ordering::Relaxed);
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_RETRY),
                () = shared.wake.notified() => {}
            }
        }
        records.clear();
        if let Some((ended_ms, said_ms)) = prune {
            for (rows, before_ms) in [(ENDED, ended_ms), (SAID, said_ms)] {
                if let Err(error) = remove_before(&pool, rows, before_ms).await {
                    shared.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "what is old is not removed from the journal");
                }
            }
        }
        for done in flushes.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
    }
}

async fn write(pool: &SqlitePool, records: &[Box<Transition>]) -> sqlx::Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let mut transaction = pool.begin().await?;
    for record in records {
        row::write(&mut transaction, record).await?;
    }
    transaction.commit().await
}

async fn remove_before(pool: &SqlitePool, rows: &'static str, before_ms: i64) -> sqlx::Result<()> {
    loop {
        let done = query(rows).bind(before_ms).bind(PRUNE_BATCH).execute(pool).await?;
        if done.rows_affected() < PRUNE_BATCH.unsigned_abs() {
            return Ok(());
        }
    }
}
