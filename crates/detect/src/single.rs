//! The detector of single series: one pass over a sample, constant state, nothing trained.
//!
//! A sample is compared with a season (profiles of the day and the week, and of one other length that was found), a
//! fast level and a slow level.
//! Three channels of errors (fast, slow, smoothed slow) each say how improbable the error is, in powers
//! of ten per row, by their own learned scale and tail. The largest of them, divided by what one alarm
//! in about a month would take at this cadence, is the score: 1.0 is the edge. First the sample is
//! judged with what earlier ones taught, then it teaches.
//!
//! Once an hour a slow climb or fall is looked for, which no single row shows.
//!
//! An odd event that came back at the same distance several times is a habit of the series and stays quiet.
//!
//! What rules add (directions, least deviations) caps single channels; what is certain (illegal values,
//! a value that stopped changing) sets the score directly. A series that never changed takes a short path.

pub(crate) mod alarm;
pub(crate) mod band;
pub(crate) mod channel;
pub(crate) mod cycle;
pub(crate) mod flat;
pub(crate) mod habit;
pub(crate) mod hot;
pub(crate) mod pattern;
pub(crate) mod season;
pub(crate) mod seasons;
pub(crate) mod trend;

use watchbell_series::{Direction, Sample};

use crate::civil::Bins;
use crate::explain::Memory;
use crate::judge::JudgeConfig;
use crate::math::{exp, ln, log10};
use crate::rules::Rules;
use crate::table::DetectorInfo;
use alarm::Turn;
use channel::{ADOPT_RATE, CLIP, Channel, FIRST_ROWS, Rates, TAIL};
use habit::Habit;
use hot::{Hot, flag};
use season::Season;
use seasons::{Parts, Seasons, Usual};

/// No score is higher.
pub const MAX_SCORE: f32 = 1000.0;
/// Score of what is certain: an illegal value, a missing series.
pub const FACT_SCORE: f32 = 1.5;

/// Part of the error by which the fast level follows in a row.
const FAST_GAIN: f32 = 0.25;
/// Cadences without a sample after which the fast level is forgotten.
const GAP_CADENCES: f32 = 10.0;
/// Memory of the slow level, seconds.
const SLOW_S: f32 = 86_400.0;
/// Gain of the smoothed error.
const SMOOTH_GAIN: f32 = 0.1;
/// The smoothed channel counts in full when the row itself is at this many scales, and this much then.
const GATE: (f32, f32) = (TAIL, 0.95);
/// Powers of ten that make 1.0 at one sample a minute; one more for each ten times as many.
pub(crate) const EDGE_DECADES: f32 = 4.6;
/// Power of the cadence over a minute with which what a row lets go of the held score grows: slow series hold
/// it for fewer rows, though for longer.
const HOLD_POWER: f32 = 0.09;
/// Scales are at least this part of the mean deviation.
const SPREAD_FLOOR: f32 = 0.005;
/// And at least this part of the level, under which lies the rounding of whoever computed the values.
const ROUNDING_FLOOR: f64 = 1e-13;
/// Scale of a series that never changed, as a part of its magnitude.
const CONSTANT_SCALE: f64 = 0.02;
/// How old in rows a series counts as when it changes for the first time: it learns anew, but not at once.
const CONSTANT_ROWS: u32 = 240;
/// Errors are cut off here, so that their squares stay numbers.
const MAX_ERROR: f64 = 1e18;
/// What a rule or a habit caps scores at most this.
pub(crate) const CAP: f32 = 0.95;

