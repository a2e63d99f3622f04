//! Which series of a host become channels of its model, where there are more than it can have.

use std::collections::HashMap;

use crate::pipeline::shard::Place;

/// A series that varies and has no channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// Whether mapping rules know its metric.
    pub(super) known: bool,
    /// Hash of its metric's name.
    pub(super) metric: u32,
    pub(super) shard: u32,
    pub(super) place: Place,
}

/// The chosen of `candidates` of one host, which has `room` for so many, in the order in which they get their
/// numbers: those that rules know first, and among equals one of each metric, then the second of each. What
/// is equal in all that goes by its identity, so that the choice is the same on every machine.
pub(super) fn choose(mut candidates: Vec<Candidate>, room: usize) -> Vec<Candidate> {
    let mut seen: HashMap<u32, u32> = HashMap::new();
    candidates.sort_unstable_by_key(|it| (it.metric, it.place.id.0));
    let mut ranked: Vec<(u32, Candidate)> = candidates
        .into_iter()
        .map(|it| {
            let rank = seen.entry(it.metric).or_insert(0);
            *rank += 1;
            (*rank, it)
        })
        .collect();
    ranked.sort_unstable_by_key(|(rank, it)| (!it.known, *rank, it.metric, it.place.id.0));
    ranked.into_iter().map(|(_, it)| it).take(room).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchbell_series::SeriesId;

    fn candidate(known: bool, metric: u32, id: u64) -> Candidate {
        Candidate { known, metric, shard: 0, place: Place { slot: id as u32, id: SeriesId(id) } }
    }

    #[test]
    fn known_ones_first_and_spread_over_metrics() {
        let mut all: Vec<Candidate> = (0..10).map(|id| candidate(false, 7, 100 + id)).collect();
        all.extend((0..3).map(|id| candidate(true, 8, 200 + id)));
        all.extend([candidate(false, 9, 300), candidate(true, 6, 250)]);
        let ids = |all: Vec<Candidate>| all.into_iter().map(|it| it.place.id.0).collect::<Vec<_>>();
        let chosen = ids(choose(all.clone(), 7));
        assert_eq!(chosen, [250, 200, 201, 202, 100, 300, 101]);
        all.reverse();
        assert_eq!(ids(choose(all, 7)), chosen, "whatever the order they come in");
    }
}
