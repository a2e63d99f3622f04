//! Samples of any value at any time, two series at once: scores stay numbers, and a checkpoint anywhere changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use watchbell_detect::{CivilTime, Judge, JudgeConfig};
use watchbell_series::{Sample, SeriesSpec, Verdict};

fn judge() -> Judge {
    let config = JudgeConfig { warmup_s: 0.0, warmup_samples: 10, ..JudgeConfig::default() };
    let mut judge = Judge::new(config, CivilTime::utc());
    for slot in 0..2 {
        judge.admit(slot, &SeriesSpec::default(), 0);
        judge.track(slot, true);
    }
    judge
}

/// A row is eleven bytes: which series, how much later in steps of the cadence's size, and the value's bits.
fn samples(bytes: &[u8]) -> Vec<Sample> {
    let mut ts_ms = 1_700_000_000_000i64;
    let row = |row: &[u8; 11]| {
        let cadence_s = [1.0f32, 15.0, 60.0, 3600.0][usize::from(row[0] >> 1 & 3)];
        ts_ms += i64::from(i16::from_le_bytes([row[1], row[2]])) * (cadence_s * 1000.0) as i64 / 16;
        let mut value = [0; 8];
        value.copy_from_slice(&row[3..]);
        Sample { slot: u32::from(row[0] & 1), cadence_s, ts_ms, value: f64::from_le_bytes(value) }
    };
    bytes.as_chunks::<11>().0.iter().map(row).collect()
}

fn scores(verdicts: &[Verdict]) -> Vec<u32> {
    verdicts.iter().map(|verdict| verdict.score.to_bits()).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let samples = samples(bytes);
    let (first, then) = samples.split_at(samples.len() / 2);
    let (mut one, mut two) = (judge(), judge());
    let (mut all, mut parts) = (Vec::new(), Vec::new());
    one.judge(first, &mut parts);
    all.extend_from_slice(&parts);
    for slot in 0..2 {
        let mut state = Vec::new();
        one.save(slot, &mut state);
        assert_eq!(two.load(slot, &state), Ok(state.len()));
    }
    one.judge(then, &mut all);
    two.judge(then, &mut parts);
    assert_eq!(scores(&all), scores(&parts));
    assert!(all.iter().all(|v| v.score.is_nan() || (0.0..=1000.0).contains(&v.score)));
    assert!(all.iter().all(|v| v.lower <= v.expected && v.expected <= v.upper));
});
