//! At which length a row of numbers repeats itself.
//!
//! Of each lag the variance of the differences is taken, over the mean of those of all lags up to it, as the pitch of
//! a voice is found (de Cheveigné and Kawahara 2002, "YIN"). Noise has about 1 at every lag, a walk or a slow trend
//! more the longer the lag, and only what comes back less. The shortest lag that is low enough is the period.

/// Numbers that are looked at, at most.
pub(super) const MOST: usize = 64;
/// A lag must have been seen so many times.
const TIMES: f32 = 2.75;
/// Longest lag: as often in [`MOST`].
const LAGS: usize = 23;
/// A row repeats itself where the difference is less than this part of the usual one.
const ALIKE: f32 = 0.4;
/// Where it does so over a half, a third or a quarter of a lag, with less than this part, that is the period, for which the
/// steps are too long: one more exact is found with shorter ones.
const PART_ALIKE: f32 = 0.6;
/// Where the usual difference is less than this, it is of rounding.
const ROUGH: f32 = 8.0;
/// Of lags this near to the best the shortest counts.
const NEAR: f32 = 0.1;
/// Pairs that a difference needs.
const PAIRS: usize = 8;

/// The period of `x` in steps, if it has one of at least `least` of them.
pub(super) fn period(x: &[i8], least: usize) -> Option<f32> {
    let most = ((x.len() as f32 / TIMES) as usize).min(LAGS);
    // Differences over lags, and the means of them up to each.
    let (mut apart, mut usual) = ([0.0f32; LAGS + 2], [0.0f32; LAGS + 2]);
    let mut sum = 0.0;
    for lag in 1..=most + 1 {
        apart[lag] = difference(x, lag)?;
        sum += apart[lag];
        usual[lag] = sum / lag as f32;
    }
    let dips = |lag: usize| lag >= 2 && apart[lag] <= apart[lag - 1] && apart[lag] <= apart[lag + 1];
    let alike = |lag: &usize| dips(*lag) && usual[*lag] > ROUGH && apart[*lag] < ALIKE * usual[*lag];
    let lags = least.max(2)..=most;
    let share = |lag: usize| apart[lag] / usual[lag];
    let best = lags.clone().filter(alike).map(share).fold(f32::INFINITY, f32::min);
    let lag = lags.into_iter().filter(alike).find(|lag| share(*lag) <= best + NEAR)?;
    let shorter = (2..=4).filter(|times| lag / times >= 2).any(|times| {
        let part = (lag + times / 2) / times;
        (part - 1..=part + 1).any(|part| dips(part) && apart[part] < PART_ALIKE * usual[lag])
    });
    (!shorter).then(|| refined(x, lag as f32 + vertex(apart[lag - 1], apart[lag], apart[lag + 1])))
}

/// The variance of the differences of numbers `lag` apart: a slow climb is no part of it.
fn difference(x: &[i8], lag: usize) -> Option<f32> {
    let pairs = x.len().checked_sub(lag).filter(|pairs| *pairs >= PAIRS)?;
    let (mut sum, mut square) = (0i32, 0i32);
    for (a, b) in x.iter().zip(&x[lag..]) {
        let apart = i32::from(*b) - i32::from(*a);
        (sum, square) = (sum + apart, square + apart * apart);
    }
    let mean = sum as f32 / pairs as f32;
    Some((square as f32 / pairs as f32 - mean * mean).max(0.0))
}

/// A period made more exact by its multiples: what a lag of several of them is off by, each is by so much less.
fn refined(x: &[i8], mut period: f32) -> f32 {
    for times in 2u8.. {
        let times = f32::from(times);
        let lag = (times * period + 0.5) as usize;
        let around = [difference(x, lag - 1), difference(x, lag), difference(x, lag + 1)];
        let [Some(before), Some(at), Some(after)] = around else { break };
        if at > before || at > after {
            break;
        }
        period = (lag as f32 + vertex(before, at, after)) / times;
    }
    period
}

/// Where between -0.5 and 0.5 the parabola through three numbers has its lowest point.
fn vertex(before: f32, at: f32, after: f32) -> f32 {
    let bend = before - 2.0 * at + after;
    if bend > 0.0 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::dither;

    /// 64 steps of `shape`, a function of the place in the period, with `noise`.
    fn steps(period: f32, noise: f32, shape: fn(f32) -> f32) -> [i8; MOST] {
        std::array::from_fn(|i| {
            let place = i as f32 / period;
            (40.0 * shape(place - place.floor()) + noise * (dither(i as u64) - 0.5)) as i8
        })
    }

    #[test]
    fn finds_waves_and_pulses_of_any_length() {
        let wave = |place: f32| (std::f32::consts::TAU * place).sin();
        let pulse = |place: f32| if place < 0.25 { 1.0 } else { -0.3 };
        for period in [8.0f32, 9.33, 12.0, 14.6, 17.5, 21.0] {
            for found in [period_of(&steps(period, 20.0, wave)), period_of(&steps(period, 20.0, pulse))] {
                assert!((found / period - 1.0).abs() < 0.02, "{period} {found}");
            }
        }
    }

    fn period_of(x: &[i8]) -> f32 {
        period(x, 8).unwrap_or(f32::NAN)
    }

    #[test]
    fn noise_a_step_and_a_slope_have_none() {
        assert_eq!(period(&[0; MOST], 4), None);
        assert_eq!(period(&std::array::from_fn::<i8, MOST, _>(|i| i as i8), 4), None);
        assert_eq!(period(&std::array::from_fn::<i8, MOST, _>(|i| if i > 30 { 50 } else { 0 }), 4), None);
        assert_eq!(period(&steps(10.0, 80.0, |_| 0.0), 8), None);
        assert_eq!(period(&[1, 2, 3], 4), None);
    }
}
