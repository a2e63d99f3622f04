//! One series fed to a judge, minute by minute.

use watchbell_detect::{CivilTime, Judge, JudgeConfig};
use watchbell_series::{Reading, Sample, SeriesSpec, Verdict};

pub(crate) const MINUTE_MS: i64 = 60_000;

/// Even noise made of `i` alone: the sum of four uniform numbers, mean 0, deviation about 1.
pub(crate) fn noise(i: u64) -> f64 {
    let mut h = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut sum = 0.0;
    for _ in 0..4 {
        h = (h ^ (h >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h ^= h >> 32;
        sum += (h >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
    }
    sum * 1.732
}

/// The default rules with a change.
pub(crate) fn spec(change: impl FnOnce(&mut SeriesSpec)) -> SeriesSpec {
    let mut spec = SeriesSpec::default();
    change(&mut spec);
    spec
}

/// A judge of one series of entity 3, with a sample each minute.
pub(crate) struct Feed {
    pub(crate) judge: Judge,
    rows: i64,
}

impl Feed {
    pub(crate) fn new(spec: SeriesSpec) -> Self {
        Self::with(JudgeConfig::default(), spec)
    }

    pub(crate) fn with(config: JudgeConfig, spec: SeriesSpec) -> Self {
        let mut judge = Judge::new(config, CivilTime::utc());
        judge.admit(0, &spec, 3);
        Self { judge, rows: 0 }
    }

    /// Another judge that continues from the state of this one, with default rules and tracked.
    pub(crate) fn clone_by_state(&self) -> Self {
        let mut other = Self::new(SeriesSpec::default());
        let mut bytes = Vec::new();
        self.judge.save(0, &mut bytes);
        assert_eq!(other.judge.load(0, &bytes), Ok(bytes.len()));
        other.judge.track(0, true);
        other.rows = self.rows;
        other
    }

    fn next(&mut self, value: f64) -> Sample {
        let cadence_s = if self.rows == 0 { 0.0 } else { 60.0 };
        self.rows += 1;
        Sample { slot: 0, cadence_s, ts_ms: self.now_ms(), value }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        (self.rows - 1) * MINUTE_MS
    }

    pub(crate) fn put(&mut self, value: f64) -> Vec<Verdict> {
        let (sample, mut out) = (self.next(value), Vec::new());
        self.judge.judge(&[sample], &mut out);
        out
    }

    pub(crate) fn put_all(&mut self, rows: std::ops::Range<u64>, value: impl Fn(u64) -> f64) -> Vec<Verdict> {
        rows.flat_map(|i| self.put(value(i))).collect()
    }

    pub(crate) fn learn(&mut self, rows: std::ops::Range<u64>, value: impl Fn(u64) -> f64) {
        let samples: Vec<Sample> = rows.map(|i| self.next(value(i))).collect();
        self.judge.learn(&samples);
    }

    pub(crate) fn sweep(&mut self, now_ms: i64) -> Vec<Verdict> {
        let mut out = Vec::new();
        self.judge.sweep(now_ms, &mut out);
        out
    }

    pub(crate) fn reading(&self) -> Reading {
        self.judge.reading(0, self.now_ms())
    }
}
