//! What becomes of a page: names, timestamps, ends, duplicates, and what is sent of known series.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use watchbell_adapter_api::IngestError;

use super::support::{OPENMETRICS, TEXT, bench, end, got, target, up};

fn page(text: &str) -> Arc<Mutex<String>> {
    Arc::new(Mutex::new(text.to_owned()))
}

fn put(page: &Arc<Mutex<String>>, text: &str) {
    text.clone_into(&mut page.lock().expect("not poisoned"));
}

#[tokio::test]
async fn a_known_series_goes_without_labels() {
    let page = page(include_str!("../../../testdata/node_exporter.txt"));
    let mut bench = bench(target(&page, TEXT).await, json!({}));
    let first = bench.scrape(1000).await;
    assert_eq!(first.len(), 508);
    assert_eq!(bench.service.take_labelled(), 507 + 5);
    assert!(first.iter().any(|(name, ..)| name == r#"node_load1{instance="i",job="j"}"#));

    put(&page, include_str!("../../../testdata/node_exporter_later.txt"));
    let later = bench.scrape(6000).await;
    assert_eq!(later.len(), first.len());
    assert_eq!(bench.service.take_labelled(), 5);
    assert_eq!(bench.service.take_batches(), 2);
    let names = |got: &[super::support::Got]| got.iter().map(|g| g.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&first), names(&later));
    assert!(later.iter().all(|(_, ts, _)| *ts == 6000));
    assert_eq!(bench.counts("watchbell_scrape_samples_total")[""], 1014.0);
    assert_eq!(bench.counts("watchbell_scrape_targets")["up"], 1.0);
}

#[tokio::test]
async fn what_the_service_forgot_is_sent_again_with_labels() {
    let page = page("a 1\nb{x=\"y\"} 2\n");
    let mut bench = bench(target(&page, TEXT).await, json!({}));
    let first = bench.scrape(1000).await;
    bench.service.take_labelled();
    bench.service.forgetful.store(true, Ordering::SeqCst);
    let second = bench.scrape(2000).await;
    assert_eq!(second.len(), first.len());
    assert_eq!(second[1], got(r#"b{instance="i",job="j",x="y"}"#, 2000, 2.0));
    assert_eq!(bench.service.take_labelled(), 5 + 2);
}

#[tokio::test]
async fn what_disappears_ends_and_may_come_back() {
    let page = page("a 1\nb 2\n");
    let mut bench = bench(target(&page, TEXT).await, json!({}));
    bench.scrape(1000).await;
    put(&page, "a 1\n");
    let a = r#"a{instance="i",job="j"}"#;
    let b = r#"b{instance="i",job="j"}"#;
    assert_eq!(bench.scrape(2000).await, [got(a, 2000, 1.0), end(b, 2000), up(2000, 1.0)]);
    assert_eq!(bench.scrape(3000).await, [got(a, 3000, 1.0), up(3000, 1.0)]);
    put(&page, "b 3\na 1\n");
    assert_eq!(bench.scrape(4000).await, [got(a, 4000, 1.0), got(b, 4000, 3.0), up(4000, 1.0)]);
    // A page that can not be used ends all, once.
    put(&page, "<html>\n");
    assert_eq!(bench.scrape(5000).await, [end(a, 5000), end(b, 5000), up(5000, 0.0)]);
    assert_eq!(bench.scrape(6000).await, [up(6000, 0.0)]);
    assert_eq!(bench.counts("watchbell_scrape_errors_total")["garbage"], 2.0);
    assert_eq!(bench.counts("watchbell_scrape_targets"), [("down".to_owned(), 1.0)].into());
}

#[tokio::test]
async fn the_scrape_tells_of_itself() {
    let page = page("a 1\nb 2\nb 3\nbad line\n");
    let drop_a = json!([{"action": "drop", "source_labels": ["__name__"], "regex": "a"}]);
    let mut bench = bench(target(&page, TEXT).await, json!({"metric_relabel_configs": drop_a}));
    bench.runner.scrape(1000).await;
    let all = bench.service.all();
    let value = |name: &str| all.iter().find(|g| g.0 == format!("{name}{{instance=\"i\",job=\"j\"}}")).expect(name).2;
    assert_eq!(value("up"), Some(1.0));
    assert_eq!(value("scrape_samples_scraped"), Some(3.0));
    assert_eq!(value("scrape_samples_post_metric_relabeling"), Some(1.0));
    assert_eq!(value("scrape_series_added"), Some(1.0));
    assert!(value("scrape_duration_seconds").is_some_and(|s| s > 0.0));
    assert_eq!(value("b"), Some(2.0), "the first of two equal series wins");
    assert_eq!(bench.counts("watchbell_scrape_duplicate_samples_total")[""], 1.0);
    assert_eq!(bench.counts("watchbell_scrape_bad_lines_total")["value"], 1.0);
}

#[tokio::test]
async fn labels_of_page_and_target_that_clash() {
    let text = "a{instance=\"x\",exported_job=\"e\",job=\"y\"} 1\nb{instance=\"\"} 2\n";
    let page = page(text);
    let address = target(&page, TEXT).await;
    let renamed = bench(address, json!({})).scrape(1000).await;
    assert_eq!(
        renamed[..2],
        [
            got(
                r#"a{exported_exported_job="y",exported_instance="x",exported_job="e",instance="i",job="j"}"#,
                1000,
                1.0
            ),
            got(r#"b{instance="i",job="j"}"#, 1000, 2.0)
        ]
    );
    let honored = bench(address, json!({"honor_labels": true})).scrape(1000).await;
    assert_eq!(
        honored[..2],
        [got(r#"a{exported_job="e",instance="x",job="y"}"#, 1000, 1.0), got(r#"b{job="j"}"#, 1000, 2.0)]
    );
}

#[tokio::test]
async fn timestamps_of_the_page() {
    let page = page("# TYPE a gauge\na 1 5.5\n# EOF\n");
    let address = target(&page, OPENMETRICS).await;
    let a = r#"a{instance="i",job="j"}"#;
    let mut honoring = bench(address, json!({}));
    assert_eq!(honoring.scrape(9000).await, [got(a, 5500, 1.0), up(9000, 1.0)]);
    let mut ignoring = bench(address, json!({"honor_timestamps": false}));
    assert_eq!(ignoring.scrape(9000).await, [got(a, 9000, 1.0), up(9000, 1.0)]);
    // Several points of one series are no duplicates, and what has its own time does not end with the page.
    put(&page, "a 2 6.5\na 3 7.5\n# EOF\n");
    assert_eq!(honoring.scrape(9500).await, [got(a, 6500, 2.0), got(a, 7500, 3.0), up(9500, 1.0)]);
    assert_eq!(honoring.counts("watchbell_scrape_duplicate_samples_total").len(), 0);
    put(&page, "# EOF\n");
    assert_eq!(honoring.scrape(10_000).await, [up(10_000, 1.0)]);
    assert_eq!(ignoring.scrape(10_000).await, [end(a, 10_000), up(10_000, 1.0)]);
}

#[tokio::test]
async fn bucket_bounds_have_one_form() {
    let page = page("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n");
    let seen = bench(target(&page, TEXT).await, json!({})).scrape(1000).await;
    assert_eq!(seen[0].0, r#"h_bucket{instance="i",job="j",le="+Inf"}"#);
    assert_eq!(seen[1].0, r#"h_bucket{instance="i",job="j",le="1.0"}"#);
}

#[tokio::test]
async fn a_busy_service_is_waited_for_until_the_next_turn() {
    let page = page("a 1\n");
    let mut bench = bench(target(&page, TEXT).await, json!({}));
    let busy = |millis| IngestError::Busy { retry_after: Duration::from_millis(millis) };
    bench.service.refuse.lock().expect("not poisoned").extend([busy(1), busy(1)]);
    // Nothing was taken, so the labels of the new series must come again.
    let a = r#"a{instance="i",job="j"}"#;
    assert_eq!(bench.scrape(0).await, [got(a, 0, 1.0), up(0, 1.0)]);
    bench.service.refuse.lock().expect("not poisoned").push_back(busy(60_000));
    assert_eq!(bench.scrape(1000).await, []);
    assert_eq!(bench.counts("watchbell_scrape_refused_total")["busy"], 1.0);
    assert_eq!(bench.scrape(2000).await, [got(a, 2000, 1.0), up(2000, 1.0)]);
}

#[tokio::test]
async fn limits_fail_the_whole_scrape() {
    let page = page("a{x=\"1\"} 1\nbb{x=\"22\",y=\"1\"} 1\n");
    let address = target(&page, TEXT).await;
    for (limit, fails, passes) in [
        ("sample_limit", 1, 2),
        ("label_limit", 4, 5),
        ("label_name_length_limit", 7, 8),
        ("label_value_length_limit", 1, 2),
    ] {
        let mut bench = bench(address, json!({ limit: fails }));
        assert_eq!(bench.scrape(1000).await, [up(1000, 0.0)], "{limit}");
        assert_eq!(bench.counts("watchbell_scrape_errors_total")[limit], 1.0);
        assert_eq!(super::support::bench(address, json!({ limit: passes })).scrape(1000).await.len(), 3, "{limit}");
    }
    let no_name = json!({"metric_relabel_configs": [{"action": "labeldrop", "regex": "__name__"}]});
    let mut bench = bench(address, no_name);
    assert_eq!(bench.scrape(1000).await, [up(1000, 0.0)]);
    assert_eq!(bench.counts("watchbell_scrape_errors_total")["no_name"], 1.0);
}
