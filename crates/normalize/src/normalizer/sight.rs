//! The first sight of a series: its labels are read once, and what it is is decided once.
//!
//! A key that is not the id of its labels (the sender does not sort them) is remembered as another key of
//! the series. Parts of one histogram live together on the shard of their family, whatever their own ids.

use std::sync::Arc;

use watchbell_series::labels::NAME;
use watchbell_series::{MetricKind, RawBatch, RawSeries, is_stale};

use super::Normalizer;
use super::decide::{Decision, decide};
use super::identity::{group_key, read, route};
use crate::group::Group;
use crate::meaning::own_output;
use crate::output::{Admission, Normalized};
use crate::record::{GUESSED, Hot, NONE, Role, UNCLAIMED};
use crate::sources::UNCOUNTED;

impl Normalizer {
    /// The record for series `i` of `batch`, the key of which is not known; `None` if it is refused.
    #[cold]
    pub(super) fn first_sight(&mut self, batch: &RawBatch, i: u32, out: &mut Normalized) -> Option<u32> {
        let series = &batch.series[i as usize];
        let count = u64::from(series.samples_len) + u64::from(series.histograms_len);
        if series.labels_len == 0 {
            self.stats.unknown += count;
            out.unknown.push(i);
            return None;
        }
        if only_stale(batch, series) {
            // The end of a series that was never seen: nothing begins by it.
            self.stats.samples += count;
            self.stats.stale += count;
            out.receipt.accepted += count;
            return None;
        }
        if self.live >= self.limits.max_series || self.pairs.text_bytes() > self.limits.max_text_bytes {
            let (held, most) = (self.live, self.limits.max_series);
            self.refuse_limit(count, out, || {
                format!("series limit reached: {held} of {most} held on this shard; raise `max_series` or watch less")
            });
            return None;
        }
        let from = series.labels_at as usize;
        let bytes = batch.labels.get(from..from.saturating_add(series.labels_len as usize)).unwrap_or(&[]);
        let mut text = std::mem::take(&mut self.text);
        let raw = match read(bytes, &mut text) {
            Ok((id, pairs)) => self.meet(id, &pairs, series, count, out),
            Err(error) => {
                self.stats.invalid_labels += count;
                out.receipt.invalid += count;
                out.receipt.problem(|| format!("invalid labels: {error}"));
                None
            }
        };
        self.text = text;
        raw
    }

