//! The routes that are served now: the service's own, and those of sources and sinks, which come and go
//! with a reload.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::absent;
use super::auth::Expected;
use crate::config::settings::Credentials;

/// All routes in force. Cheap to clone; a request sees either the old or the new ones.
#[derive(Debug, Clone)]
pub struct RouteTable {
    current: Arc<ArcSwap<Router>>,
    parts: Arc<Mutex<Parts>>,
}

#[derive(Debug)]
struct Parts {
    own: Router,
    expected: Option<Expected>,
    components: BTreeMap<String, Router>,
}

impl RouteTable {
    /// A table with the service's `own` routes; with `credentials` all but `/-/healthy` ask for them.
    #[must_use]
    pub fn new(own: Router, credentials: Option<Credentials>) -> Self {
        let expected = credentials.as_ref().map(Expected::of);
        let parts = Parts { own, expected, components: BTreeMap::new() };
        let current = Arc::new(ArcSwap::from_pointee(parts.router()));
        Self { current, parts: Arc::new(Mutex::new(parts)) }
    }

    /// Sets the routes of component `name`; `None` takes them away.
    pub fn set(&self, name: &str, routes: Option<Router>) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        match routes {
            Some(routes) => drop(parts.components.insert(name.to_owned(), routes)),
            None => drop(parts.components.remove(name)),
        }
        self.current.store(Arc::new(parts.router()));
    }

    /// The routes in force.
    pub fn current(&self) -> Router {
        Router::clone(&self.current.load())
    }
}

impl Parts {
    fn router(&self) -> Router {
        // Two components never share a path: the config check refuses that before anything starts.
        let all = self.components.values().fold(self.own.clone(), |all, routes| all.merge(routes.clone()));
        let all = absent::explained(all);
        match &self.expected {
            Some(expected) => all.layer(from_fn_with_state(expected.clone(), guard)),
            None => all,
        }
    }
}

async fn guard(State(expected): State<Expected>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    if request.uri().path() == "/-/healthy" || expected.is(given) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"watchbell\"")];
    (StatusCode::UNAUTHORIZED, challenge, "user name and password are needed\n").into_response()
}
