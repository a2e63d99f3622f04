//! Which names of all shards mean the same host: gathers them, finds the hosts, and tells the shards.
//!
//! The series of one host live in several shards and come from several sources, so no shard can tell alone. Once a
//! second the shards are asked whether names came or went; only then anything happens. Until the answer is there a new
//! name is a host of its own, which is over before its series have a score.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use watchbell_adapter_api::{Metrics, Shutdown};
use watchbell_normalize::hosts::{HostName, HostTable, resolve};

use super::handle::ShardHandle;
use super::ingest::source_tag;
use super::service::Current;
use super::shard::HostUse;
use crate::telemetry::metrics;

/// How often the shards are asked.
const PERIOD: Duration = Duration::from_secs(1);
/// Conflicts that are told in the log one by one; the API has all.
const TOLD: usize = 5;
/// Hosts with another name that are held for whoever asks; where nobody does, the oldest are dropped.
const MAX_RENAMED: usize = 100_000;

/// What one shard said last.
#[derive(Debug, Default)]
struct Said {
    panics: u64,
    epoch: Option<u64>,
    names: Vec<HostName>,
}

/// The hosts of all names as of the last look; shared, and replaced whole.
pub type SharedHosts = Arc<arc_swap::ArcSwap<HostTable>>;

/// The hosts and their names.
pub struct HostBook {
    shards: Arc<[ShardHandle]>,
    current: Arc<Mutex<Current>>,
    metrics: Metrics,
    table: SharedHosts,
    /// Hosts that got another name, until the tick stage asks.
    renamed: Mutex<Vec<(String, String)>>,
    changed: Arc<Notify>,
    said: tokio::sync::Mutex<Vec<Said>>,
}

impl std::fmt::Debug for HostBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostBook").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

/// A name of a host, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownName {
    /// As the source has it.
    pub name: HostName,
    /// Name of the source; `None` where it is gone, or the series come from history only.
    pub source: Option<Arc<str>>,
    /// What decided, in words.
    pub rule: String,
    /// Series that carry it.
    pub uses: HostUse,
}

impl HostBook {
    /// A book over `shards` that is read in `table`; the rules are those that `current` holds.
    pub(super) fn new(
        shards: Arc<[ShardHandle]>,
        current: Arc<Mutex<Current>>,
        table: SharedHosts,
        metrics: Metrics,
    ) -> Arc<Self> {
        let said = shards.iter().map(|_| Said::default()).collect();
        let (renamed, said) = (Mutex::default(), tokio::sync::Mutex::new(said));
        Arc::new(Self { shards, current, metrics, table, renamed, changed: Arc::default(), said })
    }

    /// Wakes one who waits whenever names came or went, or the rules for them changed.
    #[must_use]
    pub fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// Looks after the names once a second until the shutdown.
    pub async fn run(self: Arc<Self>, mut shutdown: Shutdown) {
        while shutdown.sleep(PERIOD).await {
            self.look().await;
        }
    }

    /// Asks the shards, and tells them what follows where names came or went.
    pub async fn look(&self) {
        self.round(false).await;
    }

    /// The same after rules changed.
    pub async fn look_anew(&self) {
        self.round(true).await;
    }

    async fn round(&self, anew: bool) {
        let mut said = self.said.lock().await;
        let mut changed = anew;
        for (shard, said) in self.shards.iter().zip(said.iter_mut()) {
            let panics = shard.panics();
            if panics != said.panics {
                // It begins anew, and knows no table.
                *said = Said { panics, ..Said::default() };
            }
            let known = said.epoch;
            let Ok((epoch, names)) = shard.call(move |shard| shard.host_names(known)).await else { continue };
            if let Some(names) = names {
                (said.epoch, said.names) = (Some(epoch), names);
                changed = true;
            }
        }
        if !changed {
            return;
        }
        let names: Vec<HostName> = said.iter().flat_map(|said| said.names.iter().cloned()).collect();
        let guesses = self.current.lock().unwrap_or_else(PoisonError::into_inner).rules.guesses().clone();
        // Tens of thousands of names take a while.
        let resolved = tokio::task::spawn_blocking(move || resolve(&names, &guesses)).await;
        let Ok(table) = resolved.map(Arc::new) else { return };
        self.put(&table);
        self.changed.notify_one();
        for shard in self.shards.iter() {
            let table = Arc::clone(&table);
            // A shard that fails here is asked again, and told then.
            let _ = shard.call(move |shard| shard.set_hosts(table)).await;
        }
    }

