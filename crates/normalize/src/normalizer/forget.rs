//! Letting go of series: those without samples for long, and those that rules no longer watch.

use std::sync::Arc;

use watchbell_series::labels::NAME;

use super::Normalizer;
use super::decide::decide;
use super::identity::group_key;
use super::names::Names;
use crate::group::Group;
use crate::output::Normalized;
use crate::record::{Cold, ENDED, Hot, NONE, Role};
use crate::rules::Rules;

/// Records looked at by one call of [`Normalizer::expire`].
const SLICE: u32 = 4096;

impl Normalizer {
    /// Forgets series whose last sample is older than `before_ms` (milliseconds since the Unix epoch; now less
    /// [`Limits::idle_ms`](crate::Limits::idle_ms)), and series that ended by a stale marker
    /// [`Limits::ended_ms`](crate::Limits::ended_ms) ago. Looks at a slice of the records and goes on where it
    /// stopped; returns whether it has come to the end of them. Clears `out` first.
    pub fn expire(&mut self, before_ms: i64, out: &mut Normalized) -> bool {
        self.start(out);
        let ended_before = before_ms.saturating_add(self.limits.idle_ms).saturating_sub(self.limits.ended_ms);
        let end = self.raw_len().min(self.cursor.saturating_add(SLICE));
        for raw in self.cursor..end {
            let hot = &self.hot[raw];
            let before = if hot.flags & ENDED != 0 { ended_before } else { before_ms };
            // What a histogram gives lives as long as the histogram.
            if !matches!(hot.role, Role::Free | Role::Derived) && hot.last_ms < before {
                self.stats.expired += u64::from(hot.role.labelled());
                self.release(raw, out);
            }
        }
        let whole = end == self.raw_len();
        if whole {
            self.release_orphans(out);
        }
        self.cursor = if whole { 0 } else { end };
        whole
    }

    /// Replaces the rules: what every series is, and whether it is watched, is decided anew. State is kept
    /// wherever a series stays what it was. Clears `out` first.
    ///
    /// Goes through all series in one call. One that rules did not watch is decided on when its next sample
    /// comes.
    pub fn set_rules(&mut self, rules: Arc<Rules>, out: &mut Normalized) {
        self.start(out);
        self.names = Names::new(rules);
        self.entities.next_generation();
        for raw in 0..self.raw_len() {
            match self.hot[raw].role {
                Role::Free | Role::Own | Role::Forward | Role::Alias => {}
                Role::Unwatched | Role::Aside => self.release(raw, out),
                // Named by their groups, which are complete below.
                Role::Derived => {}
                Role::Gauge | Role::Counter | Role::Part | Role::Native => self.decide_anew(raw, out),
            }
        }
        self.derive_anew(out);
    }

    /// Forgets what samples taught `raw` series, and the groups that they are parts of: their next samples, or history
    /// that comes in their place, begin them anew. Clears `out` first.
    pub fn restart(&mut self, raw: &[u32], out: &mut Normalized) {
        self.start(out);
        for raw in raw.iter().copied() {
            let Some(Hot { role, link, .. }) = self.hot.get(raw).copied() else { continue };
            if !role.judged() && !role.grouped() {
                continue;
            }
            self.hot[raw].restart();
            self.cold[raw].first_ms = i64::MAX;
            if role.judged() {
                out.restarted.push(link);
            } else {
                self.restart_group(link, out);
            }
        }
    }

    /// Whether `raw` is not judged itself, but what comes of it and its like is: a part of a histogram.
    #[must_use]
    pub fn is_part(&self, raw: u32) -> bool {
        self.hot.get(raw).is_some_and(|hot| hot.role.grouped())
    }

    fn decide_anew(&mut self, raw: u32, out: &mut Normalized) {
        let ids = self.spans.get(self.cold[raw].labels_at, self.cold[raw].labels_len);
        let pairs: Vec<(&str, &str)> = ids.iter().map(|id| self.pairs.get(*id)).collect();
        let get = |name: &str| pairs.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| *value);
        let native = self.hot[raw].role == Role::Native;
        let decision = decide(&mut self.names, &self.families, get(NAME), get, self.hot[raw].told, native);
        if !decision.role.labelled() {
            self.release(raw, out);
            return;
        }
        let group_key = group_key(&pairs, get(NAME));
        // Ids of meanings are those of the new rules: what stayed the same is told apart by its spec.
        if self.hot[raw].role.judged() && decision.role.judged() {
            self.cold[raw].meaning = decision.meaning;
            out.respecified.push((self.hot[raw].link, self.names.meaning(decision.meaning).spec.clone()));
        }
        let stays = self.hot[raw].role.judged() && decision.role.judged();
        self.become_(raw, &decision, group_key, out);
        if stays {
            self.rehome(raw, out);
        }
    }

    /// Empties `out` and lets go of what the call before still had to keep.
    pub(super) fn start(&mut self, out: &mut Normalized) {
        out.clear();
        self.batch = self.batch.wrapping_add(1);
        self.free_slots.append(&mut self.resting_slots);
    }

    /// Forgets `raw` altogether.
    pub(super) fn release(&mut self, raw: u32, out: &mut Normalized) {
        self.drop_role(raw, out);
        self.drop_labels(raw);
        let hot = self.hot[raw];
        if hot.role != Role::Derived {
            let records = &self.hot;
            self.map.remove(hot.key, raw, |held| records[held].key);
        }
        self.sources.give_back(self.cold[raw].source);
        self.hot[raw] = Hot { link: self.free, ..Hot::FREE };
        self.cold[raw] = Cold::FREE;
        self.free = raw;
        self.live -= 1;
    }

    /// Takes slot and entity, or its place in a group, from `raw`.
    pub(super) fn drop_role(&mut self, raw: u32, out: &mut Normalized) {
        let Hot { role, link, part, .. } = self.hot[raw];
        if link == NONE {
            return;
        }
        if role.judged() {
            self.slots[link] = NONE;
            self.resting_slots.push(link);
            self.entities.release(self.cold[raw].entity);
            self.cold[raw].entity = NONE;
            out.released.push(link);
        } else if role.grouped() {
            let group = &mut self.groups[link];
            if role == Role::Part {
                group.leave(part);
            } else {
                group.native = None;
            }
            group.holders -= 1;
            if group.holders == 0 {
                self.release_group(link, out);
            }
        }
        self.hot[raw].link = NONE;
    }

    pub(super) fn drop_labels(&mut self, raw: u32) {
        let (at, len) = (self.cold[raw].labels_at, self.cold[raw].labels_len);
        for id in self.spans.get(at, len) {
            self.pairs.release(*id);
        }
        self.spans.release(at, len);
        self.cold[raw].labels_len = 0;
    }

    /// Releases groups that have no parts: their series came back from a checkpoint, the parts did not.
    fn release_orphans(&mut self, out: &mut Normalized) {
        for group in 0..self.groups.len() as u32 {
            let Group { holders, derived, .. } = &self.groups[group];
            if *holders == 0 && derived.iter().any(|raw| *raw < self.raw_len()) {
                self.release_group(group, out);
            }
        }
    }

    fn release_group(&mut self, group: u32, out: &mut Normalized) {
        for raw in self.groups[group].derived {
            if raw < self.raw_len() {
                self.stats.expired += 1;
                self.release(raw, out);
            }
        }
        let key = self.groups[group].key;
        let groups = &self.groups;
        self.group_map.remove(key, group, |held| groups[held].key);
        self.groups[group] = Group::new(0, false);
        self.free_groups.push(group);
    }
}
