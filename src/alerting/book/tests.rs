mod mute;

use std::collections::HashMap;

use proptest::prelude::*;
use watchbell_series::{AlertState, Labels, Unit, Verdict, Why};

use super::*;
use crate::alerting::About;

const S: i64 = 1_000;

fn about(host: &str, metric: &str) -> About {
    let labels = Labels::series([("__name__", metric), ("instance", host), ("job", "node")]).expect("labels");
    About {
        labels,
        common: format!("common_{metric}"),
        entity: host.to_owned(),
        unit: Unit::Percent,
        limits: Default::default(),
    }
}

fn input(about: &About, slot: u32, ts_s: i64, score: f32, pattern: Pattern) -> AlertInput {
    let verdict = Verdict {
        slot,
        ts_ms: ts_s * S,
        value: f64::from(score) * 10.0,
        score,
        edge: 1.0,
        onset: false,
        alarm: score >= 1.0,
        pattern,
        expected: 5.0,
        lower: 4.0,
        upper: 6.0,
        why: Why::UNKNOWN,
    };
    AlertInput { shard: 0, id: about.labels.id(), about: Some(Box::new(about.clone())), verdict }
}

fn reading(host: &str, score: f32, anomalous: u32) -> HostReading {
    HostReading { host: host.to_owned(), series: 100, ready: 90, anomalous, score, ..HostReading::default() }
}

/// A book with what it said, in short words.
struct Bench {
    book: Book,
    said: Vec<Transition>,
    tracked: HashMap<SeriesId, bool>,
}

impl Bench {
    fn new() -> Self {
        Self { book: Book::new(Rules::builtin(), "http://w"), said: Vec::new(), tracked: HashMap::new() }
    }

    fn with(&mut self, act: impl FnOnce(&mut Book, &mut Changes)) -> Vec<String> {
        let mut changes = Changes::default();
        act(&mut self.book, &mut changes);
        self.tracked.extend(changes.track.iter().map(|track| (track.id, track.on)));
        let words = changes.transitions.iter().map(|t| {
            let labels = &t.episode.labels;
            let what = labels.get("metric").or(labels.get("host")).unwrap_or_default();
            format!("{} {what} {}", labels.get("alertname").unwrap_or_default(), t.change.as_str())
        });
        let words = words.collect();
        self.said.extend(changes.transitions);
        words
    }

    fn feed(&mut self, about: &About, ts_s: i64, score: f32) -> Vec<String> {
        let pattern = if score >= 1.0 { Pattern::Spike } else { Pattern::None };
        self.with(|book, out| book.observe(input(about, 7, ts_s, score, pattern), ts_s * S, out))
    }

    fn tick(&mut self, ts_s: i64, hosts: &[HostReading]) -> Vec<String> {
        self.with(|book, out| book.tick(ts_s * S, hosts, out))
    }
}

#[test]
fn an_alert_from_its_first_hit_to_its_end() {
    let mut bench = Bench::new();
    let load = about("web-1", "load");
    assert!(bench.feed(&load, 0, 0.9).is_empty() && bench.book.tracked().next().is_none(), "no hit, not watched");
    assert!(bench.feed(&load, 10, 1.5).is_empty());
    assert_eq!(bench.book.counts(), Counts { pending: 1, ..Counts::default() });
    assert!(bench.tracked[&load.labels.id()]);
    assert_eq!(bench.feed(&load, 20, 3.0), ["MetricAnomalous load firing"]);
    assert!(bench.feed(&load, 30, 5.0).is_empty());
    assert!(bench.feed(&load, 40, 0.1).is_empty());
    assert_eq!(bench.feed(&load, 340, 0.1), ["MetricAnomalous load resolved"]);
    assert_eq!((bench.book.counts(), bench.tracked[&load.labels.id()]), (Counts::default(), false));

    let [fired, resolved] = &bench.said[..] else { panic!("{:?}", bench.said) };
    assert_eq!((fired.at_ms, fired.episode.starts_ms, fired.episode.ends_ms), (20 * S, 20 * S, None));
    assert_eq!((resolved.episode.starts_ms, resolved.episode.ends_ms), (20 * S, Some(340 * S)));
    assert_eq!(fired.episode.labels, resolved.episode.labels);
    let text = |transition: &Transition, name: &str| {
        transition.episode.annotations.iter().find(|(n, _)| n == name).map(|(_, text)| text.clone())
    };
    assert_eq!(text(fired, "value"), Some("30 %".to_owned()));
    assert_eq!(text(resolved, "value"), Some("50 %".to_owned()), "the worst moment");
    assert_eq!(text(fired, "dashboard").as_deref(), Some(fired.episode.generator_url.as_str()));
    assert!((resolved.episode.peak_score - 5.0).abs() < f32::EPSILON);
    assert_eq!(
        (fired.episode.alert().state, resolved.episode.alert().state),
        (AlertState::Firing, AlertState::Resolved)
    );
}

