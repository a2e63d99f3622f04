//! Joint detection of one host: all its series together, tick by tick.
//!
//! One [`JointHost`] holds what is learned of one host. It is given one vector a tick and answers with one
//! score, on the scale of single series: 1.0 is the edge. Methods look at the host, each compared with the
//! host's own past; which ones is a matter of [`JointConfig::methods`]:
//!
//! | method | asks |
//! | --- | --- |
//! | [`change`] | do the channels move together in an unusual way right now? |
//! | [`singles`] | how many channels are odd by their own measure, and how odd? |
//! | [`level`] | is the host somewhere it never is? |
//! | [`correlation`] | do channels that go together no longer do so? |
//! | [`pca`] | does what they usually share no longer rebuild them? |
//! | [`kmeans`] | is it far from all places where it usually is? |
//! | [`forest`] | do few random cuts set it apart? |
//!
//! The first two count by the geometric mean of their powers of ten: a shared move that no channel finds odd
//! and loud channels that share nothing are both seen less than one in the other's company. That mean and the
//! last four, where they are asked for, decide by their weighted mean ([`parts`]). The level adds a little to it
//! and makes long incidents rank high. The host raises its own edge with each alarm.
//!
//! No history of the host is kept but streaming statistics and, for the last four, a [`reservoir`]; the costly part, [`JointHost::fit`], is
//! called off the hot path when [`JointHost::fit_due`] says so. Channels that are missing lower the
//! confidence and are left out of the score, never taken as zero. The score of a tick depends on that tick
//! and earlier ones only.

pub(crate) mod alarm;
pub(crate) mod change;
pub(crate) mod correlation;
pub(crate) mod forest;
mod info;
pub(crate) mod inputs;
pub(crate) mod kmeans;
pub(crate) mod level;
pub(crate) mod matrix;
mod method;
pub(crate) mod moments;
pub(crate) mod named;
mod parts;
pub(crate) mod pca;
mod persist;
pub(crate) mod reservoir;
pub(crate) mod singles;
pub(crate) mod spread;
pub(crate) mod state;
pub(crate) mod tail;

use crate::entity::{EntityCount, host_score};
use crate::math::{ln, log10};
use alarm::HostAlarm;
use change::Change;
use inputs::Inputs;
use level::Level;
use named::Named;
use parts::Recent;
use tail::Tail;

pub(crate) use info::INFO;
pub use method::{Method, Methods};
pub use parts::Parts;
pub use state::JointStateError;

/// Powers of ten that the heads are measured in, at one tick a minute; one more for each ten times as many.
pub(crate) const UNIT_DECADES: f32 = 4.45;
/// Part of [`UNIT_DECADES`] at which the edge lies where two heads agree.
pub(crate) const EDGE: f32 = 0.53;
/// Part of [`UNIT_DECADES`] at which the edge lies for one head alone, while no other is known.
pub(crate) const EDGE_ALONE: f32 = 0.8;
/// How many times as far out as usual the level is at 1.0.
pub(crate) const LEVEL_EDGE: f32 = 8.0;
/// The published score is at least this part of the one before.
pub(crate) const HOLD: f32 = 0.95;
/// The same of the level in it.
pub(crate) const HOLD_LEVEL: f32 = 0.98;
/// Least scale of the sum of single verdicts, powers of ten.
const SUM_FLOOR: f32 = 0.3;
/// Ages at which a host is fitted, in days; after the last one daily.
const FIT_DAYS: [f32; 4] = [0.125, 0.375, 0.625, 1.0];
/// Beyond this age only the time since the last fit counts: without a bound a tick would at last be lost in rounding.
const MOST_AGE_S: f32 = 4e6;
/// Channels that the change head and the level head model; later ones count as single verdicts only.
pub const MAX_MODELLED: usize = 40;
/// Channels of a host that are looked at.
pub const MAX_CHANNELS: usize = 4096;
/// Squashing begins at about this many scales.
const SQUASH: f32 = 4.0;
/// No squashed number is larger.
pub(crate) const MAX_Z: f32 = 200.0;
/// A channel's unit changes at most this much in a fit.
const MAX_RESCALING: f32 = 1e3;
const DAY_S: f32 = 86_400.0;

