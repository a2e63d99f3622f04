//! An episode as a row of the database, both ways.

use serde_json::{Map, Value};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Row, query, query_scalar};
use watchbell_series::{Labels, Pattern, SeriesId};

use crate::alerting::{Episode, Reason, Transition};

/// Why a row is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error("labels or annotations: {0}")]
    Json(#[from] serde_json::Error),
    #[error("labels: {0}")]
    Labels(#[from] watchbell_series::labels::LabelError),
}

pub(super) async fn write(connection: &mut SqliteConnection, transition: &Transition) -> sqlx::Result<()> {
    let episode = &transition.episode;
    let id: i64 = query_scalar(
        "INSERT INTO episodes
             (fingerprint, starts_ms, ends_ms, rule, host, series, labels, annotations, generator_url, peak_score, pattern, suppressed)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (fingerprint, starts_ms) DO UPDATE SET
             ends_ms = excluded.ends_ms, annotations = excluded.annotations,
             peak_score = excluded.peak_score, pattern = excluded.pattern,
             suppressed = excluded.suppressed
         RETURNING id",
    )
    .bind(episode.labels.id().0.cast_signed())
    .bind(episode.starts_ms)
    .bind(episode.ends_ms)
    .bind(&episode.rule)
    .bind(&episode.host)
    .bind(episode.series.map(|id| id.0.cast_signed()))
    .bind(object(episode.labels.iter()))
    .bind(object(episode.annotations.iter().map(|(name, text)| (name.as_str(), text.as_str()))))
    .bind(&episode.generator_url)
    // SQLite stores NaN as NULL, which the column refuses.
    .bind(if episode.peak_score.is_finite() { f64::from(episode.peak_score) } else { 0.0 })
    .bind(i64::from(episode.pattern as u8))
    .bind(transition.change.suppressed().map(Reason::as_str))
    .fetch_one(&mut *connection)
    .await?;
    query("INSERT INTO events (episode, at_ms, state) VALUES (?, ?, ?)")
        .bind(id)
        .bind(transition.at_ms)
        .bind(transition.change.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) fn read(row: &SqliteRow) -> Result<Episode, RowError> {
    let labels: Map<String, Value> = serde_json::from_str(row.try_get("labels")?)?;
    let annotations: Map<String, Value> = serde_json::from_str(row.try_get("annotations")?)?;
    Ok(Episode {
        rule: row.try_get("rule")?,
        series: row.try_get::<Option<i64>, _>("series")?.map(|id| SeriesId(id.cast_unsigned())),
        host: row.try_get("host")?,
        labels: Labels::new(strings(labels))?,
        annotations: strings(annotations).collect(),
        generator_url: row.try_get("generator_url")?,
        starts_ms: row.try_get("starts_ms")?,
        ends_ms: row.try_get("ends_ms")?,
        peak_score: row.try_get::<f64, _>("peak_score")? as f32,
        pattern: Pattern::from_byte(u8::try_from(row.try_get::<i64, _>("pattern")?).unwrap_or(0)),
    })
}

fn object<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let map: Map<String, Value> = pairs.map(|(name, value)| (name.to_owned(), value.into())).collect();
    Value::Object(map).to_string()
}

fn strings(map: Map<String, Value>) -> impl Iterator<Item = (String, String)> {
    map.into_iter().filter_map(|(name, value)| match value {
        Value::String(text) => Some((name, text)),
        _ => None,
    })
}