#[test]
fn a_series_that_stops_is_missing_and_its_anomaly_ends() {
    let mut bench = Bench::new();
    let load = about("web-1", "load");
    bench.feed(&load, 0, 2.0);
    assert_eq!(bench.feed(&load, 10, 2.0), ["MetricAnomalous load firing"]);
    let miss = |book: &mut Book, out: &mut Changes| {
        book.observe(input(&load, 7, 130, f32::NAN, Pattern::Missing), 130 * S, out);
    };
    assert!(bench.with(miss).is_empty());
    assert_eq!(bench.tick(250, &[]), ["SeriesMissing load firing"]);
    assert_eq!(bench.tick(430, &[]), ["MetricAnomalous load resolved"]);
    assert_eq!(bench.feed(&load, 500, 0.1), ["SeriesMissing load resolved"]);
    assert_eq!(bench.book.counts(), Counts::default());
}

#[test]
fn a_series_that_ended_is_not_missing_for_ever() {
    let mut bench = Bench::new();
    let load = about("web-1", "load");
    bench.with(|book, out| book.observe(input(&load, 7, 0, 1.0, Pattern::Missing), 0, out));
    assert_eq!(bench.tick(120, &[]), ["SeriesMissing load firing"]);
    let ended = bench.with(|book, out| book.ended(load.labels.id(), 200 * S, 200 * S, out));
    assert_eq!(ended, ["SeriesMissing load resolved"]);
}

#[test]
fn a_slot_that_moved_is_tracked_anew() {
    let mut bench = Bench::new();
    let load = about("web-1", "load");
    bench.feed(&load, 0, 2.0);
    let mut changes = Changes::default();
    let moved = AlertInput { shard: 3, about: None, ..input(&load, 9, 10, 0.1, Pattern::None) };
    bench.book.observe(moved, 10 * S, &mut changes);
    assert_eq!(changes.track, [Track { id: load.labels.id(), place: Some((3, 9)), on: true }]);
}

#[test]
fn an_alert_that_begins_after_hosts_were_joined_has_the_new_name() {
    let mut bench = Bench::new();
    let (before, after) = (about("web-1", "load"), about("one", "load"));
    let told = |ts_s: i64, score: f32, of: &About| {
        let id = before.labels.id();
        AlertInput { id, ..input(of, 0, ts_s, score, Pattern::Spike) }
    };
    bench.with(|book, out| book.observe(told(0, 2.0, &before), 0, out));
    let fired = |bench: &mut Bench, ts_s: i64, of: &About| {
        let mut changes = Changes::default();
        bench.book.observe(told(ts_s, 2.0, of), ts_s * S, &mut changes);
        let hosts = changes.transitions.iter().map(|transition| transition.episode.host.clone());
        hosts.collect::<Vec<_>>()
    };
    let hosts: Vec<String> = (1..20).flat_map(|i| fired(&mut bench, 15 * i, &after)).collect();
    assert_eq!(hosts, ["one"], "it was pending when they were joined");
}

#[test]
fn a_verdict_about_nobody_known_is_ignored() {
    let mut bench = Bench::new();
    let nobody = AlertInput { about: None, ..input(&about("h", "m"), 0, 0, 9.0, Pattern::Spike) };
    assert!(bench.with(|book, out| book.observe(nobody, 0, out)).is_empty());
    assert_eq!(bench.book.counts(), Counts::default());
}

