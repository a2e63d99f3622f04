//! What a user writes in `watchbell.yaml`, field by field, with every default.
//!
//! These structs are the source of the reference page and of the JSON schema for editors; the doc comment
//! of a field is its documentation. Meaning is checked in `check`. Items of `sources`, `sinks` and
//! `history` belong to adapters and have their own schemas, found by their `type`.

use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use watchbell_adapter_api::{Secret, Span};

/// The whole file. Everything is optional.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where series come from. Without this key: this machine, and a remote-write receiver.
    #[schemars(schema_with = "items")]
    pub sources: Option<Vec<Value>>,
    /// Where scores and alerts go. Without this key: scores at `/scores`.
    #[schemars(schema_with = "items")]
    pub sinks: Option<Vec<Value>>,
    /// Where history is read back from at start and after a pause.
    #[schemars(schema_with = "item")]
    pub history: Option<Value>,
    /// Which series are watched, and how many.
    pub series: SeriesConfig,
    /// How series are judged.
    pub detect: DetectConfig,
    /// When an anomaly becomes an alert.
    pub alerting: AlertingConfig,
    /// Folder with your own rules, laid over those that come with Watchbell: `mappings/*.yaml`, `detect/*.yaml`.
    #[schemars(extend("format" = "path"))]
    pub rules_dir: Option<PathBuf>,
    /// The time zone in which days and weeks are learned, as an IANA name such as `Europe/Berlin`.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Folder of the database and of what was learned. Without this key: `watchbell-data` in the working
    /// directory if that exists, else `watchbell` in the user's data directory.
    #[schemars(extend("format" = "path"))]
    pub data_dir: Option<PathBuf>,
    /// The service's own HTTP server.
    pub http: HttpConfig,
    /// The address under which people reach this service, for links in alerts, such as `https://watchbell.example.com`.
    pub external_url: Option<String>,
    /// Log lines on standard error.
    pub log: LogConfig,
    /// How often what was learned is saved.
    pub checkpoint: CheckpointConfig,
    /// Threads that judge. Without this key: one for each core, at most 16.
    #[schemars(range(min = 1, max = 64))]
    pub shards: Option<u16>,
}

/// The service's own HTTP server.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Address and port to listen on.
    pub listen: String,
    /// Connections held open at once; further ones wait.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_connections: u32,
    /// Serve HTTPS with this certificate.
    pub tls: Option<ServerTlsConfig>,
    /// Ask for user name and password on every path but `/-/healthy` and those of sources that ask for their own.
    #[serde(skip_serializing)]
    pub basic_auth: Option<ServerAuthConfig>,
}

/// Certificate and key of the server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerTlsConfig {
    /// Certificate chain (PEM).
    #[schemars(extend("format" = "path"))]
    pub cert_file: PathBuf,
    /// Private key (PEM).
    #[schemars(extend("format" = "path"))]
    pub key_file: PathBuf,
}

/// Who may enter.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerAuthConfig {
    /// User name.
    pub username: String,
    /// Password; exactly one of `password` and `password_file`.
    pub password: Option<Secret>,
    /// File that holds the password; read at start.
    #[schemars(extend("format" = "path"))]
    pub password_file: Option<PathBuf>,
}

/// Which series are watched, and how many.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SeriesConfig {
    /// Only series that pass one of these selectors are watched, such as `{job="node"}`; all if there is none.
    pub watch: Vec<String>,
    /// Series that pass one of these selectors are not watched, whatever `watch` says.
    pub ignore: Vec<String>,
    /// Series watched at once. Further new ones are refused and counted in `watchbell_series_refused_total`.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_series: u32,
    /// A series without samples for this long is forgotten.
    pub expire_after: Span,
    /// Label that names the machine of a series, before any mapping rule is asked.
    pub host_label: Option<String>,
}

/// How series are judged.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DetectConfig {
    /// More than 1 finds more and is wrong more often; less than 1 the reverse.
    #[schemars(range(min = 0.1, max = 10.0))]
    pub sensitivity: f64,
    /// A new series has no score for at least this long.
    pub warmup: Span,
    /// Verdicts with at least this score are reported to alerting and the API (1.0 is the edge of what is normal).
    #[schemars(range(min = 0.1, max = 1.0))]
    pub report_edge: f64,
    /// Time between two looks at whole machines and at groups of peers, 100ms to 1h.
    pub tick: Span,
    /// The series of a machine, judged together.
    pub joint: JointConfig,
    /// A series, compared with the same series of the other machines of its group.
    pub peers: PeersConfig,
}

