//! Hosts, services and downtimes as Icinga's API shows them.

use serde::Deserialize;
use serde_json::{Value, json};
use watchbell_checks::feed::text;
use watchbell_checks::state::{Check, Downtime};

/// What is asked of hosts and services alike.
const ATTRS: [&str; 10] = [
    "name",
    "check_command",
    "acknowledgement",
    "downtime_depth",
    "flapping",
    "state",
    "state_type",
    "last_hard_state_change",
    "last_reachable",
    "last_check_result",
];

const HOSTS: &str = "/v1/objects/hosts";
const SERVICES: &str = "/v1/objects/services";

/// What is asked of one of the two. An attribute that a type does not have is an error there, so each has its own.
fn attrs(path: &str) -> impl Iterator<Item = &'static str> {
    let more: &[&str] = if path == HOSTS { &["last_state_up"] } else { &["host_name", "last_state_ok"] };
    ATTRS.iter().chain(more).copied()
}

/// Paths of the API.
pub(crate) fn paths() -> [String; 2] {
    [HOSTS, SERVICES].map(|path| {
        let attrs: Vec<String> = attrs(path).map(|name| format!("attrs={name}")).collect();
        format!("{path}?{}", attrs.join("&"))
    })
}

/// Path and query for several hosts, or several services.
pub(crate) fn query_of(names: &[(String, String)]) -> (&'static str, Value) {
    let of_hosts = names.iter().all(|(_, service)| service.is_empty());
    let (path, kind) = if of_hosts { (HOSTS, "host") } else { (SERVICES, "service") };
    let name = |(host, service): &(String, String)| if of_hosts { host.clone() } else { format!("{host}!{service}") };
    let query = json!({
        "attrs": attrs(path).collect::<Vec<_>>(),
        "filter": format!("{kind}.__name in names"),
        "filter_vars": {"names": names.iter().map(name).collect::<Vec<_>>()},
    });
    (path, query)
}

/// The path of one object.
pub(crate) fn path_of(host: &str, service: &str) -> String {
    let [hosts, services] = paths();
    let (all, name) =
        if service.is_empty() { (hosts, host.to_owned()) } else { (services, format!("{host}!{service}")) };
    let name = percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC).to_string();
    all.replacen('?', &format!("/{name}?"), 1)
}

/// The path of all downtimes.
pub(crate) const DOWNTIMES: &str = "/v1/objects/downtimes";

/// What an answer holds.
#[derive(Debug, Deserialize)]
pub(crate) struct Results<T> {
    #[serde(default = "Vec::new")]
    pub(crate) results: Vec<Object<T>>,
}

/// One object.
#[derive(Debug, Deserialize)]
pub(crate) struct Object<T> {
    pub(crate) attrs: T,
}

/// A host or service.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Checkable {
    name: String,
    /// Of a service only.
    host_name: Option<String>,
    pub(crate) check_command: Option<String>,
    acknowledgement: Option<f64>,
    downtime_depth: Option<f64>,
    flapping: Option<bool>,
    state: Option<f64>,
    state_type: Option<f64>,
    last_hard_state_change: Option<f64>,
    last_reachable: Option<bool>,
    last_state_ok: Option<f64>,
    last_state_up: Option<f64>,
    last_check_result: Option<CheckResult>,
}

/// What a check found.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CheckResult {
    pub(crate) state: Option<f64>,
    output: Option<String>,
    performance_data: Option<Vec<Value>>,
    active: Option<bool>,
    check_source: Option<String>,
    execution_start: Option<f64>,
    execution_end: Option<f64>,
    schedule_start: Option<f64>,
    schedule_end: Option<f64>,
    pub(crate) vars_after: Option<Vars>,
}

/// The state after a check.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Vars {
    pub(crate) state_type: Option<f64>,
    pub(crate) reachable: Option<bool>,
}

/// Text of a check that a [`Check`] borrows.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pub(crate) host: String,
    pub(crate) service: String,
    pub(crate) command: String,
    pub(crate) perfdata: String,
    pub(crate) output: String,
}

/// What an event or an object says of a host or service beside the result.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct About {
    /// State of the host (0 up, 1 down, 2 unreachable) or service.
    pub(crate) state: u8,
    pub(crate) hard: bool,
    pub(crate) acknowledged: bool,
    pub(crate) downtime: u32,
    pub(crate) flapping: bool,
    pub(crate) hard_since_ms: i64,
    pub(crate) last_ok_ms: i64,
}

impl Checkable {
    /// Host, and service or nothing.
    pub(crate) fn names(&self) -> (&str, &str) {
        match &self.host_name {
            Some(host) => (host, &self.name),
            None => (&self.name, ""),
        }
    }

    /// What it is now, with the texts of its last result; `None` while there is none.
    pub(crate) fn now(&self) -> Option<(&CheckResult, About)> {
        let result = self.last_check_result.as_ref()?;
        let of_host = self.host_name.is_none();
        let state = state_of(of_host, self.state, self.last_reachable.unwrap_or(true));
        let last_ok = if of_host { self.last_state_up } else { self.last_state_ok };
        let about = About {
            state,
            hard: self.state_type.is_none_or(|kind| kind >= 1.0),
            acknowledged: self.acknowledgement.is_some_and(|kind| kind >= 1.0),
            downtime: self.downtime_depth.unwrap_or_default() as u32,
            flapping: self.flapping.unwrap_or_default(),
            hard_since_ms: ms(self.last_hard_state_change),
            last_ok_ms: ms(last_ok),
        };
        Some((result, about))
    }
}

