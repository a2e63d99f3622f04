use super::*;
use crate::math::dither;

const MINUTE_MS: i64 = 60_000;
/// Ten minutes: days pass quickly.
const CADENCE_S: f32 = 600.0;

/// Channels that follow one load and have noise of their own; all jump by `jump`. A few odd scores are
/// part of normal life.
fn channels(tick: u64, count: u64, jump: f32) -> Vec<ChannelTick> {
    let load = 3.0 * dither(tick << 20);
    let channel = |c: u64| {
        let noise = dither(tick << 20 | (c + 1));
        let value = 50.0 + load * (1.0 + c as f32 / 10.0) + 2.0 * noise + jump;
        let score = if jump > 0.0 { 1.6 } else { 0.7 * noise.powi(6) };
        ChannelTick { value, score, onset: score > 1.0 }
    };
    (0..count).map(channel).collect()
}

fn step(host: &mut JointHost, tick: u64, channels: &[ChannelTick]) -> HostVerdict {
    let verdict = host.tick(tick as i64 * 10 * MINUTE_MS, CADENCE_S, channels);
    if host.fit_due() {
        host.fit();
    }
    verdict
}

fn run(host: &mut JointHost, ticks: std::ops::Range<u64>, jump_at: u64) -> Vec<HostVerdict> {
    let jump = |tick| if tick == jump_at { 40.0 } else { 0.0 };
    ticks.map(|tick| step(host, tick, &channels(tick, 12, jump(tick)))).collect()
}

fn new() -> JointHost {
    JointHost::new(JointConfig::default())
}

fn by(methods: impl IntoIterator<Item = Method>) -> JointConfig {
    JointConfig { methods: methods.into_iter().collect(), ..JointConfig::default() }
}

/// The bits of a verdict, so that NaN equals NaN.
fn bits(v: &HostVerdict) -> (i64, u32, bool, bool, [u32; 7]) {
    let parts = Method::ALL.map(|method| v.parts.of(method));
    (v.ts_ms, v.score.to_bits(), v.onset, v.alarm, parts.map(f32::to_bits))
}

#[test]
fn a_shared_jump_raises_one_alarm_and_warm_up_gives_no_score() {
    let verdicts = run(&mut new(), 0..1200, 1000);
    assert!(verdicts[..144].iter().all(|v| v.score.is_nan() && !v.onset));
    assert!(verdicts[300..1000].iter().all(|v| v.score < 1.0));
    assert!(verdicts[1000].score > 1.0 && verdicts[1000].alarm, "{:?}", verdicts[1000]);
    let onsets: Vec<usize> = (0..verdicts.len()).filter(|i| verdicts[*i].onset).collect();
    assert_eq!(onsets, [1000]);
    assert!(!verdicts[1100].alarm);
}

#[test]
fn saved_and_loaded_in_the_middle_changes_nothing() {
    let mut whole = new();
    let all = run(&mut whole, 0..700, 600);
    let mut host = new();
    run(&mut host, 0..599, 600);
    let mut bytes = Vec::new();
    host.save(&mut bytes);
    let mut host = JointHost::load(&bytes, JointConfig::default()).expect("saved");
    let rest = run(&mut host, 599..700, 600);
    assert!(all[599..].iter().zip(&rest).all(|(a, b)| bits(a) == bits(b)));
    assert_eq!(host.contributions(), whole.contributions());
    let (mut one, mut other) = (Vec::new(), Vec::new());
    host.save(&mut one);
    whole.save(&mut other);
    assert!(one == other);
}

#[test]
fn damaged_bytes_are_an_error_and_never_a_panic() {
    let mut host = new();
    run(&mut host, 0..300, 200);
    let mut bytes = Vec::new();
    host.save(&mut bytes);
    let load = |bytes: &[u8]| JointHost::load(bytes, JointConfig::default());
    assert!(matches!(load(&[9, 9, 0, 0]), Err(JointStateError::Version(_))));
    for cut in (0..bytes.len()).step_by(97) {
        assert!(load(&bytes[..cut]).is_err());
    }
    for at in (2..bytes.len()).step_by(61) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        if let Ok(mut host) = load(&damaged) {
            step(&mut host, 400, &channels(400, 12, 0.0));
            host.fit();
            assert!(host.contributions().len() <= 12);
        }
    }
}

#[test]
fn contributions_add_up_and_name_the_channel() {
    let mut host = new();
    run(&mut host, 0..1000, u64::MAX);
    let mut odd = channels(1000, 12, 0.0);
    for c in [3, 7] {
        odd[c].value += 40.0;
        odd[c].score = 1.5;
    }
    step(&mut host, 1000, &odd);
    let energy: f32 = host.change.as_ref().map(Change::contributions).expect("a head").iter().sum();
    let energy_now = host.change.as_ref().map(Change::energy_now).expect("a head");
    assert!((energy / energy_now - 1.0).abs() < 1e-3, "{energy} {energy_now}");
    let shares = host.contributions();
    assert!((shares.iter().map(|(_, share)| share).sum::<f32>() - 1.0).abs() < 1e-4);
    let mut first = [shares[0].0, shares[1].0];
    first.sort_unstable();
    assert_eq!(first, [3, 7], "{shares:?}");
}

