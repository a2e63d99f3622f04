use super::*;
use crate::pipeline::shard::Sighting;
use watchbell_detect::peers::PeerRules;

const TICK_MS: i64 = 60_000;

fn config() -> FleetConfig {
    FleetConfig {
        tick_ms: TICK_MS,
        joint: Some(JointConfig { warmup_s: 3_600.0, ..JointConfig::default() }),
        channels: 8,
        max_hosts: 100,
        peers: true,
        expire_ms: 24 * 3_600_000,
    }
}

fn noise(i: u64) -> f64 {
    let mut h = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h ^= h >> 29;
    h = h.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h ^= h >> 32;
    h as f64 / u64::MAX as f64 - 0.5
}

/// A fleet with `hosts` hosts of `series` series each, spread over two shards.
struct Bench {
    fleet: Fleet,
    hosts: u64,
    series: u64,
    t: u64,
}

impl Bench {
    fn new(hosts: u64, series: u64) -> Self {
        let mut bench = Self { fleet: Fleet::new(config()), hosts, series, t: 0 };
        bench.sight();
        bench
    }

    fn sighting(host: u64, series: u64) -> Sighting {
        Sighting {
            id: SeriesId(1_000 * host + series + 1),
            host: format!("web-{host}"),
            metric: series / 2,
            known: series >= 4,
            group: 7_000 + series,
            rules: PeerRules::default(),
            rows: 5_000,
        }
    }

    fn sight(&mut self) {
        let all = (0..self.hosts).flat_map(|host| (0..self.series).map(move |series| (host, series)));
        for (host, series) in all {
            let slot = (host * self.series + series) as u32;
            let sighting = Some(Self::sighting(host, series));
            self.fleet.sighted(slot % 2, vec![(slot / 2, sighting)], self.now_ms());
        }
    }

    fn now_ms(&self) -> i64 {
        self.t as i64 * TICK_MS
    }

    /// One tick, in which `change` may change what a series of a host shows: value and score.
    fn tick(&mut self, change: impl Fn(u64, u64, f64, f32) -> Option<(f64, f32)>) -> Vec<ForShard> {
        let now_ms = self.now_ms();
        self.fleet.begin();
        for shard in 0..2 {
            let mut page = Vec::new();
            for slot in 0..(self.hosts * self.series) as u32 {
                let (host, series) = (u64::from(slot) / self.series, u64::from(slot) % self.series);
                let value = 100.0 + 10.0 * noise(self.t * 10_007 + u64::from(slot));
                let score = 0.3 + 0.3 * noise(self.t * 9_973 + u64::from(slot) + 77) as f32;
                let Some((value, score)) = change(host, series, value, score).filter(|_| slot % 2 == shard) else {
                    continue;
                };
                page.push(SlotTick {
                    slot: slot / 2,
                    value,
                    score,
                    cadence_s: 15.0,
                    rows: 5_000,
                    onset: score >= 1.0,
                    varied: true,
                    quiet: false,
                });
            }
            self.fleet.page(shard, &page, now_ms);
        }
        self.t += 1;
        self.fleet.finish(2, now_ms)
    }

    fn quiet(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.tick(|_, _, value, score| Some((value, score)));
        }
    }

    fn channels(&self, host: &str) -> Vec<u64> {
        let at = self.fleet.by_name[host];
        let host = self.fleet.hosts[at as usize].as_ref().expect("a host");
        host.channels.iter().map(|channel| channel.id.0).collect()
    }
}

