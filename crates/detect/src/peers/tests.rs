use super::*;
use proptest::prelude::*;

fn noise(i: u64) -> f64 {
    (0..4).map(|k| f64::from(crate::math::dither(i * 4 + k)) - 0.5).sum::<f64>() * 1.732
}

/// A day's load at tick `t`, one a minute.
fn daily(t: u64) -> f64 {
    100.0 + 60.0 * (t as f64 / 1440.0 * std::f64::consts::TAU).sin()
}

/// What member `i` shows at tick `t`: the load times its own share, with noise that lasts for some ticks.
fn load(i: u64, t: u64) -> f64 {
    let slow = (0..5).map(|k| noise((t / 5 + k) * 131 + i * 7)).sum::<f64>() / 5.0;
    let size = if i == 3 { 2.0 } else { 1.0 };
    size * daily(t) * (1.0 + 0.03 * noise(t * 1000 + i) + 0.03 * slow)
}

fn fill(group: &mut PeerGroup, ids: std::ops::Range<u64>) {
    for id in ids {
        group.join(id, PeerRules::default());
    }
}

struct Bench {
    group: PeerGroup,
    t: u64,
}

impl Bench {
    fn new(members: u64) -> Self {
        let mut group = PeerGroup::default();
        (0..members).for_each(|i| assert_eq!(group.join(100 + i, PeerRules::default()), i as u32));
        Self { group, t: 0 }
    }

    /// One tick; `change` may change a member's value.
    fn tick(&mut self, change: impl Fn(u64, f64) -> f64) -> Vec<PeerVerdict> {
        let mut out = Vec::new();
        for i in 0..self.group.len() as u64 {
            self.group.set(i as u32, change(i, load(i, self.t)));
        }
        self.group.tick(&mut out);
        self.t += 1;
        out
    }

    fn quiet(&mut self, ticks: u64) -> usize {
        (0..ticks).map(|_| self.tick(|_, x| x).iter().filter(|v| v.onset).count()).sum()
    }
}

#[test]
fn quiet_groups_are_quiet_and_a_machine_of_another_make_is_known() {
    let mut bench = Bench::new(20);
    let days = 10;
    let alarms = bench.quiet(1440 * days);
    assert!(alarms <= 2, "{alarms} in {days} days of 20 members");
    assert!((bench.group.members[3].offset - 0.9).abs() < 0.2, "twice the others: {:?}", bench.group.members[3]);
    assert!(bench.group.score(3) < 1.0 && bench.group.score(0) < 1.0);
}

#[test]
fn a_member_that_leaves_the_others_rings_once_within_minutes() {
    let mut bench = Bench::new(12);
    bench.quiet(1440);
    let mut rang = Vec::new();
    for minute in 0..30 {
        let verdicts = bench.tick(|i, x| if i == 5 { x * 1.6 } else { x });
        rang.extend(verdicts.into_iter().filter(|v| v.onset).map(|v| (minute, v)));
    }
    assert_eq!(rang.len(), 1, "{rang:?}");
    let (minute, verdict) = rang[0];
    assert!((2..6).contains(&minute) && verdict.member == 5, "{minute} {verdict:?}");
    assert!(verdict.upper < verdict.value && verdict.lower < verdict.expected && verdict.alarm);
    assert!((verdict.expected / daily(bench.t) - 1.0).abs() < 0.15, "{verdict:?}");
    let mut closing = Vec::new();
    for _ in 0..12 {
        closing.extend(bench.tick(|_, x| x).into_iter().filter(|v| !v.alarm));
    }
    assert!(closing.len() == 1 && closing[0].score < 0.8, "told of its end once: {closing:?}");
}

#[test]
fn one_tick_is_nothing() {
    let mut bench = Bench::new(12);
    bench.quiet(600);
    for _ in 0..PERSIST - 1 {
        assert!(bench.tick(|i, x| if i == 2 { x * 4.0 } else { x }).is_empty());
    }
    assert!(bench.tick(|_, x| x).is_empty());
}

#[test]
fn the_good_direction_and_small_deviations_do_not_ring() {
    let mut bench = Bench::new(12);
    bench.quiet(600);
    bench.group.set_rules(2, PeerRules { direction: Direction::Down, ..PeerRules::default() });
    bench.group.set_rules(4, PeerRules { min_relative: 2.0, ..PeerRules::default() });
    for _ in 0..10 {
        assert!(bench.tick(|i, x| if i == 2 || i == 4 { x * 2.0 } else { x }).is_empty());
    }
    assert!(bench.group.score(2) <= CAP && bench.group.score(2) > 0.9);
}

