//! What other tools know, as the service heard it: quiet windows, known limits, problems.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use watchbell_series::{ForeignProblem, KnownLimit, QuietWindow, Subject};

use crate::context::Board;
use crate::words;

/// The routes.
pub fn router(board: Board) -> Router {
    Router::new()
        .route("/api/v1/windows", get(windows))
        .route("/api/v1/limits", get(limits))
        .route("/api/v1/problems", get(problems))
        .with_state(board)
}

fn subject(subject: &Subject) -> Value {
    match subject {
        Subject::All => json!("everything"),
        Subject::Host(host) => json!({"host": host}),
        Subject::Series(matchers) => json!({"match": matchers.iter().map(ToString::to_string).collect::<Vec<_>>()}),
    }
}

fn success(data: Vec<Value>) -> Json<Value> {
    Json(json!({"status": "success", "data": data}))
}

async fn windows(State(board): State<Board>) -> Json<Value> {
    let told = board.told();
    let all =
        told.iter().flat_map(|(source, told)| told.windows.iter().flat_map(|w| w.iter()).map(move |w| (source, w)));
    let shown = |(source, QuietWindow { id, subject: about, starts_ms, ends_ms, reason }): (&String, &QuietWindow)| {
        json!({
            "source": source, "id": id, "subject": subject(about), "reason": reason,
            "startsAt": words::time(*starts_ms), "endsAt": ends_ms.map(words::time),
        })
    };
    success(all.map(shown).collect())
}

async fn limits(State(board): State<Board>) -> Json<Value> {
    let told = board.told();
    let all =
        told.iter().flat_map(|(source, told)| told.limits.iter().flat_map(|l| l.iter()).map(move |l| (source, l)));
    let shown = |(source, KnownLimit { id, subject: about, severity, range, name }): (&String, &KnownLimit)| {
        json!({
            "source": source, "id": id, "subject": subject(about), "severity": severity.as_str(), "name": name,
            "low": range.low, "high": range.high, "inside": range.inside,
        })
    };
    success(all.map(shown).collect())
}

async fn problems(State(board): State<Board>) -> Json<Value> {
    let told = board.told();
    let all = told.iter().flat_map(|(source, told)| told.problems.iter().map(move |problem| (source, problem)));
    let shown = |(source, problem): (&String, &ForeignProblem)| {
        json!({
            "source": source, "id": problem.id, "subject": subject(&problem.subject), "name": problem.name,
            "severity": problem.severity, "acknowledged": problem.acknowledged,
            "startsAt": words::time(problem.starts_ms), "endsAt": problem.ends_ms.map(words::time),
        })
    };
    success(all.map(shown).collect())
}
