//! What people taught: feedback on anomalies and windows struck out, and the state of the budgets.
//!
//! Rare and small, so it is written directly, unlike transitions: who says something is told whether it was kept.

use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, query, query_scalar};
use watchbell_series::{Pattern, Selector, SeriesId};

use super::{Journal, JournalError, row};
use crate::alerting::{Episode, Judgement, Reason};

/// An episode with what the journal knows of it beside.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Its id, see [`alert_id`].
    pub id: String,
    /// The episode.
    pub episode: Episode,
    /// Why sinks were not told; empty if they were.
    pub suppressed: String,
    /// What was said of it last; empty for nothing.
    pub feedback: String,
}

/// What a person said.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedback {
    /// When, milliseconds since the Unix epoch.
    pub said_ms: i64,
    /// The series; `None` for an alert of a host.
    pub series: Option<SeriesId>,
    /// The moment that is meant.
    pub about_ms: i64,
    /// Id of the episode, where there was one.
    pub alert: Option<String>,
    /// Its rule, or empty.
    pub rule: String,
    /// Its host, or empty.
    pub host: String,
    /// Its kind.
    pub pattern: Pattern,
    /// Its greatest score.
    pub peak_score: f32,
    /// What was said.
    pub judgement: Judgement,
    /// In words.
    pub comment: String,
}

/// Where a strike stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrikeState {
    /// Its series are still to learn anew.
    Pending,
    /// They did.
    Applied,
    /// They could not, or not all of them; it is tried again at the next start.
    Failed,
    /// It was taken back, and its series are still to learn anew with the window.
    Removing,
}

impl StrikeState {
    const ALL: [Self; 4] = [Self::Pending, Self::Applied, Self::Failed, Self::Removing];

    /// The word in the journal and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Applied => "applied",
            Self::Failed => "failed",
            Self::Removing => "removing",
        }
    }
}

/// A window that models must not learn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Strike {
    /// Its number; 0 before it is kept.
    pub id: i64,
    /// When it was said, milliseconds since the Unix epoch.
    pub made_ms: i64,
    /// Which series: those that one of these selects.
    pub selectors: Vec<Selector>,
    /// First millisecond.
    pub start_ms: i64,
    /// Last millisecond.
    pub end_ms: i64,
    /// Why, in words.
    pub reason: String,
    /// Where it stands.
    pub state: StrikeState,
    /// Series that learned anew.
    pub series: i64,
    /// What went wrong; empty for nothing.
    pub problem: String,
}

/// The id of an episode in the API: the hash of its labels and its start.
#[must_use]
pub fn alert_id(episode: &Episode) -> String {
    format!("{}-{}", episode.labels.id(), episode.starts_ms)
}

/// The two parts of [`alert_id`].
fn parts(id: &str) -> Option<(i64, i64)> {
    let (fingerprint, starts_ms) = id.split_once('-')?;
    Some((u64::from_str_radix(fingerprint, 16).ok()?.cast_signed(), starts_ms.parse().ok()?))
}

/// Which episodes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those that sinks were told of.
    Fired,
    /// Those of them that fire now.
    Firing,
    /// Those that were suppressed.
    Suppressed,
    /// Those of them that last.
    Withheld,
}

impl Journal {
    /// At most `limit` of these episodes that began before `before_ms`, newest first.
    ///
    /// # Errors
    /// The database can not be read.
    pub async fn kept(&self, which: Which, before_ms: i64, limit: u32) -> Result<Vec<Kept>, JournalError> {
        let sql = match which {
            Which::All => "SELECT * FROM episodes WHERE starts_ms < ? ORDER BY starts_ms DESC, id DESC LIMIT ?",
            Which::Fired => {
                "SELECT * FROM episodes WHERE starts_ms < ? AND suppressed IS NULL ORDER BY starts_ms DESC, id DESC LIMIT ?"
            }
            Which::Firing => {
                "SELECT * FROM episodes WHERE starts_ms < ? AND suppressed IS NULL AND ends_ms IS NULL
                 ORDER BY starts_ms DESC, id DESC LIMIT ?"
            }
            Which::Suppressed => {
                "SELECT * FROM episodes WHERE starts_ms < ? AND suppressed IS NOT NULL ORDER BY starts_ms DESC, id DESC LIMIT ?"
            }
            Which::Withheld => {
                "SELECT * FROM episodes WHERE starts_ms < ? AND suppressed IS NOT NULL AND ends_ms IS NULL
                 ORDER BY starts_ms DESC, id DESC LIMIT ?"
            }
        };
        let rows = query(sql).bind(before_ms).bind(limit).fetch_all(&self.pool).await.map_err(|e| self.failed(e))?;
        let mut all: Vec<Kept> = rows.iter().filter_map(read_kept).collect();
        for kept in &mut all {
            kept.feedback = self.said_of(&kept.id).await?;
        }
        Ok(all)
    }

