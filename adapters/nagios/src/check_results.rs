//! Sink `nagios_check_results`: passive results as files in Nagios's check-result spool.
//!
//! All results of a round are one file `cXXXXXX`, written under another name, renamed, and announced by an empty
//! `cXXXXXX.ok` last, as Nagios's own plugins do. Nagios removes both. Needs no external commands and works for
//! ten thousand hosts at once; while Nagios is down no more than a few files wait.

use std::collections::VecDeque;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_adapter_api::{
    BoxFuture, MetricDef, Prepared, Problems, ScoreSink, SinkConfig, SinkContext, SourceError,
};

use watchbell_checks::passive::{self, PassiveResult, Plan, ResultsConfig, Sent, Way};

/// Longest output of one result, in bytes.
const OUTPUT: usize = 4_096;
/// Files of ours that may wait to be picked up.
const WAITING: usize = 10;

/// Settings of the sink.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckResultsConfig {
    /// The `check_result_path` of nagios.cfg, on Debian `/var/lib/nagios4/spool/checkresults`. The user that runs
    /// watchbell needs the right to write, and Nagios's user to read what it wrote.
    #[schemars(extend("format" = "path"))]
    pub path: PathBuf,
    /// What becomes a result, and in which state.
    #[serde(default)]
    pub results: ResultsConfig,
}

impl SinkConfig for CheckResultsConfig {
    const KIND: &'static str = "nagios_check_results";
    const SUMMARY: &'static str = "Writes a passive check result for each host into Nagios's check-result spool.";
    const METRICS: &'static [MetricDef] = passive::METRICS;

    fn prepare(self, problems: &mut Problems) -> Option<Prepared> {
        let before = problems.len();
        if self.path.as_os_str().is_empty() {
            problems.hint("path", "no folder is named", "write the `check_result_path` of nagios.cfg");
        }
        let plan = self.results.check(problems)?;
        (problems.len() == before).then(|| Prepared::Scores(Box::new(CheckResults { path: self.path, plan })))
    }
}

struct CheckResults {
    path: PathBuf,
    plan: Plan,
}

impl ScoreSink for CheckResults {
    fn warnings(&self) -> Problems {
        let mut problems = Problems::default();
        problems.absent("path", &self.path, "is it the `check_result_path` of nagios.cfg?");
        problems
    }

    fn run(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(passive::run(self.plan, Spool::new(self.path), context))
    }
}

struct Spool {
    folder: PathBuf,
    /// Number of the next file.
    next: u64,
    /// What was written and not seen to be gone.
    waiting: VecDeque<PathBuf>,
}

impl Spool {
    fn new(folder: PathBuf) -> Self {
        Self { folder, next: 0, waiting: VecDeque::new() }
    }
}

impl Way for Spool {
    fn send<'a>(&'a mut self, results: &'a [PassiveResult]) -> BoxFuture<'a, Sent> {
        Box::pin(async move {
            let (text, time_s) = (records(results), results.first().map_or(0, |result| result.time_s));
            let mut spool =
                Self { folder: self.folder.clone(), next: self.next, waiting: std::mem::take(&mut self.waiting) };
            let written = tokio::task::spawn_blocking(move || {
                let written = spool.write(&text, time_s);
                (spool, written)
            });
            let folder = self.folder.display().to_string();
            match written.await {
                Ok((spool, written)) => {
                    *self = spool;
                    match written {
                        Ok(()) => Sent::all(results),
                        Err(error) => Sent::failed(0, format!("`{folder}`: {error}")),
                    }
                }
                Err(error) => Sent::failed(0, format!("`{folder}`: writing broke off: {error}")),
            }
        })
    }
}

