//! What really happened under one budget, and the edge that would have kept it.
//!
//! Each anomaly that would alert is noted with its peak, whether or not it fired, so that the ledger sees what it
//! holds back. Close ones of one unit are one (peaks over a threshold, declustered by runs: Davison and Smith,
//! "Models for exceedances over high thresholds", J. R. Stat. Soc. B 52, 1990), and old ones are forgotten
//! exponentially. For each edge of a ladder that gives the rate of alerts at that edge; the lowest edge whose rate
//! is within the budget is the one that holds.
//!
//! Of a unit that is young little is known, so its rate is shrunk towards that of all units, and theirs towards the
//! nominal one, as the mean of a gamma prior for the rate of a Poisson process: a prior is worth a few events and
//! no more, so that what happens takes over soon.

use std::collections::BTreeMap;

use super::peaks::{BINS, Cluster, EDGES, Peaks, bin_of};
use super::{MAX_EDGE, NOMINAL_PER_WEEK, WEEK_MS, nominal_share};

/// Memory of what happened, weeks.
const MEMORY_WEEKS: f64 = 8.0;
/// What the nominal rate is worth, in events.
const NOMINAL_EVENTS: f64 = 2.0;
/// What the rate of all units is worth to one of them, in events and in weeks at most.
const FLEET_EVENTS: f64 = 4.0;
const FLEET_WEEKS: f64 = 2.0;
/// Memory of what fired, weeks: for showing it beside the budget.
const SHOWN_WEEKS: f64 = 1.0;
/// What was watched for less has no rate to be shown, weeks: a day, as the memory sees it.
const SEEN_WEEKS: f64 = 0.13;
/// Units that are kept; one beyond is held to what is known of all.
const MAX_UNITS: usize = 100_000;

/// One unit of the budget: a host, a series, a service.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit {
    pub(super) born_ms: i64,
    pub(super) seen_ms: i64,
    /// Series in it.
    pub(super) size: f32,
    pub(super) peaks: Option<Box<Peaks>>,
    pub(super) cluster: Option<Cluster>,
}

/// The ledger of one budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    /// Alerts accepted of one unit in a week.
    per_week: f64,
    pub(super) units: BTreeMap<Box<str>, Unit>,
    /// All units together; exposure is in series.
    pub(super) fleet: Peaks,
    /// Alerts that fired: incidents, not series. Their counts stand on the first step; exposure is in units.
    pub(super) fired: Peaks,
}

impl Ledger {
    /// An empty ledger that begins at `now_ms`, for `per_week` alerts of one unit in a week.
    #[must_use]
    pub fn new(per_week: f64, now_ms: i64) -> Self {
        Self {
            per_week,
            units: BTreeMap::new(),
            fleet: Peaks::new(MEMORY_WEEKS, now_ms),
            fired: Peaks::new(SHOWN_WEEKS, now_ms),
        }
    }

    /// Goes on with another budget; what happened stays known.
    pub fn set_budget(&mut self, per_week: f64) {
        self.per_week = per_week;
    }

    /// Alerts accepted of one unit in a week.
    #[must_use]
    pub fn budget(&self) -> f64 {
        self.per_week
    }

    /// How many units are known.
    #[must_use]
    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// Lets time pass in which `size` series of `units` units in all were watched.
    pub fn advance(&mut self, now_ms: i64, units: f64, size: f64) {
        self.fleet.advance(now_ms, size);
        self.fired.advance(now_ms, units);
    }

    /// Tells that unit `name` with `size` series is watched at `now_ms`: it is as old as its first mention.
    pub fn watch(&mut self, name: &str, now_ms: i64, size: f32) {
        if let Some(unit) = self.units.get_mut(name) {
            (unit.seen_ms, unit.size) = (now_ms, size.max(1.0));
        } else if self.units.len() < MAX_UNITS {
            let unit = Unit { born_ms: now_ms, seen_ms: now_ms, size: size.max(1.0), peaks: None, cluster: None };
            self.units.insert(name.into(), unit);
        }
    }

    /// Forgets units that were not mentioned for as long as the memory is.
    pub fn forget(&mut self, now_ms: i64) {
        let memory_ms = (MEMORY_WEEKS * WEEK_MS) as i64;
        self.units.retain(|_, unit| now_ms.saturating_sub(unit.seen_ms) <= memory_ms);
    }

    /// Notes an anomaly of `name` and gives the edge that holds for it: by what happened before it, and the same
    /// for all of one incident.
    pub fn onset(&mut self, name: &str, now_ms: i64, score: f32) -> f32 {
        if !self.units.contains_key(name) {
            self.watch(name, now_ms, 1.0);
        }
        let (bin, before) = (bin_of(score), self.edge(name, now_ms));
        let fleet = &mut self.fleet;
        let Some(unit) = self.units.get_mut(name) else {
            fleet.add(bin, 1.0);
            return before;
        };
        unit.seen_ms = unit.seen_ms.max(now_ms);
        let peaks = unit.peaks.get_or_insert_with(|| Box::new(Peaks::new(MEMORY_WEEKS, now_ms)));
        peaks.advance(now_ms, 0.0);
        match unit.cluster.as_mut().filter(|cluster| cluster.takes(now_ms)) {
            Some(cluster) => {
                cluster.last_ms = now_ms;
                let (edge, began_ms) = (cluster.edge, cluster.began_ms);
                if let Some(from) = cluster.raise(bin) {
                    climb(peaks, began_ms, from, bin);
                    climb(fleet, began_ms, from, bin);
                }
                edge
            }
            None => {
                peaks.add(bin, 1.0);
                fleet.add(bin, 1.0);
                unit.cluster = Some(Cluster::new(now_ms, bin, before));
                before
            }
        }
    }

