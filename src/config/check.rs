//! Raw settings to checked ones: what the values mean.
//!
//! Shapes have been checked by `schema` before. Reads the files that are named, opens nothing, and notes
//! every problem instead of stopping at the first.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use watchbell_adapter_api::{Problems, Secret, Span};
use watchbell_detect::{Method, Methods};
use watchbell_series::Selector;

use super::Overrides;
use super::env::Lookup;
use super::nearest::nearest;
use super::raw::{Config, DetectConfig, HttpConfig, JointMethod, SeriesConfig, ServerAuthConfig, ServerTlsConfig};
use super::settings::{Alerting, Credentials, Detect, Http, Joint, Log, Peers, Series, Settings};
use super::warnings::nearest_there;

/// The shortest checkpoint interval: writing takes seconds with a million series.
const MIN_CHECKPOINT: Duration = Duration::from_secs(5);
const MIN_TICK: Duration = Duration::from_millis(100);
const MAX_TICK: Duration = Duration::from_secs(3_600);

/// Most threads taken without being told to.
const MAX_DEFAULT_SHARDS: usize = 16;

/// The settings of `raw`. Of use only if no problem was added; where one was, a default stands.
pub(super) fn settings(raw: &Config, overrides: &Overrides, env: Lookup<'_>, problems: &mut Problems) -> Settings {
    Settings {
        http: http(&raw.http, overrides, problems),
        data_dir: data_dir(raw.data_dir.as_deref(), overrides, env, problems),
        log: Log { level: raw.log.level, format: raw.log.format },
        timezone: timezone(&raw.timezone, problems),
        external_url: raw.external_url.as_deref().and_then(|url| external_url(url, problems)),
        shards: raw.shards.map_or_else(default_shards, usize::from),
        series: series(&raw.series, problems),
        detect: detect(&raw.detect, problems),
        alerting: Alerting {
            enabled: raw.alerting.enabled,
            budget: problems.take("alerting.alert_budget", raw.alerting.alert_budget.parse()).unwrap_or_default(),
            false_discovery_rate: raw.alerting.false_discovery_rate,
            retention: at_least("alerting.retention", raw.alerting.retention, Duration::from_secs(3_600), problems),
            max_per_host: raw.alerting.max_per_host as usize,
            max_open: raw.alerting.max_open as usize,
        },
        rules_dir: raw.rules_dir.clone().inspect(|dir| rules_dir(dir, problems)),
        checkpoint_interval: at_least("checkpoint.interval", raw.checkpoint.interval, MIN_CHECKPOINT, problems),
    }
}

fn detect(raw: &DetectConfig, problems: &mut Problems) -> Detect {
    let tick = at_least("detect.tick", raw.tick, MIN_TICK, problems);
    if tick > MAX_TICK {
        problems.add("detect.tick", format!("{} is more than {}", raw.tick, Span(MAX_TICK)));
    }
    group_by(&raw.peers.group_by, problems);
    Detect {
        sensitivity: raw.sensitivity,
        warmup: raw.warmup.0,
        report_edge: raw.report_edge,
        tick,
        joint: Joint {
            enabled: raw.joint.enabled,
            channels: raw.joint.channels as usize,
            max_hosts: raw.joint.max_hosts as usize,
            warmup: raw.joint.warmup.0,
            methods: methods(&raw.joint.methods),
        },
        peers: Peers { enabled: raw.peers.enabled, group_by: raw.peers.group_by.clone() },
    }
}

/// Labels that are one machine's own: with them in a group it has one member.
const OWN_LABELS: [&str; 5] = ["host", "hostname", "nodename", "node", "instance"];

fn group_by(labels: &[String], problems: &mut Problems) {
    for (at, label) in labels.iter().enumerate() {
        let path = format!("detect.peers.group_by[{at}]");
        let legal = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !label.starts_with(|c: char| c.is_ascii_digit());
        if label.is_empty() {
            problems.hint(path, "the label name is empty", "name a label, or leave the entry out");
        } else if label == watchbell_series::labels::NAME {
            problems.hint(path, "series of a group have the same metric anyway", "leave the entry out");
        } else if !legal {
            let hint = "write the bare name of a label, such as `job` or `role`";
            problems.hint(path, format!("`{label}` is no name of a label"), hint);
        } else if OWN_LABELS.contains(&label.as_str()) {
            let hint = "name labels that several machines have in common, such as `job` or `role`";
            problems.hint(path, format!("`{label}` names one machine, which has no peers then"), hint);
        } else if labels[..at].contains(label) {
            problems.hint(path, format!("`{label}` stands twice"), "leave one out");
        }
    }
}

fn methods(raw: &[JointMethod]) -> Methods {
    let method = |raw: &JointMethod| match raw {
        JointMethod::Change => Method::Change,
        JointMethod::Singles => Method::Singles,
        JointMethod::Level => Method::Level,
        JointMethod::IsolationForest => Method::IsolationForest,
        JointMethod::RobustPca => Method::RobustPca,
        JointMethod::Kmeans => Method::Kmeans,
        JointMethod::CorrelationBreak => Method::CorrelationBreak,
    };
    raw.iter().map(method).collect()
}

fn http(raw: &HttpConfig, overrides: &Overrides, problems: &mut Problems) -> Http {
    let listen = overrides.listen.or_else(|| listen(&raw.listen, problems));
    Http {
        listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9797))),
        max_connections: raw.max_connections as usize,
        tls: raw.tls.clone().inspect(|tls| server_tls(tls, problems)),
        basic_auth: raw.basic_auth.as_ref().and_then(|auth| credentials(auth, problems)),
    }
}

