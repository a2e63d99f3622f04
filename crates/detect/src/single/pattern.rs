//! What an anomaly looks like, as far as three channels can tell.

use watchbell_series::Pattern;

use super::channel::TAIL;
use super::hot::{Hot, flag};
use super::{FAST, Row, SLOW, SMOOTH};

/// The usual rise or fall of the hour is missed if it is at least this many scales of the slow channel,
const SEASON_SCALES: f32 = 3.0;
/// and the value is this near to where it would be without season, as a part of the season.
const SEASON_NEAR: f32 = 0.35;

/// Names the anomaly of `row`, and remembers for the open alarm which ways it jumped.
pub(crate) fn name(hot: &mut Hot, row: &Row, onset: bool) -> Pattern {
    if onset {
        hot.set(flag::JUMPED_UP | flag::JUMPED_DOWN, false);
    }
    let jumps = row.ratios[FAST] > TAIL;
    let up = row.errors[row.led] > 0.0;
    if jumps {
        hot.set(if row.errors[FAST] > 0.0 { flag::JUMPED_UP } else { flag::JUMPED_DOWN }, true);
    }
    let before = hot.alarm.pattern;
    if row.illegal {
        Pattern::Illegal
    } else if row.flat {
        Pattern::Flatline
    } else if row.score < 1.0 && before != Pattern::None {
        before
    } else if season_missed(hot, row) {
        Pattern::SeasonMissed
    } else if row.led == FAST && hot.is(flag::JUMPED_UP) && hot.is(flag::JUMPED_DOWN) {
        Pattern::Variance
    } else if row.led == FAST || jumps {
        if up { Pattern::Spike } else { Pattern::Dip }
    } else if row.led == SMOOTH && !matches!(before, Pattern::Spike | Pattern::Dip | Pattern::LevelShift) {
        Pattern::Drift
    } else {
        Pattern::LevelShift
    }
}

/// The value stayed where it was while the season moved on.
fn season_missed(hot: &Hot, row: &Row) -> bool {
    let season = row.season.abs();
    let moved = (row.value - hot.value).abs() as f32;
    season > SEASON_SCALES * row.scales[SLOW]
        && (row.errors[SLOW] + row.season).abs() < SEASON_NEAR * season
        && moved < SEASON_NEAR * season
}
