//! Quiet windows of a shard: which of its series they are about, and their place in its log.

use std::cell::OnceCell;
use std::sync::Arc;

use watchbell_detect::QuietSpan;

use super::{Phase, Shard};
use crate::context::quiet::{Quiet, Shared};
use crate::context::subject::Facts;

/// Milliseconds.
const DAY_MS: i64 = 86_400_000;

/// What a shard knows of quiet windows.
#[derive(Debug, Default)]
pub(super) struct QuietState {
    /// The windows that its samples are judged under.
    now: Arc<Quiet>,
    /// What the service has in force; none for a shard that works alone.
    in_force: Option<Shared>,
}

impl Shard {
    /// Follows what `shared` holds, from the end of a restore on.
    #[must_use]
    pub fn with_quiet(mut self, shared: Shared) -> Self {
        self.quiet.in_force = Some(shared);
        self
    }

    /// Judges by these windows from now on. The log says so before the next samples do.
    pub fn set_quiet(&mut self, quiet: &Arc<Quiet>) {
        if self.phase != Phase::Live || *self.quiet.now == **quiet {
            return;
        }
        self.quiet.now = Arc::clone(quiet);
        self.log_quiet();
        self.find_quiet();
    }

    /// Windows of the log that is judged again.
    pub fn replay_quiet(&mut self, quiet: Arc<Quiet>) {
        if self.phase == Phase::Restoring {
            self.quiet.now = quiet;
            self.find_quiet();
        }
    }

    /// Takes up what is in force after a restore.
    pub(super) fn end_restore_quiet(&mut self) {
        if let Some(shared) = &self.quiet.in_force {
            let now = shared.load_full();
            self.set_quiet(&now);
        }
    }

    /// Writes the set into the log: a new file of it does not know what the one before said.
    pub(super) fn log_quiet(&mut self) {
        if let Some(wal) = &mut self.wal {
            // The log counts its own failures.
            let _ = wal.append(&self.quiet.now.record());
        }
    }

    /// The same for a file that was just begun, where there is something to say.
    pub(super) fn log_quiet_again(&mut self) {
        if !self.quiet.now.is_empty() {
            self.log_quiet();
        }
    }

    fn find_quiet(&mut self) {
        let slots: Vec<u32> = self.normalizer.slots(0, usize::MAX).collect();
        let mut last: Arc<[QuietSpan]> = Arc::new([]);
        for slot in slots {
            // No sample of a series is judged that is older than its last one. The day is for what is derived of it.
            let since_ms = self.normalizer.last_ms(slot).map_or(i64::MIN, |last| last.saturating_sub(DAY_MS));
            let spans = self.spans(slot, since_ms);
            // Series of one host share their spans.
            if spans[..] != last[..] {
                last = spans.into();
            }
            self.judge.set_quiet(slot, &last);
        }
    }

    /// The same for series that came, learn anew, or went over to another host.
    pub(super) fn find_quiet_of(&mut self, slots: impl Iterator<Item = u32>) {
        if self.quiet.now.is_empty() {
            return;
        }
        for slot in slots {
            // It may have its history still to come.
            let spans = self.spans(slot, i64::MIN);
            self.judge.set_quiet(slot, &spans.into());
        }
    }

    fn spans(&self, slot: u32, since_ms: i64) -> Vec<QuietSpan> {
        self.facts(slot, |facts| self.quiet.now.spans(facts, since_ms)).unwrap_or_default()
    }

    /// Hands what subjects are compared with to `ask`.
    pub(super) fn facts<R>(&self, slot: u32, ask: impl FnOnce(&Facts<'_>) -> R) -> Option<R> {
        let normalizer = &self.normalizer;
        let raw = normalizer.slot_raw(slot)?;
        let host = normalizer.entity(slot).map_or("", |entity| normalizer.entity_name(entity));
        let label = |name: &str| normalizer.label(raw, name);
        // Many subjects may ask for it.
        let metric = OnceCell::new();
        let mapped =
            || metric.get_or_init(|| normalizer.info(slot).map(|info| info.metric).unwrap_or_default()).clone();
        Some(ask(&Facts { label: &label, mapped: &mapped, host }))
    }
}
