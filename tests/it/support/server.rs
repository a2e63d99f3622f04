//! HTTP servers of tests: whatever a test puts in place of a peer that must misbehave, or that listens.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::http::RUNTIME;

/// A server on a port of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: String,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `routes`.
    pub(crate) fn start(routes: Router) -> Self {
        let listener = RUNTIME.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let task = RUNTIME.spawn(async { axum::serve(listener, routes).await.expect("serves") });
        Self { address, task }
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Its address with `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps every JSON document that is posted to it.
#[derive(Debug)]
pub(crate) struct Inbox {
    server: Server,
    documents: Arc<Mutex<Vec<Value>>>,
}

impl Inbox {
    /// Takes documents at `/`, and alerts where an Alertmanager does.
    pub(crate) fn start() -> Self {
        let documents = Arc::new(Mutex::new(Vec::new()));
        let keep = async |State(kept): State<Arc<Mutex<Vec<Value>>>>, body: String| {
            let document = serde_json::from_str(&body).unwrap_or(Value::String(body));
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(document);
        };
        let routes =
            Router::new().route("/", post(keep)).route("/api/v2/alerts", post(keep)).with_state(Arc::clone(&documents));
        Self { server: Server::start(routes), documents }
    }

    /// `http://host:port`.
    pub(crate) fn base(&self) -> String {
        self.server.url("")
    }

    /// Where to post.
    pub(crate) fn url(&self) -> String {
        self.server.url("/")
    }

    /// What came so far.
    pub(crate) fn documents(&self) -> Vec<Value> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