#[test]
fn a_mad_host_is_one_page() {
    let mut bench = Bench::new();
    let all: Vec<About> = (0..200).map(|i| about("web-1", &format!("m{i:03}"))).collect();
    let other = about("db-1", "m000");
    let mut fired = 0;
    for ts in [0, 10] {
        for series in &all {
            fired += bench.feed(series, ts, 2.0).len();
        }
    }
    assert_eq!(fired, 5);
    assert_eq!(bench.book.counts(), Counts { firing: 5, held: 195, ..Counts::default() });
    bench.feed(&other, 0, 2.0);
    assert_eq!(bench.feed(&other, 10, 2.0), ["MetricAnomalous m000 firing"], "another host is not held");

    let hosts = [reading("db-1", 0.5, 1), reading("web-1", f32::NAN, 200)];
    assert_eq!(bench.tick(15, &hosts), ["HostAnomalous web-1 firing"], "at once, for what is held");
    let page = bench.said.last().expect("said").episode.clone();
    let top = page.annotations.iter().find(|(name, _)| name == "top_contributors").map(|(_, text)| text.as_str());
    assert!(top.is_some_and(|text| text.matches("(2.00)").count() == 5), "{top:?}");
    assert_eq!(page.labels.get("host"), Some("web-1"));

    // All but three calm down: the host resolves, and of the three those that were held fire.
    for ts in [20, 320] {
        for series in &all[3..] {
            bench.feed(series, ts, 0.1);
        }
    }
    let late = all.iter().rev().take(3).cloned().collect::<Vec<_>>();
    for series in &late {
        bench.feed(series, 330, 2.0);
        bench.feed(series, 340, 2.0);
    }
    assert_eq!(bench.book.counts(), Counts { firing: 3 + 2 + 1 + 1, held: 1, ..Counts::default() });
    for series in &late[..2] {
        bench.feed(series, 350, 0.1);
        bench.feed(series, 650, 0.1);
    }
    assert!(bench.tick(651, &[reading("web-1", 0.2, 3), reading("db-1", 0.1, 0)]).is_empty());
    let end = bench.tick(960, &[reading("web-1", 0.2, 3), reading("db-1", 0.1, 0)]);
    assert_eq!(end, ["HostAnomalous web-1 resolved", &format!("MetricAnomalous {} firing", late[2].labels.name())]);
}

#[test]
fn the_score_of_a_host_alone_pages_after_two_looks() {
    let mut bench = Bench::new();
    let hosts = [reading("web-1", 1.4, 30)];
    assert!(bench.tick(0, &hosts).is_empty());
    assert_eq!(bench.tick(5, &hosts), ["HostAnomalous web-1 firing"]);
    assert!(bench.tick(10, &[]).is_empty(), "the host is gone");
    assert_eq!(bench.tick(310, &[]), ["HostAnomalous web-1 resolved"]);
}

#[test]
fn looks_at_the_same_sample_count_once() {
    let mut bench = Bench::new();
    let minutely = |host: String, score: f32| HostReading { step_ms: 60 * S, ..reading(&host, score, 30) };
    let loud: Vec<HostReading> = (0..6).map(|i| minutely(format!("web-{i}"), 1.4)).collect();
    let calm: Vec<HostReading> = (0..6).map(|i| minutely(format!("web-{i}"), 0.1)).collect();
    let (one_loud, one_calm) = (&loud[..1], &calm[..1]);
    // One odd sample, looked at each second, then normal ones.
    for ts_s in 0..60 {
        assert!(bench.tick(ts_s, one_loud).is_empty(), "{ts_s}");
    }
    for ts_s in 60..240 {
        assert!(bench.tick(ts_s, one_calm).is_empty(), "{ts_s}");
    }
    assert_eq!(bench.book.counts(), Counts::default());
    assert!((300..360).all(|ts_s| bench.tick(ts_s, one_loud).is_empty()));
    assert_eq!(bench.tick(360, one_loud), ["HostAnomalous web-0 firing"], "the second sample");
    assert_eq!(bench.tick(361, one_calm).len() + bench.tick(661, one_calm).len(), 1);
    // The same of the fleet, which comes before its hosts.
    assert!((700..760).all(|ts_s| bench.tick(ts_s, &loud).is_empty()));
    assert_eq!(bench.tick(760, &loud), ["FleetAnomalous  firing"]);
}

