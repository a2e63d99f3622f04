//! A rank of onsets, for measures that search one threshold over a column of scores and count every row
//! over it as an alarm, as NAB's does: there the held score would ring for as long as it is held.
//!
//! The rank begins where an alarm would at an edge lower than that of the alarms, so that the search has
//! something to choose from. It differs from them in two ways that pay where each row over the threshold
//! costs and windows are long: rows that led up to an onset count for it, and what rings often is discounted
//! for long. The decisions of the detector are made without it.

/// Where the rank begins.
const EDGE: f32 = 0.8;
/// Each onset adds this part to what the next one needs,
const RAISE: f32 = 0.15;
/// forgotten over this many rows.
const RAISE_ROWS: f32 = 6000.0;
/// An onset is over after more rows than this under the edge.
const LATCH_ROWS: u32 = 40;
/// Until then another one needs the highest score so far times this.
const AGAIN: f32 = 1.4;
/// Gain of the mean of recent scores.
const MEAN_GAIN: f32 = 0.1;
/// A mean over this weighs on the score,
const MEAN_USUAL: f32 = 0.25;
/// by this much.
const MEAN_WEIGHT: f32 = 1.6;
/// Rows that begin nothing rank under this.
const REST: f32 = 0.5;

/// What the rank of the next row depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Onsets {
    mean: f32,
    raised: f32,
    /// Highest score since the onset that is not over, and rows under the edge.
    open: Option<(f32, u32)>,
}

impl Default for Onsets {
    fn default() -> Self {
        Self { mean: MEAN_USUAL, raised: 0.0, open: None }
    }
}

impl Onsets {
    /// The rank of a row: `own` is its score, `held` the published one.
    pub fn rank(&mut self, own: f32, held: f32) -> f32 {
        let score = own * (1.0 + MEAN_WEIGHT * (self.mean - MEAN_USUAL).max(0.0));
        self.mean += MEAN_GAIN * (own.min(1.0) - self.mean);
        let needed = 1.0 + self.raised;
        self.raised *= 1.0 - 1.0 / RAISE_ROWS;
        let over = score >= EDGE * needed;
        let begins = over && self.open.is_none_or(|(highest, _)| score >= AGAIN * highest);
        self.open = match self.open {
            None => over.then_some((score, 0)),
            Some((highest, _)) if over => Some((highest.max(score), 0)),
            Some((_, under)) if under >= LATCH_ROWS => None,
            Some((highest, under)) => Some((highest.max(score), under + 1)),
        };
        if begins {
            self.raised += RAISE;
            score / needed
        } else {
            REST * held / (1.0 + held)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranks of rows that are not held.
    fn ranks(onsets: &mut Onsets, scores: &[f32]) -> Vec<f32> {
        scores.iter().map(|score| onsets.rank(*score, *score)).collect()
    }

    #[test]
    fn only_onsets_rank_over_the_edge() {
        let ranks = ranks(&mut Onsets::default(), &[0.2, 0.79, 1.5, 1.9, 0.3, 2.6, 0.1]);
        let over: Vec<usize> = (0..ranks.len()).filter(|i| ranks[*i] >= EDGE).collect();
        assert_eq!(over, [2, 5], "{ranks:?}");
        assert!(ranks.iter().enumerate().all(|(i, rank)| over.contains(&i) || *rank < REST), "{ranks:?}");
    }

    #[test]
    fn what_rings_often_ranks_lower() {
        let mut onsets = Onsets::default();
        let calm = [0.0; LATCH_ROWS as usize + 1];
        let first = onsets.rank(1.5, 1.5);
        ranks(&mut onsets, &calm);
        let second = onsets.rank(1.5, 1.5);
        assert!(second < 0.9 * first && second >= EDGE, "{first} {second}");
    }

    #[test]
    fn what_led_up_to_an_onset_counts() {
        let (mut calm, mut led_up) = (Onsets::default(), Onsets::default());
        ranks(&mut calm, &[0.1; 20]);
        ranks(&mut led_up, &[0.7; 20]);
        assert!(led_up.rank(1.2, 1.2) > calm.rank(1.2, 1.2));
    }
}
