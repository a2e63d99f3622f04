//! Sink `nagios_command_file`: passive results into Nagios's external command pipe.
//!
//! Each result is one line in one write of at most 4,096 bytes, which the kernel does whole or not at all. The
//! pipe is opened without waiting: with no Nagios behind it, or when it is full, what is left is tried again with
//! the next round. Nagios answers nothing; what it refuses stands in its own log.

use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::unix::pipe;
use watchbell_adapter_api::{
    BoxFuture, MetricDef, Prepared, Problems, ScoreSink, SinkConfig, SinkContext, SourceError,
};

use watchbell_checks::passive::{self, PassiveResult, Plan, ResultsConfig, Sent, Way};

/// Bytes that are written to a pipe at once or not at all (`PIPE_BUF`).
const LINE: usize = 4_096;
/// What to look at where there is no pipe.
const HINT: &str = "is it the `command_file` of nagios.cfg, is Nagios running, and is `check_external_commands=1`?";
/// How long a full pipe is waited for.
const FULL: Duration = Duration::from_secs(2);

/// Settings of the sink.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandFileConfig {
    /// The `command_file` of nagios.cfg, on Debian `/var/lib/nagios4/rw/nagios.cmd`. It needs
    /// `check_external_commands=1`, and the right to write for the user that runs watchbell.
    #[schemars(extend("format" = "path"))]
    pub path: PathBuf,
    /// What becomes a result, and in which state.
    #[serde(default)]
    pub results: ResultsConfig,
}

impl SinkConfig for CommandFileConfig {
    const KIND: &'static str = "nagios_command_file";
    const SUMMARY: &'static str = "Sends a passive check result for each host through Nagios's external command pipe.";
    const METRICS: &'static [MetricDef] = passive::METRICS;

    fn prepare(self, problems: &mut Problems) -> Option<Prepared> {
        let before = problems.len();
        if self.path.as_os_str().is_empty() {
            problems.hint("path", "no pipe is named", "write the `command_file` of nagios.cfg");
        }
        let plan = self.results.check(problems)?;
        (problems.len() == before).then(|| Prepared::Scores(Box::new(CommandFile { path: self.path, plan })))
    }
}

struct CommandFile {
    path: PathBuf,
    plan: Plan,
}

impl ScoreSink for CommandFile {
    fn warnings(&self) -> Problems {
        let mut problems = Problems::default();
        problems.absent("path", &self.path, HINT);
        problems
    }

    fn run(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(async move {
            let mut pipe = Pipe { path: self.path, awaited: None };
            // The first result may be long in coming.
            if let Err(error) = pipe.open() {
                let file = pipe.path.display();
                tracing::warn!(sink = %context.name, %file, %error, hint = HINT, "no results can be handed on yet");
                pipe.awaited = Some(context.name.clone());
            }
            passive::run(self.plan, pipe, context).await
        })
    }
}

struct Pipe {
    path: PathBuf,
    /// The sink, where it was told at the start that the pipe can not be used.
    awaited: Option<Arc<str>>,
}

impl Way for Pipe {
    fn send<'a>(&'a mut self, results: &'a [PassiveResult]) -> BoxFuture<'a, Sent> {
        Box::pin(async move {
            let mut taken = 0;
            match self.write(results, &mut taken).await {
                Ok(()) => {
                    if let Some(sink) = self.awaited.take() {
                        tracing::info!(%sink, file = %self.path.display(), "the pipe can be used now");
                    }
                    Sent::all(results)
                }
                Err(error) => Sent::failed(taken, format!("`{}`: {error}", self.path.display())),
            }
        })
    }
}

