//! The parts of a host's score, and the score they make.

use super::method::Method;
use super::{EDGE, EDGE_ALONE};
use crate::math::{exp, ln};

/// Weight of the change head in the geometric mean; the rest of 1 is the single verdicts'.
pub(crate) const CHANGE_WEIGHT: f32 = 0.6;
/// Weight of the two together among all that decide.
pub(crate) const PAIR_WEIGHT: f32 = 0.6;
/// What the level adds to the decision.
pub(crate) const LEVEL_WEIGHT: f32 = 0.1;
/// What the level counts for in the rank of a tick.
pub(crate) const RANKED_LEVEL: f32 = 1.5;
/// What the level counts for among what made the score.
const LEVEL_SHARE: f32 = 0.6;
/// By how much less [`VOICES`] need than one,
pub(crate) const AGREED: f32 = 0.1;
/// equal ones; those of the default amount to 2.2: `1 / (0.6^2 + 0.3^2 + 0.1^2)`.
const VOICES: f32 = 2.63;
/// No model known by name counts for more: one that was fitted to a sample can be surprised without end.
pub(crate) const MOST_NAMED: f32 = 2.0;
/// No head counts for less in the geometric mean.
const LEAST_PART: f32 = 0.01;

/// The parts of a host's score, each on its scale: 1.0 = the edge. NaN where it is not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parts {
    /// Channels change together in an unusual way.
    pub change: f32,
    /// The host is somewhere it never is.
    pub level: f32,
    /// Several channels are rare by their own measure at once.
    pub singles: f32,
    /// Few random cuts set it apart from its past.
    pub isolation_forest: f32,
    /// What channels usually share does not rebuild it.
    pub robust_pca: f32,
    /// It is far from all places where it usually is.
    pub kmeans: f32,
    /// Channels that go together do not.
    pub correlation_break: f32,
    /// Share of channels over their own edge; see [`host_score`](crate::host_score). A second signal, not in the score.
    pub rollup: f32,
}

impl Parts {
    pub(crate) const UNKNOWN: Self = Self {
        change: f32::NAN,
        level: f32::NAN,
        singles: f32::NAN,
        isolation_forest: f32::NAN,
        robust_pca: f32::NAN,
        kmeans: f32::NAN,
        correlation_break: f32::NAN,
        rollup: f32::NAN,
    };

    /// What `method` says.
    #[must_use]
    pub fn of(&self, method: Method) -> f32 {
        match method {
            Method::Change => self.change,
            Method::Singles => self.singles,
            Method::Level => self.level,
            Method::IsolationForest => self.isolation_forest,
            Method::RobustPca => self.robust_pca,
            Method::Kmeans => self.kmeans,
            Method::CorrelationBreak => self.correlation_break,
        }
    }

    /// Takes what the models known by name say, in the order of [`Method::NAMED`].
    pub(crate) fn set_named(&mut self, said: [f32; 4]) {
        [self.isolation_forest, self.robust_pca, self.kmeans, self.correlation_break] = said;
    }

    /// The largest part that is known; NaN where none is.
    #[must_use]
    pub fn highest(&self) -> f32 {
        Method::ALL.into_iter().map(|method| self.of(method)).fold(self.rollup, f32::max)
    }

    /// The pair of the change head and the single verdicts: their geometric mean, so that a shared move that no
    /// channel finds odd and loud channels that share nothing are both seen less; of one alone more is asked.
    fn pair(&self) -> Option<f32> {
        let part = |x: f32| ln(x.max(LEAST_PART));
        match (self.change.is_nan(), self.singles.is_nan()) {
            (false, false) => Some(exp(CHANGE_WEIGHT * part(self.change) + (1.0 - CHANGE_WEIGHT) * part(self.singles))),
            (false, true) => Some(self.change * (EDGE / EDGE_ALONE)),
            (true, false) => Some(self.singles * (EDGE / EDGE_ALONE)),
            (true, true) => None,
        }
    }

    /// The voices that decide and are known, with their weights.
    fn voices(&self) -> impl Iterator<Item = (f32, f32)> {
        let pair = self.pair().unwrap_or(f32::NAN);
        // Of models known by name alone as much more is asked as of one head alone.
        let alone = if pair.is_nan() { EDGE / EDGE_ALONE } else { 1.0 };
        let said = move |x: f32| if x.is_nan() { x } else { x.min(MOST_NAMED) * alone };
        let named = Method::NAMED.into_iter().map(move |method| (named_weight(method), said(self.of(method))));
        let voices = std::iter::once((PAIR_WEIGHT, pair)).chain(named);
        voices.filter(|(_, said)| !said.is_nan())
    }

    /// What decides: the weighted mean of the voices, of which each needs a little less where others are heard, and
    /// a little of the level. `None` where nothing is known.
    pub(crate) fn decides(&self) -> Option<f32> {
        // Of what is not known the maximum is 0.
        let level = self.level.max(0.0);
        let (mut sum, mut weights, mut squares) = (0.0, 0.0, 0.0);
        for (weight, said) in self.voices() {
            sum += weight * said;
            weights += weight;
            squares += weight * weight;
        }
        if weights == 0.0 {
            return (!self.level.is_nan()).then_some(level);
        }
        // How many equal voices these amount to.
        let voices = weights * weights / squares;
        let edge = 1.0 - AGREED * ((voices - 1.0) / (VOICES - 1.0)).min(1.0);
        Some((sum / weights + LEVEL_WEIGHT * level) / edge)
    }

    /// What ranks a tick beside what decides: the pair, the single verdicts and the level; NaN where not known.
    pub(crate) fn ranks(&self) -> [f32; 3] {
        let level = if self.level.is_nan() { f32::NAN } else { RANKED_LEVEL * self.level.max(0.0) };
        [self.pair().unwrap_or(f32::NAN), self.singles, level]
    }

    /// How much of the score is due to `method`.
    pub(crate) fn share(&self, method: Method) -> f32 {
        let part = self.of(method);
        if part.is_nan() {
            return 0.0;
        }
        let pair = PAIR_WEIGHT * self.pair().unwrap_or(0.0);
        match method {
            Method::Change => CHANGE_WEIGHT * pair,
            Method::Singles => (1.0 - CHANGE_WEIGHT) * pair,
            Method::Level => part.max(0.0) * LEVEL_SHARE,
            _ => named_weight(method) * part.min(MOST_NAMED),
        }
    }
}

/// Weight of a model known by name; 0 of others.
fn named_weight(method: Method) -> f32 {
    match method {
        Method::CorrelationBreak => 0.3,
        Method::Kmeans => 0.2,
        Method::RobustPca | Method::IsolationForest => 0.1,
        Method::Change | Method::Singles | Method::Level => 0.0,
    }
}
