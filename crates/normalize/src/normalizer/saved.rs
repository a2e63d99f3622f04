//! Raw series in a checkpoint: labels, and all that was learned, to the bit.
//!
//! A record stands for itself: little-endian, field by field, no index of this process in it. Series may be
//! restored in any order; parts of a histogram find each other by their labels.

use std::sync::Arc;

use watchbell_series::labels::{NAME, hash_canonical};
use watchbell_series::{MetricKind, RawMetadata, SeriesSpec};

use super::Normalizer;
use super::decide::{Decision, decide};
use super::identity::{Pairs, group_key, read, route};
use crate::group::{PartKind, STATS};
use crate::meaning::split;
use crate::output::Normalized;
use crate::record::{ENDED, HAS_LAST, Hot, NONE, Role};
use crate::wire::{Reader, Writer};

/// A series brought back by [`Normalizer::load`].
#[derive(Debug, Clone, PartialEq)]
pub struct Restored {
    /// Its raw index.
    pub raw: u32,
    /// Its slot; `None` for parts of histograms, and for what rules no longer watch.
    pub slot: Option<u32>,
    /// What rules say of it now; the default where there is no slot.
    pub spec: Arc<SeriesSpec>,
    /// Its entity; meaningless where there is no slot.
    pub entity: u32,
    /// Whether it is something else than it was when it was saved (another kind by new rules): what was
    /// learned of it before must not be restored.
    pub changed: bool,
}

/// Why a saved series can not be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Written by another version.
    #[error("series state has version {0}, this program reads {version}: it is relearned", version = Normalizer::STATE_VERSION)]
    Version(u16),
    /// The bytes end too early.
    #[error("series state is cut short")]
    Truncated,
    /// The bytes are not what they should be.
    #[error("series state is damaged: {0}")]
    Damaged(&'static str),
    /// The series belongs to another shard.
    #[error("series belongs to shard {0}")]
    OtherShard(u32),
    /// The series is here already.
    #[error("series is known already")]
    Known,
    /// The limit of series is reached.
    #[error("series limit reached, raise `max_series`")]
    Full,
}

/// Version and length.
const HEADER: usize = 6;

impl Normalizer {
    /// Version of what [`Normalizer::save`] writes.
    pub const STATE_VERSION: u16 = 2;

    /// Appends labels and state of raw series `raw`; nothing if it is not [live](Normalizer::is_live).
    pub fn save(&self, raw: u32, out: &mut Vec<u8>) {
        if !self.is_live(raw) {
            return;
        }
        let (hot, cold) = (&self.hot[raw], &self.cold[raw]);
        let start = out.len();
        let mut writer = Writer(out);
        writer.u16(Self::STATE_VERSION);
        writer.u32(0);
        writer.u32(0);
        self.labels(raw, writer.0);
        let labels_len = (writer.0.len() - start - HEADER - 4) as u32;
        writer.u8(hot.role as u8);
        writer.u8(hot.flags & (HAS_LAST | ENDED));
        writer.u8(hot.told as u8);
        writer.u8(self.families.of(self.label(raw, NAME)).0 as u8);
        writer.i64(hot.last_ms);
        writer.f64(hot.last);
        writer.i64(cold.first_ms);
        writer.f32(hot.cadence_s);
        writer.f32(hot.cadence_candidate);
        writer.u8(hot.cadence_streak);
        writer.u32(self.sources.tag(cold.source));
        if hot.role.grouped() {
            let group = &self.groups[hot.link];
            let (now_ms, before_ms, first_ms, emitted) = group.clock_state();
            writer.i64(now_ms);
            writer.i64(before_ms);
            writer.i64(first_ms);
            writer.u8(u8::from(emitted));
            if hot.role == Role::Part {
                let (_, now, before, has) = group.part_state(hot.part);
                writer.f64(now);
                writer.f64(before);
                writer.u8(has);
            } else {
                writer.u8(u8::from(group.native.is_some()));
                if let Some(native) = &group.native {
                    writer.native(native);
                }
            }
        }
        let len = (writer.0.len() - start - HEADER) as u32;
        out[start + 2..start + 6].copy_from_slice(&len.to_le_bytes());
        out[start + 6..start + 10].copy_from_slice(&labels_len.to_le_bytes());
    }

    /// The shard of `count` to which the series at the start of `bytes` belongs.
    ///
    /// # Errors
    /// Bytes that [`Normalizer::save`] did not write.
    pub fn home(bytes: &[u8], count: u32) -> Result<u32, StateError> {
        let (mut record, _) = open(bytes)?;
        let mut text = Vec::new();
        let (id, pairs) = read_labels(&mut record, &mut text)?;
        let role = Role::from_byte(record.u8().ok_or(StateError::Truncated)?).ok_or(StateError::Damaged("role"))?;
        Ok((home_key(id, &pairs, role) % u64::from(count.max(1))) as u32)
    }