impl Pipe {
    async fn write(&self, results: &[PassiveResult], taken: &mut usize) -> io::Result<()> {
        let pipe = self.open()?;
        for result in results {
            let line = line(result);
            loop {
                match pipe.try_write(line.as_bytes()) {
                    Ok(n) if n == line.len() => break,
                    // Not what a pipe does with so few bytes.
                    Ok(_) => return Err(io::Error::other("a line was written in part")),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        let room = tokio::time::timeout(FULL, pipe.writable()).await;
                        room.map_err(|_| io::Error::other("the pipe is full; does Nagios read it?"))??;
                    }
                    Err(error) => return Err(error),
                }
            }
            *taken += 1;
        }
        Ok(())
    }

    fn open(&self) -> io::Result<pipe::Sender> {
        let about = std::fs::metadata(&self.path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                io::Error::other("there is no pipe; is Nagios down, or `check_external_commands=0`?")
            }
            _ => error,
        })?;
        if !about.file_type().is_fifo() {
            return Err(io::Error::other("it is no pipe; write the `command_file` of nagios.cfg"));
        }
        pipe::OpenOptions::new().open_sender(&self.path).map_err(|error| match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => {
                io::Error::other("nobody reads the pipe; is Nagios down?")
            }
            _ => error,
        })
    }
}

fn line(result: &PassiveResult) -> String {
    let head = format!(
        "[{}] PROCESS_SERVICE_CHECK_RESULT;{};{};{};",
        result.time_s, result.host, result.service, result.state as u8
    );
    let output = result.output(LINE.saturating_sub(head.len() + 1));
    head + &output + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use watchbell_checks::testing::result;

    fn fifo() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nagios.cmd");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).expect("made");
        (folder, path)
    }

    #[tokio::test]
    async fn lines_as_nagios_wants_them() {
        let (_folder, path) = fifo();
        let reader = pipe::OpenOptions::new().open_receiver(&path).expect("opened");
        let sent = Pipe { path: path.clone(), awaited: None }.send(&[result("web-1", 1, "WARNING - x")]).await;
        assert_eq!(sent, Sent { taken: 1, error: None });
        let mut bytes = [0; 200];
        reader.readable().await.expect("readable");
        let n = reader.try_read(&mut bytes).expect("read");
        assert_eq!(
            String::from_utf8_lossy(&bytes[..n]),
            "[7] PROCESS_SERVICE_CHECK_RESULT;web-1;Anomaly;1;WARNING - x|watchbell_score=1\n"
        );
        let long = line(&result("web-1", 1, &"ä".repeat(5_000)));
        assert!((4_090..=LINE).contains(&long.len()) && long.ends_with("|watchbell_score=1\n"), "{}", long.len());
    }

    #[tokio::test]
    async fn nobody_reads() {
        let (folder, path) = fifo();
        let mut pipe = Pipe { path, awaited: None };
        let error = pipe.send(&[result("a", 0, "x")]).await.error.expect("an error");
        assert!(error.contains("nobody reads"), "{error}");
        for (name, wanted) in [("none", "there is no pipe"), ("file", "it is no pipe")] {
            let path = folder.path().join(name);
            if name == "file" {
                std::fs::write(&path, "").expect("written");
            }
            let error =
                Pipe { path: path.clone(), awaited: None }.send(&[result("a", 0, "x")]).await.error.expect("an error");
            assert!(error.contains(wanted) && error.contains(&path.display().to_string()), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_pipe_is_left_and_no_line_is_torn() {
        let (_folder, path) = fifo();
        let reader = pipe::OpenOptions::new().open_receiver(&path).expect("opened");
        let results: Vec<_> = (0..200).map(|_| result("web-1", 1, &"x".repeat(1_000))).collect();
        let sent = Pipe { path, awaited: None }.send(&results).await;
        assert!(sent.taken > 10 && sent.taken < 200, "{sent:?}");
        assert!(sent.error.expect("an error").contains("full"));
        let mut text = String::new();
        reader.into_blocking_fd().map(std::fs::File::from).expect("a file").read_to_string(&mut text).expect("read");
        assert_eq!(text.lines().count(), sent.taken);
        assert!(text.ends_with("watchbell_score=1\n"));
    }
}
