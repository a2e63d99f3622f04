use super::*;

#[test]
fn slots_that_nobody_admitted_are_skipped() {
    let mut judge = Judge::new(JudgeConfig::default(), CivilTime::utc());
    let mut out = Vec::new();
    judge.judge(&[Sample { slot: 7, cadence_s: 1.0, ts_ms: 0, value: 1.0 }], &mut out);
    assert!(out.is_empty());
}