    /// Restores the series at the start of `bytes`; gives the number of bytes it took.
    ///
    /// # Errors
    /// Another version, damage, a series of another shard or one that is here already, the series limit.
    /// Nothing is changed then.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(usize, Restored), StateError> {
        let (mut record, size) = open(bytes)?;
        let mut text = std::mem::take(&mut self.text);
        let mut quiet = std::mem::take(&mut self.quiet);
        quiet.clear();
        let restored = match read_labels(&mut record, &mut text) {
            Ok((id, pairs)) => self.restore(id, &pairs, record, &mut quiet),
            Err(error) => Err(error),
        };
        self.text = text;
        self.quiet = quiet;
        self.free_slots.append(&mut self.resting_slots);
        Ok((size, restored?))
    }

    fn restore(
        &mut self,
        id: u64,
        pairs: &[(&str, &str)],
        mut record: Reader<'_>,
        out: &mut Normalized,
    ) -> Result<Restored, StateError> {
        let saved = Saved::read(&mut record).ok_or(StateError::Truncated)??;
        let name = pairs.iter().find(|(n, _)| *n == NAME).map_or("", |(_, value)| *value);
        let home_key = home_key(id, pairs, saved.role);
        let count = u64::from(self.shard.count);
        if home_key % count != u64::from(self.shard.index) {
            return Err(StateError::OtherShard((home_key % count) as u32));
        }
        if self.live >= self.limits.max_series {
            return Err(StateError::Full);
        }
        if saved.role == Role::Derived {
            return self.restore_derived(id, home_key, name, pairs, &saved, out);
        }
        let key = route(id, home_key % count, count);
        if self.by_key(key).is_some() {
            return Err(StateError::Known);
        }
        if saved.family != MetricKind::Unknown && self.families.of(name).0 == MetricKind::Unknown {
            let family = if saved.role == Role::Part { split(name).0 } else { name };
            let told = RawMetadata { family: family.to_owned(), kind: saved.family, unit: String::new() };
            self.families.tell(&told, self.limits.max_families);
        }
        let get = |name: &str| pairs.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| *value);
        let native = saved.role == Role::Native;
        let decision = decide(&mut self.names, &self.families, name, get, saved.told, native);
        let raw = self.record(Hot { key, told: saved.told, ..Hot::FREE });
        let source = self.sources.number(saved.source);
        self.count_for(raw, source);
        if decision.role.labelled() {
            self.put_labels(raw, pairs.iter().copied());
        }
        if !self.take_role(raw, &decision, home_key, out) {
            self.release(raw, out);
            return Err(StateError::Damaged("a histogram with too many buckets"));
        }
        let changed = decision.role != saved.role;
        if changed {
            // Forgotten by its old age, until a sample comes.
            self.hot[raw].last_ms = if decision.role.labelled() { i64::MIN } else { saved.hot.last_ms };
        } else {
            self.restore_state(raw, &decision, saved);
        }
        Ok(self.restored(raw, changed))
    }

    fn restore_state(&mut self, raw: u32, decision: &Decision, saved: Saved) {
        self.restore_hot(raw, &saved);
        let Hot { link, part, .. } = self.hot[raw];
        match (decision.part, saved.group) {
            (Some(PartKind::Bucket(_) | PartKind::Sum | PartKind::Count), Some(group)) => {
                self.groups[link].restore(part, group.part, group.clock);
            }
            (None, Some(group)) => self.groups[link].restore_native(group.native, group.clock),
            _ => {}
        }
    }

    fn restore_derived(
        &mut self,
        id: u64,
        group_key: u64,
        name: &str,
        pairs: &[(&str, &str)],
        saved: &Saved,
        out: &mut Normalized,
    ) -> Result<Restored, StateError> {
        let stat = name.rsplit_once(':').and_then(|(_, stat)| STATS.iter().position(|s| *s == stat));
        let stat = stat.ok_or(StateError::Damaged("no derived series has this name"))?;
        let group = self.group_for(group_key, false);
        if self.groups[group].derived[stat] != NONE {
            return Err(StateError::Known);
        }
        let raw = self.record(Hot { key: id, role: Role::Derived, ..Hot::FREE });
        self.put_labels(raw, pairs.iter().copied());
        let Some(meaning) = self.derived_meaning(raw) else {
            // Not watched any more; it is decided on again when the group has a value.
            self.release(raw, out);
            let spec = Arc::clone(&self.default_spec);
            return Ok(Restored { raw, slot: None, spec, entity: NONE, changed: true });
        };
        self.admit(raw, meaning, out);
        self.restore_hot(raw, saved);
        self.groups[group].derived[stat] = raw;
        Ok(self.restored(raw, false))
    }

    fn restore_hot(&mut self, raw: u32, saved: &Saved) {
        let hot = &mut self.hot[raw];
        (hot.last_ms, hot.last) = (saved.hot.last_ms, saved.hot.last);
        (hot.cadence_s, hot.cadence_candidate) = (saved.hot.cadence_s, saved.hot.cadence_candidate);
        hot.cadence_streak = saved.hot.cadence_streak;
        hot.flags |= saved.hot.flags;
        self.cold[raw].first_ms = saved.first_ms;
    }

    fn restored(&self, raw: u32, changed: bool) -> Restored {
        let slot = self.raw_slot(raw);
        let spec = slot.and_then(|slot| self.spec(slot)).unwrap_or_else(|| Arc::clone(&self.default_spec));
        Restored { raw, slot, spec, entity: self.cold[raw].entity, changed }
    }
}

