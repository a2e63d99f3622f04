//! Counts by row.

use super::Prf;

/// Rows by what they are and what was said of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PointCounts {
    /// Labelled and flagged.
    pub tp: u64,
    /// Flagged only.
    pub fp: u64,
    /// Labelled only.
    pub r#fn: u64,
    /// Neither.
    pub tn: u64,
}

impl PointCounts {
    /// Counts the rows of one series.
    #[must_use]
    pub fn of(label: &[bool], flag: &[bool]) -> Self {
        let mut counts = Self::default();
        for pair in label.iter().zip(flag) {
            *match pair {
                (true, true) => &mut counts.tp,
                (false, true) => &mut counts.fp,
                (true, false) => &mut counts.r#fn,
                (false, false) => &mut counts.tn,
            } += 1;
        }
        counts
    }

    /// The counts of two series together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { tp: self.tp + other.tp, fp: self.fp + other.fp, r#fn: self.r#fn + other.r#fn, tn: self.tn + other.tn }
    }

    /// Precision, recall and F1 of rows.
    #[must_use]
    pub fn prf(self) -> Prf {
        Prf::of(self.tp, self.fp, self.r#fn)
    }

    /// The share of normal rows that were flagged.
    #[must_use]
    pub fn false_positive_rate(self) -> f64 {
        self.fp as f64 / (self.fp + self.tn).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_of_one_kind() {
        let counts = PointCounts::of(&[true, true, false, false, false], &[true, false, true, false, false]);
        assert_eq!(counts, PointCounts { tp: 1, fp: 1, r#fn: 1, tn: 2 });
        assert_eq!(counts.plus(counts).tn, 4);
        assert!((counts.false_positive_rate() - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!(counts.prf().f1, 0.5);
    }
}
