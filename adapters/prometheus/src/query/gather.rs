//! The past of many series, gathered until each of them is whole.
//!
//! Live samples go on while the past is read, and a series that took one refuses everything older that comes
//! in a later batch. So the past of a series, and of all parts of a histogram, goes over in one batch.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use watchbell_series::labels::NAME;
use watchbell_series::{Labels, MetricKind, RawSample};

use super::feed::{Feed, Stopped};

/// The most samples that are held: 128 MiB.
pub(super) const MOST: usize = 8_000_000;

/// Labels in which the parts of one histogram or summary differ.
pub(super) const PART_LABELS: [&str; 3] = [NAME, "le", "quantile"];

/// The name that the parts of a histogram or summary have in common.
pub(super) fn family(name: &str) -> &str {
    ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

/// The same for all parts of one histogram or summary, else different.
pub(super) fn whole_of(labels: &Labels) -> Vec<&str> {
    let rest = labels.iter().filter(|(name, _)| !PART_LABELS.contains(name));
    [family(labels.name())].into_iter().chain(rest.flat_map(|(name, value)| [name, value])).collect()
}

/// Samples of series, each in order of time.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    series: HashMap<Labels, (MetricKind, Vec<RawSample>)>,
    samples: usize,
}

impl Gathered {
    /// Adds what is newer than the last sample of the series.
    pub(super) fn add(&mut self, labels: Labels, kind: MetricKind, samples: Vec<RawSample>) {
        if samples.is_empty() {
            return;
        }
        match self.series.entry(labels) {
            Entry::Vacant(entry) => {
                self.samples += samples.len();
                entry.insert((kind, samples));
            }
            Entry::Occupied(mut entry) => {
                let held = &mut entry.get_mut().1;
                let (before, last) = (held.len(), held.last().map_or(i64::MIN, |sample| sample.ts_ms));
                held.extend(samples.into_iter().filter(|sample| sample.ts_ms > last));
                self.samples += held.len() - before;
            }
        }
    }

    /// Samples held.
    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    /// Series held.
    pub(super) fn series(&self) -> usize {
        self.series.len()
    }

    /// Drops the older half of the time held, of all series alike; returns how many samples that were.
    pub(super) fn drop_older_half(&mut self) -> usize {
        let first = self.series.values().filter_map(|(_, samples)| samples.first()).map(|s| s.ts_ms).min();
        let last = self.series.values().filter_map(|(_, samples)| samples.last()).map(|s| s.ts_ms).max();
        let (Some(first), Some(last)) = (first, last) else { return 0 };
        let middle = first + (last - first) / 2;
        let before = self.samples;
        self.series.retain(|_, (_, samples)| {
            samples.drain(..samples.partition_point(|sample| sample.ts_ms <= middle));
            !samples.is_empty()
        });
        self.samples = self.series.values().map(|(_, samples)| samples.len()).sum();
        before - self.samples
    }

    /// Submits everything, in batches of whole series and whole histograms, and holds nothing afterwards.
    pub(super) async fn hand_over(&mut self, feed: &mut Feed) -> Result<(), Stopped> {
        self.samples = 0;
        let mut all: Vec<_> = std::mem::take(&mut self.series).into_iter().collect();
        // The name last: `_bucket` comes before `_count`, so that a histogram is known by its first part.
        all.sort_unstable_by(|(a, _), (b, _)| whole_of(a).cmp(&whole_of(b)).then_with(|| a.cmp(b)));
        let mut last: Option<Labels> = None;
        for (labels, (kind, samples)) in all {
            if feed.is_full() && last.is_some_and(|last| whole_of(&last) != whole_of(&labels)) {
                feed.flush().await?;
            }
            feed.push(&labels, kind, &samples);
            last = Some(labels);
        }
        feed.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(times: std::ops::Range<i64>) -> Vec<RawSample> {
        times.map(|ts_ms| RawSample { ts_ms, value: 1.0 }).collect()
    }

    fn labels(name: &str, le: &str) -> Labels {
        Labels::series([("__name__", name), ("le", le), ("job", "a")]).expect("valid")
    }

    #[test]
    fn parts_belong_together() {
        let parts = [labels("x_bucket", "1"), labels("x_bucket", "+Inf"), labels("x_sum", ""), labels("x_count", "")];
        assert!(parts.iter().all(|part| whole_of(part) == ["x", "job", "a"]));
        assert_ne!(whole_of(&parts[2].with("job", "b")), whole_of(&parts[2]));
    }

    #[test]
    fn repeats_are_left_out_and_the_oldest_is_dropped_alike() {
        let mut past = Gathered::default();
        past.add(labels("a", ""), MetricKind::Unknown, samples(0..50));
        past.add(labels("a", ""), MetricKind::Unknown, samples(40..100));
        past.add(labels("b", ""), MetricKind::Unknown, samples(0..10));
        past.add(labels("c", ""), MetricKind::Unknown, samples(49..52));
        assert_eq!((past.samples(), past.series()), (113, 3));
        assert_eq!(past.drop_older_half(), 50 + 10 + 1);
        assert_eq!((past.samples(), past.series()), (52, 2));
        assert_eq!(past.series[&labels("a", "")].1[0].ts_ms, 50);
    }
}