#[test]
fn half_a_group_is_no_outlier_and_few_members_are_no_group() {
    let mut bench = Bench::new(12);
    bench.quiet(600);
    for _ in 0..20 {
        let verdicts = bench.tick(|i, x| if i % 2 == 0 { x * 3.0 } else { x });
        assert!(verdicts.is_empty(), "{verdicts:?}");
    }
    let mut few = Bench::new(LEAST_MEMBERS as u64 - 1);
    few.quiet(100);
    for _ in 0..10 {
        assert!(few.tick(|i, x| if i == 0 { x * 9.0 } else { x }).is_empty());
    }
    assert!(few.group.score(0).is_nan());
}

#[test]
fn a_lasting_difference_becomes_the_members_own() {
    let mut bench = Bench::new(12);
    bench.quiet(600);
    let mut last = 0;
    for minute in 0..1440 {
        if bench.tick(|i, x| if i == 7 { x * 1.8 } else { x }).iter().any(|v| v.alarm) {
            last = minute;
        }
    }
    assert!((u64::from(ADOPT_TICKS)..u64::from(ADOPT_TICKS) + 180).contains(&last), "{last}");
}

#[test]
fn equal_values_that_part_ring_and_nothing_is_infinite() {
    let mut group = PeerGroup::default();
    fill(&mut group, 0..8);
    let mut out = Vec::new();
    for t in 0..60 {
        for i in 0..8 {
            group.set(i, if t >= 50 && i == 1 { 5.0 } else { 0.0 });
        }
        group.tick(&mut out);
    }
    assert!(out.iter().any(|v| v.onset && v.member == 1), "{out:?}");
    assert!(out.iter().all(|v| v.score.is_finite() && v.score <= MAX_SCORE), "{out:?}");
}

#[test]
fn a_place_is_given_again() {
    let mut group = PeerGroup::default();
    fill(&mut group, 0..8);
    group.leave(3);
    assert_eq!((group.len(), group.join(99, PeerRules::default()), group.join(98, PeerRules::default())), (7, 3, 8));
}

#[test]
fn goes_on_after_a_restart_to_the_bit() {
    let mut one = Bench::new(10);
    one.quiet(400);
    let mut bytes = Vec::new();
    one.group.save(&mut bytes);
    let mut group = PeerGroup::load(&bytes).expect("whole");
    (0..10).for_each(|i| assert_eq!(group.join(100 + i, PeerRules::default()), i as u32));
    let mut two = Bench { group, t: one.t };
    for _ in 0..50 {
        let off = |i, x| if i == 4 { x * 1.5 } else { x };
        let (a, b) = (one.tick(off), two.tick(off));
        assert_eq!(a, b);
    }
    assert_eq!(
        (0..10).map(|i| one.group.score(i).to_bits()).collect::<Vec<_>>(),
        (0..10).map(|i| two.group.score(i).to_bits()).collect::<Vec<_>>()
    );
    assert_eq!(PeerGroup::load(&bytes[..bytes.len() - 1]), Err(PeerStateError::Damaged));
    let mut waiting = PeerGroup::load(&bytes).expect("whole");
    waiting.join(104, PeerRules::default());
    waiting.drop_unclaimed();
    assert_eq!(waiting.len(), 1);
}

proptest! {
    #[test]
    fn any_values_are_survived(ticks in prop::collection::vec(prop::collection::vec(prop::num::f64::ANY, 9), 1..60)) {
        let mut group = PeerGroup::default();
        fill(&mut group, 0..9);
        let mut out = Vec::new();
        for values in ticks {
            for (at, value) in values.into_iter().enumerate() {
                group.set(at as u32, value);
            }
            group.tick(&mut out);
            prop_assert!((0..9).all(|at| group.score(at).is_nan() || (0.0..=MAX_SCORE).contains(&group.score(at))));
        }
        let mut bytes = Vec::new();
        group.save(&mut bytes);
        prop_assert!(PeerGroup::load(&bytes).is_ok(), "{:?}", group);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = PeerGroup::load(&bytes);
    }
}