/// The row of this detector in the table.
pub(crate) const INFO: DetectorInfo = DetectorInfo {
    name: "single",
    summary: "season, fast and slow level, and the learned tail of the errors against them",
    hot_bytes: size_of::<Hot>(),
    lazy_bytes: size_of::<Season>() + size_of::<cycle::Cycle>() + size_of::<Memory>(),
    constants: &[
        ("fast_gain", FAST_GAIN, "part of the error by which the fast level follows in a row"),
        ("slow_seconds", SLOW_S, "memory of the slow level"),
        ("smooth_gain", SMOOTH_GAIN, "gain of the smoothed error"),
        ("day_gain", season::DAY_GAIN, "least gain of a visit to a quarter-hour of the day"),
        ("week_gain", season::WEEK_GAIN, "greatest gain of a visit to an hour of the week"),
        ("cycle_gain", cycle::known::GAIN, "least gain of a visit to a bin of a season of another length"),
        ("cycle_explained", cycle::known::EXPLAINED, "part of the error that such a season must explain to count"),
        ("scale_rows", channel::SCALE_ROWS, "memory of the scale and of the rate of clusters"),
        ("clip", CLIP, "scales that an error teaches at most"),
        ("square_clip", channel::SQUARE_CLIP, "root mean squares that an error teaches them at most"),
        ("square_rows", channel::SQUARE_ROWS, "memory of the root mean square"),
        ("square_divisor", channel::SQUARE_DIVISOR, "the scale is at least the root mean square over this"),
        ("tail", TAIL, "scales at which the tail begins"),
        ("slope_start", channel::SLOPE_START, "Hill slope of a young series"),
        ("slope_trust", channel::SLOPE_TRUST, "clusters that the slope of a young series is worth"),
        (
            "tail_trust",
            channel::TAIL_TRUST,
            "clusters that the slope is worth at first, for each power of ten of the edge",
        ),
        ("slope_floor", channel::SLOPE_FLOOR, "least Hill slope"),
        ("adopt_rows", channel::ADOPT_ROWS as f32, "rows after which a new regime is adopted"),
        ("edge_decades", EDGE_DECADES, "powers of ten that make 1.0 at one sample a minute"),
        ("trend_steps", trend::MEMORY, "hours that the sum of a slow climb remembers"),
        ("trend_clip", trend::STEP_CLIP, "usual steps of an hour that one counts at most"),
        ("trend_beyond", trend::BEYOND, "part of its range by which a climb has to leave it"),
        ("habit_distance", habit::SAME_DISTANCE, "part by which distances of a habit's events differ at most"),
        ("habit_largest", habit::LARGEST, "usual sizes that an event of a habit is at most"),
        ("hold_power", HOLD_POWER, "power of the cadence with which the held score falls faster per row"),
        ("raise", alarm::RAISE, "what an alarm adds to the edge, forgotten quickly"),
        ("raise_long", alarm::RAISE_LONG, "what an alarm adds to the edge, forgotten slowly"),
    ],
};

/// The channels in their order.
pub(crate) const FAST: usize = 0;
pub(crate) const SLOW: usize = 1;
pub(crate) const SMOOTH: usize = 2;

/// What is outside of the series itself while a row is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) config: &'a JudgeConfig,
    pub(crate) rules: &'a Rules,
    pub(crate) bins: &'a Bins,
}

/// One row before it teaches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// The value.
    pub(crate) value: f64,
    /// What is usual now, relative to the slow level.
    pub(crate) season: f32,
    /// The same, if the profiles of the day and the week counted in full.
    pub(crate) profile: f32,
    /// Where in the third season it is, if there is one.
    pub(crate) cycle: Option<cycle::At>,
    /// Errors of the channels, signed.
    pub(crate) errors: [f32; 3],
    /// Roots of the channels' mean squares.
    pub(crate) roots: [f32; 3],
    /// Working scales of the channels.
    pub(crate) scales: [f32; 3],
    /// How many scales they are.
    pub(crate) ratios: [f32; 3],
    /// See [`decades`].
    pub(crate) decades: f32,
    /// The score; not to be used while the series is not ready.
    pub(crate) score: f32,
    /// The channel that made it.
    pub(crate) led: usize,
    /// Whether the value is outside its legal range.
    pub(crate) illegal: bool,
    /// Whether it stopped changing, for too long.
    pub(crate) flat: bool,
    /// Whether it has been climbing or falling, slowly and for long; see [`know_trend`].
    pub(crate) climbs: bool,
    /// Whether that made the score.
    pub(crate) climb_led: bool,
}

/// The cadence to reckon with, seconds: a minute while none is known.
pub(crate) fn cadence(seconds: f32) -> f32 {
    if seconds > 0.0 { seconds.clamp(0.01, 86_400.0) } else { 60.0 }
}

/// Powers of ten of improbability that make a score of 1.0: the same wished rate of alarms in a day at each
/// cadence, moved by the sensitivity.
pub(crate) fn decades(cadence_s: f32, config: &JudgeConfig, rules: &Rules) -> f32 {
    (EDGE_DECADES + log10(60.0 / cadence_s) + config.t_shift + rules.t_shift).max(0.5)
}

/// The first sample of a series.
pub(crate) fn begin(hot: &mut Hot, sample: &Sample, bins: &Bins) {
    (hot.level, hot.value, hot.ts_ms) = (sample.value, sample.value, sample.ts_ms);
    hot.born = bins.secs;
    (hot.quarter, hot.hour) = (bins.quarter, bins.hour);
}

/// After a long gap the fast level is no forecast any more: the slow one takes its place.
pub(crate) fn bridge_gap(hot: &mut Hot, ts_ms: i64) {
    let gap_s = ts_ms.saturating_sub(hot.ts_ms) as f32 / 1000.0;
    if gap_s > GAP_CADENCES * cadence(hot.cadence_s) {
        hot.fast = 0.0;
    }
}

