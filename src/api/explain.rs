//! `GET /api/v1/explain`: why a series does or does not alert.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use watchbell_series::Selector;

use super::Api;
use crate::pipeline::explain::Refusal;
use crate::words;

/// What is asked, checked.
struct Question {
    selectors: Vec<Selector>,
    at_ms: Option<i64>,
}

pub(super) async fn explain(State(api): State<Api>, Query(pairs): Query<Vec<(String, String)>>) -> Response {
    let starting = || Refusal::Unavailable("the service is starting; ask again when it is ready".to_owned());
    let answer = match (api.explainer.get(), question(&pairs)) {
        (_, Err(refusal)) => Err(refusal),
        (None, _) => Err(starting()),
        (Some(explainer), Ok(asked)) => explainer.explain(&asked.selectors, asked.at_ms).await,
    };
    match answer {
        Ok(answer) => Json(json!({"status": "success", "data": answer.json()})).into_response(),
        Err(refusal) => {
            let status = match refusal {
                Refusal::Bad(_) => StatusCode::BAD_REQUEST,
                Refusal::NotFound(_) => StatusCode::NOT_FOUND,
                Refusal::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            let body = json!({"status": "error", "errorType": refusal.word(), "error": refusal.to_string()});
            (status, Json(body)).into_response()
        }
    }
}

fn question(pairs: &[(String, String)]) -> Result<Question, Refusal> {
    let mut asked = Question { selectors: Vec::new(), at_ms: None };
    for (name, value) in pairs {
        match name.as_str() {
            "match[]" | "match" => {
                let selector = value.parse().map_err(|error| Refusal::Bad(format!("`match[]`: {error}")))?;
                asked.selectors.push(selector);
            }
            "time" => asked.at_ms = Some(words::read_time(value).map_err(|e| Refusal::Bad(format!("`time`: {e}")))?),
            other => return Err(Refusal::Bad(format!("unknown parameter `{other}`; known: match[], time"))),
        }
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(pairs: &[(&str, &str)]) -> Result<(usize, Option<i64>), String> {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        question(&pairs).map(|asked| (asked.selectors.len(), asked.at_ms)).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn what_is_asked_is_checked() {
        assert_eq!(ask(&[("match[]", "up"), ("match[]", "{job=\"a\"}"), ("time", "10")]), Ok((2, Some(10_000))));
        assert!(ask(&[("match[]", "{job=")]).expect_err("broken").starts_with("`match[]`: "));
        assert!(ask(&[("time", "noon")]).expect_err("no time").contains("`noon` is no time"));
        assert!(ask(&[("macth[]", "up")]).expect_err("unknown").contains("known: match[], time"));
    }
}
