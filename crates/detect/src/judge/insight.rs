//! Where one series stands, for whoever asks why it does not alert.

use watchbell_series::{Direction, Pattern, Reading, Why};

use super::Judge;
use crate::civil::Bins;
use crate::explain::{Memory, of_missing, return_s, seconds};
use crate::rules::Rules;
use crate::single::hot::{Hot, flag};
use crate::single::season::Season;
use crate::single::seasons::Usual;
use crate::single::{self, Context};

/// Doublings of a distance that is looked for an alarm at.
const DOUBLINGS: u32 = 80;
/// Halvings by which the least alarming value is closed in.
const HALVINGS: u32 = 60;

/// What kept a sample of the series under the edge: one of its rules, or what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cap {
    /// The deviation is in the direction that is not bad.
    Direction,
    /// It is less than the least deviation worth reporting.
    LeastDeviation,
    /// It is less than the least share of the expected value worth reporting.
    LeastRelativeDeviation,
    /// It is an odd event like others that came back at the same distance.
    Habit,
}

/// What is left of the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warming {
    /// Seconds since the first sample that are missing.
    pub seconds_left: u32,
    /// Samples that are missing.
    pub samples_left: u32,
}

/// Where a series stands at its last sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Insight {
    /// What its consumers see.
    pub reading: Reading,
    /// Score of the last sample itself, never the held one; NaN while not ready.
    pub score: f32,
    /// The edge that holds for the next sample.
    pub edge: f32,
    /// As with a verdict.
    pub why: Why,
    /// The rule or the habit that kept the last sample under the edge although it left the expected band.
    pub cap: Option<Cap>,
    /// The next sample would raise an alarm from this value up; infinite where none does.
    pub alarms_from: f64,
    /// The next sample would raise an alarm from this value down; minus infinity where none does.
    pub alarms_to: f64,
    /// What is left of the warm-up; `None` after it.
    pub warming: Option<Warming>,
    /// Length of a season other than the day and the week that is known and counts, seconds.
    pub season_s: Option<f32>,
    /// Samples in a row that brought the last value.
    pub same: u32,
    /// Samples seen.
    pub samples: u32,
}

impl Judge {
    /// Where the series at `slot` stands as of `now_ms`; `None` for an empty slot. Costs some microseconds:
    /// the alarming values are found by judging what might come, which changes nothing.
    #[must_use]
    pub fn insight(&self, slot: u32, now_ms: i64) -> Option<Insight> {
        let hot = self.hot.get(slot).filter(|hot| hot.is(flag::ADMITTED))?;
        let reading = self.reading(slot, now_ms);
        let rules = self.rules.get(hot.rules);
        let ready = reading.not_ready.is_none();
        let (mut alarms_from, mut alarms_to) = (f64::INFINITY, f64::NEG_INFINITY);
        if ready {
            (alarms_from, alarms_to) = self.alarming(hot, rules, &reading);
        }
        Some(Insight {
            reading,
            score: if ready { hot.trace.score } else { f32::NAN },
            edge: self.config.edge * (1.0 + hot.alarm.added()),
            why: self.why(hot, rules),
            cap: if ready { cap(hot, self.seasons.of(hot), rules, &reading) } else { None },
            alarms_from,
            alarms_to,
            warming: (!hot.is(flag::WARM)).then(|| self.warming(hot)),
            season_s: self.seasons.usual(hot).and_then(|usual| usual.cycle?.known()?.counting()),
            same: hot.same,
            samples: hot.rows,
        })
    }

    fn why(&self, hot: &Hot, rules: &Rules) -> Why {
        if hot.is(flag::MISSING) {
            return of_missing(hot, &self.memories);
        }
        let memory = self.memories.of(&hot.trace);
        let cadence_s = single::cadence(hot.cadence_s);
        let chance = hot.ready() && !matches!(hot.alarm.pattern, Pattern::Illegal | Pattern::Flatline);
        let decades = single::decades(cadence_s, &self.config, rules);
        Why {
            return_s: if chance { return_s(hot.trace.score, decades, cadence_s) } else { f32::NAN },
            since_ms: memory.filter(|_| hot.alarm.open()).map(Memory::since_ms),
            last_seen_ms: memory.and_then(|memory| memory.last_seen_ms(hot.alarm.pattern)),
            lead: hot.alarm.lead,
            raised: hot.alarm.added(),
        }
    }