/// Ends the warm-up when it is time.
pub(crate) fn warm_up(hot: &mut Hot, config: &JudgeConfig, secs: u32) {
    if !hot.is(flag::WARM) {
        let old = secs.saturating_sub(hot.born) as f32 >= config.warmup_s;
        hot.set(flag::WARM, old && hot.rows >= config.warmup_samples);
    }
}

/// The first change of a series that was constant for so long that the change itself tells something.
pub(crate) fn first_change(hot: &mut Hot, value: f64) {
    hot.set(flag::VARIED, true);
    if hot.is(flag::WARM) && hot.rows >= FIRST_ROWS {
        let magnitude = hot.level.abs().max(value.abs()).min(MAX_ERROR);
        hot.channels = [Channel::after_constant(hot.rows, (CONSTANT_SCALE * magnitude) as f32); 3];
        hot.rows = hot.rows.min(CONSTANT_ROWS);
    }
}

/// Judges `value` by what is known, changing nothing.
pub(crate) fn judge(hot: &Hot, usual: Option<Usual<'_>>, value: f64, ctx: &Context<'_>) -> Row {
    let cadence_s = cadence(hot.cadence_s);
    let parts = usual.map_or(Parts::NONE, |usual| usual.at(ctx.bins, hot.born, cadence_s));
    let Parts { usual, profile, cycle } = parts;
    let slow = (value - hot.level).clamp(-MAX_ERROR, MAX_ERROR) as f32 - usual;
    let errors = [slow - hot.fast, slow, hot.smooth + SMOOTH_GAIN * (slow - hot.smooth)];
    let least = (hot.level.abs() * ROUNDING_FLOOR).min(MAX_ERROR) as f32;
    let factors = [hot.hour_factor, 1.0, 1.0];
    let roots = [hot.channels[FAST].root(), hot.channels[SLOW].root(), hot.channels[SMOOTH].root()];
    let decades = decades(cadence_s, ctx.config, ctx.rules);
    let (mut scales, mut ratios, mut decades_of) = ([0.0; 3], [0.0; 3], [0.0; 3]);
    for i in 0..3 {
        let channel = &hot.channels[i];
        scales[i] = channel.working_scale(factors[i], roots[i]).max(least);
        ratios[i] = Channel::ratio(errors[i].abs(), scales[i]);
        if hot.rows < FIRST_ROWS {
            ratios[i] = ratios[i].min(TAIL);
        }
        decades_of[i] = channel.improbability(ratios[i], decades);
    }
    decades_of[SMOOTH] *= GATE.1 * (ratios[FAST].max(ratios[SLOW]) / GATE.0).min(1.0);
    if !ctx.rules.every_deviation {
        for i in 0..3 {
            if !counts(ctx.rules, errors[i], value) {
                decades_of[i] = decades_of[i].min(CAP * decades * ctx.config.edge.min(1.0));
            }
        }
    }
    let mut led = FAST;
    for i in [SLOW, SMOOTH] {
        if decades_of[i] > decades_of[led] {
            led = i;
        }
    }
    let mut score = (decades_of[led] / decades).min(MAX_SCORE);
    let flat_score = flat::score(hot, value, ctx.rules, cadence_s);
    let illegal = ctx.rules.illegal(value);
    let flat = flat_score >= 1.0;
    if flat {
        score = score.max(flat_score);
    }
    if illegal {
        score = score.max(FACT_SCORE);
    }
    Row {
        value,
        season: usual,
        profile,
        cycle,
        errors,
        roots,
        scales,
        ratios,
        decades,
        score,
        led,
        illegal,
        flat,
        climbs: false,
        climb_led: false,
    }
}

/// Raises the score of a judged row of a series that climbs or falls slowly.
pub(crate) fn know_trend(hot: &Hot, season: Option<&Season>, row: &mut Row, ctx: &Context<'_>) {
    let Some(trend) = season.map(|season| &season.trend).filter(|trend| trend.ratio > TAIL) else { return };
    if !counts(ctx.rules, trend.sum, row.value) {
        return;
    }
    let score = trend.score(decades(cadence(hot.cadence_s).max(trend::STEP_S), ctx.config, ctx.rules));
    row.climbs = score >= 1.0;
    row.climb_led = row.climbs && score > row.score;
    row.score = row.score.max(score);
}