#[test]
fn missing_channels_lower_the_confidence_and_alarm_nobody() {
    let mut host = new();
    run(&mut host, 0..1000, u64::MAX);
    let mut alarms = 0;
    for tick in 1000..1600 {
        let mut channels = channels(tick, 12, if tick == 1590 { 40.0 } else { 0.0 });
        // A third goes, comes back, goes again.
        for c in (0..12).filter(|c| (c + tick as usize / 100).is_multiple_of(3)) {
            channels[c] = ChannelTick::MISSING;
        }
        let verdict = step(&mut host, tick, &channels);
        assert!((verdict.confidence - 2.0 / 3.0).abs() < 1e-6 && verdict.score.is_finite());
        alarms += u32::from(verdict.onset);
        assert!(!verdict.onset || tick == 1590, "{tick} {verdict:?}");
    }
    assert_eq!(alarms, 1);
}

#[test]
fn channels_may_join_and_a_silent_host_has_no_score() {
    let mut host = new();
    for tick in 0..1500 {
        let count = if tick < 700 { 5 } else { 9 };
        let verdict = step(&mut host, tick, &channels(tick, count, 0.0));
        assert!(!verdict.onset, "{tick} {verdict:?}");
    }
    assert_eq!(host.modelled, 9);
    let verdict = step(&mut host, 1500, &[ChannelTick::MISSING; 9]);
    assert!(verdict.score.is_nan() && verdict.confidence == 0.0);
    assert!(step(&mut host, 1499, &channels(1499, 9, 0.0)).score.is_nan());
}

#[test]
fn garbage_gives_numbers_or_nothing() {
    let garbage = [0.0, -0.0, 1e-42, f32::MIN_POSITIVE, f32::MAX, f32::MIN, f32::INFINITY, f32::NAN, 1.0];
    let mut host = new();
    for tick in 0..900u64 {
        let pick = |k: u64| garbage[(dither(tick * 37 + k) * garbage.len() as f32) as usize % garbage.len()];
        let mut channels: Vec<ChannelTick> =
            (0..6).map(|c| ChannelTick { value: pick(c), score: pick(c + 100), onset: false }).collect();
        // One constant, one denormal, among the wild ones.
        channels.push(ChannelTick { value: 3.0, score: 0.0, onset: false });
        channels.push(ChannelTick { value: 1e-42 * tick as f32, score: 0.1, onset: false });
        let cadence = [CADENCE_S, 0.0, f32::NAN, -5.0, f32::INFINITY][tick as usize % 5];
        let verdict = host.tick(tick as i64 * 10 * MINUTE_MS, cadence, &channels);
        assert!(!verdict.score.is_infinite(), "{tick} {verdict:?}");
        if tick % 50 == 0 {
            host.fit();
        }
        assert!(host.contributions().iter().all(|(_, share)| share.is_finite()));
    }
    let mut bytes = Vec::new();
    host.save(&mut bytes);
    assert!(JointHost::load(&bytes, JointConfig::default()).is_ok());
}

#[test]
fn a_host_that_is_years_old_is_still_fitted_daily() {
    let mut host = new();
    host.age_s = 1e9;
    host.fit();
    for second in 0..86_399 {
        host.tick(second * 1000, 1.0, &[ChannelTick { value: 1.0, score: 0.0, onset: false }]);
        assert!(!host.fit_due(), "{second}");
    }
    host.tick(86_400_000, 1.0, &[ChannelTick { value: 1.0, score: 0.0, onset: false }]);
    assert!(host.fit_due());
}

#[test]
fn a_host_of_forty_channels_stays_small() {
    let mut host = new();
    for tick in 0..400 {
        step(&mut host, tick, &channels(tick, 40, 0.0));
    }
    let mut bytes = Vec::new();
    host.save(&mut bytes);
    assert!(bytes.len() < 120 * 1024, "{}", bytes.len());
    let heads = JointHost::load(&bytes, by([Method::Change, Method::Singles, Method::Level])).expect("saved");
    bytes.clear();
    heads.save(&mut bytes);
    assert!(bytes.len() < 100 * 1024, "{}", bytes.len());
}

#[test]
fn each_method_alone_gives_numbers_and_goes_on_to_the_bit() {
    for method in Method::ALL {
        let config = by([method]);
        let mut whole = JointHost::new(config);
        let all = run(&mut whole, 0..420, 410);
        assert!(all[320..].iter().all(|v| v.score.is_finite() && !v.parts.of(method).is_nan()), "{method}");
        let others = Method::ALL.iter().filter(|other| **other != method);
        assert!(others.map(|other| all[410].parts.of(*other)).all(f32::is_nan), "{method}");
        let mut host = JointHost::new(config);
        run(&mut host, 0..405, 410);
        let mut bytes = Vec::new();
        host.save(&mut bytes);
        let mut host = JointHost::load(&bytes, config).expect("saved");
        let rest = run(&mut host, 405..420, 410);
        assert!(all[405..].iter().zip(&rest).all(|(a, b)| bits(a) == bits(b)), "{method}");
        // To the bit: numbers that are not known differ from themselves.
        let saved = |host: &JointHost| {
            let mut bytes = Vec::new();
            host.save(&mut bytes);
            bytes
        };
        assert!(saved(&host) == saved(&whole), "{method}");
    }
}

