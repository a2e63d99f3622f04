//! The learned state of one series as bytes: little-endian, field by field, exact to the bit.
//!
//! The bytes begin with a version and are checked when read: a checkpoint from elsewhere, cut short or
//! damaged gives an error, never a panic and never a state that could not have been learned. Checksums are
//! the business of whoever stores many of these.

use watchbell_series::{Lead, Pattern};

use crate::paged::NONE;
use crate::single::alarm::Alarm;
use crate::single::channel::Channel;
use crate::single::cycle::{Cycle, Known, Search};
use crate::single::habit::Habit;
use crate::single::hot::{Hot, flag};
use crate::single::season::Season;
use crate::single::seasons::Usual;
use crate::single::trend::Trend;

/// Version of the layout below.
pub(crate) const VERSION: u16 = 4;
/// The one before, which knew the day and the week only; it is read as well.
const WITHOUT_CYCLE: u16 = 3;

/// Why bytes are no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Another layout.
    #[error("state has version `{0}`, this build reads `{VERSION}`; the series is learned anew")]
    Version(u16),
    /// Cut short.
    #[error("state ends after `{0}` bytes, before it is complete; the series is learned anew")]
    Short(usize),
    /// A number that no series can have.
    #[error("state is damaged: `{0}` is out of range; the series is learned anew")]
    Damaged(&'static str),
    /// [`Judge::admit`](crate::Judge::admit) comes first.
    #[error("slot `{0}` is not admitted; admit the series before loading its state")]
    NotAdmitted(u32),
}

/// Appends the state of a series.
pub(crate) fn write(hot: &Hot, usual: Option<Usual<'_>>, out: &mut Vec<u8>) {
    let mut w = Writer(out);
    w.put(VERSION.to_le_bytes());
    w.put((hot.flags & flag::LEARNED).to_le_bytes());
    w.put(hot.level.to_le_bytes());
    w.put(hot.value.to_le_bytes());
    w.put(hot.ts_ms.to_le_bytes());
    for x in [hot.fast, hot.smooth, hot.mean, hot.spread, hot.errors[0], hot.errors[1], hot.sum[0], hot.sum[1]] {
        w.put(x.to_le_bytes());
    }
    w.put(hot.hour_factor.to_le_bytes());
    w.put(hot.cadence_s.to_le_bytes());
    for x in [hot.rows, hot.born, hot.same, hot.longest] {
        w.put(x.to_le_bytes());
    }
    w.put(hot.visit[0].to_le_bytes());
    w.put(hot.visit[1].to_le_bytes());
    w.put([hot.quarter, hot.hour]);
    hot.channels.iter().for_each(|channel| w.channel(channel));
    let alarm = &hot.alarm;
    for x in [alarm.held, alarm.raised, alarm.count, alarm.highest] {
        w.put(x.to_le_bytes());
    }
    w.put([alarm.since, alarm.latch.saturating_sub(1), u8::from(alarm.open()), alarm.pattern as u8]);
    w.put([u8::from(usual.is_some())]);
    if let Some(Usual { season, cycle }) = usual {
        w.put(season.step.to_le_bytes());
        w.0.extend(season.day.iter().chain(&season.week).map(|q| q.to_le_bytes()[0]));
        w.0.extend_from_slice(&season.factor);
        let habit = &season.habit;
        w.put(habit.began.to_le_bytes());
        w.put(habit.last.to_le_bytes());
        w.put(habit.first.to_le_bytes());
        w.put(habit.distance.to_le_bytes());
        w.put(habit.size.to_le_bytes());
        w.put([habit.kept, u8::from(habit.inside)]);
        season.visit_errors.iter().for_each(|error| w.put(error.to_le_bytes()));
        w.put(season.visits.to_le_bytes());
        let trend = &season.trend;
        w.put(trend.before.to_le_bytes());
        for x in [trend.sum, trend.usual, trend.ratio, trend.high, trend.low] {
            w.put(x.to_le_bytes());
        }
        w.channel(&trend.channel);
        w.put(trend.steps.to_le_bytes());
        w.put([trend.within]);
        w.cycle(cycle);
    }
}

/// The seasons of one series.
type Seasons = (Season, Option<Cycle>);

