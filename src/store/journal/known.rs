//! What other tools know: quiet windows and problems. Rare and small, so it is written directly.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, query, query_scalar};
use watchbell_series::{ForeignProblem, QuietWindow};

use super::{Journal, JournalError};
use crate::context::subject::{subject_json, subject_of};

/// A window with the source that told it.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptWindow {
    /// The source.
    pub source: String,
    /// What it told.
    pub window: QuietWindow,
}

/// A problem with the source that told it.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptProblem {
    /// The source.
    pub source: String,
    /// What it told.
    pub problem: ForeignProblem,
}

impl Journal {
    /// Keeps these windows, each in the place of what was kept under its source and id.
    ///
    /// # Errors
    /// The database can not be written; then none of them is kept.
    pub async fn keep_windows(&self, windows: &[KeptWindow]) -> Result<(), JournalError> {
        let mut transaction = self.pool.begin().await.map_err(|e| self.failed(e))?;
        for KeptWindow { source, window } in windows {
            query("INSERT OR REPLACE INTO windows (source, id, subject, starts_ms, ends_ms, reason) VALUES (?, ?, ?, ?, ?, ?)")
                .bind(source)
                .bind(&window.id)
                .bind(subject_json(&window.subject).to_string())
                .bind(window.starts_ms)
                .bind(window.ends_ms)
                .bind(&window.reason)
                .execute(&mut *transaction)
                .await
                .map_err(|e| self.failed(e))?;
        }
        transaction.commit().await.map_err(|e| self.failed(e))
    }

    /// Forgets a window.
    ///
    /// # Errors
    /// The database can not be written.
    pub async fn remove_window(&self, source: &str, id: &str) -> Result<(), JournalError> {
        let done = query("DELETE FROM windows WHERE source = ? AND id = ?").bind(source).bind(id);
        done.execute(&self.pool).await.map(drop).map_err(|e| self.failed(e))
    }

    /// All windows, by their start.
    ///
    /// # Errors
    /// The database can not be read.
    pub async fn windows(&self) -> Result<Vec<KeptWindow>, JournalError> {
        let rows = query("SELECT * FROM windows ORDER BY starts_ms, source, id").fetch_all(&self.pool).await;
        Ok(rows.map_err(|e| self.failed(e))?.iter().filter_map(read_window).collect())
    }

    /// Keeps these problems, each in the place of what was kept under its source and id.
    ///
    /// # Errors
    /// The database can not be written; then none of them is kept.
    pub async fn keep_problems(&self, problems: &[KeptProblem]) -> Result<(), JournalError> {
        let mut transaction = self.pool.begin().await.map_err(|e| self.failed(e))?;
        for KeptProblem { source, problem } in problems {
            query("INSERT OR REPLACE INTO problems (source, id, subject, starts_ms, ends_ms, name, severity, acknowledged) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
                .bind(source)
                .bind(&problem.id)
                .bind(subject_json(&problem.subject).to_string())
                .bind(problem.starts_ms)
                .bind(problem.ends_ms)
                .bind(&problem.name)
                .bind(problem.severity)
                .bind(problem.acknowledged)
                .execute(&mut *transaction)
                .await
                .map_err(|e| self.failed(e))?;
        }
        transaction.commit().await.map_err(|e| self.failed(e))
    }

    /// Problems that are not over, at most `limit`, newest first.
    ///
    /// # Errors
    /// The database can not be read.
    pub async fn open_problems(&self, limit: u32) -> Result<Vec<KeptProblem>, JournalError> {
        let rows = query("SELECT * FROM problems WHERE ends_ms IS NULL ORDER BY starts_ms DESC, source, id LIMIT ?");
        let rows = rows.bind(limit).fetch_all(&self.pool).await;
        Ok(rows.map_err(|e| self.failed(e))?.iter().filter_map(read_problem).collect())
    }

    /// The sources of problems that are not over.
    ///
    /// # Errors
    /// The database can not be read.
    pub async fn sources_of_open_problems(&self) -> Result<Vec<String>, JournalError> {
        let sources = query_scalar("SELECT DISTINCT source FROM problems WHERE ends_ms IS NULL ORDER BY source");
        sources.fetch_all(&self.pool).await.map_err(|e| self.failed(e))
    }

    /// All problems of `source` are over now.
    ///
    /// # Errors
    /// The database can not be written.
    pub async fn end_problems(&self, source: &str, now_ms: i64) -> Result<(), JournalError> {
        let done = query("UPDATE problems SET ends_ms = max(starts_ms, ?) WHERE source = ? AND ends_ms IS NULL");
        done.bind(now_ms).bind(source).execute(&self.pool).await.map(drop).map_err(|e| self.failed(e))
    }

    /// At most `limit` problems that began before `before_ms` and lasted at `since_ms` or after, newest first.
    ///
    /// # Errors
    /// The database can not be read.
    pub async fn problems(&self, since_ms: i64, before_ms: i64, limit: u32) -> Result<Vec<KeptProblem>, JournalError> {
        let rows = query(
            "SELECT * FROM problems WHERE starts_ms < ? AND (ends_ms IS NULL OR ends_ms >= ?) ORDER BY starts_ms DESC, source, id LIMIT ?",
        )
        .bind(before_ms)
        .bind(since_ms)
        .bind(limit)
        .fetch_all(&self.pool)
        .await;
        Ok(rows.map_err(|e| self.failed(e))?.iter().filter_map(read_problem).collect())
    }

    /// Forgets windows and problems that ended before `before_ms`, and problems that began before it and never
    /// ended: their source is gone.
    ///
    /// # Errors
    /// The database can not be written.
    pub async fn prune_known(&self, windows_ms: i64, problems_ms: i64) -> Result<(), JournalError> {
        let windows = query("DELETE FROM windows WHERE ends_ms < ?").bind(windows_ms).execute(&self.pool).await;
        windows.map_err(|e| self.failed(e))?;
        let problems = query("DELETE FROM problems WHERE ends_ms < ?").bind(problems_ms);
        problems.execute(&self.pool).await.map(drop).map_err(|e| self.failed(e))
    }
}

fn read_window(row: &SqliteRow) -> Option<KeptWindow> {
    let window = QuietWindow {
        id: row.try_get("id").ok()?,
        subject: subject_of(&serde_json::from_str(row.try_get("subject").ok()?).ok()?)?,
        starts_ms: row.try_get("starts_ms").ok()?,
        ends_ms: row.try_get("ends_ms").ok()?,
        reason: row.try_get("reason").ok()?,
    };
    Some(KeptWindow { source: row.try_get("source").ok()?, window })
}

fn read_problem(row: &SqliteRow) -> Option<KeptProblem> {
    let problem = ForeignProblem {
        id: row.try_get("id").ok()?,
        subject: subject_of(&serde_json::from_str(row.try_get("subject").ok()?).ok()?)?,
        starts_ms: row.try_get("starts_ms").ok()?,
        ends_ms: row.try_get("ends_ms").ok()?,
        name: row.try_get("name").ok()?,
        severity: u8::try_from(row.try_get::<i64, _>("severity").ok()?).ok()?,
        acknowledged: row.try_get("acknowledged").ok()?,
    };
    Some(KeptProblem { source: row.try_get("source").ok()?, problem })
}