/// Icinga's state of a host or service as Nagios numbers it. A host of Icinga has 0 or 1; of a check's result it has the
/// state of the plugin, where WARNING is still up.
pub(crate) fn state_of(of_host: bool, state: Option<f64>, reachable: bool) -> u8 {
    let state = state.unwrap_or_default().clamp(0.0, 3.0) as u8;
    match (of_host, state, reachable) {
        (false, state, _) => state,
        (true, 0, _) => 0,
        (true, _, true) => 1,
        (true, _, false) => 2,
    }
}

/// Seconds, as milliseconds; 0 for none.
pub(crate) fn ms(seconds: Option<f64>) -> i64 {
    seconds.filter(|s| s.is_finite()).map_or(0, |s| (s * 1_000.0) as i64)
}

impl CheckResult {
    /// When it was found, milliseconds since the Unix epoch.
    pub(crate) fn at_ms(&self) -> i64 {
        ms(self.execution_end)
    }

    /// Performance data as a plugin would print them.
    pub(crate) fn perfdata(&self) -> String {
        let mut out = String::new();
        for item in self.performance_data.iter().flatten() {
            out.push_str(if out.is_empty() { "" } else { " " });
            match item {
                Value::String(text) => out.push_str(text),
                // Checks that run inside Icinga give objects.
                item => write_item(item, &mut out),
            }
        }
        out
    }

    /// The check with what is known `about` its host or service.
    pub(crate) fn check<'a>(&self, texts: &'a Texts, about: About) -> Check<'a> {
        let span = |from: Option<f64>, to: Option<f64>| Some(to? - from?).filter(|s| s.is_finite() && *s >= 0.0);
        // A passive result took no time here.
        let active = self.active.unwrap_or(true);
        let execution_s = span(self.execution_start, self.execution_end).filter(|_| active);
        let whole = span(self.schedule_start, self.schedule_end).filter(|_| active);
        Check {
            host: texts.host.as_bytes(),
            service: texts.service.as_bytes(),
            command: texts.command.as_bytes(),
            state: about.state,
            hard: about.hard,
            checked: true,
            last_check_ms: self.at_ms(),
            execution_s,
            latency_s: whole.zip(execution_s).map(|(whole, execution)| (whole - execution).max(0.0)),
            acknowledged: about.acknowledged,
            downtime: about.downtime,
            flapping: about.flapping,
            hard_since_ms: about.hard_since_ms,
            last_ok_ms: about.last_ok_ms,
            output: texts.output.as_bytes(),
            perfdata: texts.perfdata.as_bytes(),
        }
    }

    /// Whether Watchbell itself gave it.
    pub(crate) fn is_own(&self) -> bool {
        self.check_source.as_deref() == Some(crate::api::CHECK_SOURCE)
    }

    /// The first line of what the plugin said.
    pub(crate) fn output(&self) -> String {
        self.output.as_deref().and_then(|text| text.lines().next()).unwrap_or_default().to_owned()
    }
}

/// `{"label":"time","value":0.5,"unit":"seconds","warn":1,...}` as `'time'=0.5s;1`.
fn write_item(item: &Value, out: &mut String) {
    let label = item["label"].as_str().unwrap_or_default().replace('\'', "''");
    let field = |name: &str| match &item[name] {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => String::new(),
    };
    let unit = match (item["counter"].as_bool(), item["unit"].as_str().unwrap_or_default()) {
        (Some(true), _) => "c",
        (_, "seconds") => "s",
        (_, "bytes") => "B",
        (_, "percent") => "%",
        (_, "degrees-celsius") => "C",
        (_, "volts") => "V",
        (_, "amperes") => "A",
        (_, "watts") => "W",
        (_, other) => other,
    };
    let [value, warn, crit, min, max] = ["value", "warn", "crit", "min", "max"].map(field);
    *out += &format!("'{label}'={value}{unit};{warn};{crit};{min};{max}");
}

/// A downtime.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DowntimeAttrs {
    #[serde(rename = "__name")]
    name: String,
    pub(crate) host_name: String,
    pub(crate) service_name: String,
    start_time: Option<f64>,
    end_time: Option<f64>,
    trigger_time: Option<f64>,
    duration: Option<f64>,
    fixed: Option<bool>,
    author: String,
    comment: String,
}

impl DowntimeAttrs {
    /// As all of the family have it.
    pub(crate) fn downtime(&self) -> Downtime<'_> {
        Downtime {
            id: self.name.as_bytes(),
            host: self.host_name.as_bytes(),
            service: self.service_name.as_bytes(),
            starts_ms: ms(self.start_time),
            ends_ms: ms(self.end_time),
            fixed: self.fixed.unwrap_or(true),
            duration_ms: ms(self.duration),
            began_ms: ms(self.trigger_time),
            author: self.author.as_bytes(),
            comment: self.comment.as_bytes(),
        }
    }
}

/// An answer as objects of `T`; what is no UTF-8 in it is taken as Latin-1.
pub(crate) fn parse<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, String> {
    serde_json::from_str(&text(body)).map_err(|error| format!("an answer that is not Icinga's: {error}"))
}
