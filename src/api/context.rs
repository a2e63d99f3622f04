//! What other tools know, as the service heard it: quiet windows, known limits, problems; and windows that people state.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{delete, get};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use watchbell_adapter_api::Clock;
use watchbell_series::{QuietWindow, Selector, Subject};

use super::teach::{Answer, Refusal, bad, stopping, success, text, time};
use crate::context::Known;
use crate::context::keeper::{self, MAX_WINDOWS, Order};
use crate::context::quiet::{Key, Quiet, Window};
use crate::context::subject::{host_names, host_of_subject, subject_json};
use crate::pipeline::handle::ShardHandle;
use crate::pipeline::shard::Covered;
use crate::store::journal::{Journal, KeptProblem, KeptWindow};
use crate::words;

/// Rows of a list unless asked otherwise, and at most.
const LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 10_000;
/// How windows stand.
const STATES: [&str; 3] = ["active", "planned", "over"];

fn rows(asked: Option<u32>) -> usize {
    asked.unwrap_or(LIMIT).clamp(1, MAX_LIMIT) as usize
}

/// What the handlers reach.
#[derive(Clone)]
pub struct Desk {
    /// The journal.
    pub journal: Arc<Journal>,
    /// What is in force.
    pub known: Known,
    /// What follows windows.
    pub orders: mpsc::Sender<Order>,
    /// Names of hosts.
    pub naming: keeper::Naming,
    /// Where series are.
    pub shards: Arc<[ShardHandle]>,
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

fn state(window: &QuietWindow, now_ms: i64) -> &'static str {
    match window.ends_ms {
        Some(end) if end <= now_ms => "over",
        _ if window.starts_ms > now_ms => "planned",
        _ => "active",
    }
}

fn shown_window(source: &str, window: &QuietWindow, now_ms: i64) -> Value {
    json!({
        "source": source, "id": window.id, "subject": shown_subject(&window.subject), "reason": window.reason,
        "start": words::time(window.starts_ms), "end": window.ends_ms.map(words::time), "state": state(window, now_ms),
    })
}

/// The same, and how many series and hosts it is about now; `null` where it is not in force, or that is not known.
fn shown_with(mut shown: Value, covered: Option<&Covered>) -> Value {
    shown["series"] = json!(covered.map(|covered| covered.series));
    shown["hosts"] = json!(covered.map(|covered| covered.hosts.len()));
    shown
}

impl Desk {
    /// Whom these windows are about now; those that are not in force are left out. Nothing while a shard is not there:
    /// a part of the series is no answer.
    async fn covered(&self, keys: impl Iterator<Item = Key>) -> Option<HashMap<Key, Covered>> {
        let quiet = self.known.quiet.load_full();
        let wanted: Vec<Arc<Window>> = keys.filter_map(|(source, id)| quiet.find(&source, &id).cloned()).collect();
        if wanted.is_empty() {
            return Some(HashMap::new());
        }
        let wanted = Arc::new(Quiet::new(wanted, Arc::clone(quiet.names())));
        let mut all = Vec::new();
        for shard in self.shards.iter() {
            let mut from = Some(0);
            while let Some(slot) = from {
                let wanted = Arc::clone(&wanted);
                let mut sums = std::mem::take(&mut all);
                let counted =
                    shard.call(move |shard| shard.count_quiet(&wanted, slot, &mut sums).map(|next| (sums, next)));
                (all, from) = counted.await.ok()?.ok()?;
            }
        }
        let counts = wanted.windows().iter().map(|window| (window.source.clone(), window.id.clone())).zip(all);
        Some(counts.collect())
    }

