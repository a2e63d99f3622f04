//! `GET /api/v1/hosts`: how each host stands, under which names its sources know it, and which names may mean one host
//! or several.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use watchbell_adapter_api::{Contributor, HostReading};
use watchbell_series::Labels;

use super::{Api, query_problem};
use crate::context::problems::Problem;
use crate::pipeline::hosts::ShownName;
use crate::words;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostsQuery {
    #[serde(default)]
    anomalous: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Host {
    pub(super) host: String,
    pub(super) series: u32,
    pub(super) ready: u32,
    pub(super) anomalous: u32,
    /// `null` while nothing of the host has a score.
    pub(super) score: Option<f32>,
    /// What the score is made of; a part without a score is `null`.
    pub(super) parts: BTreeMap<&'static str, Option<f32>>,
    /// Share of the host's channels that the last joint look saw.
    pub(super) confidence: Option<f32>,
    /// Series that make the joint score.
    pub(super) contributors: Vec<Contributing>,
    /// Problems of the host that other tools tell of and that last.
    problems: Vec<String>,
    /// Its names in each source.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<Name>,
}

#[derive(Debug, Serialize)]
pub(super) struct Contributing {
    pub(super) series: String,
    pub(super) share: f32,
}

/// A name of a host in one source.
#[derive(Debug, Serialize)]
struct Name {
    /// `null` where the source is gone, or the series come from history only.
    source: Option<String>,
    /// The label that carries it.
    label: Box<str>,
    /// That label's value.
    name: Box<str>,
    /// What decided on the host.
    rule: String,
    series: u32,
    last_seen: Option<String>,
}

/// Names that stay apart.
#[derive(Debug, Serialize)]
struct Conflict {
    /// What all of them could be taken for.
    name: String,
    hosts: Vec<String>,
    reason: &'static str,
    /// What to write in `entities.yaml`.
    advice: String,
}

pub(super) async fn list(api: &Api) -> Vec<Host> {
    let known = |x: f32| x.is_finite().then_some(x);
    let contributing = |c: &Contributor| Contributing { series: c.series.clone(), share: c.share };
    let told = api.known.problems.load_full();
    let problems = |host: &str| {
        let open = told.iter().filter(|problem| problem.told.ends_ms.is_none());
        open.filter(|problem| problem.is_about(host, &Labels::default())).map(Problem::words).collect()
    };
    let host = |h: HostReading| Host {
        problems: problems(&h.host),
        score: known(h.score),
        parts: h.parts.named().into_iter().map(|(name, part)| (name, known(part))).collect(),
        confidence: known(h.confidence),
        contributors: h.contributors.iter().map(contributing).collect(),
        host: h.host,
        series: h.series,
        ready: h.ready,
        anomalous: h.anomalous,
        names: Vec::new(),
    };
    api.scores.hosts().await.into_iter().map(host).collect()
}

fn name(shown: ShownName) -> Name {
    let ShownName { name, source, rule, uses } = shown;
    let last_seen = (uses.last_ms != i64::MIN).then(|| words::time(uses.last_ms));
    let source = source.map(|source| source.to_string());
    Name { source, label: name.label, name: name.carried, rule, series: uses.series, last_seen }
}

pub(super) async fn hosts(State(api): State<Api>, query: Result<Query<HostsQuery>, QueryRejection>) -> Response {
    let Query(query) = match query {
        Ok(query) => query,
        Err(error) => {
            let body = json!({"status": "error", "errorType": "bad_data", "error": query_problem(&error)});
            return (StatusCode::BAD_REQUEST, Json(body)).into_response();
        }
    };
    let mut hosts = list(&api).await;
    hosts.retain(|h| !query.anomalous || h.score.is_some_and(|score| score > 1.0));
    let mut names = api.book.names().await;
    for host in &mut hosts {
        host.names = names.remove(&host.host).unwrap_or_default().into_iter().map(name).collect();
    }
    let table = api.book.table();
    let conflicts: Vec<Conflict> = table
        .conflicts()
        .iter()
        .map(|conflict| Conflict {
            name: conflict.name.clone(),
            hosts: conflict.hosts.clone(),
            reason: conflict.reason,
            advice: conflict.advice(),
        })
        .collect();
    Json(json!({"status": "success", "data": hosts, "conflicts": conflicts})).into_response()
}
