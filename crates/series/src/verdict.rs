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

/// What a verdict compares the value with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Lead {
    /// Not known, or nothing yet.
    #[default]
    Unknown = 0,
    /// The last few samples.
    Fast = 1,
    /// The level that is usual at this time.
    Slow = 2,
    /// The same over many samples: small errors to one side add up.
    Smoothed = 3,
    /// The range that rules call legal.
    Range = 4,
    /// The time for which the value stood still, or no sample came.
    Stillness = 5,
}

impl Lead {
    /// All of them, for tables.
    pub const ALL: [Self; 6] = [Self::Unknown, Self::Fast, Self::Slow, Self::Smoothed, Self::Range, Self::Stillness];

    /// The word used in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Fast => "fast",
            Self::Slow => "slow",
            Self::Smoothed => "smoothed",
            Self::Range => "range",
            Self::Stillness => "stillness",
        }
    }

    /// The lead stored as `byte`; an unknown byte is [`Lead::Unknown`].
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        Self::ALL.get(usize::from(byte)).copied().unwrap_or_default()
    }
}

/// Why a verdict says what it says, as far as numbers go; words are made of it where they are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Why {
    /// Mean time between samples at least as unusual as this one, by what the series did so far, seconds.
    /// NaN where that is no question of chance: an illegal value, a flat line, a missing series, a host.
    pub return_s: f32,
    /// Begin of the alarm that is open, milliseconds since the Unix epoch; for a missing series its last
    /// sample.
    pub since_ms: Option<i64>,
    /// Begin of the last earlier alarm of a similar kind, milliseconds since the Unix epoch.
    pub last_seen_ms: Option<i64>,
    /// What the value is compared with.
    pub lead: Lead,
    /// The part that earlier alarms of the series added to its edge: 0.1 is 10 %.
    pub raised: f32,
}

impl Why {
    /// Nothing is known.
    pub const UNKNOWN: Self =
        Self { return_s: f32::NAN, since_ms: None, last_seen_ms: None, lead: Lead::Unknown, raised: 0.0 };
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
    /// Whether the last sample was in a quiet window: its score is shown, but alerts nobody and teaches nothing.
    pub quiet: bool,
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
    /// Why.
    pub why: Why,
}
