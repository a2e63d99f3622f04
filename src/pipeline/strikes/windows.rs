//! Windows that are struck out, and batches of history without them.

use std::sync::Arc;

use watchbell_adapter_api::{BoxFuture, Ingest, IngestError, Receipt};
use watchbell_normalize::Rules;
use watchbell_series::labels::{NAME, hash_canonical, iter_canonical};
use watchbell_series::{Mode, NativeHistogram, RawBatch, RawSample, STALE_NAN_BITS, Selector, SeriesId};

use crate::context::subject::is_either;
use crate::pipeline::hosts::SharedHosts;

/// What parts of classic histograms and summaries end with, and what tells them apart.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];
const PART_LABELS: [&str; 2] = ["le", "quantile"];

/// One window: which series, and from when to when, both ends included.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// A series that one of these selects.
    pub selectors: Vec<Selector>,
    /// First millisecond.
    pub start_ms: i64,
    /// Last millisecond.
    pub end_ms: i64,
}

/// All windows, with what is needed to tell whom they are about.
#[derive(Debug, Clone)]
pub struct Windows {
    windows: Vec<Window>,
    rules: Arc<Rules>,
    hosts: SharedHosts,
}

impl Windows {
    /// These windows; `rules` say how a series names its host, and `hosts` which one that is.
    #[must_use]
    pub fn new(windows: Vec<Window>, rules: Arc<Rules>, hosts: SharedHosts) -> Self {
        Self { windows, rules, hosts }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Whether a window is about the series with these labels, in canonical bytes.
    #[must_use]
    pub fn select(&self, labels: &[u8]) -> bool {
        self.windows.iter().any(|window| self.is_about(window, labels))
    }

    /// The label `host` is the machine of the series, or the name that the series carries itself. A histogram is selected by
    /// the name of any series that comes of it, `x_bucket` or `x:p99`, and always with all its parts.
    fn is_about(&self, window: &Window, labels: &[u8]) -> bool {
        let own = |name: &str| iter_canonical(labels).find(|(n, _)| *n == name).map_or("", |(_, value)| value);
        let is_part = PARTS.iter().any(|end| own(NAME).ends_with(end)) || !own(PART_LABELS[1]).is_empty();
        let matches = |selector: &Selector| {
            selector.matchers().iter().all(|matcher| match matcher.name() {
                "host" => {
                    let given = self.rules.host(own).map(|given| given.name).unwrap_or_default();
                    is_either(matcher, self.hosts.load().host(&given), own("host"))
                }
                NAME if !matcher.matches(own(NAME)) => {
                    let family = PARTS.iter().find_map(|end| own(NAME).strip_suffix(end)).unwrap_or(own(NAME));
                    let ends = PARTS.iter().chain(&[":mean", ":rate", ":p50", ":p90", ":p99"]);
                    ends.map(|end| format!("{family}{end}")).any(|name| matcher.matches(&name))
                }
                label if is_part && PART_LABELS.contains(&label) => true,
                label => matcher.matches(own(label)),
            })
        };
        window.selectors.iter().any(matches)
    }

    /// Takes struck samples out of `batch`. Where a run of them was, a stale marker stands: what comes after it is
    /// not compared with what came before, or the rate of a counter would tell of the window all the same.
    pub fn strip(&self, batch: &mut RawBatch) {
        if self.windows.is_empty() {
            return;
        }
        let about: Vec<Vec<&Window>> = batch
            .series
            .iter()
            .map(|series| {
                let labels = batch.label_bytes(series);
                self.windows.iter().filter(|window| self.is_about(window, labels)).collect()
            })
            .collect();
        if about.iter().all(Vec::is_empty) {
            return;
        }
        let (mut samples, mut histograms) = (Vec::with_capacity(batch.samples.len()), Vec::new());
        for (i, windows) in about.iter().enumerate() {
            let series = batch.series[i];
            let struck = |ts_ms: i64| windows.iter().any(|w| (w.start_ms..=w.end_ms).contains(&ts_ms));
            let (at, histograms_at) = (samples.len(), histograms.len());
            let kept = |ts_ms: i64| (!struck(ts_ms)).then_some(());
            without(batch.samples_of(&series), |s| kept(s.ts_ms), |s| RawSample { value: stale(), ..*s }, &mut samples);
            let mark = |h: &NativeHistogram| NativeHistogram { ts_ms: h.ts_ms, sum: stale(), ..Default::default() };
            without(batch.histograms_of(&series), |h| kept(h.ts_ms), mark, &mut histograms);
            let series = &mut batch.series[i];
            (series.samples_at, series.samples_len) = (at as u32, (samples.len() - at) as u32);
            series.histograms_at = histograms_at as u32;
            series.histograms_len = (histograms.len() - histograms_at) as u32;
        }
        (batch.samples, batch.histograms) = (samples, histograms);
    }
}

fn stale() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Appends what `keep` says, and a mark for each run of others that something was before.
fn without<T: Clone>(all: &[T], keep: impl Fn(&T) -> Option<()>, mark: impl Fn(&T) -> T, out: &mut Vec<T>) {
    let (first, mut marked) = (out.len(), false);
    for one in all {
        if keep(one).is_some() {
            out.push(one.clone());
            marked = false;
        } else if !marked && out.len() > first {
            out.push(mark(one));
            marked = true;
        }
    }
}

/// What is struck out now; shared, and replaced whole.
pub type Shared = Arc<arc_swap::ArcSwap<Windows>>;

/// A way in that leaves struck windows out of history.
pub struct Stripped {
    inner: Arc<dyn Ingest>,
    windows: Shared,
}

impl Stripped {
    /// Leaves `windows` out of what goes to `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Ingest>, windows: Shared) -> Self {
        Self { inner, windows }
    }
}