/// One channel (series) of a host at a tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChannelTick {
    /// Last value, or mean of the tick; NaN where there is none.
    pub value: f32,
    /// Highest published score of the single detector in the tick, 1.0 = its edge; NaN while not ready.
    pub score: f32,
    /// Whether it raised an alarm of its own in the tick.
    pub onset: bool,
}

impl ChannelTick {
    /// A channel of which nothing is known at this tick.
    pub const MISSING: Self = Self { value: f32::NAN, score: f32::NAN, onset: false };
}

/// What is the same for all hosts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JointConfig {
    /// A host has no score before it is this old, seconds of ticks seen.
    pub warmup_s: f32,
    /// Added to the powers of ten that make 1.0: higher is duller. 0.3 about halves false alarms.
    pub t_shift: f32,
    /// What hosts are judged by.
    pub methods: Methods,
}

impl Default for JointConfig {
    fn default() -> Self {
        Self { warmup_s: DAY_S, t_shift: 0.0, methods: Methods::default() }
    }
}

/// What is said of a host at a tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostVerdict {
    /// Time of the tick, unix milliseconds.
    pub ts_ms: i64,
    /// 1.0 = edge of a host that rang not lately; held after a spike, raised by an unusual level. NaN while
    /// not ready.
    pub score: f32,
    /// An alarm was raised at this tick.
    pub onset: bool,
    /// An alarm is open.
    pub alarm: bool,
    /// Share of the host's channels that were seen, 0..=1.
    pub confidence: f32,
    /// What the score is made of.
    pub parts: Parts,
}

/// One host: its model and state.
#[derive(Debug, Clone, PartialEq)]
pub struct JointHost {
    config: JointConfig,
    /// Channels ever seen, and those of them that are modelled.
    channels: usize,
    modelled: usize,
    age_s: f32,
    /// Age at the last fit, 0 before.
    fitted_s: f32,
    ts_ms: i64,
    inputs: Inputs,
    change: Option<Change>,
    level: Option<Level>,
    named: Option<Named>,
    change_tail: Tail,
    singles_tail: Tail,
    alarm: HostAlarm,
    /// What decides, the pair of heads, the single verdicts, and the level, held.
    held: [f32; 4],
    /// Parts of the last tick, what they were of late, and what each channel added to the single verdicts.
    parts: Parts,
    recent: Recent,
    additions: Vec<f32>,
}

impl JointHost {
    /// A host of which nothing is known.
    #[must_use]
    pub fn new(config: JointConfig) -> Self {
        Self {
            config,
            channels: 0,
            modelled: 0,
            age_s: 0.0,
            fitted_s: 0.0,
            ts_ms: i64::MIN,
            inputs: Inputs::default(),
            change: config.methods.has(Method::Change).then(Change::new),
            level: config.methods.has(Method::Level).then(Level::new),
            named: Named::new(config.methods),
            change_tail: Tail::NEW,
            singles_tail: Tail::NEW,
            alarm: HostAlarm::NEW,
            held: [0.0; 4],
            parts: Parts::UNKNOWN,
            recent: Recent::NEW,
            additions: Vec::new(),
        }
    }