/// The fields of a record after its labels.
struct Saved {
    role: Role,
    told: MetricKind,
    family: MetricKind,
    hot: Hot,
    first_ms: i64,
    source: u32,
    group: Option<SavedGroup>,
}

struct SavedGroup {
    clock: (i64, i64, i64, bool),
    part: (f64, f64, u8),
    native: Option<Box<watchbell_series::NativeHistogram>>,
}

impl Saved {
    fn read(record: &mut Reader<'_>) -> Option<Result<Self, StateError>> {
        let Some(role) = Role::from_byte(record.u8()?) else { return Some(Err(StateError::Damaged("role"))) };
        let flags = record.u8()? & (HAS_LAST | ENDED);
        let (told, family) = (kind(record.u8()?), kind(record.u8()?));
        let (Some(told), Some(family)) = (told, family) else { return Some(Err(StateError::Damaged("kind"))) };
        let (last_ms, last, first_ms) = (record.i64()?, record.f64()?, record.i64()?);
        let (cadence_s, cadence_candidate, cadence_streak) = (record.f32()?, record.f32()?, record.u8()?);
        let source = record.u32()?;
        let sane = |seconds: f32| seconds.is_finite() && seconds >= 0.0;
        if !(sane(cadence_s) && sane(cadence_candidate)) {
            return Some(Err(StateError::Damaged("cadence")));
        }
        let hot = Hot { last_ms, last, cadence_s, cadence_candidate, cadence_streak, flags, ..Hot::FREE };
        let mut group = None;
        if role.grouped() {
            let clock = (record.i64()?, record.i64()?, record.i64()?, record.u8()? != 0);
            let mut saved = SavedGroup { clock, part: (0.0, 0.0, 0), native: None };
            if role == Role::Part {
                saved.part = (record.f64()?, record.f64()?, record.u8()?);
            } else if record.u8()? != 0 {
                let native = record.native()?;
                if crate::native::flaw(&native, usize::from(u16::MAX)).is_some() {
                    return Some(Err(StateError::Damaged("native histogram")));
                }
                saved.native = Some(Box::new(native));
            }
            group = Some(saved);
        }
        Some(Ok(Self { role, told, family, hot, first_ms, source, group }))
    }
}

/// The record at the start of `bytes`, behind its header, and its size with the header.
fn open(bytes: &[u8]) -> Result<(Reader<'_>, usize), StateError> {
    let mut reader = Reader(bytes);
    let version = reader.u16().ok_or(StateError::Truncated)?;
    if version != Normalizer::STATE_VERSION {
        return Err(StateError::Version(version));
    }
    let len = reader.u32().ok_or(StateError::Truncated)? as usize;
    let body = reader.0.get(..len).ok_or(StateError::Truncated)?;
    Ok((Reader(body), HEADER + len))
}

fn read_labels<'a>(record: &mut Reader<'a>, text: &'a mut Vec<u8>) -> Result<(u64, Pairs<'a>), StateError> {
    let len = record.u32().ok_or(StateError::Truncated)? as usize;
    let bytes = record.take(len).ok_or(StateError::Truncated)?;
    read(bytes, text).map_err(|_| StateError::Damaged("labels"))
}

/// The number that tells the shard of a series: see [`group_key`].
fn home_key(id: u64, pairs: &[(&str, &str)], role: Role) -> u64 {
    let name = pairs.iter().find(|(n, _)| *n == NAME).map_or("", |(_, value)| *value);
    if role != Role::Derived {
        return group_key(pairs, name).unwrap_or(id);
    }
    let family = name.rsplit_once(':').map_or(name, |(family, _)| family);
    let mut bytes = Vec::with_capacity(512);
    for (name, value) in pairs {
        let value = if *name == NAME { family } else { value };
        watchbell_series::labels::write_canonical_label(name.as_bytes(), value.as_bytes(), &mut bytes);
    }
    hash_canonical(&bytes).0
}

fn kind(byte: u8) -> Option<MetricKind> {
    use MetricKind::{Counter, Gauge, GaugeHistogram, Histogram, Info, StateSet, Summary, Unknown};
    [Unknown, Gauge, Counter, Histogram, GaugeHistogram, Summary, Info, StateSet]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
}
