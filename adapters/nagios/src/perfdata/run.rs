//! The loops of the source: one for each file, spool folder and pipe.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use watchbell_adapter_api::follow::{CHUNK, Follow, Found, Positions};
use watchbell_adapter_api::{BoxFuture, Shutdown, SourceContext, SourceError};
use watchbell_checks::feed::Writer;
use watchbell_checks::intake::{Intake, Stopped};

use super::lines::Lines;
use super::spool::Spool;
use super::{ERRORS, FILES, PerfdataConfig, pipe};

/// How long a pipe without a writer is left alone.
const NO_WRITER: Duration = Duration::from_millis(200);
/// How long after a pipe could not be opened it is tried again.
const REOPEN: Duration = Duration::from_secs(5);

/// What to do where there is no growing file.
pub(super) const NO_FILE: &str = "it is read as soon as it is there; is it the `service_perfdata_file` or `host_perfdata_file` of \
                                  nagios.cfg, and is `process_performance_data=1`?";
/// What to do where there is no spool folder.
pub(super) const NO_SPOOL: &str =
    "it is read as soon as it is there; is it the folder into which the processing command moves its files?";
/// What to do where there is no pipe.
pub(super) const NO_PIPE: &str =
    "it is made at a start; is it the `service_perfdata_file` or `host_perfdata_file` of nagios.cfg?";

pub(super) async fn run(config: PerfdataConfig, context: SourceContext) -> Result<(), SourceError> {
    let positions = {
        let folder = context.state.clone();
        blocking(move || Positions::open(folder.as_deref())).await?
    };
    let positions = Arc::new(positions);
    let lines = Lines::new(Intake::new(context, Writer::new(&config.labels)));
    let interval = config.interval.0;
    let reader = || Reader { lines: lines.clone(), shutdown: lines.intake.context.shutdown.clone(), interval };
    let mut loops: Vec<BoxFuture<'static, Result<Result<(), Stopped>, SourceError>>> = Vec::new();
    for path in config.files {
        loops.push(Box::pin(reader().follow(Follow::new(path, Arc::clone(&positions), config.from_start))));
    }
    for path in config.spools {
        loops.push(Box::pin(reader().spool(Spool::new(path, config.keep_spooled))));
    }
    for path in config.pipes {
        loops.push(Box::pin(reader().pipe(path)));
    }
    // A loop ends at the shutdown only, or by a panic in a thread of its own.
    let ended = try_join_all(loops).await?;
    if ended.iter().any(Result::is_err) {
        lines.intake.context.shutdown.clone().wait().await;
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SourceError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| SourceError(format!("reading performance data broke off: {error}")))
}

struct Reader {
    lines: Lines,
    shutdown: Shutdown,
    interval: Duration,
}

type Ended = Result<Result<(), Stopped>, SourceError>;

impl Reader {
    async fn follow(mut self, mut follow: Follow) -> Ended {
        let place = follow.path().display().to_string();
        let mut presence = Presence::default();
        while !self.shutdown.is_set() {
            let (back, found) = blocking(move || {
                let found = follow.look();
                (follow, found)
            })
            .await?;
            follow = back;
            let found = self.worked(&place, found);
            let seen = found.as_ref().and_then(|found| presence.note(*found != Found::Missing));
            let source = &self.lines.intake.context.name;
            match seen {
                Some(Change::Awaited) => {
                    self.lines.intake.failing(&place, "there is no such file");
                    tracing::warn!(%source, file = place, hint = NO_FILE, "there is no such file");
                }
                Some(Change::Came) => {
                    self.lines.intake.well(&place);
                    tracing::info!(%source, file = place, "the file is there now");
                }
                None => {}
            }
            let more = match found {
                Some(Found::Lines { from, bytes }) => {
                    let end = from + bytes.len() as u64;
                    if self.lines.take(&place, from, &bytes).await.is_err() {
                        return Ok(Err(Stopped));
                    }
                    let (back, kept) = blocking(move || {
                        let kept = follow.taken(end);
                        (follow, kept)
                    })
                    .await?;
                    follow = back;
                    self.kept(kept);
                    // The rest of a file that has grown by more than a chunk is not waited for.
                    bytes.len() > CHUNK / 2
                }
                Some(Found::Rotated { lost }) => {
                    self.event("rotated");
                    if lost > 0 {
                        self.lines.bad(&place, 0, b"", "cut_off");
                    }
                    true
                }
                Some(Found::Truncated) => {
                    self.event("truncated");
                    tracing::info!(source = %self.lines.intake.context.name, file = place, "truncated; reading from its beginning");
                    true
                }
                Some(Found::LongLine { at }) => {
                    self.lines.bad(&place, at, b"", "too_long");
                    true
                }
                Some(Found::Missing | Found::Nothing) | None => false,
            };
            if !more && !self.shutdown.sleep(self.interval).await {
                break;
            }
        }
        Ok(Ok(()))
    }

    async fn spool(mut self, mut spool: Spool) -> Ended {
        let place = spool.path().display().to_string();
        while !self.shutdown.is_set() {
            let (back, ready) = blocking(move || {
                let ready = spool.look();
                (spool, ready)
            })
            .await?;
            spool = back;
            for path in self.worked(&place, ready).unwrap_or_default() {
                if self.shutdown.is_set() {
                    return Ok(Ok(()));
                }
                let Some(taken) = self.whole_file(path.clone()).await? else { continue };
                if taken.is_err() {
                    return Ok(Err(Stopped));
                }
                self.event("spooled");
                let (back, removed) = blocking(move || {
                    let removed = spool.read(&path);
                    (spool, removed.map_err(|error| named(&path, error)))
                })
                .await?;
                spool = back;
                self.worked("removing files of the spool", removed);
            }
            if !self.shutdown.sleep(self.interval).await {
                break;
            }
        }
        Ok(Ok(()))
    }