    /// Judges the tick at `ts_ms`, then learns from it. Ticks are `cadence_s` seconds apart; measured was
    /// 60 and more, so put faster data on a grid of a minute. One that is not after the last one, or in
    /// which no channel has anything, gets no score and changes nothing. Channels keep their place; new ones
    /// are appended, up to [`MAX_CHANNELS`].
    pub fn tick(&mut self, ts_ms: i64, cadence_s: f32, channels: &[ChannelTick]) -> HostVerdict {
        let channels = &channels[..channels.len().min(MAX_CHANNELS)];
        let cadence_s = if cadence_s.is_finite() { cadence_s.clamp(1.0, DAY_S) } else { 60.0 };
        self.grow(channels.len());
        let seen = channels.iter().filter(|c| c.value.is_finite()).count();
        if ts_ms <= self.ts_ms || (seen == 0 && channels.iter().all(|c| c.score.is_nan())) {
            let (score, onset, parts) = (f32::NAN, false, Parts::UNKNOWN);
            return HostVerdict { ts_ms, score, onset, alarm: self.alarm.open, confidence: 0.0, parts };
        }
        if (ts_ms.saturating_sub(self.ts_ms)) as f32 > f32::from(inputs::CARRY_TICKS) * 1000.0 * cadence_s {
            self.change.iter_mut().for_each(Change::interrupt);
        }
        self.ts_ms = ts_ms;
        self.age_s += cadence_s;
        self.parts = self.judge(cadence_s, channels);
        let ready = self.age_s > self.config.warmup_s && self.fitted_s > 0.0;
        let (mut score, mut onset) = (f32::NAN, false);
        let tested = self.named.as_ref().map_or(0.0, Named::tested);
        if let Some(decides) = self.recent.hear(&self.parts).decides(tested).filter(|_| ready) {
            onset = self.alarm.turn(decides);
            score = self.published(decides);
        }
        HostVerdict {
            ts_ms,
            score,
            onset,
            alarm: self.alarm.open,
            confidence: seen as f32 / self.channels as f32,
            parts: self.parts,
        }
    }

    /// The score of a tick: what decides, held for a while, or how far out the pair, the single verdicts and the
    /// level are together (root mean square), which makes long incidents rank high.
    fn published(&mut self, decides: f32) -> f32 {
        let [pair, singles, level] = self.parts.ranks();
        let now = [decides, pair, singles, level];
        for ((held, now), part) in self.held.iter_mut().zip(now).zip([HOLD, HOLD, HOLD, HOLD_LEVEL]) {
            *held = now.max(part * *held);
        }
        let ranks = self.held.into_iter().zip(now).skip(1);
        let known = ranks.filter(|(_, now)| !now.is_nan());
        let (squares, count) = known.fold((0.0, 0.0), |(sum, n), (rank, _)| (sum + rank * rank, n + 1.0));
        self.held[0].max((squares / f32::max(count, 1.0)).sqrt())
    }

    fn grow(&mut self, count: usize) {
        if count <= self.channels {
            return;
        }
        self.channels = count;
        let modelled = count.min(MAX_MODELLED);
        if modelled > self.modelled {
            self.modelled = modelled;
            self.inputs.grow(modelled);
            self.change.iter_mut().for_each(|head| head.grow(modelled));
            self.level.iter_mut().for_each(|head| head.grow(modelled));
            self.named.iter_mut().for_each(|heads| heads.grow(modelled));
        }
    }

    /// The parts of a tick, each by what was learned before it; then they learn it.
    fn judge(&mut self, cadence_s: f32, channels: &[ChannelTick]) -> Parts {
        let usual = UNIT_DECADES + log10(60.0 / cadence_s);
        let edge = EDGE * (usual + self.config.t_shift).max(1.0);
        self.inputs.take(channels.iter().map(|c| c.value));
        let mut parts = Parts { rollup: rollup(channels), ..Parts::UNKNOWN };
        if let Some(ratio) = self.change.as_mut().and_then(|head| head.tick(&self.inputs, cadence_s)) {
            parts.change = self.change_tail.decades(ratio, 0.0) / edge;
            self.change_tail.learn(ratio, 0.0);
        }
        if let Some(ratio) = self.level.as_mut().and_then(|head| head.tick(&self.inputs, cadence_s)) {
            parts.level = ln(ratio) / ln(LEVEL_EDGE);
        }
        if let Some(named) = &mut self.named {
            parts.set_named(named.tick(&self.inputs, cadence_s).map(|decades| decades / edge));
        }
        singles::additions(channels, &mut self.additions);
        if !parts.rollup.is_nan() && self.config.methods.has(Method::Singles) {
            let sum = singles::sum(&self.additions) * usual;
            parts.singles = self.singles_tail.decades(sum, SUM_FLOOR) / edge;
            self.singles_tail.learn(sum, SUM_FLOOR);
        }
        parts
    }

