//! What a new series takes over from those of its group, so that it need not begin from nothing.
//!
//! The level is a series' own: the same service on another machine may be twice as busy. How much it varies,
//! how rare its tails are, how it goes through the day and the week, and which odd events come back, are much
//! the same in a group, and are taken from a typical member. From there the series learns by itself, as one would that is a few hundred
//! samples old: quickly at first.

use super::{Judge, recount};
use crate::single::alarm::Alarm;
use crate::single::cycle::{Cycle, Known};
use crate::single::hot::{Hot, flag};
use crate::single::season::Season;
use crate::single::seasons::Usual;
use crate::single::trend::Trend;
use crate::single::{self, SLOW};

/// How old in samples a series counts as that took over its group's state; it has at most this many.
pub(crate) const SEED_ROWS: u32 = 240;
/// How long the profiles of the day and the week it took over count as learned, at most, seconds.
const SEED_AGE_S: u32 = 7 * 86_400;
/// Samples of its own a series must have: they say where its level is.
const LEAST_ROWS: u32 = 3;
/// A member with fewer samples than this has nothing to pass on.
const LEAST_DONOR_ROWS: u32 = 1000;
/// How long a series is said to go by what it took over, seconds.
const INHERITED_S: f32 = 86_400.0;

/// What became of an attempt to let a series take over its group's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seeded {
    /// It did.
    Done,
    /// It has too few samples yet.
    Early,
    /// It knows enough by itself, is not judged, or nobody had anything to pass on.
    No,
}

/// The learned state of a member of a group, to be passed on; opaque.
#[derive(Debug, Clone)]
pub struct Donor {
    hot: Hot,
    season: Option<(Season, Option<Cycle>)>,
}

impl Judge {
    /// What the series at `slot` could pass on; nothing while it knows too little, or is in an alarm.
    #[must_use]
    pub fn donor(&self, slot: u32) -> Option<Donor> {
        let hot = self.hot.get(slot)?;
        let fit = hot.ready() && hot.rows >= LEAST_DONOR_ROWS && !hot.alarm.open() && !hot.is(flag::INHERITED);
        fit.then(|| Donor { hot: *hot, season: self.seasons.copy(hot) })
    }

    /// Lets the series at `slot` take over what a typical one of `donors` learned; see the module. The typical
    /// one is that with the median scale.
    pub fn seed(&mut self, slot: u32, donors: &[Donor]) -> Seeded {
        let Some(hot) = self.hot.get_mut(slot).filter(|hot| hot.is(flag::ADMITTED)) else { return Seeded::No };
        if hot.rows < LEAST_ROWS {
            return Seeded::Early;
        }
        if hot.rows > SEED_ROWS || hot.is(flag::INHERITED) || hot.alarm.open() {
            return Seeded::No;
        }
        let mut by_scale: Vec<&Donor> = donors.iter().collect();
        by_scale.sort_by(|a, b| a.hot.channels[SLOW].scale.total_cmp(&b.hot.channels[SLOW].scale));
        let Some(typical) = by_scale.get(by_scale.len() / 2) else { return Seeded::No };
        let now = hot.ts_ms.div_euclid(1000).clamp(0, i64::from(u32::MAX)) as u32;
        self.bins.advance(&self.time, hot.ts_ms);
        // A search is about its own past, and a length that is not of the clock begins anywhere.
        let shared = |cycle: &Cycle| cycle.known().is_some_and(Known::by_the_clock);
        let season = typical.season.map(|(season, cycle)| (season, cycle.filter(shared)));
        let usual = season.as_ref().map_or(0.0, |(season, cycle)| {
            let usual = Usual { season, cycle: cycle.as_ref() };
            usual.at(&self.bins, typical.hot.born, single::cadence(hot.cadence_s)).usual
        });
        // What it is off by at this time of the day is not its level.
        let recent = hot.level + f64::from(hot.fast);
        *hot = Hot {
            level: recent - f64::from(usual),
            fast: 0.0,
            smooth: 0.0,
            mean: typical.hot.mean,
            spread: typical.hot.spread,
            errors: [0.0; 2],
            channels: typical.hot.channels,
            alarm: Alarm::NEW,
            sum: [0.0; 2],
            visit: [0; 2],
            hour_factor: typical.hot.hour_factor,
            rows: SEED_ROWS,
            born: now.saturating_sub(now.saturating_sub(typical.hot.born).min(SEED_AGE_S)),
            longest: typical.hot.longest,
            flags: hot.flags | flag::VARIED | flag::WARM | flag::INHERITED,
            quarter: self.bins.quarter,
            hour: self.bins.hour,
            // What is not named here is its own, or of no use to another.
            ..*hot
        };
        self.seasons.take(hot);
        if let Some((season, cycle)) = season {
            // Where it climbs from is its own.
            self.seasons.give(hot, Season { trend: Trend::NEW, ..season }, cycle);
        }
        recount(&mut self.entities, hot, &self.config);
        Seeded::Done
    }
}

impl Hot {
    /// Whether the series goes by what it took over from its group: for a day.
    pub(crate) fn inherits(&self) -> bool {
        self.is(flag::INHERITED) && self.rows.saturating_sub(SEED_ROWS) as f32 * self.cadence_s < INHERITED_S
    }
}
