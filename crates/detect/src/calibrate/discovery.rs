//! The share of false ones among what is found in the whole fleet.
//!
//! Thousands of series are tested at each sample, so however improbable an edge is, chance reaches it somewhere.
//! Benjamini and Hochberg ("Controlling the false discovery rate", J. R. Stat. Soc. B 57, 1995) choose, for a set of
//! tests, the lowest edge at which the number that chance alone would give is at most the share `q` of the number
//! found (in this form: Storey, J. R. Stat. Soc. B 64, 2002). The set here is a sliding day of the whole fleet: a
//! set of one minute would have its own share of false minutes, and 1,440 of those make a day.
//!
//! Why not a rule for streams of tests (LORD, SAFFRON, ADDIS): they spend a wealth that only discoveries refill, so
//! that where anomalies are rare they have none left when one comes (Rebjock and others, "Online false discovery
//! rate control for anomaly detection in time series", NeurIPS 2021). Tests come here in batches, one for each
//! series, and their number in a day is known; the procedure needs no more.
//!
//! What chance gives is taken from the nominal improbabilities, scaled so that they fit what is seen just over 1.0,
//! where nearly everything is chance (an empirical null: Efron, J. Am. Stat. Assoc. 99, 2004).

use std::collections::BTreeMap;

use super::ledger::climb;
use super::peaks::{BINS, Cluster, EDGES, Peaks, bin_of};
use super::{NOMINAL_PER_WEEK, nominal_share};

/// The set of tests, weeks: a day.
const SET_WEEKS: f64 = 1.0 / 7.0;
/// Memory of how far chance is from nominal, weeks.
const NULL_WEEKS: f64 = 4.0;
/// Steps of the ladder that are taken for chance: 1.0 to 1.1.
const BODY: usize = 2;
/// What the nominal rate is worth there, in events.
const NULL_EVENTS: f64 = 10.0;
/// Bounds of the scale of chance.
const NULL_SCALE: (f64, f64) = (0.1, 10.0);
/// A score from which an anomaly passes in a fleet of any size.
const HIGHEST: f32 = 2.0;

/// Everything found in the fleet in the last day.
#[derive(Debug, Clone, PartialEq)]
pub struct Discoveries {
    /// Accepted share of false ones.
    share: f64,
    pub(super) day: Peaks,
    pub(super) null: Peaks,
    pub(super) clusters: BTreeMap<Box<str>, Cluster>,
}

impl Discoveries {
    /// None yet, at `now_ms`. `share` of false ones is accepted, 0 to 1; at 1 nothing is ever held back.
    #[must_use]
    pub fn new(share: f64, now_ms: i64) -> Self {
        Self {
            share,
            day: Peaks::new(SET_WEEKS, now_ms),
            null: Peaks::new(NULL_WEEKS, now_ms),
            clusters: BTreeMap::new(),
        }
    }

    /// Accepts another share.
    pub fn set_share(&mut self, share: f64) {
        self.share = share;
    }

    /// Lets time pass in which `series` series were tested.
    pub fn advance(&mut self, now_ms: i64, series: f64) {
        self.day.advance(now_ms, series);
        self.null.advance(now_ms, series);
        // Once in a while is enough: a cluster that is over takes nothing any more.
        if self.clusters.len() > 1_024 {
            self.clusters.retain(|_, cluster| cluster.takes(now_ms));
        }
    }

    /// Notes an anomaly on `host` and gives the edge that holds for it: the anomaly is one of the set.
    pub fn onset(&mut self, host: &str, now_ms: i64, score: f32) -> f32 {
        self.note(host, now_ms, score);
        self.edge()
    }

    /// An anomaly on `host` that began at `began_ms` reached `score`; the edge that holds for it now.
    pub fn grow(&mut self, host: &str, began_ms: i64, score: f32) -> f32 {
        let bin = bin_of(score);
        let known = self.clusters.get_mut(host).filter(|c| c.began_ms <= began_ms && began_ms <= c.last_ms);
        if let Some((cluster, from)) = known.and_then(|cluster| cluster.raise(bin).map(|from| (*cluster, from))) {
            climb(&mut self.day, cluster.began_ms, from, bin);
            climb(&mut self.null, cluster.began_ms, from, bin);
        }
        self.edge()
    }

    fn note(&mut self, host: &str, now_ms: i64, score: f32) {
        let bin = bin_of(score);
        match self.clusters.get_mut(host).filter(|cluster| cluster.takes(now_ms)) {
            Some(cluster) => {
                let began_ms = cluster.began_ms;
                cluster.last_ms = now_ms;
                if let Some(from) = cluster.raise(bin) {
                    climb(&mut self.day, began_ms, from, bin);
                    climb(&mut self.null, began_ms, from, bin);
                }
            }
            None => {
                self.day.add(bin, 1.0);
                self.null.add(bin, 1.0);
                self.clusters.insert(host.into(), Cluster::new(now_ms, bin, 1.0));
            }
        }
    }

    /// How many times the nominal rate chance is.
    fn scale(&self) -> f64 {
        let seen: f64 = self.null.counts[..BODY].iter().map(|count| f64::from(*count)).sum();
        let nominal = self.null.exposure * NOMINAL_PER_WEEK * (1.0 - nominal_share(EDGES[BODY]));
        ((seen + NULL_EVENTS) / (nominal + NULL_EVENTS)).clamp(NULL_SCALE.0, NULL_SCALE.1)
    }

    /// What chance gives in the set at each edge.
    fn by_chance(&self) -> [f64; BINS] {
        let at_one = self.day.exposure * NOMINAL_PER_WEEK * self.scale();
        std::array::from_fn(|bin| at_one * nominal_share(EDGES[bin]))
    }

    /// The edge for alerts of the fleet now.
    #[must_use]
    pub fn edge(&self) -> f32 {
        if self.share >= 1.0 {
            return 1.0;
        }
        let (chance, found) = (self.by_chance(), self.day.above());
        let within = (0..BINS).find(|bin| chance[*bin] <= self.share * found[*bin]);
        within.map_or(HIGHEST, |bin| EDGES[bin].min(HIGHEST))
    }

    /// The share of false ones to be expected among what is found at `edge` or above it; 0 where nothing is.
    #[must_use]
    pub fn false_share(&self, edge: f32) -> f64 {
        let bin = bin_of(edge);
        let found = self.day.above()[bin];
        if found < 1e-3 { 0.0 } else { (self.by_chance()[bin] / found).min(1.0) }
    }
}
