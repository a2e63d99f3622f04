use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use watchbell_adapter_api::Problems;

use super::*;
use crate::api::ApiConfig;
use crate::verdicts::key;

/// A frontend that knows `db`, perhaps with the template, and keeps what it is told to change.
#[derive(Default)]
struct Frontend {
    version: &'static str,
    template: bool,
    linked: bool,
    compared: Value,
    macros: u32,
    users: Value,
    changed: Vec<(String, Value)>,
}

type Shared = Arc<Mutex<Frontend>>;

async fn answer(State(frontend): State<Shared>, body: String) -> String {
    let request: Value = serde_json::from_str(&body).expect("JSON");
    let (method, params) = (request["method"].as_str().expect("a method"), &request["params"]);
    let mut frontend = frontend.lock().unwrap_or_else(PoisonError::into_inner);
    let result = match method {
        "apiinfo.version" => json!(frontend.version),
        "user.login" => json!("a session"),
        "user.get" => frontend.users.clone(),
        "template.get" if frontend.template => json!([{"templateid": "7"}]),
        "template.get" => json!([]),
        "configuration.importcompare" => frontend.compared.clone(),
        "host.get" => {
            let linked = if frontend.linked { json!([{"templateid": "7"}]) } else { json!([]) };
            match params["filter"]["host"].as_array() {
                Some(names) if !names.contains(&json!("db")) => json!([]),
                _ => json!([{"hostid": "1", "host": "db", "parentTemplates": linked}]),
            }
        }
        "hostgroup.get" => json!([{"groupid": "4", "name": "Servers"}]),
        "item.get" => json!([
            {"itemid": "1", "key_": "system.cpu.util[,user]", "value_type": "0", "status": "0", "units": "%"},
            {"itemid": "2", "key_": "agent.version", "value_type": "1", "status": "0", "units": ""},
            {"itemid": "3", "key_": "net.if.in[lo]", "value_type": "3", "status": "1", "units": "bps"},
            {"itemid": "4", "key_": key::HOST_SCORE, "value_type": "0", "status": "0", "units": ""},
        ]),
        "trigger.get" => json!([{"triggerid": "1", "description": "Anomaly: no verdicts from Watchbell"}]),
        "usermacro.get" => {
            frontend.macros += 1;
            let value = if frontend.macros == 1 { "2" } else { "1" };
            json!([{"hostmacroid": "9", "macro": "{$ANOMALY.SCORE}", "value": value}])
        }
        _ => {
            frontend.changed.push((method.to_owned(), params.clone()));
            frontend.template |= method == "configuration.import";
            json!(true)
        }
    };
    json!({"jsonrpc": "2.0", "result": result, "id": 1}).to_string()
}

async fn start(frontend: Frontend) -> (Api, Shared) {
    // Without a provider reqwest panics; a second installation is refused and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shared = Arc::new(Mutex::new(frontend));
    let routes = Router::new().route("/api_jsonrpc.php", post(answer)).with_state(Arc::clone(&shared));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async { axum::serve(listener, routes).await.expect("serves") });
    let config = json!({"url": url, "user": "u", "password": "p", "max_requests_per_second": 100.0});
    let config: ApiConfig = serde_json::from_value(config).expect("the shape is right");
    let api = config.prepare(&mut Problems::default()).expect("sound");
    (api, shared)
}

fn words(steps: &[Step]) -> Vec<String> {
    steps.iter().map(ToString::to_string).collect()
}

fn changed(shared: &Shared) -> Vec<(String, Value)> {
    std::mem::take(&mut shared.lock().unwrap_or_else(PoisonError::into_inner).changed)
}

#[tokio::test]
async fn a_new_zabbix_gets_the_template_and_links() {
    let (api, shared) = start(Frontend { version: "7.0.3", ..Frontend::default() }).await;
    let wish = Wish { hosts: vec!["db".to_owned()], groups: vec!["Servers".to_owned()], plain: None };
    let steps = missing(&api, &wish).await.expect("asked");
    let name = TEMPLATE;
    assert_eq!(
        words(&steps),
        [format!("import template `{name}` (format 7.0)"), "link template to host `db`".to_owned()]
    );
    assert_eq!(changed(&shared), [], "a dry run changes nothing");
    let mut told = Vec::new();
    apply(&api, &steps, |done| told.push(done)).await.expect("done");
    assert_eq!(told, [1, 2]);
    let changed = changed(&shared);
    assert_eq!(changed[0].0, "configuration.import");
    assert!(changed[0].1["source"].as_str().expect("text").contains("version: '7.0'"));
    assert!(changed[0].1["rules"].get("template_groups").is_some());
    let link = json!({"hosts": [{"hostid": "1"}], "templates": [{"templateid": "7"}]});
    assert_eq!(changed.last(), Some(&("host.massadd".to_owned(), link)));
}

