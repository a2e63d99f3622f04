//! The poller and the reader of the past against a frontend made of tables.

use std::sync::Arc;

use serde_json::json;
use watchbell_adapter_api::metrics::Counter;
use watchbell_adapter_api::{
    Clock, HistoryConfig as _, HistoryContext, HistoryRequest, Ingest, Metrics, Problems, Shutdown,
};
use watchbell_series::{Mode, RawBatch};

use super::fetch::Row;
use super::positions::Positions;
use super::round::{Changes, Round, Skipped};
use super::*;
use crate::api::value::ItemValue;
use crate::item::{Discard, Item};
use crate::testing::{Frontend, Recorder, Running, Standing, Tables, host, item, prepared};

const NOW_S: i64 = 1_795_190_460;

fn tables() -> Tables {
    Tables {
        version: "6.0.14",
        now_s: NOW_S,
        lists: [
            ("host.get", json!([host(1, "web-1")])),
            (
                "item.get",
                json!([
                    item(11, 1, "system.cpu.load[all,\"avg1\"]", 0, json!({})),
                    item(12, 1, "agent.ping", 3, json!({}))
                ]),
            ),
        ]
        .into(),
        values: vec![(0, 11, NOW_S - 10, 5_000_000, "0.5"), (3, 12, NOW_S - 10, 0, "1")],
        ..Tables::default()
    }
}

fn config(frontend: &Frontend) -> serde_json::Value {
    json!({"api": frontend.api(), "interval": "1s", "refresh": "10s"})
}

#[tokio::test]
async fn values_are_read_once_over_a_restart_and_a_broken_frontend() {
    let frontend = Frontend::start(tables()).await;
    let state = tempfile::tempdir().expect("a folder");
    let running = Running::start::<HistoryConfig>(config(&frontend), Some(state.path().to_owned()), NOW_S);
    running.until("two values", |r| r.recorder.lines().len() == 2).await;
    frontend.tables().broken = 1;
    frontend.tables().values.extend([(0, 11, NOW_S - 10, 5_000_000, "0.5"), (0, 11, NOW_S - 10, 7_000_000, "0.6")]);
    running.until("a third", |r| r.recorder.lines().len() == 3).await;
    running.stop().await;

    // What came while nobody read is read at the next start; what was judged is not.
    frontend.tables().values.push((0, 11, NOW_S - 5, 0, "0.75"));
    let running = Running::start::<HistoryConfig>(config(&frontend), Some(state.path().to_owned()), NOW_S);
    running.until("a fourth", |r| !r.recorder.lines().is_empty()).await;
    let lines = running.stop().await;
    let load = "zabbix_system_cpu_load{host=\"web-1\",key=\"system.cpu.load[all,avg1]\",p1=\"all\",p2=\"avg1\"} gauge";
    assert_eq!(lines, [format!("{load} 0.75 @{}", (NOW_S - 5) * 1_000)]);
}

#[tokio::test]
async fn old_values_are_learned_from_without_alerts() {
    let mut tables = tables();
    tables.values = vec![(0, 11, NOW_S - 1_500, 0, "1"), (0, 11, NOW_S - 1_200, 0, "2"), (3, 12, NOW_S, 0, "1")];
    let frontend = Frontend::start(tables).await;
    let mut config = config(&frontend);
    config["lookback"] = json!("1h");
    let running = Running::start::<HistoryConfig>(config, None, NOW_S);
    running.until("all", |r| r.recorder.lines().len() == 3).await;
    assert_eq!(running.recorder.modes(), [Mode::Live, Mode::Backfill, Mode::Backfill]);
    running.stop().await;
}

#[tokio::test]
async fn the_past_is_trends_and_then_values() {
    let mut tables = tables();
    let hour = NOW_S.div_euclid(3_600) * 3_600;
    let trend = |clock: i64, mean: &str| json!({"itemid": "11", "clock": clock.to_string(), "value_avg": mean});
    tables.lists.insert("trend.get", json!([trend(hour - 7_200, "3"), trend(hour - 10_800, "2.5")]));
    tables.values = vec![(0, 11, hour - 3_000, 0, "4"), (0, 11, NOW_S, 0, "5")];
    let frontend = Frontend::start(tables).await;
    let past: PastConfig = serde_json::from_value(json!({"api": frontend.api(), "values": "1h"})).expect("the shape");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let history = past.prepare(&mut Problems::default()).expect("valid");
    let recorder = Arc::new(Recorder::default());
    let (_stop, shutdown) = Shutdown::channel();
    let context = HistoryContext {
        ingest: Arc::clone(&recorder) as Arc<dyn Ingest>,
        clock: Arc::new(Standing(NOW_S * 1_000)) as Arc<dyn Clock>,
        shutdown,
        metrics: Metrics::default(),
        patient: false,
        progress: Arc::new(|_| ()),
    };
    let request = HistoryRequest { labels: vec![], from_ms: (NOW_S - 20_000) * 1_000, to_ms: NOW_S * 1_000 };
    let done = history.read(request.clone(), context.clone()).await.expect("read");
    assert_eq!((done.series, done.samples), (1, 4));
    let values: Vec<String> =
        recorder.lines().iter().map(|line| line.split("gauge ").nth(1).unwrap_or("").to_owned()).collect();
    let at = |value: &str, second: i64| format!("{value} @{}", second * 1_000);
    assert_eq!(values, [at("2.5", hour - 9_000), at("3", hour - 5_400), at("4", hour - 3_000), at("5", NOW_S)]);
    assert!(recorder.modes().iter().all(|mode| *mode == Mode::Backfill));
    let other = HistoryRequest { labels: vec![("host".into(), "db-1".into())], ..request };
    assert_eq!(history.read(other, context).await.expect("read").series, 0);
}

