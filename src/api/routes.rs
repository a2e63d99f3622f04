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
    components: BTreeMap<String, Routes>,
}

/// What a source or sink serves.
#[derive(Debug, Clone)]
pub struct Routes {
    /// The routes.
    pub router: Router,
    /// Whether they ask for credentials of their own. One request carries one set of them, so those of the service
    /// are not asked for then.
    pub own_credentials: bool,
}

impl RouteTable {
    /// A table with the service's `own` routes; with `credentials` all but `/-/healthy` ask for them, and but
    /// routes of components that ask for their own.
    #[must_use]
    pub fn new(own: Router, credentials: Option<Credentials>) -> Self {
        let expected = credentials.as_ref().map(Expected::of);
        let parts = Parts { own, expected, components: BTreeMap::new() };
        let current = Arc::new(ArcSwap::from_pointee(parts.router()));
        Self { current, parts: Arc::new(Mutex::new(parts)) }
    }

    /// Sets the routes of component `name`; `None` takes them away.
    pub fn set(&self, name: &str, routes: Option<Routes>) {
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
        let (mut asked, mut own_credentials) = (self.own.clone(), Router::new());
        for routes in self.components.values() {
            let part = if routes.own_credentials { &mut own_credentials } else { &mut asked };
            *part = std::mem::take(part).merge(routes.router.clone());
        }
        let asked = absent::explained(asked);
        let asked = match &self.expected {
            Some(expected) => asked.layer(from_fn_with_state(expected.clone(), guard)),
            None => asked,
        };
        absent::explained(own_credentials.fallback_service(asked))
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

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::post;
    use tower::ServiceExt;
    use watchbell_adapter_api::Secret;

    use super::*;

    async fn status(table: &RouteTable, path: &str, authorization: &str) -> StatusCode {
        let request = Request::post(path).header(header::AUTHORIZATION, authorization).body(Body::empty());
        table.current().oneshot(request.expect("a request")).await.expect("infallible").status()
    }

    #[tokio::test]
    async fn one_set_of_credentials_for_each_route() {
        let bearer = async |request: Request| match request.headers().get(header::AUTHORIZATION) {
            Some(given) if given == "Bearer t0ken" => StatusCode::OK,
            _ => StatusCode::FORBIDDEN,
        };
        let routes = |path: &str, own_credentials| {
            let router = Router::new().route(path, post(bearer));
            Some(Routes { router, own_credentials })
        };
        let password = Secret::new("open sesame");
        let table = RouteTable::new(Router::new(), Some(Credentials { username: "Aladdin".into(), password }));
        table.set("own", routes("/own", true));
        table.set("none", routes("/none", false));
        let (basic, bearer) = ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Bearer t0ken");
        assert_eq!(status(&table, "/own", bearer).await, StatusCode::OK);
        assert_eq!(status(&table, "/own", basic).await, StatusCode::FORBIDDEN, "its own are asked for");
        assert_eq!(status(&table, "/none", bearer).await, StatusCode::UNAUTHORIZED, "those of the service are");
        assert_eq!(status(&table, "/none", basic).await, StatusCode::FORBIDDEN, "let through to the route");
        assert_eq!(status(&table, "/nothing", bearer).await, StatusCode::UNAUTHORIZED);
        assert_eq!(status(&table, "/nothing", basic).await, StatusCode::NOT_FOUND);
        assert_eq!(status(&table, "/-/healthy", bearer).await, StatusCode::NOT_FOUND, "asked by nobody");
        table.set("own", routes("/own", false));
        assert_eq!(status(&table, "/own", bearer).await, StatusCode::UNAUTHORIZED, "after a reload");
    }
}
