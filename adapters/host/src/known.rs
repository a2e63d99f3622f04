//! What each group of readings held last time, so that a series that is gone (a disk pulled out, an
//! interface removed) is ended with a stale marker, as a scrape would do. A group that could not be read
//! at all ends nothing: not knowing is not absence.

use std::collections::HashMap;

use watchbell_series::{Labels, MetricKind, RawBatch, RawSample, STALE_NAN_BITS, SeriesId};

use crate::page::Point;

/// Series by group, as of the last reading.
#[derive(Debug, Default)]
pub(crate) struct Known {
    groups: HashMap<&'static str, HashMap<SeriesId, (Labels, MetricKind)>>,
}

impl Known {
    /// Appends the points of `group` to `batch`, and a stale marker for each series of it that is gone.
    /// With `complete` false (something of the group failed) nothing is ended.
    pub(crate) fn update(
        &mut self,
        group: &'static str,
        points: Vec<Point>,
        complete: bool,
        ts_ms: i64,
        batch: &mut RawBatch,
    ) {
        let before = self.groups.entry(group).or_default();
        let mut now = HashMap::with_capacity(points.len());
        for point in points {
            batch.push(&point.labels, point.kind, &[RawSample { ts_ms, value: point.value }]);
            let id = SeriesId(batch.series.last().map_or(0, |series| series.key));
            before.remove(&id);
            now.insert(id, (point.labels, point.kind));
        }
        if complete {
            let stale = RawSample { ts_ms, value: f64::from_bits(STALE_NAN_BITS) };
            for (labels, kind) in before.values() {
                batch.push(labels, *kind, &[stale]);
            }
        } else {
            now.extend(before.drain());
        }
        *before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchbell_series::is_stale;

    fn points(devices: &[&str]) -> Vec<Point> {
        let point = |device: &&str| Point {
            labels: Labels::series([("__name__", "node_disk_io_now"), ("device", device)]).expect("valid"),
            kind: MetricKind::Gauge,
            value: 1.0,
        };
        devices.iter().map(point).collect()
    }

    fn stale_after(known: &mut Known, devices: &[&str], complete: bool) -> Vec<String> {
        let mut batch = RawBatch::default();
        known.update("disk", points(devices), complete, 7, &mut batch);
        let ended = batch.series.iter().filter(|s| is_stale(batch.samples_of(s)[0].value));
        let labels = |s| watchbell_series::labels::read_canonical(batch.label_bytes(s)).expect("valid");
        ended.map(|s| labels(s).get("device").expect("a device").to_owned()).collect()
    }

    #[test]
    fn ends_what_is_gone_once() {
        let mut known = Known::default();
        assert_eq!(stale_after(&mut known, &["a", "b"], true), [""; 0]);
        assert_eq!(stale_after(&mut known, &["a"], true), ["b"]);
        assert_eq!(stale_after(&mut known, &["a"], true), [""; 0]);
    }

    #[test]
    fn a_failed_reading_ends_nothing() {
        let mut known = Known::default();
        stale_after(&mut known, &["a", "b"], true);
        assert_eq!(stale_after(&mut known, &["a"], false), [""; 0]);
        assert_eq!(stale_after(&mut known, &["a"], true), ["b"]);
    }
}
