//! What is known of metric families: kind and unit, as metadata told them or as names give them away.
//!
//! Metadata arrives apart from its series and often later. A series whose kind was guessed looks here again
//! whenever something was learned; see [`Families::epoch`].

use std::collections::HashMap;

use watchbell_series::{MetricKind, RawMetadata, Unit};

use crate::meaning::{Suffix, split, unit_of_word};

/// Kind and unit of families.
#[derive(Debug, Default)]
pub(crate) struct Families {
    known: HashMap<Box<str>, Family>,
    epoch: u16,
}

#[derive(Debug, Clone, Copy, Default)]
struct Family {
    told: MetricKind,
    unit: Unit,
    seen: u8,
}

const SEEN_BUCKET: u8 = 1;
const SEEN_QUANTILE: u8 = 2;
const SEEN_SUM: u8 = 4;
const SEEN_COUNT: u8 = 8;

impl Family {
    fn kind(self) -> MetricKind {
        if self.told != MetricKind::Unknown {
            self.told
        } else if self.seen & SEEN_BUCKET != 0 {
            MetricKind::Histogram
        } else if self.seen & SEEN_QUANTILE != 0 || self.seen & (SEEN_SUM | SEEN_COUNT) == SEEN_SUM | SEEN_COUNT {
            MetricKind::Summary
        } else {
            MetricKind::Unknown
        }
    }
}

impl Families {
    /// Changes whenever the kind of a family does.
    pub(crate) fn epoch(&self) -> u16 {
        self.epoch
    }

    /// Learns from metadata; at most `max` families are remembered.
    pub(crate) fn tell(&mut self, metadata: &RawMetadata, max: usize) {
        let unit = unit_of_word(&metadata.unit);
        if metadata.kind == MetricKind::Unknown && unit == Unit::None {
            return;
        }
        self.change(&metadata.family, max, |family| {
            if metadata.kind != MetricKind::Unknown {
                family.told = metadata.kind;
            }
            family.unit = unit;
        });
    }

    /// Learns from the name and labels of a series at first sight.
    pub(crate) fn see(&mut self, name: &str, has_le: bool, has_quantile: bool, max: usize) {
        let (family, suffix) = split(name);
        let (family, seen) = match suffix {
            Suffix::Bucket if has_le => (family, SEEN_BUCKET),
            Suffix::Sum => (family, SEEN_SUM),
            Suffix::Count => (family, SEEN_COUNT),
            _ if has_quantile => (name, SEEN_QUANTILE),
            _ => return,
        };
        if self.known.get(family).is_none_or(|f| f.seen & seen == 0) {
            self.change(family, max, |f| f.seen |= seen);
        }
    }

    /// Kind and unit of the metric `name`; unknown where nobody told.
    pub(crate) fn of(&self, name: &str) -> (MetricKind, Unit) {
        if let Some(own) = self.known.get(name)
            && own.kind() != MetricKind::Unknown
        {
            return (own.kind(), own.unit);
        }
        let (family, suffix) = split(name);
        let Some(known) = self.known.get(family) else { return Default::default() };
        let fits = match known.kind() {
            MetricKind::Counter => matches!(suffix, Suffix::Total | Suffix::Created),
            MetricKind::Histogram | MetricKind::GaugeHistogram => {
                matches!(suffix, Suffix::Bucket | Suffix::Sum | Suffix::Count | Suffix::Created)
            }
            MetricKind::Summary => matches!(suffix, Suffix::Sum | Suffix::Count | Suffix::Created),
            MetricKind::Info => suffix == Suffix::Info,
            _ => false,
        };
        if fits { (known.kind(), known.unit) } else { Default::default() }
    }

    fn change(&mut self, family: &str, max: usize, change: impl FnOnce(&mut Family)) {
        if !self.known.contains_key(family) && (self.known.len() >= max || family.len() > 1024) {
            return;
        }
        let known = self.known.entry(family.into()).or_default();
        let before = known.kind();
        change(known);
        if known.kind() != before {
            self.epoch = self.epoch.wrapping_add(1);
        }
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.known.capacity() * 32 + self.known.keys().map(|k| k.len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(family: &str, kind: MetricKind) -> RawMetadata {
        RawMetadata { family: family.to_owned(), kind, unit: String::new() }
    }

    #[test]
    fn metadata_by_either_name_of_a_counter() {
        let mut families = Families::default();
        families.tell(&told("a_total", MetricKind::Counter), 10);
        families.tell(&told("b", MetricKind::Counter), 10);
        for name in ["a_total", "b_total", "b"] {
            assert_eq!(families.of(name).0, MetricKind::Counter, "{name}");
        }
        assert_eq!(families.of("b_count").0, MetricKind::Unknown);
    }

    #[test]
    fn names_give_families_away() {
        let mut families = Families::default();
        families.see("x_count", false, false, 10);
        assert_eq!((families.of("x_count").0, families.epoch()), (MetricKind::Unknown, 0));
        families.see("x_sum", false, false, 10);
        assert_eq!((families.of("x_count").0, families.epoch()), (MetricKind::Summary, 1));
        families.see("x_bucket", true, false, 10);
        assert_eq!((families.of("x_count").0, families.epoch()), (MetricKind::Histogram, 2));
        families.tell(&told("x", MetricKind::Gauge), 10);
        assert_eq!(families.of("x_count").0, MetricKind::Unknown);
    }

    #[test]
    fn bounded() {
        let mut families = Families::default();
        for i in 0..100 {
            families.tell(&told(&format!("m{i}"), MetricKind::Gauge), 10);
        }
        assert_eq!((families.of("m9").0, families.of("m10").0), (MetricKind::Gauge, MetricKind::Unknown));
    }
}