    fn meet(
        &mut self,
        id: u64,
        pairs: &[(&str, &str)],
        series: &RawSeries,
        count: u64,
        out: &mut Normalized,
    ) -> Option<u32> {
        let get = |name: &str| pairs.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| *value);
        let name = get(NAME);
        let bytes: usize = pairs.iter().map(|(n, v)| n.len() + v.len()).sum();
        if pairs.len() > self.limits.max_labels || bytes > self.limits.max_label_bytes {
            self.refuse_limit(count, out, || {
                format!("`{}` has {} labels of {bytes} bytes in all, more than is taken", cut(name), pairs.len())
            });
            return None;
        }
        if own_output(name, get) {
            return Some(self.record(Hot { key: series.key, role: Role::Own, ..Hot::FREE }));
        }
        self.families.see(name, !get("le").is_empty(), !get("quantile").is_empty(), self.limits.max_families);
        let group_key = group_key(pairs, name);
        let home = group_key.unwrap_or(id) % u64::from(self.shard.count);
        let key = route(id, home, u64::from(self.shard.count));
        if home != u64::from(self.shard.index) {
            return Some(self.record(forward(series.key, key)));
        }
        if key == series.key {
            return self.create(key, pairs, group_key, series, count, out);
        }
        let real = match self.by_key(key) {
            Some(real) if self.hot[real].role.labelled() && !self.pairs_of(real).eq(pairs.iter().copied()) => {
                self.stats.collisions += count;
                out.receipt.invalid += count;
                out.receipt.problem(|| format!("the id {id:016x} of `{}` belongs to another series", cut(name)));
                return None;
            }
            Some(real) => real,
            None => self.create(key, pairs, group_key, series, count, out)?,
        };
        let alias = Hot { key: series.key, role: Role::Alias, link: real, last: f64::from_bits(key), ..Hot::FREE };
        Some(self.record(alias))
    }

    /// Adds a series that belongs here.
    fn create(
        &mut self,
        key: u64,
        pairs: &[(&str, &str)],
        group_key: Option<u64>,
        series: &RawSeries,
        count: u64,
        out: &mut Normalized,
    ) -> Option<u32> {
        let get = |name: &str| pairs.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| *value);
        if let Some(limit) = self.sources.reached(self.source) {
            let (name, most) = (Arc::clone(&limit.name), limit.max_series);
            self.sources.refuse(self.source, count);
            self.refuse_limit(count, out, || {
                format!("source `{name}` holds {most} series on this shard; raise its `max_series` or send less")
            });
            return None;
        }
        let native = series.histograms_len > 0;
        let decision = decide(&mut self.names, &self.families, get(NAME), get, series.kind, native);
        if decision.role == Role::Aside && !get("le").is_empty() && get("le").parse::<f64>().is_err() {
            self.stats.invalid_histogram += count;
        }
        self.stats.new_series += 1;
        let raw = self.record(Hot { key, told: series.kind, batch: self.batch, ..Hot::FREE });
        self.count_for(raw, self.source);
        if decision.role.labelled() {
            self.put_labels(raw, pairs.iter().copied());
        }
        if !self.take_role(raw, &decision, group_key.unwrap_or(key), out) {
            self.release(raw, out);
            self.refuse_limit(count, out, || format!("histogram `{}` has too many buckets", cut(get(NAME))));
            return None;
        }
        Some(raw)
    }

    /// Interns `pairs` as the labels of `raw`.
    pub(super) fn put_labels<'a>(&mut self, raw: u32, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut ids = std::mem::take(&mut self.ids);
        ids.clear();
        ids.extend(pairs.map(|(name, value)| self.pairs.intern(name, value)));
        let cold = &mut self.cold[raw];
        cold.labels_at = self.spans.put(&ids);
        cold.labels_len = ids.len() as u8;
        self.ids = ids;
    }

    /// Gives `raw` its role: a slot, or a place in its group. Returns false if the group is full.
    pub(super) fn take_role(&mut self, raw: u32, decision: &Decision, group_key: u64, out: &mut Normalized) -> bool {
        let epoch = self.families.epoch();
        let hot = &mut self.hot[raw];
        hot.role = decision.role;
        hot.epoch = epoch;
        hot.flags = (hot.flags & UNCLAIMED) | if decision.guessed { GUESSED } else { 0 };
        if decision.role.judged() {
            self.admit(raw, decision.meaning, out);
        } else if decision.role.grouped() {
            let group = self.group_for(group_key, decision.gauge);
            let part = match decision.part {
                Some(kind) => self.groups[group].join(kind, self.limits.max_buckets),
                None => Some(0),
            };
            let Some(part) = part else {
                self.hot[raw].role = Role::Aside;
                return false;
            };
            if self.groups[group].holders == 0 {
                self.groups[group].gauge = decision.gauge;
            }
            self.groups[group].holders += 1;
            (self.hot[raw].link, self.hot[raw].part) = (group, part);
        }
        true
    }

    /// Gives the judged series `raw` a slot and its entity.
    pub(super) fn admit(&mut self, raw: u32, meaning: u32, out: &mut Normalized) {
        let slot = match self.free_slots.pop() {
            Some(slot) => {
                self.slots[slot] = raw;
                slot
            }
            None => self.slots.push(raw),
        };
        let ids = self.spans.get(self.cold[raw].labels_at, self.cold[raw].labels_len);
        let get = |name: &str| {
            ids.iter().map(|id| self.pairs.get(*id)).find(|(n, _)| *n == name).map_or("", |(_, value)| value)
        };
        // What comes of a histogram is brought by whoever brings its parts.
        let source = if self.hot[raw].role == Role::Derived { self.source } else { self.cold[raw].source };
        let rules = self.names.rules();
        let entity = self.entities.intern(self.sources.tag(source), rules.host(get).as_ref(), rules);
        (self.cold[raw].entity, self.cold[raw].meaning) = (entity, meaning);
        self.hot[raw].link = slot;
        let spec = self.names.meaning(meaning).spec.clone();
        out.admitted.push(Admission { slot, entity, spec });
    }

    /// Looks again whose the judged series `raw` is; what was learned of it stays.
    pub(super) fn rehome(&mut self, raw: u32, out: &mut Normalized) {
        let ids = self.spans.get(self.cold[raw].labels_at, self.cold[raw].labels_len);
        let get = |name: &str| {
            ids.iter().map(|id| self.pairs.get(*id)).find(|(n, _)| *n == name).map_or("", |(_, value)| value)
        };
        let before = self.cold[raw].entity;
        let source = match self.hot[raw].role {
            Role::Derived => self.entities.carried(before).map_or(0, |name| name.source),
            _ => self.sources.tag(self.cold[raw].source),
        };
        let rules = self.names.rules();
        let entity = self.entities.intern(source, rules.host(get).as_ref(), rules);
        self.entities.release(before);
        if entity != before {
            self.cold[raw].entity = entity;
            out.rehomed.push((self.hot[raw].link, entity));
        }
    }

    /// Looks again at what `raw` is: metadata, or the source itself, says something new of its kind.
    #[cold]
    pub(super) fn reconsider(&mut self, raw: u32, told: MetricKind, native: bool, out: &mut Normalized) {
        if self.hot[raw].batch == self.batch {
            // It already has samples in this batch; the next one will come here again.
            return;
        }
        let ids = self.spans.get(self.cold[raw].labels_at, self.cold[raw].labels_len);
        let pairs: Vec<(&str, &str)> = ids.iter().map(|id| self.pairs.get(*id)).collect();
        let get = |name: &str| pairs.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| *value);
        let told = if told == MetricKind::Unknown { self.hot[raw].told } else { told };
        let decision = decide(&mut self.names, &self.families, get(NAME), get, told, native);
        let group_key = group_key(&pairs, get(NAME));
        self.hot[raw].told = told;
        self.become_(raw, &decision, group_key, out);
    }

    /// Changes what `raw` is, where it is something else than before.
    pub(super) fn become_(&mut self, raw: u32, now: &Decision, group_key: Option<u64>, out: &mut Normalized) {
        let hot = &mut self.hot[raw];
        hot.epoch = self.families.epoch();
        hot.flags = if now.guessed { hot.flags | GUESSED } else { hot.flags & !GUESSED };
        let (before, link, part) = (hot.role, hot.link, hot.part);
        if before.judged() && now.role.judged() {
            if self.cold[raw].meaning != now.meaning {
                self.cold[raw].meaning = now.meaning;
                out.respecified.push((link, self.names.meaning(now.meaning).spec.clone()));
            }
            if before != now.role {
                self.stats.kind_change += 1;
                self.hot[raw].role = now.role;
                self.hot[raw].restart();
                out.restarted.push(link);
            }
            return;
        }
        if before == now.role && before.grouped() {
            let group = &mut self.groups[link];
            if group.gauge != now.gauge {
                group.gauge = now.gauge;
                group.restart();
            }
            if now.part.is_none_or(|kind| group.part_state(part).0 == kind) {
                return;
            }
        }
        self.stats.kind_change += u64::from(!matches!(now.role, Role::Unwatched));
        self.drop_role(raw, out);
        self.hot[raw].restart();
        self.cold[raw].first_ms = i64::MAX;
        let key = group_key.unwrap_or(self.hot[raw].key);
        if !self.take_role(raw, now, key, out) || !now.role.labelled() {
            self.drop_labels(raw);
        }
    }

    /// A record for `hot`.
    pub(super) fn record(&mut self, hot: Hot) -> u32 {
        self.live += 1;
        let raw = if self.free == NONE {
            self.cold.push(crate::record::Cold::FREE);
            self.hot.push(hot)
        } else {
            let raw = self.free;
            self.free = self.hot[raw].link;
            self.hot[raw] = hot;
            self.cold[raw] = crate::record::Cold::FREE;
            raw
        };
        if hot.role != Role::Derived {
            let records = &self.hot;
            self.map.insert(hot.key, raw, |held| records[held].key);
        }
        raw
    }

    /// Counts the series `raw` for a source.
    pub(super) fn count_for(&mut self, raw: u32, source: u8) {
        self.cold[raw].source = source;
        self.sources.take(source);
        let hot = &mut self.hot[raw];
        hot.flags = if source == UNCOUNTED { hot.flags | UNCLAIMED } else { hot.flags & !UNCLAIMED };
    }

    pub(super) fn group_for(&mut self, key: u64, gauge: bool) -> u32 {
        if let Some(group) = self.group_by_key(key) {
            return group;
        }
        let fresh = Group::new(key, gauge);
        let group = match self.free_groups.pop() {
            Some(group) => {
                self.groups[group] = fresh;
                group
            }
            None => self.groups.push(fresh),
        };
        let groups = &self.groups;
        self.group_map.insert(key, group, |held| groups[held].key);
        group
    }

    fn refuse_limit(&mut self, count: u64, out: &mut Normalized, problem: impl FnOnce() -> String) {
        self.stats.limit_refused += count;
        out.receipt.limited += count;
        out.receipt.problem(problem);
    }
}

