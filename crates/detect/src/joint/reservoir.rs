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
/// Code of what is not known. A row's values are kept in steps of a 65,534th of a range that holds all that was seen:
/// no channel's scale is less than a 100th of what was seen, so that a scale is some 300 steps wide at the least.
const NONE: u16 = u16::MAX;
const STEPS: f32 = 65_534.0;
/// By how much the range of codes is made wider than what was seen, so that it seldom changes.
const SPARE: f32 = 0.5;
/// Ticks over which a move is taken.
const MOVE: usize = 3;
/// Floor of a channel's scale, as a part of the range it was seen in.
const FLOOR: f32 = 0.01;

/// Rows of the past, and the present one in their units.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reservoir {
    channels: usize,
    /// Rows, one after another, as codes of their channels' ranges.
    rows: Vec<u16>,
    /// Least value that has a code and the width of a step, of each channel; a step of 0 = nothing has.
    codes: Vec<(f32, f32)>,
    seen: u64,
    smooth: Vec<f32>,
    /// The same of the last [`MOVE`] ticks, latest first.
    earlier: [Vec<f32>; MOVE],
    /// Centre and scale of each channel as of the last fit; scale 0 = not known.
    centre: Vec<f32>,
    scale: Vec<f32>,
    /// The present row in scales, squashed; NaN where it is not known.
    pub(crate) z: Vec<f32>,
}

impl Reservoir {
    pub(crate) fn new() -> Self {
        let empty = Vec::new;
        Self {
            channels: 0,
            rows: Vec::new(),
            codes: Vec::new(),
            seen: 0,
            smooth: empty(),
            earlier: Default::default(),
            centre: empty(),
            scale: empty(),
            z: empty(),
        }
    }

    /// Makes room for `count` channels.
    pub(crate) fn grow(&mut self, count: usize) {
        let mut rows = Vec::with_capacity(self.len() * count);
        for row in self.rows.chunks_exact(self.channels.max(1)) {
            rows.extend_from_slice(row);
            rows.resize(rows.len() + count - self.channels, NONE);
        }
        (self.rows, self.channels) = (rows, count);
        self.codes.resize(count, (0.0, 0.0));
        self.smooth.resize(count, f32::NAN);
        self.earlier.iter_mut().for_each(|values| values.resize(count, f32::NAN));
        self.z.resize(count, f32::NAN);
        self.centre.resize(count, 0.0);
        self.scale.resize(count, 0.0);
    }

    fn len(&self) -> usize {
        self.rows.len() / self.channels.max(1)
    }

    /// Channels that are known well enough to be told.
    pub(crate) fn usable(&self) -> usize {
        self.scale.iter().filter(|scale| **scale > 0.0).count()
    }

    /// The value of a code of channel `c`; NaN where there is none.
    fn value(&self, c: usize, code: u16) -> f32 {
        let (low, step) = self.codes[c];
        if code == NONE { f32::NAN } else { low + step * f32::from(code) }
    }

    fn code(&self, c: usize, value: f32) -> u16 {
        let (low, step) = self.codes[c];
        if step > 0.0 { ((value - low) / step).round().clamp(0.0, STEPS) as u16 } else { 0 }
    }

