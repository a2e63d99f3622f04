//! The series that histograms and summaries give: `x:rate` (observations per second), `x:mean`, `x:p50`,
//! `x:p90` and `x:p99`, with the labels of the histogram `x`.
//!
//! Samples of parts are gathered over a batch and fed in order of time, because one series of a batch may
//! hold many timestamps before the next series begins. A series is made when it has its first value.

use watchbell_series::labels::{NAME, hash_canonical, write_canonical_label};
use watchbell_series::{MetricKind, Mode, NativeHistogram, Unit, is_stale};

use super::Normalizer;
use super::ingest::advance;
use crate::group::{Fed, Outcome, STAT_COUNT, STATS};
use crate::meaning::{split, unit_of_name};
use crate::output::Normalized;
use crate::record::{ENDED, Hot, NONE, Role};

/// In place of a raw index: rules do not watch this one.
const UNWATCHED: u32 = NONE - 1;

/// A sample of a part, gathered until the end of the batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FedSample {
    pub(super) group: u32,
    pub(super) part: u16,
    pub(super) raw: u32,
    pub(super) ts_ms: i64,
    pub(super) value: f64,
}

impl Normalizer {
    /// Feeds what was gathered.
    pub(super) fn feed_groups(&mut self, mode: Mode, out: &mut Normalized) {
        let mut fed = std::mem::take(&mut self.fed);
        fed.sort_by_key(|f| (f.group, f.ts_ms));
        for sample in fed.drain(..) {
            let FedSample { group: index, part, raw, ts_ms, value } = sample;
            if mode == Mode::Backfill && ts_ms < self.groups[index].first_ms && self.groups[index].now_ms > i64::MIN {
                self.restart_group(index, out);
            }
            let mut outcomes = std::mem::take(&mut self.outcomes);
            let group = &mut self.groups[index];
            let became = if is_stale(value) {
                group.end(part, ts_ms, &mut outcomes)
            } else {
                group.feed(part, ts_ms, value, &mut outcomes)
            };
            for outcome in outcomes.drain(..) {
                self.derived_samples(index, raw, &outcome, out);
            }
            self.outcomes = outcomes;
            match became {
                Fed::Taken => {}
                Fed::Late => self.stats.late_part += 1,
                Fed::Ended => self.end_derived(index, ts_ms, out),
            }
        }
        self.fed = fed;
    }

    pub(super) fn feed_native(&mut self, index: u32, raw: u32, histogram: &NativeHistogram, out: &mut Normalized) {
        let mut outcomes = std::mem::take(&mut self.outcomes);
        if self.groups[index].feed_native(histogram, &mut outcomes) == Fed::Late {
            self.stats.late_part += 1;
        }
        for outcome in outcomes.drain(..) {
            self.derived_samples(index, raw, &outcome, out);
        }
        self.outcomes = outcomes;
    }

    /// A native histogram ended: the next one has nothing to be compared with.
    pub(super) fn end_group(&mut self, index: u32, ts_ms: i64, out: &mut Normalized) {
        self.groups[index].native = None;
        self.end_derived(index, ts_ms, out);
    }

    /// Forgets what samples taught the group, for history to come before them.
    pub(super) fn restart_group(&mut self, index: u32, out: &mut Normalized) {
        self.groups[index].restart();
        for raw in self.groups[index].derived {
            if let Some(hot) = self.hot.get_mut(raw)
                && hot.batch != self.batch
            {
                hot.restart();
                self.cold[raw].first_ms = i64::MAX;
                out.restarted.push(hot.link);
            }
        }
    }

    fn end_derived(&mut self, index: u32, ts_ms: i64, out: &mut Normalized) {
        for raw in self.groups[index].derived {
            if let Some(hot) = self.hot.get_mut(raw)
                && hot.last_ms < ts_ms
                && hot.flags & ENDED == 0
            {
                hot.flags |= ENDED;
                hot.last_ms = ts_ms;
                out.ended.push((hot.link, ts_ms));
            }
        }
    }

    fn derived_samples(&mut self, index: u32, from: u32, outcome: &Outcome, out: &mut Normalized) {
        self.stats.reset += u64::from(outcome.reset);
        for (stat, value) in outcome.values.into_iter().enumerate() {
            if !value.is_finite() {
                continue;
            }
            let mut raw = self.groups[index].derived[stat];
            if raw == NONE {
                raw = self.derive(index, from, stat, out);
            }
            let Some(hot) = self.hot.get_mut(raw) else { continue };
            if outcome.ts_ms <= hot.last_ms {
                continue;
            }
            if hot.last_ms == i64::MIN {
                self.cold[raw].first_ms = outcome.ts_ms;
            }
            if hot.flags & ENDED != 0 && !out.ended.is_empty() {
                out.ended.retain(|(slot, _)| *slot != hot.link);
            }
            hot.batch = self.batch;
            if let Some(sample) = advance(hot, outcome.ts_ms, value, &mut self.stats) {
                out.samples.push(sample);
            }
        }
    }

