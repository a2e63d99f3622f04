//! What people said of alerts: a false alarm raises the edge of its series for anomalies of its kind, for a while.

use std::collections::BTreeMap;

use watchbell_series::{Pattern, SeriesId};

/// The edge a false alarm asks for: so many times its peak, within these bounds.
const OVER_PEAK: f32 = 1.1;
const RAISED: (f32, f32) = (1.25, 3.0);
/// After so long half of it is left.
const HALF_MS: f64 = 30.0 * 86_400_000.0;
/// Less than this is nothing.
const LEAST: f32 = 1.02;
/// Marks of one series.
const MAX_MARKS: usize = 8;
/// Series with marks.
const MAX_SERIES: usize = 100_000;

/// What a person says of an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It was nothing.
    FalseAlarm,
    /// It was real.
    Confirmed,
    /// It was real, and known before: maintenance, a load test.
    Expected,
}

impl Judgement {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::FalseAlarm, Self::Confirmed, Self::Expected];

    /// The word in the API and the journal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FalseAlarm => "false_alarm",
            Self::Confirmed => "confirmed",
            Self::Expected => "expected",
        }
    }

    /// The judgement of this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    pattern: Pattern,
    at_ms: i64,
    edge: f32,
}

/// The false alarms that still count, by series.
#[derive(Debug, Default)]
pub struct Marks(BTreeMap<SeriesId, Vec<Mark>>);

impl Marks {
    /// A false alarm of this kind, said at `at_ms`, whose score reached `peak`. Nothing where its kind knows no
    /// score. Whether it raises an edge.
    pub fn add(&mut self, id: SeriesId, pattern: Pattern, peak: f32, at_ms: i64) -> bool {
        let full = self.0.len() >= MAX_SERIES && !self.0.contains_key(&id);
        if full || super::is_certain(pattern) {
            return false;
        }
        let peak = if peak.is_finite() { peak } else { 1.0 };
        let marks = self.0.entry(id).or_default();
        if marks.len() >= MAX_MARKS {
            marks.remove(0);
        }
        marks.push(Mark { pattern, at_ms, edge: (OVER_PEAK * peak).clamp(RAISED.0, RAISED.1) });
        true
    }

    /// The edge of a series for anomalies of this kind at `now_ms`, at least 1.0.
    #[must_use]
    pub fn edge(&self, id: SeriesId, pattern: Pattern, now_ms: i64) -> f32 {
        let Some(marks) = self.0.get(&id) else { return 1.0 };
        let of_kind = marks.iter().filter(|mark| mark.pattern == pattern);
        let left = |mark: &Mark| {
            let halves = now_ms.saturating_sub(mark.at_ms).max(0) as f64 / HALF_MS;
            1.0 + (mark.edge - 1.0) * (-halves).exp2() as f32
        };
        let edge = of_kind.map(left).fold(1.0, f32::max);
        if edge < LEAST { 1.0 } else { edge }
    }

    /// Lets go of what no longer counts.
    pub fn forget(&mut self, now_ms: i64) {
        let old_ms = now_ms.saturating_sub((HALF_MS * 8.0) as i64);
        self.0.retain(|_, marks| {
            marks.retain(|mark| mark.at_ms >= old_ms);
            !marks.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn a_false_alarm_raises_the_edge_of_its_kind_for_a_while() {
        let (mut marks, id) = (Marks::default(), SeriesId(1));
        assert!(marks.add(id, Pattern::Spike, 2.0, 0));
        let edge = |marks: &Marks, day: i64| marks.edge(id, Pattern::Spike, day * DAY);
        assert!((edge(&marks, 0) - 2.2).abs() < 1e-5 && (edge(&marks, 30) - 1.6).abs() < 1e-5);
        assert_eq!((edge(&marks, 365), marks.edge(id, Pattern::Dip, 0)), (1.0, 1.0));
        assert_eq!(marks.edge(SeriesId(2), Pattern::Spike, 0), 1.0);
        marks.forget(300 * DAY);
        assert!(marks.0.is_empty());
    }

    #[test]
    fn it_is_bounded_and_what_is_certain_is_not_touched() {
        let (mut marks, id) = (Marks::default(), SeriesId(1));
        for peak in [f32::NAN, 0.0, 1e9].repeat(20) {
            marks.add(id, Pattern::Spike, peak, 0);
        }
        assert!(marks.edge(id, Pattern::Spike, 0) <= RAISED.1 && marks.0[&id].len() == MAX_MARKS);
        assert!(!marks.add(id, Pattern::Missing, 1.5, 0) && !marks.add(id, Pattern::Illegal, 1.5, 0));
        assert_eq!(marks.edge(id, Pattern::Illegal, 0), 1.0);
    }

    #[test]
    fn words_are_read_back() {
        for judgement in Judgement::ALL {
            assert_eq!(Judgement::of(judgement.as_str()), Some(judgement));
        }
        assert_eq!(Judgement::of("maybe"), None);
    }
}
