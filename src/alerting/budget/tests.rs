use std::collections::HashMap;

use watchbell_series::{Labels, Unit, Verdict, Why};

use super::*;
use crate::alerting::{AlertInput, Book, Change, Changes, Episode};

const S: i64 = 1_000;
const HOUR: i64 = 3_600 * S;
const DAY: i64 = 24 * HOUR;

fn rules(budget: &str, false_discovery_rate: f64) -> Rules {
    let budget = budget.parse().expect("a budget");
    Rules { budget, false_discovery_rate, ..Rules::builtin() }
}

fn hosts(count: usize, series: u32) -> Vec<HostReading> {
    let host = |i| HostReading {
        host: format!("host-{i}"),
        series,
        ready: series,
        anomalous: 0,
        score: 0.1,
        ..HostReading::default()
    };
    (0..count).map(host).collect()
}

/// A book under a clock, and what it said.
struct Bench {
    book: Book,
    now_ms: i64,
    said: Vec<(Change, Episode)>,
    hosts: Vec<HostReading>,
}

impl Bench {
    fn new(rules: Rules, hosts: Vec<HostReading>) -> Self {
        Self { book: Book::new(rules, "http://w"), now_ms: 100 * DAY, said: Vec::new(), hosts }
    }

    fn note(&mut self, changes: Changes) -> Vec<String> {
        let told: Vec<String> = changes.alerts().map(|alert| alert.labels.to_string()).collect();
        let fired = changes.transitions.iter().filter(|t| t.change.suppressed().is_none()).count();
        assert_eq!(told.len(), fired, "sinks are told of nothing that is suppressed");
        let words = changes.transitions.iter().map(|t| t.change.as_str().to_owned()).collect();
        self.said.extend(changes.transitions.into_iter().map(|t| (t.change, t.episode)));
        words
    }

    fn pass(&mut self, ms: i64) {
        let end_ms = self.now_ms + ms;
        let series = self.hosts.iter().map(|host| u64::from(host.series)).sum();
        while self.now_ms < end_ms {
            self.now_ms = (self.now_ms + HOUR).min(end_ms);
            let mut changes = Changes::default();
            self.book.tick_budgets(self.now_ms, &self.hosts, series, None);
            self.book.tick(self.now_ms, &self.hosts, &mut changes);
            self.note(changes);
        }
    }

    fn feed(&mut self, host: &str, metric: &str, score: f32, pattern: Pattern) -> Vec<String> {
        self.now_ms += 10 * S;
        let labels = Labels::series([("__name__", metric), ("instance", host), ("service", "shop")]).expect("labels");
        let verdict = Verdict {
            slot: 1,
            ts_ms: self.now_ms,
            value: 1.0,
            score,
            edge: 1.0,
            onset: false,
            alarm: score >= 1.0,
            pattern,
            expected: 0.0,
            lower: 0.0,
            upper: 0.0,
            why: Why::UNKNOWN,
        };
        let about = Box::new(About {
            common: String::new(),
            entity: host.to_owned(),
            unit: Unit::Count,
            labels,
            limits: Default::default(),
        });
        let input = AlertInput { shard: 0, id: about.labels.id(), about: Some(about), verdict };
        let mut changes = Changes::default();
        self.book.observe(input, self.now_ms, &mut changes);
        self.note(changes)
    }

    /// An anomaly of two samples and its end.
    fn anomaly(&mut self, host: &str, metric: &str, score: f32) -> Vec<String> {
        let mut said = Vec::new();
        for score in [score, score, 0.1] {
            said.extend(self.feed(host, metric, score, Pattern::Spike));
        }
        self.now_ms += 400 * S;
        said.extend(self.feed(host, metric, 0.1, Pattern::None));
        said
    }
}

#[test]
fn without_a_budget_nothing_is_held_back() {
    let mut bench = Bench::new(rules("none", 1.0), hosts(100, 100));
    bench.pass(DAY);
    for _ in 0..30 {
        assert_eq!(bench.anomaly("host-0", "load", 1.01), ["firing", "resolved"]);
        bench.pass(HOUR);
    }
    assert!(bench.book.budgets().shown().is_empty());
}