/// The series of a machine, judged together.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JointConfig {
    /// Whether machines are judged as a whole. If not, their score is that of the share of their series that is
    /// anomalous.
    pub enabled: bool,
    /// Series of one machine that are looked at together, at most. Of more those that mapping rules know come
    /// first, spread over their metrics.
    #[schemars(range(min = 2, max = 512))]
    pub channels: u32,
    /// Machines with a model, at most: each takes up to 136 KB. Further ones have no joint score.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_hosts: u32,
    /// A machine has no joint score before it was watched for this long, and the share of its series that is
    /// anomalous makes no alert before most of them were.
    pub warmup: Span,
    /// What machines are judged by; at least one. Each is a part of the score of a machine. The last four take
    /// 20 KB more of a machine of 40 series together, and `isolation_forest` another 49 KB.
    #[schemars(length(min = 1))]
    pub methods: Vec<JointMethod>,
}

/// A way to judge the series of a machine together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JointMethod {
    /// Series change together in an unusual way.
    Change,
    /// Several series are rare by their own measure at once.
    Singles,
    /// The machine is somewhere it never is.
    Level,
    /// Few random cuts set it apart from its past.
    IsolationForest,
    /// What its series usually share does not rebuild it (robust principal components).
    RobustPca,
    /// It is far from all places where it usually is.
    Kmeans,
    /// Series that go together do not.
    CorrelationBreak,
}

/// A series, compared with the same series of the other machines of its group.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PeersConfig {
    /// Whether series are compared, and whether new ones take over what their group knows.
    pub enabled: bool,
    /// Labels of the machine that must be equal in a group, such as `job`, `role`, `cluster` or `template`.
    /// Other labels that name or place a machine do not count; all other labels of a series must be equal.
    pub group_by: Vec<String>,
}

/// When an anomaly becomes an alert. The rules themselves are in `rules_dir`, under `detect/`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlertingConfig {
    /// Whether alerts are made at all; scores are made either way.
    pub enabled: bool,
    /// How many alerts about series are accepted: `1 per host per week` (host, series or service; hour, day, week or
    /// month), a share of the samples such as `0.01%`, or `none` for any number. What is over it is kept in the
    /// journal as suppressed. A rule may have a `budget` of its own.
    pub alert_budget: String,
    /// Share of false ones that is accepted among the alerts of the whole fleet: the larger the fleet, the more
    /// improbable a lone anomaly must be. `1` switches this off.
    #[schemars(range(min = 0.001, max = 1.0))]
    pub false_discovery_rate: f64,
    /// How long ended alerts are kept in the journal.
    pub retention: Span,
    /// Alerts open at once for one machine; beyond it the alert of the whole machine speaks for all.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_per_host: u32,
    /// Alerts open at once; those beyond it are held back, and shown as `held` in `watchbell_alerts`.
    // Half of what the queue of a sink holds: the rest is for ends and for the alerts of hosts.
    #[schemars(range(min = 1, max = 5_000))]
    pub max_open: u32,
}

/// Log lines on standard error.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Least level that is written. The environment variable `WATCHBELL_LOG` goes before it and takes
    /// filters such as `info,watchbell::pipeline=debug`.
    pub level: LogLevel,
    /// Form of a line.
    pub format: LogFormat,
}

/// Least level of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What stops work.
    Error,
    /// What someone should look at.
    Warn,
    /// What an operator wants to see of normal work.
    #[default]
    Info,
    /// For finding faults.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How often what was learned is saved.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Time between two checkpoints.
    pub interval: Span,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9797".to_owned(), max_connections: 1_024, tls: None, basic_auth: None }
    }
}

impl Default for SeriesConfig {
    fn default() -> Self {
        Self {
            watch: Vec::new(),
            ignore: Vec::new(),
            max_series: 1_000_000,
            expire_after: Span::seconds(24 * 3_600),
            host_label: None,
        }
    }
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            sensitivity: 1.0,
            warmup: Span::seconds(60),
            report_edge: 0.8,
            tick: Span::seconds(60),
            joint: JointConfig::default(),
            peers: PeersConfig::default(),
        }
    }
}

impl Default for JointConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            channels: 64,
            max_hosts: 5_000,
            warmup: Span::seconds(86_400),
            methods: vec![
                JointMethod::Change,
                JointMethod::Singles,
                JointMethod::Level,
                JointMethod::RobustPca,
                JointMethod::CorrelationBreak,
            ],
        }
    }
}

impl Default for PeersConfig {
    fn default() -> Self {
        Self { enabled: true, group_by: vec!["job".to_owned()] }
    }
}

impl Default for AlertingConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            alert_budget: "1 per host per day".to_owned(),
            false_discovery_rate: 0.1,
            retention: Span::seconds(90 * 86_400),
            max_per_host: 5,
            max_open: 1_000,
        }
    }
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { interval: Span::seconds(120) }
    }
}

fn utc() -> String {
    "UTC".to_owned()
}

// What is inside is read by the schema of the kind.
fn items(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array"})
}

fn item(_: &mut SchemaGenerator) -> Schema {
    json_schema!({})
}
