//! The table of adapters: one line for each crate.
//!
//! Everything that can stand after `type:` in a config is found here, and help, reference and JSON schema
//! are made from it. A new monitoring system adds its crate to [`ADAPTERS`] and nothing else.

use watchbell_adapter_api::{HistoryKind, MetricDef, SinkKind, SourceKind};

use crate::config::nearest;

/// What one adapter crate offers.
#[derive(Debug, Clone, Copy)]
pub struct Adapter {
    /// Name of the monitoring system, its folder under `adapters/`.
    pub name: &'static str,
    /// Its sources.
    pub sources: &'static [SourceKind],
    /// Its sinks.
    pub sinks: &'static [SinkKind],
    /// Its ways to read history.
    pub histories: &'static [HistoryKind],
}

/// All adapters.
pub const ADAPTERS: &[Adapter] = &[
    Adapter {
        name: "prometheus",
        sources: watchbell_prometheus::SOURCES,
        sinks: watchbell_prometheus::SINKS,
        histories: watchbell_prometheus::HISTORIES,
    },
    Adapter { name: "host", sources: watchbell_host::SOURCES, sinks: &[], histories: &[] },
    Adapter { name: "nagios", sources: watchbell_nagios::SOURCES, sinks: watchbell_nagios::SINKS, histories: &[] },
    Adapter { name: "icinga", sources: watchbell_icinga::SOURCES, sinks: watchbell_icinga::SINKS, histories: &[] },
    Adapter {
        name: "zabbix",
        sources: watchbell_zabbix::SOURCES,
        sinks: watchbell_zabbix::SINKS,
        histories: watchbell_zabbix::HISTORIES,
    },
];

/// The kinds that a config may name.
#[derive(Debug, Clone, Copy)]
pub struct Registry(&'static [Adapter]);

/// A kind that no adapter has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {what} has the type `{name}`")]
pub struct UnknownKind {
    /// `source`, `sink` or `history`.
    pub what: &'static str,
    /// What was written.
    pub name: String,
    /// The nearest kind, or all of them.
    pub hint: String,
}

impl Default for Registry {
    fn default() -> Self {
        Self(ADAPTERS)
    }
}

impl Registry {
    /// A registry of these adapters.
    #[must_use]
    pub const fn new(adapters: &'static [Adapter]) -> Self {
        Self(adapters)
    }

    /// The adapters themselves.
    pub fn adapters(self) -> impl Iterator<Item = &'static Adapter> {
        self.0.iter()
    }

    /// All kinds of source.
    pub fn sources(self) -> impl Iterator<Item = &'static SourceKind> {
        self.0.iter().flat_map(|adapter| adapter.sources)
    }

    /// All kinds of sink.
    pub fn sinks(self) -> impl Iterator<Item = &'static SinkKind> {
        self.0.iter().flat_map(|adapter| adapter.sinks)
    }

    /// All kinds of history.
    pub fn histories(self) -> impl Iterator<Item = &'static HistoryKind> {
        self.0.iter().flat_map(|adapter| adapter.histories)
    }

    /// The tables of own metrics of all kinds. Kinds that share a table give it more than once.
    pub fn metrics(self) -> impl Iterator<Item = &'static MetricDef> {
        let sources = self.sources().flat_map(|kind| kind.metrics);
        sources.chain(self.sinks().flat_map(|kind| kind.metrics)).chain(self.histories().flat_map(|kind| kind.metrics))
    }

    /// The kind of source called `name`.
    ///
    /// # Errors
    /// There is none; the hint offers what there is.
    pub fn source(self, name: &str) -> Result<&'static SourceKind, UnknownKind> {
        let found = self.sources().find(|kind| kind.name == name);
        found.ok_or_else(|| unknown("source", name, self.sources().map(|kind| kind.name)))
    }

    /// The kind of sink called `name`.
    ///
    /// # Errors
    /// As [`Registry::source`].
    pub fn sink(self, name: &str) -> Result<&'static SinkKind, UnknownKind> {
        let found = self.sinks().find(|kind| kind.name == name);
        found.ok_or_else(|| unknown("sink", name, self.sinks().map(|kind| kind.name)))
    }

    /// The kind of history called `name`.
    ///
    /// # Errors
    /// As [`Registry::source`].
    pub fn history(self, name: &str) -> Result<&'static HistoryKind, UnknownKind> {
        let found = self.histories().find(|kind| kind.name == name);
        found.ok_or_else(|| unknown("history", name, self.histories().map(|kind| kind.name)))
    }
}

fn unknown(what: &'static str, name: &str, known: impl Iterator<Item = &'static str>) -> UnknownKind {
    let known: Vec<&str> = known.collect();
    let near = match nearest::nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? "),
        None => String::new(),
    };
    let hint = format!("{near}known types: {}", nearest::list(&known));
    UnknownKind { what, name: name.chars().take(60).collect(), hint }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_kinds_share_a_name() {
        fn unique<'a>(names: impl Iterator<Item = &'a str>) -> bool {
            let mut seen = HashSet::new();
            names.into_iter().all(|name| seen.insert(name))
        }
        let registry = Registry::default();
        assert!(unique(registry.sources().map(|kind| kind.name)));
        assert!(unique(registry.sinks().map(|kind| kind.name)));
        assert!(unique(registry.histories().map(|kind| kind.name)));
    }

    #[test]
    fn an_unknown_kind_is_told_what_is_near() {
        let error = unknown("source", "prometheus_scrap", ["host", "prometheus_scrape"].into_iter());
        assert_eq!(error.to_string(), "no source has the type `prometheus_scrap`");
        assert_eq!(error.hint, "did you mean `prometheus_scrape`? known types: `host`, `prometheus_scrape`");
    }
}
