//! Counts per entity (a host), and the score of a host made of them.
//!
//! The counts move only when a series changes its standing (comes, gets ready, crosses 1.0), so that they
//! cost nothing per sample and are never gathered by a scan.

use std::collections::BTreeMap;

/// How many series of an entity stand how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EntityCount {
    /// Series that are judged and still arrive, or are missing with an alarm.
    pub judged: u32,
    /// Those of them that have a score.
    pub ready: u32,
    /// Those of them whose published score is over 1.0.
    pub anomalous: u32,
    /// Those that have a score and were watched for as long as [`JudgeConfig::settle_s`](crate::JudgeConfig) asks.
    pub settled: u32,
}

impl EntityCount {
    /// The counts of two groups of series of one entity together, as when it is spread over shards.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            judged: self.judged + other.judged,
            ready: self.ready + other.ready,
            anomalous: self.anomalous + other.anomalous,
            settled: self.settled + other.settled,
        }
    }

    /// Whether most series with a score were watched for long enough that their share over the edge means what
    /// [`host_score`] makes of it.
    #[must_use]
    pub fn is_settled(self) -> bool {
        self.ready > 0 && self.settled >= self.ready - self.ready / 2
    }
}

/// Share of the time for which the published score of one quiet series is over 1.0.
pub const USUAL_SHARE: f64 = 0.01;
/// Improbability, in powers of ten, at which a host's share of anomalous series leaves the normal.
pub const EDGE_DECADES: f64 = 2.0;

/// Score of a host whose series stand as counted; 1.0 is the edge of a normal share of anomalous series.
///
/// With `n` series that have a score and `k` of them over 1.0, it is how improbable `k` or more of `n`
/// would be if each were over 1.0 for [`USUAL_SHARE`] of the time by itself, by Chernoff's bound on the
/// binomial tail, `10^-(n * KL(k/n || p) / ln 10)`, divided by [`EDGE_DECADES`]. A closed form that also
/// holds for few series: a host of one series is at 1.0 exactly when that series is anomalous, of 19
/// series it takes 3, of 100 it takes 6, of 1000 it takes 21. The usual share and below score 0.
#[must_use]
pub fn host_score(count: EntityCount) -> f32 {
    let (n, k) = (f64::from(count.ready), f64::from(count.anomalous.min(count.ready)));
    let share = k / n;
    if count.ready == 0 || share <= USUAL_SHARE {
        return 0.0;
    }
    let rest = if k < n { (n - k) * ((1.0 - share) / (1.0 - USUAL_SHARE)).ln() } else { 0.0 };
    let decades = (k * (share / USUAL_SHARE).ln() + rest) / std::f64::consts::LN_10;
    ((decades / EDGE_DECADES) as f32).clamp(0.0, crate::single::MAX_SCORE)
}

/// The counts of all entities of a shard.
#[derive(Debug, Default)]
pub(crate) struct Entities(BTreeMap<u32, EntityCount>);

/// What one series adds to the counts of its entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    pub(crate) judged: bool,
    pub(crate) ready: bool,
    pub(crate) anomalous: bool,
    pub(crate) settled: bool,
}

impl Entities {
    /// One series of `entity` goes over from one standing to another.
    pub(crate) fn change(&mut self, entity: u32, from: Standing, to: Standing) {
        let count = self.0.entry(entity).or_default();
        let step = |n: &mut u32, from: bool, to: bool| *n = n.saturating_add(u32::from(to)) - u32::from(from);
        step(&mut count.judged, from.judged, to.judged);
        step(&mut count.ready, from.ready, to.ready);
        step(&mut count.anomalous, from.anomalous, to.anomalous);
        step(&mut count.settled, from.settled, to.settled);
        if *count == EntityCount::default() {
            self.0.remove(&entity);
        }
    }

    /// All entities with a judged series, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, EntityCount)> {
        self.0.iter().map(|(entity, count)| (*entity, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(ready: u32, anomalous: u32) -> f32 {
        host_score(EntityCount { judged: ready, ready, anomalous, settled: ready })
    }

    #[test]
    fn the_edge_for_few_and_for_many() {
        assert_eq!(score(0, 0), 0.0);
        assert_eq!(score(5, 0), 0.0);
        assert!((score(1, 1) - 1.0).abs() < 1e-6);
        for (ready, edge) in [(19, 3), (100, 6), (1000, 21)] {
            assert!(score(ready, edge) >= 1.0, "{ready}: {}", score(ready, edge));
            assert!(score(ready, edge - 1) < 1.0, "{ready}: {}", score(ready, edge - 1));
        }
        assert!(score(100, 40) > score(100, 20));
        assert!(score(u32::MAX, u32::MAX).is_finite());
    }

    #[test]
    fn half_of_the_series_settle_a_host() {
        let settled = |ready, settled| EntityCount { ready, settled, ..EntityCount::default() }.is_settled();
        assert!(!settled(0, 0) && !settled(1, 0) && settled(1, 1) && settled(4, 2) && !settled(5, 2) && settled(5, 3));
    }

    #[test]
    fn counts_come_and_go() {
        let mut entities = Entities::default();
        let quiet = Standing { judged: true, ready: true, anomalous: false, settled: false };
        let loud = Standing { anomalous: true, ..quiet };
        entities.change(3, Standing::default(), quiet);
        entities.change(3, Standing::default(), loud);
        let count = EntityCount { judged: 2, ready: 2, anomalous: 1, settled: 0 };
        assert_eq!(entities.iter().collect::<Vec<_>>(), [(3, count)]);
        assert_eq!(count.plus(count), EntityCount { judged: 4, ready: 4, anomalous: 2, settled: 0 });
        entities.change(3, loud, Standing::default());
        entities.change(3, quiet, Standing::default());
        assert_eq!(entities.iter().count(), 0);
    }
}
