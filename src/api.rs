//! The service's own HTTP interface: health, own metrics, reload, hosts. Routes of sources and sinks are
//! merged beside these, see [`routes`].

mod absent;
pub mod auth;
mod components;
pub mod context;
mod explain;
mod hosts;
mod page;
pub mod routes;
pub mod server;
pub mod teach;
pub mod tls;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prometheus::{Encoder, TextEncoder};
use tokio::sync::{mpsc, oneshot};
use watchbell_adapter_api::{Clock, Failures, Metrics, Scores};

use crate::context::Known;
use crate::pipeline::explain::Explainer;
use crate::pipeline::hosts::HostBook;
use crate::pipeline::ingest::Gate;
use crate::store::journal::Journal;

/// One route of the service, for the reference.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Method.
    pub method: &'static str,
    /// Path.
    pub path: &'static str,
    /// One sentence.
    pub summary: &'static str,
}

/// All routes, those of adapters included: the reference is generated from this table.
pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/",
        summary: "A page for people: alerts that fire or are suppressed, sources and sinks that fail, problems of other tools, quiet windows, hosts, and the series that stand out most.",
    },
    Route { method: "GET", path: "/-/healthy", summary: "200 while the process answers." },
    Route {
        method: "GET",
        path: "/-/ready",
        summary: "200 once samples are taken; 503 while state is restored or history is caught up, and at the shutdown.",
    },
    Route {
        method: "POST",
        path: "/-/reload",
        summary: "Loads, checks and applies the config file; 400 with all problems where it is not valid, and nothing changes then.",
    },
    Route { method: "GET", path: "/metrics", summary: "Own health as Prometheus text." },
    Route {
        method: "GET",
        path: "/scores",
        summary: "Scores of the judged series as Prometheus text or OpenMetrics; `match[]` selects by input labels. Served by the sink `prometheus_exposition`.",
    },
    Route {
        method: "POST",
        path: "/api/v1/write",
        summary: "Prometheus remote write 1.0 and 2.0. Served by the source `prometheus_remote_write_in`.",
    },
    Route {
        method: "GET",
        path: "/api/v1/components",
        summary: "Sources and sinks, those that fail with the part that does, since when and why. See docs/operations.md.",
    },
    Route {
        method: "GET",
        path: "/api/v1/hosts",
        summary: "Hosts with their numbers of series, of anomalous ones, their score, its parts, the series it comes from and the problems other tools tell of; their names in each source with the rule that decided; and `conflicts`, names that stay apart because it can not be told. `anomalous=true` for hosts over 1.0 only. See docs/hosts.md.",
    },
    Route {
        method: "GET",
        path: "/api/v1/explain",
        summary: "Why a series does or does not alert: `match[]` selects series by input labels, `time` (RFC 3339 or Unix seconds) asks for a past minute. See docs/explain.md.",
    },
    Route {
        method: "GET",
        path: "/api/v1/alerts",
        summary: "Alerts of the journal, newest first, with their ids; `state=firing`, `fired`, `suppressed` or `all`, `before` (a time), `limit` (100).",
    },
    Route {
        method: "POST",
        path: "/api/v1/feedback",
        summary: "Says what an anomaly was: JSON with `alert` (an id), or `series` (labels) and `time`; `verdict` (`false_alarm`, `confirmed`, `expected`) and `comment`.",
    },
    Route { method: "GET", path: "/api/v1/feedback", summary: "What was said, newest first; `limit` (100)." },
    Route {
        method: "POST",
        path: "/api/v1/strikes",
        summary: "Strikes a window out: JSON with `match[]` (selectors), `start`, `end` and `reason`; its series learn anew from history without it. 202 with its id; 409 where no `history:` is configured.",
    },
    Route { method: "GET", path: "/api/v1/strikes", summary: "Windows that are struck out, with how far each is." },
    Route {
        method: "DELETE",
        path: "/api/v1/strikes/{id}",
        summary: "Takes a strike back: its series learn anew from history with the window.",
    },
    Route {
        method: "GET",
        path: "/api/v1/windows",
        summary: "Quiet windows that sources and people told: maintenance, downtimes, silences; each with the `series` and `hosts` that it is about now. `source`, `host` (by any of its names), `state` (`active`, `planned`, `over`), `limit` (100). See docs/context.md.",
    },
    Route {
        method: "POST",
        path: "/api/v1/windows",
        summary: "States a quiet window: JSON with one of `host`, `match` (a selector) and `everything` (true), and `start` (now unless set), `end` (open unless set) and `reason`. 201 with its id, and `series` and `hosts` that it is about now; `warnings` where that is none.",
    },
    Route {
        method: "DELETE",
        path: "/api/v1/windows/{id}",
        summary: "Ends a window that people stated now, or takes one back that has not begun.",
    },
    Route {
        method: "GET",
        path: "/api/v1/limits",
        summary: "Limits that people set in other tools; `source`, `host` (by any of its names), `limit` (100).",
    },
    Route {
        method: "GET",
        path: "/api/v1/problems",
        summary: "Problems that other tools found, newest first; `source`, `host` (by any of its names), `since`, `before` (times), `limit` (100).",
    },
];

