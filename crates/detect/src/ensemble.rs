//! One score made of several verdicts on the same thing, each on the scale on which 1.0 is its edge.
//!
//! Every part is calibrated by itself: at 1.0 it is wrong as often as was asked for, and each further
//! [`DECADE`] of score is ten times as rare. The largest of `n` parts would be wrong up to `n` times as
//! often; their mean would drown the one part that sees what the others can not. The procedure of Simes
//! (1986) keeps the rate: with the improbabilities sorted, the smallest of `n p(i) / i` is a probability
//! again, exactly where the parts are independent, and on the careful side where they rise and fall together
//! (Sarkar 1998), as those of one machine do. In decades: a part that speaks alone loses `log10(n)`, `i` that
//! agree lose `log10(n / i)`, and nothing is lost where all agree or only one has something to say at all.

use crate::math::log10;
use crate::single::EDGE_DECADES;

/// Score that one power of ten of improbability is worth: 1.0 is the edge of a single series at one look a minute.
pub const DECADE: f32 = 1.0 / EDGE_DECADES;

/// The parts as one score: NaN if no part has one. Parts without a score (NaN) are left out, and do not
/// count against the others. The order of parts makes no difference; no part is added twice. Never
/// negative, never above the largest part.
#[must_use]
pub fn combine<const N: usize>(parts: [f32; N]) -> f32 {
    let mut known = [0.0_f32; N];
    let mut n = 0;
    for part in parts.into_iter().filter(|part| !part.is_nan()) {
        known[n] = part.max(0.0);
        n += 1;
    }
    let known = &mut known[..n];
    known.sort_unstable_by(|a, b| b.total_cmp(a));
    let corrected = known.iter().enumerate().map(|(i, part)| part - correction(n, i + 1));
    corrected.fold(f32::NAN, f32::max).max(if n > 0 { 0.0 } else { f32::NAN })
}

/// What the best of many like parts is worth: `highest` among `count` of which it is the largest. For the
/// series of a machine, which are too many to be sorted at each look; a bound by Bonferroni.
#[must_use]
pub fn best_of(highest: f32, count: u32) -> f32 {
    if highest.is_nan() { f32::NAN } else { (highest - correction(count.max(1) as usize, 1)).max(0.0) }
}

/// The one score of a host, and whether it rings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostScore {
    /// All parts together, 1.0 = the edge; NaN where none is known.
    pub score: f32,
    /// The score from which on it rings: 1.0, or infinity while its own decision is that nothing does.
    pub edge: f32,
}

/// The one score of a host: of the look at all its series together (`joint`, with an open alarm of it or not), of the
/// share of them that is anomalous, and of the comparison with its peers.
///
/// Where the host is judged as a whole, that judgement decides whether it rings: it knows how often the series of
/// this host are odd at once and how often it rang, of which the share and the published score, held and raised to
/// rank incidents, know nothing. Beside it only its peers can ring. Until it is known the share stands in.
#[must_use]
pub fn of_host(joint: f32, alarm: bool, rollup: f32, peers: f32) -> HostScore {
    let score = combine([joint, rollup, peers]);
    if joint.is_nan() {
        return HostScore { score, edge: 1.0 };
    }
    let rings = alarm || combine([joint.min(0.0), peers]) >= 1.0;
    HostScore { score: if rings { score.max(1.0) } else { score }, edge: if rings { 1.0 } else { f32::INFINITY } }
}

/// The one score of a series: of its own detector and of the comparison with its peers. No correction: the
/// comparison asks for several looks in a row, which makes its own false alarms far rarer than those of the
/// detector it stands beside, and the detector's score is to mean the same with peers and without.
#[must_use]
pub fn of_series(own: f32, peers: f32) -> f32 {
    own.max(peers)
}

fn correction(n: usize, agreeing: usize) -> f32 {
    DECADE * log10(n as f32 / agreeing as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONE: f32 = f32::NAN;

    #[test]
    fn one_part_is_itself() {
        assert_eq!(combine([NONE, 1.25, NONE]), 1.25);
        assert_eq!(combine([0.0]), 0.0);
        assert!(combine([NONE, NONE]).is_nan());
        assert!(best_of(NONE, 3).is_nan() && best_of(1.5, 1) == 1.5 && best_of(1.5, 0) == 1.5);
        assert_eq!((of_series(0.5, NONE), of_series(0.5, 2.0), of_series(NONE, 1.5)), (0.5, 2.0, 1.5));
    }

    #[test]
    fn a_lone_voice_needs_more_and_agreement_nothing() {
        let alone = combine([1.0, 0.0, 0.0]);
        assert!((alone - (1.0 - DECADE * 3f32.log10())).abs() < 1e-5, "{alone}");
        let two = combine([1.0, 1.0, 0.0]);
        assert!(alone < two && two < 1.0, "{two}");
        assert!((combine([1.0, 1.0, 1.0]) - 1.0).abs() < 1e-6);
        assert!(combine([1.2, 0.0, 0.0]) > 1.0, "a clear verdict is enough alone");
    }

    #[test]
    fn a_host_that_is_judged_as_a_whole_rings_by_its_alarm_or_its_peers() {
        let rings = |host: HostScore| host.score >= host.edge;
        assert!(rings(of_host(NONE, false, 1.1, NONE)) && !rings(of_host(NONE, false, 0.9, NONE)));
        assert!(rings(of_host(1.02, true, 0.0, NONE)), "whatever the share says");
        let held = of_host(1.8, false, 1.5, NONE);
        assert!(!rings(held) && held.score > 1.5, "{held:?}");
        assert!(rings(of_host(0.2, false, 0.0, 1.2)) && !rings(of_host(0.2, false, 3.0, 0.9)));
        assert!(of_host(NONE, true, NONE, NONE).score.is_nan());
    }

    /// Three parts that are each over the edge once in 10,000 looks: so is the combination, about.
    #[test]
    fn keeps_the_rate_of_false_alarms() {
        let uniform = |i: u64| f64::from(crate::math::dither(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).max(1e-9);
        let edge = 2.0 * DECADE;
        let score = |i: u64| -(uniform(i).log10() as f32) * DECADE;
        let looks = 200_000_u64;
        let over = |i: &u64| combine([score(3 * i), score(3 * i + 1), score(3 * i + 2)]) >= edge;
        let rate = (0..looks).filter(over).count() as f64 / looks as f64;
        assert!((0.008..0.012).contains(&rate), "asked for 0.01: {rate}");
        let largest = |i: &u64| score(3 * i).max(score(3 * i + 1)).max(score(3 * i + 2)) >= edge;
        let uncorrected = (0..looks).filter(largest).count() as f64 / looks as f64;
        assert!(uncorrected > 0.025, "{uncorrected}");
    }

    proptest! {
        #[test]
        fn lies_between_nothing_and_the_largest(parts in prop::array::uniform5(prop_oneof![Just(f32::NAN), 0.0..1000.0f32])) {
            let score = combine(parts);
            let largest = parts.into_iter().fold(f32::NAN, f32::max);
            prop_assert_eq!(score.is_nan(), largest.is_nan());
            if !largest.is_nan() {
                prop_assert!(score >= 0.0 && score <= largest);
                let mut turned = parts;
                turned.reverse();
                prop_assert_eq!(combine(turned), score);
            }
        }
    }
}
