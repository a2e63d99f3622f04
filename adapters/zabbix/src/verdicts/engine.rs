//! Round after round: collect what is new, send it, take note of who takes what.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use prometheus::{Counter, Gauge, Histogram};
use watchbell_adapter_api::{Clock, Health, SinkContext, SourceError};

use super::collect::Collector;
use super::key::DISCOVERY;
use super::ledger::{Batch, Ledger, News, Noted};
use super::*;

/// How long a server that does not answer is left alone; doubled up to the last.
const FIRST_WAIT_MS: i64 = 1_000;
const LAST_WAIT_MS: i64 = 15_000;
/// Hosts and items named in the log in one round.
const NAMED: usize = 5;
/// How long what waits may take to be sent at a shutdown.
const FLUSH: Duration = Duration::from_secs(3);

struct Handles {
    taken: Counter,
    refused: Counter,
    refused_before: Counter,
    queue_full: Counter,
    pending: Gauge,
    refused_items: Gauge,
    refused_hosts: Gauge,
    failures: Counter,
    request: Histogram,
    health: Health,
}

/// One server with its way, and how it is doing.
struct Server<W> {
    way: W,
    failing: bool,
    wait_ms: i64,
    retry_ms: i64,
}

/// Runs until the shutdown. `advice` is what to do where a host is refused.
pub(crate) async fn run<W: Way>(
    plan: Plan,
    ways: Vec<W>,
    advice: &'static str,
    mut context: SinkContext,
) -> Result<(), SourceError> {
    let mut engine = Engine::new(plan, ways, advice, &context);
    let interval = engine.plan.interval;
    loop {
        let last = context.shutdown.is_set();
        engine.collect(&context).await;
        // A server that hangs must not hold the end up; what is not taken then is lost.
        let mut shutdown = context.shutdown.clone();
        let too_late = async move {
            shutdown.wait().await;
            tokio::time::sleep(FLUSH).await;
        };
        tokio::select! {
            () = engine.send() => {}
            () = too_late => return Ok(()),
        }
        if last {
            return Ok(());
        }
        context.shutdown.sleep(interval).await;
    }
}

struct Engine<W> {
    plan: Plan,
    servers: Vec<Server<W>>,
    ledger: Ledger,
    collector: Collector,
    pending: VecDeque<ItemValue>,
    handles: Handles,
    clock: Arc<dyn Clock>,
    name: Arc<str>,
    advice: &'static str,
    full: bool,
}

impl<W: Way> Engine<W> {
    fn new(plan: Plan, ways: Vec<W>, advice: &'static str, context: &SinkContext) -> Self {
        let (metrics, name) = (&context.metrics, &*context.name);
        let handles = Handles {
            taken: metrics.counter(&TAKEN, &[name]),
            refused: metrics.counter(&REFUSED, &[name]),
            refused_before: metrics.counter(&DROPPED, &[name, "refused_before"]),
            queue_full: metrics.counter(&DROPPED, &[name, "queue_full"]),
            pending: metrics.gauge(&PENDING, &[name]),
            refused_items: metrics.gauge(&REFUSED_ITEMS, &[name]),
            refused_hosts: metrics.gauge(&REFUSED_HOSTS, &[name]),
            failures: metrics.counter(&FAILURES, &[name]),
            request: metrics.histogram(&REQUEST, &[name]),
            health: context.health.clone(),
        };
        let server = |way| Server { way, failing: false, wait_ms: FIRST_WAIT_MS, retry_ms: i64::MIN };
        Self {
            ledger: Ledger::new(ways.len(), plan.batch),
            servers: ways.into_iter().map(server).collect(),
            collector: Collector::new(context.clock.now_ms()),
            pending: VecDeque::new(),
            handles,
            clock: Arc::clone(&context.clock),
            name: Arc::clone(&context.name),
            advice,
            full: false,
            plan,
        }
    }

    /// Adds what is new to what waits.
    async fn collect(&mut self, context: &SinkContext) {
        let new = self.collector.collect(&self.plan, context, &self.ledger).await;
        self.pending.extend(new);
        let over = self.pending.len().saturating_sub(self.plan.queue_values);
        // A host without its list gets no items at all, and the list is not made anew for long.
        let mut left = over;
        self.pending.retain(|value| {
            let goes = left > 0 && *value.key != *DISCOVERY;
            left -= usize::from(goes);
            !goes
        });
        self.pending.drain(..left);
        self.handles.queue_full.inc_by(over as f64);
        if over > 0 && !std::mem::replace(&mut self.full, true) {
            tracing::warn!(sink = %self.name, most = self.plan.queue_values, "too many values wait for Zabbix; the oldest are dropped");
        }
        self.handles.pending.set(self.pending.len() as f64);
    }