    fn warming(&self, hot: &Hot) -> Warming {
        let age_s = if hot.rows == 0 { 0 } else { seconds(hot.ts_ms).saturating_sub(hot.born) };
        Warming {
            seconds_left: (self.config.warmup_s - age_s as f32).max(0.0) as u32,
            samples_left: self.config.warmup_samples.saturating_sub(hot.rows),
        }
    }

    /// The values from which the next sample would raise an alarm, upwards and downwards.
    fn alarming(&self, hot: &Hot, rules: &Rules, reading: &Reading) -> (f64, f64) {
        // A value that stands still for long is another question than how far it may go.
        let rules = Rules { flatline: false, ..*rules };
        let cadence_ms = (single::cadence(hot.cadence_s) * 1000.0) as i64;
        let bins = Bins::at(&self.time, hot.ts_ms.saturating_add(cadence_ms));
        let ctx = Context { config: &self.config, rules: &rules, bins: &bins };
        let usual = self.seasons.usual(hot);
        let edge = self.config.edge * (1.0 + hot.alarm.added());
        let step = (reading.upper - reading.lower).abs().max(reading.expected.abs() * 1e-9).max(1e-9);
        let find = |sign: f64| least(reading.expected, sign * step, |value| alarms(hot, usual, value, &ctx, edge));
        let (from, to) = (find(1.0).unwrap_or(f64::INFINITY), find(-1.0).unwrap_or(f64::NEG_INFINITY));
        // Beyond its legal range any value alarms, so the end of the range is the edge itself.
        (from.min(rules.legal_max), to.max(rules.legal_min))
    }
}

/// Whether `value` as the next sample would be over the edge.
fn alarms(hot: &Hot, usual: Option<Usual<'_>>, value: f64, ctx: &Context<'_>, edge: f32) -> bool {
    let mut row = single::judge(hot, usual, value, ctx);
    // A copy: what might come teaches nothing.
    let mut habit = usual.map(|usual| usual.season.habit);
    single::know_habits(hot, habit.as_mut(), &mut row, ctx);
    row.illegal || row.score >= edge
}

/// The value nearest to `from` in the direction of `step` that `alarms`.
fn least(from: f64, step: f64, alarms: impl Fn(f64) -> bool) -> Option<f64> {
    if !from.is_finite() || !step.is_finite() {
        return None;
    }
    let (mut quiet, mut reach) = (from, step / 1024.0);
    let mut loud = None;
    for _ in 0..DOUBLINGS {
        let value = from + reach;
        if !value.is_finite() {
            return None;
        }
        if alarms(value) {
            loud = Some(value);
            break;
        }
        (quiet, reach) = (value, reach * 2.0);
    }
    let mut loud = loud?;
    for _ in 0..HALVINGS {
        let middle = quiet + (loud - quiet) / 2.0;
        if alarms(middle) { loud = middle } else { quiet = middle }
    }
    Some(loud)
}

/// The rule or the habit that holds the last sample down. The expected band knows nothing of directions and least
/// deviations, so a sample outside of it with a score under 1.0 is one that they, or a habit, hold down.
fn cap(hot: &Hot, season: Option<&Season>, rules: &Rules, reading: &Reading) -> Option<Cap> {
    let Reading { value, expected, lower, upper, .. } = *reading;
    if hot.trace.score >= 1.0 || (lower..=upper).contains(&value) {
        return None;
    }
    let error = value - expected;
    match rules.direction {
        Direction::Up if error < 0.0 => Some(Cap::Direction),
        Direction::Down if error > 0.0 => Some(Cap::Direction),
        _ if error.abs() < f64::from(rules.min_deviation) => Some(Cap::LeastDeviation),
        _ if error.abs() < f64::from(rules.min_relative) * expected.abs() => Some(Cap::LeastRelativeDeviation),
        _ => season.filter(|season| season.habit.quiets(seconds(hot.ts_ms))).map(|_| Cap::Habit),
    }
}
