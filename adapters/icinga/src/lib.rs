//! Icinga 2, both directions, by its API: check results, states, downtimes and acknowledgements are read from the
//! event stream, verdicts go back as passive results.
//!
//! | module | kind in a config |
//! | --- | --- |
//! | [`events`] | source `icinga_events`: the event stream, and what happened while it was down |
//! | [`api`] | sink `icinga_api`: passive results by `process-check-result` |
//!
//! The files of Icinga 2's PerfdataWriter are those of Nagios: source `nagios_perfdata` reads them. What performance
//! data and states mean, and what becomes a result, is in [`watchbell_checks`].

pub mod api;
pub mod events;
mod objects;
mod peer;
#[cfg(test)]
mod testing;

use watchbell_adapter_api::{SinkKind, SourceKind};

/// Kinds of sources.
pub const SOURCES: &[SourceKind] = &[SourceKind::of::<events::EventsConfig>()];

/// Kinds of sinks.
pub const SINKS: &[SinkKind] = &[SinkKind::of::<api::ApiConfig>()];

/// Reads an event and an answer with objects and drops both: for fuzzing.
pub fn survive(bytes: &[u8]) {
    events::survive(bytes);
    if let Ok(all) = objects::parse::<objects::Results<objects::Checkable>>(bytes) {
        for (result, about) in all.results.iter().filter_map(|object| object.attrs.now()) {
            let texts = objects::Texts { perfdata: result.perfdata(), ..objects::Texts::default() };
            result.check(&texts, about);
        }
    }
}
