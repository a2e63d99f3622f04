//! The measures by which detectors are compared.
//!
//! All of them count rows as they are: no measure lets one flagged row of an event stand for the others
//! ("point adjustment"), because a random score does well by such a measure.
//!
//! | module | holds |
//! | --- | --- |
//! | [`points`] | precision, recall and false-positive rate by row |
//! | [`events`] | what is found, false alarms and delay by labelled event |
//! | [`ranking`] | what a score is worth at any threshold: average precision, best F1 |
//! | [`vus`] | the volume under the precision-recall surface, VUS-PR |
//! | [`nab`] | the score of the Numenta Anomaly Benchmark |

pub mod events;
pub mod nab;
pub mod points;
pub mod ranking;
pub mod vus;

pub use events::{EventCounts, event_counts};
pub use points::PointCounts;

/// A share of two counts, with what follows from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prf {
    /// Of what was flagged, the part that is right.
    pub precision: f64,
    /// Of what is to be found, the part that was.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

impl Prf {
    /// From what was found, made up and missed; NaN where there is nothing to divide by.
    #[must_use]
    pub fn of(found: u64, wrong: u64, missed: u64) -> Self {
        let (found, wrong, missed) = (found as f64, wrong as f64, missed as f64);
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { f64::NAN };
        Self {
            precision: share(found, found + wrong),
            recall: share(found, found + missed),
            f1: share(2.0 * found, 2.0 * found + wrong + missed),
        }
    }
}

/// The quantile `q` of sorted numbers, between two of them by their distance; NaN of none.
#[must_use]
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (low, part) = (at.floor() as usize, at - at.floor());
    let (a, b) = (sorted[low], sorted[(low + 1).min(last)]);
    // From the nearer side, so that the ends are met exactly.
    if part >= 0.5 { b - (b - a) * (1.0 - part) } else { a + (b - a) * part }
}

/// Contiguous true stretches, as first and last row.
#[must_use]
pub fn runs(mask: &[bool]) -> Vec<(usize, usize)> {
    let (mut out, mut start) = (Vec::new(), None);
    for (row, set) in mask.iter().enumerate() {
        match (set, start) {
            (true, None) => start = Some(row),
            (false, Some(first)) => {
                out.push((first, row - 1));
                start = None;
            }
            _ => {}
        }
    }
    out.extend(start.map(|first| (first, mask.len() - 1)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_nothing_are_not_numbers() {
        let prf = Prf::of(3, 1, 2);
        assert_eq!((prf.precision, prf.recall), (0.75, 0.6));
        assert!((prf.f1 - 2.0 / 3.0).abs() < 1e-15);
        assert!(
            Prf::of(0, 0, 2).precision.is_nan() && Prf::of(0, 1, 0).recall.is_nan() && Prf::of(0, 0, 0).f1.is_nan()
        );
    }

    #[test]
    fn quantiles_lie_between() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert!((quantile(&[0.0, 10.0], 0.9) - 9.0).abs() < 1e-12);
        assert_eq!(quantile(&[7.0], 0.9), 7.0);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn runs_reach_to_the_ends() {
        let mask = [true, true, false, true, false, false, true];
        assert_eq!(runs(&mask), [(0, 1), (3, 3), (6, 6)]);
        assert_eq!(runs(&[]), []);
    }
}