    fn put(&self, table: &Arc<HostTable>) {
        self.metrics.gauge(&metrics::HOSTS, &[]).set(table.hosts().len() as f64);
        self.metrics.gauge(&metrics::HOST_CONFLICTS, &[]).set(table.conflicts().len() as f64);
        let before = self.table.swap(Arc::clone(table));
        let renamed = table.renamed(&before);
        let mut waiting = self.renamed.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(renamed);
        let over = waiting.len().saturating_sub(MAX_RENAMED);
        waiting.drain(..over);
        drop(waiting);
        let new: Vec<_> = table.conflicts().iter().filter(|conflict| !before.conflicts().contains(conflict)).collect();
        for conflict in new.iter().take(TOLD) {
            let (hosts, advice) = (conflict.hosts.join(", "), conflict.advice());
            tracing::warn!(name = conflict.name, hosts, reason = conflict.reason, advice, "hosts kept apart");
        }
        if new.len() > TOLD {
            tracing::warn!(more = new.len() - TOLD, "further hosts kept apart; GET /api/v1/hosts lists them");
        }
    }

    /// The hosts of all names, as of the last look.
    #[must_use]
    pub fn table(&self) -> Arc<HostTable> {
        self.table.load_full()
    }

    /// The host that a source means by `name`, by rules that need no other labels.
    #[must_use]
    pub fn host_of(&self, name: &str) -> String {
        let rules = Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner).rules);
        let given = rules.host(|label| if label == "host" { name } else { "" });
        let given = given.map_or_else(|| name.to_owned(), |given| given.name.into_owned());
        self.table.load().host(&given).to_owned()
    }

    /// Hosts that got another name since they were asked for.
    pub(super) fn take_renamed(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.renamed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All names by host, with what decided and how many series carry each.
    pub async fn names(&self) -> BTreeMap<String, Vec<ShownName>> {
        let mut found: HashMap<HostName, HostUse> = HashMap::new();
        for shard in self.shards.iter() {
            let mut from = Some(0);
            while let Some(slot) = from {
                let page = shard.call(move |shard| {
                    let mut found = HashMap::new();
                    let next = shard.host_uses(slot, &mut found);
                    (found, next)
                });
                let Ok((page, next)) = page.await else { break };
                for (name, uses) in page {
                    let known = found.entry(name).or_default();
                    known.series += uses.series;
                    known.last_ms = known.last_ms.max(uses.last_ms);
                }
                from = next;
            }
        }
        let sources = self.current.lock().unwrap_or_else(PoisonError::into_inner).sources();
        let table = self.table();
        let mut hosts: BTreeMap<String, Vec<ShownName>> = BTreeMap::new();
        for (name, uses) in found {
            let source = sources.iter().find(|(source, _)| source_tag(source) == name.source);
            let how = table.how(&name.name).as_str();
            let rule = if how.is_empty() { name.rule.to_string() } else { format!("{}; {how}", name.rule) };
            let host = table.host(&name.name).to_owned();
            let shown = ShownName { source: source.map(|(source, _)| Arc::clone(source)), rule, uses, name };
            hosts.entry(host).or_default().push(shown);
        }
        for names in hosts.values_mut() {
            claim(names);
            names.sort_by(|a, b| (&a.source, &a.name).cmp(&(&b.source, &b.name)));
        }
        hosts
    }
}

/// Counts series whose source is not known (those of a histogram that came back from a checkpoint) for the source that
/// has the same name.
fn claim(names: &mut Vec<ShownName>) {
    let unclaimed: Vec<ShownName> = names.extract_if(.., |shown| shown.name.source == 0).collect();
    for shown in unclaimed {
        let is_same = |other: &&mut ShownName| {
            other.name.source != 0
                && (&other.name.label, &other.name.carried) == (&shown.name.label, &shown.name.carried)
        };
        match names.iter_mut().find(is_same) {
            Some(known) => {
                known.uses.series += shown.uses.series;
                known.uses.last_ms = known.uses.last_ms.max(shown.uses.last_ms);
            }
            None => names.push(shown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_no_known_source_count_for_the_one_with_their_name() {
        let shown = |source: u32, carried: &str, series: u32| ShownName {
            name: HostName {
                name: carried.into(),
                source,
                label: "host".into(),
                carried: carried.into(),
                address: false,
                decided: false,
                rule: "".into(),
            },
            source: None,
            rule: String::new(),
            uses: HostUse { series, last_ms: i64::from(series) },
        };
        let mut names = vec![shown(0, "a", 5), shown(7, "a", 1), shown(0, "b", 2), shown(9, "a", 3)];
        claim(&mut names);
        let told: Vec<_> = names.iter().map(|it| (it.name.source, it.uses.series, it.uses.last_ms)).collect();
        assert_eq!(told, [(7, 6, 5), (9, 3, 3), (0, 2, 2)]);
    }
}
