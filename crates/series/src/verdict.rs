//! What a detector says: the reading of a series now, and the verdict on one sample.

use std::fmt;

/// What an anomaly looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Pattern {
    /// Nothing unusual.
    #[default]
    None = 0,
    /// A short excursion upwards.
    Spike = 1,
    /// A short excursion downwards.
    Dip = 2,
    /// A new level that stays.
    LevelShift = 3,
    /// The spread changed.
    Variance = 4,
    /// The usual rise or fall of this hour did not come.
    SeasonMissed = 5,
    /// The value stopped changing.
    Flatline = 6,
    /// Samples stopped coming.
    Missing = 7,
    /// Outside the range that rules call legal.
    Illegal = 8,
    /// A slow climb or fall away from the level.
    Drift = 9,
    /// Many series of the host at once.
    Host = 10,
    /// Unlike the same series of the other members of its group.
    PeerOutlier = 11,
}

impl Pattern {
    /// All patterns, for tables.
    pub const ALL: [Self; 12] = [
        Self::None,
        Self::Spike,
        Self::Dip,
        Self::LevelShift,
        Self::Variance,
        Self::SeasonMissed,
        Self::Flatline,
        Self::Missing,
        Self::Illegal,
        Self::Drift,
        Self::Host,
        Self::PeerOutlier,
    ];

    /// The word used in annotations, journals and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Spike => "spike",
            Self::Dip => "dip",
            Self::LevelShift => "level_shift",
            Self::Variance => "variance",
            Self::SeasonMissed => "season_missed",
            Self::Flatline => "flatline",
            Self::Missing => "missing",
            Self::Illegal => "illegal",
            Self::Drift => "drift",
            Self::Host => "host",
            Self::PeerOutlier => "peer_outlier",
        }
    }

    /// The pattern stored as `byte`; an unknown byte is [`Pattern::None`].
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        Self::ALL.get(usize::from(byte)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a series has no score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NotReady {
    /// Too few samples yet.
    Warming = 1,
    /// The value never changed; there is nothing to judge.
    Constant = 2,
    /// The series ended (stale marker) or no sample came for long.
    Stale = 3,
}

impl NotReady {
    /// The word used as label value `reason` of `watchbell_series_ready`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warming => "warming",
            Self::Constant => "constant",
            Self::Stale => "stale",
        }
    }
}

/// The state of one judged series as its consumers see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Time of the last sample, milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// Last value.
    pub value: f64,
    /// Published score: 1.0 is the edge of what is normal. NaN while not ready.
    pub score: f32,
    /// Expected value.
    pub expected: f64,
    /// Lower end of the expected band.
    pub lower: f64,
    /// Upper end of the expected band.
    pub upper: f64,
    /// What the last anomaly looks like while it lasts.
    pub pattern: Pattern,
    /// Whether the detector's own alarm is open.
    pub alarm: bool,
    /// Why there is no score; `None` when there is one.
    pub not_ready: Option<NotReady>,
    /// Whether it still goes by what it took over from its group.
    pub inherited: bool,
    /// How much it is unlike the same series of its group, on the scale of the score; nothing where it is not
    /// compared, or is like the others. It is in the score already.
    pub peers: Option<f32>,
    /// Learned cadence, seconds.
    pub cadence_s: f32,
}

/// A detector's word on one sample that is worth passing on: over the reporting edge, or of a series
/// whose alert is open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Dense index of the series inside its shard.
    pub slot: u32,
    /// Time of the sample, milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// The value.
    pub value: f64,
    /// Score of this sample itself, never the held one.
    pub score: f32,
    /// The series' own edge at this sample (1.0 plus what its recent alarms added).
    pub edge: f32,
    /// Whether this sample opened an alarm.
    pub onset: bool,
    /// Whether an alarm is open.
    pub alarm: bool,
    /// What it looks like.
    pub pattern: Pattern,
    /// Expected value.
    pub expected: f64,
    /// Lower end of the expected band.
    pub lower: f64,
    /// Upper end of the expected band.
    pub upper: f64,
}