    /// Whether a subject names the host that is called `host` by anyone.
    fn of_host(&self, host: Option<&str>) -> impl Fn(&Subject) -> bool {
        let wanted = host.map(|host| {
            let (mapping, table) = (self.naming)();
            (host_names(host, &mapping, &table), mapping, table)
        });
        move |subject| {
            let Some((wanted, mapping, table)) = &wanted else { return true };
            *subject == Subject::All
                || host_of_subject(subject, mapping, table).iter().any(|name| wanted.contains(name))
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowListing {
    source: Option<String>,
    host: Option<String>,
    state: Option<String>,
    limit: Option<u32>,
}

async fn windows(State(desk): State<Desk>, listing: Result<Query<WindowListing>, QueryRejection>) -> Answer {
    let Query(listing) = listing?;
    if let Some(other) = listing.state.as_ref().filter(|state| !STATES.contains(&state.as_str())) {
        return Err(bad(format!("unknown `state` `{other}`; known: {}", STATES.join(", "))));
    }
    let now_ms = desk.clock.now_ms();
    let mut all = desk.journal.windows().await?;
    let of_host = desk.of_host(listing.host.as_deref());
    let is = |wanted: &Option<String>, word: &str| wanted.as_ref().is_none_or(|wanted| wanted == word);
    all.retain(|KeptWindow { source, window }| {
        is(&listing.source, source) && is(&listing.state, state(window, now_ms)) && of_host(&window.subject)
    });
    all.sort_by_key(|kept| keeper::urgency((kept.window.starts_ms, kept.window.ends_ms), now_ms));
    all.truncate(rows(listing.limit));
    let lasting = all.iter().filter(|kept| state(&kept.window, now_ms) != "over");
    let covered = desk.covered(lasting.map(|kept| (kept.source.clone(), kept.window.id.clone()))).await;
    let shown = all.iter().map(|KeptWindow { source, window }| {
        let covered = covered.as_ref().and_then(|all| all.get(&(source.clone(), window.id.clone())));
        shown_with(shown_window(source, window, now_ms), covered)
    });
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
            if selector.matchers().is_empty() {
                return Err(bad("`match` selects every series; say `everything: true` if all is to be quiet"));
            }
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
    let starts_ms = planning.start.map(|start| time("start", &start)).transpose()?;
    let ends_ms = planning.end.map(|end| time("end", &end)).transpose()?;
    if starts_ms.zip(ends_ms).is_some_and(|(start, end)| end < start) {
        return Err(bad("`end` is before `start`"));
    }
    if ends_ms.is_some_and(|end| end <= now_ms) {
        return Err(bad("`end` is in the past; what was learned then is taken out by `/api/v1/strikes`"));
    }
    let starts_ms = starts_ms.unwrap_or(now_ms);
    let window =
        QuietWindow { id: String::new(), subject, starts_ms, ends_ms, reason: text("reason", planning.reason)? };
    let (answer, kept) = oneshot::channel();
    desk.orders.send(Order::Add(window, answer)).await.map_err(stopping)?;
    let window = kept.await.map_err(stopping)??;
    let key = (keeper::PEOPLE.to_owned(), window.id.clone());
    let covered = desk.covered(std::iter::once(key.clone())).await;
    let warning = match covered.as_ref().map(|all| all.get(&key)) {
        None => Some(
            "in force; a part of the series is being brought back, so how many it is about is not known".to_owned(),
        ),
        Some(Some(covered)) if covered.series > 0 => None,
        Some(Some(_)) => Some("no series matches now; the window will apply when one appears".to_owned()),
        Some(None) => Some(format!(
            "more than {MAX_WINDOWS} windows are known, and this one is not in force: active ones come first, then the next \
             of those that are planned"
        )),
    };
    let data =
        shown_with(shown_window(keeper::PEOPLE, &window, now_ms), covered.as_ref().and_then(|all| all.get(&key)));
    let mut answer = json!({"status": "success", "data": data});
    if let Some(warning) = warning {
        answer["warnings"] = json!([warning]);
    }
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

async fn end(State(desk): State<Desk>, Path(id): Path<String>) -> Answer {
    let (answer, ended) = oneshot::channel();
    desk.orders.send(Order::End(id, answer)).await.map_err(stopping)?;
    let window = ended.await.map_err(stopping)??;
    Ok(success(StatusCode::OK, shown_window(keeper::PEOPLE, &window, desk.clock.now_ms())))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitListing {
    source: Option<String>,
    host: Option<String>,
    limit: Option<u32>,
}

async fn limits(State(desk): State<Desk>, listing: Result<Query<LimitListing>, QueryRejection>) -> Answer {
    let Query(listing) = listing?;
    let told = desk.known.told_limits.load_full();
    let of_host = desk.of_host(listing.host.as_deref());
    let all = told.iter().filter(|(source, _)| listing.source.as_ref().is_none_or(|wanted| wanted == *source));
    let all = all.flat_map(|(source, limits)| limits.iter().map(move |limit| (source, limit)));
    let all = all.filter(|(_, limit)| of_host(&limit.subject)).take(rows(listing.limit));
    let shown = all.map(|(source, limit)| {
        json!({
            "source": source, "id": limit.id, "subject": shown_subject(&limit.subject), "name": limit.name,
            "severity": limit.severity.as_str(), "low": limit.range.low, "high": limit.range.high,
            "inside": limit.range.inside,
        })
    });
    Ok(success(StatusCode::OK, shown.collect()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProblemListing {
    source: Option<String>,
    host: Option<String>,
    since: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

async fn problems(State(desk): State<Desk>, listing: Result<Query<ProblemListing>, QueryRejection>) -> Answer {
    let Query(listing) = listing?;
    let at = |name: &str, given: &Option<String>, otherwise: i64| {
        given.as_ref().map_or(Ok(otherwise), |text| words::read_time(text).map_err(|e| bad(format!("`{name}`: {e}"))))
    };
    let (since_ms, before_ms) = (at("since", &listing.since, i64::MIN)?, at("before", &listing.before, i64::MAX)?);
    let filtered = listing.source.is_some() || listing.host.is_some();
    let most = if filtered { MAX_LIMIT } else { rows(listing.limit) as u32 };
    let of_host = desk.of_host(listing.host.as_deref());
    let is_of = |source: &str| listing.source.as_ref().is_none_or(|wanted| wanted == source);
    let kept = desk.journal.problems(since_ms, before_ms, most).await?;
    let wanted = kept.iter().filter(|kept| is_of(&kept.source) && of_host(&kept.problem.subject));
    let shown = wanted.take(rows(listing.limit)).map(|KeptProblem { source, problem }| {
        json!({
            "source": source, "id": problem.id, "subject": shown_subject(&problem.subject), "name": problem.name,
            "severity": problem.severity_word(), "acknowledged": problem.acknowledged,
            "start": words::time(problem.starts_ms), "end": problem.ends_ms.map(words::time),
        })
    });
    Ok(success(StatusCode::OK, shown.collect()))
}
