//! Answers where nothing is served: what was asked for, what is near it, and what there is.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::json;

use super::ROUTES;
use crate::config::nearest::nearest;

/// The routes, with JSON where they would give an empty 404 or 405. What a handler answers goes through as it is.
pub(super) fn explained(routes: Router) -> Router {
    // Around all of them: which methods are allowed is added outside of what a layer of theirs sees.
    Router::new().fallback_service(routes).layer(from_fn(explain))
}

async fn explain(request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = next.run(request).await;
    if response.headers().contains_key(header::CONTENT_TYPE) {
        return response;
    }
    let path = shown(uri.path());
    match response.status() {
        StatusCode::NOT_FOUND => {
            let paths = paths();
            let near = nearest(&path, paths.iter().copied());
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let error = format!("nothing is served at `{path}`{hint}");
            let body = json!({"status": "error", "errorType": "not_found", "error": error, "paths": paths});
            (StatusCode::NOT_FOUND, Json(body)).into_response()
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            let allow = response.headers().get(header::ALLOW).cloned();
            let known = allow.as_ref().and_then(|allow| allow.to_str().ok()).unwrap_or_default();
            let error = format!("`{method}` is not answered at `{path}`; use {}", known.replace(',', ", "));
            let body = json!({"status": "error", "errorType": "method_not_allowed", "error": error});
            let allow = allow.unwrap_or_else(|| HeaderValue::from_static(""));
            (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, allow)], Json(body)).into_response()
        }
        _ => response,
    }
}

/// What there is to ask for; what a source or sink serves may not be configured, or elsewhere.
fn paths() -> Vec<&'static str> {
    let mut paths: Vec<&str> = ROUTES.iter().map(|route| route.path).collect();
    paths.dedup();
    paths
}

/// A path as it may stand in a message.
fn shown(path: &str) -> String {
    path.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Method;
    use axum::routing::{get, post};
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    async fn ask(method: Method, path: &str) -> (StatusCode, String, Value) {
        let own = async || (StatusCode::NOT_FOUND, Json(json!({"error": "no alert"})));
        let router = Router::new()
            .route("/api/v1/alerts", get(own).post(own))
            .merge(Router::new().route("/api/v1/write", post(async || StatusCode::NO_CONTENT)));
        let router = explained(router);
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        let response = router.oneshot(request).await.expect("infallible");
        let status = response.status();
        let allow = response.headers().get(header::ALLOW).map_or("", |allow| allow.to_str().expect("text")).to_owned();
        let body = to_bytes(response.into_body(), 1 << 16).await.expect("a body");
        (status, allow, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn what_is_not_there_is_told_with_what_is() {
        let (status, _, body) = ask(Method::GET, "/api/v1/alert").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(body["error"], "nothing is served at `/api/v1/alert`; did you mean `/api/v1/alerts`?");
        assert!(body["paths"].as_array().is_some_and(|all| all.contains(&json!("/api/v1/hosts"))), "{body}");
        let (_, _, body) = ask(Method::GET, &format!("/{}", "x".repeat(500))).await;
        assert!(body["error"].as_str().is_some_and(|error| error.len() < 120 && !error.contains("mean")), "{body}");

        let (status, allow, body) = ask(Method::DELETE, "/api/v1/alerts").await;
        assert_eq!((status, allow.as_str()), (StatusCode::METHOD_NOT_ALLOWED, "GET,HEAD,POST"));
        assert_eq!(body["error"], "`DELETE` is not answered at `/api/v1/alerts`; use GET, HEAD, POST");
        assert_eq!(ask(Method::GET, "/api/v1/write").await.1, "POST");
        assert_eq!(ask(Method::GET, "/api/v1/alerts").await.2, json!({"error": "no alert"}), "an answer of its own");
        assert_eq!(ask(Method::POST, "/api/v1/write").await.0, StatusCode::NO_CONTENT);
    }
}
