//! The history of alerts in `watchbell.db`, an SQLite database in the data directory.
//!
//! Episodes come from the alerting stage as transitions and are written by one task behind a bounded
//! queue: [`Journal::record`] never waits, so a slow disk never delays judging. After a restart the open
//! episodes go back to the alerting stage. Reading is for the API. What is older than the retention is
//! removed by [`Journal::prune`].

mod known;
mod row;
mod taught;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlSafeStr, SqlStr};
use tokio::sync::{mpsc, oneshot};

use crate::alerting::{Episode, Reason, Transition};
pub use known::{KeptProblem, KeptWindow};
pub use taught::{Feedback, Kept, Strike, StrikeState, Which, alert_id};
use writer::{Command, Shared};

/// File name of the database inside the data directory.
pub const FILE: &str = "watchbell.db";

/// Transitions that may wait for the disk; further ones are dropped and counted.
pub const QUEUE: usize = 10_000;

/// How long another process may hold the database before opening fails.
const BUSY: Duration = Duration::from_secs(5);

/// Embedded migrations: version, description, text. Never changed once released, only added to.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "alerts", include_str!("migrations/sqlite/0001_alerts.sql")),
    (2, "feedback", include_str!("migrations/sqlite/0002_feedback.sql")),
    (3, "context", include_str!("migrations/sqlite/0003_context.sql")),
];

/// Why the journal can not be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process holds the database.
    #[error(
        "database `{}` is locked by another process; stop that process (a second watchbell, a backup or an open `sqlite3` shell)",
        .0.display()
    )]
    Locked(PathBuf),
    /// The file is no database, or a broken one.
    #[error(
        "database `{}` is damaged: {detail}; move it and its `-wal` and `-shm` files away and start again (the history of alerts begins anew, what was learned is kept elsewhere), or restore it from a backup",
        path.display()
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        detail: String,
    },
    /// A newer program migrated it.
    #[error("database `{}` was written by a newer watchbell (schema {version}); start that version or choose another `--data-dir`", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// The unknown schema version.
        version: i64,
    },
    /// Anything else.
    #[error("database `{}`: {source}; check permissions and free space of its folder", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
}

impl JournalError {
    fn from_sqlx(path: &Path, error: sqlx::Error) -> Self {
        let path = path.to_owned();
        // Primary result codes of SQLite: <https://www.sqlite.org/rescode.html>.
        let code = error.as_database_error().and_then(|e| e.code()).and_then(|code| code.parse::<u32>().ok());
        match code.map(|code| code & 0xff) {
            Some(5 | 6) => Self::Locked(path),
            Some(11 | 26) => Self::Damaged { path, detail: error.to_string() },
            _ => Self::Database { path, source: error },
        }
    }

    fn from_migrate(path: &Path, error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => {
                Self::Newer { path: path.to_owned(), version }
            }
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Self::from_sqlx(path, error),
            other => Self::Database { path: path.to_owned(), source: other.into() },
        }
    }
}

/// The journal of alerts. Share it by `Arc`.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    pool: SqlitePool,
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

impl Journal {
    /// Opens or makes the database in `data_dir`, checks and migrates it, and starts the writing task.
    /// Needs a tokio runtime.
    ///
    /// # Errors
    /// The database is locked, damaged, newer than this program or can not be opened.
    pub async fn open(data_dir: &Path) -> Result<Self, JournalError> {
        Self::open_with(data_dir, BUSY).await
    }