#[test]
fn a_host_that_went_silent_is_told_of_without_a_roll_up() {
    let mut bench = Bench::new();
    for i in 0..9 {
        let series = about("web-1", &format!("m{i}"));
        bench.with(|book, out| book.observe(input(&series, i, 0, f32::NAN, Pattern::Missing), 0, out));
    }
    let said = bench.tick(120, &[]);
    assert_eq!((said.len(), said[5].as_str()), (6, "HostAnomalous web-1 firing"));
    let page = &bench.said[5].episode.annotations;
    assert_eq!(page[0].1, "web-1 is anomalous as a whole; 9 of 9 series are so by themselves or missing");
    assert!(page[1].1.contains("m0 (missing)") || page[1].1.contains("m0{} (missing)"), "{page:?}");
    assert!(bench.tick(600, &[]).is_empty(), "it lasts");
}

#[test]
fn a_fleet_that_goes_mad_is_one_page() {
    let mut bench = Bench::new();
    let hosts = |mad: usize| -> Vec<HostReading> {
        (0..40).map(|i| reading(&format!("web-{i}"), if i < mad { 3.0 + i as f32 } else { 0.1 }, 9)).collect()
    };
    assert!(bench.tick(0, &hosts(30)).is_empty());
    assert_eq!(bench.tick(1, &hosts(30)), ["FleetAnomalous  firing"], "and none about a host");
    let page = bench.said[0].episode.clone();
    assert_eq!(page.annotations[0].1, "30 of 40 machines are anomalous at once");
    assert!(page.annotations[1].1.contains("web-29 (32.00), web-28"), "{page:?}");
    assert_eq!(page.labels.iter().collect::<Vec<_>>(), [("alertname", "FleetAnomalous"), ("severity", "critical")]);

    // Series of the hosts it is about are held, those of others are not.
    for (host, fires) in [("web-3", false), ("web-39", true)] {
        let load = about(host, "load");
        bench.feed(&load, 2, 2.0);
        assert_eq!(bench.feed(&load, 12, 2.0).len(), usize::from(fires), "{host}");
    }
    assert!(bench.tick(13, &hosts(30)).is_empty());
    assert_eq!(bench.book.counts(), Counts { firing: 2, held: 31, ..Counts::default() });

    // Over a restart it goes on.
    let mut again = Bench::new();
    again.with(|book, out| book.restore(vec![page.clone()], 14 * S, out));
    assert!(again.tick(15, &hosts(30)).is_empty() && again.book.counts().firing == 1);
    assert_eq!(
        (again.tick(16, &hosts(0)), again.tick(317, &hosts(0))),
        (vec![], vec!["FleetAnomalous  resolved".to_owned()])
    );

    // When it is over, what still stands is told.
    assert!(bench.tick(20, &hosts(1)).is_empty());
    let said = bench.tick(321, &hosts(1));
    let want = ["FleetAnomalous  resolved", "HostAnomalous web-0 firing", "MetricAnomalous load firing"];
    assert!(want.iter().all(|want| said.iter().any(|said| said == want)), "{said:?}");
    assert_eq!(said.len(), 3, "{said:?}");
}

#[test]
fn few_hosts_are_told_of_one_by_one() {
    let mut bench = Bench::new();
    let hosts: Vec<HostReading> = (0..4).map(|i| reading(&format!("web-{i}"), 3.0, 9)).collect();
    bench.tick(0, &hosts);
    assert_eq!(bench.tick(1, &hosts).len(), 4);
}

