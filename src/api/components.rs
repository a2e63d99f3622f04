//! `GET /api/v1/components`: which sources and sinks fail, since when and why.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use watchbell_adapter_api::{Failures, Metrics};

use super::Api;
use super::teach::shown_time;
use crate::telemetry::metrics::COMPONENT_FAILING;

pub(super) async fn components(State(api): State<Api>) -> Json<Value> {
    Json(json!({"status": "success", "data": listed(&api.failures)}))
}

fn listed(failures: &Failures) -> Vec<Value> {
    let row = |(name, failures): (std::sync::Arc<str>, Vec<watchbell_adapter_api::health::Failure>)| {
        let failures: Vec<Value> = failures
            .iter()
            .map(|failure| {
                json!({"part": failure.part, "since": shown_time(failure.since_ms), "reason": failure.reason})
            })
            .collect();
        json!({"component": &*name, "failing": !failures.is_empty(), "failures": failures})
    };
    failures.all().into_iter().map(row).collect()
}

/// Sets the gauge of each component.
pub(super) fn observe(failures: &Failures, metrics: &Metrics) {
    for (name, failures) in failures.all() {
        metrics.gauge(&COMPONENT_FAILING, &[&name]).set(f64::from(u8::from(!failures.is_empty())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_told_with_its_part() {
        let (failures, metrics) = (Failures::default(), Metrics::default());
        let (zabbix, _host) = (failures.component("zabbix"), failures.component("host"));
        zabbix.failing("api", "status 401", 1_700_000_000_000);
        let wanted = json!([
            {"component": "host", "failing": false, "failures": []},
            {"component": "zabbix", "failing": true,
             "failures": [{"part": "api", "since": shown_time(1_700_000_000_000), "reason": "status 401"}]},
        ]);
        assert_eq!(json!(listed(&failures)), wanted);
        let failing = |name| {
            observe(&failures, &metrics);
            metrics.gauge(&COMPONENT_FAILING, &[name]).get()
        };
        assert_eq!((failing("zabbix"), failing("host")), (1.0, 0.0));
        zabbix.well("api");
        assert_eq!(failing("zabbix"), 0.0);
    }
}
