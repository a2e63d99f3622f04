//! Which series of a host become channels of its model, where there are more than it can have.

use std::collections::HashMap;

use crate::pipeline::shard::Place;

/// A series that varies and has no channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) host: u32,
    /// Whether mapping rules know its metric.
    pub(super) known: bool,
    /// Hash of its metric's name.
    pub(super) metric: u32,
    pub(super) shard: u32,
    pub(super) place: Place,
}

/// The chosen of `candidates`, of each host as many as it has `room` for, in the order in which they get their
/// numbers: those that rules know first, and among equals one of each metric, then the second of each. What
/// is equal in all that goes by its identity, so that the choice is the same on every machine.
pub(super) fn choose(mut candidates: Vec<Candidate>, room: impl Fn(u32) -> usize) -> Vec<Candidate> {
    let mut seen: HashMap<(u32, u32), u32> = HashMap::new();
    candidates.sort_unstable_by_key(|it| (it.host, it.metric, it.place.id.0));
    let mut ranked: Vec<(u32, Candidate)> = candidates
        .into_iter()
        .map(|it| {
            let rank = seen.entry((it.host, it.metric)).or_insert(0);
            *rank += 1;
            (*rank, it)
        })
        .collect();
    ranked.sort_unstable_by_key(|(rank, it)| (it.host, !it.known, *rank, it.metric, it.place.id.0));
    let mut taken: HashMap<u32, usize> = HashMap::new();
    ranked.retain(|(_, it)| {
        let taken = taken.entry(it.host).or_insert(0);
        *taken += 1;
        *taken <= room(it.host)
    });
    ranked.into_iter().map(|(_, it)| it).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchbell_series::SeriesId;

    fn candidate(host: u32, known: bool, metric: u32, id: u64) -> Candidate {
        Candidate { host, known, metric, shard: 0, place: Place { slot: id as u32, id: SeriesId(id) } }
    }

    #[test]
    fn known_ones_first_and_spread_over_metrics() {
        let mut all: Vec<Candidate> = (0..10).map(|id| candidate(1, false, 7, 100 + id)).collect();
        all.extend((0..3).map(|id| candidate(1, true, 8, 200 + id)));
        all.extend([candidate(1, false, 9, 300), candidate(2, false, 7, 400), candidate(1, true, 6, 250)]);
        let ids = |all: Vec<Candidate>| all.into_iter().map(|it| it.place.id.0).collect::<Vec<_>>();
        let room = |host| if host == 1 { 7 } else { 1 };
        let chosen = ids(choose(all.clone(), room));
        assert_eq!(chosen, [250, 200, 201, 202, 100, 300, 101, 400]);
        all.reverse();
        assert_eq!(ids(choose(all, room)), chosen, "whatever the order they come in");
    }
}
