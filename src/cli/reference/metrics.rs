//! The page of own metrics.

use std::fmt::Write;

use watchbell_adapter_api::{MetricDef, MetricKindDef};

use super::fields::cell;
use crate::alerting;
use crate::pipeline::outbox;
use crate::registry::{Adapter, Registry};
use crate::telemetry::{metrics, process};

pub(super) fn page(registry: Registry) -> String {
    let mut out = "# Own metrics\n\n\
        What Watchbell tells of itself at `/metrics`. Scores of series are not here but at `/scores`. Made by \
        `watchbell reference`; do not edit.\n"
        .to_owned();
    table(&mut out, "The service", metrics::OWN.to_vec());
    table(&mut out, "Alerts and their delivery", alerting::METRICS.iter().chain(outbox::METRICS).collect());
    table(&mut out, "The process", process::METRICS.to_vec());
    for adapter in registry.adapters() {
        table(&mut out, &format!("Adapter `{}`", adapter.name), of(adapter));
    }
    out
}

/// What the kinds of an adapter carry, each once.
fn of(adapter: &'static Adapter) -> Vec<&'static MetricDef> {
    let kinds = Registry::new(std::slice::from_ref(adapter));
    let mut all: Vec<&MetricDef> = kinds.metrics().collect();
    all.sort_by_key(|def| def.name);
    all.dedup_by_key(|def| def.name);
    all
}

fn table(out: &mut String, title: &str, defs: Vec<&MetricDef>) {
    if defs.is_empty() {
        return;
    }
    out.push_str(&format!("\n## {title}\n\n| metric | kind | labels | |\n| --- | --- | --- | --- |\n"));
    for def in defs {
        let kind = match def.kind {
            MetricKindDef::Counter => "counter",
            MetricKindDef::Gauge => "gauge",
            MetricKindDef::Histogram(_) => "histogram",
        };
        let labels: Vec<String> = def.labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a string does not fail.
        let _ = writeln!(out, "| `{}` | {kind} | {} | {} |", def.name, labels.join(", "), cell(def.help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_on_the_page() {
        let page = page(Registry::default());
        for def in metrics::all_metrics() {
            assert!(page.contains(&format!("| `{}` |", def.name)), "{} is missing", def.name);
        }
    }
}