/// Paths of [`router`] and of [`teach`], which no source or sink may serve.
pub const OWN_PATHS: [&str; 16] = [
    "/",
    "/-/healthy",
    "/-/ready",
    "/-/reload",
    "/metrics",
    "/api/v1/components",
    "/api/v1/hosts",
    "/api/v1/explain",
    "/api/v1/alerts",
    "/api/v1/feedback",
    "/api/v1/strikes",
    "/api/v1/strikes/{id}",
    "/api/v1/windows",
    "/api/v1/windows/{id}",
    "/api/v1/limits",
    "/api/v1/problems",
];

/// A request to reload, and where its outcome goes: what changed, or what is wrong.
pub type ReloadRequest = oneshot::Sender<Result<Vec<String>, Vec<String>>>;

/// What the handlers reach.
#[derive(Clone)]
pub struct Api {
    /// Who says why a series does or does not alert, once state is restored.
    pub explainer: Arc<OnceLock<Explainer>>,
    /// Own metrics.
    pub metrics: Metrics,
    /// What fails of sources and sinks.
    pub failures: Failures,
    /// Which names mean which host.
    pub book: Arc<HostBook>,
    /// Scores of all series.
    pub scores: Arc<dyn Scores>,
    /// What other tools know.
    pub known: Known,
    /// The journal.
    pub journal: Arc<Journal>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether samples are taken.
    pub gate: Arc<Gate>,
    /// Where reloads are asked for.
    pub reload: mpsc::Sender<ReloadRequest>,
    /// Shown on the page when the data is not real.
    pub banner: Option<&'static str>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}

/// The service's own routes.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/-/healthy", get(async || "healthy\n"))
        .route("/-/ready", get(ready))
        .route("/-/reload", post(reload))
        .route("/metrics", get(own_metrics))
        .route("/api/v1/components", get(components::components))
        .route("/api/v1/hosts", get(hosts::hosts))
        .route("/api/v1/explain", get(explain::explain))
        .with_state(api)
}

async fn ready(State(api): State<Api>) -> Response {
    if api.gate.is_open() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: restoring state, catching up, or stopping\n").into_response()
    }
}

async fn reload(State(api): State<Api>) -> Response {
    let (answer, outcome) = oneshot::channel();
    if api.reload.send(answer).await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    match outcome.await {
        Ok(Ok(changes)) if changes.is_empty() => "reloaded: rules read anew, the config is as before\n".into_response(),
        Ok(Ok(changes)) => format!("reloaded:\n{}\n", changes.join("\n")).into_response(),
        Ok(Err(problems)) => {
            let text = format!("not reloaded, the old config stays in force:\n{}\n", problems.join("\n"));
            (StatusCode::BAD_REQUEST, text).into_response()
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response(),
    }
}

async fn own_metrics(State(api): State<Api>) -> Response {
    crate::telemetry::process::observe(&api.metrics);
    components::observe(&api.failures, &api.metrics);
    let mut text = Vec::new();
    match TextEncoder::new().encode(&api.metrics.registry().gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// What is wrong with a query string.
fn query_problem(error: &QueryRejection) -> String {
    let text = error.body_text();
    format!("the query string: {}", text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text))
}