#[test]
fn an_outlier_among_peers_is_not_ended_by_samples_that_are_fine_by_themselves() {
    let mut bench = Bench::new();
    let load = about("web-1", "load");
    let peers = |score: f32, ts_s: i64| {
        let input = input(&load, 7, ts_s, score, Pattern::PeerOutlier);
        move |book: &mut Book, out: &mut Changes| book.observe(input, ts_s * S, out)
    };
    assert_eq!(bench.with(peers(1.4, 60)), ["PeerOutlier load firing"]);
    for ts_s in 61..600 {
        assert!(bench.feed(&load, ts_s, 0.1).is_empty());
    }
    assert!(bench.with(peers(0.2, 660)).is_empty());
    assert_eq!(bench.tick(1_260, &[]), ["PeerOutlier load resolved"]);
    assert_eq!(bench.book.counts(), Counts::default());
}

#[test]
fn a_host_alert_names_the_series_its_joint_score_comes_from() {
    use watchbell_adapter_api::{Contributor, HostParts};
    let mut bench = Bench::new();
    let contributors = [("cpu", 0.6), ("disk", 0.4)].map(|(s, share)| Contributor { series: s.to_owned(), share });
    let parts = HostParts { change: 2.0, rollup: 0.1, ..HostParts::default() };
    let host = HostReading { parts, contributors: contributors.into(), ..reading("web-1", 2.0, 0) };
    bench.tick(0, std::slice::from_ref(&host));
    assert_eq!(bench.tick(1, &[host]), ["HostAnomalous web-1 firing"]);
    let texts = &bench.said[0].episode.annotations;
    let text = |name: &str| texts.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_str());
    assert_eq!(text("top_contributors"), Some("cpu (60 %), disk (40 %)"));
    assert_eq!(text("parts"), Some("change 2.00, rollup 0.10"));
    let told = "Its series changed together in an unusual way. It comes from: cpu (60 %), disk (40 %).";
    assert_eq!(text("description"), Some(told));
    assert_eq!(bench.said[0].episode.labels.get("host"), Some("web-1"));
}

#[test]
fn a_host_alert_says_what_it_is_based_on() {
    use watchbell_adapter_api::HostParts;
    let mut bench = Bench::new();
    let parts = HostParts { change: 0.2, rollup: 1.8, ..HostParts::default() };
    let host = HostReading { parts, ..reading("web-1", 1.7, 30) };
    bench.tick(0, std::slice::from_ref(&host));
    assert_eq!(bench.tick(1, &[host]), ["HostAnomalous web-1 firing"]);
    let texts = &bench.said[0].episode.annotations;
    let explained = texts.iter().find(|(name, _)| name == "explanation").map(|(_, text)| text.as_str());
    assert_eq!(explained, Some("30 of its 90 series with a score are over their own edge at once."));
}

#[test]
fn series_of_no_host_are_no_machine() {
    let mut bench = Bench::new();
    for i in 0..9 {
        let series = about("", &format!("m{i}"));
        bench.feed(&series, 0, 2.0);
        assert_eq!(bench.feed(&series, 10, 2.0).len(), 1, "nothing is held for a host that there is not");
    }
    assert!(bench.tick(15, &[]).is_empty() && bench.tick(20, &[]).is_empty());
}

#[test]
fn without_a_rule_about_hosts_nothing_is_held_for_one() {
    let mut bench = Bench::new();
    bench.book.rules.hosts.clear();
    bench.book.rules.limits.max_firing = 8;
    for i in 0..10 {
        let series = about("web-1", &format!("m{i}"));
        bench.feed(&series, 0, 2.0);
        bench.feed(&series, 10, 2.0);
    }
    assert_eq!(bench.book.counts(), Counts { firing: 8, held: 2, ..Counts::default() }, "only the limit of all");
    let first = about("web-1", "m0");
    bench.feed(&first, 20, 0.1);
    bench.feed(&first, 320, 0.1);
    assert_eq!(bench.tick(321, &[]).len(), 1, "room for one more");
}