    /// Makes the series `stat` of a group, with the labels of its part `from`.
    fn derive(&mut self, index: u32, from: u32, stat: usize, out: &mut Normalized) -> u32 {
        if self.live >= self.limits.max_series {
            self.stats.limit_refused += 1;
            return NONE;
        }
        let name = self.label(from, NAME);
        let part = self.hot[from].role == Role::Part;
        let family = if part { split(name).0 } else { name };
        let derived = format!("{family}:{}", STATS[stat]);
        let pairs: Vec<(String, String)> = self
            .pairs_of(from)
            .filter(|(name, _)| !(part && *name == "le"))
            .map(|(n, v)| (n.to_owned(), if n == NAME { derived.clone() } else { v.to_owned() }))
            .collect();
        let mut bytes = Vec::with_capacity(512);
        for (name, value) in &pairs {
            write_canonical_label(name.as_bytes(), value.as_bytes(), &mut bytes);
        }
        let key = hash_canonical(&bytes).0;
        let raw = self.record(Hot { key, role: Role::Derived, batch: self.batch, ..Hot::FREE });
        self.put_labels(raw, pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        let Some(meaning) = self.derived_meaning(raw) else {
            self.release(raw, out);
            self.groups[index].derived[stat] = UNWATCHED;
            return NONE;
        };
        self.stats.new_series += 1;
        self.admit(raw, meaning, out);
        self.groups[index].derived[stat] = raw;
        raw
    }

    /// What rules say of the derived series `raw`; `None` if they do not watch it.
    ///
    /// Rows of its own name go first. Rows of the histogram hold for what has the histogram's unit, not for
    /// the rate.
    pub(super) fn derived_meaning(&mut self, raw: u32) -> Option<u32> {
        let ids = self.spans.get(self.cold[raw].labels_at, self.cold[raw].labels_len);
        let pairs = &self.pairs;
        let get =
            |name: &str| ids.iter().map(|id| pairs.get(*id)).find(|(n, _)| *n == name).map_or("", |(_, value)| value);
        let name = get(NAME);
        let (family, stat) = name.rsplit_once(':').unwrap_or((name, ""));
        let facts = self.names.facts(name);
        let mut rows = Vec::new();
        self.names.rules().rows(&facts, get, &mut rows);
        if !self.names.rules().watched(&facts, &rows, get) {
            return None;
        }
        let family_facts = self.names.facts(family);
        let mut family_rows = Vec::new();
        self.names.rules().rows(&family_facts, get, &mut family_rows);
        let rules = self.names.rules();
        let common = rules.name(&rows).or_else(|| rules.name(&family_rows));
        if stat == STATS[0] {
            let own = common.map_or(name.to_owned(), |common| format!("{common}.{stat}"));
            self.names.judging(&own, Unit::PerSecond, get, &mut rows);
            return Some(self.names.meaning_id(&rows, MetricKind::Gauge, Unit::PerSecond, true));
        }
        let unit = rules.unit(&rows).or_else(|| rules.unit(&family_rows)).unwrap_or(self.families.of(family).1);
        let unit = if unit == Unit::None { unit_of_name(family) } else { unit };
        let own = common.as_ref().map_or(name.to_owned(), |common| format!("{common}.{stat}"));
        self.names.judging(&own, unit, get, &mut rows);
        self.names.judging(common.as_deref().unwrap_or(family), unit, get, &mut family_rows);
        family_rows.retain(|row| !rows.contains(row));
        rows.append(&mut family_rows);
        // Without observations there is no mean: its silence says nothing.
        Some(self.names.meaning_id(&rows, MetricKind::Gauge, unit, false))
    }

    /// Decides on all derived series again, after the rules changed.
    pub(super) fn derive_anew(&mut self, out: &mut Normalized) {
        for index in 0..self.groups.len() as u32 {
            for stat in 0..STAT_COUNT {
                let raw = self.groups[index].derived[stat];
                if raw == UNWATCHED {
                    self.groups[index].derived[stat] = NONE;
                }
                if raw >= self.raw_len() {
                    continue;
                }
                match self.derived_meaning(raw) {
                    Some(meaning) => {
                        self.cold[raw].meaning = meaning;
                        out.respecified.push((self.hot[raw].link, self.names.meaning(meaning).spec.clone()));
                        self.rehome(raw, out);
                    }
                    None => {
                        self.release(raw, out);
                        self.groups[index].derived[stat] = UNWATCHED;
                    }
                }
            }
        }
    }
}
