//! Source `nagios_perfdata`: the performance data that Nagios, Naemon and Icinga 2 write for graphing tools.
//!
//! Reads growing files, spool folders and named pipes, each in a loop of its own. A file's position is moved
//! when its lines were judged, and kept over restarts. Lines of long ago are learned from without alerts. Never
//! waits for a writer, and never holds one up.

pub(crate) mod line;
mod lines;
mod pipe;
mod run;
mod spool;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{
    BoxFuture, MetricDef, MetricKindDef, Problems, Resource, Source, SourceConfig, SourceContext, SourceError, Span,
};
use watchbell_series::{KnownLimit, RawBatch};

use watchbell_checks::feed::{Writer, check_labels};
use watchbell_checks::intake::{BAD_TOKENS, LAG, VALUES};
use watchbell_checks::limits::Limits;

use self::line::Line;
use self::lines::{BAD_LINES, LINES};

const FILES: MetricDef = MetricDef {
    name: "watchbell_nagios_files_total",
    kind: MetricKindDef::Counter,
    help: "What happened to files of performance data: rotated, truncated, or (of a spool) read whole.",
    labels: &["source", "event"],
};
pub(crate) const ERRORS: MetricDef = MetricDef {
    name: "watchbell_nagios_read_errors_total",
    kind: MetricKindDef::Counter,
    help: "Failed attempts to read or remove a file of Nagios, or to keep the position in it.",
    labels: &["source"],
};

/// Performance data as Nagios, Naemon and Icinga 2 write it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PerfdataConfig {
    /// Growing files (`service_perfdata_file`, `host_perfdata_file`): followed through rotation and truncation.
    #[schemars(extend("items" = {"type": "string", "format": "path"}))]
    pub files: Vec<PathBuf>,
    /// Spool folders into which whole files are moved: those of NPCD and of Icinga 2's PerfdataWriter.
    #[schemars(extend("items" = {"type": "string", "format": "path"}))]
    pub spools: Vec<PathBuf>,
    /// Named pipes (mode `p`); made where there are none.
    #[schemars(extend("items" = {"type": "string", "format": "path"}))]
    pub pipes: Vec<PathBuf>,
    /// How often files and folders are looked at, at least 100ms.
    pub interval: Span,
    /// Whether a file that was never seen is read from its beginning. What is old in it is learned from.
    pub from_start: bool,
    /// Whether files of a spool stay when they were read, for another reader. They are read again after a restart,
    /// which changes nothing.
    pub keep_spooled: bool,
    /// Further labels of all series, for example `{site: berlin}` where there are several Nagios servers.
    pub labels: BTreeMap<String, String>,
}

impl Default for PerfdataConfig {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            spools: Vec::new(),
            pipes: Vec::new(),
            interval: Span::seconds(1),
            from_start: true,
            keep_spooled: false,
            labels: BTreeMap::new(),
        }
    }
}

impl SourceConfig for PerfdataConfig {
    const KIND: &'static str = "nagios_perfdata";
    const SUMMARY: &'static str =
        "Performance data that Nagios, Naemon or Icinga 2 write: files, spool folders, pipes.";
    const METRICS: &'static [MetricDef] = &[LINES, BAD_LINES, VALUES, BAD_TOKENS, LAG, FILES, ERRORS];

    fn prepare(self, problems: &mut Problems) -> Option<Box<dyn Source>> {
        let before = problems.len();
        if self.files.is_empty() && self.spools.is_empty() && self.pipes.is_empty() {
            let hint = "name the `service_perfdata_file` of nagios.cfg under `files`, or a folder under `spools`";
            problems.hint("", "nothing to read: `files`, `spools` and `pipes` are empty", hint);
        }
        let mut seen = BTreeSet::new();
        for (key, paths) in [("files", &self.files), ("spools", &self.spools), ("pipes", &self.pipes)] {
            for (i, path) in paths.iter().enumerate() {
                if path.as_os_str().is_empty() {
                    problems.add(format!("{key}[{i}]"), "the path is empty");
                } else if !seen.insert(path) {
                    problems.add(format!("{key}[{i}]"), format!("`{}` stands twice", path.display()));
                }
            }
        }
        if self.interval.0 < Duration::from_millis(100) {
            problems.hint(
                "interval",
                format!("`{}` is too short", self.interval),
                "use at least `100ms`; `1s` is usual",
            );
        }
        check_labels(&self.labels, problems);
        (problems.len() == before).then(|| Box::new(Perfdata { config: self }) as Box<dyn Source>)
    }
}

/// Lines of performance data to a batch, without counting and logging: for measuring and fuzzing.
#[derive(Debug)]
pub struct LineReader {
    writer: Writer,
    limits: Limits,
}

impl Default for LineReader {
    fn default() -> Self {
        Self { writer: Writer::new(&BTreeMap::new()), limits: Limits::default() }
    }
}

impl LineReader {
    /// Appends the values of whole `lines` to `batch`. Gives the number of values, and of lines and tokens that
    /// are bad.
    pub fn read(&mut self, lines: &[u8], batch: &mut RawBatch) -> (usize, usize) {
        let (mut values, mut bad) = (0, 0);
        for line in lines.split(|b| *b == b'\n').filter_map(Line::read) {
            match line {
                Ok(line) => {
                    let limits = Some(&mut self.limits);
                    values += self.writer.write(line.origin(), line.perfdata, batch, limits, |_, _, _| bad += 1);
                }
                Err(_) => bad += 1,
            }
        }
        (values, bad)
    }

    /// The limits of all that was read, if they changed since they were last asked for.
    pub fn limits(&mut self, now_ms: i64) -> Option<Vec<KnownLimit>> {
        self.limits.changed(now_ms)
    }
}

struct Perfdata {
    config: PerfdataConfig,
}

impl Source for Perfdata {
    fn warnings(&self) -> Problems {
        let mut problems = Problems::default();
        for (key, paths, hint) in [
            ("files", &self.config.files, run::NO_FILE),
            ("spools", &self.config.spools, run::NO_SPOOL),
            ("pipes", &self.config.pipes, run::NO_PIPE),
        ] {
            for (i, path) in paths.iter().enumerate() {
                problems.absent(format!("{key}[{i}]"), path, hint);
            }
        }
        problems
    }

    fn resources(&self) -> Vec<Resource> {
        let config = &self.config;
        config.files.iter().chain(&config.spools).chain(&config.pipes).cloned().map(Resource::File).collect()
    }

    fn run(self: Box<Self>, context: SourceContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(run::run(self.config, context))
    }
}