#[test]
fn a_restart_in_the_middle_keeps_labels_and_start() {
    let mut bench = Bench::new();
    let (load, gone) = (about("web-1", "load"), about("web-1", "gone"));
    for series in [&load, &gone] {
        bench.feed(series, 0, 2.0);
        bench.feed(series, 10, 2.0);
    }
    bench.tick(11, &[reading("web-1", 2.0, 9)]);
    bench.tick(12, &[reading("web-1", 2.0, 9)]);
    let mut open: Vec<Episode> = bench.book.open().cloned().collect();
    assert_eq!(open.len(), 3);
    open.push(Episode { rule: "Renamed".to_owned(), ..open[0].clone() });

    let mut again = Bench::new();
    let said = again.with(|book, out| book.restore(open.clone(), 100 * S, out));
    assert_eq!(said.len(), 1, "the one whose rule is gone resolves: {said:?}");
    assert_eq!(again.book.counts().firing, 3);
    assert!(again.book.tracked().all(|track| track.place.is_none()) && again.tracked.len() == 2);
    // Still anomalous after the restart: nothing is said again, with its end the start is the old one.
    assert!(again.feed(&load, 110, 2.0).is_empty() && again.feed(&load, 120, 0.1).is_empty());
    assert_eq!(again.feed(&load, 420, 0.1), ["MetricAnomalous load resolved"]);
    let end = &again.said.last().expect("said").episode;
    let start = open.iter().find(|e| e.labels == end.labels).expect("the same labels");
    assert_eq!(end.starts_ms, start.starts_ms);
    // The series that never came back, and the host that is fine.
    assert!(again.tick(430, &[reading("web-1", 0.1, 0)]).is_empty());
    assert_eq!(again.tick(730, &[reading("web-1", 0.1, 0)]), ["HostAnomalous web-1 resolved"]);
    assert_eq!(again.tick(3_700, &[]), ["MetricAnomalous gone resolved"]);
    assert_eq!(again.book.counts(), Counts::default());
}

#[test]
fn other_rules_end_what_they_no_longer_say() {
    let mut bench = Bench::new();
    let load = about("web-1", "load");
    bench.feed(&load, 0, 2.0);
    bench.feed(&load, 10, 2.0);
    assert!(bench.with(|book, out| book.set_rules(Rules::builtin(), 20 * S, out)).is_empty(), "the same rules");
    let mut rules = Rules::builtin();
    rules.series[0].severity = "page".to_owned();
    let said = bench.with(|book, out| book.set_rules(rules, 30 * S, out));
    assert_eq!(said, ["MetricAnomalous load resolved"], "another severity is another alert");
    assert_eq!(bench.book.counts(), Counts::default());
    bench.feed(&load, 40, 2.0);
    bench.feed(&load, 50, 2.0);
    assert_eq!(bench.said.last().expect("said").episode.labels.get("severity"), Some("page"));
}

#[derive(Debug, Clone)]
enum Event {
    Sample { series: u8, score: f32, missing: bool },
    Ended(u8),
    Tick { host_score: f32 },
    Restart,
    Rules { max_per_host: usize },
}

