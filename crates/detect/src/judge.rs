//! The judge of one shard: the learned state of its series, and verdicts on their samples.
//!
//! Slots are dense numbers that `normalize` gives to series. The judge owns all their state, needs no
//! locks, and does the same constant work for every sample: no allocation, no dispatch, no scan. A verdict
//! leaves only where someone may want it: near or over the edge, while an alarm is open, or where asked.

use watchbell_series::{Sample, SeriesSpec, Verdict};

use crate::civil::{Bins, CivilTime};
use crate::entity::{Entities, EntityCount};
use crate::explain::{self, Memories};
use crate::paged::Paged;
use crate::rules::RuleBook;
use crate::single::band::{self, Band};
use crate::single::hot::{Hot, flag};
use crate::single::seasons::Seasons;
use crate::single::{self, Context};

mod gather;
mod insight;
mod overdue;
mod quiet;
mod reading;
mod seed;
mod state;

pub use gather::SlotTick;
pub use insight::{Cap, Insight, Warming};
pub use quiet::QuietSpan;
pub use seed::{Donor, Seeded};

/// The least edge: under it everything is an anomaly.
const MIN_EDGE: f32 = 0.1;
/// The most that a score is held: above it a spike stays for weeks.
const MAX_HOLD: f32 = 0.999;

/// What is the same for all series of a judge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JudgeConfig {
    /// A series has no score before it is this old, seconds,
    pub warmup_s: f32,
    /// and before it had this many samples.
    pub warmup_samples: u32,
    /// The score from which on an alarm opens on a series that had none lately; at least 0.1.
    pub edge: f32,
    /// Verdicts leave from this score on.
    pub report_edge: f32,
    /// Added to the powers of ten that make 1.0: the one knob of sensitivity. 0.3 halves false alarms.
    pub t_shift: f32,
    /// The published score is at least this part of the one before, 0..=0.999, so that a spike stays visible
    /// for a while. Of series slower than a sample a minute it is somewhat less.
    pub hold: f32,
    /// A series counts as settled once it was watched for so long, seconds: see [`EntityCount::is_settled`].
    pub settle_s: f32,
}

impl Default for JudgeConfig {
    fn default() -> Self {
        Self {
            warmup_s: 900.0,
            warmup_samples: 20,
            edge: 1.0,
            report_edge: 0.8,
            t_shift: 0.0,
            hold: 0.965,
            settle_s: 86_400.0,
        }
    }
}

impl JudgeConfig {
    fn within_bounds(self) -> Self {
        Self { edge: self.edge.max(MIN_EDGE), hold: self.hold.clamp(0.0, MAX_HOLD), ..self }
    }
}

/// Judges the series of one shard.
#[derive(Debug)]
pub struct Judge {
    config: JudgeConfig,
    time: CivilTime,
    bins: Bins,
    hot: Paged<Hot>,
    seasons: Seasons,
    memories: Memories,
    deadlines: Paged<u32>,
    rules: RuleBook,
    entities: Entities,
    quiet: quiet::Quiet,
}

impl Judge {
    /// A judge of no series. Profiles of the day and the week go by `time`.
    #[must_use]
    pub fn new(config: JudgeConfig, time: CivilTime) -> Self {
        let bins = Bins::at(&time, 0);
        Self {
            config: config.within_bounds(),
            time,
            bins,
            hot: Paged::new(Hot::BLANK),
            seasons: Seasons::new(),
            memories: Memories::new(),
            deadlines: Paged::new(overdue::NEVER),
            rules: RuleBook::default(),
            entities: Entities::default(),
            quiet: quiet::Quiet::default(),
        }
    }

    /// Judges by other constants from now on; what was learned stays.
    pub fn set_config(&mut self, config: JudgeConfig) {
        self.config = config.within_bounds();
    }

    /// Takes a series in at `slot`, which is new or was released, with nothing learned. Slots are dense:
    /// memory is held for all up to the largest.
    pub fn admit(&mut self, slot: u32, spec: &SeriesSpec, entity: u32) {
        self.release(slot);
        self.hot.reach(slot);
        self.deadlines.reach(slot);
        let rules = self.rules.number(spec);
        if let Some(hot) = self.hot.get_mut(slot) {
            *hot = Hot::fresh(entity, rules, 0);
        }
    }