    async fn open_with(data_dir: &Path, busy: Duration) -> Result<Self, JournalError> {
        let path = data_dir.join(FILE);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode a power failure may then lose the last transactions but never the database.
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(busy);
        let failed = |error| JournalError::from_sqlx(&path, error);
        // One connection writes, one reads.
        let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await.map_err(failed)?;
        let check: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&pool).await.map_err(failed)?;
        if check != "ok" {
            return Err(JournalError::Damaged { path, detail: check });
        }
        migrator().run(&pool).await.map_err(|e| JournalError::from_migrate(&path, e))?;
        let (commands, receiver) = mpsc::channel(QUEUE);
        let shared = Arc::<Shared>::default();
        tokio::spawn(writer::run(pool.clone(), receiver, Arc::clone(&shared)));
        Ok(Self { path, pool, commands, shared })
    }

    /// Hands a transition to the writing task. Never waits: with a full queue the transition is dropped and
    /// counted, see [`Journal::dropped`].
    pub fn record(&self, transition: Transition) {
        if self.commands.try_send(Command::Record(Box::new(transition))).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Asks the writing task to remove episodes that ended before `ended_ms`, and what people said before `said_ms`.
    /// With a full queue it is left to the next time.
    pub fn prune(&self, ended_ms: i64, said_ms: i64) {
        // Nothing is lost when this is dropped: pruning is repeated.
        let _ = self.commands.try_send(Command::Prune { ended_ms, said_ms });
    }

    /// Waits until everything handed over before is written, or was tried once more and is lost.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        let _hurry = Hurry::new(&self.shared);
        if self.commands.send(Command::Flush(done)).await.is_ok() {
            // An error means that the task is gone, and then there is nothing to wait for.
            let _ = wait.await;
        }
    }

    /// Flushes and closes the database.
    pub async fn close(&self) {
        self.flush().await;
        self.pool.close().await;
    }

    /// Episodes that fired and have not resolved, oldest first.
    ///
    /// # Errors
    /// The database can not be read.
    pub async fn open_episodes(&self) -> Result<Vec<Episode>, JournalError> {
        let rows =
            sqlx::query("SELECT * FROM episodes WHERE ends_ms IS NULL AND suppressed IS NULL ORDER BY starts_ms, id")
                .fetch_all(&self.pool)
                .await;
        self.episodes(rows)
    }

    /// Episodes that a quiet window mutes and that are not over, oldest first.
    ///
    /// # Errors
    /// The database can not be read.
    pub async fn muted_episodes(&self) -> Result<Vec<Episode>, JournalError> {
        let rows =
            sqlx::query("SELECT * FROM episodes WHERE ends_ms IS NULL AND suppressed = ? ORDER BY starts_ms, id")
                .bind(Reason::Muted.as_str())
                .fetch_all(&self.pool)
                .await;
        self.episodes(rows)
    }

    /// Episodes that resolved at or after `since_ms`, oldest first: a sink may have missed their end.
    ///
    /// # Errors
    /// The database can not be read.
    pub async fn resolved_since(&self, since_ms: i64) -> Result<Vec<Episode>, JournalError> {
        let rows = sqlx::query("SELECT * FROM episodes WHERE ends_ms >= ? AND suppressed IS NULL ORDER BY ends_ms, id")
            .bind(since_ms)
            .fetch_all(&self.pool)
            .await;
        self.episodes(rows)
    }

    /// At most `limit` episodes that fired before `before_ms`, newest first.
    ///
    /// # Errors
    /// The database can not be read.
    pub async fn history(&self, before_ms: i64, limit: u32) -> Result<Vec<Episode>, JournalError> {
        let rows = sqlx::query("SELECT * FROM episodes WHERE starts_ms < ? ORDER BY starts_ms DESC, id DESC LIMIT ?")
            .bind(before_ms)
            .bind(limit)
            .fetch_all(&self.pool)
            .await;
        self.episodes(rows)
    }

    /// Transitions that wait to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.commands.max_capacity() - self.commands.capacity()
    }

    /// Transitions lost because the queue was full, or the disk failed to the end.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Writes that failed; each is tried again.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.shared.failures.load(Ordering::Relaxed)
    }

    fn episodes(&self, rows: sqlx::Result<Vec<sqlx::sqlite::SqliteRow>>) -> Result<Vec<Episode>, JournalError> {
        let rows = rows.map_err(|e| JournalError::from_sqlx(&self.path, e))?;
        // A row that makes no sense is one lost episode, not a reason to refuse the others.
        Ok(rows
            .iter()
            .filter_map(|row| {
                row::read(row).inspect_err(|error| tracing::warn!(%error, "unreadable episode in the journal")).ok()
            })
            .collect())
    }
}

/// Someone waits for a flush; also undone when they stop waiting.
struct Hurry<'a>(&'a Shared);

impl<'a> Hurry<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.hurry.fetch_add(1, Ordering::Release);
        shared.wake.notify_one();
        Self(shared)
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.hurry.fetch_sub(1, Ordering::Release);
    }
}

fn migrator() -> Migrator {
    let all = MIGRATIONS.iter().map(|&(version, description, sql)| {
        let sql: SqlStr = sql.into_sql_str();
        Migration::new(version, description.into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(all.collect())
}

#[cfg(test)]
mod tests;
