//! Saved state of the detector: what loads must save to the same bytes, and judge without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watchbell_detect::{CivilTime, Judge, JudgeConfig};
use watchbell_series::{Sample, SeriesSpec};

fuzz_target!(|bytes: &[u8]| {
    let mut judge = Judge::new(JudgeConfig::default(), CivilTime::utc());
    judge.admit(0, &SeriesSpec::default(), 0);
    let Ok(taken) = judge.load(0, bytes) else { return };
    let mut saved = Vec::new();
    judge.save(0, &mut saved);
    assert_eq!(saved, bytes[..taken]);
    let mut verdicts = Vec::new();
    for (ts_ms, value) in [(1_760_000_000_000, 1.0), (1_760_000_015_000, -1e300), (1_760_000_030_000, 1e-300)] {
        judge.judge(&[Sample { slot: 0, cadence_s: 15.0, ts_ms, value }], &mut verdicts);
        let reading = judge.reading(0, ts_ms);
        assert!(reading.score.is_nan() == reading.not_ready.is_some() && !reading.score.is_infinite());
    }
});
