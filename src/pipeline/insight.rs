//! Single series of a shard, looked at closely: for whoever asks why one does not alert.

use std::sync::Arc;

use watchbell_detect::Insight;
use watchbell_normalize::Provenance;
use watchbell_series::{MetricKind, Selector, SeriesId, SeriesSpec, Unit, labels};

use super::alerts::Question;
use super::shard::Shard;
use crate::alerting::{About, Probe};
use crate::context::subject::is_either;

/// Slots that one call looks at, at most.
const SLOTS: usize = 8192;

/// A judged series with all that is known of it.
#[derive(Debug, Clone)]
pub struct Found {
    /// Identity.
    pub id: SeriesId,
    /// In words.
    pub about: About,
    /// Its name in common words.
    pub metric: String,
    /// Unit that values have in common words, and what makes one of these out of one of its own.
    pub common_unit: Unit,
    /// See `common_unit`.
    pub factor: f64,
    /// Kind as it was sent.
    pub kind: MetricKind,
    /// What rules say of it.
    pub spec: Arc<SeriesSpec>,
    /// Where they say it.
    pub rules: Provenance,
    /// Where it stands.
    pub insight: Insight,
}

impl Found {
    /// The question how alert rules stand to it.
    #[must_use]
    pub fn question(&self) -> Question {
        let Insight { reading, score, edge, .. } = self.insight;
        let probe = Probe { score, edge, alarm: reading.alarm, pattern: reading.pattern };
        Question { id: self.id, about: self.about.clone(), probe }
    }
}

impl Shard {
    /// Judged series from `slot` on that one of `selectors` selects, by their labels and by `host`: those up to
    /// `most` in `found` in full, of all the number in `matched`. The next slot to go on from, or `None` at the
    /// end.
    pub fn find(
        &self,
        selectors: &[Selector],
        slot: u32,
        now_ms: i64,
        most: usize,
        found: &mut Vec<Found>,
        matched: &mut usize,
    ) -> Option<u32> {
        let (normalizer, judge) = self.parts();
        for (looked, slot) in normalizer.slots(slot, SLOTS + 1).enumerate() {
            if looked >= SLOTS {
                return Some(slot);
            }
            let Some(raw) = normalizer.slot_raw(slot) else { continue };
            let host = || normalizer.entity(slot).map_or("", |entity| normalizer.entity_name(entity));
            // A host is selected by its own name and by the one that the series carries.
            let carried = |name: &str| normalizer.label(raw, name);
            let selects = |selector: &Selector| {
                selector.matchers().iter().all(|matcher| match matcher.name() {
                    "host" => is_either(matcher, host(), carried("host")),
                    name => matcher.matches(carried(name)),
                })
            };
            if !selectors.iter().any(selects) {
                continue;
            }
            *matched += 1;
            if found.len() >= most {
                continue;
            }
            let (Some(info), Some(insight)) = (normalizer.info(slot), judge.insight(slot, now_ms)) else { continue };
            let mut bytes = Vec::new();
            normalizer.labels(raw, &mut bytes);
            let about = About {
                labels: labels::read_canonical(&bytes).unwrap_or_default(),
                common: info.metric.clone(),
                entity: host().to_owned(),
                unit: info.unit,
                limits: self.limits_of(slot),
            };
            found.push(Found {
                id: info.id,
                about,
                metric: info.metric,
                common_unit: info.common_unit,
                factor: info.factor,
                kind: info.kind,
                spec: normalizer.spec(slot).unwrap_or_default(),
                rules: normalizer.provenance(slot),
                insight,
            });
        }
        None
    }
}
