//! What tests share: a frontend made of tables, an ingest that writes down, a running source.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use watchbell_adapter_api::context::Told;
use watchbell_adapter_api::{
    BoxFuture, Clock, Ingest, IngestError, Metrics, Problems, Receipt, Shutdown, Source, SourceConfig, SourceContext,
};
use watchbell_series::labels::read_canonical;
use watchbell_series::{Mode, RawBatch};

use crate::versions;

/// A clock that stands at this time.
#[derive(Debug)]
pub(crate) struct Standing(pub(crate) i64);

impl Clock for Standing {
    fn now_ms(&self) -> i64 {
        self.0
    }
}

/// Writes every series down as `labels kind value @milliseconds`.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    seen: Mutex<Vec<(String, Mode)>>,
}

impl Recorder {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(line, _)| line.clone()).collect()
    }

    pub(crate) fn modes(&self) -> Vec<Mode> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(_, mode)| *mode).collect()
    }
}

impl Ingest for Recorder {
    fn submit(&self, batch: RawBatch) -> BoxFuture<'_, Result<Receipt, IngestError>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut receipt = Receipt::default();
        for series in &batch.series {
            let labels = read_canonical(batch.label_bytes(series)).expect("labels");
            assert_eq!(labels.id().0, series.key, "labels in order");
            for sample in batch.samples_of(series) {
                // As the service does it.
                if sample.ts_ms > batch.received_ms + 600_000 {
                    receipt.future += 1;
                } else {
                    seen.push((format!("{labels} {} {} @{}", series.kind, sample.value, sample.ts_ms), batch.mode));
                }
            }
        }
        Box::pin(async { Ok(receipt) })
    }
}

/// A source that runs until this is stopped.
pub(crate) struct Running {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) told: Arc<Told>,
    pub(crate) metrics: Metrics,
    pub(crate) routes: Option<Router>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start<C: SourceConfig>(config: Value, state: Option<PathBuf>, now_s: i64) -> Self {
        Self::start_with::<C>(config, state, now_s, Told::default())
    }

    /// The same for a source that told something before.
    pub(crate) fn start_with<C: SourceConfig>(config: Value, state: Option<PathBuf>, now_s: i64, told: Told) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (recorder, told, metrics) = (Arc::<Recorder>::default(), Arc::new(told), Metrics::default());
        let mut source = prepared::<C>(config).unwrap_or_else(|problems| panic!("{problems:?}"));
        let (stop, shutdown) = Shutdown::channel();
        let context = SourceContext {
            name: "zabbix".into(),
            ingest: Arc::clone(&recorder) as Arc<dyn Ingest>,
            context: Arc::clone(&told) as Arc<dyn watchbell_adapter_api::ContextSink>,
            clock: Arc::new(Standing(now_s * 1_000)),
            shutdown,
            metrics: metrics.clone(),
            health: watchbell_adapter_api::Health::default(),
            state,
        };
        let routes = source.routes(&context);
        let task = tokio::spawn(async move { source.run(context).await.expect("runs") });
        Self { recorder, told, metrics, routes, stop, task }
    }

    /// Waits until `holds`.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..3_000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}; seen: {:#?}", self.recorder.lines());
    }

    pub(crate) async fn stop(self) -> Vec<String> {
        self.stop.send_replace(true);
        self.task.await.expect("ends");
        self.recorder.lines()
    }
}

/// The source of a config, or its problems.
pub(crate) fn prepared<C: SourceConfig>(config: Value) -> Result<Box<dyn Source>, Vec<String>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config: C = serde_json::from_value(config).expect("the shape is right");
    let mut problems = Problems::default();
    let source = config.prepare(&mut problems);
    assert_eq!(source.is_none(), !problems.is_empty());
    source.ok_or_else(|| problems.into_vec().iter().map(ToString::to_string).collect())
}

/// Tables behind a frontend, by method; `history` and `trends` are asked by time and item.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) version: &'static str,
    /// What `get` methods answer, whatever they are asked; of events those that are asked for by id.
    pub(crate) lists: HashMap<&'static str, Value>,
    /// `(value type, item, clock, ns, value)`.
    pub(crate) values: Vec<(u8, u64, i64, i64, &'static str)>,
    /// Answers of status 500 to give first.
    pub(crate) broken: u32,
    /// Pages of values to give whole before one that breaks off in its middle.
    pub(crate) whole_pages: Option<u32>,
    pub(crate) requests: Vec<Value>,
    /// Values handed out.
    pub(crate) handed: usize,
    /// What its clock says, in seconds since the Unix epoch.
    pub(crate) now_s: i64,
}

/// A frontend that answers from tables.
#[derive(Debug, Clone)]
pub(crate) struct Frontend {
    tables: Arc<Mutex<Tables>>,
    address: std::net::SocketAddr,
}

