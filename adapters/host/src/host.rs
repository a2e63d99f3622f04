//! Source `host`: reads this machine every interval and hands the values on as one batch.
//!
//! File systems are asked in a task of their own with a time limit: a dead network share hangs whoever
//! asks for its size, and must cost neither the other readings nor a thread each interval.
//! Never runs a command and never needs root.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::task::JoinHandle;
use watchbell_adapter_api::metrics::SECONDS;
use watchbell_adapter_api::{
    BoxFuture, IngestError, MetricDef, MetricKindDef, Problems, Source, SourceConfig, SourceContext, SourceError, Span,
};
use watchbell_series::RawBatch;

use crate::known::Known;
use crate::page::{Page, Point, ReadError};
use crate::platform;

/// This machine, under node_exporter's names.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HostConfig {
    /// How often to read, at least 1s.
    pub interval: Span,
    /// Label `instance`; the machine's name unless set.
    pub instance: Option<String>,
    /// Label `job`.
    pub job: String,
    /// Groups of readings to leave out, for example `[pressure, kernel]`.
    pub disable: Vec<Group>,
    /// Disks to leave out: a regular expression on the device's name.
    pub disk_exclude: String,
    /// Mount points to leave out: a regular expression.
    pub mount_point_exclude: String,
    /// Types of file system to leave out: a regular expression.
    pub filesystem_type_exclude: String,
    /// Network interfaces to leave out: a regular expression.
    pub network_exclude: String,
    /// Where the machine's `/proc` is; differs inside a container.
    #[schemars(extend("format" = "path"))]
    pub procfs: PathBuf,
    /// Where the machine's `/` is; differs inside a container.
    #[schemars(extend("format" = "path"))]
    pub rootfs: PathBuf,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            interval: Span::seconds(15),
            instance: None,
            job: "host".to_owned(),
            disable: Vec::new(),
            disk_exclude: r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$".to_owned(),
            mount_point_exclude: concat!(
                r"^/(dev|proc|sys|run/(credentials|containerd|docker|user|netns)/.+|",
                r"var/lib/(docker|containerd|containers/storage|kubelet)/.+)($|/)|^/(dev|proc|sys)/"
            )
            .to_owned(),
            filesystem_type_exclude: concat!(
                "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|efivarfs|fusectl|hugetlbfs|",
                "iso9660|mqueue|nsfs|proc|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tracefs)$"
            )
            .to_owned(),
            network_exclude: "^(veth|cali|lxc|tap)".to_owned(),
            procfs: PathBuf::from("/proc"),
            rootfs: PathBuf::from("/"),
        }
    }
}

/// A group of readings that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// CPU time by CPU and mode, context switches, processes, boot time.
    Cpu,
    /// Load averages.
    Load,
    /// Memory and swap.
    Memory,
    /// Reads and writes of block devices.
    Disk,
    /// Traffic and faults of network interfaces.
    Network,
    /// How long work waited for CPU, memory and disks (Linux).
    Pressure,
    /// Open files, paging, sockets (Linux).
    Kernel,
    /// Size and free space of mounted file systems.
    Filesystem,
}

impl Group {
    pub(crate) const ALL: &'static [Self] = &[
        Self::Cpu,
        Self::Load,
        Self::Memory,
        Self::Disk,
        Self::Network,
        Self::Pressure,
        Self::Kernel,
        Self::Filesystem,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Load => "load",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Network => "network",
            Self::Pressure => "pressure",
            Self::Kernel => "kernel",
            Self::Filesystem => "filesystem",
        }
    }
}

/// What is left out, compiled.
#[derive(Debug)]
pub(crate) struct Filters {
    pub(crate) disk: Regex,
    pub(crate) mount_point: Regex,
    pub(crate) filesystem_type: Regex,
    pub(crate) network: Regex,
}

/// Where the machine's trees are seen.
#[derive(Debug)]
pub(crate) struct Roots {
    pub(crate) procfs: PathBuf,
    pub(crate) rootfs: PathBuf,
}

