//! Several columns as one machine: judged one by one, and rolled up to the score of the host.

use watchbell_detect::{EntityCount, Judge, host_score};

use super::Outcome;

/// An alarm of a host closes after more rows than this under the edge.
const LATCH_ROWS: u32 = 5;

/// What is known of the host as a whole.
#[derive(Debug, Default)]
pub struct Host {
    /// Rows for which the open alarm was under the edge.
    under: Option<u32>,
}

impl Host {
    /// The row that `judge` judged last, all columns together.
    pub fn judge(&mut self, judge: &Judge) -> Outcome {
        let count = judge.entities().fold(EntityCount::default(), |sum, (_, count)| sum.plus(count));
        if count.ready == 0 {
            return Outcome::NONE;
        }
        let score = host_score(count);
        let was_open = self.under.is_some();
        self.under = match self.under {
            _ if score >= 1.0 => Some(0),
            Some(rows) if rows < LATCH_ROWS => Some(rows + 1),
            _ => None,
        };
        let alarm = self.under.is_some();
        Outcome { score: Some(score), onset: alarm && !was_open, alarm, ..Outcome::NONE }
    }
}