    /// Changes what rules say of the series at `slot`; what was learned stays.
    pub fn set_spec(&mut self, slot: u32, spec: &SeriesSpec) {
        let rules = self.rules.number(spec);
        if let Some(hot) = self.hot.get_mut(slot) {
            hot.rules = rules;
        }
    }

    /// Counts the series at `slot` for another entity from now on; what was learned stays.
    pub fn set_entity(&mut self, slot: u32, entity: u32) {
        let Some(hot) = self.hot.get_mut(slot).filter(|hot| hot.is(flag::ADMITTED)) else { return };
        let (counted, none) = (hot.counted(), crate::entity::Standing::default());
        self.entities.change(hot.entity, counted, none);
        self.entities.change(entity, none, counted);
        hot.entity = entity;
    }

    /// Forgets the series at `slot` and all about it.
    pub fn release(&mut self, slot: u32) {
        self.reset(slot);
        if let Some(hot) = self.hot.get_mut(slot) {
            *hot = Hot::BLANK;
        }
    }

    /// Forgets what was learned at `slot`; its rules, its entity and whether it is tracked stay.
    pub fn reset(&mut self, slot: u32) {
        let Some(hot) = self.hot.get_mut(slot).filter(|hot| hot.is(flag::ADMITTED)) else { return };
        self.entities.change(hot.entity, hot.counted(), crate::entity::Standing::default());
        self.seasons.take(hot);
        self.memories.take(&mut hot.trace);
        self.quiet.forget(slot);
        *hot = Hot::fresh(hot.entity, hot.rules, hot.flags & flag::TRACKED);
        self.set_deadline(slot, overdue::NEVER);
    }

    /// Judges samples in the order given and appends the verdicts worth passing on. Samples of a series
    /// must come in order of time. Values that are not finite and slots that were not admitted are skipped.
    pub fn judge(&mut self, samples: &[Sample], out: &mut Vec<Verdict>) {
        for sample in samples {
            if let Some(verdict) = self.sample::<true>(sample) {
                out.push(verdict);
            }
        }
    }

    /// Learns from samples as [`Judge::judge`] does, but gives no verdicts and leaves no alarm open. A series
    /// whose last sample came this way goes stale in time, but is never reported missing.
    pub fn learn(&mut self, samples: &[Sample]) {
        for sample in samples {
            self.sample::<false>(sample);
        }
        for sample in samples {
            if let Some(hot) = self.hot.get_mut(sample.slot).filter(|hot| hot.alarm.open()) {
                hot.alarm.close();
                recount(&mut self.entities, hot, &self.config);
            }
        }
    }

    /// Marks the series at `slot` as ended at `ts_ms` (a stale marker came). Its alarm closes without a
    /// verdict, it is never reported missing, and its reading says stale until another sample comes.
    /// A marker older than the last sample says nothing any more.
    pub fn end(&mut self, slot: u32, ts_ms: i64) {
        let hot = self.hot.get_mut(slot).filter(|hot| hot.is(flag::ADMITTED) && ts_ms >= hot.ts_ms);
        let Some(hot) = hot else { return };
        hot.alarm.close();
        hot.set(flag::MISSING, false);
        hot.set(flag::ENDED, true);
        recount(&mut self.entities, hot, &self.config);
        self.set_deadline(slot, overdue::NEVER);
    }

    /// Whether each sample of the series at `slot` gets a verdict whatever its score.
    pub fn track(&mut self, slot: u32, on: bool) {
        if let Some(hot) = self.hot.get_mut(slot).filter(|hot| hot.is(flag::ADMITTED)) {
            hot.set(flag::TRACKED, on);
        }
    }

    /// The counts of every entity that has judged series here, in order of entities.
    pub fn entities(&self) -> impl Iterator<Item = (u32, EntityCount)> {
        self.entities.iter()
    }

