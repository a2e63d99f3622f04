//! Source `nagios_status`: states, downtimes and acknowledgements from Nagios's status file, and performance data
//! where no file of them is written.
//!
//! The file is replaced as a whole every few seconds; it is read when it changed. A check gives samples when it
//! ran again, with the time at which it ran. Downtimes become quiet windows, hard problem states foreign problems. What
//! a check interval shorter than the file's own hides is not seen:
//! for that there is `nagios_perfdata`.

mod blocks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{BoxFuture, MetricDef, Problems, Source, SourceConfig, SourceContext, SourceError, Span};
use watchbell_checks::feed::{MAX_SERIES, Writer, check_labels};
use watchbell_checks::intake::{BAD_TOKENS, Intake, LAG, VALUES, aside};
use watchbell_checks::state::{States, Windows};
use watchbell_series::RawBatch;

use self::blocks::{Block, Kind};
use crate::perfdata::ERRORS;

/// What to look at where the file can not be read.
const HINT: &str =
    "is it the `status_file` of nagios.cfg, is Nagios running, and may the user that runs watchbell read it?";
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

/// Reads a status file and drops it: for fuzzing.
pub fn survive(bytes: &[u8]) {
    blocks::read(bytes, drop);
}

struct Status {
    config: StatusConfig,
}

impl Source for Status {
    fn warnings(&self) -> Problems {
        let mut problems = Problems::default();
        problems.absent("path", &self.config.path, HINT);
        problems
    }

    fn run(self: Box<Self>, context: SourceContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(run(self.config, context))
    }
}

async fn run(config: StatusConfig, context: SourceContext) -> Result<(), SourceError> {
    let mut shutdown = context.shutdown.clone();
    let intake = Intake::new(context, Writer::new(&config.labels));
    let place = config.path.display().to_string();
    let mut shape = None;
    let open = intake.context.context.open_problems();
    let states = States::new(config.labels.clone(), config.perfdata, open);
    let mut known = Known { states, windows: Windows::default() };
    while !shutdown.is_set() {
        let (path, last) = (config.path.clone(), shape);
        let read = tokio::task::spawn_blocking(move || read(&path, last)).await;
        match read.map_err(|error| SourceError(format!("reading the status file broke off: {error}")))? {
            Ok(None) => intake.well(&place),
            Ok(Some((now, bytes))) => {
                intake.well(&place);
                if intake.is_over(&place) {
                    tracing::info!(source = %intake.context.name, file = place, "can be read again");
                }
                let (labels, to) = (config.labels.clone(), intake.clone());
                let (back, batches, bad) = aside(bytes.len(), move || {
                    let (batches, bad) = known.batches(&bytes, &labels, &to);
                    (known, batches, bad)
                })
                .await;
                known = back;
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
                intake.failing(&place, &error);
                if intake.may_say(&place) {
                    tracing::warn!(source = %intake.context.name, file = place, %error, hint = HINT, "can not be read");
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

/// What was last seen.
struct Known {
    states: States,
    windows: Windows,
}

impl Known {
    /// What is new in the file, and how much of it is bad. Tells the context.
    fn batches(&mut self, bytes: &[u8], labels: &BTreeMap<String, String>, intake: &Intake) -> (Vec<RawBatch>, usize) {
        let (mut blocks, mut batches, mut batch) = (Vec::new(), Vec::new(), RawBatch::default());
        let about = blocks::read(bytes, |block| blocks.push(block));
        let context = &intake.context;
        let now_ms = about.created.map_or_else(|| context.clock.now_ms(), |s| s.saturating_mul(1_000));
        self.states.begin();
        for Block { kind, check, downtime } in blocks {
            match kind {
                Kind::State => self.states.note(&check, now_ms, intake, &mut batch),
                Kind::Downtime => self.windows.add(&downtime, labels),
            }
            if batch.series.len() >= MAX_SERIES {
                batches.push(std::mem::take(&mut batch));
            }
        }
        if !batch.series.is_empty() {
            batches.push(batch);
        }
        // What stands behind a torn end is not gone.
        if about.whole {
            self.states.end(now_ms);
            self.windows.tell(&*context.context);
        } else {
            self.windows.drop_list();
        }
        let problems = self.states.problems();
        if !problems.is_empty() {
            context.context.problems(problems);
        }
        (batches, about.bad)
    }
}