/// Reads a state back: the series (without rules, entity and season), its seasons, and the bytes it took.
pub(crate) fn read(bytes: &[u8]) -> Result<(Hot, Option<Seasons>, usize), StateError> {
    let mut r = Reader { bytes, at: 0 };
    let version = r.u16()?;
    if version != VERSION && version != WITHOUT_CYCLE {
        return Err(StateError::Version(version));
    }
    let mut hot = Hot::BLANK;
    hot.flags = r.u16()? & flag::LEARNED;
    hot.level = r.f64("level")?;
    hot.value = r.f64("value")?;
    hot.ts_ms = i64::from_le_bytes(r.take()?);
    hot.fast = r.error("fast")?;
    hot.smooth = r.error("smooth")?;
    hot.mean = r.error("mean")?;
    hot.spread = r.within("spread", 0.0, HUGE)?;
    hot.errors = [r.error("error")?, r.error("error")?];
    hot.sum = [r.error("sum")?, r.error("sum")?];
    hot.hour_factor = r.within("hour factor", 0.3, 5.0)?;
    hot.cadence_s = r.within("cadence", 0.0, f32::MAX)?;
    (hot.rows, hot.born, hot.same, hot.longest) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?);
    hot.visit = [r.u16()?, r.u16()?];
    [hot.quarter, hot.hour] = r.take()?;
    if hot.quarter >= 96 || hot.hour >= 168 {
        return Err(StateError::Damaged("bin"));
    }
    for channel in &mut hot.channels {
        *channel = r.channel()?;
    }
    hot.alarm = r.alarm()?;
    let season = match r.take::<1>()? {
        [0] => None,
        [1] => Some((r.season()?, if version == WITHOUT_CYCLE { None } else { r.cycle()? })),
        _ => return Err(StateError::Damaged("season")),
    };
    Ok((hot, season, r.at))
}

/// No error or sum of errors is larger.
const HUGE: f32 = 1e30;

struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.0.extend_from_slice(&bytes);
    }

    fn channel(&mut self, c: &Channel) {
        for x in [c.scale, c.square, c.rarity, c.slope] {
            self.put(x.to_le_bytes());
        }
        self.put(c.regime.to_le_bytes());
        self.put([c.since, c.clusters]);
    }

    fn cycle(&mut self, cycle: Option<&Cycle>) {
        match cycle {
            None => self.put([0]),
            Some(Cycle::Search(s)) => {
                self.put([1]);
                self.put(s.level.to_le_bytes());
                self.put(s.began.to_le_bytes());
                self.put(s.step_s.to_le_bytes());
                self.put(s.unit.to_le_bytes());
                self.put(s.sum.to_le_bytes());
                self.put(s.quarters.to_le_bytes());
                self.put([s.steps, s.searches]);
                self.put(s.means.map(|q| q.to_le_bytes()[0]));
            }
            Some(Cycle::Known(k)) => {
                self.put([2]);
                for x in
                    [k.period_s, k.found_s, k.unit, k.mean, k.errors[0], k.errors[1], k.late[0], k.late[1], k.late[2]]
                {
                    self.put(x.to_le_bytes());
                }
                self.put(k.anchor.to_le_bytes());
                self.put(k.rows.to_le_bytes());
                self.put(k.visits.to_le_bytes());
                self.put([k.bins, k.bin, k.counted]);
                self.put(k.profile.map(|q| q.to_le_bytes()[0]));
            }
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let taken = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<N>);
        self.at += N;
        taken.copied().ok_or(StateError::Short(self.bytes.len()))
    }

    fn u16(&mut self) -> Result<u16, StateError> {
        Ok(u16::from_le_bytes(self.take()?))
    }

    fn u32(&mut self) -> Result<u32, StateError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn f64(&mut self, what: &'static str) -> Result<f64, StateError> {
        let x = f64::from_le_bytes(self.take()?);
        if x.is_finite() { Ok(x) } else { Err(StateError::Damaged(what)) }
    }

    fn within(&mut self, what: &'static str, least: f32, most: f32) -> Result<f32, StateError> {
        let x = f32::from_le_bytes(self.take()?);
        if (least..=most).contains(&x) { Ok(x) } else { Err(StateError::Damaged(what)) }
    }

    fn error(&mut self, what: &'static str) -> Result<f32, StateError> {
        self.within(what, -HUGE, HUGE)
    }

    fn channel(&mut self) -> Result<Channel, StateError> {
        let scale = self.within("scale", 0.0, HUGE)?;
        let square = self.within("square", 0.0, f32::MAX)?;
        let rarity = self.within("rarity", 0.0, 3.0)?;
        let slope = self.within("slope", 0.1, 1.0)?;
        let regime = i16::from_le_bytes(self.take()?);
        let [since, clusters] = self.take()?;
        Ok(Channel { scale, square, rarity, slope, regime, since, clusters })
    }

    fn alarm(&mut self) -> Result<Alarm, StateError> {
        let held = self.within("score", 0.0, crate::single::MAX_SCORE)?;
        let raised = self.within("raised", 0.0, 1e6)?;
        let count = self.within("count", 0.0, 1e6)?;
        let highest = self.within("highest", 0.0, crate::single::MAX_SCORE)?;
        let [since, under, open, pattern] = self.take()?;
        let latch = if open == 0 { 0 } else { under.saturating_add(1) };
        let pattern = Pattern::from_byte(pattern);
        Ok(Alarm { held, raised, count, highest, since, latch, pattern, lead: Lead::Unknown })
    }

    fn season(&mut self) -> Result<Season, StateError> {
        let step = self.within("step", f32::MIN_POSITIVE, HUGE)?;
        let day = self.take::<96>()?.map(|b| i8::from_le_bytes([b]));
        let week = self.take::<168>()?.map(|b| i8::from_le_bytes([b]));
        let factor = self.take()?;
        let (began, last, first) = (self.u32()?, self.u32()?, self.u32()?);
        let distance = self.within("distance", 0.0, f32::MAX)?;
        let size = self.error("size")?;
        let [kept, inside] = self.take()?;
        let habit = Habit { began, last, first, distance, size, kept, inside: inside != 0 };
        let visit_errors = [self.within("visit", 0.0, HUGE)?, self.within("visit", 0.0, HUGE)?];
        let visits = self.u16()?;
        Ok(Season { step, visit_errors, visits, trend: self.trend()?, day, week, factor, habit })
    }

    fn cycle(&mut self) -> Result<Option<Cycle>, StateError> {
        Ok(match self.take::<1>()? {
            [0] => None,
            [1] => {
                let level = self.f64("level")?;
                let (began, step_s) = (self.u32()?, self.u32()?);
                let unit = self.within("unit", 0.0, HUGE)?;
                let (sum, quarters) = (self.error("sum")?, self.u16()?);
                let [steps, searches] = self.take()?;
                let means = self.take()?.map(|b| i8::from_le_bytes([b]));
                if step_s == 0 || usize::from(steps) >= means.len() {
                    return Err(StateError::Damaged("step"));
                }
                Some(Cycle::Search(Search { level, began, step_s, unit, sum, quarters, steps, searches, means }))
            }
            [2] => {
                let period_s = self.within("period", 1.0, 1e9)?;
                let found_s = self.within("period", 1.0, 1e9)?;
                let (unit, mean) = (self.within("unit", 0.0, HUGE)?, self.error("mean")?);
                let errors = [self.within("visit", 0.0, HUGE)?, self.within("visit", 0.0, HUGE)?];
                let late = self.within("late", -f32::MAX, f32::MAX)?;
                let late = [late, self.within("late", 0.0, f32::MAX)?, self.within("late", 0.0, f32::MAX)?];
                let anchor = self.u32()?;
                let (rows, visits) = (self.u16()?, self.u16()?);
                let [bins, bin, counted] = self.take()?;
                let profile = self.take()?.map(|b| i8::from_le_bytes([b]));
                if bin >= bins || usize::from(bins) > profile.len() {
                    return Err(StateError::Damaged("bin"));
                }
                Some(Cycle::Known(Known {
                    period_s,
                    found_s,
                    unit,
                    mean,
                    late,
                    anchor,
                    errors,
                    rows,
                    visits,
                    bins,
                    bin,
                    counted,
                    profile,
                }))
            }
            _ => return Err(StateError::Damaged("cycle")),
        })
    }

    fn trend(&mut self) -> Result<Trend, StateError> {
        Ok(Trend {
            before: self.f64("trend")?,
            sum: self.error("trend")?,
            usual: self.within("trend", 0.0, HUGE)?,
            ratio: self.within("trend", 0.0, HUGE)?,
            high: self.error("range")?,
            low: self.error("range")?,
            channel: self.channel()?,
            steps: self.u16()?,
            within: self.take::<1>()?[0],
            cycle: NONE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_before_is_read() {
        let season = Season { step: 0.5, ..Season::NEW };
        let mut bytes = Vec::new();
        write(&Hot { level: 7.0, ..Hot::BLANK }, Some(Usual { season: &season, cycle: None }), &mut bytes);
        bytes[..2].copy_from_slice(&WITHOUT_CYCLE.to_le_bytes());
        // It ended where what is known of a cycle begins.
        bytes.pop();
        let (hot, seasons, taken) = read(&bytes).expect("version 3");
        assert_eq!((hot.level, seasons, taken), (7.0, Some((season, None)), bytes.len()));
    }
}