    fn sample<const REPORT: bool>(&mut self, sample: &Sample) -> Option<Verdict> {
        let hot = self.hot.get_mut(sample.slot)?;
        if !sample.value.is_finite() || !hot.is(flag::ADMITTED) {
            return None;
        }
        self.bins.advance(&self.time, sample.ts_ms);
        hot.cadence_s = if sample.cadence_s.is_finite() { sample.cadence_s.max(0.0) } else { 0.0 };
        let rules = self.rules.get(hot.rules);
        if let Some(place) = self.deadlines.get_mut(sample.slot) {
            *place = overdue::deadline(self.bins.secs, hot.cadence_s);
        }
        let returned = hot.is(flag::MISSING);
        hot.set(flag::ENDED | flag::MISSING, false);
        hot.set(flag::LIVE, REPORT);
        let ctx = Context { config: &self.config, rules, bins: &self.bins };
        let mut rests = false;
        if self.quiet.has(sample.slot) {
            match self.quiet.stand(sample.slot, hot.ts_ms, sample.ts_ms) {
                quiet::Stand::Inside => rests = true,
                quiet::Stand::Leaves => quiet::leave(hot, &mut self.memories),
                quiet::Stand::Past => self.quiet.forget(sample.slot),
                quiet::Stand::Outside => {}
            }
        }
        let parts = (&mut self.seasons, &mut self.memories);
        let verdict = if rests {
            quiet::aside(hot, parts, sample, &ctx, returned, REPORT)
        } else {
            step(hot, parts, sample, &ctx, returned, REPORT)
        };
        hot.ts_ms = sample.ts_ms;
        recount(&mut self.entities, hot, &self.config);
        verdict
    }
}

/// One sample of one series: judged, reported where worth it, learned from.
fn step(
    hot: &mut Hot,
    (seasons, memories): (&mut Seasons, &mut Memories),
    sample: &Sample,
    ctx: &Context<'_>,
    returned: bool,
    report: bool,
) -> Option<Verdict> {
    let value = sample.value;
    if hot.rows == 0 {
        single::begin(hot, sample, ctx.bins);
    }
    single::warm_up(hot, ctx.config, ctx.bins.secs);
    if !hot.is(flag::VARIED) {
        if value != hot.value {
            single::first_change(hot, value);
        } else if hot.rows > 0 && !hot.alarm.open() && !hot.is(flag::TRACKED) && !returned && !ctx.rules.illegal(value)
        {
            hot.rows = hot.rows.saturating_add(1);
            hot.same = hot.rows;
            return None;
        }
    }
    single::bridge_gap(hot, sample.ts_ms);
    seasons.turn(hot, ctx.bins);
    let mut row = single::judge(hot, seasons.usual(hot), value, ctx);
    single::know_trend(hot, seasons.of(hot), &mut row, ctx);
    single::know_habits(hot, seasons.of_mut(hot).map(|season| &mut season.habit), &mut row, ctx);
    let was_open = hot.alarm.open();
    let turn = single::alarm(hot, seasons.usual(hot), &row, ctx);
    let known = hot.ready() || row.illegal;
    hot.trace.note(&row, known);
    hot.alarm.lead = explain::lead(&row);
    if hot.alarm.open() || returned {
        let missed_s = returned.then(|| explain::seconds(hot.ts_ms));
        memories.note(hot, ctx.bins.secs, turn.onset && !was_open, missed_s);
    }
    // What history says is nothing that happened since the last tick.
    if report && known && row.score > hot.peak {
        hot.peak = row.score;
    }
    if report && turn.onset {
        hot.set(flag::RANG, true);
    }
    let worth = (known && row.score >= ctx.config.report_edge)
        || turn.onset
        || turn.closed
        || returned
        || hot.alarm.open()
        || hot.is(flag::TRACKED);
    let verdict = (report && worth).then(|| {
        let Band { expected, lower, upper } = band::of_row(hot, &row, ctx.rules);
        Verdict {
            slot: sample.slot,
            ts_ms: sample.ts_ms,
            value,
            score: if known { row.score } else { f32::NAN },
            edge: turn.edge,
            onset: turn.onset,
            alarm: hot.alarm.open(),
            pattern: hot.alarm.pattern,
            expected,
            lower,
            upper,
            why: explain::of_row(hot, &row, &turn, memories, ctx),
        }
    });
    single::learn(hot, seasons, &row, ctx);
    verdict
}

/// Brings the counts of the series' entity up to date.
fn recount(entities: &mut Entities, hot: &mut Hot, config: &JudgeConfig) {
    let (from, to) = (hot.counted(), hot.standing(config.settle_s));
    if from != to {
        entities.change(hot.entity, from, to);
        hot.count_as(to);
    }
}