#[test]
fn a_host_whose_series_go_mad_together_has_a_score_and_names_them() {
    let mut bench = Bench::new(2, 6);
    bench.quiet(2_000);
    assert!(bench.fleet.board()["web-1"].joint.is_nan(), "nothing was fitted");
    assert!(bench.fleet.fit_one() && bench.fleet.fit_one() && !bench.fleet.fit_one(), "one each");
    bench.quiet(400);
    assert!(bench.fleet.board()["web-1"].joint < 1.0);
    assert_eq!(bench.fleet.counts(), Counts { hosts: 2, channels: 12, ..Counts::default() });
    let mad = |host, series| host == 1 && series < 4;
    bench.tick(|host, series, value, score| Some(if mad(host, series) { (value * 9.0, 4.0) } else { (value, score) }));
    let unnamed = bench.fleet.unnamed(100);
    assert!(unnamed.len() >= 4);
    for it in unnamed {
        bench.fleet.name(it, &format!("s{}", it.place.id.0));
    }
    let board = bench.fleet.board();
    let state = &board["web-1"];
    assert!(state.joint > 3.0 * board["web-0"].joint && state.confidence == 1.0, "{state:?}");
    let mut top: Vec<&str> = state.contributors[..4].iter().map(|c| c.series.as_str()).collect();
    top.sort_unstable();
    assert_eq!(top, ["s1001", "s1002", "s1003", "s1004"]);
    assert!(board["web-0"].joint < 1.0 && board["web-0"].contributors.is_empty(), "{:?}", board["web-0"]);
}

#[test]
fn missing_channels_cost_confidence_and_come_back_to_their_numbers() {
    let mut bench = Bench::new(1, 6);
    bench.quiet(200);
    let before = bench.channels("web-0");
    bench.tick(|_, series, value, score| (series < 3).then_some((value, score)));
    assert_eq!(bench.fleet.board()["web-0"].confidence, 0.5);
    bench.fleet.forget_shard(0, bench.now_ms());
    bench.sight();
    bench.quiet(1);
    assert_eq!(bench.channels("web-0"), before);
    assert_eq!(bench.fleet.board()["web-0"].confidence, 1.0);
}

#[test]
fn a_host_with_too_many_series_has_the_known_ones_spread_over_metrics() {
    let mut bench = Bench::new(1, 20);
    bench.quiet(2);
    assert!(bench.channels("web-0").is_empty(), "it is looked at first");
    bench.quiet(10);
    // Known are the series from 4 on, two of each metric.
    assert_eq!(bench.channels("web-0"), [5, 7, 9, 11, 13, 15, 17, 19]);
}

#[test]
fn a_peer_that_stands_out_is_told_to_its_shard() {
    let mut bench = Bench::new(8, 2);
    bench.quiet(300);
    let mut told = Vec::new();
    for _ in 0..5 {
        told = bench.tick(|host, series, value, score| {
            Some((if (host, series) == (3, 1) { value * 2.0 } else { value }, score))
        });
    }
    // Series 1 of host 3 has slot 7, which is slot 3 of shard 1.
    let place = Place { slot: 3, id: SeriesId(3_002) };
    assert!(told[0].scores.is_empty() && told[0].verdicts.is_empty());
    assert!(told[1].scores.iter().any(|(at, score)| *at == place && *score >= 1.0), "{told:?}");
    let (id, verdict) = &told[1].verdicts[0];
    assert_eq!((*id, verdict.slot, verdict.pattern, verdict.alarm), (place.id, 3, Pattern::PeerOutlier, true));
    assert_eq!((bench.fleet.counts().groups, bench.fleet.counts().outliers), (2, 1));
    let board = bench.fleet.board();
    assert!(board["web-3"].parts.peers > 1.0 && board["web-2"].parts.peers < 1.0);
}

#[test]
fn what_is_saved_goes_on_to_the_bit_and_what_is_gone_is_forgotten() {
    let mut one = Bench::new(6, 4);
    one.quiet(400);
    let mut two = Bench { fleet: Fleet::new(config()), hosts: 6, series: 4, t: one.t };
    let mut records = 0;
    for bucket in 0..crate::pipeline::tick::saved::BUCKETS {
        let bytes = one.fleet.save(bucket);
        let (loaded, problems) = two.fleet.load(&bytes);
        assert!(problems.is_empty(), "{problems:?}");
        records += loaded;
        let cut = bytes.len().saturating_sub(1);
        assert_eq!(Fleet::new(config()).load(&bytes[..cut]).1.is_empty(), bytes.is_empty());
    }
    assert_eq!(records, 6 + 4, "hosts and groups");
    two.sight();
    let mad = |host: u64, series: u64, value: f64, score: f32| {
        Some(if host == 2 { (value * 5.0, 3.0) } else { (value, score + 0.0 * series as f32) })
    };
    for _ in 0..30 {
        let (a, b) = (one.tick(mad), two.tick(mad));
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
        let bits = |bench: &Bench| -> Vec<(u32, u32)> {
            bench.fleet.board().values().map(|state| (state.joint.to_bits(), state.parts.peers.to_bits())).collect()
        };
        assert_eq!(bits(&one), bits(&two));
    }
    for slot in 0..12 {
        one.fleet.sighted(0, vec![(slot, None)], one.now_ms());
        one.fleet.sighted(1, vec![(slot, None)], one.now_ms());
    }
    one.t += 25 * 60;
    one.fleet.begin();
    one.fleet.finish(2, one.now_ms());
    assert!(one.fleet.board().is_empty() && one.fleet.by_name.is_empty() && one.fleet.by_key.is_empty());
    assert!((0..64).all(|bucket| one.fleet.save(bucket).is_empty()));
}

