//! What holds for any samples: finite scores, the same answer each time, and no break by a checkpoint.

use proptest::prelude::*;
use watchbell_detect::{CivilTime, EntityCount, Judge, JudgeConfig, StateError};
use watchbell_series::{Direction, NotReady, Sample, SeriesSpec, Verdict};

use crate::support::{Feed, noise};

const SERIES: u32 = 4;

fn judge() -> Judge {
    let config = JudgeConfig { warmup_s: 0.0, warmup_samples: 12, settle_s: f32::INFINITY, ..JudgeConfig::default() };
    let mut judge = Judge::new(config, CivilTime::new(vec![(0, 3600), (90_000_000, 7200)]));
    for slot in 0..SERIES {
        let mut spec = SeriesSpec::default();
        match slot {
            1 => (spec.direction, spec.legal_min) = (Direction::Up, 0.0),
            2 => spec.min_relative_deviation = 0.5,
            _ => {}
        }
        judge.admit(slot, &spec, slot / 2);
    }
    judge
}

/// Values from nice to nasty: noise, two values, constants, and every magnitude that there is.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (0u64..1000).prop_map(|i| 50.0 + noise(i)),
        3 => prop_oneof![Just(0.0), Just(1.0)],
        1 => Just(7.0),
        1 => -1e300..1e300f64,
        1 => Just(f64::MAX),
        1 => Just(-f64::MAX),
        1 => Just(f64::MIN_POSITIVE / 3.0),
        1 => -1e-300..1e-300f64,
        1 => (0u64..1000).prop_map(|i| 1e15 + noise(i)),
        1 => any::<f64>(),
    ]
}

/// Steps of time from a second to a year, mostly one cadence; sometimes the clock is set back.
fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let gap = prop_oneof![
        20 => Just(60_000i64),
        3 => Just(1_000i64),
        3 => Just(3_600_000i64),
        1 => Just(366 * 86_400_000i64),
        1 => Just(-3_600_000i64),
        1 => 1..100_000i64,
    ];
    proptest::collection::vec((0..SERIES, gap, value()), 1..400).prop_map(|rows| {
        let (mut now, mut last) = (1_600_000_000_000i64, [None; SERIES as usize]);
        rows.into_iter()
            .map(|(slot, gap, value)| {
                now += gap;
                let cadence_s = last[slot as usize].replace(now).map_or(0.0, |last| (now - last) as f32 / 1000.0);
                Sample { slot, cadence_s, ts_ms: now, value }
            })
            .collect()
    })
}

/// One series of one kind: all equal, two values, steps, a climb, noise, at any magnitude; at one cadence, and from
/// somewhere on at another, with a gap between.
fn series() -> impl Strategy<Value = Vec<Sample>> {
    let cadence_s = || prop_oneof![Just(1i64), Just(15), Just(60), Just(300), Just(3600), Just(86_400)];
    let magnitude = prop_oneof![Just(5e-324), Just(1e-300), Just(1e-9), Just(1.0), Just(1e12), Just(1e300)];
    let gap_s = prop_oneof![3 => Just(0i64), 1 => Just(7200), 1 => Just(366 * 86_400)];
    (0u8..5, magnitude, cadence_s(), cadence_s(), gap_s, 1usize..900, 0usize..900).prop_map(
        |(kind, magnitude, first_s, then_s, gap_s, rows, turn)| {
            let mut now_s = 1_700_000_000;
            (0..rows)
                .map(|row| {
                    let step_s = if row < turn { first_s } else { then_s };
                    now_s += if row == turn { step_s + gap_s } else { step_s };
                    let i = row as u64;
                    let shape = match kind {
                        0 => 3.0,
                        1 => (i * i % 7 / 6) as f64,
                        2 => (i / 50) as f64,
                        3 => i as f64,
                        _ => noise(i),
                    };
                    Sample { slot: 0, cadence_s: step_s as f32, ts_ms: now_s * 1000, value: shape * magnitude }
                })
                .collect()
        },
    )
}

/// A verdict without what `==` cannot compare.
fn bits(verdict: &Verdict) -> (u32, i64, [u64; 4], [u32; 2], bool, bool, u8) {
    let v = verdict;
    let values = [v.value, v.expected, v.lower, v.upper].map(f64::to_bits);
    (v.slot, v.ts_ms, values, [v.score, v.edge].map(f32::to_bits), v.onset, v.alarm, v.pattern as u8)
}

/// All that a judge would tell of its series.
fn told(judge: &Judge, now_ms: i64) -> String {
    let readings: Vec<_> = (0..SERIES).map(|slot| judge.reading(slot, now_ms)).collect();
    format!("{readings:?} {:?}", judge.entities().collect::<Vec<_>>())
}

/// The counts of entities, by a scan.
fn counted(judge: &Judge, now_ms: i64) -> Vec<(u32, EntityCount)> {
    let mut counts: Vec<(u32, EntityCount)> = Vec::new();
    for slot in 0..SERIES {
        let reading = judge.reading(slot, now_ms);
        if reading.ts_ms == 0 || reading.not_ready == Some(NotReady::Stale) {
            continue;
        }
        let ready = reading.not_ready.is_none();
        let one = EntityCount {
            judged: 1,
            ready: u32::from(ready),
            anomalous: u32::from(ready && reading.score > 1.0),
            settled: 0,
        };
        match counts.last_mut() {
            Some((entity, count)) if *entity == slot / 2 => *count = count.plus(one),
            _ => counts.push((slot / 2, one)),
        }
    }
    counts
}

