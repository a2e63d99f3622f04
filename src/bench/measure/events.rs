//! Counts by labelled event: what an operator is paged for.
//!
//! An event is a contiguous labelled stretch and counts once, however long it is. It is found where a flagged
//! row lies in it, or no more than [`TOLERANCE`] rows off its edges. A false alarm is a contiguous flagged run
//! that comes no nearer than that to any event. A run that touches an event may go on for a while; every
//! full [`GRACE`] rows of it that lie outside of the tolerance are one more false alarm (`overrun`), so that
//! flagging everything is no way to win.

use super::{Prf, runs};

/// Rows around an event that still count as its own.
pub const TOLERANCE: usize = 3;
/// Rows of overhang for each further false alarm.
pub const GRACE: usize = 30;

/// What became of the events of one series or of many.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventCounts {
    /// Labelled events.
    pub events: u64,
    /// Those that were found.
    pub found: u64,
    /// Flagged runs that touch no event.
    pub false_alarms: u64,
    /// False alarms by runs that go on too long.
    pub overrun: u64,
    /// Flagged runs in all.
    pub alarms: u64,
    /// For each event found, seconds from its first row to the first flagged one, never below 0.
    pub delays_s: Vec<f64>,
    /// The same in rows.
    pub delay_rows: Vec<f64>,
}

impl EventCounts {
    /// Adds the counts of another series.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.found += other.found;
        self.false_alarms += other.false_alarms;
        self.overrun += other.overrun;
        self.alarms += other.alarms;
        self.delays_s.extend(&other.delays_s);
        self.delay_rows.extend(&other.delay_rows);
    }

    /// False alarms of both kinds.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        self.false_alarms + self.overrun
    }

    /// Precision, recall and F1 of events.
    #[must_use]
    pub fn prf(&self) -> Prf {
        Prf::of(self.found, self.wrong(), self.events - self.found)
    }
}

/// Counts the events of one series; `ts_ms` is the time of each row in milliseconds.
#[must_use]
pub fn event_counts(label: &[bool], flag: &[bool], ts_ms: &[i64]) -> EventCounts {
    let rows = label.len();
    let events = runs(label);
    let mut near = vec![false; rows];
    for (first, last) in &events {
        near[first.saturating_sub(TOLERANCE)..(last + TOLERANCE + 1).min(rows)].fill(true);
    }
    let mut out = EventCounts { events: events.len() as u64, ..EventCounts::default() };
    for (first, last) in runs(flag) {
        out.alarms += 1;
        let outside = runs(&near[first..=last].iter().map(|near| !near).collect::<Vec<_>>());
        if outside == [(0, last - first)] {
            out.false_alarms += 1;
            continue;
        }
        out.overrun += outside.iter().map(|(from, to)| ((to - from + 1) / GRACE) as u64).sum::<u64>();
    }
    let flagged: Vec<usize> = (0..rows).filter(|row| flag[*row]).collect();
    for (first, last) in events {
        let at = flagged.partition_point(|row| row + TOLERANCE < first);
        let Some(hit) = flagged.get(at).filter(|row| **row <= last + TOLERANCE) else { continue };
        let hit = (*hit).max(first);
        out.found += 1;
        out.delays_s.push((ts_ms[hit] - ts_ms[first]) as f64 / 1000.0);
        out.delay_rows.push((hit - first) as f64);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts of a series of `rows` minutes with these labelled and flagged stretches, ends included.
    fn counts(rows: usize, label: &[(usize, usize)], flag: &[(usize, usize)]) -> EventCounts {
        let mask = |stretches: &[(usize, usize)]| -> Vec<bool> {
            (0..rows).map(|row| stretches.iter().any(|(a, b)| (*a..=*b).contains(&row))).collect()
        };
        let ts_ms: Vec<i64> = (0..rows as i64).map(|row| row * 60_000).collect();
        event_counts(&mask(label), &mask(flag), &ts_ms)
    }

    #[test]
    fn an_event_counts_once_and_has_a_tolerance() {
        let got = counts(100, &[(40, 49)], &[(42, 42), (45, 47)]);
        assert_eq!((got.found, got.false_alarms, got.alarms), (1, 0, 2));
        assert_eq!((got.delays_s, got.delay_rows), (vec![120.0], vec![2.0]));
        assert_eq!(counts(100, &[(40, 49)], &[(37, 37)]).delay_rows, [0.0], "early is no negative delay");
        assert_eq!(counts(100, &[(40, 49)], &[(52, 52)]).delay_rows, [12.0]);
        let missed = counts(100, &[(40, 49)], &[(36, 36), (53, 53)]);
        assert_eq!((missed.found, missed.false_alarms), (0, 2));
    }

    #[test]
    fn a_run_that_goes_on_is_wrong_again_and_again() {
        // 3 rows on each side are tolerated; 60 rows after and 29 before are left.
        let got = counts(200, &[(50, 59)], &[(18, 122)]);
        assert_eq!((got.found, got.false_alarms, got.overrun, got.alarms), (1, 0, 2, 1));
        let all = counts(3_000, &[(1_000, 1_009)], &[(0, 2_999)]);
        assert_eq!(all.overrun, 997 / 30 + (3_000 - 1_013) / 30);
        assert!(all.prf().f1 < 0.05);
    }

    #[test]
    fn one_run_may_find_two_events() {
        let got = counts(100, &[(10, 12), (30, 32)], &[(12, 30)]);
        assert_eq!((got.events, got.found, got.false_alarms, got.overrun), (2, 2, 0, 0));
        assert_eq!(got.delay_rows, [2.0, 0.0]);
    }

    #[test]
    fn no_events_and_no_flags() {
        let got = counts(50, &[], &[(3, 5), (9, 9)]);
        assert_eq!((got.events, got.false_alarms, got.wrong()), (0, 2, 2));
        assert_eq!(counts(50, &[(0, 0)], &[]).prf().recall, 0.0);
        assert_eq!(counts(0, &[], &[]), EventCounts::default());
    }
}