const READ_SECONDS: MetricDef = MetricDef {
    name: "watchbell_host_read_seconds",
    kind: MetricKindDef::Histogram(SECONDS),
    help: "Time to read this machine, in seconds.",
    labels: &["source"],
};
const READ_ERRORS: MetricDef = MetricDef {
    name: "watchbell_host_read_errors_total",
    kind: MetricKindDef::Counter,
    help: "Readings of this machine that failed in whole or in part, by group.",
    labels: &["source", "group"],
};
const SKIPPED: MetricDef = MetricDef {
    name: "watchbell_host_skipped_readings_total",
    kind: MetricKindDef::Counter,
    help: "Whole readings of this machine that were dropped because judging was behind.",
    labels: &["source"],
};

impl HostConfig {
    /// Roots and filters; the error names the field and what is wrong.
    pub(crate) fn parts(&self) -> Result<(Roots, Filters), Vec<(&'static str, String)>> {
        let mut wrong = Vec::new();
        let mut regex = |field: &'static str, text: &str| {
            // An empty expression would match everything; here it means that nothing is left out.
            let compiled = Regex::new(if text.is_empty() { "^\\b$" } else { text });
            compiled.map_err(|e| wrong.push((field, e.to_string().replace('\n', " ")))).ok()
        };
        let disk = regex("disk_exclude", &self.disk_exclude);
        let mount_point = regex("mount_point_exclude", &self.mount_point_exclude);
        let filesystem_type = regex("filesystem_type_exclude", &self.filesystem_type_exclude);
        let network = regex("network_exclude", &self.network_exclude);
        let roots = Roots { procfs: self.procfs.clone(), rootfs: self.rootfs.clone() };
        match (disk, mount_point, filesystem_type, network) {
            (Some(disk), Some(mount_point), Some(filesystem_type), Some(network)) => {
                Ok((roots, Filters { disk, mount_point, filesystem_type, network }))
            }
            _ => Err(wrong),
        }
    }
}

impl SourceConfig for HostConfig {
    const KIND: &'static str = "host";
    const SUMMARY: &'static str = "CPU, memory, disks, file systems and network of the machine Watchbell runs on.";
    const METRICS: &'static [MetricDef] = &[READ_SECONDS, READ_ERRORS, SKIPPED];

    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>> {
        let before = problems.len();
        if self.interval < Span::seconds(1) {
            problems.hint("interval", format!("`{}` is too short", self.interval), "use at least `1s`; `15s` is usual");
        }
        if self.job.is_empty() {
            problems.hint("job", "must not be empty", "leave it out for `host`");
        }
        let groups: Vec<Group> = Group::ALL.iter().copied().filter(|g| !self.disable.contains(g)).collect();
        if groups.is_empty() {
            problems.hint("disable", "nothing is left to read", "remove the source instead");
        }
        let parts = self.parts().map_err(|wrong| {
            for (field, reason) in wrong {
                problems.add(field, reason);
            }
        });
        let (roots, filters) = parts.ok()?;
        let reader = Reader { roots, filters, groups, state: Mutex::default() };
        (problems.len() == before).then(|| Box::new(Host { config: self, reader: Arc::new(reader) }) as Box<dyn Source>)
    }
}

/// Reads groups; shared with the threads that may block.
struct Reader {
    roots: Roots,
    filters: Filters,
    groups: Vec<Group>,
    state: Mutex<platform::State>,
}

type Reading = (Group, Vec<Point>, Vec<ReadError>);

impl Reader {
    /// Reads the groups that `wanted` picks. Blocks.
    fn read(&self, instance: &str, job: &str, wanted: impl Fn(Group) -> bool) -> Vec<Reading> {
        let groups = self.groups.iter().copied().filter(|group| wanted(*group));
        let read = groups.map(|group| {
            let mut page = Page::new(instance, job);
            // File systems need no state, and must not hold the lock while they hang.
            if group == Group::Filesystem {
                platform::collect(group, &mut Default::default(), &self.roots, &self.filters, &mut page);
            } else {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                platform::collect(group, &mut state, &self.roots, &self.filters, &mut page);
            }
            let (points, errors) = page.into_parts();
            (group, points, errors)
        });
        read.collect()
    }
}

struct Host {
    config: HostConfig,
    reader: Arc<Reader>,
}

impl Source for Host {
    fn run(self: Box<Self>, context: SourceContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(Run::new(*self, context).run())
    }
}

