//! Against a small frontend that answers in the words of each version.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use watchbell_adapter_api::{Metrics, Problems};

use super::*;

/// What a frontend of some version does.
#[derive(Debug, Default)]
struct Frontend {
    version: &'static str,
    /// The session or token that is taken.
    session: String,
    logins: usize,
    /// Answers to give before any other.
    first: Vec<(u16, &'static str)>,
    calls: Vec<String>,
}

fn refusal(code: i64, message: &str, data: &str) -> Value {
    json!({"jsonrpc": "2.0", "error": {"code": code, "message": message, "data": data}, "id": 1})
}

async fn answer(State(frontend): State<Arc<Mutex<Frontend>>>, headers: HeaderMap, body: String) -> Response {
    let mut frontend = frontend.lock().expect("not poisoned");
    if headers.get("content-type").is_none_or(|kind| kind != "application/json-rpc") {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let method = body["method"].as_str().expect("a method").to_owned();
    frontend.calls.push(method.clone());
    if method != "apiinfo.version" && method != "user.login" && !frontend.first.is_empty() {
        let (status, text) = frontend.first.remove(0);
        return (StatusCode::from_u16(status).expect("a status"), text).into_response();
    }
    let version: Version = frontend.version.parse().expect("a version");
    let header = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let member = body["auth"].as_str();
    let invalid = |data: &str| refusal(-32602, "Invalid params.", data);
    let json = match (method.as_str(), header.or(member)) {
        ("apiinfo.version", None) => json!({"jsonrpc": "2.0", "result": frontend.version, "id": 1}),
        ("user.login", None) => {
            let name = if version.has_username() { "username" } else { "user" };
            if body["params"][name] != "me" {
                invalid("Invalid parameter \"/\": unexpected parameter.")
            } else if body["params"]["password"] == "right" {
                frontend.logins += 1;
                json!({"jsonrpc": "2.0", "result": frontend.session, "id": 1})
            } else {
                frontend.logins += 1;
                let text = "Incorrect user name or password or account is temporarily blocked.";
                refusal(-32500, "Application error.", text)
            }
        }
        (_, _) if !version.takes_auth_member() && member.is_some() => {
            invalid("Invalid parameter \"/\": unexpected parameter \"auth\".")
        }
        (_, given) if header.is_some() == version.takes_header() && given == Some(&frontend.session) => {
            json!({"jsonrpc": "2.0", "result": [{"itemid": "1"}], "id": 1})
        }
        _ => invalid("Session terminated, re-login, please."),
    };
    axum::Json(json).into_response()
}

async fn serve(frontend: Frontend) -> (SocketAddr, Arc<Mutex<Frontend>>) {
    let frontend = Arc::new(Mutex::new(frontend));
    let routes = Router::new().route("/zabbix/api_jsonrpc.php", post(answer)).with_state(Arc::clone(&frontend));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async { axum::serve(listener, routes).await.expect("serves") });
    (address, frontend)
}

fn prepare(config: Value) -> Result<Api, Vec<String>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config: ApiConfig = serde_json::from_value(config).expect("the shape is right");
    let mut problems = Problems::default();
    let api = config.prepare(&mut problems);
    api.ok_or_else(|| problems.into_vec().iter().map(ToString::to_string).collect())
}

fn api(address: SocketAddr, who: Value) -> Api {
    let mut config = json!({"url": format!("http://{address}/zabbix/"), "max_requests_per_second": 100});
    config.as_object_mut().expect("a map").extend(who.as_object().expect("a map").clone());
    prepare(config).expect("valid")
}

async fn call(api: &Api) -> Result<Value, ApiError> {
    api.call("item.get", &json!({})).await
}

#[tokio::test]
async fn every_version_in_its_own_way() {
    for version in ["5.0.42", "5.4.0", "6.0.14", "6.2.9", "6.4.21", "7.0.0", "7.2.1", "7.4.0rc1"] {
        let session = "0123456789abcdef".to_owned();
        let (address, frontend) = serve(Frontend { version, session, ..Frontend::default() }).await;
        let by_password = api(address, json!({"user": "me", "password": "right"}));
        assert_eq!(call(&by_password).await.expect(version)[0]["itemid"], "1");
        call(&by_password).await.expect(version);
        let by_token = call(&api(address, json!({"token": "0123456789abcdef"}))).await;
        if version.starts_with("5.0") {
            let error = by_token.expect_err("no tokens");
            assert!(error.to_string().contains("5.0 has no API tokens; set `user`"), "{error}");
        } else {
            by_token.expect(version);
        }
        assert_eq!(frontend.lock().expect("ok").logins, 1, "{version}");
    }
}