    /// Whether [`JointHost::fit`] has something to do.
    #[must_use]
    pub fn fit_due(&self) -> bool {
        let due = FIT_DAYS.iter().map(|days| days * DAY_S).find(|due| self.fitted_s < *due);
        self.age_s >= due.unwrap_or(self.fitted_s + DAY_S)
    }

    /// Fits the model anew to the statistics gathered so far: tens of milliseconds for 40 channels.
    pub fn fit(&mut self) {
        self.change.iter_mut().for_each(|head| head.fit(&self.inputs));
        self.level.iter_mut().for_each(|head| head.fit(&self.inputs));
        self.named.iter_mut().for_each(|heads| heads.fit(&self.inputs));
        self.age_s = self.age_s.min(MOST_AGE_S.max(2.0 * self.config.warmup_s));
        self.fitted_s = self.age_s;
    }

    /// Which channels made the score of the last tick: channel and share, largest first, adding up to 1.
    /// Exact for each head at this tick; the shares of the heads go by what each says now and its weight, not by what
    /// they are still heard for from a tick ago. A channel that
    /// took part against the others can have a small negative share. Empty where nothing is out of the
    /// ordinary.
    #[must_use]
    pub fn contributions(&self) -> Vec<(u32, f32)> {
        let mut shares = vec![0.0; self.channels];
        let mut add = |parts: Vec<f32>, method: Method| {
            let (total, weight): (f32, f32) = (parts.iter().sum(), self.parts.share(method));
            if total > 0.0 && weight > 0.0 {
                shares.iter_mut().zip(&parts).for_each(|(share, part)| *share += weight * part / total);
            }
        };
        add(self.change.as_ref().map(Change::contributions).unwrap_or_default(), Method::Change);
        add(singles::contributions(&self.additions), Method::Singles);
        add(self.level.as_ref().map(Level::contributions).unwrap_or_default(), Method::Level);
        if let Some(named) = &self.named {
            named.contributions().into_iter().zip(Method::NAMED).for_each(|(parts, method)| add(parts, method));
        }
        let total: f32 = shares.iter().sum();
        if !(total > 0.0 && total.is_finite()) {
            return Vec::new();
        }
        let mut shares: Vec<(u32, f32)> =
            shares.iter().zip(0..).filter(|(x, _)| **x != 0.0).map(|(x, c)| (c, x / total)).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        shares
    }
}

/// Share of channels over their own edge, as the score of a host; NaN where no channel has a score.
fn rollup(channels: &[ChannelTick]) -> f32 {
    let ready = channels.iter().filter(|c| !c.score.is_nan()).count() as u32;
    let anomalous = channels.iter().filter(|c| c.score >= 1.0).count() as u32;
    if ready == 0 { f32::NAN } else { host_score(EntityCount { judged: ready, ready, anomalous, settled: ready }) }
}

/// `x` scales, squashed: as it is up to some, then like its logarithm, so that one channel does not drown
/// all others. What is not known stays so.
pub(crate) fn squash(x: f32) -> f32 {
    // The smaller of NaN and a number is the number: a missing channel would look like the largest there is.
    if x.is_nan() {
        return x;
    }
    let a = x.abs().min(1e12) / SQUASH;
    (SQUASH * ln(a + (a * a + 1.0).sqrt())).copysign(x)
}

/// By how much numbers in the unit `old` grow when the unit becomes `new`.
pub(crate) fn rescaling(old: f32, new: f32) -> f32 {
    (old / new).clamp(1.0 / MAX_RESCALING, MAX_RESCALING)
}

#[cfg(test)]
mod tests;
