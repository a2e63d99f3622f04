//! A series against the same series of its group: the same metric of the other machines of a role.
//!
//! At each tick the group has a robust middle (median) and spread (median absolute deviation). What a member
//! is off by, as a share of the middle, is compared with what *this member* is usually off by: a machine of
//! another make that is always at twice the load of the others is known as such and does not ring. How rare
//! the remaining deviation is says the tail that the group learned of all its members together, as peaks over
//! a threshold with Hill's estimator. Only what lasts for [`PERSIST`] ticks counts, and where a third of the
//! group is off at once it is not a member that stands out: it is two groups, or something for the fleet.
//!
//! 1.0 is the edge. Constant work and memory for each member and tick; nothing is stored but averages.

use std::collections::BTreeMap;

use watchbell_series::{Direction, SeriesSpec};

mod member;
mod saved;
mod tail;

use member::Member;
pub use saved::PeerStateError;
use tail::{TAIL, Tail};

/// Members with a value at a tick, without which there is no middle to compare with.
pub const LEAST_MEMBERS: usize = 5;
/// Ticks in a row for which a member must be off.
pub const PERSIST: usize = 3;
/// Ticks before a member is judged.
pub const WARM_TICKS: u16 = 30;

/// Powers of ten of improbability that make 1.0 at each of [`PERSIST`] ticks in a row.
const EDGE_DECADES: f32 = 3.0;
/// Memory of what is usual for a member, ticks: a day at one a minute.
const MEMORY: f32 = 1440.0;
/// Ticks that what the whole group does counts for in a young member.
const PRIOR: f32 = 30.0;
/// What a tick teaches at most, in usual deviations.
const CLIP: f32 = 4.0;
/// Ticks over the edge, net, after which a member's new place in its group becomes the usual one,
const ADOPT_TICKS: u16 = 360;
/// and the rate at which it does.
const ADOPT_RATE: f32 = 1.0 / 30.0;
/// Deviations under this share of the middle are nothing.
const LEAST_SHARE: f32 = 0.01;
/// Memory of the group's spread, ticks.
const SPREAD_MEMORY: f64 = 120.0;
/// From this share of members off at once on none of them stands out,
const SPLIT: f32 = 1.0 / 3.0;
/// and what is not to ring scores at most this.
const CAP: f32 = 0.95;
/// An alarm closes after this many ticks under [`CLEAR`].
const LATCH_TICKS: u8 = 5;
const CLEAR: f32 = 0.8;
const MAX_SCORE: f32 = 1000.0;
/// Values are cut off here, so that their distances stay numbers.
const MAX_VALUE: f64 = 1e300;

/// Which deviations of a series count, as rules say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeerRules {
    /// The direction that is bad.
    pub direction: Direction,
    /// Least distance from the expected value.
    pub min_deviation: f32,
    /// The same as a share of the expected value.
    pub min_relative: f32,
}

impl PeerRules {
    /// What `spec` says.
    #[must_use]
    pub fn of(spec: &SeriesSpec) -> Self {
        // What is not a number is no limit.
        let least = |x: f64| if x > 0.0 { x.min(1e30) as f32 } else { 0.0 };
        Self {
            direction: spec.direction,
            min_deviation: least(spec.min_deviation),
            min_relative: least(spec.min_relative_deviation),
        }
    }
}

impl Default for PeerRules {
    fn default() -> Self {
        Self { direction: Direction::Both, min_deviation: 0.0, min_relative: 0.0 }
    }
}

/// The word on one member that is off, or was until now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeerVerdict {
    /// The member.
    pub member: u32,
    /// Its value.
    pub value: f64,
    /// Score: 1.0 is the edge.
    pub score: f32,
    /// Whether an alarm opened at this tick.
    pub onset: bool,
    /// Whether one is open.
    pub alarm: bool,
    /// What the group and its usual place in it make expect.
    pub expected: f64,
    /// Lower end of what would not be off.
    pub lower: f64,
    /// Upper end of it.
    pub upper: f64,
}

/// A group, and what was learned of it.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerGroup {
    members: Vec<Member>,
    /// The rules that members go by: one for most groups, all of one metric.
    rules: Vec<PeerRules>,
    free: Vec<u32>,
    /// Members that wait for their series since a restart, by id: in an order that is the same on every run.
    waiting: BTreeMap<u64, u32>,
    values: Vec<f64>,
    /// Smoothed median absolute deviation.
    spread: f64,
    /// Usual deviation of a member from its own place.
    deviation: f32,
    tail: Tail,
    ticks: u32,
}

impl Default for PeerGroup {
    fn default() -> Self {
        Self {
            members: Vec::new(),
            rules: Vec::new(),
            free: Vec::new(),
            waiting: BTreeMap::new(),
            values: Vec::new(),
            spread: 0.0,
            deviation: 0.0,
            tail: Tail::NEW,
            ticks: 0,
        }
    }
}

