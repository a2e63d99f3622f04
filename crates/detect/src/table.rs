//! The detectors there are: one row each, from which the reference documents are made.
//!
//! A new detector is one file beside `single.rs`, its `mod` line in `lib.rs`, and a row here.

use crate::{joint, single};

/// What there is to know of a detector without running it.
#[derive(Debug, Clone, Copy)]
pub struct DetectorInfo {
    /// Its name, also that of its file.
    pub name: &'static str,
    /// What it goes by, in one line.
    pub summary: &'static str,
    /// Bytes of state of a series that every sample touches.
    pub hot_bytes: usize,
    /// Bytes of state that only series that vary have.
    pub lazy_bytes: usize,
    /// Its constants: name, value, meaning.
    pub constants: &'static [(&'static str, f32, &'static str)],
}

/// All detectors.
pub const DETECTORS: &[DetectorInfo] = &[single::INFO, joint::INFO];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_state_is_small() {
        for (i, row) in DETECTORS.iter().enumerate() {
            assert!(DETECTORS[..i].iter().all(|other| other.name != row.name));
            assert!(row.hot_bytes <= 256, "{}: {} bytes", row.name, row.hot_bytes);
            assert!(!row.summary.is_empty() && row.constants.iter().all(|(_, value, _)| value.is_finite()));
        }
    }
}
