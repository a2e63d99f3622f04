//! Values of made-up series: sequences as promtool writes them, and what is laid over them.
//!
//! `a` is one value, `axn` the value and n repeats of it, `a+bxn` and `a-bxn` n steps of b after a, `_` no sample,
//! `_xn` n times no sample, `NaN` and `NaNxn` no value, `stale` the end of the series. Source: documentation of Prometheus, unit testing for
//! rules.

use watchbell_series::STALE_NAN_BITS;

/// Samples of one series at most: a year of minutes.
const MOST: usize = 600_000;

/// Values in order; `None` for no sample.
pub(super) type Values = Vec<Option<f64>>;

/// Reads a sequence.
///
/// # Errors
/// The word that is none, and what is known.
pub(super) fn read(text: &str) -> Result<Values, String> {
    let mut out = Values::new();
    for word in text.split_whitespace() {
        let known =
            "known: `1`, `1x9` (ten times), `1+0.5x9` (nine steps up), `1-0.5x9`, `_`, `_x9`, `NaN`, `NaNx9`, `stale`";
        let wrong = || format!("`{word}` is no value; {known}");
        let (head, times) = match word.split_once('x') {
            Some((head, times)) => (head, times.parse::<usize>().map_err(|_| wrong())?),
            None => (word, 0),
        };
        if out.len().saturating_add(times) >= MOST {
            return Err(format!("more than {MOST} values"));
        }
        match head {
            "_" => out.extend(std::iter::repeat_n(None, times.max(1))),
            "stale" if !word.contains('x') => out.push(Some(f64::from_bits(STALE_NAN_BITS))),
            "NaN" => out.extend(std::iter::repeat_n(Some(f64::NAN), times + 1)),
            _ => {
                let (first, step) = first_and_step(head).ok_or_else(wrong)?;
                out.extend((0..=times).map(|i| Some(first + step * i as f64)));
            }
        }
    }
    if out.is_empty() { Err("no values".to_owned()) } else { Ok(out) }
}

/// `a`, `a+b` or `a-b`; a sign at the begin or after an exponent is no step.
fn first_and_step(text: &str) -> Option<(f64, f64)> {
    let number = |text: &str| text.parse::<f64>().ok().filter(|value| value.is_finite());
    if let Some(first) = number(text) {
        return Some((first, 0.0));
    }
    let is_step = |at: usize| {
        at > 0 && matches!(text.as_bytes()[at], b'+' | b'-') && !matches!(text.as_bytes()[at - 1], b'e' | b'E')
    };
    let at = (0..text.len()).find(|at| is_step(*at))?;
    let (first, step) = (number(&text[..at])?, number(&text[at + 1..])?);
    Some((first, if text.as_bytes()[at] == b'-' { -step } else { step }))
}

/// A wave that comes back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wave {
    /// How long one takes, seconds.
    pub(super) period_s: f64,
    /// How far it goes to each side.
    pub(super) amplitude: f64,
}

/// What is laid over a sequence.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Overlay {
    /// Standard deviation of the noise.
    pub(super) noise: f64,
    /// Seasons.
    pub(super) season: Vec<Wave>,
    /// What the noise is made of.
    pub(super) seed: u64,
    /// Least value.
    pub(super) min: Option<f64>,
    /// Greatest value.
    pub(super) max: Option<f64>,
    /// Whether values are whole numbers.
    pub(super) whole: bool,
}

impl Overlay {
    /// Lays it over `values`, which are `step_s` seconds apart.
    pub(super) fn apply(&self, values: &mut Values, step_s: f64) {
        for (i, value) in values.iter_mut().enumerate() {
            let Some(value) = value.as_mut().filter(|value| value.is_finite()) else { continue };
            let turn = |wave: &Wave| (i as f64 * step_s / wave.period_s).fract() * std::f64::consts::TAU;
            *value += self.season.iter().map(|wave| wave.amplitude * turn(wave).sin()).sum::<f64>();
            if self.noise > 0.0 {
                *value += self.noise * normal(self.seed, i as u64);
            }
            if self.whole {
                *value = value.round();
            }
            *value = value.max(self.min.unwrap_or(f64::NEG_INFINITY)).min(self.max.unwrap_or(f64::INFINITY));
        }
    }
}

/// Number `i` of a stream of normal numbers: the sum of twelve even ones.
fn normal(seed: u64, i: u64) -> f64 {
    let even = |k: u64| mix(seed ^ mix(i.wrapping_mul(12).wrapping_add(k))) as f64 / u64::MAX as f64;
    (0..12).map(even).sum::<f64>() - 6.0
}

/// splitmix64.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Sums values a second up to a counter.
pub(super) fn accumulate(values: &mut Values, step_s: f64) {
    let mut total = 0.0;
    for value in values.iter_mut().flatten().filter(|value| value.is_finite()) {
        total += value.max(0.0) * step_s;
        *value = total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences() {
        let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Values>();
        assert_eq!(read("1x4"), Ok(some(&[1.0; 5])));
        assert_eq!(read("-2+4x3 7"), Ok(some(&[-2.0, 2.0, 6.0, 10.0, 7.0])));
        assert_eq!(read("1-0.5x2"), Ok(some(&[1.0, 0.5, 0.0])));
        assert_eq!(read("1e-3 1e-3+1e-3x1"), Ok(some(&[0.001, 0.001, 0.002])));
        assert_eq!(read("_ 3 _x2"), Ok(vec![None, Some(3.0), None, None]));
        assert!(read("NaNx3").expect("read").iter().flatten().filter(|value| value.is_nan()).count() == 4);
        assert!(read("1 stale").expect("read")[1].is_some_and(|value| value.to_bits() == STALE_NAN_BITS));
        for text in ["", "x", "1x", "1xa", "a+1x2", "1+x2", "stalex2", "1x999999999", "inf", "NaN+1x3"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn overlays_are_the_same_each_time() {
        let overlay = Overlay {
            noise: 2.0,
            season: vec![Wave { period_s: 86_400.0, amplitude: 10.0 }],
            min: Some(0.0),
            seed: 3,
            ..Overlay::default()
        };
        let make = || {
            let mut values = read("100x1439 _ stale").expect("read");
            overlay.apply(&mut values, 60.0);
            values
        };
        let values: Vec<f64> = make().into_iter().flatten().filter(|v| v.is_finite()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let spread = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
        assert!((mean - 100.0).abs() < 0.3 && (7.0..7.7).contains(&spread), "{mean} {spread}");
        assert_eq!(format!("{:?}", make()), format!("{:?}", make()));
        assert_eq!(make()[1440], None);
    }

    #[test]
    fn counters_grow() {
        let mut values = read("2 _ 3 -1").expect("read");
        accumulate(&mut values, 10.0);
        assert_eq!(values, [Some(20.0), None, Some(50.0), Some(50.0)]);
    }
}
