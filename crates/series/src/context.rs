//! What a team has already told its monitoring: limits, planned quiet, problems. Plain data, in the words of the
//! source that tells it; the service resolves whom it is about and in which unit it counts.

use crate::matcher::Matcher;

/// What a piece of context is about, in the words of the source that tells it.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// Everything.
    All,
    /// A host, by the name that the series of that source carry; it goes through the entity resolver.
    Host(Box<str>),
    /// Series on whose labels all of these hold; the name may be the source's own or the common one.
    Series(Vec<Matcher>),
}

/// How bad it is to be past a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitSeverity {
    /// Somebody should look in time.
    Warning,
    /// Somebody should look now.
    Critical,
    /// No limit that people set: no value can be past it, such as the `min` and `max` of performance data.
    Legal,
}

impl LimitSeverity {
    /// All, the least first.
    pub const ALL: [Self; 3] = [Self::Warning, Self::Critical, Self::Legal];

    /// `warning`, `critical` or `legal`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Legal => "legal",
        }
    }
}

/// Outside of it (or inside of it, if `inside`) the source's owner wants to be told. Both ends belong to the range,
/// as in the guidelines for monitoring plugins. Values are in the unit of the source's own series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimitRange {
    /// Lower end; `None` for none.
    pub low: Option<f64>,
    /// Upper end; `None` for none.
    pub high: Option<f64>,
    /// Whether the range is where it is bad, not where it is good.
    pub inside: bool,
}

impl LimitRange {
    /// Bad above `high`.
    #[must_use]
    pub const fn above(high: f64) -> Self {
        Self { low: None, high: Some(high), inside: false }
    }

    /// Bad below `low`.
    #[must_use]
    pub const fn below(low: f64) -> Self {
        Self { low: Some(low), high: None, inside: false }
    }

    /// Whether somebody wants to be told of `value`. A range without ends says nothing.
    #[must_use]
    pub fn is_crossed(&self, value: f64) -> bool {
        let within = self.low.is_none_or(|low| value >= low) && self.high.is_none_or(|high| value <= high);
        (self.low.is_some() || self.high.is_some()) && value.is_finite() && within == self.inside
    }
}

/// A limit that people set on a series.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownLimit {
    /// Stable in its source: the id of a trigger, the name of a rule.
    pub id: String,
    /// The series.
    pub subject: Subject,
    /// How bad it is.
    pub severity: LimitSeverity,
    /// Where it is bad.
    pub range: LimitRange,
    /// For people.
    pub name: String,
    /// Since when its source waits to see it again, milliseconds since the Unix epoch, where it goes by what it told
    /// before a restart; `None` where it saw it since, or began just now.
    pub unseen_since_ms: Option<i64>,
}

/// Planned quiet: alerts of the subject are muted, and its learning is protected. Both ends belong to it.
#[derive(Debug, Clone, PartialEq)]
pub struct QuietWindow {
    /// Stable in its source.
    pub id: String,
    /// Whom it is about.
    pub subject: Subject,
    /// First millisecond since the Unix epoch.
    pub starts_ms: i64,
    /// Last one; `None` while its end is not known.
    pub ends_ms: Option<i64>,
    /// For people: who planned what.
    pub reason: String,
}

impl QuietWindow {
    /// Whether `ts_ms` is in it.
    #[must_use]
    pub fn covers(&self, ts_ms: i64) -> bool {
        ts_ms >= self.starts_ms && self.ends_ms.is_none_or(|end| ts_ms <= end)
    }
}

/// A problem that another tool found.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignProblem {
    /// Stable in its source.
    pub id: String,
    /// Whom it is about.
    pub subject: Subject,
    /// When it began, milliseconds since the Unix epoch.
    pub starts_ms: i64,
    /// When it ended; `None` while it lasts.
    pub ends_ms: Option<i64>,
    /// For people.
    pub name: String,
    /// 0 for what is not classified to 5 for a disaster, as Zabbix counts.
    pub severity: u8,
    /// Whether somebody said that they know of it.
    pub acknowledged: bool,
}

impl ForeignProblem {
    /// The severity as Zabbix calls it: `not_classified`, `information`, `warning`, `average`, `high` or `disaster`.
    #[must_use]
    pub const fn severity_word(&self) -> &'static str {
        match self.severity {
            0 => "not_classified",
            1 => "information",
            2 => "warning",
            3 => "average",
            4 => "high",
            _ => "disaster",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_crossed_outside_or_inside_of_their_range() {
        let between = LimitRange { low: Some(10.0), high: Some(20.0), inside: false };
        let inside = LimitRange { inside: true, ..between };
        for (value, bad) in [(9.9, true), (10.0, false), (20.0, false), (20.1, true)] {
            assert_eq!(between.is_crossed(value), bad, "{value}");
            assert_eq!(inside.is_crossed(value), !bad, "@{value}");
        }
        assert!(LimitRange::above(90.0).is_crossed(90.1) && !LimitRange::above(90.0).is_crossed(90.0));
        assert!(LimitRange::below(5.0).is_crossed(4.0) && !LimitRange::below(5.0).is_crossed(5.0));
        assert!(!LimitRange::above(90.0).is_crossed(f64::NAN));
        assert!(!LimitRange { low: None, high: None, inside: true }.is_crossed(1.0), "it says nothing");
    }

    #[test]
    fn a_window_covers_both_of_its_ends() {
        let mut window = QuietWindow {
            id: "1".to_owned(),
            subject: Subject::All,
            starts_ms: 10,
            ends_ms: Some(20),
            reason: String::new(),
        };
        assert_eq!([9, 10, 20, 21].map(|ts| window.covers(ts)), [false, true, true, false]);
        window.ends_ms = None;
        assert!(window.covers(i64::MAX));
    }
}
