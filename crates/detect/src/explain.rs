//! Why a verdict says what it says, and where a series stands when there is none.
//!
//! Numbers only: [`Why`] goes with each verdict, [`Insight`](crate::Insight) is for whoever asks about a quiet series. What a
//! series remembers of its own alarms is a record that only series that ever rang have.

mod memory;

pub(crate) use memory::{Memories, Memory, Trace, read, write};

use watchbell_series::{Lead, Pattern, Why};

use crate::math::{LN_10, exp};
use crate::single::alarm::Turn;
use crate::single::hot::Hot;
use crate::single::{self, Context, FAST, Row, SLOW, SMOOTH};

/// Powers of ten beyond which a return period says no more: the tail was never seen so far out.
const MOST_DECADES: f32 = 15.0;

/// Whole seconds since the Unix epoch, within what is kept of a time.
pub(crate) fn seconds(ts_ms: i64) -> u32 {
    ts_ms.div_euclid(1000).clamp(0, i64::from(u32::MAX - 1)) as u32
}

/// What a row is compared with: the rule or the channel that made its score.
pub(crate) fn lead(row: &Row) -> Lead {
    match row.led {
        _ if row.illegal => Lead::Range,
        _ if row.flat => Lead::Stillness,
        _ if row.climb_led => Lead::Smoothed,
        FAST => Lead::Fast,
        SLOW => Lead::Slow,
        SMOOTH => Lead::Smoothed,
        _ => Lead::Unknown,
    }
}

/// Mean time between rows with at least this `score`, seconds, where `decades` powers of ten of
/// improbability a row make 1.0: 10^(score * decades) rows pass between two of them.
pub(crate) fn return_s(score: f32, decades: f32, cadence_s: f32) -> f32 {
    cadence_s * exp(LN_10 * (score * decades).clamp(0.0, MOST_DECADES))
}

/// Why the verdict on `row` says what it says; before the row taught.
pub(crate) fn of_row(hot: &Hot, row: &Row, turn: &Turn, memories: &Memories, ctx: &Context<'_>) -> Why {
    let chance = hot.ready() && !row.illegal && !row.flat;
    let cadence_s = single::cadence(hot.cadence_s);
    let memory = memories.of(&hot.trace);
    Why {
        return_s: if chance { return_s(row.score, row.decades, cadence_s) } else { f32::NAN },
        since_ms: memory.filter(|_| hot.alarm.open()).map(Memory::since_ms),
        last_seen_ms: memory.and_then(|memory| memory.last_seen_ms(hot.alarm.pattern)),
        lead: lead(row),
        raised: (turn.edge / ctx.config.edge - 1.0).max(0.0),
    }
}

/// Why a series is reported missing.
pub(crate) fn of_missing(hot: &Hot, memories: &Memories) -> Why {
    Why {
        since_ms: Some(hot.ts_ms),
        last_seen_ms: memories.of(&hot.trace).and_then(|memory| memory.last_seen_ms(Pattern::Missing)),
        lead: Lead::Stillness,
        ..Why::UNKNOWN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_at_a_minute_returns_in_four_weeks() {
        let days = return_s(1.0, single::EDGE_DECADES, 60.0) / 86_400.0;
        assert!((27.0..28.0).contains(&days), "{days}");
        assert!(return_s(1000.0, single::EDGE_DECADES, 60.0).is_finite());
    }
}