    /// Makes the codes of channel `c` reach its present value.
    fn reach(&mut self, c: usize, inputs: &Inputs) {
        let (low, step) = self.codes[c];
        let value = self.smooth[c];
        if value >= low && value <= low + step * STEPS {
            return;
        }
        let (least, range) = (inputs.low(c), inputs.range(c));
        let column: Vec<f32> =
            self.rows.iter().skip(c).step_by(self.channels).map(|code| self.value(c, *code)).collect();
        let step = range * (1.0 + 2.0 * SPARE) / STEPS;
        // A channel that never changed has one code.
        self.codes[c] = if step.is_normal() { (least - SPARE * range, step) } else { (least, 0.0) };
        for (row, value) in column.into_iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            self.rows[row * self.channels + c] = self.code(c, value);
        }
    }

    /// A number that decides how often something was drawn; models take their chance from it.
    pub(crate) fn seed(&self) -> u64 {
        self.seen << 16
    }

    /// The present tick, in the units of the last fit.
    pub(crate) fn follow(&mut self, inputs: &Inputs) {
        self.earlier.rotate_right(1);
        self.earlier[0].clone_from(&self.smooth);
        for (c, value) in inputs.now.iter().enumerate() {
            // A value that is carried while the others go on would look like a broken correlation.
            let value = if inputs.is_fresh(c) { value } else { &f32::NAN };
            let smooth = &mut self.smooth[c];
            *smooth = if smooth.is_nan() || value.is_nan() {
                *value
            } else {
                *smooth + (value - *smooth) * 2.0 / (SPAN + 1.0)
            };
            self.z[c] = self.scaled(c, self.smooth[c]);
        }
    }

    /// `value` of channel `c` in scales, squashed; NaN where that is not known.
    fn scaled(&self, c: usize, value: f32) -> f32 {
        if self.scale[c] > 0.0 { squash((value - self.centre[c]) / self.scale[c]) } else { f32::NAN }
    }

    /// By how much the present row differs from that of [`MOVE`] ticks ago; NaN where not known.
    pub(crate) fn moves(&self) -> Vec<f32> {
        let then = self.earlier[MOVE - 1].iter().enumerate().map(|(c, value)| self.scaled(c, *value));
        self.z.iter().zip(then).map(|(now, then)| now - then).collect()
    }

    /// Draws the present tick, or not; far more often where the host is to be learned `anew`.
    pub(crate) fn draw(&mut self, inputs: &Inputs, cadence_s: f32, anew: bool) {
        let (count, chance) = (self.len(), self.seed());
        self.seen += 1;
        if count < ROWS {
            self.rows.resize(self.rows.len() + self.channels, NONE);
            self.put(count, inputs);
            return;
        }
        let memory_s = if anew { ANEW_S } else { MEMORY_S };
        let share = (ROWS as f32 / self.seen as f32).max(ROWS as f32 * cadence_s / memory_s);
        if dither(chance) < share {
            self.put(((dither(chance + 1) * ROWS as f32) as usize).min(ROWS - 1), inputs);
        }
    }

    /// Puts the present tick in the place of row `row`.
    fn put(&mut self, row: usize, inputs: &Inputs) {
        for c in 0..self.channels {
            let value = self.smooth[c];
            if !value.is_nan() {
                self.reach(c, inputs);
            }
            self.rows[row * self.channels + c] = if value.is_nan() { NONE } else { self.code(c, value) };
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
            let of_channel = self.rows.iter().skip(c).step_by(self.channels);
            column.extend(of_channel.map(|code| self.value(c, *code)).filter(|x| x.is_finite()));
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
        let in_units = |(i, code): (usize, &u16)| {
            let c = i % self.channels;
            self.scaled(c, self.value(c, *code))
        };
        Some(self.rows.iter().enumerate().map(in_units).collect())
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.u32(self.len() as u32);
        self.rows.iter().for_each(|code| w.bytes(&code.to_le_bytes()));
        self.codes.iter().for_each(|(low, step)| w.slice(&[*low, *step]));
        w.bytes(&self.seen.to_le_bytes());
        w.slice(&self.smooth);
        self.earlier.iter().for_each(|values| w.slice(values));
        w.slice(&self.centre);
        w.slice(&self.scale);
        w.slice(&self.z);
    }

    pub(crate) fn read(r: &mut Reader<'_>, channels: usize) -> Result<Self, JointStateError> {
        let rows = r.count("rows", ROWS)?;
        let rows = r.byte_slice(2 * rows * channels)?;
        let rows = rows.chunks_exact(2).map(|code| u16::from_le_bytes([code[0], code[1]])).collect();
        let codes = r.slice("rows", 2 * channels)?.chunks_exact(2).map(|code| (code[0], code[1])).collect::<Vec<_>>();
        let seen = u64::from_le_bytes(r.take()?);
        let smooth = r.slice_or_nan("rows", channels)?;
        let mut earlier: [Vec<f32>; MOVE] = Default::default();
        for values in &mut earlier {
            *values = r.slice_or_nan("rows", channels)?;
        }
        let (centre, scale) = (r.slice("rows", channels)?, r.slice("rows", channels)?);
        let z = r.slice_or_nan("rows", channels)?;
        if codes.iter().any(|(_, step)| *step < 0.0)
            || scale.iter().any(|x| *x < 0.0)
            || z.iter().any(|x| x.abs() > MAX_Z)
        {
            return Err(JointStateError::Damaged("rows"));
        }
        Ok(Self { channels, rows, codes, seen, smooth, earlier, centre, scale, z })
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
            reservoir.draw(&inputs, cadence_s, false);
        };
        let mean = |reservoir: &Reservoir| {
            reservoir.rows.iter().map(|code| reservoir.value(0, *code)).sum::<f32>() / reservoir.rows.len() as f32
        };
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
