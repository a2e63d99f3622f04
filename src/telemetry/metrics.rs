//! The service's own metrics: the only place where their names are written.
//!
//! Adapters have tables of their own, which their kinds carry. [`all_metrics`] is everything together:
//! reference, dashboards and alert rules are checked against it.

use watchbell_adapter_api::metrics::SECONDS;
use watchbell_adapter_api::{MetricDef, MetricKindDef};

use super::process;
use crate::alerting;
use crate::pipeline::outbox;
use crate::registry::Registry;

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> MetricDef {
    MetricDef { name, kind: MetricKindDef::Counter, help, labels }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> MetricDef {
    MetricDef { name, kind: MetricKindDef::Gauge, help, labels }
}

const fn seconds(name: &'static str, labels: &'static [&'static str], help: &'static str) -> MetricDef {
    MetricDef { name, kind: MetricKindDef::Histogram(SECONDS), help, labels }
}

macro_rules! table {
    ($(#[$table:meta])* $all:ident: $($(#[$doc:meta])* $name:ident = $def:expr;)+) => {
        $($(#[$doc])* pub static $name: MetricDef = $def;)+
        $(#[$table])*
        pub static $all: &[&MetricDef] = &[$(&$name),+];
    };
}

table! {
    /// All of the service's own, in the order of the reference.
    OWN:
    /// Samples that came in.
    SAMPLES = counter("watchbell_samples_total", &[], "Samples that came in, judged or not.");
    /// Samples that reached a judge.
    SAMPLES_JUDGED = counter("watchbell_samples_judged_total", &[], "Samples of judged series, derived ones included.");
    /// Samples that a judge learned from and did not judge.
    SAMPLES_HISTORY = counter("watchbell_samples_history_total", &[], "Those of them that were history, read back to learn from.");
    /// Native histograms that came in.
    HISTOGRAMS = counter("watchbell_native_histograms_total", &[], "Native histogram samples that came in.");
    /// Samples that are not judged.
    SAMPLES_DROPPED = counter("watchbell_samples_dropped_total", &["reason"],
        "Samples that were taken but not judged, by reason.");
    /// Faults of the data.
    DATA_FAULTS = counter("watchbell_data_faults_total", &["fault"],
        "Faults of the data rather than of the system it tells of, such as gaps, resets and clock skew.");
    /// Time from a batch's arrival until all of it is judged.
    INGEST_SECONDS = seconds("watchbell_ingest_seconds", &[], "Seconds from a batch's arrival until all of it is judged.");
    /// Hosts.
    HOSTS = gauge("watchbell_hosts", &[], "Hosts that series belong to, each counted once under all its names.");
    /// Names of hosts that may mean one host or several.
    HOST_CONFLICTS = gauge("watchbell_host_conflicts", &[],
        "Names that may mean one host or several and stay apart until a row of entities.yaml says which.");
    /// Series by state.
    SERIES = gauge("watchbell_series", &["state"],
        "Series: held (all that are known), judged (those with a judge), ready (those with a score), anomalous (those over 1.0).");
    /// Series seen for the first time.
    NEW_SERIES = counter("watchbell_new_series_total", &[], "Series seen for the first time.");
    /// Series forgotten.
    EXPIRED_SERIES = counter("watchbell_expired_series_total", &[], "Series forgotten because no sample came for `series.expire_after`.");
    /// New series refused.
    SERIES_REFUSED = counter("watchbell_series_refused_total", &[], "New series refused because a limit is reached.");
    /// Limits that are reached.
    LIMIT_REACHED = gauge("watchbell_limit_reached", &["limit"], "1 while this limit is reached and something is refused because of it.");
    /// Series held, by source.
    SOURCE_SERIES = gauge("watchbell_source_series", &["source"], "Series held that the source of this name brought first.");
    /// Limit of a source.
    SOURCE_LIMIT = gauge("watchbell_source_series_limit", &["source"],
        "Most series that the source of this name may hold (max_series of the source); absent where it has no limit of its own.");
    /// Samples refused at the limit of their source.
    SOURCE_REFUSED = counter("watchbell_source_limited_samples_total", &["source"],
        "Samples of new series that were refused because the source of this name holds as many series as it may.");
    /// Verdicts reported.
    VERDICTS = counter("watchbell_verdicts_total", &["pattern"], "Verdicts reported, by the pattern of the anomaly.");
    /// Verdicts that alerting never saw.
    VERDICTS_LOST = counter("watchbell_verdicts_lost_total", &[], "Verdicts that could not become alerts because alerting was too far behind.");
    /// Ticks.
    TICKS = counter("watchbell_ticks_total", &[], "Looks at all hosts and groups of peers.");
    /// Time a tick takes.
    TICK_SECONDS = seconds("watchbell_tick_seconds", &[], "Seconds to gather and judge all hosts and groups of peers once.");
    /// Time a fit takes.
    FIT_SECONDS = seconds("watchbell_fit_seconds", &[], "Seconds to fit the model of one host.");
    /// Models of hosts.
    JOINT_MODELS = gauge("watchbell_joint_models", &["of"], "Hosts that are judged as a whole, and their channels.");
    /// Groups of peers.
    PEER_GROUPS = gauge("watchbell_peer_groups", &[], "Groups of series that are large enough to be compared.");
    /// Outliers among them.
    PEER_OUTLIERS = gauge("watchbell_peer_outliers", &[], "Series that are unlike those of their group.");
    /// New series with their group's state.
    SERIES_INHERITED = counter("watchbell_series_inherited_total", &[],
        "New series that took over scale, tail and season of their group.");
    /// Whether a source or score sink runs.
    COMPONENT_UP = gauge("watchbell_source_up", &["source"],
        "1 while the source, or sink of scores, of this name runs; 0 while it waits to be started again.");
    /// Whether a source or sink says that it fails.
    COMPONENT_FAILING = gauge("watchbell_component_failing", &["component"],
        "1 while the source or sink of this name can not do its work, or a part of it; `/api/v1/components` says why.");
    /// Restarts of a source or score sink.
    COMPONENT_RESTARTS = counter("watchbell_source_restarts_total", &["source"],
        "Times the source, or sink of scores, of this name was started again after it failed.");
    /// Panics that were caught.
    PANICS = counter("watchbell_panics_total", &["stage"], "Panics that were caught; the stage went on without what caused them.");
    /// Age of the last checkpoint.
    CHECKPOINT_AGE = gauge("watchbell_checkpoint_age_seconds", &[], "Seconds since what was learned was last saved, or since the start.");
    /// Time a checkpoint takes.
    CHECKPOINT_SECONDS = seconds("watchbell_checkpoint_seconds", &[], "Seconds to write a checkpoint.");
    /// Checkpoints that failed.
    CHECKPOINT_FAILURES = counter("watchbell_checkpoint_failures_total", &[], "Checkpoints that could not be written.");
    /// Checkpoint files that could not be read.
    CHECKPOINT_SET_ASIDE = counter("watchbell_checkpoint_set_aside_total", &[],
        "Checkpoint files that could not be read and were set aside; their series learn anew.");
    /// Size of the logs of samples.
    WAL_BYTES = gauge("watchbell_wal_bytes", &[], "Bytes of samples logged since the last checkpoint.");
    /// Whether samples can not be logged.
    WAL_BROKEN = gauge("watchbell_wal_broken", &[], "1 while samples can not be logged, and a crash would lose those since the last checkpoint.");
    /// How far a warm start is.
    WARM_START_PROGRESS = gauge("watchbell_warm_start_progress", &[], "Share of history that is read back, 0 to 1.");
    /// Samples read back.
    WARM_START_SAMPLES = counter("watchbell_warm_start_samples_total", &[], "Samples read back from history.");
    /// History that could not be read.
    WARM_START_FAILURES = counter("watchbell_warm_start_failures_total", &[], "Times history could not be read back.");
    /// Answers to why a series does or does not alert.
    EXPLANATIONS = counter("watchbell_explanations_total", &["result"], "Answers to why a series does or does not alert: live, recomputed, or refused as bad_data, not_found or unavailable.");
    /// Windows struck out.
    STRIKES = gauge("watchbell_strikes", &["state"],
        "Windows that models must not learn from, by state: pending, applied, failed, removing.");
    /// Quiet windows.
    WINDOWS = gauge("watchbell_quiet_windows", &["source", "state"],
        "Quiet windows that a source, or people by the API (people), told, by state: planned, active, over.");
    /// Series that rest.
    QUIET_SERIES = gauge("watchbell_quiet_series", &[], "Series whose last sample was in a quiet window: their alerts are muted, and they learn nothing.");
    /// Known limits.
    KNOWN_LIMITS = gauge("watchbell_known_limits", &["source"], "Limits that people set in other tools, as the source of this name tells them.");
    /// Series with limits.
    LIMITED_SERIES = gauge("watchbell_limited_series", &[], "Series that at least one known limit is about.");
    /// Problems of other tools.
    PROBLEMS = gauge("watchbell_foreign_problems", &[], "Problems that other tools tell of and that last.");
    /// Problems told.
    PROBLEMS_TOLD = counter("watchbell_foreign_problems_told_total", &["source"], "Problems that the source of this name told as new or changed.");
    /// Reloads of the config.
    RELOADS = counter("watchbell_reloads_total", &["result"], "Reloads of the config: success or failure.");
    /// Whether the last reload went well.
    LAST_RELOAD = gauge("watchbell_config_last_reload_success", &[], "1 if the last reload of the config went well.");
}

/// All own metrics: the service's, those of this process, and those of every kind of the registry, by name.
#[must_use]
pub fn all_metrics() -> Vec<&'static MetricDef> {
    let mut all: Vec<&MetricDef> = OWN.iter().chain(process::METRICS).copied().collect();
    all.extend(alerting::METRICS.iter().chain(outbox::METRICS));
    all.extend(Registry::default().metrics());
    all.sort_by_key(|def| def.name);
    // Kinds of one adapter may share a table.
    all.dedup_by(|a, b| a == b);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_rules() {
        let all = all_metrics();
        assert!(all.windows(2).all(|pair| pair[0].name < pair[1].name), "a name stands in two tables");
        for def in all {
            let counts = matches!(def.kind, MetricKindDef::Counter);
            assert!(def.name.starts_with("watchbell_"), "{}", def.name);
            assert_eq!(counts, def.name.ends_with("_total"), "{}: counters and only they end in `_total`", def.name);
            assert!(def.help.ends_with('.') && !def.help.contains('\n'), "{}: help is one sentence", def.name);
        }
    }

    #[test]
    fn every_metric_can_be_made() {
        let metrics = watchbell_adapter_api::Metrics::default();
        for def in all_metrics() {
            let values: Vec<&str> = def.labels.iter().map(|_| "x").collect();
            match def.kind {
                MetricKindDef::Counter => metrics.counter(def, &values).inc(),
                MetricKindDef::Gauge => metrics.gauge(def, &values).set(1.0),
                MetricKindDef::Histogram(_) => metrics.histogram(def, &values).observe(1.0),
            }
        }
        assert_eq!(metrics.registry().gather().len(), all_metrics().len());
    }
}
