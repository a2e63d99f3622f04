//! The ways there are to look at a host, by name, and sets of them.

use std::fmt;
use std::str::FromStr;

/// A way to look at all series of a host together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// The channels change together in an unusual way.
    Change,
    /// Many channels are odd by their own measure at once.
    Singles,
    /// The host is somewhere it never is.
    Level,
    /// Few random cuts set the host apart from what was sampled of its past.
    IsolationForest,
    /// Principal components that hold for most of its past do not rebuild it.
    RobustPca,
    /// It is far from every centre of its past.
    Kmeans,
    /// Channels that go together do not.
    CorrelationBreak,
}

impl Method {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Change,
        Self::Singles,
        Self::Level,
        Self::IsolationForest,
        Self::RobustPca,
        Self::Kmeans,
        Self::CorrelationBreak,
    ];

    /// Those that are fitted to a sample of the past.
    pub const NAMED: [Self; 4] = [Self::IsolationForest, Self::RobustPca, Self::Kmeans, Self::CorrelationBreak];

    /// Its name in configurations and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Singles => "singles",
            Self::Level => "level",
            Self::IsolationForest => "isolation_forest",
            Self::RobustPca => "robust_pca",
            Self::Kmeans => "kmeans",
            Self::CorrelationBreak => "correlation_break",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join("`, `");
        Self::ALL
            .into_iter()
            .find(|method| method.name() == name)
            .ok_or_else(|| format!("`{name}` is no method; there are `{}`", names()))
    }
}

/// Which methods a host is judged by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Methods(u8);

impl Methods {
    /// Whether `method` is one of them.
    #[must_use]
    pub fn has(self, method: Method) -> bool {
        self.0 & method.bit() != 0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// They, in the order of [`Method::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Method> {
        Method::ALL.into_iter().filter(move |method| self.has(*method))
    }

    /// As one byte of saved state.
    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    /// Back from a byte of saved state; `None` where it names what there is not.
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        (bits >> Method::ALL.len() == 0).then_some(Self(bits))
    }
}

impl FromIterator<Method> for Methods {
    fn from_iter<T: IntoIterator<Item = Method>>(methods: T) -> Self {
        Self(methods.into_iter().fold(0, |bits, method| bits | method.bit()))
    }
}

impl Default for Methods {
    /// The combination that was found best: see the page on accuracy.
    fn default() -> Self {
        [Method::Change, Method::Singles, Method::Level, Method::RobustPca, Method::CorrelationBreak]
            .into_iter()
            .collect()
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_a_wrong_one_is_told() {
        for method in Method::ALL {
            assert_eq!(method.name().parse(), Ok(method));
            assert_eq!(Methods::from_iter([method]).iter().collect::<Vec<_>>(), [method]);
        }
        let error = Method::from_str("forest").expect_err("no such method");
        assert!(error.contains("`forest`") && error.contains("`isolation_forest`"), "{error}");
    }

    #[test]
    fn sets_are_bytes() {
        let all: Methods = Method::ALL.into_iter().collect();
        assert_eq!(Methods::from_bits(all.bits()), Some(all));
        assert_eq!(Methods::from_bits(0x80), None);
        assert!(Methods::from_bits(0).is_some_and(Methods::is_empty));
    }
}
