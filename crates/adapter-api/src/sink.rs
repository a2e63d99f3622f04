//! Sinks: where scores and alerts go.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, schema_for};
use serde::de::DeserializeOwned;
use watchbell_series::{Alert, Reading, Selector, SeriesId};

use crate::BoxFuture;
use crate::health::Health;
use crate::metrics::{MetricDef, Metrics};
use crate::problem::Problems;
use crate::runtime::{Clock, Shutdown};
use crate::source::{Resource, SourceError, read};

/// What a user writes for one sink, and how it is checked.
pub trait SinkConfig: DeserializeOwned + JsonSchema + 'static {
    /// The word after `type:`.
    const KIND: &'static str;
    /// One sentence for help and reference.
    const SUMMARY: &'static str;
    /// Own metrics of this kind, beyond what every sink has.
    const METRICS: &'static [MetricDef] = &[];

    /// Checks the meaning and gives the sink ready to run; see [`crate::SourceConfig::prepare`].
    fn prepare(self, problems: &mut Problems) -> Option<Prepared>;
}

/// A checked sink.
pub enum Prepared {
    /// It reads scores by itself.
    Scores(Box<dyn ScoreSink>),
    /// It is handed alerts. Several where the user names several instances: each has its own queue.
    Alerts(Vec<Arc<dyn AlertSink>>),
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scores(_) => f.write_str("Scores"),
            Self::Alerts(sinks) => write!(f, "Alerts({})", sinks.len()),
        }
    }
}

/// A sink of scores: serves or sends what it reads from [`Scores`].
pub trait ScoreSink: Send + 'static {
    /// See [`crate::Source::resources`].
    fn resources(&self) -> Vec<Resource> {
        Vec::new()
    }

    /// See [`crate::Source::warnings`].
    fn warnings(&self) -> Problems {
        Problems::default()
    }

    /// Routes on the service's own HTTP server.
    fn routes(&mut self, _context: &SinkContext) -> Option<axum::Router> {
        None
    }

    /// Runs until the shutdown; see [`crate::Source::run`].
    fn run(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<(), SourceError>>;
}

/// A sink of alerts. It only says how a delivery went: queues, waiting and retries are the service's.
pub trait AlertSink: Send + Sync + 'static {
    /// What tells this instance from the others of its sink, for example its URL without secrets.
    fn instance(&self) -> &str;

    /// Told once, before the first delivery, under which name it runs and where its own metrics are.
    fn attach(&self, _name: &str, _metrics: &Metrics) {}

    /// How many alerts it takes at once.
    fn batch(&self) -> usize {
        256
    }

    /// Whether it wants the firing alerts again and again, with a moving end, as Alertmanager does.
    /// `None`: only when they begin and when they end.
    fn resend(&self) -> Option<Duration> {
        None
    }

    /// Delivers `alerts`, firing and resolved mixed.
    fn deliver<'a>(&'a self, alerts: &'a [Alert]) -> BoxFuture<'a, Result<(), DeliveryError>>;
}

/// Why a delivery failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Worth trying again: the peer is down, slow or overloaded.
    #[error("{message}")]
    Retry {
        /// What happened, naming the peer.
        message: String,
        /// When the peer asked to be tried again.
        after: Option<Duration>,
    },
    /// The peer refuses it, and will again.
    #[error("{0}")]
    Rejected(String),
}

/// All that a running sink may reach.
#[derive(Clone)]
pub struct SinkContext {
    /// Its name in config, logs and metrics; unique.
    pub name: Arc<str>,
    /// Scores of all series.
    pub scores: Arc<dyn Scores>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// When to stop.
    pub shutdown: Shutdown,
    /// Own metrics.
    pub metrics: Metrics,
    /// Where it says that it fails, and that it is well again.
    pub health: Health,
}

impl fmt::Debug for SinkContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkContext").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The scores of all judged series, read page by page so that reading never holds up judging for long.
pub trait Scores: Send + Sync {
    /// How many series are judged now.
    fn series(&self) -> u64;

