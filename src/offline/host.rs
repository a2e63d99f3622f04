//! Several columns as one machine: judged one by one, and together by the joint detector.

use watchbell_detect::{ChannelTick, JointConfig, JointHost, Judge};
use watchbell_series::{Sample, Verdict};

use super::Outcome;

/// Cadence to reckon with while none is known, seconds.
const UNKNOWN_CADENCE_S: f32 = 60.0;

/// What is known of the host as a whole.
#[derive(Debug)]
pub struct Host {
    joint: JointHost,
    ticks: Vec<ChannelTick>,
}

impl Host {
    /// Nothing is known yet of so many columns.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self { joint: JointHost::new(JointConfig::default()), ticks: vec![ChannelTick::MISSING; columns] }
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
        let score = (!verdict.score.is_nan()).then_some(verdict.score);
        Outcome { score, own: score.unwrap_or(0.0), onset: verdict.onset, alarm: verdict.alarm, ..Outcome::NONE }
    }
}
