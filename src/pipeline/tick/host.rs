//! One host: its channels, its model, and what the last tick said.

use std::sync::Arc;

use watchbell_adapter_api::{Contributor, HostParts};
use watchbell_detect::{ChannelTick, HostVerdict, JointConfig, JointHost, SlotTick, ensemble};
use watchbell_series::SeriesId;

use super::board::HostState;
use crate::pipeline::shard::Place;

/// Series that are named as contributors.
const CONTRIBUTORS: usize = 5;
/// Contributors are named from this score on: of the host, or of any part of it while it has none yet.
const NAMED_FROM: f32 = 0.5;
/// A channel without its series for this long counts as dead, milliseconds.
const DEAD_MS: i64 = 24 * 3_600_000;
/// From this part of all channels dead on, a host with series that wait is taken apart and learned anew.
const DEAD_PART: usize = 8;
/// Ticks that a host with more series than channels is looked at before its channels are chosen.
const LOOK_TICKS: u32 = 5;

/// One channel of a host: a series with a number that stays.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Channel {
    pub(super) id: SeriesId,
    /// Shard and place of the series; `None` while there is none.
    pub(super) at: Option<(u32, Place)>,
    /// Since when it has no series.
    pub(super) gone_ms: i64,
    pub(super) name: Option<Arc<str>>,
}

/// A host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: Arc<str>,
    pub(super) model: Option<JointHost>,
    pub(super) channels: Vec<Channel>,
    /// The channels at the tick that goes on.
    row: Vec<ChannelTick>,
    cadences: Vec<f32>,
    /// Judged series.
    pub(super) series: u32,
    /// Series that vary and have no channel, at the tick that goes on.
    pub(super) wanting: u32,
    /// Ticks with a sample.
    pub(super) ticks: u32,
    /// Time of the last tick of the model, and of the last sample of any series.
    pub(super) last_ms: i64,
    pub(super) seen_ms: i64,
    /// Highest peer score, of how many.
    pub(super) peers: (f32, u32),
    verdict: Option<HostVerdict>,
    holds_ms: i64,
    top: Vec<(u32, f32)>,
}

/// Time between looks at what has a sample each `cadence_ms`, in whole ticks: no sample is looked at twice.
pub(super) fn step_ms(cadence_ms: i64, tick_ms: i64) -> i64 {
    // A cadence a little over a tick is a tick with jitter.
    let ticks = ((cadence_ms - tick_ms / 4).max(1) + tick_ms - 1) / tick_ms;
    ticks.max(1) * tick_ms
}

