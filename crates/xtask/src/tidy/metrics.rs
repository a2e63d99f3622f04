//! Metrics that dashboards and Prometheus rules use, against those that exist: a renamed metric must not
//! leave an empty panel or an alert that never fires.

use std::collections::BTreeSet;

use super::Finding;
use crate::workspace::Workspace;

const REFERENCE: &str = "docs/reference/metrics.md";

/// The score series, which are exported per input series and so stand in no table of own metrics.
const SCORES: [&str; 14] = [
    "watchbell_anomaly_score",
    "watchbell_value",
    "watchbell_expected",
    "watchbell_expected_lower",
    "watchbell_expected_upper",
    "watchbell_series_ready",
    "watchbell_peer_score",
    "watchbell_host_score",
    "watchbell_host_part_score",
    "watchbell_host_confidence",
    "watchbell_host_contribution",
    "watchbell_host_anomaly_rate",
    "watchbell_host_series",
    "watchbell_scores_limited",
];

/// Every `watchbell_...` name in `grafana/` and `rules/prometheus/` exists.
pub(super) fn exist(workspace: &Workspace) -> Vec<Finding> {
    let Some(reference) = workspace.text(REFERENCE) else {
        return vec![Finding::new(REFERENCE, 0, "missing", "run `cargo run -- reference --out docs/reference`")];
    };
    let mut known: BTreeSet<&str> = names(reference).map(|(_, name)| name).collect();
    known.extend(SCORES);
    let mut findings = Vec::new();
    for (path, text) in workspace.below("grafana/", "").chain(workspace.below("rules/prometheus/", "")) {
        for (line, name) in names(text) {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            if !known.contains(name) && !known.contains(base) {
                let hint = "own metrics stand in docs/reference/metrics.md, score series in docs/scores.md";
                findings.push(Finding::new(path, line, format!("metric `{name}` does not exist"), hint));
            }
        }
    }
    findings
}

/// The words that begin with `watchbell_`, each with its line. A name that goes on with `:` (a recording
/// rule's) or stands within a longer word is none.
fn names(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.lines().enumerate().flat_map(move |(at, line)| {
        let words = line.split(move |c: char| !in_name(c));
        let is_name = |word: &&str| word.strip_prefix("watchbell_").is_some_and(|rest| !rest.is_empty());
        words.filter(is_name).filter(|word| !word.contains(':')).map(move |word| (at + 1, word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_metrics_are_found() {
        let rules = "expr: rate(watchbell_ingest_seconds_bucket[5m])\nexpr: watchbell_gone_total > 1\nrecord: watchbell_x:rate\n# watchbell_*\n";
        let files = [
            (REFERENCE, "| `watchbell_ingest_seconds` | histogram |\n"),
            ("rules/prometheus/a.yaml", rules),
            ("grafana/dashboards/b.json", "{\"expr\": \"watchbell_anomaly_score{host=~\\\"$host\\\"}\"}"),
        ];
        let found = exist(&Workspace::of(&files));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].file.as_str(), found[0].line), ("rules/prometheus/a.yaml", 2));
        assert_eq!(exist(&Workspace::of(&[]))[0].file, REFERENCE);
    }
}
