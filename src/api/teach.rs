//! What people tell Watchbell: which alerts were right and wrong, and which windows models must not learn from.
//! Answers are JSON in the envelope of Prometheus' API.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use watchbell_adapter_api::Clock;
use watchbell_series::{Labels, Pattern, Selector, SeriesId};

use crate::alerting::Judgement;
use crate::pipeline::alerts::{FEEDBACK_MS, Judged};
use crate::pipeline::handle::ShardHandle;
use crate::pipeline::strikes::{Order, Refused};
use crate::store::journal::{Feedback, Journal, JournalError, Kept, Strike, StrikeState, Which};
use crate::words;

/// Rows of a list unless asked otherwise, and at most.
const LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;
/// The longest comment or reason, bytes.
const MAX_TEXT: usize = 2_048;
/// Selectors of one strike.
const MAX_SELECTORS: usize = 32;

/// What the handlers reach.
#[derive(Clone)]
pub struct Desk {
    /// The journal.
    pub journal: Arc<Journal>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The alerting stage.
    pub judged: mpsc::Sender<Judged>,
    /// What works on strikes.
    pub orders: mpsc::Sender<Order>,
    /// Where series are.
    pub shards: Arc<[ShardHandle]>,
}

impl Desk {
    /// Whether the series `id` is held.
    async fn knows(&self, id: SeriesId) -> bool {
        for shard in self.shards.iter() {
            // A shard that fails just now can not say so: in doubt what was said is kept.
            if shard.call(move |shard| shard.holds(id)).await.unwrap_or(true) {
                return true;
            }
        }
        false
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk")
    }
}

/// The routes.
pub fn router(desk: Desk) -> Router {
    Router::new()
        .route("/api/v1/alerts", get(alerts))
        .route("/api/v1/feedback", get(said).post(say))
        .route("/api/v1/strikes", get(strikes).post(strike))
        .route("/api/v1/strikes/{id}", delete(unstrike))
        .with_state(desk)
}

/// Why a request is refused.
pub(super) struct Refusal(StatusCode, String);

impl Refusal {
    pub(super) fn of(status: StatusCode, text: String) -> Self {
        Self(status, text)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let kind = match self.0 {
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            StatusCode::INTERNAL_SERVER_ERROR => "internal",
            StatusCode::CONFLICT => "conflict",
            _ => "bad_data",
        };
        (self.0, Json(json!({"status": "error", "errorType": kind, "error": self.1}))).into_response()
    }
}

