//! Highly available pairs: of the replicas that send the same series one is taken, and its replica label dropped.
//!
//! As Mimir and Thanos do it: the first replica of a cluster that is seen is elected; the others are acknowledged
//! and dropped. When the elected one was silent for the timeout, the next that sends is elected. A request comes
//! from one server, so its first series that carries the replica label speaks for all of it. A request without that
//! label is taken as it is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use watchbell_series::labels::{hash_canonical, iter_canonical, write_canonical_label};
use watchbell_series::{RawBatch, RawSeries};

/// Clusters remembered at most; requests of one more are taken as they are.
const MAX_CLUSTERS: usize = 1_024;

/// Which replica of each cluster is taken.
#[derive(Debug)]
pub(super) struct Replicas {
    replica_label: String,
    cluster_label: String,
    timeout_ms: i64,
    elected: Mutex<HashMap<String, Elected>>,
}

#[derive(Debug)]
struct Elected {
    replica: String,
    seen_ms: i64,
}

impl Replicas {
    /// Told apart by `replica_label` within each value of `cluster_label`; another one is elected after `timeout_ms`.
    pub(super) fn new(replica_label: &str, cluster_label: &str, timeout_ms: i64) -> Self {
        let (replica_label, cluster_label) = (replica_label.to_owned(), cluster_label.to_owned());
        Self { replica_label, cluster_label, timeout_ms, elected: Mutex::default() }
    }

    /// Whether `batch` is to be judged; if so its series have no replica label any more.
    pub(super) fn take(&self, batch: &mut RawBatch) -> bool {
        let Some((cluster, replica)) = self.sender(batch) else { return true };
        match self.elect(cluster, replica, batch.received_ms) {
            Some(true) => {
                self.drop_label(batch);
                true
            }
            Some(false) => false,
            None => true,
        }
    }

    /// Cluster and replica that sent `batch`.
    fn sender<'a>(&self, batch: &'a RawBatch) -> Option<(&'a str, &'a str)> {
        batch.series.iter().find_map(|series| {
            let labels = iter_canonical(batch.label_bytes(series));
            let get = |name: &str| labels.clone().find(|(n, _)| *n == name).map(|(_, value)| value);
            Some((get(&self.cluster_label).unwrap_or_default(), get(&self.replica_label)?))
        })
    }

    /// Whether `replica` is the elected one of `cluster`; `None` if there are too many clusters to say.
    fn elect(&self, cluster: &str, replica: &str, now_ms: i64) -> Option<bool> {
        let mut elected = self.elected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(now) = elected.get_mut(cluster) {
            if now.replica != replica {
                if now_ms.saturating_sub(now.seen_ms) <= self.timeout_ms {
                    return Some(false);
                }
                tracing::warn!(cluster, from = now.replica, to = replica, "another replica is taken from now on");
                replica.clone_into(&mut now.replica);
            }
            now.seen_ms = now.seen_ms.max(now_ms);
            return Some(true);
        }
        if elected.len() >= MAX_CLUSTERS {
            elected.retain(|_, other| now_ms.saturating_sub(other.seen_ms) <= self.timeout_ms);
        }
        if elected.len() >= MAX_CLUSTERS {
            return None;
        }
        elected.insert(cluster.to_owned(), Elected { replica: replica.to_owned(), seen_ms: now_ms });
        Some(true)
    }

    fn drop_label(&self, batch: &mut RawBatch) {
        let mut out = Vec::with_capacity(batch.labels.len());
        let mut dropped = Vec::new();
        for at in 0..batch.series.len() {
            let series = batch.series[at];
            let bytes = batch.label_bytes(&series);
            let start = out.len();
            dropped.clear();
            for (name, value) in iter_canonical(bytes) {
                let to = if name == self.replica_label { &mut dropped } else { &mut out };
                write_canonical_label(name.as_bytes(), value.as_bytes(), to);
            }
            let whole = out.len() - start + dropped.len() == bytes.len();
            if dropped.is_empty() || !whole {
                // Labels that can not be read are kept as they are: who reads them says what is wrong.
                out.truncate(start);
                out.extend_from_slice(bytes);
            }
            let key = if dropped.is_empty() || !whole { series.key } else { hash_canonical(&out[start..]).0 };
            let (labels_at, labels_len) = (start as u32, (out.len() - start) as u32);
            batch.series[at] = RawSeries { key, labels_at, labels_len, ..series };
        }
        batch.labels = out;
    }
}

