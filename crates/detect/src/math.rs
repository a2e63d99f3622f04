//! Logarithm, exponential and dither, in plain arithmetic only.
//!
//! The mathematical functions of the platform differ in their last bit from one system to the next and
//! cost several times as much. These are exact to a few units in the last place and the same everywhere,
//! which keeps a score reproducible.

/// ln 10.
pub(crate) const LN_10: f32 = std::f32::consts::LN_10;
/// log10 e.
pub(crate) const LOG10_E: f32 = std::f32::consts::LOG10_E;

/// Natural logarithm of a positive, normal number; the smallest normal one stands for anything below it.
pub(crate) fn ln(x: f32) -> f32 {
    let bits = x.clamp(f32::MIN_POSITIVE, f32::MAX).to_bits();
    // The mantissa is moved to 0.707..1.414, where the series below converges fastest.
    let shifted = bits.wrapping_sub(0x3f35_04f3);
    let exponent = (shifted as i32) >> 23;
    let mantissa = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(0x3f35_04f3));
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let t2 = t * t;
    let series = 2.0 * t * (1.0 + t2 * (1.0 / 3.0 + t2 * (0.2 + t2 * (1.0 / 7.0))));
    exponent as f32 * std::f32::consts::LN_2 + series
}

/// Decimal logarithm, as [`ln`].
pub(crate) fn log10(x: f32) -> f32 {
    ln(x) * LOG10_E
}

/// e to the power of `x`, for -80..80; beyond, the value at that end.
pub(crate) fn exp(x: f32) -> f32 {
    let x = x.clamp(-80.0, 80.0);
    // Rounded by a cast: `round` is a call into the platform's library.
    let twos = (x * std::f32::consts::LOG2_E + if x < 0.0 { -0.5 } else { 0.5 }) as i32;
    let r = x - twos as f32 * std::f32::consts::LN_2;
    let series = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r / 720.0)))));
    series * f32::from_bits(((twos + 127) as u32) << 23)
}

/// A number in 0..1 that depends on `seed` alone and is spread evenly over seeds (splitmix64).
pub(crate) fn dither(seed: u64) -> f32 {
    let mut h = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((h ^ (h >> 31)) >> 40) as f32 / (1u32 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_platform() {
        for i in -300..300 {
            let x = 1.25f32.powi(i);
            assert!((ln(x) - x.ln()).abs() <= 2e-6 * x.ln().abs().max(1.0), "ln {x}");
            let y = i as f32 / 8.0;
            assert!((exp(y) / y.exp() - 1.0).abs() < 2e-5, "exp {y}");
        }
        assert!((log10(1000.0) - 3.0).abs() < 1e-5);
        assert!(ln(0.0).is_finite() && ln(f32::INFINITY).is_finite() && exp(1e9).is_finite());
    }

    #[test]
    fn dither_is_even() {
        let mean = (0..10_000).map(|i| dither(i << 20)).sum::<f32>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
