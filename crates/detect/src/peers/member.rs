//! What is kept of one member of a group.

use super::PERSIST;

/// One member of a group: 40 bytes, of which there is one for each judged series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Member {
    pub(super) id: u64,
    /// What it is usually off by, as a share of the middle,
    pub(super) offset: f32,
    /// and how far from that it usually is.
    pub(super) deviation: f32,
    /// Scores of the last ticks by themselves, those that still count at the next one.
    pub(super) last: [f32; PERSIST - 1],
    pub(super) score: f32,
    pub(super) ticks: u16,
    pub(super) regime: u16,
    /// Which of the group's rules it goes by.
    pub(super) rules: u16,
    pub(super) under: u8,
    pub(super) alarm: bool,
    /// Whether it was in the tail at the last tick: one stay in it is one peak.
    pub(super) peak: bool,
    /// Whether a series stands behind it; else it waits for one since a restart.
    pub(super) claimed: bool,
}

impl Member {
    /// One that saw no tick yet.
    pub(super) fn new(id: u64, rules: u16) -> Self {
        Self {
            id,
            offset: 0.0,
            deviation: 0.0,
            last: [0.0; PERSIST - 1],
            score: f32::NAN,
            ticks: 0,
            regime: 0,
            rules,
            under: 0,
            alarm: false,
            peak: false,
            claimed: true,
        }
    }
}