#[cfg(test)]
mod tests {
    use watchbell_series::{Labels, MetricKind, RawSample};

    use super::*;

    const T: i64 = 1_700_000_000_000;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::series([("__name__", "up")].iter().chain(pairs).copied()).expect("valid")
    }

    fn batch(now_ms: i64, pairs: &[(&str, &str)]) -> RawBatch {
        let mut batch = RawBatch { received_ms: now_ms, ..RawBatch::default() };
        batch.push(&labels(pairs), MetricKind::Gauge, &[RawSample { ts_ms: now_ms, value: 1.0 }]);
        batch
    }

    #[test]
    fn one_replica_is_taken_until_it_is_silent() {
        let replicas = Replicas::new("__replica__", "cluster", 30_000);
        let take = |now_ms, cluster, replica| {
            replicas.take(&mut batch(now_ms, &[("__replica__", replica), ("cluster", cluster)]))
        };
        assert!(take(T, "eu", "a"));
        assert!(!take(T + 1, "eu", "b"));
        assert!(take(T + 1, "us", "b"), "each cluster has its own");
        assert!(take(T + 20_000, "eu", "a"));
        assert!(!take(T + 50_000, "eu", "b"), "not yet");
        assert!(take(T + 50_001, "eu", "b"));
        assert!(!take(T + 50_002, "eu", "a"), "who comes back waits");
    }

    #[test]
    fn the_label_is_gone_and_the_id_is_that_without_it() {
        let replicas = Replicas::new("__replica__", "cluster", 30_000);
        let mut taken = batch(T, &[("__replica__", "a"), ("job", "x")]);
        taken.push(&labels(&[("job", "y")]), MetricKind::Counter, &[RawSample { ts_ms: T, value: 2.0 }]);
        assert!(replicas.take(&mut taken));
        for (series, job) in taken.series.iter().zip(["x", "y"]) {
            let wanted = labels(&[("job", job)]);
            let mut bytes = Vec::new();
            wanted.write_canonical(&mut bytes);
            assert_eq!((taken.label_bytes(series), series.key), (&bytes[..], wanted.id().0));
        }
        assert_eq!(taken.samples_of(&taken.series[1]), &[RawSample { ts_ms: T, value: 2.0 }]);
    }

    #[test]
    fn who_has_no_replica_label_is_no_replica() {
        let replicas = Replicas::new("__replica__", "cluster", 30_000);
        assert!(replicas.take(&mut batch(T, &[("__replica__", "a")])));
        assert!(replicas.take(&mut batch(T, &[("job", "x")])));
        assert!(replicas.take(&mut RawBatch::default()));
    }

    #[test]
    fn labels_that_can_not_be_read_stay() {
        let replicas = Replicas::new("__replica__", "cluster", 30_000);
        let mut cut = batch(T, &[("__replica__", "a"), ("job", "x")]);
        cut.series[0].labels_len -= 1;
        let before = cut.label_bytes(&cut.series[0]).to_vec();
        assert!(replicas.take(&mut cut));
        assert_eq!(cut.label_bytes(&cut.series[0]), before);
    }

    #[test]
    fn clusters_are_bounded() {
        let replicas = Replicas::new("__replica__", "cluster", 30_000);
        for n in 0..MAX_CLUSTERS {
            assert_eq!(replicas.elect(&n.to_string(), "a", T), Some(true));
        }
        assert_eq!(replicas.elect("one more", "a", T), None);
        assert_eq!(replicas.elect("one more", "a", T + 30_001), Some(true), "those long silent make room");
    }
}
