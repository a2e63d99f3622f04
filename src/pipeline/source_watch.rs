//! What each source holds against its limit: metrics, and a line in the log while samples are refused.

use std::collections::HashMap;
use std::sync::Arc;

use watchbell_adapter_api::Metrics;

use super::ingest::source_tag;
use super::shard::ShardStatus;
use crate::telemetry::metrics;

/// A source that goes on to be refused is told of this often.
const REPEAT_MS: i64 = 60_000;

/// A source's name and most series.
pub(super) type SourceRow = (Arc<str>, Option<u32>);

/// Publishes the counts of sources.
pub(super) struct SourceWatch {
    metrics: Metrics,
    seen: HashMap<Arc<str>, Seen>,
}

#[derive(Default)]
struct Seen {
    refused: u64,
    /// Refused since the last line in the log.
    untold: u64,
    told_ms: Option<i64>,
}

impl SourceWatch {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, seen: HashMap::new() }
    }

    /// Takes what `shards` refused so far as published: what the log brings again was counted when it came.
    pub(super) fn skip<'a>(&mut self, sources: &[SourceRow], shards: impl Iterator<Item = &'a ShardStatus> + Clone) {
        for (name, _) in sources {
            let (_, refused) = counts(name, shards.clone());
            self.seen.entry(Arc::clone(name)).or_default().refused = refused;
        }
    }

    /// Publishes what `shards` say of `sources`.
    pub(super) fn publish<'a>(
        &mut self,
        sources: &[SourceRow],
        shards: impl Iterator<Item = &'a ShardStatus> + Clone,
        now_ms: i64,
    ) {
        let gone = |name: &Arc<str>| !sources.iter().any(|(other, _)| other == name);
        for (name, _) in self.seen.extract_if(|name, _| gone(name)) {
            for def in [&metrics::SOURCE_SERIES, &metrics::SOURCE_LIMIT, &metrics::SOURCE_REFUSED] {
                self.metrics.forget(def, &[&name]);
            }
        }
        for (name, limit) in sources {
            let (held, refused) = counts(name, shards.clone());
            self.metrics.gauge(&metrics::SOURCE_SERIES, &[name]).set(held as f64);
            match limit {
                Some(limit) => self.metrics.gauge(&metrics::SOURCE_LIMIT, &[name]).set(f64::from(*limit)),
                None => self.metrics.forget(&metrics::SOURCE_LIMIT, &[name]),
            }
            let seen = self.seen.entry(Arc::clone(name)).or_default();
            // A shard that failed begins to count anew.
            let new = refused.saturating_sub(std::mem::replace(&mut seen.refused, refused));
            self.metrics.counter(&metrics::SOURCE_REFUSED, &[name]).inc_by(new as f64);
            seen.untold += new;
            if seen.untold > 0 && seen.told_ms.is_none_or(|told_ms| now_ms - told_ms >= REPEAT_MS) {
                let samples = std::mem::take(&mut seen.untold);
                seen.told_ms = Some(now_ms);
                let limit = limit.unwrap_or_default();
                tracing::warn!(
                    source = %name, held, limit, samples,
                    "new series refused: the source holds as many as it may; raise its `max_series` or send less"
                );
            }
        }
    }
}

/// Series that the source called `name` holds of all shards, and samples that were refused.
fn counts<'a>(name: &str, shards: impl Iterator<Item = &'a ShardStatus>) -> (u64, u64) {
    let tag = source_tag(name);
    let of_source = shards.flat_map(|status| &status.sources).filter(|count| count.tag == tag);
    of_source.fold((0, 0), |(held, refused), count| (held + u64::from(count.held), refused + count.refused))
}

#[cfg(test)]
mod tests {
    use watchbell_normalize::SourceCount;

    use super::*;

    fn status(name: &str, held: u32, refused: u64) -> ShardStatus {
        let sources = vec![SourceCount { tag: source_tag(name), held, refused }];
        ShardStatus { sources, ..ShardStatus::default() }
    }

    #[test]
    fn counts_of_shards_add_up_and_go_with_their_source() {
        let metrics = Metrics::default();
        let mut watch = SourceWatch::new(metrics.clone());
        let sources: Vec<SourceRow> = vec![("push".into(), Some(10)), ("scrape".into(), None)];
        let shards = [status("push", 4, 5), status("push", 6, 0), status("scrape", 7, 0)];
        watch.publish(&sources, shards.iter(), 0);
        watch.publish(&sources, shards.iter(), 1_000);
        let held = |name| metrics.gauge(&metrics::SOURCE_SERIES, &[name]).get();
        let refused = |name| metrics.counter(&metrics::SOURCE_REFUSED, &[name]).get();
        assert_eq!((held("push"), held("scrape")), (10.0, 7.0));
        assert_eq!((refused("push"), refused("scrape")), (5.0, 0.0));
        assert_eq!(metrics.gauge(&metrics::SOURCE_LIMIT, &["push"]).get(), 10.0);
        // The first shard failed and counts anew.
        watch.publish(&sources, [status("push", 1, 0)].iter(), 2_000);
        watch.publish(&sources, [status("push", 1, 2)].iter(), 3_000);
        assert_eq!(refused("push"), 7.0);
        watch.publish(&sources[1..], shards.iter(), 4_000);
        assert_eq!(held("push"), 0.0);
    }
}
