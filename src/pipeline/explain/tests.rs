use watchbell_series::{Labels, MetricKind, RawBatch, RawSample};

use super::answer::{Answer, Basis, Series};
use super::named;
use crate::config::{Config, Overrides};
use crate::pipeline::rehearsal::{Rehearsal, Setup};

const MINUTE_MS: i64 = 60_000;
const BEGIN_MS: i64 = 1_767_571_200_000;

/// The stages by the built-in rules, with a folder of others over them.
struct Bench {
    stages: Rehearsal,
    labels: Labels,
    minutes: i64,
}

impl Bench {
    fn new(metric: &str, rules: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in rules {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let mut settings = Config::built_in(&Overrides::default()).expect("the built-in config").settings;
        settings.rules_dir = Some(folder.path().to_owned());
        let setup = Setup::of(&settings).expect("right rules");
        let labels = Labels::series([("__name__", metric), ("instance", "web-1:9100")]).expect("labels");
        Self { stages: Rehearsal::new(setup), labels, minutes: 0 }
    }

    fn now_ms(&self) -> i64 {
        BEGIN_MS + (self.minutes - 1) * MINUTE_MS
    }

    fn put(&mut self, values: impl IntoIterator<Item = f64>) {
        for value in values {
            self.minutes += 1;
            let mut batch = RawBatch { received_ms: self.now_ms(), ..RawBatch::default() };
            batch.push(&self.labels, MetricKind::Gauge, &[RawSample { ts_ms: self.now_ms(), value }]);
            self.stages.step(&batch);
        }
    }

    /// A quiet gauge around 10.
    fn quiet(&mut self, minutes: i64) {
        self.put((0..minutes).map(|i| 10.0 + ((i * 7919) % 13) as f64 / 10.0));
    }

    fn told(&self, later_ms: i64) -> Series {
        let now_ms = self.now_ms() + later_ms;
        let found = self.stages.find(&["{instance=~\".+\"}".parse().expect("a selector")], now_ms, 9);
        let [(found, rules)] = &found[..] else { panic!("{found:?}") };
        Series::judged(found, rules, now_ms)
    }
}

#[test]
fn each_reason_in_its_words() {
    let mut bench = Bench::new("node_load1", &[]);
    bench.put([10.0]);
    let told = bench.told(0);
    assert_eq!(told.outcome, "warming");
    assert!(told.text.contains("of web-1 is warming up after 1 samples: "), "{}", told.text);
    assert!(told.detector.as_ref().is_some_and(|d| d.warmup_samples_left == Some(19) && d.score.is_none()), "{told:?}");

    bench.put([10.0; 30]);
    let told = bench.told(0);
    assert_eq!(told.outcome, "constant");
    assert!(told.text.contains("31 samples brought 10"), "{}", told.text);

    bench.quiet(3_000);
    let told = bench.told(0);
    assert_eq!(told.outcome, "under_edge");
    assert!(told.text.contains("is under its edge 1.00. At 2026-01-07T02:30:00Z it was"), "{}", told.text);
    assert!(
        told.text.contains("would raise an alarm from ") && told.text.ends_with("or from 0 down."),
        "{}",
        told.text
    );
    let detector = told.detector.expect("judged");
    assert!(detector.alarms_from.is_some_and(|from| from > 11.2) && detector.alarms_to == Some(0.0), "{detector:?}");

    // Less load is no trouble: the rule that says so is named.
    bench.put([1.0]);
    let told = bench.told(0);
    assert_eq!(told.outcome, "ruled_out", "{}", told.text);
    assert!(told.text.contains("unusually low, and a rule says `bad: up` (rules/detect/cpu.yaml"), "{}", told.text);

    let told = bench.told(3 * 3_600_000);
    assert_eq!(told.outcome, "stale");
    assert!(told.text.contains("its last sample came 3 h ago"), "{}", told.text);
}

#[test]
fn what_waits_and_what_no_rule_takes_up() {
    let mut bench = Bench::new("node_load1", &[]);
    bench.quiet(600);
    bench.put([90.0]);
    let told = bench.told(0);
    assert_eq!(told.outcome, "pending", "{}", told.text);
    assert!(told.text.contains("`MetricAnomalous` has 1 of the 2 hits among 3 samples"), "{}", told.text);
    bench.put([90.0]);
    let told = bench.told(0);
    assert_eq!(told.outcome, "alerting", "{}", told.text);
    assert!(told.alerts.iter().any(|alert| alert.standing == "firing" && alert.since.is_some()), "{told:?}");
    let detector = told.detector.expect("judged");
    assert_eq!((detector.alarm, detector.since.as_deref()), (true, Some("2026-01-05T10:00:00Z")));

    let only = "alerts:\n  - {alert: MetricAnomalous, select: '{job=\"x\"}'}\n";
    let mut bench = Bench::new("node_load1", &[("detect/mine.yaml", only)]);
    bench.quiet(600);
    bench.put([90.0]);
    let told = bench.told(0);
    assert_eq!(told.outcome, "no_rule", "{}", told.text);
    assert!(told.text.contains("`MetricAnomalous` does not select it"), "{}", told.text);
    assert!(told.text.contains("`SeriesMissing` is not about the pattern spike"), "{}", told.text);

    let least = "metrics:\n  - {name: load.1m, min_deviation: 500}\n";
    let mut bench = Bench::new("node_load1", &[("detect/mine.yaml", least)]);
    bench.quiet(600);
    bench.put([90.0]);
    let told = bench.told(0);
    assert_eq!(told.outcome, "ruled_out", "{}", told.text);
    assert!(told.rule.as_deref().is_some_and(|rule| rule.ends_with("detect/mine.yaml:2")), "{told:?}");
}

#[test]
fn the_answer_keeps_its_shape() {
    let mut bench = Bench::new("node_cooling_device_cur_state", &[]);
    bench.quiet(300);
    let answer =
        Answer { at_ms: BEGIN_MS, basis: Basis::Recomputed { samples: 7 }, matched: 12, series: vec![bench.told(0)] };
    let json = answer.json();
    let keys =
        |value: &serde_json::Value| -> Vec<String> { value.as_object().expect("a map").keys().cloned().collect() };
    assert_eq!(keys(&json), ["time", "basis", "samples", "matched", "series", "text"]);
    let series = &json["series"][0];
    assert_eq!(
        keys(series),
        [
            "series", "host", "metric", "unit", "kind", "outcome", "text", "detector", "rule", "alerts", "limits",
            "problems", "quiet"
        ]
    );
    assert_eq!(keys(&series["alerts"][0]), ["rule", "standing", "text", "since", "url"]);
    assert_eq!(keys(&series["detector"]).len(), 21);
    assert!(series["detector"]["alarms_to"].is_null(), "what is infinite is null");
    let text = answer.text();
    assert!(text.contains("judged again") && text.contains("12 series are selected, the first 10"), "{text}");
}

#[test]
fn labels_that_a_selector_names() {
    let labels = |text: &str| named(&text.parse().expect("a selector")).map(|labels| labels.to_string());
    assert!(labels("up{job=\"a\",mode=~\"x|y\"}").is_some_and(|text| text.contains("job") && !text.contains("mode")));
    assert_eq!(labels("{job=\"a\"}"), None);
}
