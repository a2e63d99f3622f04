//! The parts of a host's score, and the score they make.

use super::method::Method;
use super::state::{JointStateError, Reader, Writer};
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
/// Heads do not see an incident at the same tick: each says at least this part of what it said the tick before.
pub(crate) const RECENT: f32 = 0.85;
/// What they said counts for no more than this afterwards: one number out of all bounds must not ring for hours.
const MOST_RECENT: f32 = 10.0;
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

    fn part(&mut self, method: Method) -> &mut f32 {
        match method {
            Method::Change => &mut self.change,
            Method::Singles => &mut self.singles,
            Method::Level => &mut self.level,
            Method::IsolationForest => &mut self.isolation_forest,
            Method::RobustPca => &mut self.robust_pca,
            Method::Kmeans => &mut self.kmeans,
            Method::CorrelationBreak => &mut self.correlation_break,
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

    /// The voices that decide and are known, with their weights. Beside the pair, that no correlation is broken
    /// counts as far as they were `tested`.
    fn voices(&self, tested: f32) -> impl Iterator<Item = (f32, f32)> {
        let pair = self.pair().unwrap_or(f32::NAN);
        // Of models known by name alone as much more is asked as of one head alone.
        let alone = if pair.is_nan() { EDGE / EDGE_ALONE } else { 1.0 };
        let said = move |x: f32| if x.is_nan() { x } else { x.min(MOST_NAMED) * alone };
        let named = Method::NAMED.into_iter().map(move |method| {
            let said = said(self.of(method));
            let partly = method == Method::CorrelationBreak && !pair.is_nan();
            let heard = if partly { tested.max(said.min(1.0)) } else { 1.0 };
            (named_weight(method) * heard, said)
        });
        let voices = std::iter::once((PAIR_WEIGHT, pair)).chain(named);
        voices.filter(|(_, said)| !said.is_nan())
    }

    /// What decides: the weighted mean of the voices, and a little of the level. `None` where nothing is known.
    pub(crate) fn decides(&self, tested: f32) -> Option<f32> {
        // Of what is not known the maximum is 0.
        let level = self.level.max(0.0);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (weight, said) in self.voices(tested) {
            sum += weight * said;
            weights += weight;
        }
        if weights == 0.0 {
            return (!self.level.is_nan()).then_some(level);
        }
        Some(sum / weights + LEVEL_WEIGHT * level)
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

/// What each head said of late.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Recent([f32; Method::ALL.len()]);

impl Recent {
    /// Nothing was said.
    pub(crate) const NEW: Self = Self([0.0; Method::ALL.len()]);

    /// Takes in what the heads say now; all as they are, but no less than a part of what they said before. The level
    /// is slow by itself.
    pub(crate) fn hear(&mut self, now: &Parts) -> Parts {
        let mut heard = *now;
        for (method, before) in Method::ALL.into_iter().zip(&mut self.0) {
            let part = heard.part(method);
            let after = RECENT * *before;
            *before = part.max(after).min(MOST_RECENT);
            if !part.is_nan() && method != Method::Level {
                *part = part.max(after);
            }
        }
        heard
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.slice(&self.0);
    }

    pub(crate) fn read(r: &mut Reader<'_>) -> Result<Self, JointStateError> {
        let mut recent = Self::NEW;
        for said in &mut recent.0 {
            *said = r.within("said of late", 0.0, MOST_RECENT)?;
        }
        Ok(recent)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// All heads silent but these two.
    fn parts(change: f32, singles: f32) -> Parts {
        Parts { change, singles, robust_pca: 0.0, correlation_break: 0.0, level: 0.0, ..Parts::UNKNOWN }
    }

    #[test]
    fn heads_that_speak_one_after_the_other_are_heard_together() {
        let (first, then) = (parts(1.8, 0.1), parts(0.1, 1.8));
        let mut recent = Recent::NEW;
        let decides = |heard: Parts| heard.decides(0.0).expect("known");
        let alone = decides(first).max(decides(then));
        recent.hear(&first);
        assert!(decides(recent.hear(&then)) > 2.0 * alone);
        // Forgotten after a while, and what is not known stays so.
        for _ in 0..40 {
            recent.hear(&Parts::UNKNOWN);
        }
        let heard = recent.hear(&then);
        assert!((decides(heard) / decides(then) - 1.0).abs() < 0.02 && heard.kmeans.is_nan());
        recent.hear(&parts(f32::INFINITY, 0.0));
        assert!((0..20).map(|_| recent.hear(&parts(0.0, 0.0)).change).last() < Some(1.0));
    }

    #[test]
    fn unbroken_correlations_hold_down_what_tested_them() {
        let moved = parts(1.3, 1.3);
        let decides = |tested: f32| moved.decides(tested).expect("known");
        assert!(decides(0.0) > 1.0, "nothing that is correlated moved: {}", decides(0.0));
        assert!(decides(1.0) < 1.0, "all moved as it does: {}", decides(1.0));
        let broken = Parts { correlation_break: 1.5, ..moved };
        assert_eq!(broken.decides(0.0), broken.decides(1.0), "what is broken counts in full");
        let only = Parts { correlation_break: 0.2, ..Parts::UNKNOWN };
        assert!(only.decides(0.0).is_some_and(|decides| decides > 0.0));
    }
}
