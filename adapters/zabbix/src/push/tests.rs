use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::routing::post;

use super::*;

type Requests = Arc<Mutex<Vec<Value>>>;

/// A frontend of Zabbix 7.0 that answers `history.push` with `answer`.
async fn start(version: &'static str, answer: Value) -> (Push, Requests) {
    // Without a provider reqwest panics; a second installation is refused and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let requests = Requests::default();
    let respond = move |State(requests): State<Requests>, body: String| {
        let request: Value = serde_json::from_str(&body).expect("JSON");
        let answer = match request["method"].as_str() {
            Some("apiinfo.version") => json!({"result": version}),
            _ => {
                requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                answer.clone()
            }
        };
        async move { answer.to_string() }
    };
    let routes = Router::new().route("/api_jsonrpc.php", post(respond)).with_state(Arc::clone(&requests));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async { axum::serve(listener, routes).await.expect("serves") });
    let api: ApiConfig = serde_json::from_value(json!({"url": url, "token": "t"})).expect("the shape is right");
    (Push(api.prepare(&mut Problems::default()).expect("sound")), requests)
}

fn values() -> Vec<ItemValue> {
    let value = |key: &str| ItemValue {
        host: "db".into(),
        key: key.into(),
        value: "0.5".to_owned(),
        time_ms: 1_795_190_000_250,
    };
    vec![value("anomaly.score[a]"), value("anomaly.score[b]")]
}

#[tokio::test]
async fn each_value_has_its_answer() {
    let data = json!([{"itemid": "1"}, {"error": ["Item is disabled."]}]);
    let (mut push, requests) = start("7.0.3", json!({"result": {"response": "success", "data": data}})).await;
    let answer = push.send(&values(), 0).await;
    assert_eq!(answer, Ok(Answer::Each(vec![None, Some("[\"Item is disabled.\"]".to_owned())])));
    let requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(requests[0]["method"], "history.push");
    let first = json!({
        "host": "db", "key": "anomaly.score[a]", "value": "0.5", "clock": 1_795_190_000, "ns": 250_000_000
    });
    assert_eq!(requests[0]["params"][0], first);
}

#[tokio::test]
async fn what_fails_as_a_whole_is_an_error() {
    for (version, answer, part) in [
        ("7.0.3", json!({"result": {"response": "failed", "info": "no connection"}}), "no connection"),
        ("7.0.3", json!({"result": {"response": "success", "data": []}}), "0 rows for 2 values"),
        (
            "6.0.14",
            json!({"error": {"code": -32601, "message": "Method not found.", "data": "Incorrect method \"history.push\"."}}),
            "use `zabbix_trapper`",
        ),
    ] {
        let (mut push, _) = start(version, answer).await;
        let error = push.send(&values(), 0).await.expect_err("failed");
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_call_that_is_refused_refuses_its_values() {
    let error =
        json!({"error": {"code": -32602, "message": "Invalid params.", "data": "Invalid parameter \"/1/value\"."}});
    let (mut push, _) = start("7.0.3", error).await;
    assert_eq!(push.send(&values(), 0).await, Ok(Answer::Refused(2)));
    let Ok(Answer::Each(reasons)) = push.send(&values()[..1], 0).await else { panic!("no reason") };
    assert!(reasons[0].as_ref().is_some_and(|reason| reason.contains("/1/value")), "{reasons:?}");
    let right = json!({"error": {"code": -32602, "message": "Invalid params.", "data": "No permissions to call \"history.push\"."}});
    let (mut push, _) = start("7.0.3", right).await;
    assert!(push.send(&values(), 0).await.expect_err("kept").contains("allow this method"));
}
