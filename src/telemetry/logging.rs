//! Log lines on standard error, as text or JSON.
//!
//! The level comes from the config and changes with a reload; the environment variable `WATCHBELL_LOG`
//! goes before it and takes filters such as `info,watchbell::pipeline=debug`. Standard output belongs to
//! the commands.

use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::raw::{LogFormat, LogLevel};
use crate::config::settings::Log;
use crate::console;

/// The variable that goes before the config.
const VARIABLE: &str = "WATCHBELL_LOG";

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts log lines. Once, at start; a second call changes the level only.
pub fn start(log: Log) {
    let (filter, handle) = reload::Layer::new(filter(log.level));
    let lines = fmt::layer().with_writer(stderr).with_target(true);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    if FILTER.set(handle).is_err() {
        set_level(log.level);
    } else if let Err(error) = tracing_subscriber::registry().with(filter).with(lines).try_init() {
        console::note(format_args!("log lines go elsewhere: {error}"));
    }
}

/// Changes the level of a running service.
pub fn set_level(level: LogLevel) {
    if let Some(Err(error)) = FILTER.get().map(|handle| handle.reload(filter(level))) {
        tracing::warn!(%error, "the log level stays as it was");
    }
}

/// A library that logs each certificate that does not fit as an error and names no peer; our own message about it does.
const SILENT: &str = "rustls_platform_verifier";

fn default_filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(format!("{},{SILENT}=off", level.as_str()))
}

fn filter(level: LogLevel) -> EnvFilter {
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    match EnvFilter::try_new(&wanted) {
        Ok(filter) if !wanted.trim().is_empty() => filter,
        Ok(_) => default_filter(level),
        Err(error) => {
            console::note(format_args!("`{VARIABLE}` is not used: {error}"));
            default_filter(level)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_of_the_config_is_a_filter_without_a_library_that_names_no_peer() {
        for level in [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace] {
            let subscriber = tracing_subscriber::registry().with(default_filter(level));
            tracing::subscriber::with_default(subscriber, || {
                let more = matches!(level, LogLevel::Debug | LogLevel::Trace);
                assert_eq!(tracing::enabled!(target: "watchbell", tracing::Level::DEBUG), more, "{level:?}");
                assert!(tracing::enabled!(target: "watchbell", tracing::Level::ERROR));
                assert!(!tracing::enabled!(target: "rustls_platform_verifier::verification", tracing::Level::ERROR));
            });
        }
    }

    #[test]
    fn starting_twice_is_harmless() {
        start(Log::default());
        start(Log { level: LogLevel::Debug, format: LogFormat::Json });
        set_level(LogLevel::Info);
        assert!(FILTER.get().is_some_and(|handle| handle.with_current(|_| ()).is_ok()));
    }
}
