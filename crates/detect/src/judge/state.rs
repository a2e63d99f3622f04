//! Saving and loading the learned state of one slot.

use super::{Judge, overdue, recount};
use crate::checkpoint::{self, StateError};
use crate::explain;
use crate::single::hot::flag;

impl Judge {
    /// Version of the bytes that [`Judge::save`] writes; it is in them.
    pub const STATE_VERSION: u16 = checkpoint::VERSION;

    /// Appends the learned state of `slot`: about 170 bytes, 375 more if the series
    /// varies, 115 more if it has a season of another length or looks for one, and 37 more if it ever rang. Not in it,
    /// because others know it: rules, entity and whether the series is tracked.
    pub fn save(&self, slot: u32, out: &mut Vec<u8>) {
        if let Some(hot) = self.hot.get(slot) {
            checkpoint::write(hot, self.seasons.usual(hot), out);
            explain::write(&hot.trace, hot.alarm.lead, self.memories.of(&hot.trace), out);
        }
    }

    /// Takes the learned state of `slot`, which was admitted before, from the start of `bytes`, and says
    /// how many bytes it took. From there on every score is what it would have been without the break.
    ///
    /// # Errors
    /// Bytes of another version, too few of them, or numbers that no series can have. The slot is then
    /// as it was before.
    pub fn load(&mut self, slot: u32, bytes: &[u8]) -> Result<usize, StateError> {
        let hot = self.hot.get_mut(slot).filter(|hot| hot.is(flag::ADMITTED)).ok_or(StateError::NotAdmitted(slot))?;
        let (mut loaded, season, taken) = checkpoint::read(bytes)?;
        let (trace, lead, memory, more) = explain::read(&bytes[taken..]).ok_or(StateError::Short(bytes.len()))?;
        let taken = taken + more;
        self.seasons.take(hot);
        self.memories.take(&mut hot.trace);
        loaded.trace = trace;
        loaded.alarm.lead = lead;
        loaded.entity = hot.entity;
        loaded.rules = hot.rules;
        loaded.flags |= hot.flags & !flag::LEARNED;
        *hot = loaded;
        if let Some((season, cycle)) = season {
            self.seasons.give(hot, season, cycle);
        }
        if let Some(memory) = memory {
            self.memories.give(&mut hot.trace, memory);
        }
        recount(&mut self.entities, hot, &self.config);
        let secs = hot.ts_ms.div_euclid(1000).clamp(0, i64::from(u32::MAX - 1)) as u32;
        let due = hot.rows > 0 && !hot.is(flag::ENDED | flag::MISSING);
        let deadline = if due { overdue::deadline(secs, hot.cadence_s) } else { overdue::NEVER };
        self.set_deadline(slot, deadline);
        Ok(taken)
    }
}
