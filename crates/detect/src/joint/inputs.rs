//! The channels' values as the heads take them: finite, carried over short gaps, with the range seen.

use super::state::{JointStateError, Reader, Writer};

/// A value is carried over gaps of up to this many ticks.
pub(crate) const CARRY_TICKS: u8 = 10;
/// Values are cut off here, so that their squares stay numbers.
const MAX_VALUE: f32 = 1e18;

/// What is known of the values of the modelled channels.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Inputs {
    /// Value of each channel, carried; NaN while not known.
    pub(crate) now: Vec<f32>,
    age: Vec<u8>,
    low: Vec<f32>,
    high: Vec<f32>,
}

impl Inputs {
    /// Makes room for `count` channels.
    pub(crate) fn grow(&mut self, count: usize) {
        self.now.resize(count, f32::NAN);
        self.age.resize(count, u8::MAX);
        self.low.resize(count, MAX_VALUE);
        self.high.resize(count, -MAX_VALUE);
    }

    /// Takes the values of a tick in; channels beyond those given are missing.
    pub(crate) fn take(&mut self, values: impl Iterator<Item = f32>) {
        let values = values.chain(std::iter::repeat(f32::NAN));
        for (c, value) in (0..self.now.len()).zip(values) {
            if value.is_finite() {
                let value = value.clamp(-MAX_VALUE, MAX_VALUE);
                (self.now[c], self.age[c]) = (value, 0);
                self.low[c] = self.low[c].min(value);
                self.high[c] = self.high[c].max(value);
                continue;
            }
            self.age[c] = self.age[c].saturating_add(1);
            if self.age[c] > CARRY_TICKS {
                self.now[c] = f32::NAN;
            }
        }
    }

    /// Whether channel `c` had a value at this tick itself.
    pub(crate) fn is_fresh(&self, c: usize) -> bool {
        self.age[c] == 0
    }

    /// Least value that channel `c` was seen with.
    pub(crate) fn low(&self, c: usize) -> f32 {
        self.low[c]
    }

    /// Range of values that channel `c` was seen in; 0 while it never changed.
    pub(crate) fn range(&self, c: usize) -> f32 {
        (self.high[c] - self.low[c]).max(0.0)
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        w.slice(&self.now);
        w.bytes(&self.age);
        w.slice(&self.low);
        w.slice(&self.high);
    }

    pub(crate) fn read(r: &mut Reader<'_>, count: usize) -> Result<Self, JointStateError> {
        let now = r.slice_or_nan("values", count)?;
        let age = r.byte_slice(count)?;
        Ok(Self { now, age, low: r.slice("least values", count)?, high: r.slice("greatest values", count)? })
    }
}