fn resumed(judge_before: &Judge) -> Judge {
    let mut after = judge();
    for slot in 0..SERIES {
        let mut bytes = Vec::new();
        judge_before.save(slot, &mut bytes);
        bytes.push(0xff);
        assert_eq!(after.load(slot, &bytes), Ok(bytes.len() - 1));
        bytes.pop();
        let mut again = Vec::new();
        after.save(slot, &mut again);
        assert_eq!(bytes, again);
    }
    after
}

proptest! {
    #[test]
    fn scores_are_finite_and_counts_true(samples in samples()) {
        let (mut judge, mut verdicts) = (judge(), Vec::new());
        for sample in &samples {
            judge.judge(std::slice::from_ref(sample), &mut verdicts);
            let reading = judge.reading(sample.slot, sample.ts_ms);
            if reading.ts_ms > 0 && reading.not_ready.is_none() {
                prop_assert!((0.0..=1000.0).contains(&reading.score), "{:?}", reading);
                prop_assert!(reading.lower <= reading.expected && reading.expected <= reading.upper, "{:?}", reading);
            }
        }
        for v in &verdicts {
            prop_assert!(v.score.is_nan() || (0.0..=1000.0).contains(&v.score), "{:?}", v);
            prop_assert!(v.edge >= 1.0 && v.lower <= v.expected && v.expected <= v.upper, "{:?}", v);
        }
        let now = samples.last().map_or(0, |s| s.ts_ms);
        for slot in samples.iter().map(|sample| sample.slot) {
            let Some(insight) = judge.insight(slot, now) else { continue };
            prop_assert!(!insight.alarms_from.is_nan() && !insight.alarms_to.is_nan(), "{:?}", insight);
            prop_assert!(insight.edge >= 1.0 && insight.why.return_s != 0.0, "{:?}", insight);
        }
        judge.sweep(now, &mut verdicts);
        prop_assert_eq!(judge.entities().collect::<Vec<_>>(), counted(&judge, now));
    }

    #[test]
    fn every_kind_of_series_is_survived_at_every_cadence(samples in series(), cut in 0usize..900) {
        let (mut one, mut all) = (judge(), Vec::new());
        let cut = cut.min(samples.len());
        one.judge(&samples[..cut], &mut all);
        let mut two = resumed(&one);
        let mut parts = all.clone();
        one.judge(&samples[cut..], &mut all);
        two.judge(&samples[cut..], &mut parts);
        prop_assert_eq!(all.iter().map(bits).collect::<Vec<_>>(), parts.iter().map(bits).collect::<Vec<_>>());
        for v in &all {
            prop_assert!(v.score.is_nan() || (0.0..=1000.0).contains(&v.score), "{:?}", v);
            prop_assert!(v.lower <= v.expected && v.expected <= v.upper, "{:?}", v);
        }
        // No storm: an alarm is not raised over and over.
        prop_assert!(all.iter().filter(|v| v.onset).count() <= 5 + samples.len() / 20, "{:?}", all.len());
    }

    #[test]
    fn a_checkpoint_changes_nothing(samples in samples(), cut in 0usize..400, twice: bool) {
        let cut = cut.min(samples.len());
        let (mut one, mut all) = (judge(), Vec::new());
        one.judge(&samples, &mut all);
        let (mut two, mut parts) = (judge(), Vec::new());
        two.judge(&samples[..cut], &mut parts);
        let mut two = resumed(&two);
        if twice {
            two = resumed(&two);
        }
        two.judge(&samples[cut..], &mut parts);
        let now = samples.last().map_or(0, |s| s.ts_ms) + 200_000;
        one.sweep(now, &mut all);
        two.sweep(now, &mut parts);
        prop_assert_eq!(all.iter().map(bits).collect::<Vec<_>>(), parts.iter().map(bits).collect::<Vec<_>>());
        prop_assert_eq!(told(&one, now), told(&two, now));
    }

    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, at in 0usize..500, byte: u8, more in samples()) {
        let mut feed = judge();
        let _ = feed.load(0, &bytes);
        // The state of a series that varies, with one byte changed: refused, or harmless.
        let mut source = Feed::new(SeriesSpec::default());
        source.put_all(0..60, |i| 5.0 + noise(i));
        let mut state = Vec::new();
        source.judge.save(0, &mut state);
        let at = at % state.len();
        prop_assert!(matches!(feed.load(0, &state[..at]), Err(StateError::Short(_) | StateError::Damaged(_))));
        state[at] = byte;
        if feed.load(0, &state).is_ok() {
            let mut verdicts = Vec::new();
            feed.judge(&more, &mut verdicts);
            prop_assert!(verdicts.iter().all(|v| v.score.is_nan() || (0.0..=1000.0).contains(&v.score)));
        }
    }
}

#[test]
fn state_of_another_version_is_refused() {
    let mut feed = judge();
    let mut state = Vec::new();
    feed.save(0, &mut state);
    state[0] = state[0].wrapping_add(1);
    assert_eq!(feed.load(0, &state), Err(StateError::Version(Judge::STATE_VERSION + 1)));
    assert_eq!(feed.load(99, &state), Err(StateError::NotAdmitted(99)));
}