#[test]
fn a_noisy_host_is_held_to_its_budget_and_what_is_suppressed_is_told_to_the_journal() {
    let mut bench = Bench::new(rules("1 per host per week", 1.0), hosts(10, 1));
    bench.pass(14 * DAY);
    let mut words: HashMap<String, u32> = HashMap::new();
    for _ in 0..150 {
        for word in bench.anomaly("host-0", "load", 1.1) {
            *words.entry(word).or_default() += 1;
        }
        bench.pass(5 * HOUR);
    }
    let count = |word: &str| words.get(word).copied().unwrap_or_default();
    assert_eq!(count("firing") + count("suppressed: budget"), 150);
    assert!(count("firing") <= 12, "{words:?}");
    assert_eq!((count("firing"), count("suppressed: budget")), (count("resolved"), count("over")));
    assert_eq!(bench.book.budgets().suppressed()[Reason::Budget as usize], u64::from(count("suppressed: budget")));
    let suppressed = bench.said.iter().filter(|(change, _)| matches!(change, Change::Over(Reason::Budget)));
    assert!(suppressed.into_iter().all(|(_, e)| e.ends_ms.is_some() && e.peak_score > 1.0));
    let [shown] = &bench.book.budgets().shown()[..] else { panic!("one budget") };
    assert_eq!((shown.budget.as_str(), shown.scope, shown.per_week), (DEFAULT, Scope::Host, 1.0));
    assert!(shown.edges.1 > 1.1 && shown.actual < Some(1.0), "{shown:?}");
    // Others are not held to it, and what stands out far fires there, too.
    assert_eq!(bench.anomaly("host-1", "load", 2.0), ["firing", "resolved"]);
    assert_eq!(bench.anomaly("host-0", "load", MAX_EDGE), ["firing", "resolved"]);
}

#[test]
fn what_grows_over_the_edge_fires() {
    let mut bench = Bench::new(rules("0.01 per host per week", 1.0), hosts(1, 100));
    bench.pass(HOUR);
    bench.feed("host-0", "load", 1.1, Pattern::Spike);
    assert_eq!(bench.feed("host-0", "load", 1.1, Pattern::Spike), ["suppressed: budget"]);
    assert_eq!(bench.book.counts().suppressed, 1);
    assert!(bench.feed("host-0", "load", 1.3, Pattern::Spike).is_empty());
    assert_eq!(bench.feed("host-0", "load", MAX_EDGE, Pattern::LevelShift), ["over", "firing"]);
    let counts = bench.book.counts();
    assert_eq!((counts.suppressed, counts.firing), (0, 1));
    assert!(bench.feed("host-0", "load", MAX_EDGE + 1.0, Pattern::LevelShift).is_empty());
    bench.feed("host-0", "load", 0.1, Pattern::None);
    bench.now_ms += 400 * S;
    assert_eq!(bench.feed("host-0", "load", 0.1, Pattern::None), ["resolved"]);
}

#[test]
fn what_is_certain_always_passes() {
    let mut bench = Bench::new(rules("0.001 per host per month", 0.001), hosts(100, 1_000));
    bench.pass(2 * DAY);
    bench.feed("host-0", "ratio", 1.5, Pattern::Illegal);
    assert_eq!(bench.feed("host-0", "ratio", 1.5, Pattern::Illegal), ["firing"]);
    let mut missing = bench.feed("host-0", "load", f32::NAN, Pattern::Missing);
    bench.pass(HOUR);
    missing.extend(bench.said.iter().map(|(change, e)| format!("{} {}", e.rule, change.as_str())));
    assert!(missing.contains(&"SeriesMissing firing".to_owned()), "{missing:?}");
    assert_eq!(bench.book.budgets().suppressed(), [0; 4]);
}

#[test]
fn a_fact_passes_though_what_came_before_was_suppressed() {
    let mut wanted = rules("0.001 per host per month", 1.0);
    wanted.series[0].patterns.push(Pattern::Missing);
    let mut bench = Bench::new(wanted, hosts(100, 1_000));
    bench.pass(2 * DAY);
    for (host, fact) in [("host-0", Pattern::Illegal), ("host-1", Pattern::Missing)] {
        bench.feed(host, "ratio", 1.5, Pattern::Spike);
        assert_eq!(bench.feed(host, "ratio", 1.5, Pattern::Spike), ["suppressed: budget"], "{fact}");
        let score = if fact == Pattern::Missing { f32::NAN } else { 1.2 };
        assert_eq!(bench.feed(host, "ratio", score, fact), ["over", "firing"], "{fact}");
    }
}

#[test]
fn a_lone_anomaly_of_a_large_fleet_must_be_less_probable() {
    let mut bench = Bench::new(rules("none", 0.1), hosts(1_000, 100));
    bench.pass(2 * DAY);
    assert_eq!(bench.anomaly("host-1", "load", 1.3), ["suppressed: false_discovery", "over"]);
    assert_eq!(bench.anomaly("host-2", "load", 2.1), ["firing", "resolved"]);
    let (edge, share) = bench.book.budgets().discovery();
    assert!(edge > 1.5 && share <= 0.1, "{edge} {share}");
    let mut small = Bench::new(rules("none", 0.1), hosts(1, 10));
    small.pass(2 * DAY);
    assert_eq!(small.anomaly("host-0", "load", 1.3), ["firing", "resolved"]);
}

