//! The loop of every sink of passive results: what is due is handed on, and noted once it was taken.

use std::collections::HashMap;

use watchbell_adapter_api::{BoxFuture, SinkContext, SourceError};

use super::collect::collect;
use super::{FAILURES, PassiveResult, Plan, RESULTS, SKIPPED, State};
use watchbell_adapter_api::seldom::Seldom;

/// A way into Nagios.
pub trait Way: Send {
    /// Hands on `results`, in order. Must come back within seconds whatever the peer does.
    fn send<'a>(&'a mut self, results: &'a [PassiveResult]) -> BoxFuture<'a, Sent>;
}

/// How far a [`Way`] came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// So many of the results, from the first on, were taken.
    pub taken: usize,
    /// What stopped it there; it names the peer.
    pub error: Option<String>,
}

impl Sent {
    /// All of them were taken.
    #[must_use]
    pub fn all(results: &[PassiveResult]) -> Self {
        Self { taken: results.len(), error: None }
    }

    /// Something stopped it after the first `taken`.
    #[must_use]
    pub fn failed(taken: usize, error: impl Into<String>) -> Self {
        Self { taken, error: Some(error.into()) }
    }
}

/// Runs until the shutdown.
pub async fn run(plan: Plan, mut way: impl Way, mut context: SinkContext) -> Result<(), SourceError> {
    let (metrics, name) = (context.metrics.clone(), context.name.clone());
    let results_sent = metrics.counter(&RESULTS, &[&name]);
    let failures = metrics.counter(&FAILURES, &[&name]);
    let skipped = metrics.counter(&SKIPPED, &[&name]);
    let (mut ledger, mut seldom) = (Ledger::default(), Seldom::default());
    while !context.shutdown.is_set() {
        let (results, nameless) = collect(&plan, &context).await;
        let now_ms = context.clock.now_ms();
        if nameless > 0 {
            skipped.inc_by(nameless as f64);
            if seldom.may("names", now_ms) {
                tracing::warn!(sink = %name, hosts = nameless, "names that Nagios can not have; set `results.host_names`");
            }
        }
        let due = ledger.due(results, now_ms, plan.heartbeat_ms);
        if !due.is_empty() {
            let sent = way.send(&due).await;
            ledger.note(&due[..sent.taken.min(due.len())], now_ms);
            results_sent.inc_by(sent.taken as f64);
            match sent.error {
                Some(error) => {
                    failures.inc();
                    context.health.failing("results", &error, now_ms);
                    if seldom.may("send", now_ms) {
                        let left = due.len() - sent.taken;
                        tracing::warn!(sink = %name, %error, left, "results not handed on; they are tried again");
                    }
                }
                None => {
                    context.health.well("results");
                    if seldom.over("send") {
                        tracing::info!(sink = %name, "results are handed on again");
                    }
                }
            }
        }
        if !context.shutdown.sleep(plan.interval).await {
            break;
        }
    }
    Ok(())
}

/// What was sent when.
#[derive(Debug, Default)]
pub(super) struct Ledger(HashMap<(String, String), (State, i64)>);

impl Ledger {
    /// The results that are to be sent: changed ones first, then those whose heartbeat is due, longest first.
    pub(super) fn due(&mut self, results: Vec<PassiveResult>, now_ms: i64, heartbeat_ms: i64) -> Vec<PassiveResult> {
        // Hosts that are gone are forgotten.
        let known = std::mem::take(&mut self.0);
        let mut due = Vec::new();
        for result in results {
            let key = (result.host.clone(), result.service.clone());
            let last = known.get(&key).copied();
            if let Some(last) = last {
                self.0.insert(key, last);
            }
            match last {
                Some((state, at)) if state == result.state => {
                    // A clock that was set back must not silence the heartbeat.
                    if now_ms < at || now_ms - at >= heartbeat_ms {
                        due.push((at, result));
                    }
                }
                _ => due.push((i64::MIN, result)),
            }
        }
        due.sort_by_key(|(at, _)| *at);
        due.into_iter().map(|(_, result)| result).collect()
    }

    /// Notes what was taken.
    pub(super) fn note(&mut self, taken: &[PassiveResult], now_ms: i64) {
        for result in taken {
            self.0.insert((result.host.clone(), result.service.clone()), (result.state, now_ms));
        }
    }
}
