//! What rules and metadata say of a series, in the form the hot path wants.
//!
//! A million series share a few dozen sets of rules; each set is kept once and a series holds its number.

use std::collections::HashMap;

use watchbell_series::{Direction, SeriesSpec};

use crate::math::log10;

/// One set of rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) direction: Direction,
    pub(crate) min_deviation: f32,
    pub(crate) min_relative: f32,
    pub(crate) legal_min: f64,
    pub(crate) legal_max: f64,
    /// Added to the powers of ten that make 1.0: twice the sensitivity accepts twice the false alarms.
    pub(crate) t_shift: f32,
    pub(crate) flatline: bool,
    pub(crate) missing: bool,
    /// Every deviation counts: neither a direction nor a least deviation is set.
    pub(crate) every_deviation: bool,
}

impl Rules {
    fn new(spec: &SeriesSpec) -> Self {
        // A limit that is not a number is no limit.
        let positive = |x: f64| if x > 0.0 { x.min(1e30) as f32 } else { 0.0 };
        let (min_deviation, min_relative) = (positive(spec.min_deviation), positive(spec.min_relative_deviation));
        let sensitivity = positive(spec.sensitivity);
        Self {
            direction: spec.direction,
            min_deviation,
            min_relative,
            legal_min: if spec.legal_min.is_nan() { f64::NEG_INFINITY } else { spec.legal_min },
            legal_max: if spec.legal_max.is_nan() { f64::INFINITY } else { spec.legal_max },
            t_shift: if sensitivity > 0.0 { -log10(sensitivity.clamp(0.01, 100.0)) } else { 0.0 },
            flatline: spec.flatline,
            missing: spec.missing,
            every_deviation: spec.direction == Direction::Both && min_deviation == 0.0 && min_relative == 0.0,
        }
    }

    /// Whether `value` is outside the legal range.
    pub(crate) fn illegal(&self, value: f64) -> bool {
        value < self.legal_min || value > self.legal_max
    }
}

type Key = (u8, [u64; 5], bool, bool);

fn key(spec: &SeriesSpec) -> Key {
    let numbers = [spec.min_deviation, spec.min_relative_deviation, spec.legal_min, spec.legal_max, spec.sensitivity];
    (spec.direction as u8, numbers.map(f64::to_bits), spec.flatline, spec.missing)
}

/// All sets of rules in use; a set once seen stays for the life of the shard.
#[derive(Debug, Default)]
pub(crate) struct RuleBook {
    rules: Vec<Rules>,
    by_key: HashMap<Key, u32>,
}

impl RuleBook {
    /// The number of the rules of `spec`.
    pub(crate) fn number(&mut self, spec: &SeriesSpec) -> u32 {
        *self.by_key.entry(key(spec)).or_insert_with(|| {
            self.rules.push(Rules::new(spec));
            self.rules.len() as u32 - 1
        })
    }

    /// The rules with a number that [`RuleBook::number`] gave.
    pub(crate) fn get(&self, number: u32) -> &Rules {
        &self.rules[number as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_specs_share_a_number() {
        let mut book = RuleBook::default();
        let plain = book.number(&SeriesSpec::default());
        let up = book.number(&SeriesSpec { direction: Direction::Up, ..SeriesSpec::default() });
        assert_ne!(plain, up);
        assert_eq!(book.number(&SeriesSpec::default()), plain);
        assert!(book.get(plain).every_deviation && !book.get(up).every_deviation);
    }

    #[test]
    fn nonsense_is_no_limit() {
        let spec =
            SeriesSpec { min_deviation: f64::NAN, legal_min: f64::NAN, sensitivity: -1.0, ..SeriesSpec::default() };
        let rules = Rules::new(&spec);
        assert!(rules.every_deviation && !rules.illegal(-1e300) && rules.t_shift == 0.0);
    }
}
