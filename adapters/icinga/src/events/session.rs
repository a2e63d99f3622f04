//! One stream from its opening to its end, with what must be known over all of them.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use prometheus::Gauge;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;
use watchbell_adapter_api::{Clock, Shutdown};
use watchbell_checks::feed::{MAX_SERIES, text};
use watchbell_checks::intake::{Intake, MAX_ANSWER, aside};
use watchbell_checks::state::{States, Windows};
use watchbell_series::RawBatch;

use super::event::{Event, Ran, TYPES};
use super::lines::Lines;
use super::{CONNECTIONS, EVENTS, EventsConfig, READS};
use crate::objects::{self, About, CheckResult, Checkable, DowntimeAttrs, Results, Texts, path_of, state_of};
use crate::peer::{Answer, Peer};

/// Most bytes of an answer with one object.
const ONE: usize = 16 << 20;
/// How long hosts and services are gathered that must be read: a downtime of a group is an event for each of them.
const GATHER: Duration = Duration::from_millis(250);
/// Hosts or services asked for by one request: Icinga looks through the whole list for each that it has.
const AT_ONCE: usize = 200;

/// Why a stream ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The service goes down.
    Stopped,
    /// It broke off or did not open, and why.
    Lost(String),
}

impl From<String> for Ended {
    fn from(error: String) -> Self {
        Self::Lost(error)
    }
}

/// What is known of one Icinga.
pub(super) struct Session {
    config: EventsConfig,
    peer: Peer,
    intake: Intake,
    shutdown: Shutdown,
    states: States,
    windows: Windows,
    /// What the events do not tell of a host or service.
    known: HashMap<Name, Known>,
    /// What must be read, and when.
    asked: Asked,
}

/// Host, and service or nothing.
type Name = (String, String);

#[derive(Debug, Default)]
struct Asked {
    names: BTreeSet<Name>,
    downtimes: bool,
    at: Option<Instant>,
}

impl Asked {
    fn add(&mut self, host: String, service: String) {
        self.names.insert((host, service));
        self.at.get_or_insert_with(|| Instant::now() + GATHER);
    }

