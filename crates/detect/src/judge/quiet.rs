//! Spans of time in which a series is judged as ever and teaches nothing: planned work is no model of the usual.
//!
//! Whether a sample is in a span is told by its own time, so that a replay decides alike. What a sample in a span
//! changed is put back, but for where the series stands: its last value, its alarm and the score that is shown.
//! At the first sample after a span the alarm and the held score of the span are forgotten, and so is the fast level,
//! as after a gap: what still stands then rings by itself.

use std::collections::HashMap;
use std::sync::Arc;

use watchbell_series::{Sample, Verdict};

use super::{Judge, step};
use crate::explain::Memories;
use crate::single::Context;
use crate::single::hot::{Hot, flag};
use crate::single::seasons::Seasons;

/// First and last millisecond of a span.
pub type QuietSpan = (i64, i64);

/// The spans of all series that have some.
#[derive(Debug)]
pub(super) struct Quiet {
    spans: HashMap<u32, Arc<[QuietSpan]>>,
    /// One bit a slot, up to the highest one with spans: what nearly every sample asks, without a look-up.
    marks: Vec<u64>,
    /// Nothing is quiet before this: so long a span that is to come costs no look-up.
    from_ms: i64,
}

impl Default for Quiet {
    fn default() -> Self {
        Self { spans: HashMap::new(), marks: Vec::new(), from_ms: i64::MAX }
    }
}

/// Where a sample stands to the spans of its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// In none.
    Outside,
    /// In one.
    Inside,
    /// In none, but the sample before was.
    Leaves,
    /// In none, and none is to come.
    Past,
}

fn covers(spans: &[QuietSpan], ts_ms: i64) -> bool {
    spans.iter().any(|(first, last)| (*first..=*last).contains(&ts_ms))
}

/// The word of a slot's mark and its bit.
fn place(slot: u32) -> (usize, u64) {
    ((slot / 64) as usize, 1 << (slot % 64))
}

impl Quiet {
    pub(super) fn stand(&self, slot: u32, before_ms: i64, ts_ms: i64) -> Stand {
        if ts_ms < self.from_ms {
            return Stand::Outside;
        }
        let Some(spans) = self.spans.get(&slot) else { return Stand::Past };
        if covers(spans, ts_ms) {
            Stand::Inside
        } else if covers(spans, before_ms) {
            Stand::Leaves
        } else if spans.iter().all(|(_, last)| *last < ts_ms) {
            Stand::Past
        } else {
            Stand::Outside
        }
    }

    /// Whether the series at `slot` has spans.
    pub(super) fn has(&self, slot: u32) -> bool {
        let (word, bit) = place(slot);
        self.marks.get(word).is_some_and(|marks| marks & bit != 0)
    }

    fn set(&mut self, slot: u32, spans: &Arc<[QuietSpan]>) {
        let (word, bit) = place(slot);
        if self.marks.len() <= word {
            self.marks.resize(word + 1, 0);
        }
        self.marks[word] |= bit;
        self.from_ms = spans.iter().fold(self.from_ms, |least, (first, _)| least.min(*first));
        self.spans.insert(slot, Arc::clone(spans));
    }

    pub(super) fn forget(&mut self, slot: u32) {
        let (word, bit) = place(slot);
        if let Some(marks) = self.marks.get_mut(word) {
            *marks &= !bit;
        }
        self.spans.remove(&slot);
        if self.spans.is_empty() {
            self.marks = Vec::new();
            self.from_ms = i64::MAX;
        }
    }
}

impl Judge {
    /// Samples of the series at `slot` in these spans are judged and teach nothing; replaces what was said before.
    /// Spans that its samples have passed are left out.
    pub fn set_quiet(&mut self, slot: u32, spans: &Arc<[QuietSpan]>) {
        let Some(hot) = self.hot.get(slot).filter(|hot| hot.is(flag::ADMITTED)) else { return };
        let open = spans.iter().any(|(_, last)| hot.rows == 0 || *last >= hot.ts_ms);
        if open {
            self.quiet.set(slot, spans);
        } else {
            self.quiet.forget(slot);
        }
    }

    /// Whether the last sample of the series at `slot` was in a quiet span.
    #[must_use]
    pub fn is_quiet(&self, slot: u32) -> bool {
        self.hot.get(slot).is_some_and(|hot| self.rests(slot, hot))
    }

    /// Series whose last sample was in a quiet span.
    #[must_use]
    pub fn quiet_series(&self) -> usize {
        self.quiet.spans.keys().filter(|slot| self.is_quiet(**slot)).count()
    }

    pub(super) fn rests(&self, slot: u32, hot: &Hot) -> bool {
        self.quiet.has(slot) && self.quiet.spans.get(&slot).is_some_and(|spans| covers(spans, hot.ts_ms))
    }
}

/// One sample in a span: judged and reported as ever, and what it taught is put back.
pub(super) fn aside(
    hot: &mut Hot,
    (seasons, memories): (&mut Seasons, &mut Memories),
    sample: &Sample,
    ctx: &Context<'_>,
    returned: bool,
    report: bool,
) -> Option<Verdict> {
    if hot.rows == 0 {
        // Of a series that is new there is nothing to judge by.
        return None;
    }
    let (before, season) = (*hot, seasons.copy(hot));
    let verdict = step(hot, (seasons, memories), sample, ctx, returned, report);
    seasons.take(hot);
    if let Some((season, cycle)) = season {
        seasons.give(hot, season, cycle);
    }
    // Learned and saved facts are those of before; what is of the moment is that of now.
    const MOMENT: u16 = flag::ENDED | flag::MISSING | flag::LIVE | flag::RANG | flag::JUMPED_UP | flag::JUMPED_DOWN;
    let mut alarm = hot.alarm;
    (alarm.raised, alarm.count) = (before.alarm.raised, before.alarm.count);
    *hot = Hot {
        value: sample.value,
        errors: hot.errors,
        alarm,
        peak: hot.peak,
        trace: hot.trace,
        cadence_s: hot.cadence_s,
        season: hot.season,
        flags: (before.flags & !MOMENT) | (hot.flags & MOMENT),
        ..before
    };
    verdict
}

/// The first sample after a span: nothing of what it showed goes on.
pub(super) fn leave(hot: &mut Hot, memories: &mut Memories) {
    if hot.alarm.open() {
        memories.leave_out(&hot.trace);
    }
    hot.alarm.close();
    hot.alarm.held = 0.0;
    (hot.fast, hot.smooth, hot.peak) = (0.0, 0.0, 0.0);
}