/// Lowers the score of a judged row that belongs to a habit of the series.
pub(crate) fn know_habits(hot: &Hot, habit: Option<&mut Habit>, row: &mut Row, ctx: &Context<'_>) {
    if let Some(habit) = habit.filter(|_| row.score >= habit::ODD && !row.illegal && !row.flat && !row.climb_led) {
        habit.weigh(row, ctx.bins.secs, cadence(hot.cadence_s), ctx.config.edge);
    }
}

/// Whether an error of `value` counts by its direction and size.
fn counts(rules: &Rules, error: f32, value: f64) -> bool {
    let direction = match rules.direction {
        Direction::Up => error > 0.0,
        Direction::Down => error < 0.0,
        Direction::Both => true,
    };
    let expected = (value - f64::from(error)).abs().min(MAX_ERROR) as f32;
    direction && error.abs() >= rules.min_deviation && error.abs() >= rules.min_relative * expected
}

/// Takes a judged row to the alarm, if the series is ready or the row certain.
pub(crate) fn alarm(hot: &mut Hot, usual: Option<Usual<'_>>, row: &Row, ctx: &Context<'_>) -> Turn {
    let config = ctx.config;
    if !hot.ready() && !row.illegal && !hot.alarm.open() {
        return Turn { edge: config.edge, onset: false, closed: false };
    }
    let score = if hot.ready() || row.illegal { row.score } else { 0.0 };
    let turn = hot.alarm.turn(score, config.edge, hold(config.hold, cadence(hot.cadence_s)), row.illegal, row.climbs);
    hot.alarm.pattern = if hot.alarm.open() || score >= 1.0 {
        pattern::name(hot, row, usual, ctx.bins, turn.onset)
    } else {
        watchbell_series::Pattern::None
    };
    turn
}

/// The part of the published score that is kept after a row, where `hold` is kept at one a minute or more.
fn hold(hold: f32, cadence_s: f32) -> f32 {
    if cadence_s <= 60.0 { hold } else { (1.0 - (1.0 - hold) * exp(HOLD_POWER * ln(cadence_s / 60.0))).max(0.0) }
}

/// Learns from a judged row.
pub(crate) fn learn(hot: &mut Hot, seasons: &mut Seasons, row: &Row, ctx: &Context<'_>) {
    let cadence_s = cadence(hot.cadence_s);
    let rates = {
        let mean = 1.0 / (hot.rows as f32 + 1.0);
        let off = row.errors[SLOW] + row.season - hot.mean;
        let rate = mean.max(1.0 / channel::SQUARE_ROWS);
        hot.spread += rate * (off.abs() - hot.spread);
        hot.mean += rate * off;
        Rates::new(hot.rows, SPREAD_FLOOR * hot.spread)
    };
    let slow = &hot.channels[SLOW];
    let limit = if rates.first { f32::INFINITY } else { CLIP * slow.scale };
    let clipped = clip(row.errors[SLOW], limit);
    let left = clip(row.errors[SLOW] + row.season - row.profile, limit);
    // The regime counter of this row decides, so the level is moved after the channels learned.
    for i in 0..3 {
        hot.channels[i].learn(row.errors[i].abs(), row.ratios[i], row.roots[i], &rates);
    }
    let by_time = (cadence_s / SLOW_S).max(1.0 / (hot.rows as f32 + 1.0)).min(1.0);
    let step = if hot.channels[SLOW].adopts() { by_time.max(ADOPT_RATE) * row.errors[SLOW] } else { by_time * clipped };
    hot.level += f64::from(step);
    hot.mean -= step;
    hot.fast += FAST_GAIN * row.errors[FAST] - step;
    hot.smooth = row.errors[SMOOTH];
    hot.errors = [row.errors[FAST], row.errors[SLOW]];
    hot.set(flag::SLOW_LED, row.led != FAST && row.score >= 1.0);
    season::learn(hot, left, row.errors[FAST].abs(), cadence_s, ctx.bins);
    if let Some(at) = row.cycle {
        seasons.learn(hot, at, clip(row.errors[SLOW] - at.rest, limit), ctx.bins);
    }
    flat::learn(hot, row.value);
    hot.value = row.value;
    hot.rows = hot.rows.saturating_add(1);
}

fn clip(x: f32, limit: f32) -> f32 {
    x.max(-limit).min(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_series_hold_their_score_for_fewer_rows_but_longer() {
        assert_eq!((hold(0.965, 1.0), hold(0.965, 60.0)), (0.965, 0.965));
        let hourly = hold(0.965, 3600.0);
        assert!(hourly < 0.96 && 3600.0 / (1.0 - hourly) > 60.0 / (1.0 - 0.965), "{hourly}");
        assert_eq!(hold(0.0, 86_400.0), 0.0);
    }
}
