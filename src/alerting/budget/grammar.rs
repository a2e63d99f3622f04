//! How a user states a budget: `1 per host per week`, `0.01%`, `none`.

use std::fmt;
use std::str::FromStr;

/// How many alerts are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Budget {
    /// Any number.
    #[default]
    None,
    /// So many of each unit in a week.
    PerWeek(Scope, f64),
    /// This share of the samples of each series, 0 to 1.
    Share(f64),
}

/// The unit of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A host; a series that belongs to none is a unit of its own.
    Host,
    /// A series.
    Series,
    /// What the label `service` names, or `app`, or `job`; where there is none the host.
    Service,
}

const SCOPES: [(&str, Scope); 3] = [("host", Scope::Host), ("series", Scope::Series), ("service", Scope::Service)];
/// Periods and how many of them a week has.
const PERIODS: [(&str, f64); 4] = [("hour", 168.0), ("day", 7.0), ("week", 1.0), ("month", 7.0 / 30.0)];

impl Scope {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        SCOPES.iter().find(|(_, scope)| *scope == self).map_or("", |(word, _)| word)
    }
}

impl Budget {
    /// Its unit; `None` where there is no budget.
    #[must_use]
    pub fn scope(self) -> Option<Scope> {
        match self {
            Self::None => None,
            Self::PerWeek(scope, _) => Some(scope),
            Self::Share(_) => Some(Scope::Series),
        }
    }

    /// Alerts accepted of each unit in a week, where a series has `samples` of them in a week.
    #[must_use]
    pub fn per_week(self, samples: f64) -> Option<f64> {
        match self {
            Self::None => None,
            Self::PerWeek(_, per_week) => Some(per_week),
            Self::Share(share) => Some(share * samples),
        }
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "write it as `1 per host per week` (host, series or service; hour, day, week or month), \
                            as a share of samples such as `0.01%`, or as `none`";
        let wrong = || format!("`{text}` is no budget; {FORM}");
        let number = |word: &str| word.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0).ok_or_else(wrong);
        if text == "none" {
            return Ok(Self::None);
        }
        if let Some(percent) = text.strip_suffix('%') {
            let share = number(percent.trim_end())? / 100.0;
            return if share <= 1.0 { Ok(Self::Share(share)) } else { Err(wrong()) };
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let [count, "per", scope, "per", period] = words[..] else { return Err(wrong()) };
        let scope = SCOPES.iter().find(|(word, _)| *word == scope).ok_or_else(wrong)?.1;
        let periods = PERIODS.iter().find(|(word, _)| *word == period).ok_or_else(wrong)?.1;
        Ok(Self::PerWeek(scope, number(count)? * periods))
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::PerWeek(scope, per_week) => write!(f, "{per_week} per {} per week", scope.as_str()),
            Self::Share(share) => write!(f, "{}%", share * 100.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_meant() {
        for (text, budget) in [
            ("none", Budget::None),
            ("1 per host per week", Budget::PerWeek(Scope::Host, 1.0)),
            ("0.5 per series per day", Budget::PerWeek(Scope::Series, 3.5)),
            ("2  per service per month", Budget::PerWeek(Scope::Service, 14.0 / 30.0)),
            ("1 per host per hour", Budget::PerWeek(Scope::Host, 168.0)),
            ("0.01%", Budget::Share(0.01 / 100.0)),
            ("100 %", Budget::Share(1.0)),
        ] {
            assert_eq!(text.parse(), Ok(budget), "{text}");
            assert_eq!(budget.to_string().parse::<Budget>(), Ok(budget), "{budget}");
        }
    }

    #[test]
    fn nonsense_is_told_with_what_to_write() {
        for text in [
            "",
            "1",
            "one per host per week",
            "1 per week",
            "1 per host",
            "1 per hosts per week",
            "1 per host per year",
            "-1 per host per week",
            "0 per host per week",
            "inf per host per week",
            "NaN%",
            "0%",
            "101%",
            "1 per host per week!",
        ] {
            let error = text.parse::<Budget>().expect_err(text);
            assert!(error.contains("`1 per host per week`"), "{error}");
        }
    }

    #[test]
    fn a_share_goes_by_the_samples() {
        assert_eq!(Budget::Share(1e-4).per_week(10_000.0), Some(1.0));
        assert_eq!(Budget::PerWeek(Scope::Host, 2.0).per_week(1.0), Some(2.0));
        assert_eq!((Budget::None.per_week(1.0), Budget::None.scope()), (None, None));
    }
}
