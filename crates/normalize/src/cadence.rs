//! The cadence of a series: how many seconds usually lie between two samples.
//!
//! Learned from the gaps alone. A single late or missing sample does not move it; five gaps in a row that
//! agree with each other and not with the cadence replace it.

/// Streaming estimate of a series' cadence; 12 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cadence {
    seconds: f32,
    candidate: f32,
    streak: u8,
}

/// Relative difference within which two gaps are the same.
const TOLERANCE: f32 = 0.25;
/// Gain with which agreeing gaps refine the estimate.
const GAIN: f32 = 0.05;
/// Gaps in a row that must agree on another cadence.
const STREAK: u8 = 5;

impl Cadence {
    /// A cadence restored from its parts; see [`Cadence::parts`].
    #[must_use]
    pub fn from_parts((seconds, candidate, streak): (f32, f32, u8)) -> Self {
        Self { seconds, candidate, streak }
    }

    /// Its parts, to be saved.
    #[must_use]
    pub fn parts(self) -> (f32, f32, u8) {
        (self.seconds, self.candidate, self.streak)
    }

    /// The cadence in seconds; 0 while there was no gap yet.
    #[must_use]
    pub fn seconds(self) -> f32 {
        self.seconds
    }

    /// Learns from a gap of `gap_ms` milliseconds between two samples. Gaps that are not positive say nothing.
    pub fn observe(&mut self, gap_ms: i64) {
        let gap = gap_ms as f32 / 1000.0;
        if gap <= 0.0 {
            return;
        }
        if self.seconds == 0.0 {
            self.seconds = gap;
        } else if agrees(gap, self.seconds) {
            self.seconds += GAIN * (gap - self.seconds);
            self.streak = 0;
        } else if self.streak > 0 && agrees(gap, self.candidate) {
            self.streak += 1;
            if self.streak >= STREAK {
                *self = Self { seconds: self.candidate, candidate: 0.0, streak: 0 };
            }
        } else {
            self.candidate = gap;
            self.streak = 1;
        }
    }
}

fn agrees(gap: f32, with: f32) -> bool {
    (gap - with).abs() <= TOLERANCE * with
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(gaps_ms: &[i64]) -> f32 {
        let mut cadence = Cadence::default();
        for gap in gaps_ms {
            cadence.observe(*gap);
        }
        cadence.seconds()
    }

    #[test]
    fn learns_and_keeps() {
        assert_eq!(learn(&[]), 0.0);
        assert_eq!(learn(&[15_000]), 15.0);
        assert!((learn(&[15_003, 14_990, 60_000, 15_000, 15_010]) - 15.0).abs() < 0.1);
        assert_eq!(learn(&[15_000, 0, -3_000]), 15.0);
    }

    #[test]
    fn adopts_a_new_cadence() {
        assert_eq!(learn(&[1_000, 60_000, 60_000, 60_000, 60_000, 60_000]), 60.0);
        assert_eq!(learn(&[60_000, 60_000, 1_000, 60_000, 1_000, 60_000]), 60.0);
        assert_eq!(learn(&[3_600_000, 60_000, 60_000, 60_000, 60_000, 60_000]), 60.0);
    }
}
