//! The receiver of Zabbix's connectors: `POST` with NDJSON.
//!
//! To a connector only 200 and 201 are a success; 400, 401 and the like are never tried again, 503 is. An answer may
//! say `{"error": "..."}`, which the server logs.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;
use watchbell_adapter_api::guard::Guard;

use super::REQUESTS;
use super::intake::Intake;

struct Receiver {
    intake: Arc<Intake>,
    guard: Guard,
    max_body_bytes: usize,
}

/// The route at `path`.
pub(super) fn router(path: &str, intake: Arc<Intake>, guard: Guard, max_body_bytes: usize) -> Router {
    Router::new().route(path, post(receive)).with_state(Arc::new(Receiver { intake, guard, max_body_bytes }))
}

async fn receive(State(receiver): State<Arc<Receiver>>, request: Request<Body>) -> Response {
    let response = receiver.take(request).await;
    let context = &receiver.intake.context;
    context.metrics.counter(&REQUESTS, &[&context.name, response.status().as_str()]).inc();
    response
}

fn refuse(status: StatusCode, error: &str) -> Response {
    (status, axum::Json(json!({"error": error}))).into_response()
}

impl Receiver {
    async fn take(&self, request: Request<Body>) -> Response {
        if let Err(challenge) = self.guard.check(request.headers()) {
            let answer = refuse(StatusCode::UNAUTHORIZED, "credentials are missing or wrong");
            return ([(WWW_AUTHENTICATE, challenge)], answer).into_response();
        }
        let Ok(body) = axum::body::to_bytes(request.into_body(), self.max_body_bytes).await else {
            let error = "the body broke off, or is longer than `max_body_bytes`; set `Max records per message`";
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, error);
        };
        if !self.intake.is_ready() {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "the list of items is not known yet");
        }
        let batches = self.intake.read("connector", &body);
        match self.intake.try_submit(batches).await {
            Ok(()) => (StatusCode::OK, axum::Json(json!({"response": "success"}))).into_response(),
            Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        }
    }
}
