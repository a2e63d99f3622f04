//! What changed between two configs, so that a reload touches only that.
//!
//! Sources and sinks are compared by name: one that kept its name and its settings keeps running. Some
//! settings are fixed for the life of the process; those are named, and keep their old value.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::settings::Settings;
use super::{Checked, Named};

/// What a running config is compared by; outlives the sources and sinks that were made from it.
#[derive(Clone, PartialEq)]
pub struct Outline {
    settings: Settings,
    sources: Vec<(String, Value)>,
    limits: Vec<(Arc<str>, Option<u32>)>,
    sinks: Vec<(String, Value)>,
    history: Option<Value>,
}

impl fmt::Debug for Outline {
    /// Without the items: they hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |items: &[(String, Value)]| items.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let mut out = f.debug_struct("Outline");
        out.field("settings", &self.settings).field("sources", &names(&self.sources));
        out.field("sinks", &names(&self.sinks)).finish_non_exhaustive()
    }
}

impl Outline {
    /// The outline of `checked`.
    #[must_use]
    pub fn of(checked: &Checked) -> Self {
        Self {
            settings: checked.settings.clone(),
            sources: fingerprints(&checked.sources),
            limits: checked.source_limits(),
            sinks: fingerprints(&checked.sinks),
            history: checked.history.as_ref().map(|history| history.fingerprint.clone()),
        }
    }
}

fn fingerprints<T>(items: &[Named<T>]) -> Vec<(String, Value)> {
    items.iter().map(|item| (item.name.to_string(), item.fingerprint.clone())).collect()
}

/// What changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Sources by name.
    pub sources: Changes,
    /// Names of sources that stay, with another limit of series.
    pub limits: Vec<String>,
    /// Sinks by name.
    pub sinks: Changes,
    /// Whether history is read from elsewhere or otherwise.
    pub history: bool,
    /// Settings that take effect at once, by their path.
    pub settings: Vec<&'static str>,
    /// Settings that take effect at the next start, by their path.
    pub restart: Vec<&'static str>,
}

/// Items that changed, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// New names.
    pub added: Vec<String>,
    /// Names that are gone.
    pub removed: Vec<String>,
    /// Names whose settings are others now.
    pub changed: Vec<String>,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    fn between(old: &[(String, Value)], new: &[(String, Value)]) -> Self {
        let find = |items: &[(String, Value)], name: &str| items.iter().position(|(other, _)| other == name);
        let mut changes = Self::default();
        for (name, value) in new {
            match find(old, name) {
                None => changes.added.push(name.clone()),
                Some(i) if old[i].1 != *value => changes.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        changes.removed = old.iter().map(|(name, _)| name).filter(|name| find(new, name).is_none()).cloned().collect();
        changes
    }
}

impl Difference {
    /// What leads from `old` to `new`.
    #[must_use]
    pub fn between(old: &Outline, new: &Outline) -> Self {
        let (settings, restart): (Vec<_>, Vec<_>) =
            SETTINGS.iter().filter(|row| (row.differs)(&old.settings, &new.settings)).partition(|row| row.live);
        let changed = |row: &&(Arc<str>, Option<u32>)| old.limits.iter().any(|was| was.0 == row.0 && was.1 != row.1);
        let paths = |rows: Vec<&Setting>| rows.into_iter().map(|row| row.path).collect();
        Self {
            sources: Changes::between(&old.sources, &new.sources),
            limits: new.limits.iter().filter(|row| changed(row)).map(|(name, _)| name.to_string()).collect(),
            sinks: Changes::between(&old.sinks, &new.sinks),
            history: old.history != new.history,
            settings: paths(settings),
            restart: paths(restart),
        }
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

struct Setting {
    path: &'static str,
    /// Whether a change takes effect without a restart.
    live: bool,
    differs: fn(&Settings, &Settings) -> bool,
}

macro_rules! setting {
    ($path:literal, $live:literal, $($field:ident).+) => {
        Setting { path: $path, live: $live, differs: |a, b| a.$($field).+ != b.$($field).+ }
    };
}

const SETTINGS: &[Setting] = &[
    setting!("http.listen", false, http.listen),
    setting!("http.max_connections", false, http.max_connections),
    setting!("http.tls", false, http.tls),
    setting!("http.basic_auth", false, http.basic_auth),
    setting!("data_dir", false, data_dir),
    setting!("shards", false, shards),
    setting!("timezone", false, timezone),
    setting!("log.format", false, log.format),
    setting!("log.level", true, log.level),
    setting!("external_url", false, external_url),
    setting!("series.max_series", false, series.max_series),
    setting!("series.expire_after", false, series.expire_after),
    setting!("series.watch", true, series.watch),
    setting!("series.ignore", true, series.ignore),
    setting!("series.host_label", true, series.host_label),
    setting!("detect.sensitivity", true, detect.sensitivity),
    setting!("detect.warmup", true, detect.warmup),
    setting!("detect.report_edge", true, detect.report_edge),
    setting!("detect.tick", true, detect.tick),
    setting!("detect.joint", true, detect.joint),
    setting!("detect.peers", true, detect.peers),
    setting!("alerting", true, alerting),
    setting!("rules_dir", true, rules_dir),
    setting!("checkpoint.interval", false, checkpoint_interval),
];