#[tokio::test]
async fn what_is_there_is_left_alone_and_macros_keep_their_values() {
    let same = json!({"before": {"name": "x", "macros": [1]}, "after": {"name": "x", "macros": [2]}});
    let compared = json!({"templates": {"updated": [same]}});
    let there = Frontend { version: "6.0.14", template: true, linked: true, compared, ..Frontend::default() };
    let (api, shared) = start(there).await;
    let wish = Wish { hosts: vec!["db".to_owned()], ..Wish::default() };
    assert_eq!(missing(&api, &wish).await, Ok(Vec::new()));
    let newer = json!({"templates": {"updated": [{"before": {"name": "x"}, "after": {"name": "y"}}]}});
    shared.lock().unwrap_or_else(PoisonError::into_inner).compared = newer;
    let steps = missing(&api, &wish).await.expect("asked");
    assert_eq!(steps, [Step::Import { new: false, format: "6.0" }]);
    apply(&api, &steps, |_| {}).await.expect("done");
    let changed = changed(&shared);
    let kept = json!({"hostmacroid": "9", "value": "2"});
    assert_eq!(changed[1..], [("usermacro.update".to_owned(), kept)]);
}

#[tokio::test]
async fn items_one_by_one() {
    for (version, expression) in [
        ("6.0.14", "last(/db/anomaly.system.cpu.util[,user])>=1"),
        ("5.0.40", "{db:anomaly.system.cpu.util[,user].last()}>=1"),
    ] {
        let (api, shared) = start(Frontend { version, ..Frontend::default() }).await;
        let plain = Some((".*".to_owned(), vec![Part::Score, Part::Lower]));
        let wish = Wish { hosts: vec!["db".to_owned()], groups: Vec::new(), plain };
        let steps = missing(&api, &wish).await.expect("asked");
        assert_eq!(
            words(&steps),
            [
                "create item `anomaly.host.rate` on host `db`",
                "create item `anomaly.host.series` on host `db`",
                "create item `anomaly.host.reasons` on host `db`",
                "create item `anomaly.system.cpu.util[,user]` on host `db`",
                "create item `anomaly.lower.system.cpu.util[,user]` on host `db`",
                "create trigger `Anomaly: the host is unusual as a whole` on host `db`",
                "create trigger `Anomaly: system.cpu.util[,user] is unusual` on host `db`",
            ]
        );
        apply(&api, &steps, |_| {}).await.expect("done");
        let changed = changed(&shared);
        let methods: Vec<&str> = changed.iter().map(|(method, _)| method.as_str()).collect();
        assert_eq!(methods, ["item.create", "trigger.create"]);
        assert_eq!(changed[1].1[1]["expression"], expression);
    }
}

#[tokio::test]
async fn what_can_not_be_done_is_said() {
    let (api, _) = start(Frontend { version: "6.0.14", ..Frontend::default() }).await;
    let unknown = |hosts: &[&str], groups: &[&str]| Wish {
        hosts: hosts.iter().map(|name| (*name).to_owned()).collect(),
        groups: groups.iter().map(|name| (*name).to_owned()).collect(),
        plain: None,
    };
    let error = missing(&api, &unknown(&["DB"], &[])).await.expect_err("unknown");
    assert!(error.contains("no host `DB`") && error.contains("case counts"), "{error}");
    let error = missing(&api, &unknown(&[], &["Servers", "Switches"])).await.expect_err("unknown");
    assert!(error.contains("no group of hosts `Switches`"), "{error}");
    let (api, _) = start(Frontend { version: "5.4.12", ..Frontend::default() }).await;
    let error = missing(&api, &unknown(&["db"], &[])).await.expect_err("too old");
    assert!(error.contains("6.0 or later") && error.contains("--plain"), "{error}");
}

#[test]
fn the_templates_have_the_keys_that_are_sent() {
    for (version, text) in [("6.0", TEMPLATE_6), ("7.0", TEMPLATE_7)] {
        assert!(text.contains(&format!("version: '{version}'")) && text.contains(&format!("template: '{TEMPLATE}'")));
        for key in [key::HOST_SCORE, key::HOST_RATE, key::HOST_SERIES, key::HOST_REASONS] {
            assert!(text.contains(&format!("key: '{key}'\n")), "{version}: {key}");
        }
        assert!(text.contains(&format!("key: {}\n", key::DISCOVERY)));
        for part in ["score", "value", "expected", "lower", "upper"] {
            assert!(text.contains(&format!("key: 'anomaly.{part}[{{#KEY}}]'\n")), "{version}: {part}");
        }
    }
    // What is the default there is not told back, so that the template would be another one for ever.
    for default in [" history: 31d\n", " lifetime: 7d\n", " trends: 365d\n"] {
        assert!(!TEMPLATE_7.contains(default), "{default}");
    }
}

#[tokio::test]
async fn what_can_not_be_done_is_said_before() {
    let role = |of: &str| json!([{"userid": "1", "role": {"type": of}}]);
    let frontend = Frontend { version: "6.0.14", users: role("1"), ..Frontend::default() };
    let wish = Wish { hosts: vec!["db".to_owned()], ..Wish::default() };
    let (api, shared) = start(frontend).await;
    let error = missing(&api, &wish).await.expect_err("an ordinary user");
    assert!(error.starts_with("this user is no super admin"), "{error}");
    shared.lock().expect("not poisoned").users = role("3");
    assert_eq!(missing(&api, &wish).await.map(|steps| steps.len()), Ok(2));
    // One whose role may not ask for users.
    shared.lock().expect("not poisoned").users = json!("none");
    assert_eq!(missing(&api, &wish).await.map(|steps| steps.len()), Ok(2));
    let wish = Wish { plain: Some(("nomatch".to_owned(), vec![Part::Score])), ..wish };
    let error = missing(&api, &wish).await.expect_err("no such key");
    assert!(error.contains("matches `nomatch`"), "{error}");
}
