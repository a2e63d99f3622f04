//! Joint detection of one host: all its series together, tick by tick.
//!
//! One [`JointHost`] holds what is learned of one host. It is given one vector a tick and answers with one
//! score, on the same scale as single series: 1.0 is the edge. It keeps no history of the host, only
//! streaming statistics; the costly part, [`JointHost::fit`], is called off the hot path when
//! [`JointHost::fit_due`] says so. Channels that are missing lower the confidence and are left out of the
//! score, never taken as zero.

pub(crate) mod alarm;
pub(crate) mod state;
pub(crate) mod tail;

use crate::entity::{EntityCount, host_score};
use crate::math::log10;
use alarm::HostAlarm;
use state::{Reader, Writer};
use tail::Tail;

pub use state::JointStateError;

/// Powers of ten that make 1.0 at one tick a minute; one more for each ten times as many.
pub(crate) const EDGE_DECADES: f32 = 4.45;
/// Channels whose improbabilities are added up.
pub(crate) const TOP: usize = 5;
/// Least scale of the sum, powers of ten.
const SUM_FLOOR: f32 = 1.0;
/// A channel's score above this counts as this.
const SCORE_CLIP: f32 = 4.0;
/// No host has more channels.
pub const MAX_CHANNELS: usize = 4096;

/// One channel (series) of a host at a tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChannelTick {
    /// Last value, or mean of the tick; NaN where there is none.
    pub value: f32,
    /// Highest own score of the single detector in the tick, 1.0 = its edge; NaN while not ready.
    pub score: f32,
    /// Whether it raised an alarm of its own in the tick.
    pub onset: bool,
}

impl ChannelTick {
    /// A channel of which nothing is known at this tick.
    pub const MISSING: Self = Self { value: f32::NAN, score: f32::NAN, onset: false };
}

/// What is the same for all hosts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JointConfig {
    /// A host has no score before it is this old, seconds of ticks seen.
    pub warmup_s: f32,
    /// Added to the powers of ten that make 1.0: higher is duller. 0.3 halves false alarms.
    pub t_shift: f32,
}

impl Default for JointConfig {
    fn default() -> Self {
        Self { warmup_s: 86_400.0, t_shift: 0.0 }
    }
}

/// The parts of a host's score, each on its scale: 1.0 = the edge. NaN where it is not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parts {
    /// Channels change together in an unusual way.
    pub change: f32,
    /// The host is somewhere it never is.
    pub level: f32,
    /// Several channels are rare by their own measure at once.
    pub singles: f32,
    /// Share of channels over their own edge; see [`host_score`].
    pub rollup: f32,
}

/// What is said of a host at a tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostVerdict {
    /// Time of the tick, unix milliseconds.
    pub ts_ms: i64,
    /// 1.0 = edge; NaN while not ready.
    pub score: f32,
    /// An alarm was raised at this tick.
    pub onset: bool,
    /// An alarm is open.
    pub alarm: bool,
    /// Share of the host's channels that were seen, 0..=1.
    pub confidence: f32,
    /// What the score is made of.
    pub parts: Parts,
}

/// One host: its model and state.
#[derive(Debug, Clone, PartialEq)]
pub struct JointHost {
    config: JointConfig,
    /// Channels ever seen.
    channels: usize,
    age_s: f32,
    ts_ms: i64,
    sum: Tail,
    alarm: HostAlarm,
    /// Powers of ten of each channel at the last tick, for [`JointHost::contributions`].
    last: Vec<f32>,
}

impl JointHost {
    /// A host of which nothing is known.
    #[must_use]
    pub fn new(config: JointConfig) -> Self {
        let (sum, alarm) = (Tail::NEW, HostAlarm::NEW);
        Self { config, channels: 0, age_s: 0.0, ts_ms: i64::MIN, sum, alarm, last: Vec::new() }
    }

    /// Judges the tick at `ts_ms`, then learns from it. Ticks are `cadence_s` seconds apart and come in
    /// order of time; one that does not is judged, but teaches nothing. Channels keep their place; new
    /// ones are appended.
    pub fn tick(&mut self, ts_ms: i64, cadence_s: f32, channels: &[ChannelTick]) -> HostVerdict {
        let channels = &channels[..channels.len().min(MAX_CHANNELS)];
        self.channels = self.channels.max(channels.len());
        let edge = EDGE_DECADES + log10(60.0 / cadence_s.clamp(1.0, 86_400.0)) + self.config.t_shift;
        let rollup = rollup(channels);
        self.last.clear();
        self.last
            .extend(channels.iter().map(|c| if c.score.is_finite() { c.score.clamp(0.0, SCORE_CLIP) } else { 0.0 }));
        let sum = top_sum(&self.last) * edge;
        let ready = self.age_s >= self.config.warmup_s && rollup.is_finite();
        let singles = if ready { self.sum.decades(sum, SUM_FLOOR) / edge } else { f32::NAN };
        if rollup.is_finite() && ts_ms > self.ts_ms {
            self.sum.learn(sum, SUM_FLOOR);
            self.age_s += cadence_s.clamp(0.0, 86_400.0);
        }
        self.ts_ms = self.ts_ms.max(ts_ms);
        let onset = self.alarm.turn(singles);
        let seen = channels.iter().filter(|c| c.value.is_finite()).count();
        HostVerdict {
            ts_ms,
            score: singles,
            onset,
            alarm: self.alarm.open,
            confidence: if self.channels == 0 { 0.0 } else { seen as f32 / self.channels as f32 },
            parts: Parts { change: f32::NAN, level: f32::NAN, singles, rollup },
        }
    }

