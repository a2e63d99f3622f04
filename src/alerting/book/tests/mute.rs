//! Alerts in quiet windows.

use super::*;

fn window(target: crate::context::subject::Target, starts_s: i64, ends_s: i64) -> Arc<Quiet> {
    let window = crate::context::quiet::Window {
        source: "zabbix".to_owned(),
        id: "1".to_owned(),
        target,
        starts_ms: starts_s * S,
        ends_ms: ends_s * S,
        reason: "kernel".to_owned(),
    };
    Arc::new(Quiet::new(vec![Arc::new(window)], Arc::default()))
}

fn of_host(starts_s: i64, ends_s: i64) -> Arc<Quiet> {
    window(crate::context::subject::Target::Host(vec!["web-1".to_owned()]), starts_s, ends_s)
}

#[test]
fn an_alert_in_a_window_is_recorded_and_what_still_stands_after_it_fires() {
    let mut bench = Bench::new();
    let (load, other) = (about("web-1", "load"), about("web-2", "load"));
    bench.book.set_quiet(of_host(0, 100));
    bench.feed(&load, 0, 2.0);
    assert_eq!(bench.feed(&load, 10, 3.0), ["MetricAnomalous load suppressed: muted"]);
    let probe = Probe { score: 3.0, edge: 1.0, alarm: true, pattern: Pattern::Spike };
    let standing = bench.book.standing(load.labels.id(), &load, &probe, 10 * S);
    let muted = RuleStanding {
        rule: "MetricAnomalous".to_owned(),
        standing: Standing::Held(Hold::Muted("kernel (zabbix)".to_owned())),
    };
    assert!(standing.contains(&muted), "whoever asks why is told which window: {standing:?}");
    bench.feed(&other, 0, 2.0);
    assert_eq!(bench.feed(&other, 10, 3.0), ["MetricAnomalous load firing"], "of another host");
    assert!(bench.feed(&load, 50, 9.0).is_empty() && bench.tick(101, &[]).is_empty(), "no sample came since");
    assert_eq!(bench.book.budgets().suppressed()[crate::alerting::Reason::Muted as usize], 1);
    let said = bench.feed(&load, 110, 2.0);
    assert_eq!(said, ["MetricAnomalous load over", "MetricAnomalous load firing"]);
    let [.., over, fired] = &bench.said[..] else { panic!("{:?}", bench.said) };
    let text = |t: &Transition| t.episode.annotations.iter().find(|(name, _)| name == "muted").map(|(_, t)| t.clone());
    assert_eq!((text(over), text(fired)), (Some("kernel (zabbix)".to_owned()), None));
    assert!((fired.episode.peak_score - 2.0).abs() < f32::EPSILON, "not what was in the window");
    assert_eq!((fired.episode.starts_ms, over.episode.ends_ms), (110 * S, Some(110 * S)));
}

#[test]
fn an_alert_that_calmed_down_in_its_window_never_fires() {
    let mut bench = Bench::new();
    let load = about("web-1", "load");
    bench.book.set_quiet(of_host(0, 100));
    bench.feed(&load, 0, 2.0);
    bench.feed(&load, 10, 3.0);
    bench.feed(&load, 90, 0.1);
    assert!(bench.feed(&load, 110, 0.1).is_empty());
    assert_eq!(bench.feed(&load, 500, 0.1), ["MetricAnomalous load over"]);
    assert_eq!(bench.book.counts(), Counts::default());
}

#[test]
fn an_alert_that_a_window_comes_over_resolves_at_sinks() {
    let mut bench = Bench::new();
    let load = about("web-1", "load");
    bench.feed(&load, 0, 2.0);
    bench.feed(&load, 10, 2.0);
    bench.book.set_quiet(of_host(15, 100));
    let said = bench.feed(&load, 20, 2.0);
    assert_eq!(said, ["MetricAnomalous load resolved", "MetricAnomalous load suppressed: muted"]);
    assert_eq!((bench.book.load.firing, bench.book.open().count()), (0, 0), "a sink that is new is told of no alert");
    let resolved = &bench.said[bench.said.len() - 2].episode;
    assert_eq!((resolved.ends_ms, resolved.annotations.last().map(|(n, _)| n.as_str())), (Some(20 * S), Some("muted")));
    bench.book.set_quiet(Arc::default());
    assert_eq!(bench.feed(&load, 30, 2.0), ["MetricAnomalous load over", "MetricAnomalous load firing"]);
}