impl PeerGroup {
    /// Takes the series `id` in, once, or finds the place it had before a restart. Places are dense and stay
    /// until [`PeerGroup::leave`].
    pub fn join(&mut self, id: u64, rules: PeerRules) -> u32 {
        let rules = self.intern(rules);
        if let Some(at) = self.waiting.remove(&id) {
            let member = &mut self.members[at as usize];
            (member.claimed, member.rules) = (true, rules);
            return at;
        }
        match self.free.pop() {
            Some(at) => {
                self.members[at as usize] = Member::new(id, rules);
                at
            }
            None => {
                self.members.push(Member::new(id, rules));
                self.values.push(f64::NAN);
                self.members.len() as u32 - 1
            }
        }
    }

    /// The place of these rules among those of the group. Beyond what a place can say all go by the last.
    fn intern(&mut self, rules: PeerRules) -> u16 {
        let at = self.rules.iter().position(|known| *known == rules).unwrap_or_else(|| {
            self.rules.push(rules);
            self.rules.truncate(usize::from(u16::MAX) + 1);
            self.rules.len() - 1
        });
        at as u16
    }

    /// Forgets the member at `at`.
    pub fn leave(&mut self, at: u32) {
        if let Some(member) = self.members.get_mut(at as usize) {
            *member = Member { claimed: false, ..Member::new(0, 0) };
            self.values[at as usize] = f64::NAN;
            self.free.push(at);
        }
    }

    /// Forgets members that nobody claimed since a restart.
    pub fn drop_unclaimed(&mut self) {
        for at in std::mem::take(&mut self.waiting).into_values() {
            self.leave(at);
        }
    }

    /// Goes by other rules for the member at `at` from now on.
    pub fn set_rules(&mut self, at: u32, rules: PeerRules) {
        let rules = self.intern(rules);
        if let Some(member) = self.members.get_mut(at as usize) {
            member.rules = rules;
        }
    }

    /// Members, those that wait for their series included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len() - self.free.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a member at the tick that goes on.
    pub fn set(&mut self, at: u32, value: f64) {
        if let Some(place) = self.values.get_mut(at as usize) {
            *place = if value.is_finite() { value.clamp(-MAX_VALUE, MAX_VALUE) } else { f64::NAN };
        }
    }

    /// Score of a member at the last tick; NaN while it has none.
    #[must_use]
    pub fn score(&self, at: u32) -> f32 {
        self.members.get(at as usize).map_or(f32::NAN, |member| member.score)
    }

    /// Judges the values that were [set](PeerGroup::set) since the last tick, learns from them, and appends
    /// the members that are off or were until now.
    pub fn tick(&mut self, out: &mut Vec<PeerVerdict>) {
        let values = std::mem::take(&mut self.values);
        self.values = vec![f64::NAN; values.len()];
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        if sorted.len() < LEAST_MEMBERS {
            self.rest(&values, out);
            return;
        }
        let middle = median(&mut sorted);
        sorted.iter_mut().for_each(|value| *value = (*value - middle).abs());
        let spread = median(&mut sorted);
        let rate = (1.0 / (f64::from(self.ticks) + 1.0)).max(1.0 / SPREAD_MEMORY);
        self.spread += rate * (spread - self.spread);
        self.ticks = self.ticks.saturating_add(1);
        // Away from zero deviations are shares of the middle, near it multiples of the spread.
        let unit = (middle.abs() + 3.0 * self.spread.max(spread)).max(f64::MIN_POSITIVE);
        let looks: Vec<Option<Look>> = (0..values.len()).map(|at| self.look(at, values[at], middle, unit)).collect();
        let (mut warm, mut off) = (0.0_f32, 0.0_f32);
        for (look, member) in looks.iter().zip(&self.members).filter(|(_, member)| member.ticks >= WARM_TICKS) {
            if let Some(look) = look {
                warm += 1.0;
                off += f32::from(u8::from(look.score >= 1.0 && member.claimed));
            }
        }
        let split = off > SPLIT * warm;
        for (at, look) in looks.into_iter().enumerate() {
            match look {
                Some(look) => {
                    self.judge(at, &look, if split { CAP } else { MAX_SCORE }, out);
                    self.learn(at, &look);
                }
                None => self.pass(at, out),
            }
        }
    }

    fn look(&self, at: usize, value: f64, middle: f64, unit: f64) -> Option<Look> {
        if value.is_nan() {
            return None;
        }
        let member = &self.members[at];
        let share = ((value - middle) / unit).clamp(-1e9, 1e9) as f32;
        // A young member is as the others are, until it has shown what it is itself.
        let trust = f32::from(member.ticks) / (f32::from(member.ticks) + PRIOR);
        let usual = (trust * member.deviation + (1.0 - trust) * self.deviation).max(0.5 * self.deviation);
        let usual = usual.max(LEAST_SHARE / TAIL);
        let error = share - member.offset;
        let ratio = error.abs() / usual;
        let mut score = (self.tail.decades(ratio) / EDGE_DECADES).min(MAX_SCORE);
        let expected = middle + f64::from(member.offset) * unit;
        let rules = self.rules.get(usize::from(member.rules)).copied().unwrap_or_default();
        if !counts(&rules, value, expected) {
            score = score.min(CAP);
        }
        Some(Look { value, error, usual, ratio, score, expected, unit })
    }