#[test]
fn ten_thousand_series_that_go_mad_at_once_are_no_storm() {
    let mut bench = Bench::new(rules("1 per host per week", 0.1), hosts(100, 100));
    bench.pass(10 * DAY);
    let at_ms = bench.now_ms;
    for minute in 0..3 {
        for host in 0..100 {
            for series in 0..100 {
                bench.now_ms = at_ms + minute * 60 * S;
                bench.feed(&format!("host-{host}"), &format!("m{series}"), 3.0, Pattern::Spike);
            }
        }
        bench.pass(10 * S);
    }
    let counts = bench.book.counts();
    let told = bench.said.iter().filter(|(change, _)| *change == Change::Fired).count();
    assert!(told <= 501 && counts.firing == told, "five a host, and one for all of them: {told} {counts:?}");
    let of_no_series: Vec<&str> =
        bench.book.open().filter(|episode| episode.series.is_none()).map(|episode| episode.rule.as_str()).collect();
    assert_eq!(of_no_series, ["FleetAnomalous"]);
    // Those of the hosts are held, too.
    assert_eq!(counts.firing + counts.held + counts.suppressed, 10_000 + 100 + 1);
    let [shown] = &bench.book.budgets().shown()[..] else { panic!("one budget") };
    assert!(shown.actual <= Some(1.5), "each host once: {shown:?}");
}

#[test]
fn rules_may_have_budgets_of_their_own() {
    let mut wanted = rules("0.001 per series per month", 1.0);
    let mut page = wanted.series[0].clone();
    (page.name, page.budget) = ("Page".to_owned(), Some(Budget::None));
    wanted.series.push(page);
    let mut bench = Bench::new(wanted, hosts(1, 10));
    bench.pass(DAY);
    let said = bench.anomaly("host-0", "load", 1.1);
    assert_eq!(said, ["suppressed: budget", "firing", "over", "resolved"]);
}

#[test]
fn series_of_one_service_share_a_budget() {
    let mut bench = Bench::new(rules("1 per service per week", 1.0), hosts(20, 1));
    bench.pass(28 * DAY);
    let mut fired = 0;
    for i in 0..200 {
        let said = bench.anomaly(&format!("host-{}", i % 20), &format!("m{i}"), 1.1);
        fired += said.iter().filter(|word| *word == "firing").count();
        bench.pass(2 * HOUR);
    }
    assert!((1..=12).contains(&fired), "{fired}");
}

#[test]
fn feedback_raises_an_edge_or_takes_from_the_budget() {
    let mut bench = Bench::new(rules("1 per host per week", 1.0), hosts(10, 1));
    bench.pass(28 * DAY);
    assert_eq!(bench.anomaly("host-0", "load", 1.2), ["firing", "resolved"]);
    let (_, episode) = bench.said.iter().rfind(|(change, _)| *change == Change::Resolved).cloned().expect("said");
    let before = bench.book.budgets().shown()[0].actual.expect("weeks were seen");
    let now_ms = bench.now_ms;
    assert!(!bench.book.judged(&episode, true, Judgement::Confirmed, now_ms));
    assert!(before > 0.0 && bench.book.budgets().shown()[0].actual < Some(0.1 * before));
    assert!(bench.book.judged(&episode, true, Judgement::FalseAlarm, now_ms));
    bench.pass(HOUR);
    assert_eq!(bench.anomaly("host-0", "load", 1.2), ["suppressed: feedback", "over"]);
    assert_eq!(bench.anomaly("host-0", "other", 1.2), ["firing", "resolved"], "another series");
    bench.pass(60 * DAY);
    assert_eq!(bench.anomaly("host-0", "load", 1.2), ["firing", "resolved"], "it was long ago");
}

#[test]
fn what_happened_comes_back_after_a_restart() {
    let mut bench = Bench::new(rules("1 per host per week", 0.1), hosts(10, 10));
    bench.pass(14 * DAY);
    for _ in 0..40 {
        bench.anomaly("host-0", "load", 1.2);
        bench.pass(5 * HOUR);
    }
    assert!(bench.book.budgets().has_news());
    let state = bench.book.budgets_mut().save();
    assert!(!bench.book.budgets().has_news(), "all of it is kept");
    let shown = bench.book.budgets().shown();
    let mut again = Bench::new(rules("1 per host per week", 0.1), hosts(10, 10));
    again.book.budgets_mut().load(&state).expect("its own state");
    again.now_ms = bench.now_ms;
    again.pass(60 * S);
    bench.pass(60 * S);
    let after = again.book.budgets().shown();
    assert!((after[0].edges.1 - shown[0].edges.1).abs() < 1e-6 && after[0].edges.1 > 1.2, "{after:?} {shown:?}");
    assert_eq!(bench.anomaly("host-0", "load", 1.2), again.anomaly("host-0", "load", 1.2));
    // Another unit is another budget.
    let mut other = Bench::new(rules("1 per series per week", 0.1), hosts(10, 10));
    other.book.budgets_mut().load(&state).expect("read, and left aside");
    assert_eq!(other.book.budgets().shown()[0].edges, (1.0, 1.0));
    for bad in [&state[..0], &state[..state.len() / 2], &[9; 40]] {
        assert!(other.book.budgets_mut().load(bad).is_err());
    }
}
