//! The seasons of all series that have one: the day and the week, and a third one that was found.

use super::channel::FIRST_ROWS;
use super::cycle::{At, Cycle};
use super::hot::{Hot, NO_SEASON, flag};
use super::season::{Season, turn};
use super::trend::Trend;
use super::{SLOW, SMOOTH, cadence};
use crate::civil::Bins;
use crate::paged::{NONE, Pool};

/// The seasons of a judge.
#[derive(Debug)]
pub(crate) struct Seasons {
    all: Pool<Season>,
    cycles: Pool<Cycle>,
}

/// What is usual of one series at any time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usual<'a> {
    /// The day and the week.
    pub(crate) season: &'a Season,
    /// The third season, or the search for it.
    pub(crate) cycle: Option<&'a Cycle>,
}

/// What is usual at one time, relative to the slow level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Parts {
    /// All, as far as it counts.
    pub(crate) usual: f32,
    /// The same, if the day and the week counted in full.
    pub(crate) profile: f32,
    /// The third season.
    pub(crate) cycle: Option<At>,
}

impl Parts {
    /// Nothing is known.
    pub(crate) const NONE: Self = Self { usual: 0.0, profile: 0.0, cycle: None };
}

impl Usual<'_> {
    /// What is usual at `bins` of a series `born` then.
    pub(crate) fn at(&self, bins: &Bins, born: u32, cadence_s: f32) -> Parts {
        let profile = self.season.at(bins, cadence_s);
        let usual = profile * self.season.share(bins, born);
        let Some(known) = self.cycle.and_then(Cycle::known) else { return Parts { usual, profile, cycle: None } };
        let (at, counts) = known.usual(bins, cadence_s);
        Parts { usual: usual + counts, profile: profile + counts, cycle: Some(at) }
    }
}

impl Seasons {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { all: Pool::new(Season::NEW), cycles: Pool::new(Cycle::BLANK) }
    }

    /// The season of a series.
    pub(crate) fn of(&self, hot: &Hot) -> Option<&Season> {
        self.all.get(hot.season)
    }

    /// The season of a series, to be changed.
    pub(crate) fn of_mut(&mut self, hot: &Hot) -> Option<&mut Season> {
        self.all.get_mut(hot.season)
    }

    /// What is usual of a series.
    pub(crate) fn usual(&self, hot: &Hot) -> Option<Usual<'_>> {
        self.of(hot).map(|season| Usual { season, cycle: self.cycles.get(season.trend.cycle) })
    }

    /// The third season of a series, to be changed.
    pub(crate) fn cycle_mut(&mut self, hot: &Hot) -> Option<&mut Cycle> {
        let at = self.of(hot)?.trend.cycle;
        self.cycles.get_mut(at)
    }

    /// A copy of all of a series.
    pub(crate) fn copy(&self, hot: &Hot) -> Option<(Season, Option<Cycle>)> {
        self.of(hot).map(|season| (*season, self.cycles.get(season.trend.cycle).copied()))
    }

    /// Gives a series that has none a season.
    pub(crate) fn give(&mut self, hot: &mut Hot, season: Season, cycle: Option<Cycle>) {
        let cycle = cycle.map_or(NONE, |cycle| self.cycles.put(cycle));
        hot.season = self.all.put(Season { trend: Trend { cycle, ..season.trend }, ..season });
    }

    /// Takes the season of a series back.
    pub(crate) fn take(&mut self, hot: &mut Hot) {
        if let Some(season) = self.all.get(hot.season) {
            self.cycles.free(season.trend.cycle);
            self.all.free(hot.season);
            hot.season = NO_SEASON;
        }
    }

    /// Ends the visits to bins that `bins` are no longer in. The first one that ends gives a series that
    /// varies its season. To be called before the row is judged: only earlier rows are written.
    pub(crate) fn turn(&mut self, hot: &mut Hot, bins: &Bins) {
        if hot.quarter == bins.quarter && hot.hour == bins.hour {
            return;
        }
        if hot.season == NO_SEASON && hot.is(flag::VARIED) && hot.rows >= FIRST_ROWS {
            let step = (0.1 * hot.channels[SLOW].scale).max(Season::NEW.step);
            self.give(hot, Season { step, ..Season::NEW }, None);
        }
        let cadence_s = cadence(hot.cadence_s);
        let season = self.all.get_mut(hot.season);
        let Some(mean) = turn(hot, season, bins, cadence_s) else { return };
        let Some(season) = self.all.get_mut(hot.season) else { return };
        if season.trend.cycle == NONE {
            if season.leaves_something(hot.channels[SLOW].scale, cadence_s) {
                season.trend.cycle = self.cycles.put(Cycle::search(hot.level, bins.secs, cadence_s));
            }
        } else if let Some(cycle) = self.cycles.get_mut(season.trend.cycle) {
            let last_s = crate::explain::seconds(hot.ts_ms);
            let ended = cycle.note(mean, hot.level, last_s, bins, cadence_s);
            if ended && !season.leaves_something(hot.channels[SLOW].scale, cadence_s) {
                self.cycles.free(season.trend.cycle);
                season.trend.cycle = NONE;
            }
        }
    }

    /// Teaches the third season of a series what it left of a row. Where it begins to count, the errors that are
    /// usual become smaller at once: learning that by rows takes many periods.
    pub(crate) fn learn(&mut self, hot: &mut Hot, at: At, left: f32, bins: &Bins) {
        let cadence_s = cadence(hot.cadence_s);
        let Some(cycle) = self.cycle_mut(hot) else { return };
        let Some(relief) = cycle.learn(left, hot.level, at.place, bins, cadence_s) else { return };
        for i in [SLOW, SMOOTH] {
            relief.apply(&mut hot.channels[i]);
        }
    }
}