#[test]
fn rare_samples_are_looked_at_as_rarely() {
    let mut bench = Bench::new(1, 3);
    bench.quiet(10);
    bench.fleet.begin();
    let row = |slot| SlotTick {
        slot,
        value: 1.0,
        score: 0.1,
        cadence_s: 300.0,
        rows: 9,
        onset: false,
        varied: true,
        quiet: false,
    };
    let mut looks = 0;
    for _ in 0..20 {
        let now_ms = bench.now_ms();
        bench.fleet.page(0, &[row(0), row(1)], now_ms);
        bench.fleet.finish(2, now_ms);
        looks += usize::from(bench.fleet.board()["web-0"].ts_ms == now_ms);
        bench.t += 1;
    }
    assert_eq!(looks, 4);
}

#[test]
fn new_series_wait_for_a_group_that_knows_something() {
    let mut bench = Bench::new(6, 1);
    let new = Sighting { rows: 3, ..Bench::sighting(9, 0) };
    bench.fleet.sighted(0, vec![(40, Some(new.clone()))], 0);
    assert!(bench.fleet.seeds(10, 0).is_empty(), "no tick yet");
    bench.quiet(1);
    let seeds = bench.fleet.seeds(10, bench.now_ms());
    assert_eq!((seeds.len(), seeds[0].place().id, seeds[0].donors.len()), (1, new.id, 6));
    assert!(bench.fleet.seeds(10, bench.now_ms()).is_empty(), "handed out once");
    bench.fleet.retry(seeds.into_iter().map(|seed| seed.newcomer));
    bench.fleet.sighted(0, vec![(40, None)], 0);
    assert!(bench.fleet.seeds(10, bench.now_ms()).is_empty(), "it is gone");
}

#[test]
fn a_renamed_host_keeps_its_model_and_a_series_goes_over_to_another_host() {
    let mut bench = Bench::new(2, 6);
    bench.quiet(90);
    let channels = bench.channels("web-0");
    assert_eq!(channels.len(), 6);
    // All of it is called otherwise: told first, then by the series.
    bench.fleet.rename("web-0", "web-0.example.org");
    let renamed = |series| Sighting { host: "web-0.example.org".to_owned(), ..Bench::sighting(0, series) };
    for series in 0..6_u32 {
        bench.fleet.sighted(series % 2, vec![(series / 2, Some(renamed(u64::from(series))))], bench.now_ms());
    }
    assert_eq!(bench.channels("web-0.example.org"), channels);
    let counts = |bench: &Bench, host: &str| {
        let at = bench.fleet.by_name.get(host)?;
        bench.fleet.hosts[*at as usize].as_ref().map(|host| (host.series, host.model.is_some()))
    };
    assert_eq!((counts(&bench, "web-0.example.org"), counts(&bench, "web-0")), (Some((6, true)), None));
    // A name that another host has is not taken from it.
    bench.fleet.rename("web-0.example.org", "web-1");
    assert_eq!(counts(&bench, "web-1"), Some((6, true)));
    let moved = Sighting { host: "web-1".to_owned(), ..Bench::sighting(0, 0) };
    bench.fleet.sighted(0, vec![(0, Some(moved))], bench.now_ms());
    assert_eq!((counts(&bench, "web-0.example.org"), counts(&bench, "web-1")), (Some((5, true)), Some((7, true))));
}