    /// The page at `cursor`: [`Cursor::START`] first, then each page's `next`.
    fn page(&self, query: Arc<ScoreQuery>, cursor: Cursor) -> BoxFuture<'_, ScorePage>;

    /// What is known of each host, in order of names.
    fn hosts(&self) -> BoxFuture<'_, Vec<HostReading>>;
}

/// Which series a reader wants.
#[derive(Debug, Clone, Default)]
pub struct ScoreQuery {
    /// Series that pass any of these; all series if there is none.
    pub selectors: Vec<Selector>,
    /// Only those with an open alarm or a score over 1.0.
    pub anomalous_only: bool,
}

/// Where a reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Shard.
    pub shard: u32,
    /// First slot of the next page.
    pub slot: u32,
}

impl Cursor {
    /// Before the first series.
    pub const START: Self = Self { shard: 0, slot: 0 };
}

/// Some series with their readings.
#[derive(Debug, Clone, Default)]
pub struct ScorePage {
    /// The series. May be empty although there are further pages.
    pub rows: Vec<ScoreRow>,
    /// Their label sets in canonical bytes, [`watchbell_series::labels::iter_canonical`] reads them; behind each the
    /// name of its host.
    pub labels: Vec<u8>,
    /// Where to go on; `None` after the last page.
    pub next: Option<Cursor>,
}

/// One series of a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreRow {
    /// Identity of the input series.
    pub id: SeriesId,
    /// Start of its labels in the page.
    pub labels_at: u32,
    /// Length of its labels.
    pub labels_len: u32,
    /// Length of the name of its host, which stands behind its labels.
    pub host_len: u32,
    /// What the detector says of it now.
    pub reading: Reading,
}

impl ScorePage {
    /// The labels of `row`, in order of names.
    pub fn labels_of(&self, row: &ScoreRow) -> impl Iterator<Item = (&str, &str)> + Clone {
        let at = row.labels_at as usize;
        watchbell_series::labels::iter_canonical(&self.labels[at..at + row.labels_len as usize])
    }

    /// The host that `row` belongs to, as [`HostReading::host`] names it: its label `host` may be another name, that
    /// of the tool it comes from. Empty where it belongs to none.
    #[must_use]
    pub fn host_of(&self, row: &ScoreRow) -> &str {
        let at = (row.labels_at + row.labels_len) as usize;
        let name = self.labels.get(at..at + row.host_len as usize).unwrap_or(&[]);
        std::str::from_utf8(name).unwrap_or("")
    }
}

/// What is known of one host now.
#[derive(Debug, Clone, PartialEq)]
pub struct HostReading {
    /// The entity.
    pub host: String,
    /// Judged series of it.
    pub series: u32,
    /// Those that have a score.
    pub ready: u32,
    /// Those with a score over 1.0.
    pub anomalous: u32,
    /// Score of the host: 1.0 is the edge of what is normal. NaN while nothing of it has one.
    pub score: f32,
    /// The score from which on the host rings: 1.0, and infinity while it is judged as a whole and has no alarm.
    pub edge: f32,
    /// What the score is made of.
    pub parts: HostParts,
    /// Share of the host's channels that the last joint look saw, 0 to 1; NaN where there is none.
    pub confidence: f32,
    /// The series that the joint score comes from, greatest share first; empty while the host is quiet.
    pub contributors: Arc<[Contributor]>,
    /// How long until all of this can be news again, milliseconds: what is read sooner is the same samples once
    /// more. 0 where each reading is news.
    pub step_ms: i64,
    /// What sources call it in their label `host`, in order; see [`HostReading::told_by`].
    pub told: Arc<[ToldName]>,
    /// The reason of the quiet window that the host is in now, empty where nobody gave one: its score is to alarm
    /// nobody.
    pub quiet: Option<Arc<str>>,
}

