//! The series of one file and their judge. One column is a series, several are the series of one machine.

use watchbell_detect::{CivilTime, Judge, JudgeConfig};
use watchbell_normalize::Cadence;
use watchbell_series::{Sample, SeriesSpec, Verdict};

use super::host::Host;

/// As the service judges, but from the eleventh row on, whatever the cadence: files may be short.
fn config() -> JudgeConfig {
    JudgeConfig { warmup_s: 0.0, warmup_samples: 10, ..JudgeConfig::default() }
}

/// What is said of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The score, if there is one.
    pub score: Option<f32>,
    /// The score of the row by itself, never the held one; 0 while there is none.
    pub own: f32,
    /// Whether the row raises an alarm.
    pub onset: bool,
    /// Whether an alarm is open.
    pub alarm: bool,
    /// Lower end of the expected band; NaN where there is none, as for several columns.
    pub lower: f64,
    /// Upper end of the expected band.
    pub upper: f64,
}

impl Outcome {
    /// Of a row without a sample, or of which nothing is known yet.
    pub const NONE: Self = Self { score: None, own: 0.0, onset: false, alarm: false, lower: f64::NAN, upper: f64::NAN };
}

/// The series of one file and their judge: each row by itself and earlier rows only.
#[derive(Debug)]
pub struct Entity {
    judge: Judge,
    /// Cadence and time of the last sample of each column.
    columns: Vec<(Cadence, Option<i64>)>,
    samples: Vec<Sample>,
    verdicts: Vec<Verdict>,
    /// Where there are several columns.
    host: Option<Host>,
}

impl Entity {
    /// Nothing is known yet of so many columns.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        Self::with_edge(columns, config().edge)
    }

    /// One whose series raise alarms from another score on, as a search for the best edge needs it.
    #[must_use]
    pub fn with_edge(columns: usize, edge: f32) -> Self {
        let mut judge = Judge::new(JudgeConfig { edge, ..config() }, CivilTime::utc());
        for slot in 0..columns as u32 {
            judge.admit(slot, &SeriesSpec::default(), 0);
        }
        if columns == 1 {
            // So that each row has a verdict, and with it a score of its own.
            judge.track(0, true);
        }
        let host = (columns > 1).then(|| Host::new(columns));
        let columns = vec![(Cadence::default(), None); columns];
        Self { judge, columns, samples: Vec::new(), verdicts: Vec::new(), host }
    }

    /// Judges the next row: the value of each column, NaN where there is none.
    pub fn judge_row(&mut self, ts_ms: i64, values: &[f64]) -> Outcome {
        self.samples.clear();
        self.verdicts.clear();
        for (slot, value) in values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            let (cadence, last) = &mut self.columns[slot];
            if let Some(last) = last.replace(ts_ms) {
                cadence.observe(ts_ms - last);
            }
            self.samples.push(Sample { slot: slot as u32, cadence_s: cadence.seconds(), ts_ms, value: *value });
        }
        if self.samples.is_empty() {
            return Outcome::NONE;
        }
        self.judge.judge(&self.samples, &mut self.verdicts);
        match &mut self.host {
            Some(host) => host.judge(&self.judge, ts_ms, &self.samples, &self.verdicts),
            None => self.single(ts_ms),
        }
    }

    fn single(&self, ts_ms: i64) -> Outcome {
        let reading = self.judge.reading(0, ts_ms);
        let onset = self.verdicts.iter().any(|verdict| verdict.onset);
        let score = reading.not_ready.is_none().then_some(reading.score);
        let own = self.verdicts.last().map_or(0.0, |verdict| verdict.score.max(0.0));
        Outcome { score, own, onset, alarm: reading.alarm, lower: reading.lower, upper: reading.upper }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minutes of gauges that swing a little and jump at row 200.
    fn outcomes(rows: i64, columns: usize) -> Vec<Outcome> {
        let mut entity = Entity::new(columns);
        let value = |i: i64| if i == 200 { 900.0 } else { (100 + (i * 7919) % 13) as f64 };
        (0..rows).map(|i| entity.judge_row(1_600_000_000_000 + 60_000 * i, &vec![value(i); columns])).collect()
    }

    fn rows_where(all: &[Outcome], which: impl Fn(&Outcome) -> bool) -> Vec<usize> {
        (0..all.len()).filter(|i| which(&all[*i])).collect()
    }

    #[test]
    fn a_jump_is_one_onset_and_an_alarm_for_a_while() {
        let all = outcomes(220, 1);
        assert_eq!(all[3].score, None);
        assert_eq!(rows_where(&all, |row| row.onset), [200]);
        let open = rows_where(&all, |row| row.alarm);
        assert!(open.len() > 1 && open[0] == 200, "{open:?}");
        assert!(all[199].lower < 100.0 && all[199].upper > 100.0, "{:?}", all[199]);
    }

    #[test]
    fn later_rows_change_nothing() {
        let (all, start) = (outcomes(220, 1), outcomes(205, 1));
        assert_eq!(format!("{:?}", &all[..205]), format!("{start:?}"));
    }

    #[test]
    fn several_columns_are_one_host_after_a_day() {
        // Two days of minutes; all columns jump in the same row of the second.
        let mut entity = Entity::new(3);
        let value = |i: i64, k: i64| {
            let jump = if i == 2500 { 300 } else { 0 };
            (100 + jump + ((i * 7919 + k * 104_729) ^ (i * k * 31)) % 13) as f64
        };
        let row = |i: i64| [value(i, 1), value(i, 2), value(i, 3)];
        let all: Vec<_> = (0..2880).map(|i| entity.judge_row(1_600_000_000_000 + 60_000 * i, &row(i))).collect();
        assert_eq!((all[1000].score, all[1000].onset), (Some(0.0), false));
        assert_ne!(all[2000].score, Some(0.0));
        assert_eq!(rows_where(&all, |row| row.onset).first(), Some(&2500));
        assert!(all[2500].score.is_some_and(|score| score > 1.0), "{:?}", all[2500]);
    }

    #[test]
    fn no_values_are_no_sample() {
        let mut entity = Entity::new(2);
        let outcome = entity.judge_row(1, &[f64::NAN, f64::NAN]);
        assert_eq!((outcome.score, outcome.onset, outcome.alarm), (None, false, false));
    }
}
