use serde_json::{Value, json};
use watchbell_checks::testing::{FakeScores, Sink, result};

use super::*;
use crate::testing::{Reply, Server, peer};

const OK: &str = r#"{"results":[{"code":200,"status":"Successfully processed check result for object 'a!Anomaly'."}]}"#;
const UNKNOWN: &str = r#"{"error":404,"status":"No objects found."}"#;
const CLOSED: &str = r#"{"results":[{"code":403,"status":"Passive checks are disabled for object 'b!Anomaly'."}]}"#;

async fn sent(replies: Vec<Reply>, hosts: &[&str]) -> (Sent, Vec<String>, Actions) {
    let server = Server::start(replies).await;
    let sink = Sink::new(FakeScores::default(), 7_000);
    let context = Some(sink.context.clone());
    let mut way = Actions { peer: peer(&server.url), ttl_s: 180, context, said: Default::default() };
    let results: Vec<_> = hosts.iter().map(|host| result(host, 1, "WARNING - x")).collect();
    let sent = way.send(&results).await;
    (sent, server.requests(), way)
}

#[tokio::test]
async fn a_result_as_icinga_wants_it() {
    let (sent, requests, _) = sent(vec![Reply::json(200, OK)], &["web-1"]).await;
    assert_eq!(sent, Sent { taken: 1, error: None });
    let (head, body) = requests[0].split_once("\r\n\r\n").expect("a body");
    assert!(head.starts_with("POST /v1/actions/process-check-result "), "{head}");
    assert!(head.to_ascii_lowercase().contains("accept: application/json"), "{head}");
    let body: Value = serde_json::from_str(body).expect("json");
    let wanted = json!({
        "type": "Service", "service": "web-1!Anomaly", "exit_status": 1, "plugin_output": "WARNING - x",
        "performance_data": ["watchbell_score=1"], "check_source": "watchbell", "execution_start": 7,
        "execution_end": 7, "ttl": 180
    });
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn a_service_that_is_not_there_holds_up_no_other() {
    let replies = vec![Reply::json(200, OK), Reply::json(404, UNKNOWN), Reply::json(500, CLOSED)];
    let (sent, requests, way) = sent(replies, &["a", "b", "c"]).await;
    assert_eq!((sent, requests.len()), (Sent { taken: 3, error: None }, 3));
    let metrics = &way.context.as_ref().expect("there").metrics;
    for reason in ["unknown", "refused"] {
        assert_eq!(metrics.counter(&REFUSED, &["nagios", reason]).get(), 1.0, "{reason}");
    }
}

#[tokio::test]
async fn a_refusal_of_all_stops_and_says_what_to_do() {
    for (reply, wanted) in [
        (Reply::json(401, "<h1>Unauthorized. Please check your user credentials.</h1>"), "`http.basic_auth`"),
        (Reply::json(403, r#"{"error":403,"status":"Missing permission: actions/process-check-result."}"#), "ApiUser"),
        (Reply::json(503, r#"{"error":503,"status":"Icinga is reloading."}"#), "reloading"),
        (Reply::json(500, "oops"), "500"),
    ] {
        let hosts: Vec<String> = (0..AT_ONCE + 1).map(|i| format!("h{i}")).collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let (sent, requests, _) = sent(vec![reply; AT_ONCE], &hosts).await;
        let error = sent.error.expect("an error");
        assert!(sent.taken == 0 && error.contains(wanted) && error.contains("127.0.0.1"), "{error}");
        assert!(!error.contains("hunter2") && requests.len() == AT_ONCE, "{error}");
    }
}

#[test]
fn problems() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let check = |config: Value| {
        let config: ApiConfig = serde_json::from_value(config).expect("the shape is right");
        let mut problems = Problems::default();
        assert_eq!(config.prepare(&mut problems).is_none(), !problems.is_empty());
        problems.into_vec().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let auth = json!({"basic_auth": {"username": "u", "password": "hunter2"}});
    assert_eq!(check(json!({"url": "https://a:5665", "http": auth})), Vec::<String>::new());
    let found = check(json!({"url": "https://u:hunter2@a:5665/v1", "timeout": "1ms", "ttl": "10s"}));
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(!found.join(" ").contains("hunter2"));
}