#[tokio::test]
async fn a_session_that_ended_is_made_anew_once() {
    let frontend = Frontend { version: "6.0.14", session: "one".into(), ..Frontend::default() };
    let (address, frontend) = serve(frontend).await;
    let api = api(address, json!({"user": "me", "password": "right"}));
    call(&api).await.expect("answered");
    frontend.lock().expect("ok").session = "two".into();
    call(&api).await.expect("answered after another login");
    // The frontend was upgraded: the version is asked again, and the session goes another way.
    {
        let mut locked = frontend.lock().expect("ok");
        (locked.version, locked.session) = ("7.4.0", "three".into());
    }
    call(&api).await.expect("answered after an upgrade");
    api.log_out().await;
    let frontend = frontend.lock().expect("ok");
    assert_eq!(frontend.logins, 3);
    assert_eq!(frontend.calls.last().map(String::as_str), Some("user.logout"));
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_again_and_again() {
    let frontend = Frontend { version: "6.0.14", session: "s".into(), ..Frontend::default() };
    let (address, frontend) = serve(frontend).await;
    let wrong = api(address, json!({"user": "me", "password": "wrong"}));
    for _ in 0..3 {
        let error = call(&wrong).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Credentials);
        assert!(error.to_string().contains(&format!("at http://{address}/zabbix: Application error.")), "{error}");
        assert!(error.to_string().contains("check `user` and `password`"), "{error}");
    }
    assert_eq!(frontend.lock().expect("ok").logins, 1);
}

#[tokio::test]
async fn a_withdrawn_token_says_what_to_look_at() {
    for (version, hint) in [("6.0.14", "not expired"), ("7.0.1", "CGIPassAuth On")] {
        let (address, _) = serve(Frontend { version, session: "other".into(), ..Frontend::default() }).await;
        let error = call(&api(address, json!({"token": "revoked"}))).await.expect_err("refused");
        assert_eq!((error.kind, error.code), (ErrorKind::Credentials, Some(-32602)));
        assert!(error.to_string().contains(hint), "{error}");
    }
}

#[tokio::test]
async fn answers_that_are_not_the_apis_own() {
    let first = vec![
        (412, ""),
        (200, "<!DOCTYPE html><html><title>Setup</title></html>"),
        (200, "Fatal error: Allowed memory size of 134217728 bytes exhausted"),
        (502, "<html>Bad Gateway</html>"),
        (401, "no"),
        (500, ""),
        (200, "{\"jsonrpc\":\"2.0\",\"id\":1}"),
        (
            200,
            "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32602,\"message\":\"Invalid params.\",\"data\":\"No permissions to call \\\"item.get\\\".\"},\"id\":1}",
        ),
        (200, "{\"jsonrpc\":\"2.0\",\"result\":[],\"id\":1}"),
    ];
    let frontend = Frontend { version: "6.0.14", session: "s".into(), first, ..Frontend::default() };
    let (address, frontend) = serve(frontend).await;
    let api = api(address, json!({"token": "s"}));
    let metrics = Metrics::default();
    let clock: Arc<dyn Clock> = Arc::new(Epoch);
    let api = api.counted(&metrics, &clock, "zabbix");
    for (kind, text) in [
        (ErrorKind::Refused, "content type"),
        (ErrorKind::Failing, "this is a web page"),
        (ErrorKind::TooMuch, "memory_limit"),
        (ErrorKind::Failing, "status 502"),
        (ErrorKind::Credentials, "http.basic_auth"),
        (ErrorKind::Failing, "want of memory"),
        (ErrorKind::Failing, "without `result`"),
        (ErrorKind::Refused, "allow this method in the role"),
    ] {
        let error = call(&api).await.expect_err(text);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!(call(&api).await, Ok(json!([])));
    assert_eq!(frontend.lock().expect("ok").calls.len(), 10, "nothing is tried twice");
    assert_eq!(metrics.counter(&FAILURES, &["zabbix", "failing"]).get(), 4.0);
    assert!(api.skew_s().is_some_and(|skew| skew > 1_700_000_000), "a clock that stands at 1970 is far behind");
}

struct Epoch;

impl Clock for Epoch {
    fn now_ms(&self) -> i64 {
        0
    }
}

#[tokio::test]
async fn nobody_there() {
    let error = call(&api(SocketAddr::from(([127, 0, 0, 1], 9)), json!({"token": "s"}))).await.expect_err("nobody");
    assert_eq!(error.kind, ErrorKind::Unreachable);
    assert!(error.is_passing() && error.to_string().starts_with("`apiinfo.version` at http://127.0.0.1:9/zabbix: "));
}

#[test]
fn what_is_wrong_in_a_config() {
    let problems = prepare(json!({"url": "ftp://me:hunter2@host", "user": "x", "max_requests_per_second": 0}));
    let problems = problems.expect_err("wrong");
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems.iter().all(|problem| !problem.contains("hunter2")), "{problems:?}");
    let none = prepare(json!({"url": "http://z"})).expect_err("no login");
    assert!(none[0].contains("neither `token` nor"), "{none:?}");
    let both = prepare(json!({"url": "http://z", "token": "a", "user": "b"})).expect_err("both");
    assert!(both[0].contains("keep the token"), "{both:?}");
    for (written, posted) in [
        ("http://z", "http://z/api_jsonrpc.php"),
        ("http://z/zabbix/", "http://z/zabbix/api_jsonrpc.php"),
        ("http://z/zabbix/index.php", "http://z/zabbix/api_jsonrpc.php"),
        ("http://z/zabbix/api_jsonrpc.php", "http://z/zabbix/api_jsonrpc.php"),
    ] {
        let api = prepare(json!({"url": written, "token": "t"})).expect(written);
        assert_eq!(api.shared.url.as_str(), posted);
        assert!(!api.url().ends_with(".php"), "{}", api.url());
    }
}