    /// Reads a file of a spool, which is whole; `None` if it can not be read.
    async fn whole_file(&self, path: PathBuf) -> Result<Option<Result<(), Stopped>>, SourceError> {
        let place = path.display().to_string();
        // No position is kept: a file that was read in part is read again, which changes nothing.
        let mut follow = Follow::new(path, Arc::new(Positions::open(None)), true);
        loop {
            let (back, found) = blocking(move || {
                let found = follow.look();
                (follow, found)
            })
            .await?;
            follow = back;
            match self.worked(&place, found) {
                Some(Found::Lines { from, bytes }) => {
                    if self.lines.take(&place, from, &bytes).await.is_err() {
                        return Ok(Some(Err(Stopped)));
                    }
                    // Positions that are kept nowhere can not fail to be kept.
                    let _ = follow.taken(from + bytes.len() as u64);
                }
                Some(Found::LongLine { at }) => self.lines.bad(&place, at, b"", "too_long"),
                Some(Found::Nothing | Found::Rotated { .. } | Found::Truncated) => return Ok(Some(Ok(()))),
                Some(Found::Missing) | None => return Ok(None),
            }
        }
    }

    async fn pipe(mut self, path: PathBuf) -> Ended {
        let place = path.display().to_string();
        let (mut buffer, mut at) = (vec![0; 64 * 1024], 0);
        while !self.shutdown.is_set() {
            if path.try_exists().is_ok_and(|there| !there) {
                let source = &self.lines.intake.context.name;
                tracing::info!(%source, file = place, "there is no such pipe; it is made. Nagios must write to this path");
            }
            let Some(receiver) = self.worked(&place, pipe::open(&path)) else {
                self.shutdown.sleep(REOPEN).await;
                continue;
            };
            let mut pieces = pipe::Lines::default();
            loop {
                let ready = tokio::select! {
                    ready = receiver.readable() => ready,
                    () = self.shutdown.wait() => return Ok(Ok(())),
                };
                match ready.and_then(|()| receiver.try_read(&mut buffer)) {
                    Ok(0) => {
                        if !self.shutdown.sleep(NO_WRITER).await {
                            return Ok(Ok(()));
                        }
                        if !is_same(&path).await {
                            break;
                        }
                    }
                    Ok(n) => {
                        let (whole, too_long) = pieces.add(&buffer[..n]);
                        if too_long {
                            self.lines.bad(&place, at, b"", "too_long");
                        }
                        if self.lines.take(&place, at, &whole).await.is_err() {
                            return Ok(Err(Stopped));
                        }
                        at += n as u64;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => {
                        self.worked::<()>(&place, Err(error));
                        break;
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    /// The value of `result`; an error is counted, and said when it begins and when it ends.
    fn worked<T>(&self, place: &str, result: io::Result<T>) -> Option<T> {
        let source = &self.lines.intake.context.name;
        match result {
            Ok(value) => {
                if self.lines.intake.is_over(place) {
                    self.lines.intake.well(place);
                    tracing::info!(%source, file = place, "can be read again");
                }
                Some(value)
            }
            Err(error) => {
                self.lines.intake.context.metrics.counter(&ERRORS, &[source]).inc();
                self.lines.intake.failing(place, &error);
                if self.lines.intake.may_say(place) {
                    let hint = match error.kind() {
                        io::ErrorKind::NotFound => "it is looked for again and again; is the path that of nagios.cfg?",
                        _ => "the user that runs watchbell needs the right to read it (and to remove files of a spool)",
                    };
                    tracing::warn!(%source, file = place, %error, hint, "can not be read");
                }
                None
            }
        }
    }

    fn kept(&self, kept: io::Result<()>) {
        if let Err(error) = kept {
            self.lines.intake.context.metrics.counter(&ERRORS, &[&self.lines.intake.context.name]).inc();
            if self.lines.intake.may_say("position") {
                tracing::warn!(source = %self.lines.intake.context.name, %error, "can not keep positions in the data folder");
            }
        }
    }

    fn event(&self, event: &str) {
        self.lines.intake.context.metrics.counter(&FILES, &[&self.lines.intake.context.name, event]).inc();
    }
}

/// Whether a file was there at the first look. That it is away later on is a rotation, of which nothing is said.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Presence {
    #[default]
    NotLooked,
    Awaited,
    Seen,
}

/// What is said of a file.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    /// It is not there at the first look.
    Awaited,
    /// It is there now, after it was not at the first look.
    Came,
}

impl Presence {
    /// Notes a look.
    fn note(&mut self, there: bool) -> Option<Change> {
        let change = match (*self, there) {
            (Self::NotLooked, false) => Some(Change::Awaited),
            (Self::Awaited, true) => Some(Change::Came),
            _ => None,
        };
        if there {
            *self = Self::Seen;
        } else if *self == Self::NotLooked {
            *self = Self::Awaited;
        }
        change
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

/// Whether there is still a pipe under this name: someone may have made it anew.
async fn is_same(path: &Path) -> bool {
    tokio::fs::try_exists(path).await.unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_at_the_first_look_is_said_once_and_a_rotation_never() {
        let said = |looks: &[bool]| {
            let mut presence = Presence::default();
            looks.iter().filter_map(|there| presence.note(*there)).collect::<Vec<_>>()
        };
        assert_eq!(said(&[false, false, true, false, true]), [Change::Awaited, Change::Came]);
        assert_eq!(said(&[true, false, true]), []);
    }
}
