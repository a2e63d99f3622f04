//! Any number of samples in the width of a plot.

/// Columns of a plot, at most.
const COLUMNS: usize = 640;
/// The width of a column at first, in milliseconds.
const FIRST_MS: i64 = 1_000;

/// The least and the greatest value of each of a few hundred stretches of time. It grows with the samples: when they
/// are longer than the columns, two neighbours become one. Samples come in order of time.
#[derive(Debug, Clone)]
pub struct Trace {
    start_ms: Option<i64>,
    column_ms: i64,
    columns: Vec<(f32, f32)>,
}

impl Default for Trace {
    fn default() -> Self {
        Self { start_ms: None, column_ms: FIRST_MS, columns: Vec::new() }
    }
}

/// One column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Column {
    /// The middle of its time.
    pub ts_ms: i64,
    /// Least value.
    pub min: f32,
    /// Greatest value.
    pub max: f32,
}

impl Column {
    /// Between least and greatest.
    #[must_use]
    pub fn middle(&self) -> f32 {
        self.min.midpoint(self.max)
    }
}

const EMPTY: (f32, f32) = (f32::INFINITY, f32::NEG_INFINITY);

impl Trace {
    /// Adds a sample; one that is no number is left out.
    pub fn push(&mut self, ts_ms: i64, value: f64) {
        let value = value as f32;
        if !value.is_finite() {
            return;
        }
        let start = *self.start_ms.get_or_insert(ts_ms);
        let mut at = ts_ms.saturating_sub(start).max(0) / self.column_ms;
        while at >= COLUMNS as i64 {
            self.halve();
            at = ts_ms.saturating_sub(start).max(0) / self.column_ms;
        }
        let at = at as usize;
        if self.columns.len() <= at {
            self.columns.resize(at + 1, EMPTY);
        }
        let (min, max) = &mut self.columns[at];
        (*min, *max) = (min.min(value), max.max(value));
    }

    fn halve(&mut self) {
        self.column_ms = self.column_ms.saturating_mul(2);
        let pairs = self.columns.chunks(2);
        self.columns = pairs.map(|p| p.iter().fold(EMPTY, |a, b| (a.0.min(b.0), a.1.max(b.1)))).collect();
    }

    /// The columns that hold samples, each with its index.
    pub fn columns(&self) -> impl Iterator<Item = (usize, Column)> {
        let (start, width) = (self.start_ms.unwrap_or(0), self.column_ms);
        let held = self.columns.iter().enumerate().filter(|(_, (min, max))| min <= max);
        held.map(move |(i, (min, max))| {
            (i, Column { ts_ms: start + width * i as i64 + width / 2, min: *min, max: *max })
        })
    }

    /// Least and greatest value of all.
    #[must_use]
    pub fn range(&self) -> Option<(f32, f32)> {
        let (min, max) = self.columns.iter().fold(EMPTY, |a, b| (a.0.min(b.0), a.1.max(b.1)));
        (min <= max).then_some((min, max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_extremes_however_long_it_is() {
        let mut trace = Trace::default();
        assert_eq!(trace.range(), None);
        for i in 0..1_000_000i64 {
            trace.push(i * 15_000, if i == 777_777 { 50.0 } else { (i % 10) as f64 });
        }
        trace.push(1_000_000 * 15_000, f64::NAN);
        let all: Vec<(usize, Column)> = trace.columns().collect();
        assert!((COLUMNS / 2..=COLUMNS).contains(&all.len()), "{}", all.len());
        assert_eq!(trace.range(), Some((0.0, 50.0)));
        let (_, peak) = all.iter().find(|(_, column)| column.max == 50.0).expect("kept");
        assert!((peak.ts_ms - 777_777 * 15_000).abs() <= trace.column_ms);
    }

    #[test]
    fn a_gap_is_no_column() {
        let mut trace = Trace::default();
        trace.push(0, 1.0);
        trace.push(10_000, 2.0);
        assert_eq!(trace.columns().map(|(i, _)| i).collect::<Vec<_>>(), [0, 10]);
    }
}