impl Host {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            model: None,
            channels: Vec::new(),
            row: Vec::new(),
            cadences: Vec::new(),
            series: 0,
            wanting: 0,
            ticks: 0,
            last_ms: i64::MIN,
            seen_ms: i64::MIN,
            peers: (f32::NAN, 0),
            verdict: None,
            holds_ms: 0,
            top: Vec::new(),
        }
    }

    /// The channel that the series `id` had before it went, or before a restart.
    pub(super) fn reclaim(&mut self, id: SeriesId, shard: u32, place: Place) -> Option<u16> {
        let at = self.channels.iter().position(|channel| channel.id == id && channel.at.is_none())?;
        self.channels[at].at = Some((shard, place));
        Some(at as u16)
    }

    /// Gives the series a new channel.
    pub(super) fn append(&mut self, id: SeriesId, shard: u32, place: Place) -> u16 {
        self.channels.push(Channel { id, at: Some((shard, place)), gone_ms: 0, name: None });
        (self.channels.len() - 1) as u16
    }

    /// Takes a series from its channel.
    pub(super) fn lose(&mut self, channel: u16, now_ms: i64) {
        if let Some(channel) = self.channels.get_mut(usize::from(channel)) {
            (channel.at, channel.gone_ms) = (None, now_ms);
        }
    }

    /// A series of the host at the tick that goes on.
    pub(super) fn take(&mut self, channel: Option<u16>, tick: &SlotTick, now_ms: i64) {
        self.seen_ms = now_ms;
        let Some(channel) = channel.map(usize::from) else { return };
        if self.row.len() <= channel {
            self.row.resize(channel + 1, ChannelTick::MISSING);
        }
        let place = &mut self.row[channel];
        // Ticks of which the model sees only one, because samples are rarer, are put together.
        place.value = tick.value as f32;
        place.score = place.score.max(tick.score);
        place.onset |= tick.onset;
        if tick.cadence_s > 0.0 {
            self.cadences.push(tick.cadence_s);
        }
    }

    /// How many of `wanting` series may have a channel now, where a host has at most `most`.
    pub(super) fn room(&self, most: usize) -> usize {
        let all_fit = self.series as usize <= most;
        if all_fit || self.ticks >= LOOK_TICKS { most.saturating_sub(self.channels.len()) } else { 0 }
    }

    /// Whether so many channels are dead while series wait that it is better to begin anew.
    pub(super) fn is_worn(&self, most: usize, now_ms: i64) -> bool {
        let dead = |channel: &&Channel| channel.at.is_none() && now_ms.saturating_sub(channel.gone_ms) > DEAD_MS;
        self.wanting > 0
            && self.channels.len() >= most
            && self.channels.iter().filter(dead).count() >= (most / DEAD_PART).max(1)
    }

    /// Forgets channels and model; gives the places of the series that had a channel.
    pub(super) fn take_apart(&mut self) -> Vec<(u32, Place)> {
        (self.model, self.verdict, self.ticks) = (None, None, 0);
        (self.row, self.top) = (Vec::new(), Vec::new());
        std::mem::take(&mut self.channels).into_iter().filter_map(|channel| channel.at).collect()
    }

    /// Judges the tick at `now_ms`, ticks being `tick_ms` apart. A host whose samples are rarer than that is
    /// looked at once in so many ticks.
    pub(super) fn tick(&mut self, config: JointConfig, now_ms: i64, tick_ms: i64) {
        if self.row.iter().all(|channel| channel.value.is_nan()) {
            if now_ms.saturating_sub(self.seen_ms) > self.holds_ms {
                (self.verdict, self.top) = (None, Vec::new());
            }
            return;
        }
        let half = self.cadences.len() / 2;
        let cadence_ms = if self.cadences.is_empty() {
            tick_ms
        } else {
            (*self.cadences.select_nth_unstable_by(half, f32::total_cmp).1 * 1000.0) as i64
        };
        self.cadences.clear();
        let step_ms = step_ms(cadence_ms, tick_ms);
        if self.last_ms != i64::MIN && now_ms.saturating_sub(self.last_ms) < step_ms - tick_ms / 2 {
            return;
        }
        self.row.resize(self.channels.len(), ChannelTick::MISSING);
        let model = self.model.get_or_insert_with(|| JointHost::new(config));
        let verdict = model.tick(now_ms, step_ms as f32 / 1000.0, &self.row);
        self.top.clear();
        if verdict.score.max(verdict.parts.highest()) >= NAMED_FROM {
            self.top = model.contributions();
            self.top.retain(|(_, share)| *share > 0.0);
            self.top.truncate(CONTRIBUTORS);
        }
        (self.verdict, self.last_ms, self.holds_ms) = (Some(verdict), now_ms, 3 * step_ms);
        self.row.fill(ChannelTick::MISSING);
        self.ticks = self.ticks.saturating_add(1);
    }

    /// Lets the tick that goes on pass.
    pub(super) fn skip(&mut self) {
        self.cadences.clear();
        self.row.fill(ChannelTick::MISSING);
    }

    /// Contributing channels that have no name yet.
    pub(super) fn unnamed(&self) -> impl Iterator<Item = (u32, &Channel)> {
        let channel = |(at, _): &(u32, f32)| Some((*at, self.channels.get(*at as usize)?));
        self.top.iter().filter_map(channel).filter(|(_, channel)| channel.name.is_none() && channel.at.is_some())
    }

    /// What readers are shown; nothing while there is neither a model nor a peer.
    pub(super) fn state(&self) -> Option<HostState> {
        let peers = ensemble::best_of(self.peers.0, self.peers.1);
        let Some(verdict) = &self.verdict else {
            let parts = HostParts { peers, ..HostParts::default() };
            let (ts_ms, holds_ms) = (self.seen_ms, self.holds_ms);
            return (!peers.is_nan()).then(|| HostState { ts_ms, holds_ms, parts, ..HostState::default() });
        };
        let named = |(at, share): &(u32, f32)| {
            let channel = self.channels.get(*at as usize)?;
            let series = channel.name.as_ref().map_or_else(|| channel.id.to_string(), ToString::to_string);
            Some(Contributor { series, share: *share })
        };
        Some(HostState {
            ts_ms: verdict.ts_ms,
            holds_ms: self.holds_ms,
            joint: verdict.score,
            alarm: verdict.alarm,
            parts: HostParts {
                change: verdict.parts.change,
                level: verdict.parts.level,
                singles: verdict.parts.singles,
                isolation_forest: verdict.parts.isolation_forest,
                robust_pca: verdict.parts.robust_pca,
                kmeans: verdict.parts.kmeans,
                correlation_break: verdict.parts.correlation_break,
                rollup: f32::NAN,
                peers,
            },
            confidence: verdict.confidence,
            contributors: self.top.iter().filter_map(named).collect(),
        })
    }

    /// How long what [`Host::state`] says holds where only peers say something, milliseconds.
    pub(super) fn hold(&mut self, holds_ms: i64) {
        if self.verdict.is_none() {
            self.holds_ms = holds_ms;
        }
    }
}