/// The name that a source has for a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ToldName {
    /// Which kind of source it is, by the word after `type:`.
    pub kind: &'static str,
    /// The name.
    pub name: Box<str>,
}

impl HostReading {
    /// The names that sources of these kinds have for it, each once: a tool knows a host by its own name for it only.
    #[must_use]
    pub fn told_by(&self, kinds: &[&str]) -> Vec<&str> {
        let told = self.told.iter().filter(|told| kinds.contains(&told.kind));
        told.map(|told| &*told.name).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl Default for HostReading {
    fn default() -> Self {
        Self {
            host: String::new(),
            series: 0,
            ready: 0,
            anomalous: 0,
            score: f32::NAN,
            edge: 1.0,
            parts: HostParts::default(),
            confidence: f32::NAN,
            contributors: Arc::default(),
            step_ms: 0,
            told: Arc::default(),
            quiet: None,
        }
    }
}

/// That something is in a quiet window, in words for people; `reason` may be empty.
#[must_use]
pub fn in_a_window(reason: &str) -> String {
    if reason.is_empty() { "in a quiet window".to_owned() } else { format!("in a quiet window: {reason}") }
}

/// The parts of a host's score, each by itself on the same scale; NaN where there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostParts {
    /// Its channels change together in an unusual way.
    pub change: f32,
    /// It is where it never is.
    pub level: f32,
    /// How many and how rare the verdicts on its single channels are.
    pub singles: f32,
    /// Few random cuts set it apart from its past (Isolation Forest).
    pub isolation_forest: f32,
    /// What its channels usually share does not rebuild it (robust principal components).
    pub robust_pca: f32,
    /// It is far from all places where it usually is (k-means).
    pub kmeans: f32,
    /// Channels that go together do not.
    pub correlation_break: f32,
    /// Share of its series that are anomalous.
    pub rollup: f32,
    /// Its series are unlike those of its peers.
    pub peers: f32,
}

impl Default for HostParts {
    fn default() -> Self {
        Self {
            change: f32::NAN,
            level: f32::NAN,
            singles: f32::NAN,
            isolation_forest: f32::NAN,
            robust_pca: f32::NAN,
            kmeans: f32::NAN,
            correlation_break: f32::NAN,
            rollup: f32::NAN,
            peers: f32::NAN,
        }
    }
}

impl HostParts {
    /// The parts with the words for them.
    #[must_use]
    pub fn named(&self) -> [(&'static str, f32); 9] {
        [
            ("change", self.change),
            ("level", self.level),
            ("singles", self.singles),
            ("isolation_forest", self.isolation_forest),
            ("robust_pca", self.robust_pca),
            ("kmeans", self.kmeans),
            ("correlation_break", self.correlation_break),
            ("rollup", self.rollup),
            ("peers", self.peers),
        ]
    }
}

/// A series with its share of a host's score.
#[derive(Debug, Clone, PartialEq)]
pub struct Contributor {
    /// The series, as a selector without what all series of the host have in common.
    pub series: String,
    /// Its share, 0 to 1.
    pub share: f32,
}

/// One row of the table of sink kinds.
#[derive(Debug, Clone, Copy)]
pub struct SinkKind {
    /// The word after `type:`.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Own metrics of this kind.
    pub metrics: &'static [MetricDef],
    /// JSON schema of its config.
    pub schema: fn() -> Schema,
    /// Reads and checks a config item (without `type` and `name`).
    pub prepare: fn(serde_json::Value, &mut Problems) -> Option<Prepared>,
}

impl SinkKind {
    /// The row of config type `C`.
    #[must_use]
    pub const fn of<C: SinkConfig>() -> Self {
        Self {
            name: C::KIND,
            summary: C::SUMMARY,
            metrics: C::METRICS,
            schema: || schema_for!(C),
            prepare: |value, problems| read::<C>(value, problems)?.prepare(problems),
        }
    }
}
