//! What an anomaly looks like, as far as three channels can tell.

use watchbell_series::Pattern;

use super::channel::TAIL;
use super::cycle::Cycle;
use super::hot::{Hot, flag};
use super::seasons::Usual;
use super::{FAST, Row, SLOW, SMOOTH};
use crate::civil::Bins;

/// How far back the season is compared, seconds: a rise of the day takes from one to eight hours,
const LAGS_S: [u32; 4] = [3600, 7200, 14_400, 28_800];
/// one of a season of another length these parts of it.
const LAGS_PART: [f32; 3] = [0.125, 0.25, 0.5];
/// The usual rise or fall is missed if it is at least this many scales of the slow channel,
const RISE_SCALES: f32 = 3.0;
/// and the error makes up for it but for this part.
const RISE_NEAR: f32 = 0.35;

/// Names the anomaly of `row`, and remembers for the open alarm which ways it jumped.
pub(crate) fn name(hot: &mut Hot, row: &Row, usual: Option<Usual<'_>>, bins: &Bins, onset: bool) -> Pattern {
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
    } else if row.climb_led || (row.climbs && before == Pattern::Drift) {
        Pattern::Drift
    } else if before == Pattern::SeasonMissed || (row.score < 1.0 && before != Pattern::None) {
        before
    } else if matches!(before, Pattern::None | Pattern::Drift) && season_missed(hot, row, usual, bins) {
        Pattern::SeasonMissed
    } else if matches!(before, Pattern::None | Pattern::Drift) && crept(hot, row) {
        Pattern::Drift
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

/// The rows before were off the same way by so much on the average that this one only adds to it.
fn crept(hot: &Hot, row: &Row) -> bool {
    hot.smooth * row.errors[row.led].signum() > TAIL * row.scales[SMOOTH]
}

/// The season moved and the value did not: what it is off by is what the season rose by of late.
fn season_missed(hot: &Hot, row: &Row, usual: Option<Usual<'_>>, bins: &Bins) -> bool {
    let Some(usual) = usual else { return false };
    let moved = (row.value - hot.value).abs() as f32;
    let known = usual.cycle.and_then(Cycle::known);
    let parts = known.into_iter().flat_map(|known| LAGS_PART.map(|part| (part * known.period_s) as u32));
    LAGS_S.into_iter().chain(parts).any(|seconds| {
        let rise = row.season - usual.at(&bins.before(seconds), hot.born, super::cadence(hot.cadence_s)).usual;
        let near = RISE_NEAR * rise.abs();
        rise.abs() > RISE_SCALES * row.scales[SLOW] && (row.errors[SLOW] + rise).abs() < near && moved < near
    })
}