    /// The episode with this id.
    ///
    /// # Errors
    /// The database can not be read.
    pub async fn by_id(&self, id: &str) -> Result<Option<Kept>, JournalError> {
        let Some((fingerprint, starts_ms)) = parts(id) else { return Ok(None) };
        let found = query("SELECT * FROM episodes WHERE fingerprint = ? AND starts_ms = ?")
            .bind(fingerprint)
            .bind(starts_ms)
            .fetch_optional(&self.pool)
            .await;
        self.with_feedback(found).await
    }

    /// The last episode about `series` that went on at `at_ms`; one that fired before one that was suppressed.
    ///
    /// # Errors
    /// The database can not be read.
    pub async fn at(&self, series: SeriesId, at_ms: i64) -> Result<Option<Kept>, JournalError> {
        let found = query(
            "SELECT * FROM episodes WHERE series = ?1 AND starts_ms <= ?2 AND (ends_ms IS NULL OR ends_ms >= ?2)
             ORDER BY suppressed IS NOT NULL, starts_ms DESC LIMIT 1",
        )
        .bind(series.0.cast_signed())
        .bind(at_ms)
        .fetch_optional(&self.pool)
        .await;
        self.with_feedback(found).await
    }

    async fn with_feedback(&self, found: sqlx::Result<Option<SqliteRow>>) -> Result<Option<Kept>, JournalError> {
        let mut kept = found.map_err(|e| self.failed(e))?.as_ref().and_then(read_kept);
        if let Some(kept) = &mut kept {
            kept.feedback = self.said_of(&kept.id).await?;
        }
        Ok(kept)
    }

    async fn said_of(&self, alert: &str) -> Result<String, JournalError> {
        let said = query_scalar("SELECT verdict FROM feedback WHERE alert = ? ORDER BY id DESC LIMIT 1")
            .bind(alert)
            .fetch_optional(&self.pool)
            .await;
        Ok(said.map_err(|e| self.failed(e))?.unwrap_or_default())
    }