/// A record that sends the samples of `key` to the shard that knows them as `there`.
fn forward(key: u64, there: u64) -> Hot {
    Hot { key, role: Role::Forward, last: f64::from_bits(there), ..Hot::FREE }
}

fn only_stale(batch: &RawBatch, series: &RawSeries) -> bool {
    let from = series.samples_at as usize;
    let samples = batch.samples.get(from..from.saturating_add(series.samples_len as usize)).unwrap_or(&[]);
    series.histograms_len == 0 && !samples.is_empty() && samples.iter().all(|s| is_stale(s.value))
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(80)]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use watchbell_series::{Labels, RawSample};

    use super::*;
    use crate::{Limits, Rules, Shard};

    #[test]
    fn a_true_collision_is_counted_and_refused() {
        let rules = Arc::new(Rules::built_in().expect("rules"));
        let mut normalizer = Normalizer::new(rules, Shard::default(), Limits::default());
        let mut out = Normalized::default();
        let labels = |job| Labels::series([(NAME, "load"), ("job", job)]).expect("labels");
        let mut first = RawBatch::default();
        first.push(&labels("a"), MetricKind::Unknown, &[RawSample { ts_ms: 0, value: 1.0 }]);
        normalizer.normalize(&first, &[0], &mut out);
        // No two label sets with one hash are at hand: the first series is given the id of the second.
        let taken = labels("b").id().0;
        let raw = normalizer.slot_raw(out.admitted[0].slot).expect("slot");
        normalizer.hot[raw].key = taken;
        normalizer.map.insert(taken, raw, |_| taken);
        let mut second = RawBatch::default();
        second.push(&labels("b"), MetricKind::Unknown, &[RawSample { ts_ms: 0, value: 1.0 }]);
        second.series[0].key = !taken;
        normalizer.normalize(&second, &[0], &mut out);
        assert_eq!((normalizer.stats().collisions, out.receipt.invalid, out.samples.len()), (1, 1, 0));
        let problem = out.receipt.first_problem.expect("a problem");
        assert!(problem.contains("belongs to another series"), "{problem}");
    }
}
