//! The loop over the files of the export, and over the list of items where the API is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watchbell_adapter_api::follow::{Follow, Found, Positions};
use watchbell_adapter_api::{IngestError, Shutdown, SourceError};

use super::intake::Intake;
use super::{ExportConfig, FILES, LINES};
use crate::api::Api;
use crate::select::discover;

/// How long after a failure the list of items is asked for again.
const AGAIN: Duration = Duration::from_secs(15);

/// It is time to stop.
struct Stopped;

pub(super) async fn run(api: Option<Api>, config: Arc<ExportConfig>, intake: Arc<Intake>) -> Result<(), SourceError> {
    let folder = intake.context.state.clone();
    let positions = Arc::new(blocking(move || Positions::open(folder.as_deref())).await?);
    let mut shutdown = intake.context.shutdown.clone();
    let mut files =
        Files { from_start: config.from_start, positions, follows: BTreeMap::new(), listed: BTreeSet::new() };
    let mut next_list = Instant::now();
    while !shutdown.is_set() {
        if let Some(api) = &api
            && Instant::now() >= next_list
        {
            let listed = tokio::select! {
                listed = discover(api, &config.select, &config.tags, &config.labels) => listed,
                () = shutdown.wait() => break,
            };
            next_list = Instant::now() + if listed.is_ok() { config.refresh.0 } else { AGAIN.min(config.refresh.0) };
            match listed {
                Ok(catalog) => {
                    intake.context.health.well("api");
                    intake.listed(catalog.items);
                    if api.is_skewed() && intake.may_say("skew") {
                        api.tell_skew(&intake.context.name);
                    }
                }
                Err(error) => {
                    intake.context.health.failing("api", &error, intake.context.clock.now_ms());
                    if intake.may_say("list") {
                        tracing::warn!(source = %intake.context.name, %error, "the list of items can not be read; it is tried again");
                    }
                }
            }
        }
        if intake.is_ready() {
            for folder in &config.folders {
                if files.read(folder, &intake, &mut shutdown).await?.is_err() {
                    shutdown.wait().await;
                    return Ok(());
                }
            }
        }
        shutdown.sleep(config.interval.0).await;
    }
    if let Some(api) = api {
        // The server may be away as well.
        let _ = tokio::time::timeout(Duration::from_secs(2), api.log_out()).await;
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SourceError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| SourceError(format!("reading the export of Zabbix broke off: {error}")))
}

struct Files {
    from_start: bool,
    positions: Arc<Positions>,
    follows: BTreeMap<PathBuf, Follow>,
    /// Folders that were looked at: a file that appears in one from now on is new as a whole.
    listed: BTreeSet<PathBuf>,
}

impl Files {
    /// Reads what is new in the files of `folder`.
    async fn read(
        &mut self,
        folder: &Path,
        intake: &Intake,
        shutdown: &mut Shutdown,
    ) -> Result<Result<(), Stopped>, SourceError> {
        let place = folder.to_owned();
        let listed = blocking(move || list(&place)).await?;
        let paths = match listed {
            Ok(paths) => {
                intake.context.health.well(&folder.display().to_string());
                paths
            }
            Err(error) => {
                let now_ms = intake.context.clock.now_ms();
                intake.context.health.failing(&folder.display().to_string(), &error, now_ms);
                failed(intake, folder, &error);
                return Ok(Ok(()));
            }
        };
        let from_start = self.from_start || self.listed.contains(folder);
        for path in paths {
            let mut follow = match self.follows.remove(&path) {
                Some(follow) => follow,
                None => {
                    if let Some(mut old) = self.left_behind(&path) {
                        // What was not read of a file that was rotated while nobody followed it.
                        if self.drain(&mut old, intake, shutdown).await?.is_err() {
                            return Ok(Err(Stopped));
                        }
                    }
                    Follow::new(path.clone(), Arc::clone(&self.positions), from_start)
                }
            };
            let read = self.drain(&mut follow, intake, shutdown).await?;
            self.follows.insert(path, follow);
            if read.is_err() {
                return Ok(Err(Stopped));
            }
        }
        self.listed.insert(folder.to_owned());
        Ok(Ok(()))
    }

    /// The `.old` of `path`, if reading stopped in it.
    fn left_behind(&self, path: &Path) -> Option<Follow> {
        let known = self.positions.of(path)?;
        let old = PathBuf::from(format!("{}.old", path.display()));
        let about = std::fs::metadata(&old).ok()?;
        if (about.dev(), about.ino()) != (known.device, known.inode) {
            return None;
        }
        // Its position is kept under its own name from now on.
        self.positions.note(&old, known).ok()?;
        Some(Follow::new(old, Arc::clone(&self.positions), false))
    }

    /// Reads one file until there is nothing new.
    async fn drain(
        &self,
        follow: &mut Follow,
        intake: &Intake,
        shutdown: &mut Shutdown,
    ) -> Result<Result<(), Stopped>, SourceError> {
        let path = follow.path().to_owned();
        let place = path.display().to_string();
        let event = |event: &str| intake.context.metrics.counter(&FILES, &[&intake.context.name, event]).inc();
        let line = |kind: &str| intake.context.metrics.counter(&LINES, &[&intake.context.name, kind]).inc();
        loop {
            // A chunk of a file in the page cache: too short to be worth another thread.
            match follow.look() {
                Ok(Found::Lines { from, bytes }) => {
                    if judge(intake, shutdown, &place, &bytes).await.is_err() {
                        return Ok(Err(Stopped));
                    }
                    if let Err(error) = follow.taken(from + bytes.len() as u64) {
                        failed(intake, &path, &error);
                    }
                }
                Ok(Found::Rotated { lost }) => {
                    event("rotated");
                    if lost > 0 {
                        line("cut_off");
                    }
                }
                Ok(Found::Truncated) => {
                    event("truncated");
                    tracing::info!(source = %intake.context.name, file = place, "truncated; reading from its beginning");
                }
                Ok(Found::LongLine { .. }) => line("too_long"),
                Ok(Found::Nothing | Found::Missing) => return Ok(Ok(())),
                Err(error) => {
                    failed(intake, &path, &error);
                    return Ok(Ok(()));
                }
            }
        }
    }
}

/// Has lines judged, again and again while there is no room.
async fn judge(intake: &Intake, shutdown: &mut Shutdown, place: &str, bytes: &[u8]) -> Result<(), Stopped> {
    let batches = intake.read(place, bytes);
    loop {
        match intake.try_submit(batches.clone()).await {
            Ok(()) => return Ok(()),
            Err(IngestError::Busy { retry_after } | IngestError::Starting { retry_after }) => {
                if !shutdown.sleep(retry_after.max(Duration::from_millis(10))).await {
                    return Err(Stopped);
                }
            }
            Err(IngestError::Stopping) => return Err(Stopped),
        }
    }
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("history-") && name.ends_with(".ndjson") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn failed(intake: &Intake, path: &Path, error: &io::Error) {
    intake.context.metrics.counter(&FILES, &[&intake.context.name, "failed"]).inc();
    if intake.may_say(&path.display().to_string()) {
        let hint = "is it the `ExportDir` of zabbix_server.conf, and may the user that runs watchbell read it?";
        tracing::warn!(source = %intake.context.name, file = %path.display(), %error, hint, "can not be read");
    }
}
