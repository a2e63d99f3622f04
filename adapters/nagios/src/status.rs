//! Source `nagios_status`: states, downtimes and acknowledgements from Nagios's status file, and performance data
//! where no file of them is written.
//!
//! The file is replaced as a whole every few seconds; it is read when it changed. A check gives samples when it
//! ran again, with the time at which it ran. What a check interval shorter than the file's own hides is not seen:
//! for that there is `nagios_perfdata`.

mod blocks;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{BoxFuture, MetricDef, Problems, Source, SourceConfig, SourceContext, SourceError, Span};
use watchbell_series::labels::NAME;
use watchbell_series::{Labels, MetricKind, RawBatch, RawSample};

use self::blocks::Block;
use crate::intake::{BAD_TOKENS, Intake, LAG, VALUES};
use crate::perfdata::feed::{MAX_SERIES, OWN, Origin, Writer, text};
use crate::perfdata::{ERRORS, check_labels};

/// The largest file that is read.
const MAX_BYTES: u64 = 512 << 20;

/// States of hosts and services from Nagios's status file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusConfig {
    /// The `status_file` of nagios.cfg, on Debian `/var/lib/nagios4/status.dat`.
    #[schemars(extend("format" = "path"))]
    pub path: PathBuf,
    /// How often it is looked at, at least 1s. Nagios writes it every `status_update_interval` (10 s).
    #[serde(default = "interval")]
    pub interval: Span,
    /// Whether the performance data in it are read too. For a Nagios that writes no files of them; with source
    /// `nagios_perfdata` beside it, every value would come twice.
    #[serde(default)]
    pub perfdata: bool,
    /// Further labels of all series.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

fn interval() -> Span {
    Span::seconds(10)
}

impl SourceConfig for StatusConfig {
    const KIND: &'static str = "nagios_status";
    const SUMMARY: &'static str = "States, downtimes and acknowledgements from Nagios's status file.";
    const METRICS: &'static [MetricDef] = &[VALUES, BAD_TOKENS, LAG, ERRORS];

    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>> {
        let before = problems.len();
        if self.path.as_os_str().is_empty() {
            problems.hint("path", "no file is named", "write the `status_file` of nagios.cfg");
        }
        if self.interval.0 < Duration::from_secs(1) {
            problems.hint("interval", format!("`{}` is too short", self.interval), "use at least `1s`; `10s` is usual");
        }
        check_labels(&self.labels, problems);
        (problems.len() == before).then(|| Box::new(Status { config: self }) as Box<dyn Source>)
    }
}

struct Status {
    config: StatusConfig,
}

impl Source for Status {
    fn run(self: Box<Self>, context: SourceContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(run(self.config, context))
    }
}

async fn run(config: StatusConfig, context: SourceContext) -> Result<(), SourceError> {
    let mut shutdown = context.shutdown.clone();
    let intake = Intake::new(context, Writer::new(&config.labels));
    let place = config.path.display().to_string();
    let (mut shape, mut seen) = (None, Seen::default());
    while !shutdown.is_set() {
        let (path, last) = (config.path.clone(), shape);
        let read = tokio::task::spawn_blocking(move || read(&path, last)).await;
        match read.map_err(|error| SourceError(format!("reading the status file broke off: {error}")))? {
            Ok(None) => {}
            Ok(Some((now, bytes))) => {
                if intake.is_over(&place) {
                    tracing::info!(source = %intake.context.name, file = place, "can be read again");
                }
                let (batches, bad) = batches(&bytes, &config, &mut seen, &intake);
                if bad > 0 && intake.may_say("blocks") {
                    tracing::warn!(source = %intake.context.name, file = place, blocks = bad, "blocks that can not be used");
                }
                for batch in batches {
                    if intake.submit(batch).await.is_err() {
                        shutdown.wait().await;
                        return Ok(());
                    }
                }
                shape = Some(now);
            }
            Err(error) => {
                intake.context.metrics.counter(&ERRORS, &[&intake.context.name]).inc();
                if intake.may_say(&place) {
                    let hint = "is Nagios running, and may the user that runs watchbell read it?";
                    tracing::warn!(source = %intake.context.name, file = place, %error, hint, "can not be read");
                }
            }
        }
        shutdown.sleep(config.interval.0).await;
    }
    Ok(())
}

