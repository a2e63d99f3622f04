//! A new series that takes over what its group knows.

use watchbell_detect::{CivilTime, Judge, JudgeConfig, Seeded};
use watchbell_series::{NotReady, Reading, Sample, SeriesSpec, Verdict};

use crate::support::{MINUTE_MS, noise};

const MEMBERS: u32 = 20;
const DAYS: i64 = 4;
/// Slots of the newcomers: one that takes over, and one that learns by itself.
const HEIR: u32 = MEMBERS;
const ORPHAN: u32 = MEMBERS + 1;

/// What member `slot` shows at minute `t`: busy by day, each at a level of its own.
fn load(slot: u32, t: i64) -> f64 {
    let day = (t as f64 / 1440.0 * std::f64::consts::TAU).sin();
    100.0 + 3.0 * f64::from(slot) + 40.0 * day + 2.0 * noise(t as u64 * 64 + u64::from(slot))
}

struct Group {
    judge: Judge,
    t: i64,
}

impl Group {
    /// A group that has run for some days, until `minute` of the day, when two more series are admitted.
    fn at(minute: i64) -> Self {
        let mut judge = Judge::new(JudgeConfig::default(), CivilTime::utc());
        for slot in 0..MEMBERS {
            judge.admit(slot, &SeriesSpec::default(), slot);
        }
        let mut group = Self { judge, t: 0 };
        while group.t < DAYS * 1440 + minute {
            group.minute(MEMBERS, |_, value| value);
        }
        for slot in [HEIR, ORPHAN] {
            group.judge.admit(slot, &SeriesSpec::default(), slot);
        }
        group
    }

    fn minute(&mut self, series: u32, change: impl Fn(u32, f64) -> f64) -> Vec<Verdict> {
        let sample =
            |slot| Sample { slot, cadence_s: 60.0, ts_ms: self.t * MINUTE_MS, value: change(slot, load(slot, self.t)) };
        let samples: Vec<Sample> = (0..series).map(sample).collect();
        let mut out = Vec::new();
        self.judge.judge(&samples, &mut out);
        self.t += 1;
        out
    }

    fn seed(&mut self) -> Seeded {
        let donors: Vec<_> = (0..MEMBERS).filter_map(|slot| self.judge.donor(slot)).take(9).collect();
        self.judge.seed(HEIR, &donors)
    }

    fn reading(&self, slot: u32) -> Reading {
        self.judge.reading(slot, self.t * MINUTE_MS)
    }
}

#[test]
fn a_new_host_alerts_within_minutes() {
    let mut group = Group::at(300);
    assert_eq!(group.seed(), Seeded::Early, "it says where its level is first");
    (0..3).for_each(|_| drop(group.minute(ORPHAN + 1, |_, value| value)));
    assert_eq!(group.seed(), Seeded::Done);
    let heir = group.reading(HEIR);
    assert!(heir.inherited && heir.not_ready.is_none(), "{heir:?}");
    assert_eq!(group.reading(ORPHAN).not_ready, Some(NotReady::Warming));
    for _ in 0..5 {
        let verdicts = group.minute(ORPHAN + 1, |_, value| value);
        assert!(verdicts.iter().all(|verdict| !verdict.onset), "{verdicts:?}");
    }
    let strange = group.minute(ORPHAN + 1, |slot, value| if slot >= HEIR { value * 1.6 } else { value });
    let rang: Vec<u32> = strange.iter().filter(|verdict| verdict.onset).map(|verdict| verdict.slot).collect();
    assert_eq!(rang, [HEIR]);
}

#[test]
fn it_does_not_take_the_rise_of_its_first_day_for_an_anomaly() {
    // Before the steepest hours of the day, and at its height.
    for minute in [0, 300, 700] {
        let mut group = Group::at(minute);
        (0..4).for_each(|_| drop(group.minute(ORPHAN + 1, |_, value| value)));
        assert_eq!(group.seed(), Seeded::Done);
        let mut alarms = 0;
        for _ in 0..1430 {
            let verdicts = group.minute(ORPHAN + 1, |_, value| value);
            alarms += verdicts.iter().filter(|verdict| verdict.onset && verdict.slot == HEIR).count();
        }
        assert_eq!(alarms, 0, "from minute {minute} on");
        assert!(group.reading(HEIR).inherited);
        (0..30).for_each(|_| drop(group.minute(ORPHAN + 1, |_, value| value)));
        let reading = group.reading(HEIR);
        assert!(!reading.inherited && reading.not_ready.is_none(), "it goes by its own now: {reading:?}");
        let expected = load(HEIR, group.t);
        assert!((reading.expected - expected).abs() < 15.0, "{expected} {reading:?}");
    }
}

#[test]
fn who_knows_enough_or_nothing_is_left_alone() {
    let mut group = Group::at(0);
    assert_eq!(group.judge.seed(3, &[group.judge.donor(4).expect("ready")]), Seeded::No);
    assert!(group.judge.donor(HEIR).is_none());
    (0..4).for_each(|_| drop(group.minute(ORPHAN + 1, |_, value| value)));
    assert_eq!(group.judge.seed(HEIR, &[]), Seeded::No);
    assert_eq!(group.judge.seed(999, &[]), Seeded::No);
    assert_eq!(group.seed(), Seeded::Done);
    assert_eq!(group.seed(), Seeded::No, "once");
    assert!(group.judge.donor(HEIR).is_none(), "it has nothing of its own to pass on");
}

#[test]
fn what_was_taken_over_is_saved() {
    let mut group = Group::at(300);
    (0..4).for_each(|_| drop(group.minute(ORPHAN + 1, |_, value| value)));
    group.seed();
    let mut bytes = Vec::new();
    group.judge.save(HEIR, &mut bytes);
    let mut other = Judge::new(JudgeConfig::default(), CivilTime::utc());
    other.admit(HEIR, &SeriesSpec::default(), 1);
    assert_eq!(other.load(HEIR, &bytes), Ok(bytes.len()));
    let now_ms = group.t * MINUTE_MS;
    assert_eq!(format!("{:?}", other.reading(HEIR, now_ms)), format!("{:?}", group.reading(HEIR)));
}

#[test]
fn a_tick_gathers_the_worst_since_the_last() {
    let mut group = Group::at(0);
    for slot in 0..MEMBERS {
        group.judge.gather(slot, group.t * MINUTE_MS, MINUTE_MS);
    }
    group.minute(MEMBERS, |slot, value| if slot == 7 { value * 3.0 } else { value });
    group.minute(MEMBERS, |_, value| value);
    let now_ms = group.t * MINUTE_MS;
    let tick = group.judge.gather(7, now_ms, MINUTE_MS).expect("fresh");
    assert!(tick.score > 1.0 && tick.onset && tick.varied, "{tick:?}");
    let quiet = group.judge.gather(6, now_ms, MINUTE_MS).expect("fresh");
    assert!(quiet.score < 1.0 && !quiet.onset && (quiet.value - load(6, group.t - 1)).abs() < 1e-9);
    let again = group.judge.gather(7, now_ms, MINUTE_MS).expect("fresh");
    assert!(again.score < tick.score && !again.onset, "{again:?}");
    assert!(group.judge.gather(7, now_ms + 10 * MINUTE_MS, MINUTE_MS).is_none(), "too old");
    let warming = group.judge.gather(HEIR, now_ms, MINUTE_MS);
    assert!(warming.is_none(), "no sample yet: {warming:?}");
}
