//! Several columns as one machine: judged one by one, and together by the joint detector.

use watchbell_detect::{ChannelTick, HostVerdict, JointConfig, JointHost, Judge, ensemble};
use watchbell_series::{Sample, Verdict};

use super::Outcome;

/// Cadence to reckon with while none is known, seconds.
const UNKNOWN_CADENCE_S: f32 = 60.0;
/// An alarm of the share of columns closes after more rows than this under the edge.
const LATCH_ROWS: u32 = 5;

/// What is known of the host as a whole.
#[derive(Debug)]
pub struct Host {
    joint: JointHost,
    ticks: Vec<ChannelTick>,
    /// Rows for which the open alarm of the share of columns was under the edge.
    under: Option<u32>,
}

impl Host {
    /// Nothing is known yet of so many columns.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self { joint: JointHost::new(JointConfig::default()), ticks: vec![ChannelTick::MISSING; columns], under: None }
    }

    /// The row of `samples` that `judge` judged last, with these verdicts, all columns together.
    pub fn judge(&mut self, judge: &Judge, ts_ms: i64, samples: &[Sample], verdicts: &[Verdict]) -> Outcome {
        self.ticks.fill(ChannelTick::MISSING);
        let mut cadence_s = 0.0;
        for sample in samples {
            let reading = judge.reading(sample.slot, ts_ms);
            let score = if reading.not_ready.is_none() { reading.score } else { f32::NAN };
            let onset = verdicts.iter().any(|verdict| verdict.slot == sample.slot && verdict.onset);
            self.ticks[sample.slot as usize] = ChannelTick { value: sample.value as f32, score, onset };
            cadence_s = sample.cadence_s.max(cadence_s);
        }
        let cadence_s = if cadence_s > 0.0 { cadence_s } else { UNKNOWN_CADENCE_S };
        let verdict = self.joint.tick(ts_ms, cadence_s, &self.ticks);
        if self.joint.fit_due() {
            self.joint.fit();
        }
        if verdict.score.is_nan() {
            return self.roll_up(verdict.parts.rollup);
        }
        self.under = None;
        let HostVerdict { onset, alarm, .. } = verdict;
        // As in the service; one file has no peers.
        let score = ensemble::of_host(verdict.score, alarm, verdict.parts.rollup, f32::NAN).score;
        Outcome { score: Some(score), own: score, onset, alarm, ..Outcome::NONE }
    }

    /// While the host is not known as a whole, the share of its columns over their edge stands in.
    fn roll_up(&mut self, score: f32) -> Outcome {
        let was_open = self.under.is_some();
        self.under = match self.under {
            _ if score >= 1.0 => Some(0),
            Some(rows) if rows < LATCH_ROWS => Some(rows + 1),
            _ => None,
        };
        let alarm = self.under.is_some();
        let score = (!score.is_nan()).then_some(score);
        Outcome { score, own: score.unwrap_or(0.0), onset: alarm && !was_open, alarm, ..Outcome::NONE }
    }
}