    /// Keeps what a person said; its number.
    ///
    /// # Errors
    /// The database can not be written.
    pub async fn add_feedback(&self, feedback: &Feedback) -> Result<i64, JournalError> {
        let peak = if feedback.peak_score.is_finite() { f64::from(feedback.peak_score) } else { 0.0 };
        query_scalar(
            "INSERT INTO feedback
                 (said_ms, series, about_ms, alert, rule, host, pattern, peak_score, verdict, comment)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(feedback.said_ms)
        .bind(feedback.series.map(|id| id.0.cast_signed()))
        .bind(feedback.about_ms)
        .bind(&feedback.alert)
        .bind(&feedback.rule)
        .bind(&feedback.host)
        .bind(i64::from(feedback.pattern as u8))
        .bind(peak)
        .bind(feedback.judgement.as_str())
        .bind(&feedback.comment)
        .fetch_one(&self.pool)
        .await
        .map_err(|e| self.failed(e))
    }

    /// At most `limit` rows of feedback said at or after `since_ms`, newest first.
    ///
    /// # Errors
    /// The database can not be read.
    pub async fn feedback(&self, since_ms: i64, limit: u32) -> Result<Vec<Feedback>, JournalError> {
        let rows = query("SELECT * FROM feedback WHERE said_ms >= ? ORDER BY said_ms DESC, id DESC LIMIT ?")
            .bind(since_ms)
            .bind(limit)
            .fetch_all(&self.pool)
            .await;
        Ok(rows.map_err(|e| self.failed(e))?.iter().filter_map(read_feedback).collect())
    }

    /// Keeps a strike; its number.
    ///
    /// # Errors
    /// The database can not be written.
    pub async fn add_strike(&self, strike: &Strike) -> Result<i64, JournalError> {
        let selectors: Vec<String> = strike.selectors.iter().map(ToString::to_string).collect();
        query_scalar(
            "INSERT INTO strikes (made_ms, selectors, start_ms, end_ms, reason, state, series, problem)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(strike.made_ms)
        .bind(Value::from(selectors).to_string())
        .bind(strike.start_ms)
        .bind(strike.end_ms)
        .bind(&strike.reason)
        .bind(strike.state.as_str())
        .bind(strike.series)
        .bind(&strike.problem)
        .fetch_one(&self.pool)
        .await
        .map_err(|e| self.failed(e))
    }

    /// Where a strike stands now. One that is being taken back stays so: it was said while its series learned anew.
    ///
    /// # Errors
    /// The database can not be written.
    pub async fn set_strike(&self, strike: &Strike) -> Result<(), JournalError> {
        query(
            "UPDATE strikes SET state = ?1, series = ?2, problem = ?3
             WHERE id = ?4 AND (state <> 'removing' OR ?1 = 'removing')",
        )
        .bind(strike.state.as_str())
        .bind(strike.series)
        .bind(&strike.problem)
        .bind(strike.id)
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(|e| self.failed(e))
    }

    /// Forgets strike `id`.
    ///
    /// # Errors
    /// The database can not be written.
    pub async fn remove_strike(&self, id: i64) -> Result<(), JournalError> {
        let done = query("DELETE FROM strikes WHERE id = ?").bind(id).execute(&self.pool).await;
        done.map(drop).map_err(|e| self.failed(e))
    }

    /// All strikes, oldest first.
    ///
    /// # Errors
    /// The database can not be read.
    pub async fn strikes(&self) -> Result<Vec<Strike>, JournalError> {
        let rows = query("SELECT * FROM strikes ORDER BY id").fetch_all(&self.pool).await;
        Ok(rows.map_err(|e| self.failed(e))?.iter().filter_map(read_strike).collect())
    }

    /// Keeps a state whole under `name`.
    ///
    /// # Errors
    /// The database can not be written.
    pub async fn keep_state(&self, name: &str, at_ms: i64, state: &[u8]) -> Result<(), JournalError> {
        query("INSERT INTO kept (name, at_ms, state) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET at_ms = excluded.at_ms, state = excluded.state")
            .bind(name)
            .bind(at_ms)
            .bind(state)
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    /// The state kept under `name`.
    ///
    /// # Errors
    /// The database can not be read.
    pub async fn kept_state(&self, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
        let state = query_scalar("SELECT state FROM kept WHERE name = ?").bind(name).fetch_optional(&self.pool).await;
        state.map_err(|e| self.failed(e))
    }

    /// Episodes that were suppressed and went on when the process ended are over: only what sinks were told of goes
    /// on over a restart, and what they are to be told of after a quiet window.
    ///
    /// # Errors
    /// The database can not be written.
    pub async fn end_suppressed(&self, now_ms: i64) -> Result<(), JournalError> {
        query("UPDATE episodes SET ends_ms = max(starts_ms, ?) WHERE ends_ms IS NULL AND suppressed <> ?")
            .bind(now_ms)
            .bind(Reason::Muted.as_str())
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(|e| self.failed(e))
    }

    pub(super) fn failed(&self, error: sqlx::Error) -> JournalError {
        JournalError::from_sqlx(&self.path, error)
    }
}

fn read_kept(found: &SqliteRow) -> Option<Kept> {
    let episode =
        row::read(found).inspect_err(|error| tracing::warn!(%error, "unreadable episode in the journal")).ok()?;
    let suppressed = found.try_get::<Option<String>, _>("suppressed").ok()?.unwrap_or_default();
    Some(Kept { id: alert_id(&episode), episode, suppressed, feedback: String::new() })
}

fn read_feedback(row: &SqliteRow) -> Option<Feedback> {
    Some(Feedback {
        said_ms: row.try_get("said_ms").ok()?,
        series: row.try_get::<Option<i64>, _>("series").ok()?.map(|id| SeriesId(id.cast_unsigned())),
        about_ms: row.try_get("about_ms").ok()?,
        alert: row.try_get("alert").ok()?,
        rule: row.try_get("rule").ok()?,
        host: row.try_get("host").ok()?,
        pattern: Pattern::from_byte(u8::try_from(row.try_get::<i64, _>("pattern").ok()?).unwrap_or(0)),
        peak_score: row.try_get::<f64, _>("peak_score").ok()? as f32,
        judgement: Judgement::of(&row.try_get::<String, _>("verdict").ok()?)?,
        comment: row.try_get("comment").ok()?,
    })
}

fn read_strike(row: &SqliteRow) -> Option<Strike> {
    let selectors: Vec<String> = serde_json::from_str(&row.try_get::<String, _>("selectors").ok()?).ok()?;
    let state: String = row.try_get("state").ok()?;
    Some(Strike {
        id: row.try_get("id").ok()?,
        made_ms: row.try_get("made_ms").ok()?,
        selectors: selectors.iter().map(|text| text.parse()).collect::<Result<_, _>>().ok()?,
        start_ms: row.try_get("start_ms").ok()?,
        end_ms: row.try_get("end_ms").ok()?,
        reason: row.try_get("reason").ok()?,
        state: StrikeState::ALL.into_iter().find(|known| known.as_str() == state)?,
        series: row.try_get("series").ok()?,
        problem: row.try_get("problem").ok()?,
    })
}