    /// An anomaly of `name` that began at `began_ms` reached `score`.
    pub fn grow(&mut self, name: &str, began_ms: i64, score: f32) {
        let Some(unit) = self.units.get_mut(name) else { return };
        let (Some(peaks), Some(cluster)) = (&mut unit.peaks, &mut unit.cluster) else { return };
        if cluster.began_ms > began_ms || cluster.last_ms < began_ms {
            return;
        }
        let bin = bin_of(score);
        if let Some(from) = cluster.raise(bin) {
            climb(peaks, cluster.began_ms, from, bin);
            climb(&mut self.fleet, cluster.began_ms, from, bin);
        }
    }

    /// An alert of `name` fired. Whether it is the first of its incident, and so counts.
    pub fn fired(&mut self, name: &str) -> bool {
        let cluster = self.units.get_mut(name).and_then(|unit| unit.cluster.as_mut());
        let first = cluster.is_none_or(|cluster| !std::mem::replace(&mut cluster.fired, true));
        if first {
            self.fired.add(0, 1.0);
        }
        first
    }

    /// Takes an anomaly of `name` back that began at `began_ms` and reached `score`: it was real, or wanted, and is
    /// no false alarm. `fired` says whether it was an alert.
    pub fn forgive(&mut self, name: &str, began_ms: i64, score: f32, fired: bool) {
        let bin = bin_of(score);
        if let Some(peaks) = self.units.get_mut(name).and_then(|unit| unit.peaks.as_mut()) {
            take_back(peaks, began_ms, bin);
        }
        take_back(&mut self.fleet, began_ms, bin);
        if fired {
            let weight = self.fired.weight(began_ms);
            self.fired.add(0, -weight);
        }
    }

    /// The edge for alerts of `name` now: at least 1.0, at most [`MAX_EDGE`].
    #[must_use]
    pub fn edge(&self, name: &str, now_ms: i64) -> f32 {
        let rates = self.rates(name, now_ms);
        // Rates never grow along the ladder.
        let within = rates.iter().position(|rate| *rate <= self.per_week);
        within.map_or(MAX_EDGE, |bin| EDGES[bin])
    }

    /// Alerts a week that are to be expected of `name` at each edge.
    fn rates(&self, name: &str, now_ms: i64) -> [f64; BINS] {
        let unit = self.units.get(name);
        let size = unit.map_or(1.0, |unit| f64::from(unit.size));
        let nominal = size * NOMINAL_PER_WEEK;
        // All units, as if they had the size of this one.
        let fleet = self.fleet.above();
        let weeks = self.fleet.exposure / size + NOMINAL_EVENTS / nominal;
        let of_fleet = |bin: usize| (fleet[bin] + NOMINAL_EVENTS * nominal_share(EDGES[bin])) / weeks;
        let prior_weeks = (FLEET_EVENTS / of_fleet(0).max(1e-9)).min(FLEET_WEEKS);
        let (own, own_weeks) = match unit {
            Some(Unit { peaks: Some(peaks), born_ms, .. }) => {
                let mut peaks = peaks.clone();
                peaks.advance(now_ms, 0.0);
                (peaks.above(), seen(*born_ms, now_ms))
            }
            Some(unit) => ([0.0; BINS], seen(unit.born_ms, now_ms)),
            None => ([0.0; BINS], 0.0),
        };
        std::array::from_fn(|bin| (own[bin] + prior_weeks * of_fleet(bin)) / (own_weeks + prior_weeks))
    }

    /// Alerts that fired a week of one unit, over the last week: incidents, whatever the number of series. `units`
    /// are watched now; `None` while they were not watched for a day each, for a rate of minutes tells nothing.
    #[must_use]
    pub fn actual_per_week(&self, units: f64) -> Option<f64> {
        let weeks = self.fired.exposure;
        (weeks > 0.0 && weeks >= SEEN_WEEKS * units).then(|| f64::from(self.fired.counts[0]) / weeks)
    }

    /// The middle and the highest edge of all units.
    #[must_use]
    pub fn edges(&self, now_ms: i64) -> (f32, f32) {
        let mut all: Vec<f32> = self.units.keys().map(|name| self.edge(name, now_ms)).collect();
        all.sort_by(f32::total_cmp);
        (all.get(all.len() / 2).copied().unwrap_or(1.0), all.last().copied().unwrap_or(1.0))
    }
}

/// Weeks since `born_ms`, as the memory sees them.
fn seen(born_ms: i64, now_ms: i64) -> f64 {
    let mut peaks = Peaks::new(MEMORY_WEEKS, born_ms);
    peaks.advance(now_ms, 1.0);
    peaks.exposure
}

/// Moves a peak noted at `at_ms` up the ladder.
pub(super) fn climb(peaks: &mut Peaks, at_ms: i64, from: usize, to: usize) {
    let weight = peaks.weight(at_ms);
    peaks.add(from, -weight);
    peaks.add(to, weight);
}

/// Takes a peak noted at `at_ms` out. Its incident may have reached higher than the peak itself: then it is the
/// next one up.
fn take_back(peaks: &mut Peaks, at_ms: i64, bin: usize) {
    let weight = peaks.weight(at_ms);
    let enough = |bin: &usize| peaks.counts[*bin] >= 0.99 * weight;
    if let Some(bin) = (bin..BINS).find(enough).or_else(|| (0..bin).rev().find(enough)) {
        peaks.add(bin, -weight);
    }
}