#[test]
fn what_is_wrong_in_a_config() {
    let wrong =
        json!({"api": {"url": "x"}, "interval": "10ms", "items_per_request": 0, "labels": {"host": "x", "p1": "y"}});
    let problems = prepared::<HistoryConfig>(wrong).err().expect("wrong");
    assert_eq!(problems.len(), 6, "{problems:#?}");
    assert!(problems.iter().any(|problem| problem.starts_with("api.url: `x` is no address")), "{problems:#?}");
}

fn tracked(id: u64, host: &str, value_type: u8) -> Item {
    let key = crate::key::Key::read("k");
    let more = std::collections::BTreeMap::new();
    let labels = crate::item::Naming { host, key: &key, units: "", tags: &[], more: &more }.labels().expect("labels");
    Item {
        id,
        host_id: 1,
        value_type,
        kind: watchbell_series::MetricKind::Gauge,
        labels,
        interval_s: Some(60),
        discard: Discard::No,
    }
}

fn skipped() -> Skipped {
    let counter = || Counter::new("c", "c").expect("a counter");
    Skipped { known: counter(), text: counter(), same_millisecond: counter(), ahead: counter() }
}

fn row(item: u64, clock: i64, ns: i64, value: Option<f64>) -> Row {
    Row { item, clock, ns, value: value.map_or(ItemValue::Text, ItemValue::Number) }
}

#[test]
fn repeats_text_and_values_of_one_millisecond_are_left_out() {
    let (mut round, skipped) = (Round::default(), skipped());
    round.update(vec![tracked(1, "a", 0)], &Positions::new(), 0, &mut RawBatch::default());
    let rows =
        [row(1, 100, 0, Some(1.0)), row(1, 100, 900_000, Some(2.0)), row(1, 101, 0, None), row(1, 102, 0, Some(3.0))];
    let mut told = Vec::new();
    let news = round.news(&rows, 103_000, &skipped, |item, count| told.push((item.id, count)));
    let times: Vec<i64> = news.live.samples.iter().map(|sample| sample.ts_ms).collect();
    assert_eq!((times, told), (vec![100_000, 102_000], vec![(1, 1)]));
    // Not judged yet: the same comes again.
    assert_eq!(round.news(&rows, 103_000, &skipped, |_, _| ()).live.samples.len(), 2);
    round.judged(&news);
    let known = skipped.known.get();
    assert_eq!(round.news(&rows, 103_000, &skipped, |_, _| ()).live.samples.len(), 0);
    assert_eq!((skipped.known.get() - known, skipped.text.get(), skipped.same_millisecond.get()), (4.0, 2.0, 2.0));
}

#[test]
fn a_changed_list_keeps_positions_and_ends_series() {
    let (mut round, skipped) = (Round::default(), skipped());
    let first = vec![tracked(1, "a", 0), tracked(2, "a2", 0), tracked(3, "a3", 3)];
    assert_eq!(round.update(first, &Positions::new(), 0, &mut RawBatch::default()), Changes::default());
    let rows = [row(1, 100, 0, Some(1.0)), row(2, 101, 0, Some(1.0)), row(3, 102, 0, Some(1.0))];
    let news = round.news(&rows, 103_000, &skipped, |_, _| ());
    round.judged(&news);
    // One is gone, the host of another has a new name, a third has another type; one is new.
    let mut stale = RawBatch::default();
    let second = vec![tracked(2, "b2", 0), tracked(3, "a3", 0), tracked(4, "a4", 0)];
    let changes = round.update(second, &Positions::new(), 110_000, &mut stale);
    assert_eq!(changes, Changes { new: 1, gone: 1, renamed: 1, retyped: 1 });
    assert_eq!(stale.samples.iter().map(|sample| sample.ts_ms).collect::<Vec<_>>(), [101_001, 100_001]);
    assert!(stale.samples.iter().all(|sample| watchbell_series::is_stale(sample.value)));
    let due = round.due(0, 170, 600, 86_400);
    assert_eq!(due, [(-430, 4), (101, 2), (102, 3)], "the furthest behind first, from where each stands");
    assert_eq!(round.due(0, 150, 600, 86_400), [(-450, 4)], "the others are not due yet");
    assert_eq!(round.due(0, 170, 600, 60), [(-430, 4), (110, 2), (110, 3)], "never more than may be caught up");
}