impl Spool {
    /// Writes one file. Blocks.
    fn write(&mut self, text: &str, time_s: i64) -> io::Result<()> {
        self.waiting.retain(|path| path.exists());
        if self.waiting.len() >= WAITING {
            let message =
                "Nagios does not pick up what was written; is it down, or is this not its `check_result_path`?";
            return Err(io::Error::other(message));
        }
        let path = loop {
            let path = self.folder.join(name(time_s, self.next));
            self.next += 1;
            if !path.exists() {
                break path;
            }
        };
        let hidden = self.folder.join(format!(".watchbell-{}", path.file_name().unwrap_or_default().display()));
        let written = Self::whole(&hidden, text).and_then(|()| fs::rename(&hidden, &path));
        if let Err(error) = written {
            // What is left of it is of no use; that it is gone is all that matters.
            let _ = fs::remove_file(&hidden);
            return Err(error);
        }
        self.waiting.push_back(path.clone());
        File::create(path.with_extension("ok")).map(drop)
    }

    fn whole(path: &Path, text: &str) -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }
}

/// `c` and six letters or digits: exactly seven characters, or Nagios leaves the file alone.
fn name(time_s: i64, number: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut rest = (time_s as u64).wrapping_mul(7_919).wrapping_add(number);
    let mut name = "c".to_owned();
    for _ in 0..6 {
        name.push(char::from(DIGITS[(rest % 36) as usize]));
        rest /= 36;
    }
    name
}

fn records(results: &[PassiveResult]) -> String {
    let time_s = results.first().map_or(0, |result| result.time_s);
    let mut out = format!("### Passive check results of Watchbell ###\nfile_time={time_s}\n\n");
    for result in results {
        let PassiveResult { host, service, state, time_s, .. } = result;
        // Writing to a String can not fail.
        let _ = write!(
            out,
            "host_name={host}\nservice_description={service}\ncheck_type=1\ncheck_options=0\nscheduled_check=0\n\
             reschedule_check=0\nlatency=0.0\nstart_time={time_s}.0\nfinish_time={time_s}.0\nearly_timeout=0\n\
             exited_ok=1\nreturn_code={}\noutput={}\n\n",
            *state as u8,
            result.output(OUTPUT)
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchbell_checks::testing::result;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("readable");
        let mut names: Vec<_> = entries.map(|e| e.expect("entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn one_file_and_its_mark() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = Spool::new(folder.path().to_owned());
        let sent = spool.send(&[result("web-1", 1, "WARNING - x"), result("web-2", 0, "OK - y")]).await;
        assert_eq!(sent, Sent { taken: 2, error: None });
        let names = names(folder.path());
        assert_eq!(names.len(), 2);
        assert!(
            names[0].len() == 7 && names[0].starts_with('c') && names[1] == format!("{}.ok", names[0]),
            "{names:?}"
        );
        let text = fs::read_to_string(folder.path().join(&names[0])).expect("readable");
        assert!(
            text.starts_with("### Passive check results of Watchbell ###\nfile_time=7\n\nhost_name=web-1\n"),
            "{text}"
        );
        assert!(text.contains("\nreturn_code=1\noutput=WARNING - x|watchbell_score=1\n\nhost_name=web-2\n"), "{text}");
        assert!(text.ends_with("\nreturn_code=0\noutput=OK - y|watchbell_score=1\n\n"), "{text}");
    }

    #[tokio::test]
    async fn only_a_few_files_wait() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = Spool::new(folder.path().to_owned());
        let results = [result("web-1", 0, "x")];
        for _ in 0..WAITING {
            assert_eq!(spool.send(&results).await, Sent::all(&results));
        }
        let error = spool.send(&results).await.error.expect("an error");
        assert!(error.contains("does not pick up"), "{error}");
        assert_eq!(names(folder.path()).len(), 2 * WAITING);
        for name in names(folder.path()) {
            fs::remove_file(folder.path().join(name)).expect("removed");
        }
        assert_eq!(spool.send(&results).await, Sent::all(&results));
    }

    #[tokio::test]
    async fn a_missing_folder_is_named() {
        let error = Spool::new("/nonexistent/x".into()).send(&[result("a", 0, "x")]).await.error.expect("an error");
        assert!(error.starts_with("`/nonexistent/x`: "), "{error}");
    }
}
