//! The view of all scores that sinks and the API read, shard after shard, page after page.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use watchbell_adapter_api::sink::{Cursor, HostParts, HostReading, ScorePage, ScoreQuery, ToldName};
use watchbell_adapter_api::{BoxFuture, Clock, Scores};
use watchbell_detect::ensemble::{self, HostScore};
use watchbell_detect::{EntityCount, host_score};

use super::handle::ShardHandle;
use super::ingest::source_tag;
use super::tick::board::{Board, HostState, Hosts};
use crate::config::Named;
use crate::context::quiet;

/// What is not to ring scores at most this, as a comparison with peers does.
const CAP: f32 = 0.95;
/// Time between samples of a host of which the tick stage says nothing, milliseconds.
const STEP_MS: i64 = 60_000;

/// The kind of each source there is or was, by what stands for its name. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct SourceKinds(Arc<RwLock<HashMap<u32, &'static str>>>);

impl SourceKinds {
    /// Notes `sources`. Those that are gone stay known: their series are judged for a while.
    pub fn note<T>(&self, sources: &[Named<T>]) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(sources.iter().map(|source| (source_tag(&source.name), source.kind)));
    }

    /// What sources call each host, from the host, tag and name of each name that series carry.
    fn names(&self, carried: Vec<(String, u32, Box<str>)>) -> HashMap<String, BTreeSet<ToldName>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: HashMap<String, BTreeSet<ToldName>> = HashMap::new();
        for (host, tag, name) in carried {
            if let Some(kind) = known.get(&tag) {
                names.entry(host).or_default().insert(ToldName { kind, name });
            }
        }
        names
    }
}

/// Reads scores from the shards. Cheap to clone.
#[derive(Clone)]
pub struct ScoreView {
    shards: Arc<[ShardHandle]>,
    clock: Arc<dyn Clock>,
    judged: Arc<AtomicU64>,
    board: Board,
    kinds: SourceKinds,
    quiet: quiet::Shared,
}

impl std::fmt::Debug for ScoreView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScoreView").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

impl ScoreView {
    /// A view over `shards`; `judged` is kept up to date by the sweep, `board` by the tick stage, `kinds` by who starts
    /// sources; `quiet` has the windows in force.
    #[must_use]
    pub fn new(
        shards: Arc<[ShardHandle]>,
        clock: Arc<dyn Clock>,
        judged: Arc<AtomicU64>,
        board: Board,
        kinds: SourceKinds,
        quiet: quiet::Shared,
    ) -> Self {
        Self { shards, clock, judged, board, kinds, quiet }
    }

    async fn read(&self, query: Arc<ScoreQuery>, cursor: Cursor) -> ScorePage {
        let Some(shard) = self.shards.get(cursor.shard as usize) else { return ScorePage::default() };
        let now_ms = self.clock.now_ms();
        let read = shard.call(move |shard| {
            let mut page = ScorePage::default();
            let next = shard.page(&query, cursor.slot, now_ms, &mut page.rows, &mut page.labels);
            page.next = next.map(|slot| Cursor { slot, ..cursor });
            page
        });
        // A shard that failed has started anew and has nothing to show: the reader goes on with the next.
        let mut page = read.await.unwrap_or_default();
        if page.next.is_none() && (cursor.shard as usize) + 1 < self.shards.len() {
            page.next = Some(Cursor { shard: cursor.shard + 1, slot: 0 });
        }
        page
    }

    async fn all_hosts(&self) -> Vec<HostReading> {
        let (mut hosts, mut carried) = (Vec::new(), Vec::new());
        for shard in self.shards.iter() {
            let (counts, names) = shard.call(|shard| (shard.hosts(), shard.told_hosts())).await.unwrap_or_default();
            hosts.extend(counts);
            carried.extend(names);
        }
        let (now_ms, quiet) = (self.clock.now_ms(), self.quiet.load_full());
        let mut readings = readings(hosts, &self.board.hosts(), now_ms);
        let mut names = self.kinds.names(carried);
        for reading in &mut readings {
            reading.told = names.remove(&reading.host).into_iter().flatten().collect();
            reading.quiet = quiet.over(now_ms, &reading.host).map(|window| window.reason.as_str().into());
        }
        readings
    }
}

/// What is said of each host, from its counts in all shards and from the last tick.
#[must_use]
pub fn readings(counts: Vec<(String, EntityCount)>, board: &Hosts, now_ms: i64) -> Vec<HostReading> {
    let mut hosts: BTreeMap<String, EntityCount> = BTreeMap::new();
    for (host, count) in counts {
        let sum = hosts.entry(host).or_default();
        *sum = sum.plus(count);
    }
    let seen = hosts.into_iter().filter(|(_, count)| count.judged > 0);
    seen.map(|(host, count)| reading(board.get(host.as_str()), host, count, now_ms)).collect()
}

/// What is known of a host: its roll-up of this moment, and what its last tick said while that holds.
fn reading(state: Option<&HostState>, host: String, count: EntityCount, now_ms: i64) -> HostReading {
    let rollup = if count.ready == 0 { f32::NAN } else { host_score(count) };
    // The share that is usual holds for series that are known; young ones are over their edge far more often.
    let told = if rollup > CAP && !count.is_settled() { CAP } else { rollup };
    let state = state.filter(|state| now_ms.saturating_sub(state.ts_ms) <= state.holds_ms);
    // What a tick says holds for three of the host's own steps.
    let step_ms = state.map_or(STEP_MS, |state| state.holds_ms / 3);
    let state = state.cloned().unwrap_or_default();
    let HostScore { score, edge } = ensemble::of_host(state.joint, state.alarm, told, state.parts.peers);
    HostReading {
        host,
        series: count.judged,
        ready: count.ready,
        anomalous: count.anomalous,
        score,
        edge,
        parts: HostParts { rollup, ..state.parts },
        confidence: state.confidence,
        contributors: state.contributors,
        step_ms,
        told: Arc::default(),
        quiet: None,
    }
}

impl Scores for ScoreView {
    fn series(&self) -> u64 {
        self.judged.load(Ordering::Relaxed)
    }

    fn page(&self, query: Arc<ScoreQuery>, cursor: Cursor) -> BoxFuture<'_, ScorePage> {
        Box::pin(self.read(query, cursor))
    }

    fn hosts(&self) -> BoxFuture<'_, Vec<HostReading>> {
        Box::pin(self.all_hosts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(count: EntityCount, joint: f32) -> (f32, f32) {
        let state = HostState { ts_ms: 0, holds_ms: 1_000, joint, ..HostState::default() };
        let reading = reading(Some(&state), "web-1".to_owned(), count, 0);
        (reading.score, reading.parts.rollup)
    }

    #[test]
    fn a_young_host_is_not_mad_by_its_roll_up_alone() {
        let young = EntityCount { judged: 50, ready: 50, anomalous: 20, settled: 10 };
        let (shown, rollup) = score(young, f32::NAN);
        assert!(rollup > 2.0 && shown < 1.0, "the part is shown as it is: {rollup} {shown}");
        assert!(score(young, 3.0).0 > 1.0, "what the joint detector says stands");
        let settled = EntityCount { settled: 40, ..young };
        assert_eq!(score(settled, f32::NAN), (rollup, rollup));
        assert!(score(EntityCount { judged: 3, ..EntityCount::default() }, f32::NAN).0.is_nan());
    }
}
