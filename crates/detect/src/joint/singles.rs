//! The head of the single verdicts: how many channels are odd by their own measure, and how odd.
//!
//! Powers of ten of the loudest channels are added up, beyond what each has on quiet days; how rare the
//! sum is, the host's own past says. It is the head that sees one or a few odd channels, to which heads of
//! all channels together are deaf.

use super::ChannelTick;

/// Channels whose improbabilities are added up.
pub(crate) const TOP: usize = 8;
/// What a channel's score must exceed to count, and the most that it counts for, as parts of its edge.
pub(crate) const COUNTED: (f32, f32) = (0.3, 1.5);

/// What each channel adds to the sum, as a part of its edge.
pub(crate) fn additions(channels: &[ChannelTick], out: &mut Vec<f32>) {
    let (least, most) = COUNTED;
    let addition = |c: &ChannelTick| if c.score.is_nan() { 0.0 } else { c.score.clamp(least, most) - least };
    out.clear();
    out.extend(channels.iter().map(addition));
}

/// The least addition that is among the loudest [`TOP`].
fn least_counted(additions: &[f32]) -> f32 {
    let mut top = [0.0f32; TOP];
    for x in additions {
        let mut x = *x;
        for t in &mut top {
            if x > *t {
                std::mem::swap(&mut x, t);
            }
        }
    }
    top[TOP - 1]
}

/// Sum of the loudest [`TOP`] additions.
pub(crate) fn sum(additions: &[f32]) -> f32 {
    let least = least_counted(additions);
    let (over, count) = additions.iter().filter(|x| **x > least).fold((0.0, 0), |(sum, n), x| (sum + x, n + 1));
    over + (TOP - count) as f32 * least
}

/// What each channel adds to the sum; they add up to it. Channels that tie for the last place share it.
pub(crate) fn contributions(additions: &[f32]) -> Vec<f32> {
    let least = least_counted(additions);
    let over = additions.iter().filter(|x| **x > least).count();
    let ties = additions.iter().filter(|x| **x == least).count().max(1);
    let shared = (TOP - over) as f32 * least / ties as f32;
    additions
        .iter()
        .map(|x| {
            if *x > least {
                *x
            } else if *x == least {
                shared
            } else {
                0.0
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contributions_add_up() {
        for numbers in [vec![], vec![0.5], vec![0.1; 20], (0..30).map(|i| (i * 7 % 11) as f32 / 10.0).collect()] {
            let parts: f32 = contributions(&numbers).iter().sum();
            assert!((parts - sum(&numbers)).abs() < 1e-5, "{numbers:?}");
        }
        assert!((sum(&[1.0, 0.5]) - 1.5).abs() < 1e-6);
    }

    #[test]
    fn nothing_known_adds_nothing() {
        let mut out = Vec::new();
        additions(&[ChannelTick::MISSING, ChannelTick { score: f32::INFINITY, ..ChannelTick::MISSING }], &mut out);
        assert_eq!(out, [0.0, COUNTED.1 - COUNTED.0]);
    }
}
