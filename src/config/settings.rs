//! The checked settings: what is not an adapter's, as plain data that can be compared and cloned.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use watchbell_adapter_api::Secret;
use watchbell_detect::Methods;
use watchbell_series::Selector;

use crate::alerting::Budget;

use super::raw::{LogFormat, LogLevel, ServerTlsConfig};

/// Everything in the config but sources, sinks and history.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The service's own HTTP server.
    pub http: Http,
    /// Folder of the database and of what was learned. It need not exist yet.
    pub data_dir: PathBuf,
    /// Log lines.
    pub log: Log,
    /// Time zone of learned days and weeks.
    pub timezone: TimeZone,
    /// The address under which people reach this service, without a final `/`.
    pub external_url: Option<String>,
    /// Threads that judge; at least 1.
    pub shards: usize,
    /// Which series are watched.
    pub series: Series,
    /// How series are judged.
    pub detect: Detect,
    /// When an anomaly becomes an alert.
    pub alerting: Alerting,
    /// The user's own rules; the folder exists.
    pub rules_dir: Option<PathBuf>,
    /// Time between two checkpoints.
    pub checkpoint_interval: Duration,
}

/// The service's own HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Connections held open at once.
    pub max_connections: usize,
    /// Certificate and key; both files were readable.
    pub tls: Option<ServerTlsConfig>,
    /// Who may enter.
    pub basic_auth: Option<Credentials>,
}

/// A user name and its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// Log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Log {
    /// Least level.
    pub level: LogLevel,
    /// Form of a line.
    pub format: LogFormat,
}

/// Which series are watched, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// A series must pass one of these; all pass if there is none.
    pub watch: Vec<Selector>,
    /// A series that passes one of these is not watched.
    pub ignore: Vec<Selector>,
    /// Series watched at once, over all shards.
    pub max_series: usize,
    /// A series without samples for this long is forgotten.
    pub expire_after: Duration,
    /// Label that names the machine before any mapping rule is asked.
    pub host_label: Option<String>,
}

/// How series are judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Detect {
    /// 0.1 to 10; more finds more.
    pub sensitivity: f64,
    /// Least time of learning before the first score.
    pub warmup: Duration,
    /// Least score that is reported.
    pub report_edge: f64,
    /// Time between looks at whole hosts and groups.
    pub tick: Duration,
    /// How hosts are judged.
    pub joint: Joint,
    /// How series are compared with their peers.
    pub peers: Peers,
}

/// How the series of a host are judged together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joint {
    /// Whether they are.
    pub enabled: bool,
    /// Most series of a host that are looked at together.
    pub channels: usize,
    /// Most hosts.
    pub max_hosts: usize,
    /// Least time of learning before the first score of a host.
    pub warmup: Duration,
    /// What hosts are judged by.
    pub methods: Methods,
}

/// How a series is compared with those of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers {
    /// Whether they are.
    pub enabled: bool,
    /// Labels of the target that are equal in a group.
    pub group_by: Vec<String>,
}

/// When an anomaly becomes an alert.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alerting {
    /// Whether alerts are made at all.
    pub enabled: bool,
    /// How many alerts about series are accepted.
    pub budget: Budget,
    /// Accepted share of false ones among the alerts of the fleet.
    pub false_discovery_rate: f64,
    /// How long ended alerts are kept.
    pub retention: Duration,
    /// Alerts open at once for one machine.
    pub max_per_host: usize,
    /// Alerts open at once.
    pub max_open: usize,
}