#[test]
fn samples_that_come_late_do_not_fire_into_a_window() {
    let mut bench = Bench::new();
    let load = about("web-1", "load");
    bench.book.set_quiet(of_host(15, 100));
    let late = |bench: &mut Bench, ts_s: i64, now_s: i64| {
        bench.with(|book, out| book.observe(input(&load, 7, ts_s, 2.0, Pattern::Spike), now_s * S, out))
    };
    assert!(late(&mut bench, 8, 16).is_empty());
    assert_eq!(late(&mut bench, 10, 18), ["MetricAnomalous load suppressed: muted"]);
    assert!(late(&mut bench, 12, 20).is_empty());
    assert!(late(&mut bench, 96, 104).is_empty(), "the sample is still in it");
    assert_eq!(late(&mut bench, 101, 109), ["MetricAnomalous load over", "MetricAnomalous load firing"]);
}

#[test]
fn a_missing_series_fires_by_the_clock_when_its_window_is_over() {
    let mut bench = Bench::new();
    let load = about("web-1", "load");
    bench.book.set_quiet(of_host(0, 100));
    let gone = |bench: &mut Bench, ts_s: i64| {
        let input = input(&load, 1, ts_s, f32::NAN, Pattern::Missing);
        bench.with(|book, out| book.observe(input, ts_s * S, out))
    };
    let mut said = gone(&mut bench, 10);
    for ts_s in 11..99 {
        said.extend(bench.tick(ts_s, &[]));
    }
    assert!(said.iter().all(|said| said.ends_with("suppressed: muted")) && said.len() <= 1, "{said:?}");
    for ts_s in 99..700 {
        said.extend(bench.tick(ts_s, &[]));
    }
    assert!(said.last().is_some_and(|said| said.ends_with("firing")), "{said:?}");
}

#[test]
fn a_host_at_work_is_muted_and_no_part_of_a_mad_fleet() {
    let mut bench = Bench::new();
    bench.book.set_quiet(of_host(0, 100));
    let mad = [reading("web-1", 3.0, 40)];
    let said: Vec<String> = (0..60).flat_map(|t| bench.tick(t, &mad)).collect();
    assert_eq!(said, ["HostAnomalous web-1 suppressed: muted"]);
    assert!(!bench.book.hosts.fires("web-1") && bench.book.open().count() == 0, "it speaks for nobody");
    let said: Vec<String> = (101..110).flat_map(|t| bench.tick(t, &mad)).collect();
    assert_eq!(said, ["HostAnomalous web-1 over", "HostAnomalous web-1 firing"]);
    bench.book.set_quiet(of_host(100, 200));
    let said = bench.tick(120, &mad);
    assert_eq!(said, ["HostAnomalous web-1 resolved", "HostAnomalous web-1 suppressed: muted"]);
    let hosts = [reading("web-1", 3.0, 40), reading("web-2", 3.0, 40)];
    let left: Vec<&str> = bench.book.at_work(150 * S, &hosts).map(|host| host.host.as_str()).collect();
    assert_eq!(left, ["web-2"]);
}

#[test]
fn a_muted_missing_series_fires_after_its_window_even_over_a_restart() {
    let mut before = Bench::new();
    let load = about("web-1", "load");
    before.book.set_quiet(of_host(0, 1000));
    before.feed(&load, 0, 0.1);
    let gone = input(&load, 1, 10, f32::NAN, Pattern::Missing);
    before.with(|book, out| book.observe(gone, 10 * S, out));
    for ts_s in 11..400 {
        before.tick(ts_s, &[]);
    }
    let muted = before.said.last().expect("muted").episode.clone();
    let mut bench = Bench::new();
    bench.book.set_quiet(of_host(0, 1000));
    bench.with(|book, out| book.restore_muted(vec![muted.clone()], 500 * S, out));
    assert_eq!((bench.book.load.firing, bench.book.open().count()), (0, 0));
    assert!(bench.tick(999, &[]).is_empty());
    assert_eq!(bench.tick(1001, &[]), ["SeriesMissing load over", "SeriesMissing load firing"]);
    let fired = &bench.said.last().expect("fired").episode;
    assert_eq!((&fired.labels, fired.starts_ms, bench.book.load.firing), (&muted.labels, 1001 * S, 1));
    assert!(fired.annotations.iter().all(|(name, _)| name != "muted"));
}

#[test]
fn another_kind_of_anomaly_than_the_rule_begins_with_fires_nothing_after_a_window() {
    let mut rules = Rules::builtin();
    rules.series.iter_mut().for_each(|rule| rule.patterns.retain(|pattern| *pattern != Pattern::Flatline));
    let mut bench = Bench::new();
    bench.book = Book::new(rules, "http://w");
    let load = about("web-1", "load");
    bench.book.set_quiet(of_host(0, 100));
    bench.feed(&load, 0, 2.0);
    bench.feed(&load, 10, 3.0);
    let other = input(&load, 7, 110, 3.0, Pattern::Flatline);
    assert!(bench.with(|book, out| book.observe(other, 110 * S, out)).is_empty());
    assert_eq!(bench.feed(&load, 120, 2.0), ["MetricAnomalous load over", "MetricAnomalous load firing"]);
}

