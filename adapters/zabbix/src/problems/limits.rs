//! Limits of items, from the triggers on them.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::json;
use watchbell_adapter_api::SourceContext;
use watchbell_series::{KnownLimit, LimitSeverity};

use super::{LIMITS, UNREAD, item_subject};
use crate::api::value::{id, integer};
use crate::api::{Api, ApiError, ErrorKind};
use crate::expression::{self, Unread};
use crate::macros::Macros;

/// Hosts whose triggers are asked for in one request.
const HOSTS: usize = 100;
/// From this severity on (high) a limit is critical.
const CRITICAL: i64 = 4;

#[derive(Debug, Deserialize)]
struct Trigger {
    #[serde(deserialize_with = "id")]
    triggerid: u64,
    description: String,
    expression: String,
    #[serde(default, deserialize_with = "integer")]
    priority: i64,
}

/// Asks for the triggers of `hosts` and tells their limits.
pub(super) async fn tell(api: &Api, hosts: &HashMap<u64, String>, context: &SourceContext) -> Result<(), ApiError> {
    let mut ids: Vec<u64> = hosts.keys().copied().collect();
    ids.sort_unstable();
    let mut triggers = BTreeMap::new();
    for ids in ids.chunks(HOSTS) {
        let params = json!({
            "output": ["triggerid", "description", "expression", "priority"], "hostids": ids, "monitored": true,
            "expandExpression": true, "expandDescription": true,
        });
        // One that is about several hosts comes with each of them.
        let rows = api.call::<Vec<Trigger>>("trigger.get", &params).await?;
        triggers.extend(rows.into_iter().map(|row| (row.triggerid, row)));
    }
    let macros = if triggers.values().any(|trigger| trigger.expression.contains("{$")) {
        match Macros::read(api).await {
            // The user may not read macros: those limits are counted as not known.
            Err(error) if error.kind == ErrorKind::Refused => Macros::default(),
            other => other?,
        }
    } else {
        Macros::default()
    };
    let ids: HashMap<&str, u64> = hosts.iter().map(|(id, name)| (name.as_str(), *id)).collect();
    let value_of = |host: &str, name: &str| macros.value(*ids.get(host)?, name).map(str::to_owned);
    let (mut limits, mut unread) = (Vec::new(), HashMap::new());
    for trigger in triggers.values() {
        match expression::read(&trigger.expression, value_of) {
            // The edge of a score is no limit of a series.
            Ok(limit) if limit.key.is_own() => {}
            Ok(limit) => limits.push(KnownLimit {
                id: trigger.triggerid.to_string(),
                subject: item_subject(&limit.host, &limit.key),
                severity: if trigger.priority >= CRITICAL { LimitSeverity::Critical } else { LimitSeverity::Warning },
                range: limit.range,
                name: trigger.description.clone(),
                unseen_since_ms: None,
            }),
            Err(why) => *unread.entry(why).or_insert(0u32) += 1,
        }
    }
    let name = &*context.name;
    context.metrics.gauge(&LIMITS, &[name]).set(limits.len() as f64);
    for why in Unread::ALL {
        let count = unread.get(&why).copied().unwrap_or(0);
        context.metrics.gauge(&UNREAD, &[name, why.as_str()]).set(f64::from(count));
    }
    context.context.limits(limits);
    Ok(())
}