impl From<JournalError> for Refusal {
    fn from(error: JournalError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<JsonRejection> for Refusal {
    fn from(error: JsonRejection) -> Self {
        let text = error.body_text();
        // Where something else than an object came, serde names a type of this program.
        if text.contains("expected struct ") {
            return bad(
                "the body is to be one JSON object with its fields by name, such as `{\"reason\": \"kernel update\"}`",
            );
        }
        bad(format!("the body is no JSON of the form that is wanted: {text}"))
    }
}

impl From<QueryRejection> for Refusal {
    fn from(error: QueryRejection) -> Self {
        bad(super::query_problem(&error))
    }
}

impl From<Refused> for Refusal {
    fn from(error: Refused) -> Self {
        let status = match error {
            Refused::NoHistory | Refused::Full => StatusCode::CONFLICT,
            Refused::Unknown(_) => StatusCode::NOT_FOUND,
            Refused::Journal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

pub(super) type Answer = Result<Response, Refusal>;

pub(super) fn bad(message: impl Into<String>) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, message.into())
}

pub(super) fn stopping<T>(_: T) -> Refusal {
    Refusal(StatusCode::SERVICE_UNAVAILABLE, "stopping".to_owned())
}

pub(super) fn success(status: StatusCode, data: Value) -> Response {
    (status, Json(json!({"status": "success", "data": data}))).into_response()
}

/// RFC 3339, or seconds since the Unix epoch.
pub(super) fn time(name: &str, value: &Value) -> Result<i64, Refusal> {
    let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    words::read_time(&text).map_err(|error| bad(format!("`{name}`: {error}")))
}

pub(super) fn text(name: &str, text: String) -> Result<String, Refusal> {
    if text.len() <= MAX_TEXT { Ok(text) } else { Err(bad(format!("`{name}` is longer than {MAX_TEXT} bytes"))) }
}

pub(super) fn shown_time(ms: i64) -> Value {
    jiff::Timestamp::from_millisecond(ms).map_or(Value::Null, |at| at.to_string().into())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    #[serde(default)]
    state: String,
    before: Option<String>,
    limit: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limited {
    limit: Option<u32>,
}

fn limit(asked: Option<u32>) -> u32 {
    asked.unwrap_or(LIMIT).clamp(1, MAX_LIMIT)
}

async fn alerts(State(desk): State<Desk>, listing: Result<Query<Listing>, QueryRejection>) -> Answer {
    let Query(listing) = listing?;
    let which = match listing.state.as_str() {
        "" | "all" => Which::All,
        "fired" => Which::Fired,
        "firing" => Which::Firing,
        "suppressed" => Which::Suppressed,
        other => return Err(bad(format!("unknown `state` `{other}`; known: all, fired, firing, suppressed"))),
    };
    let before_ms = listing.before.clone().map(|text| time("before", &Value::String(text))).transpose()?;
    let kept = desk.journal.kept(which, before_ms.unwrap_or(i64::MAX), limit(listing.limit)).await?;
    Ok(success(StatusCode::OK, kept.iter().map(shown_alert).collect()))
}

fn shown_alert(kept: &Kept) -> Value {
    let Kept { id, episode, suppressed, feedback } = kept;
    let state = match (suppressed.is_empty(), episode.ends_ms) {
        (false, _) => format!("suppressed: {suppressed}"),
        (true, None) => "firing".to_owned(),
        (true, Some(_)) => "resolved".to_owned(),
    };
    let labels: Map<String, Value> = episode.labels.iter().map(|(n, v)| (n.to_owned(), v.into())).collect();
    let texts: Map<String, Value> = episode.annotations.iter().map(|(n, v)| (n.clone(), v.as_str().into())).collect();
    json!({
        "id": id, "state": state, "rule": episode.rule, "host": episode.host, "labels": labels,
        "annotations": texts, "startsAt": shown_time(episode.starts_ms),
        "endsAt": episode.ends_ms.map_or(Value::Null, shown_time), "peakScore": episode.peak_score,
        "pattern": episode.pattern.as_str(), "feedback": (!feedback.is_empty()).then_some(feedback),
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saying {
    alert: Option<String>,
    series: Option<Map<String, Value>>,
    time: Option<Value>,
    verdict: String,
    #[serde(default)]
    comment: String,
}

/// Which anomaly is meant: the episode if there is one, else the series and the moment.
async fn meant(desk: &Desk, saying: &Saying) -> Result<(Option<Kept>, Option<SeriesId>, i64), Refusal> {
    // What fired a moment ago may still wait to be written.
    desk.journal.flush().await;
    match (&saying.alert, &saying.series, &saying.time) {
        (Some(id), None, None) => match desk.journal.by_id(id).await? {
            Some(kept) => Ok((Some(kept.clone()), kept.episode.series, kept.episode.starts_ms)),
            None => {
                let message = format!("there is no alert `{id}`; ids are listed at `/api/v1/alerts`");
                Err(Refusal(StatusCode::NOT_FOUND, message))
            }
        },
        (None, Some(labels), Some(at)) => {
            let texts = labels.iter().map(|(name, value)| Some((name.as_str(), value.as_str()?)));
            let texts: Option<Vec<_>> = texts.collect();
            let texts = texts.ok_or_else(|| bad("`series` wants a text for each label"))?;
            let id = Labels::series(texts).map_err(|e| bad(format!("`series`: {e}")))?.id();
            let at_ms = time("time", at)?;
            let now_ms = desk.clock.now_ms();
            if at_ms > now_ms {
                return Err(bad("`time` is in the future"));
            }
            if at_ms < now_ms - FEEDBACK_MS {
                let days = FEEDBACK_MS / 86_400_000;
                return Err(bad(format!("`time` is more than {days} days ago: what is said of it counts for nothing")));
            }
            let kept = desk.journal.at(id, at_ms).await?;
            if kept.is_none() && !desk.knows(id).await {
                let message = "no series with exactly these labels is known; `series` wants all labels of the input, \
                               as `/scores?match[]=...` and `/api/v1/explain` show them";
                return Err(Refusal(StatusCode::NOT_FOUND, message.to_owned()));
            }
            Ok((kept, Some(id), at_ms))
        }
        _ => Err(bad("name either `alert` (an id of `/api/v1/alerts`), or `series` (its labels) and `time`")),
    }
}

async fn say(State(desk): State<Desk>, body: Result<Json<Saying>, JsonRejection>) -> Answer {
    let Json(saying) = body?;
    let known = || Judgement::ALL.map(Judgement::as_str).join(", ");
    let judgement = Judgement::of(&saying.verdict)
        .ok_or_else(|| bad(format!("unknown `verdict` `{}`; known: {}", saying.verdict, known())))?;
    let comment = text("comment", saying.comment.clone())?;
    let (kept, series, about_ms) = meant(&desk, &saying).await?;
    let episode = kept.as_ref().map(|kept| &kept.episode);
    let feedback = Feedback {
        said_ms: desk.clock.now_ms(),
        series,
        about_ms,
        alert: kept.as_ref().map(|kept| kept.id.clone()),
        rule: episode.map(|e| e.rule.clone()).unwrap_or_default(),
        host: episode.map(|e| e.host.clone()).unwrap_or_default(),
        pattern: episode.map_or(Pattern::None, |e| e.pattern),
        peak_score: episode.map_or(0.0, |e| e.peak_score),
        judgement,
        comment,
    };
    let again = kept.as_ref().is_some_and(|kept| kept.feedback == judgement.as_str());
    desk.journal.add_feedback(&feedback).await?;
    let mut raises = false;
    // Said twice it counts once.
    if let (Some(kept), false) = (&kept, again) {
        let (answer, raised) = oneshot::channel();
        let fired = kept.suppressed.is_empty();
        let judged = Judged { episode: kept.episode.clone(), fired, judgement, answer };
        desk.judged.send(judged).await.map_err(stopping)?;
        raises = raised.await.map_err(stopping)?;
    }
    let mut data = shown_feedback(&feedback);
    data["raisesEdge"] = raises.into();
    Ok(success(StatusCode::OK, data))
}

fn shown_feedback(feedback: &Feedback) -> Value {
    json!({
        "saidAt": shown_time(feedback.said_ms), "verdict": feedback.judgement.as_str(),
        "alert": feedback.alert, "seriesId": feedback.series.map(|id| id.to_string()),
        "time": shown_time(feedback.about_ms), "rule": feedback.rule, "host": feedback.host,
        "pattern": feedback.pattern.as_str(), "peakScore": feedback.peak_score, "comment": feedback.comment,
    })
}

async fn said(State(desk): State<Desk>, listing: Result<Query<Limited>, QueryRejection>) -> Answer {
    let Query(listing) = listing?;
    let all = desk.journal.feedback(i64::MIN, limit(listing.limit)).await?;
    Ok(success(StatusCode::OK, all.iter().map(shown_feedback).collect()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Striking {
    #[serde(rename = "match[]", alias = "match")]
    selectors: Vec<String>,
    start: Value,
    end: Value,
    #[serde(default)]
    reason: String,
}

async fn strike(State(desk): State<Desk>, body: Result<Json<Striking>, JsonRejection>) -> Answer {
    let Json(striking) = body?;
    if striking.selectors.is_empty() || striking.selectors.len() > MAX_SELECTORS {
        return Err(bad(format!("`match[]` wants 1 to {MAX_SELECTORS} selectors, such as `{{host=\"web-1\"}}`")));
    }
    let selector = |text: &String| text.parse::<Selector>().map_err(|e| bad(format!("`match[]`: `{text}`: {e}")));
    let selectors = striking.selectors.iter().map(selector).collect::<Result<_, _>>()?;
    let (start_ms, end_ms) = (time("start", &striking.start)?, time("end", &striking.end)?);
    let now_ms = desk.clock.now_ms();
    if end_ms < start_ms {
        return Err(bad("`end` is before `start`"));
    }
    if end_ms > now_ms {
        return Err(bad("`end` is in the future; a window can be struck out once it is over"));
    }
    let reason = text("reason", striking.reason)?;
    let strike = Strike {
        id: 0,
        made_ms: now_ms,
        selectors,
        start_ms,
        end_ms,
        reason,
        state: StrikeState::Pending,
        series: 0,
        problem: String::new(),
    };
    let (answer, kept) = oneshot::channel();
    desk.orders.send(Order::Add(strike, answer)).await.map_err(stopping)?;
    let strike = kept.await.map_err(stopping)??;
    Ok(success(StatusCode::ACCEPTED, shown_strike(&strike)))
}

async fn unstrike(State(desk): State<Desk>, Path(id): Path<String>) -> Answer {
    let id = id.parse().map_err(|_| bad(format!("`{id}` is no number of a strike")))?;
    let (answer, removed) = oneshot::channel();
    desk.orders.send(Order::Remove(id, answer)).await.map_err(stopping)?;
    let strike = removed.await.map_err(stopping)??;
    Ok(success(StatusCode::ACCEPTED, shown_strike(&strike)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {}

async fn strikes(State(desk): State<Desk>, listing: Result<Query<Whole>, QueryRejection>) -> Answer {
    listing?;
    Ok(success(StatusCode::OK, desk.journal.strikes().await?.iter().map(shown_strike).collect()))
}

fn shown_strike(strike: &Strike) -> Value {
    json!({
        "id": strike.id, "match[]": strike.selectors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "start": shown_time(strike.start_ms), "end": shown_time(strike.end_ms), "reason": strike.reason,
        "madeAt": shown_time(strike.made_ms), "state": strike.state.as_str(), "series": strike.series,
        "problem": (!strike.problem.is_empty()).then_some(&strike.problem),
    })
}