/// Inode, size and time of change.
type Shape = (u64, u64, i64, i64);

/// The file, unless it is as it was. Blocks.
fn read(path: &Path, last: Option<Shape>) -> io::Result<Option<(Shape, Vec<u8>)>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let file = File::open(path)?;
    let about = file.metadata()?;
    let shape = (about.ino(), about.size(), about.mtime(), about.mtime_nsec());
    if last == Some(shape) {
        return Ok(None);
    }
    if about.size() > MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {} MiB", MAX_BYTES >> 20)));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(Some((shape, bytes)))
}

/// What was last seen of each host and service: when its check ran, and what people set.
type Seen = HashMap<(Box<[u8]>, Box<[u8]>), (i64, Marks)>;
type Marks = (bool, u32, bool);

/// What is new in the file.
fn batches(bytes: &[u8], config: &StatusConfig, seen: &mut Seen, intake: &Intake) -> (Vec<RawBatch>, usize) {
    let (mut blocks, mut batches, mut batch) = (Vec::new(), Vec::new(), RawBatch::default());
    let (created, bad) = blocks::read(bytes, |block| blocks.push(block));
    let now_s = created.unwrap_or_else(|| intake.context.clock.now_ms().div_euclid(1_000));
    let before = std::mem::take(seen);
    for block in blocks {
        if !block.checked || block.last_check_s <= 0 || is_own(&block) {
            continue;
        }
        let key = (Box::from(block.host), Box::from(block.service));
        let marks = (block.acknowledged, block.downtime, block.flapping);
        let last = before.get(&key).copied();
        seen.insert(key, (block.last_check_s, marks));
        let ran = last.is_none_or(|(at, _)| block.last_check_s > at);
        if ran {
            check(&block, config, &mut batch);
            if config.perfdata {
                let (ts_ms, command) = (block.last_check_s * 1_000, block.command);
                let origin = Origin { ts_ms, host: block.host, service: block.service, command };
                intake.write_perfdata(origin, block.perfdata, &mut batch);
            }
        }
        if ran || last.is_none_or(|(_, known)| known != marks) {
            mark(&block, config, now_s, &mut batch);
        }
        if batch.series.len() >= MAX_SERIES {
            batches.push(std::mem::take(&mut batch));
        }
    }
    if !batch.series.is_empty() {
        batches.push(batch);
    }
    (batches, bad)
}

/// Whether it is a service that Watchbell itself reports to.
fn is_own(block: &Block<'_>) -> bool {
    block.perfdata.windows(OWN.len()).any(|part| part == OWN.as_bytes())
}

fn check(block: &Block<'_>, config: &StatusConfig, batch: &mut RawBatch) {
    let name = if block.service.is_empty() { "nagios_host_state" } else { "nagios_service_state" };
    let ts_s = block.last_check_s;
    push(name, f64::from(block.state), block, config, ts_s, batch);
    for (name, value) in
        [("nagios_check_execution_seconds", block.execution_s), ("nagios_check_latency_seconds", block.latency_s)]
    {
        if let Some(value) = value {
            push(name, value, block, config, ts_s, batch);
        }
    }
}

fn mark(block: &Block<'_>, config: &StatusConfig, ts_s: i64, batch: &mut RawBatch) {
    let of_host = block.service.is_empty();
    for (host, service, value) in [
        ("nagios_host_acknowledged", "nagios_service_acknowledged", u32::from(block.acknowledged)),
        ("nagios_host_downtime", "nagios_service_downtime", block.downtime),
        ("nagios_host_flapping", "nagios_service_flapping", u32::from(block.flapping)),
    ] {
        push(if of_host { host } else { service }, f64::from(value), block, config, ts_s, batch);
    }
}

fn push(name: &str, value: f64, block: &Block<'_>, config: &StatusConfig, ts_s: i64, batch: &mut RawBatch) {
    let (host, service) = (text(block.host), text(block.service));
    let own = [(NAME, name), ("host", &host), ("service", &service)];
    let labels = config.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    // Names are checked and differ; a text that is too long for a label can not be kept.
    if let Ok(labels) = Labels::series(own.into_iter().chain(labels)) {
        batch.push(&labels, MetricKind::Gauge, &[RawSample { ts_ms: ts_s * 1_000, value }]);
    }
}