    /// Waits until it is time to read something.
    async fn due(at: Option<Instant>) {
        match at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

#[derive(Debug, Clone)]
struct Known {
    command: String,
    flapping: bool,
}

impl Session {
    pub(super) fn new(config: EventsConfig, peer: Peer, intake: Intake) -> Self {
        let shutdown = intake.context.shutdown.clone();
        let open = intake.context.context.open_problems();
        let states = States::new(config.labels.clone(), config.perfdata, open);
        let (windows, known, asked) = (Windows::default(), HashMap::new(), Asked::default());
        Self { config, peer, intake, shutdown, states, windows, known, asked }
    }

    /// Opens a stream and takes what comes until it ends.
    pub(super) async fn run(&mut self, connected: &Gauge) -> Ended {
        match self.follow(connected).await {
            Ok(()) => Ended::Stopped,
            Err(ended) => ended,
        }
    }

    async fn follow(&mut self, connected: &Gauge) -> Result<(), Ended> {
        let mut shutdown = self.shutdown.clone();
        let (peer, name) = (self.peer.clone(), self.intake.context.name.clone());
        let subscription = json!({"queue": self.config.queue, "types": TYPES});
        let mut stream = tokio::select! {
            stream = peer.stream("/v1/events", &subscription) => stream?,
            () = shutdown.wait() => return Ok(()),
        };
        // What happens while the objects are read waits in the stream.
        self.read_all().await?;
        connected.set(1.0);
        self.intake.context.metrics.counter(&CONNECTIONS, &[&name, "opened"]).inc();
        self.intake.well("stream");
        if self.intake.is_over("stream") {
            tracing::info!(source = %name, icinga = peer.url(), "events of Icinga come in again");
        }
        let (mut lines, mut refresh) = (Lines::default(), Instant::now() + self.config.refresh.0);
        let mut heard = Instant::now();
        loop {
            let chunk = tokio::select! {
                chunk = tokio::time::timeout_at(heard + self.config.silence.0, stream.chunk()) => chunk,
                () = tokio::time::sleep_until(refresh) => {
                    self.read_all().await?;
                    refresh = Instant::now() + self.config.refresh.0;
                    continue;
                }
                () = Asked::due(self.asked.at) => {
                    self.read_asked().await?;
                    continue;
                }
                () = shutdown.wait() => return Ok(()),
            };
            let Ok(chunk) = chunk else {
                return Err(format!("no event of Icinga at `{}` for {}", peer.url(), self.config.silence).into());
            };
            let Some(chunk) = chunk.map_err(|error| peer.lost(&error))? else {
                return Err(format!("Icinga at `{}` ended the stream", peer.url()).into());
            };
            heard = Instant::now();
            let mut events = Vec::new();
            lines.add(&chunk, |line| match line {
                Some(line) if line.trim_ascii().is_empty() => {}
                Some(line) => events.extend(self.read_event(line)),
                None => self.bad_event(b"", "longer than 4 MiB"),
            });
            self.take(events).await?;
        }
    }

    fn read_event(&self, line: &[u8]) -> Option<Event> {
        match Event::read(line) {
            Ok(event) => {
                self.intake.context.metrics.counter(&EVENTS, &[&self.intake.context.name, event.kind()]).inc();
                Some(event)
            }
            Err(why) => {
                self.bad_event(line, &why);
                None
            }
        }
    }

    fn bad_event(&self, line: &[u8], why: &str) {
        let name = &self.intake.context.name;
        self.intake.context.metrics.counter(&EVENTS, &[name, "bad"]).inc();
        if self.intake.may_say("event") {
            let line = text(&line[..line.len().min(160)]).into_owned();
            tracing::warn!(source = %name, icinga = self.peer.url(), line, why, "an event of Icinga can not be read; left out");
        }
    }

    /// Judges what the events say.
    async fn take(&mut self, events: Vec<Event>) -> Result<(), Ended> {
        let mut batch = RawBatch::default();
        for event in events {
            match event {
                Event::Result(ran) => {
                    let key = (ran.host.clone(), ran.service.clone());
                    match self.known.get(&key).cloned() {
                        Some(known) => self.ran(*ran, known, &mut batch),
                        None => self.asked.add(key.0, key.1),
                    }
                }
                Event::Changed { host, service, .. } => self.asked.add(host, service),
                Event::Downtime { host, service, .. } => {
                    self.asked.downtimes = true;
                    self.asked.add(host, service);
                }
            }
        }
        self.submit(batch).await
    }

    /// Reads what events said of without saying how it is now, and downtimes where they changed.
    async fn read_asked(&mut self) -> Result<(), Ended> {
        let Asked { names, downtimes, .. } = std::mem::take(&mut self.asked);
        let (hosts, services): (Vec<Name>, Vec<Name>) = names.into_iter().partition(|(_, service)| service.is_empty());
        let mut batch = RawBatch::default();
        for names in hosts.chunks(AT_ONCE).chain(services.chunks(AT_ONCE)) {
            match names {
                [(host, service)] => {
                    let answer = self.peer.get(&path_of(host, service), ONE).await?;
                    self.some(answer, &mut batch).await?;
                }
                names => {
                    let (path, query) = objects::query_of(names);
                    let answer = self.peer.query(path, &query, MAX_ANSWER).await?;
                    self.some(answer, &mut batch).await?;
                }
            }
        }
        if downtimes {
            self.read_downtimes().await?;
        }
        self.submit(batch).await
    }

    fn ran(&mut self, ran: Ran, known: Known, batch: &mut RawBatch) {
        let vars = ran.result.vars_after.as_ref();
        let about = About {
            state: state_of(ran.service.is_empty(), host_state(&ran), vars.and_then(|v| v.reachable).unwrap_or(true)),
            hard: vars.and_then(|vars| vars.state_type).is_none_or(|kind| kind >= 1.0),
            acknowledged: ran.acknowledged,
            downtime: ran.downtime,
            flapping: known.flapping,
            ..About::default()
        };
        self.note(&ran.host, &ran.service, &known.command, &ran.result, about, batch);
    }

    fn note(
        &mut self,
        host: &str,
        service: &str,
        command: &str,
        result: &CheckResult,
        about: About,
        batch: &mut RawBatch,
    ) {
        let now_ms = self.intake.context.clock.now_ms();
        if result.is_own() {
            return self.states.forget(host.as_bytes(), service.as_bytes(), now_ms);
        }
        let texts = Texts {
            host: host.to_owned(),
            service: service.to_owned(),
            command: command.to_owned(),
            perfdata: result.perfdata(),
            output: result.output(),
        };
        let check = result.check(&texts, about);
        self.states.note(&check, now_ms, &self.intake, batch);
    }

    fn object(&mut self, object: &Checkable, batch: &mut RawBatch) {
        let (host, service) = object.names();
        let Some((result, about)) = object.now() else { return };
        let command = object.check_command.clone().unwrap_or_default();
        let known = Known { command: command.clone(), flapping: about.flapping };
        self.known.insert((host.to_owned(), service.to_owned()), known);
        self.note(host, service, &command, result, about, batch);
    }

    /// Takes an answer with some hosts or services; those that are gone are no error.
    async fn some(&mut self, answer: Answer, batch: &mut RawBatch) -> Result<(), Ended> {
        if answer.status.as_u16() == 404 {
            return Ok(());
        }
        for object in &self.read::<Checkable>(answer).await?.results {
            self.object(&object.attrs, batch);
        }
        Ok(())
    }

    async fn read<T: DeserializeOwned + Send + 'static>(&self, answer: Answer) -> Result<Results<T>, Ended> {
        if !answer.status.is_success() {
            return Err(self.peer.refused(&answer).into());
        }
        Ok(aside(answer.body.len(), move || objects::parse(&answer.body)).await?)
    }

    /// Reads all hosts, services and downtimes as they are now.
    async fn read_all(&mut self) -> Result<(), Ended> {
        self.states.begin();
        self.known.clear();
        self.asked = Asked::default();
        for path in objects::paths() {
            let answer = self.peer.get(&path, MAX_ANSWER).await?;
            let all = self.read::<Checkable>(answer).await?;
            let mut batch = RawBatch::default();
            for object in &all.results {
                self.object(&object.attrs, &mut batch);
                if batch.series.len() >= MAX_SERIES {
                    self.submit(std::mem::take(&mut batch)).await?;
                }
            }
            self.submit(batch).await?;
        }
        let now_ms = self.intake.context.clock.now_ms();
        self.states.end(now_ms);
        self.tell_problems();
        self.read_downtimes().await?;
        self.intake.context.metrics.counter(&READS, &[&self.intake.context.name]).inc();
        Ok(())
    }

    async fn read_downtimes(&mut self) -> Result<(), Ended> {
        let answer = self.peer.get(objects::DOWNTIMES, MAX_ANSWER).await?;
        if matches!(answer.status.as_u16(), 403 | 404) {
            if self.intake.may_say("downtimes") {
                let error = self.peer.refused(&answer);
                tracing::warn!(source = %self.intake.context.name, error, "downtimes of Icinga are not known");
            }
            return Ok(());
        }
        for object in &self.read::<DowntimeAttrs>(answer).await?.results {
            self.windows.add(&object.attrs.downtime(), &self.config.labels);
        }
        self.windows.tell(&*self.intake.context.context);
        Ok(())
    }

    async fn submit(&mut self, batch: RawBatch) -> Result<(), Ended> {
        self.tell_problems();
        if batch.series.is_empty() {
            return Ok(());
        }
        self.intake.submit(batch).await.map_err(|_| Ended::Stopped)
    }

    fn tell_problems(&mut self) {
        let problems = self.states.problems();
        if !problems.is_empty() {
            self.intake.context.context.problems(problems);
        }
    }
}

/// The state in the words of Icinga's objects: a host's check that says WARNING found it up.
fn host_state(ran: &Ran) -> Option<f64> {
    let state = ran.result.state;
    if ran.service.is_empty() { state.map(|state| if state < 2.0 { 0.0 } else { 1.0 }) } else { state }
}
