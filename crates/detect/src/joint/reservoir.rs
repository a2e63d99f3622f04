//! A bounded sample of what a host was like, from which models that need history are fitted.
//!
//! Reservoir sampling (Vitter 1985) that forgets: once the memory is full a tick replaces a random one as often
//! as keeps the sample's mean age at [`MEMORY_S`]. Which tick and which row follows from the count of ticks
//! alone, so that a replay draws the same sample.

use super::inputs::Inputs;
use super::state::{JointStateError, Reader, Writer};
use super::{MAX_Z, squash};
use crate::math::dither;

/// Rows that are kept.
pub(crate) const ROWS: usize = 256;
/// Mean age of rows once the host is old, seconds.
pub(crate) const MEMORY_S: f32 = 14.0 * 86_400.0;
/// The same while the host is learned anew: most of the sample is of the new place at the next daily fit.
const ANEW_S: f32 = 0.5 * 86_400.0;
/// Ticks over which values are smoothed.
pub(crate) const SPAN: f32 = 2.0;
/// Rows before the first model.
pub(crate) const LEAST_ROWS: usize = 100;
/// Floor of a channel's scale, as a part of the range it was seen in.
const FLOOR: f32 = 0.01;

/// Rows of the past, and the present one in their units.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reservoir {
    channels: usize,
    /// Rows, one after another; NaN where a channel was not there.
    rows: Vec<f32>,
    seen: u64,
    smooth: Vec<f32>,
    /// Centre and scale of each channel as of the last fit; scale 0 = not known.
    centre: Vec<f32>,
    scale: Vec<f32>,
    /// The present row in scales, squashed; NaN where it is not known.
    pub(crate) z: Vec<f32>,
}

impl Reservoir {
    pub(crate) fn new() -> Self {
        let empty = Vec::new;
        Self { channels: 0, rows: empty(), seen: 0, smooth: empty(), centre: empty(), scale: empty(), z: empty() }
    }

    /// Makes room for `count` channels.
    pub(crate) fn grow(&mut self, count: usize) {
        let mut rows = Vec::with_capacity(self.len() * count);
        for row in self.rows.chunks_exact(self.channels.max(1)) {
            rows.extend_from_slice(row);
            rows.resize(rows.len() + count - self.channels, f32::NAN);
        }
        (self.rows, self.channels) = (rows, count);
        self.smooth.resize(count, f32::NAN);
        self.z.resize(count, f32::NAN);
        self.centre.resize(count, 0.0);
        self.scale.resize(count, 0.0);
    }

    fn len(&self) -> usize {
        self.rows.len() / self.channels.max(1)
    }

    /// A number that decides how often something was drawn; models take their chance from it.
    pub(crate) fn seed(&self) -> u64 {
        self.seen << 16
    }

    /// The present tick, in the units of the last fit.
    pub(crate) fn follow(&mut self, inputs: &Inputs) {
        for (c, value) in inputs.now.iter().enumerate() {
            // A value that is carried while the others go on would look like a broken correlation.
            let value = if inputs.is_fresh(c) { value } else { &f32::NAN };
            let smooth = &mut self.smooth[c];
            *smooth = if smooth.is_nan() || value.is_nan() {
                *value
            } else {
                *smooth + (value - *smooth) * 2.0 / (SPAN + 1.0)
            };
            self.z[c] = if self.scale[c] > 0.0 { squash((*smooth - self.centre[c]) / self.scale[c]) } else { f32::NAN };
        }
    }

    /// Draws the present tick, or not; far more often where the host is to be learned `anew`.
    pub(crate) fn draw(&mut self, cadence_s: f32, anew: bool) {
        let (count, chance) = (self.len(), self.seed());
        self.seen += 1;
        if count < ROWS {
            self.rows.extend_from_slice(&self.smooth);
            return;
        }
        let memory_s = if anew { ANEW_S } else { MEMORY_S };
        let share = (ROWS as f32 / self.seen as f32).max(ROWS as f32 * cadence_s / memory_s);
        if dither(chance) < share {
            let at = ((dither(chance + 1) * ROWS as f32) as usize).min(ROWS - 1) * self.channels;
            self.rows[at..at + self.channels].copy_from_slice(&self.smooth);
        }
    }

