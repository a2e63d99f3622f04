//! Items whose preprocessing discards what is unchanged are silent while they are constant: the last value still holds.

use watchbell_series::RawSample;

use super::positions::Last;
use crate::item::Item;

/// The interval at which a value is repeated where Zabbix does not tell one, in seconds.
const USUAL_S: i64 = 60;

/// The last value again, if it still holds at `at_s` and its turn has come. `carried_s` is when it was repeated last.
pub(super) fn carry(item: &Item, last: &Last, carried_s: i64, at_s: i64) -> Option<RawSample> {
    let holds_s = item.discard.holds_s()?;
    let age_s = at_s - last.0;
    let turn_s = carried_s.max(last.0).saturating_add(item.interval_s.unwrap_or(USUAL_S));
    (age_s > 0 && age_s <= holds_s && at_s >= turn_s).then_some(RawSample { ts_ms: at_s * 1_000, value: last.2 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Discard;
    use watchbell_series::{Labels, MetricKind};

    #[test]
    fn held_for_as_long_as_it_holds() {
        let labels = Labels::series([("__name__", "x")]).expect("labels");
        let item = |discard| Item {
            id: 1,
            host_id: 1,
            value_type: 3,
            kind: MetricKind::Gauge,
            labels: labels.clone(),
            interval_s: Some(30),
            discard,
        };
        let last = Last(1_000, 0, 7.0);
        let at =
            |discard, carried, at| carry(&item(discard), &last, carried, at).map(|sample| (sample.ts_ms, sample.value));
        assert_eq!(at(Discard::No, 0, 1_030), None);
        assert_eq!(at(Discard::Unchanged, 0, 1_029), None);
        assert_eq!(at(Discard::Unchanged, 0, 1_030), Some((1_030_000, 7.0)));
        assert_eq!(at(Discard::Unchanged, 1_030, 1_059), None);
        assert_eq!(at(Discard::Heartbeat(60), 1_090, 1_120), Some((1_120_000, 7.0)));
        assert_eq!(at(Discard::Heartbeat(60), 1_090, 1_121), None, "two heartbeats are missing");
    }
}