    fn judge(&mut self, at: usize, look: &Look, cap: f32, out: &mut Vec<PeerVerdict>) {
        let reach = f64::from(self.tail.ratio_at(EDGE_DECADES) * look.usual) * look.unit;
        let member = &mut self.members[at];
        let lasting = member.last.iter().copied().fold(look.score, f32::min);
        member.last.rotate_right(1);
        member.last[0] = look.score;
        if member.ticks < WARM_TICKS || !member.claimed {
            member.score = f32::NAN;
            return;
        }
        member.score = lasting.min(cap);
        let before = member.alarm;
        if member.score >= 1.0 {
            (member.alarm, member.under) = (true, 0);
        } else if member.alarm && member.score < CLEAR {
            member.under = member.under.saturating_add(1);
            member.alarm = member.under <= LATCH_TICKS;
        }
        if member.alarm || before {
            out.push(PeerVerdict {
                member: at as u32,
                value: look.value,
                score: member.score,
                onset: member.alarm && !before,
                alarm: member.alarm,
                expected: look.expected,
                lower: look.expected - reach,
                upper: look.expected + reach,
            });
        }
    }

    fn learn(&mut self, at: usize, look: &Look) {
        let pooled = (1.0 / (self.ticks as f32 + 1.0)).max(1.0 / MEMORY) / (self.len() as f32).max(1.0);
        let clipped = look.error.abs().min(CLIP * look.usual);
        if self.members[at].ticks > 0 {
            self.deviation += pooled * (clipped - self.deviation);
            let inside = look.ratio > TAIL && self.members[at].ticks >= 10;
            // One stay in the tail is one peak.
            self.tail.learn(look.ratio, inside && !self.members[at].peak);
            self.members[at].peak = inside;
        }
        let member = &mut self.members[at];
        let over = look.score >= 1.0 || look.ratio > CLIP;
        member.regime =
            if over { member.regime.saturating_add(1).min(2 * ADOPT_TICKS) } else { member.regime.saturating_sub(1) };
        let mean = 1.0 / (f32::from(member.ticks) + 1.0);
        let young = member.ticks < 10;
        let adopts = member.regime > ADOPT_TICKS;
        let rate = if adopts { mean.max(ADOPT_RATE) } else { mean.max(1.0 / MEMORY) };
        let taught = if young || adopts { look.error } else { look.error.clamp(-clipped, clipped) };
        member.offset += rate * taught;
        if member.ticks > 0 {
            member.deviation += rate * (if adopts { look.error.abs() } else { clipped } - member.deviation);
        }
        member.ticks = member.ticks.saturating_add(1);
    }

    /// A tick at which there is no group to speak of.
    fn rest(&mut self, values: &[f64], out: &mut Vec<PeerVerdict>) {
        for at in 0..values.len() {
            self.pass(at, out);
        }
    }

    /// A tick at which a member can not be judged: its alarm ends.
    fn pass(&mut self, at: usize, out: &mut Vec<PeerVerdict>) {
        let member = &mut self.members[at];
        (member.score, member.last) = (f32::NAN, [0.0; PERSIST - 1]);
        if std::mem::take(&mut member.alarm) {
            let (nan, member) = (f64::NAN, at as u32);
            out.push(PeerVerdict {
                member,
                value: nan,
                score: 0.0,
                onset: false,
                alarm: false,
                expected: nan,
                lower: nan,
                upper: nan,
            });
        }
    }
}

/// One member at one tick.
struct Look {
    value: f64,
    error: f32,
    usual: f32,
    ratio: f32,
    score: f32,
    expected: f64,
    unit: f64,
}

fn counts(rules: &PeerRules, value: f64, expected: f64) -> bool {
    let off = value - expected;
    let direction = match rules.direction {
        Direction::Up => off > 0.0,
        Direction::Down => off < 0.0,
        Direction::Both => true,
    };
    direction
        && off.abs() >= f64::from(rules.min_deviation)
        && off.abs() >= f64::from(rules.min_relative) * expected.abs()
}

/// The middle one; of an even number the upper of the two. Sorts in part; of nothing it is 0.
fn median(values: &mut [f64]) -> f64 {
    let half = values.len() / 2;
    if values.is_empty() { 0.0 } else { *values.select_nth_unstable_by(half, f64::total_cmp).1 }
}

#[cfg(test)]
mod tests;