    /// Whether [`JointHost::fit`] has something to do.
    #[must_use]
    pub fn fit_due(&self) -> bool {
        false
    }

    /// Fits the model anew to the statistics gathered so far.
    pub fn fit(&mut self) {}

    /// Which channels made the score of the last tick: channel and share, largest first, adding up to 1.
    #[must_use]
    pub fn contributions(&self) -> Vec<(u32, f32)> {
        let total: f32 = self.last.iter().sum();
        if total <= 0.0 {
            return Vec::new();
        }
        let mut shares: Vec<(u32, f32)> =
            self.last.iter().zip(0..).filter(|(x, _)| **x > 0.0).map(|(x, i)| (i, x / total)).collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        shares
    }

    /// Appends the state as bytes.
    pub fn save(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.bytes(&state::VERSION.to_le_bytes());
        w.u32(self.channels as u32);
        w.f32(self.age_s);
        w.bytes(&self.ts_ms.to_le_bytes());
        self.sum.write(&mut w);
        self.alarm.write(&mut w);
        w.u32(self.last.len() as u32);
        w.slice(&self.last);
    }

    /// Reads a state back; all of `bytes` belongs to it.
    ///
    /// # Errors
    /// Bytes that are no state: another version, cut short, damaged.
    pub fn load(bytes: &[u8], config: JointConfig) -> Result<Self, JointStateError> {
        let mut r = Reader { bytes, at: 0 };
        let version = r.u16()?;
        if version != state::VERSION {
            return Err(JointStateError::Version(version));
        }
        let channels = r.u32()? as usize;
        let age_s = r.within("age", 0.0, f32::MAX)?;
        let ts_ms = r.i64()?;
        let (sum, alarm) = (Tail::read(&mut r)?, HostAlarm::read(&mut r)?);
        let count = r.u32()? as usize;
        if channels > MAX_CHANNELS || count > channels {
            return Err(JointStateError::Damaged("channels"));
        }
        let last = r.slice("last", count)?;
        Ok(Self { config, channels, age_s, ts_ms, sum, alarm, last })
    }
}

/// Share of channels over their own edge, as the score of a host; NaN where no channel has a score.
fn rollup(channels: &[ChannelTick]) -> f32 {
    let ready = channels.iter().filter(|c| c.score.is_finite()).count() as u32;
    let anomalous = channels.iter().filter(|c| c.score.is_finite() && c.score >= 1.0).count() as u32;
    if ready == 0 { f32::NAN } else { host_score(EntityCount { judged: ready, ready, anomalous }) }
}

/// Sum of the largest [`TOP`] numbers.
fn top_sum(numbers: &[f32]) -> f32 {
    let mut top = [0.0f32; TOP];
    for x in numbers {
        let mut x = *x;
        for t in &mut top {
            if x > *t {
                std::mem::swap(&mut x, t);
            }
        }
    }
    top.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::dither;

    fn channels(tick: u64, count: u64, loud: u64) -> Vec<ChannelTick> {
        (0..count)
            .map(|c| {
                let x = dither(tick << 8 | c);
                let score = if c < loud { 4.0 } else { 0.4 * x.powi(8) };
                ChannelTick { value: x, score, onset: score > 1.0 }
            })
            .collect()
    }

    fn run(host: &mut JointHost, ticks: std::ops::Range<u64>) -> Vec<HostVerdict> {
        let loud = |tick| if tick == 2000 { 6 } else { 0 };
        ticks.map(|t| host.tick(t as i64 * 60_000, 60.0, &channels(t, 20, loud(t)))).collect()
    }

    #[test]
    fn many_rare_channels_raise_one_alarm() {
        let mut host = JointHost::new(JointConfig::default());
        let verdicts = run(&mut host, 0..2100);
        assert!(verdicts[1000].score.is_nan() && verdicts[1500].score < 1.0);
        assert!(verdicts[2000].score >= 1.0 && verdicts[2000].alarm, "{:?}", verdicts[2000]);
        let onsets: Vec<usize> = (0..2100).filter(|i| verdicts[*i].onset).collect();
        assert_eq!(onsets, [2000]);
    }

    #[test]
    fn saved_and_loaded_in_the_middle_changes_nothing() {
        let (mut whole, mut host) = (JointHost::new(JointConfig::default()), JointHost::new(JointConfig::default()));
        run(&mut whole, 0..1999);
        run(&mut host, 0..1999);
        let mut bytes = Vec::new();
        host.save(&mut bytes);
        let mut host = JointHost::load(&bytes, JointConfig::default()).expect("saved");
        let (a, b) = (run(&mut whole, 1999..2100), run(&mut host, 1999..2100));
        assert!(a.iter().zip(&b).all(|(a, b)| a.score.to_bits() == b.score.to_bits() && a.onset == b.onset));
        assert_eq!(host.contributions(), whole.contributions());
        for cut in 0..bytes.len() {
            assert!(JointHost::load(&bytes[..cut], JointConfig::default()).is_err());
        }
    }
}