impl std::fmt::Debug for Stripped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stripped")
    }
}

impl Ingest for Stripped {
    fn submit(&self, mut batch: RawBatch) -> BoxFuture<'_, Result<Receipt, IngestError>> {
        if batch.mode == Mode::Backfill {
            self.windows.load().strip(&mut batch);
        }
        self.inner.submit(batch)
    }
}

/// The ids of the series of `batch`.
pub(super) fn ids(batch: &RawBatch) -> impl Iterator<Item = SeriesId> + '_ {
    batch.series.iter().map(|series| hash_canonical(batch.label_bytes(series)))
}

#[cfg(test)]
mod tests {
    use watchbell_series::{Labels, MetricKind};

    use super::*;

    fn windows(selector: &str, start_ms: i64, end_ms: i64) -> Windows {
        let selectors = vec![selector.parse().expect("a selector")];
        let file = r#"{"entity": [{"label": "instance", "address": true}]}"#;
        let rules = Rules::load(&[("test", file)], &[]).expect("valid");
        Windows::new(vec![Window { selectors, start_ms, end_ms }], Arc::new(rules), SharedHosts::default())
    }

    fn labels(name: &str) -> Labels {
        Labels::series([("__name__", name), ("instance", "web-1:9100"), ("job", "node")]).expect("labels")
    }

    fn selects(selector: &str, labels: &Labels) -> bool {
        let mut bytes = Vec::new();
        labels.write_canonical(&mut bytes);
        windows(selector, 0, 0).select(&bytes)
    }

    #[test]
    fn a_window_is_about_a_host_a_metric_or_a_whole_histogram() {
        let load = labels("node_load1");
        for selector in ["node_load1", r#"{job="node"}"#, r#"{host="web-1"}"#, r#"node_load1{host!="web-2"}"#] {
            assert!(selects(selector, &load), "{selector}");
        }
        for selector in ["node_load5", r#"{host="web-2"}"#, r#"{job=""}"#] {
            assert!(!selects(selector, &load), "{selector}");
        }
        for part in ["x_seconds_bucket", "x_seconds_sum", "x_seconds_count"] {
            for selector in ["x_seconds:p99", "x_seconds_bucket", r#"x_seconds_bucket{le="1"}"#] {
                assert!(selects(selector, &labels(part)), "{selector} {part}");
            }
            assert!(!selects("y_seconds:p99", &labels(part)));
        }
    }

    #[test]
    fn what_is_not_to_be_struck_is_kept_by_each_of_its_names() {
        let load = Labels::series([("__name__", "load"), ("instance", "web-1:9100"), ("host", "web-01")]);
        let load = load.expect("labels");
        for selector in [r#"{host="web-1"}"#, r#"{host="web-01"}"#, r#"{host!="web-2"}"#] {
            assert!(selects(selector, &load), "{selector}");
        }
        for selector in [r#"{host!="web-1"}"#, r#"{host!="web-01"}"#, r#"{host!~"web-0.*"}"#] {
            assert!(!selects(selector, &load), "{selector}");
        }
    }

    #[test]
    fn struck_samples_are_left_out_and_the_seam_is_marked() {
        let sample = |ts_ms: i64| RawSample { ts_ms, value: ts_ms as f64 };
        let all: Vec<RawSample> = (1..=6).map(sample).collect();
        let mut batch = RawBatch { mode: Mode::Backfill, ..RawBatch::default() };
        batch.push(&labels("a"), MetricKind::Gauge, &all);
        batch.push(&labels("b"), MetricKind::Counter, &all);
        batch.push(&labels("c"), MetricKind::Gauge, &all);
        let times = |batch: &RawBatch, i: usize| {
            let samples = batch.samples_of(&batch.series[i]).iter();
            samples.map(|s| if s.value.is_nan() { -s.ts_ms } else { s.ts_ms }).collect::<Vec<_>>()
        };
        let mut middle = batch.clone();
        windows("b", 3, 4).strip(&mut middle);
        assert_eq!((times(&middle, 0), times(&middle, 1)), (vec![1, 2, 3, 4, 5, 6], vec![1, 2, -3, 5, 6]));
        assert_eq!(times(&middle, 2), [1, 2, 3, 4, 5, 6]);
        assert_eq!(middle.samples_of(&middle.series[1])[2].value.to_bits(), STALE_NAN_BITS);
        let mut begin = batch.clone();
        windows("b", 0, 4).strip(&mut begin);
        assert_eq!(times(&begin, 1), [5, 6]);
        windows("{}", 0, 100).strip(&mut batch);
        assert!(batch.samples.is_empty() && batch.series.iter().all(|series| series.samples_len == 0));
    }
}