#[test]
fn each_method_names_the_channel_that_leaves_its_usual_place() {
    for method in Method::ALL {
        let mut host = JointHost::new(by([method]));
        run(&mut host, 0..1000, u64::MAX);
        let mut shares = Vec::new();
        for tick in 1000..1020 {
            let mut odd = channels(tick, 12, 0.0);
            odd[5].value += 60.0;
            odd[5].score = 1.5;
            let verdict = step(&mut host, tick, &odd);
            if tick == 1002 || (method == Method::Level && tick == 1019) {
                assert!(verdict.parts.of(method) > 0.5, "{method}: {verdict:?}");
                shares = host.contributions();
            }
        }
        assert_eq!(shares[0].0, 5, "{method}: {shares:?}");
        assert!((shares.iter().map(|(_, share)| share).sum::<f32>() - 1.0).abs() < 1e-4, "{method}");
    }
}

#[test]
fn a_new_place_is_adopted_by_models_of_a_sample() {
    let mut host = JointHost::new(by([Method::Kmeans, Method::CorrelationBreak]));
    run(&mut host, 0..2000, u64::MAX);
    let mut moved = |tick| {
        let mut channels = channels(tick, 12, 0.0);
        channels[4].value = 300.0 - channels[4].value;
        step(&mut host, tick, &channels).parts
    };
    let first: Vec<Parts> = (2000..2050).map(&mut moved).collect();
    assert!(first[20].kmeans > 0.8 && first[20].correlation_break > 0.8, "{:?}", first[20]);
    let last = (2050..2050 + 3 * 144).map(&mut moved).last().expect("three days");
    assert!(last.kmeans < 0.5 && last.correlation_break < 0.5, "{last:?}");
}

#[test]
fn methods_may_be_chosen_anew_and_what_was_learned_of_the_others_stays() {
    let mut host = new();
    run(&mut host, 0..700, u64::MAX);
    let mut bytes = Vec::new();
    host.save(&mut bytes);
    let all = by(Method::ALL);
    let mut host = JointHost::load(&bytes, all).expect("saved");
    let first = run(&mut host, 700..701, u64::MAX)[0];
    assert!(first.score.is_finite() && first.parts.change > 0.0 && first.parts.kmeans.is_nan(), "{first:?}");
    let later = run(&mut host, 701..1100, u64::MAX);
    assert!(later.last().is_some_and(|v| Method::ALL.iter().all(|m| !v.parts.of(*m).is_nan())));
    bytes.clear();
    host.save(&mut bytes);
    let mut host = JointHost::load(&bytes, by([Method::Kmeans])).expect("saved");
    let verdict = run(&mut host, 1100..1101, u64::MAX)[0];
    assert!(verdict.parts.change.is_nan() && !verdict.parts.kmeans.is_nan(), "{verdict:?}");
}

#[test]
fn all_methods_of_a_host_of_forty_channels_are_bounded() {
    let mut host = JointHost::new(by(Method::ALL));
    let size = |host: &JointHost| {
        let mut bytes = Vec::new();
        host.save(&mut bytes);
        bytes.len()
    };
    for tick in 0..700 {
        step(&mut host, tick, &channels(tick, 40, 0.0));
    }
    let before = size(&host);
    for tick in 700..900 {
        step(&mut host, tick, &channels(tick, 40, 0.0));
    }
    host.fit();
    assert!(size(&host) < 240 * 1024, "{}", size(&host));
    assert!(size(&host) <= before + 4096, "{before} {}", size(&host));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    /// Whatever comes, by any methods: numbers or nothing, and a state that can be read back.
    #[test]
    fn any_values_give_numbers_or_nothing(
        methods in proptest::collection::vec(proptest::sample::select(Method::ALL.to_vec()), 1..5),
        values in proptest::collection::vec(proptest::num::f32::ANY, 7..40),
        scores in proptest::collection::vec(proptest::num::f32::ANY, 7..20),
    ) {
        let config = by(methods);
        let mut host = JointHost::new(config);
        for tick in 0..320usize {
            let channels: Vec<ChannelTick> = (0..5).map(|c| {
                let (value, score) = (values[(tick * 5 + c * tick) % values.len()], scores[(tick + c) % scores.len()]);
                ChannelTick { value, score, onset: false }
            }).collect();
            let verdict = host.tick(tick as i64 * 600_000, CADENCE_S, &channels);
            proptest::prop_assert!(!verdict.score.is_infinite());
            if tick % 40 == 0 {
                host.fit();
            }
            proptest::prop_assert!(host.contributions().iter().all(|(_, share)| share.is_finite()));
        }
        let mut bytes = Vec::new();
        host.save(&mut bytes);
        proptest::prop_assert!(JointHost::load(&bytes, config).is_ok());
    }
}