    /// Centres and scales anew; the rows in them, NaN where not known, or `None` while there are too few.
    pub(crate) fn fit(&mut self, inputs: &Inputs) -> Option<Vec<f32>> {
        if self.len() < LEAST_ROWS {
            return None;
        }
        let mut column = Vec::with_capacity(ROWS);
        for c in 0..self.channels {
            column.clear();
            column.extend(self.rows.iter().skip(c).step_by(self.channels).filter(|x| x.is_finite()));
            (self.centre[c], self.scale[c]) = (0.0, 0.0);
            let range = inputs.range(c);
            if column.len() >= LEAST_ROWS / 2 && range > 0.0 {
                column.sort_unstable_by(f32::total_cmp);
                let at = |share: f32| column[((column.len() - 1) as f32 * share) as usize];
                // Of a normal distribution, these ranges are so many deviations wide.
                let robust = [(0.25, 1.35), (0.05, 3.29), (0.01, 4.65)];
                let robust = robust.map(|(share, deviations)| (at(1.0 - share) - at(share)) / deviations);
                let scale = robust[0].max(robust[1]).max(robust[2]) + FLOOR * range;
                (self.centre[c], self.scale[c]) = (at(0.5), if scale.is_normal() { scale } else { 0.0 });
            }
        }
        let units = self.centre.iter().zip(&self.scale).cycle();
        let in_units = |(x, (centre, scale)): (&f32, (&f32, &f32))| {
            if *scale > 0.0 { squash((x - centre) / scale) } else { f32::NAN }
        };
        Some(self.rows.iter().zip(units).map(in_units).collect())
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.u32(self.len() as u32);
        w.slice(&self.rows);
        w.bytes(&self.seen.to_le_bytes());
        w.slice(&self.smooth);
        w.slice(&self.centre);
        w.slice(&self.scale);
        w.slice(&self.z);
    }

    pub(crate) fn read(r: &mut Reader<'_>, channels: usize) -> Result<Self, JointStateError> {
        let rows = r.count("rows", ROWS)?;
        let rows = r.slice_or_nan("rows", rows * channels)?;
        let seen = u64::from_le_bytes(r.take()?);
        let smooth = r.slice_or_nan("rows", channels)?;
        let (centre, scale) = (r.slice("rows", channels)?, r.slice("rows", channels)?);
        let z = r.slice_or_nan("rows", channels)?;
        if scale.iter().any(|x| *x < 0.0) || z.iter().any(|x| x.abs() > MAX_Z) {
            return Err(JointStateError::Damaged("rows"));
        }
        Ok(Self { channels, rows, seen, smooth, centre, scale, z })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_bounded_even_over_the_past_and_forgets() {
        let (mut reservoir, mut inputs) = (Reservoir::new(), Inputs::default());
        inputs.grow(1);
        reservoir.grow(1);
        let mut tick = |reservoir: &mut Reservoir, at: u32, cadence_s: f32| {
            inputs.take([at as f32].into_iter());
            reservoir.follow(&inputs);
            reservoir.draw(cadence_s, false);
        };
        let mean = |reservoir: &Reservoir| reservoir.rows.iter().sum::<f32>() / reservoir.rows.len() as f32;
        for at in 0..10_000 {
            tick(&mut reservoir, at, 60.0);
        }
        assert_eq!(reservoir.len(), ROWS);
        assert!((mean(&reservoir) - 5000.0).abs() < 600.0, "{}", mean(&reservoir));
        for at in 10_000..16_000 {
            tick(&mut reservoir, at, 600.0);
        }
        assert!(mean(&reservoir) > 12_000.0, "{}", mean(&reservoir));
    }
}
