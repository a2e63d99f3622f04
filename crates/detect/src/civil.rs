//! Local civil time from a table of UTC offsets.
//!
//! People and their cron jobs live by the clock on the wall, so profiles of the day and the week are kept
//! by it. Which offsets hold when is the caller's knowledge (a time zone database); here is a table only.

const QUARTER_S: i64 = 900;
const DAY_S: i64 = 86_400;

/// UTC offsets of one place over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CivilTime {
    /// (from when on, milliseconds since the Unix epoch; seconds east of UTC), ascending, never empty.
    offsets: Vec<(i64, i32)>,
}

impl CivilTime {
    /// UTC all the time.
    #[must_use]
    pub fn utc() -> Self {
        Self { offsets: vec![(i64::MIN, 0)] }
    }

    /// A place whose offset to UTC changes: each entry says from which instant on (milliseconds since the
    /// Unix epoch) local time is how many seconds ahead of UTC. The first entry also holds before it.
    /// Entries may come in any order; without any it is UTC.
    #[must_use]
    pub fn new(mut offsets: Vec<(i64, i32)>) -> Self {
        if offsets.is_empty() {
            return Self::utc();
        }
        offsets.sort_by_key(|(from, _)| *from);
        offsets[0].0 = i64::MIN;
        Self { offsets }
    }

    /// Seconds east of UTC at `ts_ms`.
    #[must_use]
    pub fn offset_s(&self, ts_ms: i64) -> i32 {
        let after = self.offsets.partition_point(|(from, _)| *from <= ts_ms);
        self.offsets[after.saturating_sub(1)].1
    }
}

/// Where one instant falls in the profiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bins {
    ts_ms: i64,
    /// Seconds since the Unix epoch in UTC, for ages; 0 before it.
    pub(crate) secs: u32,
    /// Seconds of the clock on the wall, for lengths of whole days and parts of one.
    pub(crate) local_s: i64,
    /// Quarter-hour of the local day, 0..96.
    pub(crate) quarter: u8,
    /// The neighbour whose centre is on the other side of this instant.
    pub(crate) neighbour: u8,
    /// Weight of the neighbour in a linear interpolation between bin centres, 0..0.5.
    pub(crate) weight: f32,
    /// Hour of the week, 0..168; modulo 24 it is the hour of the local day.
    pub(crate) hour: u8,
}

impl Bins {
    /// The bins at `ts_ms`.
    pub(crate) fn at(time: &CivilTime, ts_ms: i64) -> Self {
        let secs = ts_ms.div_euclid(1000);
        Self::of(ts_ms, secs, secs.saturating_add(i64::from(time.offset_s(ts_ms))))
    }

    fn of(ts_ms: i64, secs: i64, local: i64) -> Self {
        let of_day = local.rem_euclid(DAY_S);
        let quarter = (of_day / QUARTER_S) as u8;
        let place = (of_day % QUARTER_S) as f32 / QUARTER_S as f32 - 0.5;
        let neighbour = if place < 0.0 { (quarter + 95) % 96 } else { (quarter + 1) % 96 };
        let hour = local.div_euclid(3600).rem_euclid(168) as u8;
        let secs = secs.clamp(0, i64::from(u32::MAX - 1)) as u32;
        Self { ts_ms, secs, local_s: local, quarter, neighbour, weight: place.abs(), hour }
    }

    /// The bins some seconds earlier by the clock on the wall.
    pub(crate) fn before(&self, seconds: u32) -> Self {
        let back = i64::from(seconds);
        let secs = i64::from(self.secs).saturating_sub(back);
        Self::of(self.ts_ms.saturating_sub(back * 1000), secs, self.local_s.saturating_sub(back))
    }

    /// The bins at `ts_ms`, which most samples of a request share with the one before.
    pub(crate) fn advance(&mut self, time: &CivilTime, ts_ms: i64) {
        if self.ts_ms != ts_ms {
            *self = Self::at(time, ts_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn bins_of_the_day_and_the_week() {
        // 1970-01-01 was a Thursday; hours of the week count from its midnight.
        let bins = Bins::at(&CivilTime::utc(), 25 * HOUR_MS + 20 * 60_000);
        assert_eq!((bins.quarter, bins.hour, bins.neighbour), (5, 25, 4));
        assert!((bins.weight - (0.5 - 1.0 / 3.0)).abs() < 1e-6);
        assert_eq!(Bins::at(&CivilTime::utc(), 0).neighbour, 95);
        assert_eq!(Bins::at(&CivilTime::utc(), 24 * HOUR_MS - 1).neighbour, 0);
        assert_eq!(Bins::at(&CivilTime::utc(), -1).hour, 167);
        assert_eq!(Bins::at(&CivilTime::utc(), 168 * HOUR_MS).hour, 0);
        let before = Bins::at(&CivilTime::utc(), 0).before(3600);
        assert_eq!((before.quarter, before.neighbour, before.hour), (92, 91, 167));
    }

    #[test]
    fn summer_time_moves_the_bins() {
        let time = CivilTime::new(vec![(100 * HOUR_MS, 7200), (0, 3600)]);
        assert_eq!(Bins::at(&time, -HOUR_MS).hour, 0);
        assert_eq!(Bins::at(&time, 99 * HOUR_MS).hour, 100);
        assert_eq!(Bins::at(&time, 100 * HOUR_MS).hour, 102);
        assert_eq!(Bins::at(&time, 100 * HOUR_MS).quarter, 6 * 4);
        assert_eq!(CivilTime::new(Vec::new()), CivilTime::utc());
    }

    #[test]
    fn extremes_are_survived() {
        for ts in [i64::MIN, i64::MAX, -1, 0] {
            let bins = Bins::at(&CivilTime::new(vec![(0, i32::MAX)]), ts);
            assert!(bins.quarter < 96 && bins.hour < 168 && (0.0..=0.5).contains(&bins.weight));
        }
    }
}
