//! What a series remembers of its own alarms: when the open one began, and when each kind was last seen.

use watchbell_series::{Lead, Pattern};

use crate::paged::Paged;
use crate::single::Row;
use crate::single::hot::Hot;

/// No memory yet.
const NONE: u32 = u32::MAX;
/// Kinds that are told apart.
const FAMILIES: usize = 8;

/// What each series keeps for whoever asks why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trace {
    /// Score of the last sample itself; NaN where the series was not ready.
    pub(crate) score: f32,
    /// Where its memory stands.
    memory: u32,
}

impl Trace {
    /// Of a series without a sample.
    pub(crate) const NEW: Self = Self { score: f32::NAN, memory: NONE };

    /// Notes a judged row; `known` says whether its score means anything.
    pub(crate) fn note(&mut self, row: &Row, known: bool) {
        self.score = if known { row.score } else { f32::NAN };
    }
}

/// The alarms of one series, in seconds since the Unix epoch; 0 for never.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Memory {
    /// Begin of the last alarm.
    since_s: u32,
    /// Begin of the last alarm of each family before that one.
    seen_s: [u32; FAMILIES],
    /// What the last alarm looked like in the end.
    pattern: Pattern,
}

/// The place of the kinds that look alike; none for what a single series does not do.
fn family(pattern: Pattern) -> Option<usize> {
    Some(match pattern {
        Pattern::Spike => 0,
        Pattern::Dip => 1,
        Pattern::LevelShift | Pattern::Drift => 2,
        Pattern::Variance => 3,
        Pattern::SeasonMissed => 4,
        Pattern::Flatline => 5,
        Pattern::Missing => 6,
        Pattern::Illegal => 7,
        _ => return None,
    })
}

impl Memory {
    const NEW: Self = Self { since_s: 0, seen_s: [0; FAMILIES], pattern: Pattern::None };

    /// Begin of the last alarm, milliseconds.
    pub(crate) fn since_ms(&self) -> i64 {
        i64::from(self.since_s) * 1000
    }

    /// Begin of the last alarm like `pattern` before the present one, milliseconds.
    pub(crate) fn last_seen_ms(&self, pattern: Pattern) -> Option<i64> {
        let at_s = self.seen_s[family(pattern)?];
        (at_s > 0).then_some(i64::from(at_s) * 1000)
    }

    /// Puts the last alarm to those that were.
    fn file(&mut self) {
        if let Some(family) = family(self.pattern) {
            self.seen_s[family] = self.since_s;
        }
    }
}

/// The memories of all series that have one.
#[derive(Debug)]
pub(crate) struct Memories {
    all: Paged<Memory>,
    free: Vec<u32>,
    used: u32,
}

impl Memories {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { all: Paged::new(Memory::NEW), free: Vec::new(), used: 0 }
    }

    /// The memory of a series.
    pub(crate) fn of(&self, trace: &Trace) -> Option<&Memory> {
        if trace.memory == NONE { None } else { self.all.get(trace.memory) }
    }

    /// Gives a series a memory.
    pub(crate) fn give(&mut self, trace: &mut Trace, memory: Memory) {
        let at = self.free.pop().unwrap_or_else(|| {
            self.used += 1;
            self.all.reach(self.used - 1);
            self.used - 1
        });
        if let Some(place) = self.all.get_mut(at) {
            *place = memory;
            trace.memory = at;
        }
    }

    /// Takes the memory of a series back.
    pub(crate) fn take(&mut self, trace: &mut Trace) {
        if trace.memory != NONE {
            self.free.push(trace.memory);
            trace.memory = NONE;
        }
    }

    /// The last alarm is closed because a quiet span is over, and is no past one: what still stands begins anew, and must
    /// not tell of itself as what it was last like.
    pub(crate) fn leave_out(&mut self, trace: &Trace) {
        if let Some(memory) = self.all.get_mut(trace.memory) {
            memory.pattern = Pattern::None;
        }
    }

    /// Notes a row at `secs` with an open alarm, which is `fresh` where it began by this row, or one that ends
    /// a silence since `missed_s`.
    pub(crate) fn note(&mut self, hot: &mut Hot, secs: u32, fresh: bool, missed_s: Option<u32>) {
        if hot.trace.memory == NONE {
            self.give(&mut hot.trace, Memory::NEW);
        }
        let Some(memory) = self.all.get_mut(hot.trace.memory) else { return };
        if let (Some(missed_s), Some(family)) = (missed_s, family(Pattern::Missing)) {
            memory.seen_s[family] = missed_s;
        }
        if fresh {
            memory.file();
            memory.since_s = secs;
        }
        if hot.alarm.open() {
            memory.pattern = hot.alarm.pattern;
        }
    }
}

/// Appends what is kept of a series, with what made its score.
pub(crate) fn write(trace: &Trace, lead: Lead, memory: Option<&Memory>, out: &mut Vec<u8>) {
    out.extend_from_slice(&trace.score.to_le_bytes());
    out.push(lead as u8);
    out.push(u8::from(memory.is_some()));
    if let Some(memory) = memory {
        out.push(memory.pattern as u8);
        for at_s in std::iter::once(&memory.since_s).chain(&memory.seen_s) {
            out.extend_from_slice(&at_s.to_le_bytes());
        }
    }
}

/// Reads it back, with the bytes it took; `None` where there are too few.
pub(crate) fn read(bytes: &[u8]) -> Option<(Trace, Lead, Option<Memory>, usize)> {
    let word = |at: usize| bytes.get(at..at + 4).and_then(|b| b.first_chunk::<4>()).copied();
    let score = f32::from_le_bytes(word(0)?);
    let (lead, has_memory) = (Lead::from_byte(*bytes.get(4)?), *bytes.get(5)? != 0);
    let trace = Trace { score, ..Trace::NEW };
    if !has_memory {
        return Some((trace, lead, None, 6));
    }
    let mut memory = Memory { pattern: Pattern::from_byte(*bytes.get(6)?), ..Memory::NEW };
    memory.since_s = u32::from_le_bytes(word(7)?);
    for (i, at_s) in memory.seen_s.iter_mut().enumerate() {
        *at_s = u32::from_le_bytes(word(11 + 4 * i)?);
    }
    Some((trace, lead, Some(memory), 11 + 4 * FAMILIES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_forty_bytes() {
        assert!(size_of::<Memory>() <= 40, "{}", size_of::<Memory>());
        assert!(size_of::<Trace>() <= 8, "{}", size_of::<Trace>());
    }

    #[test]
    fn round_trip_and_short_bytes() {
        let trace = Trace { score: 1.25, ..Trace::NEW };
        let memory = Memory { since_s: 9, seen_s: [1, 2, 3, 4, 5, 6, 7, 8], pattern: Pattern::Drift };
        for memory in [None, Some(memory)] {
            let mut bytes = Vec::new();
            write(&trace, Lead::Slow, memory.as_ref(), &mut bytes);
            assert_eq!(read(&bytes), Some((trace, Lead::Slow, memory, bytes.len())));
            for len in 0..bytes.len() {
                assert_eq!(read(&bytes[..len]), None, "{len}");
            }
        }
    }
}