#[tokio::test]
async fn what_arrives_behind_newer_values_is_counted() {
    let mut tables = tables();
    tables.now_s = NOW_S / 600 * 600 + 10;
    let begin_s = tables.now_s - 10;
    tables.values = vec![];
    let frontend = Frontend::start(tables).await;
    let running = Running::start::<HistoryConfig>(config(&frontend), None, begin_s);
    let late = |r: &Running| r.metrics.counter(&SKIPPED, &["zabbix", "late"]).get();
    // Time goes by as the frontend tells it.
    let go = |to_s: i64, values: &[(u8, u64, i64, i64, &'static str)]| {
        let mut tables = frontend.tables();
        tables.now_s = to_s;
        tables.values.extend_from_slice(values);
    };
    let first = begin_s + 600;
    running.until("a list", |r| r.metrics.gauge(&ITEMS, &["zabbix"]).get() == 2.0).await;
    go(first + 100, &[(0, 11, first + 10, 0, "1"), (0, 11, first + 90, 0, "2"), (3, 12, first + 90, 0, "1")]);
    running.until("three values", |r| r.recorder.lines().len() == 3).await;
    go(first + 700, &[(0, 11, first + 20, 0, "3"), (0, 11, first + 30, 0, "4"), (0, 11, first + 650, 0, "5")]);
    running.until("a fourth", |r| r.recorder.lines().len() == 4).await;
    assert_eq!(late(&running), 0.0, "a span is counted when the next one is over, too");
    go(first + 1_250, &[(0, 11, first + 40, 0, "6"), (0, 11, first + 1_240, 0, "7")]);
    running.until("what is late", |r| late(r) > 0.0).await;
    assert_eq!(late(&running), 3.0);
    // What the first round in a span reads is counted for it, so that only this one is late.
    go(first + 1_850, &[(0, 11, first + 660, 0, "8"), (0, 11, first + 1_840, 0, "9")]);
    running.until("what is late", |r| late(r) > 3.0).await;
    assert_eq!(late(&running), 4.0);
    running.stop().await;
}

#[tokio::test]
async fn one_that_is_behind_does_not_have_others_read_again() {
    let mut tables = tables();
    tables.lists.insert("item.get", json!([item(11, 1, "seldom", 0, json!({})), item(12, 1, "often", 0, json!({}))]));
    tables.values = (1..=500).map(|ago| (0, 12, NOW_S - ago, 0, "1")).collect();
    tables.values.push((0, 11, NOW_S - 500, 0, "1"));
    let frontend = Frontend::start(tables).await;
    let running = Running::start::<HistoryConfig>(config(&frontend), None, NOW_S);
    running.until("all", |r| r.recorder.lines().len() == 501).await;
    let before = frontend.tables().handed;
    frontend.tables().values.push((0, 12, NOW_S, 0, "2"));
    running.until("one more", |r| r.recorder.lines().len() == 502).await;
    running.stop().await;
    // The last of each again, in a few rounds.
    assert!(frontend.tables().handed - before < 50, "{}", frontend.tables().handed - before);
}

#[tokio::test]
async fn a_server_that_stops_in_the_middle_of_a_page_loses_nothing() {
    let mut tables = tables();
    let (first_s, count) = (NOW_S - 30_000, super::fetch::PAGE as i64 + 2_000);
    tables.lists.insert("item.get", json!([item(11, 1, "often", 0, json!({}))]));
    tables.values = (0..count).map(|second| (0, 11, first_s + second, 0, "1")).collect();
    tables.whole_pages = Some(1);
    let frontend = Frontend::start(tables).await;
    let mut config = config(&frontend);
    config["lookback"] = json!("1d");
    let running = Running::start::<HistoryConfig>(config, None, NOW_S);
    running.until("all", |r| r.recorder.lines().len() >= count as usize).await;
    let failures = running.metrics.counter(&crate::api::METRICS[1], &["zabbix", "unreachable"]).get();
    let lines = running.stop().await;
    assert_eq!((lines.len(), failures), (count as usize, 1.0));
    let unique: std::collections::HashSet<&String> = lines.iter().collect();
    assert_eq!(unique.len(), lines.len(), "nothing comes twice");
    assert_eq!(frontend.tables().whole_pages, None, "a page broke off");
}

#[tokio::test]
async fn a_clock_that_is_ten_minutes_off_is_told_and_costs_no_value() {
    for skew_s in [-660, 660] {
        let mut tables = tables();
        tables.now_s = NOW_S + skew_s;
        tables.values = vec![(0, 11, tables.now_s - 2, 0, "1"), (0, 11, tables.now_s - 1, 0, "2")];
        let frontend = Frontend::start(tables).await;
        let running = Running::start::<HistoryConfig>(config(&frontend), None, NOW_S);
        running.until("both", |r| r.recorder.lines().len() == 2).await;
        assert_eq!(running.metrics.gauge(&crate::api::METRICS[4], &["zabbix"]).get(), skew_s as f64);
        assert_eq!(running.metrics.counter(&SKIPPED, &["zabbix", "refused"]).get(), 0.0);
        assert_eq!(running.recorder.modes(), [Mode::Live, Mode::Live]);
        // It is set right: what comes from now on is read, and nothing twice.
        frontend.tables().now_s = NOW_S;
        frontend.tables().values.push((0, 11, NOW_S, 0, "3"));
        running.until("a third", |r| r.recorder.lines().len() == 3).await;
        assert_eq!(running.metrics.gauge(&crate::api::METRICS[4], &["zabbix"]).get(), 0.0);
        assert_eq!(running.recorder.modes()[2], Mode::Live);
        running.stop().await;
    }
}

#[test]
fn a_value_from_the_future_does_not_silence_an_item() {
    let (mut round, skipped) = (Round::default(), skipped());
    let kept = Positions::from([(1, super::positions::Last(1_000_000, 0, 1.0))]);
    round.update(vec![tracked(1, "a", 0)], &kept, 0, &mut RawBatch::default());
    assert_eq!(round.due(0, 1_000, 600, 86_400), [(400, 1)], "as one that was never seen");
    let rows = [row(1, 990, 0, Some(1.0)), row(1, 1_601, 0, Some(2.0))];
    let news = round.news(&rows, 1_000_000, &skipped, |_, _| ());
    round.judged(&news);
    assert_eq!(news.live.samples.iter().map(|sample| sample.ts_ms).collect::<Vec<_>>(), [990_000]);
    assert_eq!((skipped.ahead.get(), round.positions()[&1].0), (1.0, 990));
}

#[test]
fn values_are_repeated_no_longer_than_the_host_lives() {
    let (mut round, skipped) = (Round::default(), skipped());
    let constant = |id, host| Item { discard: Discard::Unchanged, ..tracked(id, host, 0) };
    let alone = Item { host_id: 2, ..constant(3, "b") };
    round.update(vec![constant(1, "a"), tracked(2, "a2", 0), alone], &Positions::new(), 0, &mut RawBatch::default());
    let rows = [row(1, 1_000, 0, Some(7.0)), row(2, 1_900, 0, Some(1.0)), row(3, 1_000, 0, Some(8.0))];
    let news = round.news(&rows, 2_000_000, &skipped, |_, _| ());
    round.judged(&news);
    let mut carried = |at_s| {
        let mut batch = RawBatch::default();
        round.carry(at_s, 60, &mut batch);
        let mut times: Vec<_> = batch.samples.iter().map(|sample| (sample.value, sample.ts_ms / 1_000)).collect();
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        times
    };
    assert_eq!(carried(1_940), [(7.0, 1_840), (8.0, 1_940)], "the other value of the first host is of 1900");
    assert_eq!(carried(5_000), [(8.0, 5_000)], "nothing is known of the second host");
}

#[test]
fn an_item_that_comes_back_goes_on_where_it_stood() {
    let (mut round, skipped) = (Round::default(), skipped());
    let list = |ids: &[u64]| ids.iter().map(|id| tracked(*id, &format!("h{id}"), 0)).collect::<Vec<_>>();
    let kept = Positions::from([(3, super::positions::Last(90, 0, 1.0))]);
    round.update(list(&[1, 2]), &kept, 0, &mut RawBatch::default());
    let news = round.news(&[row(1, 100, 0, Some(1.0)), row(2, 101, 0, Some(1.0))], 103_000, &skipped, |_, _| ());
    assert!(!round.moved());
    round.judged(&news);
    assert!(round.moved() && !round.moved());
    round.update(list(&[2]), &Positions::new(), 0, &mut RawBatch::default());
    assert_eq!(round.positions().len(), 3, "of those that are gone, too");
    round.update(list(&[1, 2]), &Positions::new(), 0, &mut RawBatch::default());
    assert_eq!(round.due(0, 200, 600, 86_400), [(100, 1), (101, 2)]);
    round.forget(91);
    assert!(!round.positions().contains_key(&3));
}
