//! One event of the stream.

use serde::Deserialize;
use watchbell_checks::feed::text;

use crate::objects::CheckResult;

/// Types of events that are asked for. What is not among them is found by reading all objects.
pub(super) const TYPES: [&str; 9] = [
    "CheckResult",
    "StateChange",
    "AcknowledgementSet",
    "AcknowledgementCleared",
    "DowntimeAdded",
    "DowntimeRemoved",
    "DowntimeStarted",
    "DowntimeTriggered",
    "Flapping",
];

/// What an event says.
#[derive(Debug)]
pub(super) enum Event {
    /// A check ran.
    Result(Box<Ran>),
    /// Something else changed about a host or service.
    Changed { kind: &'static str, host: String, service: String },
    /// Downtimes changed; of this host or service.
    Downtime { kind: &'static str, host: String, service: String },
}

/// A check that ran.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) kind: &'static str,
    pub(super) host: String,
    pub(super) service: String,
    pub(super) acknowledged: bool,
    pub(super) downtime: u32,
    pub(super) result: CheckResult,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "type")]
    kind: String,
    host: Option<String>,
    service: Option<String>,
    acknowledgement: Option<bool>,
    downtime_depth: Option<f64>,
    check_result: Option<CheckResult>,
    downtime: Option<RawDowntime>,
    error: Option<f64>,
    status: Option<String>,
}

#[derive(Deserialize)]
struct RawDowntime {
    host_name: Option<String>,
    service_name: Option<String>,
}

impl Event {
    /// Reads one line.
    ///
    /// # Errors
    /// A line that is no event, in a few words.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        let raw: Raw = serde_json::from_str(&text(line)).map_err(|error| error.to_string())?;
        if let (Some(_), Some(status)) = (raw.error, raw.status) {
            return Err(status);
        }
        let Some(kind) = TYPES.iter().copied().find(|kind| *kind == raw.kind) else {
            return Err(format!("the type `{}` is not known", raw.kind.chars().take(60).collect::<String>()));
        };
        let (host, service) = match raw.downtime {
            Some(downtime) => (downtime.host_name, downtime.service_name),
            None => (raw.host, raw.service),
        };
        let host = host.filter(|host| !host.is_empty()).ok_or("it names no host")?;
        let service = service.unwrap_or_default();
        if kind.starts_with("Downtime") {
            return Ok(Self::Downtime { kind, host, service });
        }
        Ok(match raw.check_result.filter(|_| matches!(kind, "CheckResult" | "StateChange")) {
            Some(result) => Self::Result(Box::new(Ran {
                kind,
                host,
                service,
                acknowledged: raw.acknowledgement.unwrap_or_default(),
                downtime: raw.downtime_depth.unwrap_or_default() as u32,
                result,
            })),
            None => Self::Changed { kind, host, service },
        })
    }

    /// Its type.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Result(ran) => ran.kind,
            Self::Changed { kind, .. } | Self::Downtime { kind, .. } => kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECORDED: &str = include_str!("../../testdata/events.ndjson");

    #[test]
    fn recorded_events() {
        let events: Vec<Event> = RECORDED.lines().map(|line| Event::read(line.as_bytes()).expect("an event")).collect();
        let Event::Result(load) = &events[1] else { panic!("{:?}", events[1]) };
        assert_eq!((load.host.as_str(), load.service.as_str()), ("localhost", "load"));
        assert_eq!(load.result.perfdata().split(' ').count(), 3);
        assert_eq!(load.result.at_ms(), 1_795_191_211_540);
        assert!(events.iter().any(|event| event.kind() == "StateChange"));
    }

    #[test]
    fn other_events_and_what_is_none() {
        let read = |line: &str| Event::read(line.as_bytes());
        let downtime = r#"{"type":"DowntimeAdded","timestamp":1,"downtime":{"host_name":"a","service_name":"s"}}"#;
        assert!(matches!(read(downtime), Ok(Event::Downtime { host, service, .. }) if host == "a" && service == "s"));
        let set = r#"{"type":"AcknowledgementSet","host":"a","state":2,"author":"ada"}"#;
        assert!(matches!(read(set), Ok(Event::Changed { host, service, .. }) if host == "a" && service.is_empty()));
        for (line, why) in [
            (r#"{"error":403,"status":"no"}"#, "missing field"),
            (r#"{"type":"X","error":503,"status":"Shutting down"}"#, "Shutting down"),
            (r#"{"type":"Other","host":"a"}"#, "`Other`"),
            (r#"{"type":"CheckResult"}"#, "no host"),
            ("{", "EOF"),
            ("", "EOF"),
        ] {
            let error = read(line).expect_err(line);
            assert!(error.contains(why), "{line}: {error}");
        }
        // Latin-1 in what a plugin printed.
        let line = b"{\"type\":\"CheckResult\",\"host\":\"stra\xdfe\",\"check_result\":{\"state\":0}}";
        assert!(matches!(Event::read(line), Ok(Event::Result(ran)) if ran.host == "straße"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(line: Vec<u8>, at in 0..RECORDED.len()) {
            let _ = Event::read(&line);
            let cut = [&RECORDED.as_bytes()[..at], &line].concat();
            let _ = Event::read(cut.rsplit(|b| *b == b'\n').next().unwrap_or_default());
        }
    }
}
