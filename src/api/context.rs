//! What other tools know, as the service heard it: quiet windows, known limits, problems; and windows that people state.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{delete, get};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use watchbell_adapter_api::Clock;
use watchbell_series::{QuietWindow, Selector, Subject};

use super::teach::{Answer, Refusal, bad, stopping, success, text, time};
use crate::context::Known;
use crate::context::keeper::{self, Order};
use crate::context::subject::subject_json;
use crate::store::journal::{Journal, KeptProblem, KeptWindow};
use crate::words;

/// Rows of a list unless asked otherwise, and at most.
const LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 10_000;

/// What the handlers reach.
#[derive(Clone)]
pub struct Desk {
    /// The journal.
    pub journal: Arc<Journal>,
    /// What is in force.
    pub known: Known,
    /// What follows windows.
    pub orders: mpsc::Sender<Order>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk")
    }
}

/// The routes.
pub fn router(desk: Desk) -> Router {
    Router::new()
        .route("/api/v1/windows", get(windows).post(plan))
        .route("/api/v1/windows/{id}", delete(end))
        .route("/api/v1/limits", get(limits))
        .route("/api/v1/problems", get(problems))
        .with_state(desk)
}

impl From<keeper::Refused> for Refusal {
    fn from(error: keeper::Refused) -> Self {
        let status = match error {
            keeper::Refused::Unknown(_) => StatusCode::NOT_FOUND,
            keeper::Refused::Over(_) | keeper::Refused::Full => StatusCode::CONFLICT,
            keeper::Refused::Journal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::of(status, error.to_string())
    }
}

/// A subject in words: `everything`, a host, or a selector.
pub(super) fn shown_subject(subject: &Subject) -> Value {
    match subject {
        Subject::All => json!({"everything": true}),
        Subject::Host(_) => subject_json(subject),
        Subject::Series(matchers) => json!({"match": Selector::new(matchers.clone()).to_string()}),
    }
}

fn shown_window(source: &str, window: &QuietWindow, now_ms: i64) -> Value {
    let state = match window.ends_ms {
        Some(end) if end < now_ms => "over",
        _ if window.starts_ms > now_ms => "planned",
        _ => "active",
    };
    json!({
        "source": source, "id": window.id, "subject": shown_subject(&window.subject), "reason": window.reason,
        "start": words::time(window.starts_ms), "end": window.ends_ms.map(words::time), "state": state,
    })
}

async fn windows(State(desk): State<Desk>) -> Answer {
    let now_ms = desk.clock.now_ms();
    let all = desk.journal.windows().await?;
    let shown = all.iter().map(|KeptWindow { source, window }| shown_window(source, window, now_ms));
    Ok(success(StatusCode::OK, shown.collect()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Planning {
    #[serde(rename = "match")]
    selector: Option<String>,
    host: Option<String>,
    #[serde(default)]
    everything: bool,
    start: Option<Value>,
    end: Option<Value>,
    #[serde(default)]
    reason: String,
}

async fn plan(State(desk): State<Desk>, body: Result<Json<Planning>, JsonRejection>) -> Answer {
    let Json(planning) = body?;
    let subject = match (planning.selector, planning.host, planning.everything) {
        (Some(selector), None, false) => {
            let selector = text("match", selector)?.parse::<Selector>().map_err(|e| bad(format!("`match`: {e}")))?;
            Subject::Series(selector.matchers().to_vec())
        }
        (None, Some(host), false) if !host.is_empty() => Subject::Host(text("host", host)?.into()),
        (None, None, true) => Subject::All,
        _ => {
            return Err(bad(
                "exactly one of `host`, `match` (a selector such as `{job=\"db\"}`) and `everything: true` says what is quiet",
            ));
        }
    };
    let now_ms = desk.clock.now_ms();
    let starts_ms = planning.start.map_or(Ok(now_ms), |start| time("start", &start))?;
    let ends_ms = planning.end.map(|end| time("end", &end)).transpose()?;
    if ends_ms.is_some_and(|end| end < starts_ms) {
        return Err(bad("`end` is before `start`"));
    }
    if ends_ms.is_some_and(|end| end <= now_ms) {
        return Err(bad("`end` is in the past; what was learned then is taken out by `/api/v1/strikes`"));
    }
    let window =
        QuietWindow { id: String::new(), subject, starts_ms, ends_ms, reason: text("reason", planning.reason)? };
    let (answer, kept) = oneshot::channel();
    desk.orders.send(Order::Add(window, answer)).await.map_err(stopping)?;
    let window = kept.await.map_err(stopping)??;
    Ok(success(StatusCode::CREATED, shown_window(keeper::PEOPLE, &window, now_ms)))
}

async fn end(State(desk): State<Desk>, Path(id): Path<String>) -> Answer {
    let (answer, ended) = oneshot::channel();
    desk.orders.send(Order::End(id, answer)).await.map_err(stopping)?;
    let window = ended.await.map_err(stopping)??;
    Ok(success(StatusCode::OK, shown_window(keeper::PEOPLE, &window, desk.clock.now_ms())))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    source: Option<String>,
    host: Option<String>,
    since: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

impl Listing {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(LIMIT).min(MAX_LIMIT) as usize
    }

    fn is_of(&self, source: &str) -> bool {
        self.source.as_ref().is_none_or(|wanted| wanted == source)
    }
}

async fn limits(State(desk): State<Desk>, listing: Result<Query<Listing>, QueryRejection>) -> Answer {
    let Query(listing) = listing?;
    let told = desk.known.told_limits.load_full();
    let all = told.iter().filter(|(source, _)| listing.is_of(source));
    let all = all.flat_map(|(source, limits)| limits.iter().map(move |limit| (source, limit))).take(listing.limit());
    let shown = all.map(|(source, limit)| {
        json!({
            "source": source, "id": limit.id, "subject": shown_subject(&limit.subject), "name": limit.name,
            "severity": limit.severity.as_str(), "low": limit.range.low, "high": limit.range.high,
            "inside": limit.range.inside,
        })
    });
    Ok(success(StatusCode::OK, shown.collect()))
}

async fn problems(State(desk): State<Desk>, listing: Result<Query<Listing>, QueryRejection>) -> Answer {
    let Query(listing) = listing?;
    let at = |name: &str, given: &Option<String>, otherwise: i64| {
        given.as_ref().map_or(Ok(otherwise), |text| words::read_time(text).map_err(|e| bad(format!("`{name}`: {e}"))))
    };
    let (since_ms, before_ms) = (at("since", &listing.since, i64::MIN)?, at("before", &listing.before, i64::MAX)?);
    let filtered = listing.source.is_some() || listing.host.is_some();
    let most = if filtered { MAX_LIMIT } else { listing.limit() as u32 };
    let host = |subject: &Subject| match (&listing.host, subject) {
        (None, _) => true,
        (Some(host), Subject::Host(name)) => **name == **host,
        (Some(host), Subject::Series(all)) => {
            all.iter().any(|m| m.value() == host && ["host", "instance"].contains(&m.name()))
        }
        (Some(_), Subject::All) => true,
    };
    let kept = desk.journal.problems(since_ms, before_ms, most).await?;
    let wanted = kept.iter().filter(|kept| listing.is_of(&kept.source) && host(&kept.problem.subject));
    let shown = wanted.take(listing.limit()).map(|KeptProblem { source, problem }| {
        json!({
            "source": source, "id": problem.id, "subject": shown_subject(&problem.subject), "name": problem.name,
            "severity": problem.severity_word(), "acknowledged": problem.acknowledged,
            "start": words::time(problem.starts_ms), "end": problem.ends_ms.map(words::time),
        })
    });
    Ok(success(StatusCode::OK, shown.collect()))
}