fn listen(text: &str, problems: &mut Problems) -> Option<SocketAddr> {
    let address = text.parse().ok();
    if address.is_none() {
        let hint = "write an IP address and a port, such as `127.0.0.1:9797`, or `0.0.0.0:9797` for all interfaces";
        problems.hint("http.listen", format!("`{text}` is no address to listen on"), hint);
    }
    address
}

fn server_tls(tls: &ServerTlsConfig, problems: &mut Problems) {
    for (path, file, what) in [
        ("http.tls.cert_file", &tls.cert_file, "CERTIFICATE-----"),
        ("http.tls.key_file", &tls.key_file, "PRIVATE KEY-----"),
    ] {
        match std::fs::read_to_string(file) {
            Err(error) => problems.add(path, format!("can not read `{}`: {error}", file.display())),
            Ok(text) if !text.contains("-----BEGIN ") || !text.contains(what) => {
                let hint = format!("the file must be in PEM form and hold a `{}`", what.trim_end_matches('-'));
                problems.hint(path, format!("`{}` is not what is needed here", file.display()), hint);
            }
            Ok(_) => {}
        }
    }
}

fn credentials(auth: &ServerAuthConfig, problems: &mut Problems) -> Option<Credentials> {
    let password = match (&auth.password, &auth.password_file) {
        (Some(password), None) => Some(password.clone()),
        (None, Some(file)) => problems.take("http.basic_auth.password_file", Secret::from_file(file)),
        (Some(_), Some(_)) => {
            let message = "both `password` and `password_file` are set";
            problems.hint("http.basic_auth.password", message, "keep one of them");
            None
        }
        (None, None) => {
            problems.hint("http.basic_auth", "no password is set", "add `password` or `password_file`");
            None
        }
    }?;
    if password.reveal().is_empty() {
        problems.add("http.basic_auth", "the password is empty");
        return None;
    }
    Some(Credentials { username: auth.username.clone(), password })
}

/// The option of the command line, else the key, else `watchbell-data` where it is used already, else the
/// place where the XDG base directory specification puts data of programs.
fn data_dir(raw: Option<&Path>, overrides: &Overrides, env: Lookup<'_>, problems: &mut Problems) -> PathBuf {
    let dir = data_dir_of(raw, overrides, env);
    if let Some(there) = nearest_there(&dir).filter(|there| !there.is_dir()) {
        let message = format!("`{}` can not be a folder: `{}` is a file", dir.display(), there.display());
        problems.hint("data_dir", message, "name a folder; it is made where it is not there");
    }
    dir
}

fn data_dir_of(raw: Option<&Path>, overrides: &Overrides, env: Lookup<'_>) -> PathBuf {
    const HERE: &str = "watchbell-data";
    if let Some(dir) = overrides.data_dir.as_deref().or(raw) {
        return dir.to_owned();
    }
    if Path::new(HERE).is_dir() {
        return HERE.into();
    }
    let absolute = |name: &str| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    data.map_or_else(|| HERE.into(), |data| data.join("watchbell"))
}

fn timezone(name: &str, problems: &mut Problems) -> TimeZone {
    match TimeZone::get(name) {
        Ok(zone) => zone,
        Err(_) => {
            let known: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
            let hint = match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write an IANA name such as `UTC`, `Europe/Berlin` or `America/New_York`".to_owned(),
            };
            problems.hint("timezone", format!("no time zone is called `{name}`"), hint);
            TimeZone::UTC
        }
    }
}

fn external_url(url: &str, problems: &mut Problems) -> Option<String> {
    let parsed = url.parse::<http::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if parsed.is_none() {
        problems.hint("external_url", format!("`{url}` is no address"), "write it as `https://watchbell.example.com`");
    }
    parsed.map(|_| url.trim_end_matches('/').to_owned())
}

fn default_shards() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_DEFAULT_SHARDS)
}

fn series(raw: &SeriesConfig, problems: &mut Problems) -> Series {
    if raw.host_label.as_deref() == Some("") {
        problems.hint(
            "series.host_label",
            "the label name is empty",
            "remove the key to let mapping rules find the machine",
        );
    }
    Series {
        watch: selectors("series.watch", &raw.watch, problems),
        ignore: selectors("series.ignore", &raw.ignore, problems),
        max_series: raw.max_series as usize,
        expire_after: at_least("series.expire_after", raw.expire_after, Duration::from_secs(60), problems),
        host_label: raw.host_label.clone(),
    }
}

fn selectors(path: &str, texts: &[String], problems: &mut Problems) -> Vec<Selector> {
    let read = |(i, text): (usize, &String)| match text.parse::<Selector>() {
        Ok(selector) => Some(selector),
        Err(error) => {
            let hint = "write it as in PromQL, in single quotes: `'{job=\"node\",instance!~\"test.*\"}'`";
            problems.hint(format!("{path}[{i}]"), error.to_string(), hint);
            None
        }
    };
    texts.iter().enumerate().filter_map(read).collect()
}

fn rules_dir(dir: &Path, problems: &mut Problems) {
    match std::fs::read_dir(dir) {
        Ok(_) => {}
        Err(error) => {
            let hint =
                "name a folder that holds `mappings` or `detect`; relative paths start from the folder of the config";
            problems.hint("rules_dir", format!("can not read the folder `{}`: {error}", dir.display()), hint);
        }
    }
}

fn at_least(path: &str, span: Span, least: Duration, problems: &mut Problems) -> Duration {
    if span.0 < least {
        problems.add(path, format!("{span} is less than {}", Span(least)));
    }
    span.0.max(least)
}