    /// Sends what waits, to all servers at the same time. What can not be sent goes on waiting.
    async fn send(&mut self) {
        let now_ms = self.clock.now_ms();
        let (batches, skipped) = self.ledger.batches(std::mem::take(&mut self.pending), now_ms);
        let mut of_servers: Vec<Vec<Batch>> = self.servers.iter().map(|_| Vec::new()).collect();
        batches.into_iter().for_each(|batch| of_servers[batch.server].push(batch));
        let (clock, handles) = (&*self.clock, &self.handles);
        let work =
            self.servers.iter_mut().zip(of_servers).map(|(server, batches)| server.send(batches, clock, handles));
        let results = join_all(work).await;
        self.handles.refused_before.inc_by(skipped as f64);
        let mut news = Vec::new();
        for Outcome { answered, left, error } in results {
            for (batch, answer) in answered {
                let Noted { refused, again } = self.ledger.note(&batch, &answer, now_ms, &mut news);
                self.handles.refused.inc_by(refused as f64);
                self.handles.taken.inc_by((batch.values.len() - refused.min(batch.values.len())) as f64);
                if again {
                    self.pending.extend(batch.values);
                }
            }
            self.pending.extend(left.into_iter().flat_map(|batch| batch.values));
            if let Some(error) = error {
                tracing::warn!(sink = %self.name, waiting = self.pending.len(), "Zabbix does not take values, which are kept and tried again: {error}");
            }
        }
        self.full &= !self.pending.is_empty();
        self.tell(news);
        self.ledger.forget(now_ms);
        let (items, hosts) = self.ledger.totals();
        self.handles.refused_items.set(items as f64);
        self.handles.refused_hosts.set(hosts as f64);
        self.handles.pending.set(self.pending.len() as f64);
    }

    /// Says what is new about who takes what, a few names at a time.
    fn tell(&self, news: Vec<News>) {
        let (sink, advice) = (&self.name, self.advice);
        let more = news.len().saturating_sub(NAMED);
        for news in news.into_iter().take(NAMED) {
            match news {
                News::Host { host, reason } => {
                    let reason = reason.map_or_else(String::new, |reason| format!(" (`{reason}`)"));
                    tracing::warn!(%sink, %host, "Zabbix takes nothing of host `{host}`{reason}; {advice}; tried again seldom");
                }
                News::Items { host, key, count, reason } => {
                    let reason = reason.map_or_else(String::new, |reason| format!(" (`{reason}`)"));
                    tracing::info!(%sink, %host, count, "Zabbix refuses items of host `{host}`, such as `{key}`{reason}: new ones of low-level discovery need a minute, others are missing, disabled, of another type, or not allowed for this machine");
                }
                News::Recovered { host } => tracing::info!(%sink, %host, "Zabbix takes values of host `{host}` now"),
            }
        }
        if more > 0 {
            tracing::warn!(%sink, more, "and the same of further hosts; watchbell_zabbix_refused_hosts counts them");
        }
    }
}

/// What became of the batches for one server.
struct Outcome {
    answered: Vec<(Batch, Answer)>,
    left: Vec<Batch>,
    /// Why some are left, if that is news.
    error: Option<String>,
}

impl<W: Way> Server<W> {
    async fn send(&mut self, batches: Vec<Batch>, clock: &dyn Clock, handles: &Handles) -> Outcome {
        let mut outcome = Outcome { answered: Vec::new(), left: Vec::new(), error: None };
        let mut batches = batches.into_iter();
        if clock.now_ms() < self.retry_ms {
            outcome.left.extend(batches);
            return outcome;
        }
        while let Some(batch) = batches.next() {
            let began_ms = clock.now_ms();
            let result = self.way.send(&batch.values, began_ms).await;
            let now_ms = clock.now_ms();
            handles.request.observe(now_ms.saturating_sub(began_ms).max(0) as f64 / 1_000.0);
            match result {
                Ok(answer) => {
                    handles.health.well(&self.way.name());
                    if std::mem::take(&mut self.failing) {
                        tracing::info!("Zabbix at `{}` takes values again", self.way.name());
                    }
                    self.wait_ms = FIRST_WAIT_MS;
                    outcome.answered.push((batch, answer));
                }
                Err(error) => {
                    handles.failures.inc();
                    handles.health.failing(&self.way.name(), &error, now_ms);
                    self.retry_ms = now_ms.saturating_add(self.wait_ms);
                    self.wait_ms = (self.wait_ms * 2).min(LAST_WAIT_MS);
                    // Told once, not for every round of an outage.
                    outcome.error = (!std::mem::replace(&mut self.failing, true)).then_some(error);
                    outcome.left.push(batch);
                    outcome.left.extend(batches);
                    break;
                }
            }
        }
        outcome
    }
}
