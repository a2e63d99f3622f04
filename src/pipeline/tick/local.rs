//! The tick stage over one shard that is at hand: no thread, no clock and nothing saved. For a replay, where each tick
//! is over before the next sample.

use std::sync::Arc;

use watchbell_detect::Seeded;

use super::board::Hosts;
use super::fleet::{Fleet, ForShard};
use super::{NAMES, SEEDS, SIGHTINGS, fleet_config};
use crate::config::Settings;
use crate::pipeline::shard::{Grouping, Place, Shard};

/// Ticks in the time that it is told.
#[derive(Debug)]
pub struct LocalTicker {
    fleet: Fleet,
    grouping: Arc<Grouping>,
    board: Hosts,
    tick_ms: i64,
    /// When the next tick is due; none before the first.
    due_ms: Option<i64>,
}

impl LocalTicker {
    /// Nothing is known yet. `None` where `settings` want neither hosts nor peers.
    #[must_use]
    pub fn new(settings: &Settings) -> Option<Self> {
        let config = fleet_config(settings)?;
        let grouping = Arc::new(Grouping { by: settings.detect.peers.group_by.clone() });
        let tick_ms = config.tick_ms.max(1);
        Some(Self { fleet: Fleet::new(config), grouping, board: Hosts::new(), tick_ms, due_ms: None })
    }

    /// What the last tick found of each host.
    #[must_use]
    pub fn board(&self) -> &Hosts {
        &self.board
    }

    /// Ticks if it is due at `now_ms`; whether it was.
    pub fn tick(&mut self, shard: &mut Shard, now_ms: i64) -> bool {
        if self.due_ms.is_some_and(|due| now_ms < due) {
            return false;
        }
        let first = self.due_ms.is_none();
        // Ticks missed while nothing came are not made up for, as by the clock.
        self.due_ms = Some(now_ms.div_euclid(self.tick_ms).saturating_add(1).saturating_mul(self.tick_ms));
        if first {
            shard.watch_series(Arc::clone(&self.grouping));
        }
        self.meet(shard, now_ms);
        self.fleet.begin();
        let mut from = Some(0);
        while let Some(slot) = from {
            let (rows, next) = shard.gather(slot, now_ms, self.tick_ms);
            from = next;
            // What came before the first tick came in no tick.
            if !first {
                self.fleet.page(0, &rows, now_ms);
            }
        }
        if first {
            return true;
        }
        for ForShard { scores, verdicts } in self.fleet.finish(1, now_ms) {
            shard.set_peers(&scores, verdicts);
        }
        for unnamed in self.fleet.unnamed(NAMES) {
            if let Some(name) = shard.names(&[unnamed.place]).into_iter().flatten().next() {
                self.fleet.name(unnamed, &name);
            }
        }
        self.board = self.fleet.board();
        while self.fleet.fit_one() {}
        true
    }

    /// Learns of series that came and went, and lets new ones take over their group's state.
    fn meet(&mut self, shard: &mut Shard, now_ms: i64) {
        loop {
            let sightings = shard.sightings(SIGHTINGS);
            let last = sightings.len() < SIGHTINGS;
            self.fleet.sighted(0, sightings, now_ms);
            if last {
                break;
            }
        }
        let mut early = Vec::new();
        for seed in self.fleet.seeds(SEEDS, now_ms) {
            let places: Vec<Place> = seed.donors.iter().map(|(_, place)| *place).collect();
            let donors = shard.donors(&places);
            if !donors.is_empty() && shard.seed(seed.place(), &donors) == Seeded::Early {
                early.push(seed.newcomer);
            }
        }
        self.fleet.retry(early);
    }
}