#[test]
fn muted_missing_series_of_one_host_fire_within_its_limit_even_over_a_restart() {
    let mut before = Bench::new();
    before.book.set_quiet(of_host(0, 1000));
    let all: Vec<About> = (0..20).map(|i| about("web-1", &format!("m{i:02}"))).collect();
    for (slot, series) in all.iter().enumerate() {
        let gone = input(series, slot as u32, 10, f32::NAN, Pattern::Missing);
        before.with(|book, out| book.observe(gone, 10 * S, out));
    }
    before.tick(400, &[]);
    let muted: Vec<Episode> = before.said.iter().map(|said| said.episode.clone()).collect();
    assert_eq!(muted.len(), 20);

    let mut bench = Bench::new();
    bench.book.set_quiet(of_host(0, 1000));
    bench.with(|book, out| book.restore_muted(muted.clone(), 500 * S, out));
    let said = bench.tick(1001, &[]);
    let count = |said: &[String], word: &str| said.iter().filter(|said| said.ends_with(word)).count();
    assert_eq!((count(&said, "over"), count(&said, "firing")), (5, 6), "five and their host: {said:?}");
    assert!(said.contains(&"HostAnomalous web-1 firing".to_owned()), "{said:?}");
    assert_eq!(bench.book.counts(), Counts { firing: 6, held: 15, ..Counts::default() });

    // A second restart knows those that are held, too: of a series that is missing nothing is told again.
    let fires = |said: &&Transition| said.change == Change::Fired;
    let open: Vec<Episode> = bench.said.iter().filter(fires).map(|said| said.episode.clone()).collect();
    let is_over = |labels: &Labels| bench.said.iter().any(|said| said.episode.labels == *labels);
    let waits: Vec<Episode> = muted.into_iter().filter(|episode| !is_over(&episode.labels)).collect();
    let mut bench = Bench::new();
    bench.with(|book, out| {
        book.restore(open, 1010 * S, out);
        book.restore_muted(waits, 1010 * S, out);
    });
    assert!(bench.tick(1011, &[]).is_empty());
    assert_eq!(bench.book.counts(), Counts { firing: 6, held: 15, ..Counts::default() });

    // Those that come back end; what is held fires when there is room again, in the words that are known of it.
    for series in &all[..17] {
        bench.feed(series, 1100, 0.1);
    }
    let said: Vec<String> = (1101..1600).flat_map(|ts_s| bench.tick(ts_s, &[])).collect();
    assert_eq!(count(&said, "SeriesMissing m19 firing"), 1, "{said:?}");
    let fired = bench.said.iter().rev().find(|said| said.change == Change::Fired).map(|said| &said.episode);
    assert!(fired.is_some_and(|episode| episode.ends_ms.is_none() && episode.starts_ms > 1100 * S), "{fired:?}");
    assert_eq!((bench.book.load.firing, bench.book.load.held), (3, 0));
}

#[test]
fn a_series_that_was_missing_in_its_window_is_asked_for_its_score_after_it() {
    let mut rules = Rules::builtin();
    rules.budget = "1 per series per month".parse().expect("a budget");
    rules.series.retain(|rule| rule.name == "MetricAnomalous");
    rules.series[0].patterns.push(Pattern::Missing);
    let mut bench = Bench::new();
    bench.book = Book::new(rules, "http://w");
    let load = about("web-1", "load");
    bench.book.set_quiet(of_host(0, 1000));
    let gone = input(&load, 7, 10, f32::NAN, Pattern::Missing);
    assert_eq!(bench.with(|book, out| book.observe(gone, 10 * S, out)), ["MetricAnomalous load suppressed: muted"]);
    let said = bench.feed(&load, 1010, 1.01);
    assert_eq!(said, ["MetricAnomalous load over", "MetricAnomalous load suppressed: budget"]);
}

#[test]
fn a_host_that_was_muted_before_a_restart_fires_in_words_of_now() {
    let mut before = Bench::new();
    before.book.set_quiet(of_host(0, 1000));
    let mad = [reading("web-1", 3.0, 40)];
    let said: Vec<String> = (1..400).flat_map(|ts_s| before.tick(ts_s, &mad)).collect();
    assert_eq!(said, ["HostAnomalous web-1 suppressed: muted"]);
    let muted = before.said.last().expect("muted").episode.clone();
    let mut bench = Bench::new();
    bench.book.set_quiet(of_host(0, 1000));
    bench.with(|book, out| book.restore_muted(vec![muted], 500 * S, out));
    let said: Vec<String> = (990..1400).flat_map(|ts_s| bench.tick(ts_s, &mad)).collect();
    assert_eq!(said, ["HostAnomalous web-1 over", "HostAnomalous web-1 firing"]);
    let fired = &bench.said.last().expect("fired").episode;
    assert!(fired.annotations[0].1.contains(" 40 of "), "{:?}", fired.annotations);
}