impl Frontend {
    pub(crate) async fn start(tables: Tables) -> Self {
        let tables = Arc::new(Mutex::new(tables));
        let routes = Router::new().route("/api_jsonrpc.php", post(answer)).with_state(Arc::clone(&tables));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async { axum::serve(listener, routes).await.expect("serves") });
        Self { tables, address }
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a config says of it.
    pub(crate) fn api(&self) -> Value {
        json!({"url": format!("http://{}", self.address), "token": "t", "max_requests_per_second": 100})
    }

    /// The same with user and password, which every version takes.
    pub(crate) fn api_by_password(&self) -> Value {
        let mut api = self.api();
        api.as_object_mut().expect("a map").remove("token");
        (api["user"], api["password"]) = ("u".into(), "p".into());
        api
    }
}

async fn answer(State(tables): State<Arc<Mutex<Tables>>>, headers: HeaderMap, body: String) -> Response {
    let mut tables = tables.lock().unwrap_or_else(PoisonError::into_inner);
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let (method, params) = (body["method"].as_str().expect("a method"), &body["params"]);
    if let Some(refusal) = versions::refusal(tables.version, &headers, &body) {
        return axum::Json(json!({"jsonrpc": "2.0", "error": refusal, "id": 1})).into_response();
    }
    let date = jiff::Timestamp::from_second(tables.now_s).expect("a time").strftime("%a, %d %b %Y %H:%M:%S GMT");
    let date = [("date", date.to_string())];
    if method == "apiinfo.version" {
        return (date, axum::Json(json!({"jsonrpc": "2.0", "result": tables.version, "id": 1}))).into_response();
    }
    tables.requests.push(body.clone());
    if tables.broken > 0 {
        tables.broken -= 1;
        return axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let result = match method {
        "history.get" => {
            let asked =
                |id: &u64| params["itemids"].as_array().expect("ids").iter().any(|known| known.as_u64() == Some(*id));
            let from = params["time_from"].as_i64().unwrap_or(0);
            let till = params["time_till"].as_i64().unwrap_or(i64::MAX);
            let rows = tables.values.iter().filter(|(kind, id, clock, ..)| {
                params["history"] == *kind && asked(id) && (from..=till).contains(clock)
            });
            let mut rows: Vec<_> = rows.collect();
            rows.sort_by_key(|row| row.2);
            if params["countOutput"] == true {
                let count = json!(rows.len().to_string());
                return (date, axum::Json(json!({"jsonrpc": "2.0", "result": count, "id": 1}))).into_response();
            }
            let limit = params["limit"].as_u64().unwrap_or(u64::MAX) as usize;
            rows.truncate(limit);
            let handed = rows.len();
            let rows = rows
                .iter()
                .map(|(_, id, clock, ns, value)| {
                    json!({"itemid": id.to_string(), "clock": clock.to_string(), "ns": ns.to_string(), "value": value})
                })
                .collect();
            tables.handed += handed;
            match tables.whole_pages {
                Some(0) => {
                    tables.whole_pages = None;
                    let whole = json!({"jsonrpc": "2.0", "result": Value::Array(rows), "id": 1}).to_string();
                    return half(&whole);
                }
                more => tables.whole_pages = more.map(|more| more - 1),
            }
            Value::Array(rows)
        }
        "event.get" if params["eventids"].is_array() => {
            let asked = params["eventids"].as_array().expect("ids");
            let is_asked = |row: &&Value| asked.iter().any(|id| row["eventid"].as_str() == Some(&*id.to_string()));
            tables.lists.get(method).and_then(Value::as_array).into_iter().flatten().filter(is_asked).cloned().collect()
        }
        "user.login" => json!("t"),
        _ => versions::answer(params, tables.lists.get(method).cloned().unwrap_or(json!([]))),
    };
    (date, axum::Json(json!({"jsonrpc": "2.0", "result": result, "id": 1}))).into_response()
}

/// The first half of an answer, as a server gives it that is stopped meanwhile.
fn half(whole: &str) -> Response {
    let first = axum::body::Bytes::from(whole.as_bytes()[..whole.len() / 2].to_vec());
    let parts = [Ok(first), Err(std::io::Error::other("stopped"))];
    axum::body::Body::from_stream(futures_util::stream::iter(parts)).into_response()
}

/// A host of a list.
pub(crate) fn host(id: u64, name: &str) -> Value {
    json!({"hostid": id.to_string(), "host": name, "name": name, "tags": []})
}

/// An item of a list.
pub(crate) fn item(id: u64, host: u64, key: &str, value_type: u8, more: Value) -> Value {
    let mut item = json!({"itemid": id.to_string(), "hostid": host.to_string(), "name": key, "key_": key,
        "value_type": value_type.to_string(), "delay": "1s", "units": "", "preprocessing": [], "tags": []});
    item.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
    item
}