fn events() -> impl Strategy<Value = Vec<(i64, Event)>> {
    let score = prop_oneof![Just(f32::NAN), 0.0..3.0f32];
    let event = prop_oneof![
        12 => (0..12u8, score, prop::bool::weighted(0.1)).prop_map(|(series, score, missing)| Event::Sample { series, score, missing }),
        1 => (0..12u8).prop_map(Event::Ended),
        4 => (0.0..2.0f32).prop_map(|host_score| Event::Tick { host_score }),
        1 => Just(Event::Restart),
        1 => (1..4usize).prop_map(|max_per_host| Event::Rules { max_per_host }),
    ];
    prop::collection::vec((0..90i64, event), 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_alert_fires_once_then_resolves_once_with_the_same_labels(events in events()) {
        let mut bench = Bench::new();
        bench.book.rules.limits.max_per_host = 3;
        bench.book.rules.limits.max_firing = 6;
        let all: Vec<About> = (0..12).map(|i| about(["a", "b"][i % 2], &format!("m{i}"))).collect();
        let mut now = 0;
        for (wait, event) in events {
            now += wait;
            match event {
                Event::Sample { series, missing: true, .. } => {
                    let input = input(&all[usize::from(series)], 1, now, f32::NAN, Pattern::Missing);
                    bench.with(|book, out| book.observe(input, now * S, out));
                }
                Event::Sample { series, score, .. } => { bench.feed(&all[usize::from(series)], now, score); }
                Event::Ended(series) => {
                    let id = all[usize::from(series)].labels.id();
                    bench.with(|book, out| book.ended(id, now * S, now * S, out));
                }
                Event::Tick { host_score } => {
                    bench.tick(now, &[reading("a", host_score, 3), reading("b", 0.1, 1)]);
                }
                Event::Restart => {
                    let open: Vec<Episode> = bench.book.open().cloned().collect();
                    let rules = bench.book.rules.clone();
                    bench.book = Book::new(rules, "http://w");
                    bench.tracked.clear();
                    bench.with(|book, out| book.restore(open, now * S, out));
                }
                Event::Rules { max_per_host } => {
                    let mut rules = bench.book.rules.clone();
                    rules.limits.max_per_host = max_per_host;
                    bench.with(|book, out| book.set_rules(rules, now * S, out));
                }
            }
            let firing = bench.book.open().filter(|episode| episode.series.is_some()).count();
            prop_assert!(firing <= 6, "{firing} fire");
            prop_assert_eq!(firing, bench.book.load.firing);
            prop_assert_eq!(bench.book.load.hosts.values().map(|h| h.firing + h.held).sum::<usize>(), firing + bench.book.load.held);
            let tracked: Vec<SeriesId> = bench.book.tracked().map(|track| track.id).collect();
            prop_assert!(tracked.iter().all(|id| bench.tracked[id]));
            prop_assert_eq!(bench.tracked.values().filter(|on| **on).count(), tracked.len());
        }
        let mut open: HashMap<Labels, i64> = HashMap::new();
        for Transition { at_ms, change, episode } in &bench.said {
            match change {
                Change::Fired => prop_assert!(open.insert(episode.labels.clone(), episode.starts_ms).is_none()),
                Change::Resolved => {
                    prop_assert_eq!(open.remove(&episode.labels), Some(episode.starts_ms));
                    prop_assert!(episode.ends_ms.is_some_and(|end| end >= episode.starts_ms && end <= *at_ms));
                }
                Change::Suppressed(_) | Change::Over(_) => prop_assert!(false, "there is no budget"),
            }
        }
        let mut left: Vec<&Labels> = bench.book.open().map(|episode| &episode.labels).collect();
        let mut open: Vec<&Labels> = open.keys().collect();
        left.sort();
        open.sort();
        prop_assert_eq!(left, open);
    }
}

#[test]
fn how_rules_stand_to_a_series() {
    let mut bench = Bench::new();
    bench.book.rules.limits.max_per_host = 1;
    let (load, other) = (about("web-1", "load"), about("web-1", "other"));
    let stand = |bench: &Bench, about: &About, score: f32, pattern: Pattern| {
        let probe = Probe { score, edge: 1.2, alarm: false, pattern };
        let all = bench.book.standing(about.labels.id(), about, &probe, 10 * S);
        all.into_iter().find(|one| one.rule == "MetricAnomalous").expect("a rule of this name").standing
    };
    assert_eq!(stand(&bench, &load, 1.1, Pattern::None), Standing::UnderScore { needed: 1.2 });
    assert_eq!(stand(&bench, &load, 1.5, Pattern::Spike), Standing::Begins);
    assert_eq!(stand(&bench, &load, 1.5, Pattern::Missing), Standing::OtherKind(Pattern::Missing));
    bench.feed(&load, 0, 2.0);
    assert_eq!(
        stand(&bench, &load, 2.0, Pattern::Spike),
        Standing::Pending { hits: 1, at_least: 2, of: 3, wait_ms: 0 }
    );
    bench.feed(&load, 10, 2.0);
    assert!(
        matches!(stand(&bench, &load, 2.0, Pattern::Spike), Standing::Firing(episode) if episode.starts_ms == 10 * S)
    );
    bench.feed(&other, 0, 2.0);
    bench.feed(&other, 10, 2.0);
    assert_eq!(stand(&bench, &other, 2.0, Pattern::Spike), Standing::Held(Hold::PerHost { limit: 1 }));
    bench.book.rules.series[0].select = "{job=\"x\"}".parse().expect("a selector");
    let third = about("web-1", "third");
    assert_eq!(stand(&bench, &third, 2.0, Pattern::Spike), Standing::NotSelected);
}