/// The running source.
struct Run {
    reader: Arc<Reader>,
    context: SourceContext,
    interval: Duration,
    instance: Arc<str>,
    job: Arc<str>,
    known: Known,
    /// File systems that are still being asked, since an earlier interval if one hangs.
    filesystems: Option<JoinHandle<Vec<Reading>>>,
    /// The last error of each group, so that a lasting one is logged once.
    failing: BTreeMap<&'static str, String>,
}

impl Run {
    fn new(host: Host, context: SourceContext) -> Self {
        let named = host.config.instance.or_else(|| platform::hostname(&host.reader.roots));
        Self {
            reader: host.reader,
            context,
            interval: host.config.interval.into(),
            instance: named.unwrap_or_else(|| "localhost".to_owned()).into(),
            job: host.config.job.into(),
            known: Known::default(),
            filesystems: None,
            failing: BTreeMap::new(),
        }
    }

    async fn run(mut self) -> Result<(), SourceError> {
        let mut shutdown = self.context.shutdown.clone();
        let interval_ms = self.interval.as_millis() as i64;
        while !shutdown.is_set() {
            let started = self.context.clock.now_ms();
            let batch = self.read(started).await?;
            let took = self.context.clock.now_ms().saturating_sub(started).max(0);
            self.context.metrics.histogram(&READ_SECONDS, &[&self.context.name]).observe(took as f64 / 1e3);
            let wait = match self.context.ingest.submit(batch).await {
                Ok(_) => Duration::ZERO,
                Err(IngestError::Stopping) => {
                    shutdown.wait().await;
                    break;
                }
                // A reading is worth nothing later: the next one is taken when there is room again.
                Err(IngestError::Busy { retry_after } | IngestError::Starting { retry_after }) => {
                    self.context.metrics.counter(&SKIPPED, &[&self.context.name]).inc();
                    retry_after
                }
            };
            let spent = self.context.clock.now_ms().saturating_sub(started).clamp(0, interval_ms);
            let rest = Duration::from_millis((interval_ms - spent) as u64);
            if !shutdown.sleep(if wait.is_zero() { rest } else { wait.min(self.interval) }).await {
                break;
            }
        }
        Ok(())
    }

    /// One reading of everything.
    async fn read(&mut self, now_ms: i64) -> Result<RawBatch, SourceError> {
        let spawn = |wanted: fn(Group) -> bool, run: &Self| {
            let (reader, instance, job) = (run.reader.clone(), run.instance.clone(), run.job.clone());
            tokio::task::spawn_blocking(move || reader.read(&instance, &job, wanted))
        };
        let quick = spawn(|group| group != Group::Filesystem, self);
        let mut filesystems =
            self.filesystems.take().unwrap_or_else(|| spawn(|group| group == Group::Filesystem, self));
        let died = |e| SourceError(format!("reading this machine failed: {e}"));
        let mut readings = quick.await.map_err(died)?;
        match tokio::time::timeout(self.interval.min(Duration::from_secs(5)) / 2, &mut filesystems).await {
            Ok(read) => readings.extend(read.map_err(died)?),
            Err(_) => {
                self.filesystems = Some(filesystems);
                let late = ReadError::System("a file system does not answer; is a network share down?".to_owned());
                readings.push((Group::Filesystem, Vec::new(), vec![late]));
            }
        }
        let mut batch = RawBatch { received_ms: now_ms, ..RawBatch::default() };
        for (group, points, errors) in readings {
            self.report(group.name(), &errors);
            let complete = errors.iter().all(|e| matches!(e, ReadError::Absent(_)));
            self.known.update(group.name(), points, complete, now_ms, &mut batch);
        }
        Ok(batch)
    }

    /// Counts a failed reading, and logs when the error of a group changes.
    fn report(&mut self, group: &'static str, errors: &[ReadError]) {
        let Some(error) = errors.iter().find(|e| !matches!(e, ReadError::Absent(_))) else {
            if self.failing.remove(group).is_some() {
                tracing::info!(source = %self.context.name, group, "this group can be read again");
            }
            return;
        };
        self.context.metrics.counter(&READ_ERRORS, &[&self.context.name, group]).inc();
        let text = error.to_string();
        if self.failing.get(group) != Some(&text) {
            tracing::warn!(source = %self.context.name, group, error = %text, "can not read all of this machine");
            self.failing.insert(group, text);
        }
    }
}

#[cfg(test)]
mod tests;
